/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of vhost, in memory. */
#include "vhost_kernel.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

struct vhost_kernel vhost_kernel;

void vhost_kernel_reset(void)
{
	memset(&vhost_kernel, 0, sizeof(vhost_kernel));
	vhost_kernel.offered = VHOST_KERNEL_FEATURES;
	vhost_kernel.fail_at = VHOST_KERNEL_NEVER;
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++)
		vhost_kernel.queues[i] = (struct vhost_kernel_queue){
			.kick = -1, .call = -1, .err = -1, .backend = -1
		};
}

static void tell(const char *what, unsigned int queue)
{
	size_t used = strlen(vhost_kernel.story);

	snprintf(vhost_kernel.story + used, sizeof(vhost_kernel.story) - used, "%s%u ", what,
	         queue);
}

static bool in_table(uint64_t hva)
{
	for (unsigned int i = 0; i < vhost_kernel.region_count; i++)
		if (hva - vhost_kernel.regions[i].userspace_addr <
		    vhost_kernel.regions[i].memory_size)
			return true;
	return false;
}

static int take_table(const struct vhost_memory *table)
{
	if (vhost_kernel.no_table)
		return -ENOMEM;
	if (table->nregions > VHOST_KERNEL_REGIONS_MAX)
		return -E2BIG;
	vhost_kernel.region_count = table->nregions;
	memcpy(vhost_kernel.regions, table->regions,
	       table->nregions * sizeof(vhost_kernel.regions[0]));
	vhost_kernel.tables++;
	return 0;
}

/* drivers/vhost/net.c: a queue that is not whole is refused. */
static int take_backend(struct vhost_kernel_queue *queue, const struct vhost_vring_file *file)
{
	tell(file->fd < 0 ? "detach" : "attach", file->index);
	if (file->fd >= 0 && vhost_kernel.no_backend)
		return -EBADFD;
	if (file->fd >= 0) {
		assert_int_equal(file->fd, VHOST_KERNEL_BACKEND_FD);
		assert_true(queue->kick >= 0 && queue->call >= 0 && queue->err >= 0);
		assert_true(is_power_of_two(queue->num));
		assert_true(in_table(queue->addresses.desc_user_addr));
		assert_true(in_table(queue->addresses.avail_user_addr));
		assert_true(in_table(queue->addresses.used_user_addr));
		assert_true(vhost_kernel.features);
	}
	queue->backend = file->fd;
	return 0;
}

static int take_vring(unsigned long request, void *argument)
{
	unsigned int index = *(unsigned int *)argument; /* first in all of them */
	struct vhost_vring_state *state = argument;
	const struct vhost_vring_file *file = argument;
	struct vhost_kernel_queue *queue = &vhost_kernel.queues[index];

	assert_in_range(index, 0, VHOST_QUEUES_MAX - 1);
	switch (request) {
	case VHOST_SET_VRING_NUM:
		assert_int_equal(queue->backend, -1); /* -EBUSY of a kernel */
		queue->num = state->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		assert_int_equal(queue->backend, -1);
		queue->base = state->num;
		return 0;
	case VHOST_GET_VRING_BASE:
		tell("base", index);
		state->num = queue->base;
		return 0;
	case VHOST_SET_VRING_ADDR:
		memcpy(&queue->addresses, argument, sizeof(queue->addresses));
		return 0;
	case VHOST_SET_VRING_KICK:
		queue->kick = file->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		queue->call = file->fd;
		return 0;
	case VHOST_SET_VRING_ERR:
		queue->err = file->fd;
		return 0;
	case VHOST_NET_SET_BACKEND:
		return take_backend(queue, file);
	}
	return -ENOTTY;
}

static int kernel_call(unsigned long request, void *argument)
{
	if (vhost_kernel.calls++ == vhost_kernel.fail_at)
		return vhost_kernel.fail_code;
	if (request == VHOST_SET_OWNER) {
		vhost_kernel.owner = true;
		return 0;
	}
	assert_true(vhost_kernel.owner);
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)argument = vhost_kernel.offered;
		return 0;
	case VHOST_SET_FEATURES:
		vhost_kernel.features = *(uint64_t *)argument;
		return 0;
	case VHOST_SET_MEM_TABLE:
		return take_table(argument);
	}
	return take_vring(request, argument);
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;
	int result;

	(void)fd;
	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	result = kernel_call(request, argument);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

void vhost_kernel_serves(unsigned int index, unsigned int count)
{
	struct vhost_kernel_queue *queue = &vhost_kernel.queues[index];
	const struct vring_avail *avail =
		(const struct vring_avail *)(uintptr_t)queue->addresses.avail_user_addr;
	struct vring_used *used = (struct vring_used *)(uintptr_t)queue->addresses.used_user_addr;

	assert_int_equal(queue->backend, VHOST_KERNEL_BACKEND_FD);
	for (; count; count--, queue->base++) {
		used->ring[used->idx % queue->num] =
			(struct vring_used_elem){ .id = avail->ring[queue->base % queue->num],
			                          .len = 5 };
		__atomic_store_n(&used->idx, (uint16_t)(used->idx + 1), __ATOMIC_RELEASE);
	}
	assert_int_equal(eventfd_write(queue->call, 1), 0);
}

void vhost_kernel_is_through(void)
{
	for (unsigned int i = 0; i < VHOST_QUEUES_MAX; i++) {
		assert_int_equal(vhost_kernel.queues[i].backend, -1);
		assert_int_equal(vhost_kernel.queues[i].kick, -1);
		assert_int_equal(vhost_kernel.queues[i].call, -1);
		assert_int_equal(vhost_kernel.queues[i].err, -1);
	}
}
