/* SPDX-License-Identifier: Apache-2.0 */
/* vhost against a kernel by hand: what it is told and in which order, what comes back, and that
 * nothing stays when any call fails. */
/* fakes: fake_virtio_driver hostile_chains test_driver fake_vm failures vhost_kernel */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: ioctl */
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../devices/vhost/vhost.h"
#include "failures.h"
#include "fake_virtio_driver.h"
#include "fake_vm.h"
#include "vhost_kernel.h"

#define RAM_BYTES  (4 * MIB)
#define RINGS_GPA  (3 * MIB)
#define BUFFER_GPA (1 * MIB)
#define OTHER_GPA  GIB /* of a region of its own */
#define QUEUE_SIZE 8
#define NR         VIRTIO_CONFIG_S_NEEDS_RESET
static bool is_signalled(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

/* --- the device --- */

static struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device other_device;
	struct virtio_device vdev;
	struct fake_driver driver;
	struct vhost *vhost;
	struct metric_counter errors;
	unsigned int served[VHOST_QUEUES_MAX]; /* by ebb */
	unsigned int fail_start_at; /* failures_arm of activate; VHOST_KERNEL_NEVER: none */
	bool start_failed;
	struct error start_error;
} f;

static int set_backend(void *ctx, int fd, unsigned int queue, bool attach)
{
	assert_ptr_equal(ctx, &f);
	assert_int_equal(fd, vhost_fd(f.vhost));
	return vhost_net_set_backend(fd, queue, attach ? VHOST_KERNEL_BACKEND_FD : -1);
}

static int toy_activate(struct virtio_device *vdev)
{
	int result;

	f.start_error = (struct error)ERROR_INIT;
	if (f.fail_start_at != VHOST_KERNEL_NEVER)
		failures_arm(f.fail_start_at);
	result = vhost_start(f.vhost, vdev->driver_features, &f.start_error);
	f.start_failed = f.fail_start_at != VHOST_KERNEL_NEVER && failures_disarm();
	return result;
}

static void toy_deactivate(struct virtio_device *vdev)
{
	(void)vdev;
	vhost_stop(f.vhost);
	vhost_stop(f.vhost); /* does nothing */
}

static void toy_queue_stop(struct virtio_device *vdev, unsigned int queue_index)
{
	(void)vdev;
	vhost_stop_queue(f.vhost, queue_index);
}

static void toy_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtqueue *vq = virtio_queue(vdev, queue_index);
	struct virtq_chain chain;
	int got;

	while ((got = virtqueue_pop(vq, &chain)) > 0) {
		f.served[queue_index]++;
		virtqueue_push(vq, &chain);
	}
	virtio_queue_flush(vdev, queue_index);
	if (got < 0)
		virtio_device_broken(vdev, "queue %u", queue_index);
}

static const uint16_t queue_sizes[] = { 16, 16 };

static const struct virtio_device_info toy_info = {
	.device_id = 1,
	.device_features = 1U << 15,
	.queue_count = ARRAY_SIZE(queue_sizes),
	.queue_size_max = queue_sizes,
};

static const struct virtio_device_ops toy_ops = {
	.activate = toy_activate,
	.deactivate = toy_deactivate,
	.queue_notify = toy_queue_notify,
	.queue_stop = toy_queue_stop,
};

static const struct vhost_setup vhost_setup = {
	.path = "/dev/null",
	.vm = &f.vm,
	.vdev = &f.vdev,
	.queue_count = VHOST_QUEUES_MAX,
	.set_backend = set_backend,
	.ctx = &f,
	.error_count = &f.errors,
};

static int set_up(void **state)
{
	static const struct device_class class = { .name = "toy" };
	const struct device_config config = { .class = &class };
	struct virtio_device_setup setup = { .info = &toy_info, .ops = &toy_ops };

	(void)state;
	vhost_kernel_reset();
	fake_transport_clear();
	fake_vm_clear();
	memset(&f, 0, sizeof(f));
	list_init(&f.vm.devices);
	f.vm.config = &f.vm_config;
	f.fail_start_at = VHOST_KERNEL_NEVER;
	assert_int_equal(guest_memory_create(&f.vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(f.vm.memory, 0, RAM_BYTES, NULL, NULL), 0);
	assert_int_equal(event_loop_create("io", &f.vm.io_loop, NULL), 0);
	assert_int_equal(vhost_create(&vhost_setup, &f.vhost, NULL), 0);
	setup.loop = f.vm.io_loop;
	setup.offered_features = toy_info.device_features;
	assert_int_equal(virtio_device_init(&f.vdev, &f.vm, &config, &setup, NULL), 0);
	list_append(&f.vm.devices, &f.other_device.node);
	list_append(&f.vm.devices, &f.vdev.device.node);
	fake_driver_init(&f.driver, &f.vm, &f.vdev.device, RINGS_GPA);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	virtio_device_fini(&f.vdev);
	vhost_kernel_is_through();
	vhost_destroy(f.vhost);
	event_loop_destroy(f.vm.io_loop);
	guest_memory_destroy(f.vm.memory);
	return 0;
}

static bool start(void)
{
	return fake_driver_start(&f.driver, VHOST_KERNEL_RING_FEATURES | 1U << 15, 2, QUEUE_SIZE);
}

static void offer(unsigned int queue, unsigned int count)
{
	for (; count; count--)
		fake_driver_add(&f.driver, queue,
		                &(struct fake_driver_buffer){ BUFFER_GPA, 64, true }, 1);
}

static void took_back(unsigned int queue, unsigned int count, uint32_t wanted_bytes)
{
	uint32_t head, size_bytes;

	for (; count; count--) {
		assert_true(fake_driver_take_used(&f.driver, queue, &head, &size_bytes));
		assert_int_equal(size_bytes, wanted_bytes);
	}
}

/* --- creating --- */

static void test_path_is_not_there(void **state)
{
	struct vhost_setup setup = vhost_setup;
	struct error err = ERROR_INIT;
	struct vhost *vhost = NULL;

	(void)state;
	setup.path = "/dev/vhost-of-nobody";
	assert_int_equal(vhost_create(&setup, &vhost, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/dev/vhost-of-nobody"));
	assert_non_null(strstr(err.message, "modprobe vhost_of_nobody"));
	assert_null(vhost);
}

static void test_old_kernel(void **state)
{
	struct error err = ERROR_INIT;
	struct vhost *vhost = NULL;

	(void)state;
	vhost_kernel.offered = UINT64_C(1) << VIRTIO_F_VERSION_1;
	assert_int_equal(vhost_create(&vhost_setup, &vhost, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "newer kernel"));
	assert_null(vhost);
}

static int create(void *ctx, struct error *err)
{
	return vhost_create(&vhost_setup, ctx, err);
}

static void destroy(void *ctx)
{
	vhost_destroy(*(struct vhost **)ctx);
}

static void test_create_fails(void **state)
{
	struct vhost *vhost = NULL;
	unsigned int fds = open_fd_count(), n;

	(void)state;
	assert_true(failures_run(create, destroy, &vhost) >= 3);
	for (n = 0;; n++) {
		struct error err = ERROR_INIT;
		int result;

		vhost_kernel.calls = 0;
		vhost_kernel.fail_at = n;
		vhost_kernel.fail_code = -EIO;
		result = vhost_create(&vhost_setup, &vhost, &err);
		if (!result)
			break;
		assert_int_equal(result, -EIO);
		assert_non_null(strstr(err.message, "/dev/null"));
		assert_int_equal(open_fd_count(), fds);
	}
	vhost_kernel.fail_at = VHOST_KERNEL_NEVER;
	assert_int_equal(n, 3); /* owner, features, a table */
	vhost_destroy(vhost);
	assert_int_equal(open_fd_count(), fds);
	/* Nobody listens any more. */
	n = vhost_kernel.tables;
	assert_int_equal(gmem_add_region(f.vm.memory, OTHER_GPA, MIB, NULL, NULL), 0);
	assert_int_equal(vhost_kernel.tables, n + 1); /* the fixture's own */
}

/* --- the memory table --- */

static void test_table_follows_memory(void **state)
{
	const struct gmem_extent extent = { 4 * GIB, 512 * MIB, 2 * MIB };
	static const struct gmem_backing anonymous = { .kind = GMEM_ANON };
	struct gmem_area *area;

	(void)state;
	assert_int_equal(vhost_kernel.region_count, 1);
	assert_int_equal(vhost_kernel.regions[0].memory_size, RAM_BYTES);
	gmem_lock_shared(f.vm.memory);
	assert_int_equal(vhost_kernel.regions[0].userspace_addr,
	                 (uintptr_t)gmem_span(f.vm.memory, 0, 1));
	gmem_unlock_shared(f.vm.memory);
	assert_int_equal(gmem_add_region(f.vm.memory, OTHER_GPA, MIB, NULL, NULL), 0);
	assert_int_equal(vhost_kernel.region_count, 2);
	assert_int_equal(vhost_kernel.regions[1].guest_phys_addr, OTHER_GPA);
	assert_int_equal(gmem_remove_region(f.vm.memory, OTHER_GPA), 0);
	assert_int_equal(vhost_kernel.region_count, 1);
	/* Chunks of 128 MiB: each one that is in use, and one entry for those side by side. */
	assert_int_equal(gmem_add_area(f.vm.memory, &extent, &anonymous, &area, NULL), 0);
	assert_int_equal(vhost_kernel.region_count, 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(gmem_plug(area, 4 * GIB + i * 128 * MIB, 2 * MIB), 0);
	assert_int_equal(vhost_kernel.region_count, 2);
	assert_int_equal(vhost_kernel.regions[1].guest_phys_addr, 4 * GIB);
	assert_int_equal(vhost_kernel.regions[1].memory_size, 512 * MIB);
	assert_int_equal(gmem_unplug(area, 4 * GIB + 128 * MIB, 2 * MIB), 0);
	gmem_trim(area);
	assert_int_equal(vhost_kernel.region_count, 3);
	gmem_remove_area(area);
	assert_int_equal(vhost_kernel.region_count, 1);
}

/* What the kernel does not take is not added, and its table is what it was. */
static void test_table_is_refused(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < VHOST_KERNEL_REGIONS_MAX; i++)
		assert_int_equal(gmem_add_region(f.vm.memory, i * OTHER_GPA, MIB, NULL, NULL), 0);
	assert_int_equal(
		gmem_add_region(f.vm.memory, VHOST_KERNEL_REGIONS_MAX * OTHER_GPA, MIB, NULL, NULL),
		-E2BIG);
	assert_int_equal(vhost_kernel.region_count, VHOST_KERNEL_REGIONS_MAX);
	assert_int_equal(gmem_list_regions(f.vm.memory, NULL, 0), VHOST_KERNEL_REGIONS_MAX);
	assert_int_equal(gmem_remove_region(f.vm.memory, OTHER_GPA), 0);
	assert_int_equal(
		gmem_add_region(f.vm.memory, VHOST_KERNEL_REGIONS_MAX * OTHER_GPA, MIB, NULL, NULL),
		0);
	vhost_kernel.fail_at = vhost_kernel.calls;
	vhost_kernel.fail_code = -ENOMEM;
	assert_int_equal(gmem_remove_region(f.vm.memory, VHOST_KERNEL_REGIONS_MAX * OTHER_GPA), 0);
	assert_int_equal(gmem_add_region(f.vm.memory, OTHER_GPA, MIB, NULL, NULL), 0);
	assert_int_equal(vhost_kernel.region_count, VHOST_KERNEL_REGIONS_MAX); /* right again */
	assert_int_equal(vhost_kernel.regions[1].guest_phys_addr, OTHER_GPA);
}

/* --- starting and stopping --- */

static void test_start_and_stop(void **state)
{
	unsigned int fds;

	(void)state;
	assert_false(vhost_is_started(f.vhost));
	assert_true(start());
	fake_driver_reset(&f.driver); /* the loop has its thread and descriptors */
	fds = open_fd_count();
	vhost_kernel.story[0] = '\0';
	assert_true(start());
	assert_true(vhost_is_started(f.vhost));
	assert_string_equal(vhost_kernel.story, "attach0 attach1 ");
	/* Not the log, nor headers that the TAP device moves itself. */
	assert_int_equal(vhost_kernel.features,
	                 UINT64_C(1) << VIRTIO_F_VERSION_1 | VHOST_KERNEL_RING_FEATURES | 1U << 15);
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t hva;

		gmem_lock_shared(f.vm.memory);
		hva = (uintptr_t)gmem_span(f.vm.memory, fake_driver_avail(&f.driver, i), 1);
		gmem_unlock_shared(f.vm.memory);
		assert_int_equal(vhost_kernel.queues[i].num, QUEUE_SIZE);
		assert_int_equal(vhost_kernel.queues[i].base, 0);
		assert_int_equal(vhost_kernel.queues[i].addresses.avail_user_addr, hva);
		assert_int_equal(vhost_kernel.queues[i].addresses.flags, 0);
		assert_true(
			is_signalled(vhost_kernel.queues[i].kick)); /* for what was there before */
	}
	assert_int_equal(open_fd_count(), fds + 6); /* kick, call, err */
	vhost_kernel.story[0] = '\0';
	fake_driver_reset(&f.driver);
	/* No back end before the first ring is given up. */
	assert_string_equal(vhost_kernel.story, "detach0 detach1 base0 base1 ");
	vhost_kernel_is_through();
	assert_int_equal(open_fd_count(), fds);
	assert_false(vhost_is_started(f.vhost));
}

/* Chains that the kernel took, chains that it did not: none is lost, none served twice. */
static void test_rings_come_back(void **state)
{
	(void)state;
	assert_true(start());
	offer(0, 5);
	fake_driver_kick(&f.driver, 0);
	assert_int_equal(f.served[0], 0); /* the kernel's to serve */
	vhost_kernel_serves(0, 3);
	fake_driver_settle(&f.driver);
	assert_int_equal(fake_transport.used_notifications[0], 1); /* relayed */
	took_back(0, 3, 5);
	vhost_stop_queue(f.vhost, 0); /* the loop has nothing to do: it may be here */
	fake_driver_settle(&f.driver);
	assert_int_equal(f.served[0], 2);
	took_back(0, 2, 0);
	assert_int_equal(vhost_kernel.queues[1].backend, VHOST_KERNEL_BACKEND_FD);
	offer(1, 1);
	vhost_kernel_serves(1, 1); /* the other goes on */
	took_back(1, 1, 5);
	assert_false(virtio_status(&f.vdev) & NR);
}

static void test_enabled_queues_alone(void **state)
{
	(void)state;
	assert_true(fake_driver_start(&f.driver, VHOST_KERNEL_RING_FEATURES, 1, QUEUE_SIZE));
	assert_string_equal(vhost_kernel.story, "attach0 ");
	fake_driver_reset(&f.driver);
	assert_true(fake_driver_start(&f.driver, VHOST_KERNEL_RING_FEATURES, 0, QUEUE_SIZE));
	assert_true(vhost_is_started(f.vhost));
}

static void test_driver_takes_a_queue_back(void **state)
{
	(void)state;
	assert_true(start());
	vhost_kernel.story[0] = '\0';
	virtio_queue_set_ready(&f.vdev, 1, false);
	assert_string_equal(vhost_kernel.story, "detach1 base1 ");
	assert_int_equal(vhost_kernel.queues[1].kick, -1);
	assert_int_equal(vhost_kernel.queues[0].backend, VHOST_KERNEL_BACKEND_FD);
	offer(0, 1);
	vhost_kernel_serves(0, 1);
	took_back(0, 1, 5);
	assert_false(virtio_status(&f.vdev) & NR);
}

/* Each call of a start fails once: the device needs a reset, nothing stays, and then it starts. */
static void test_start_fails(void **state)
{
	unsigned int fds, calls, n;

	(void)state;
	assert_true(start());
	fake_driver_reset(&f.driver);
	fds = open_fd_count();
	for (n = 0;; n++) {
		vhost_kernel.calls = 0;
		vhost_kernel.fail_at = n;
		vhost_kernel.fail_code = -EIO;
		if (start())
			break;
		assert_int_equal(f.start_error.code, -EIO);
		assert_non_null(strstr(f.start_error.message, "/dev/null"));
		assert_false(vhost_is_started(f.vhost));
		vhost_kernel_is_through();
		assert_int_equal(open_fd_count(), fds);
		fake_driver_reset(&f.driver);
	}
	assert_int_equal(n, 1 + 2 * 6 + 2); /* features, six a queue, two back ends */
	vhost_kernel.fail_at = VHOST_KERNEL_NEVER;
	fake_driver_reset(&f.driver);
	for (n = 0, calls = 0;; n++) {
		bool started;

		f.fail_start_at = n;
		started = start();
		if (!f.start_failed)
			break;
		if (!started) {
			calls++;
			vhost_kernel_is_through();
			assert_int_equal(open_fd_count(), fds);
		}
		fake_driver_reset(&f.driver);
		assert_int_equal(open_fd_count(), fds);
	}
	assert_true(calls >= 8); /* of two queues: relay and err, eventfd and epoll */
	f.fail_start_at = VHOST_KERNEL_NEVER;
	assert_true(vhost_is_started(f.vhost));
	offer(0, 1);
	vhost_kernel_serves(0, 1);
	took_back(0, 1, 5);
}

static void test_ring_outside_memory(void **state)
{
	(void)state;
	for (unsigned int part = 0; part < 3; part++) {
		struct virtqueue_config config = { .size = QUEUE_SIZE,
			                           .descriptor_gpa = RINGS_GPA,
			                           .driver_gpa = RINGS_GPA + 4 * KIB,
			                           .device_gpa = RINGS_GPA + 8 * KIB };

		*(part == 0   ? &config.descriptor_gpa
		  : part == 1 ? &config.driver_gpa
		              : &config.device_gpa) = RAM_BYTES - 16;
		assert_true(fake_driver_negotiate(&f.driver, VHOST_KERNEL_RING_FEATURES));
		fake_driver_set_queue(&f.driver, 0, &config);
		vhost_kernel.calls = 0;
		assert_false(fake_driver_go(&f.driver));
		assert_int_equal(vhost_kernel.calls, 0); /* never gets there */
		fake_driver_reset(&f.driver);
	}
}

/* --- what goes wrong while it runs --- */

static void test_kernel_meets_an_error(void **state)
{
	(void)state;
	assert_true(start());
	offer(1, 2);
	assert_int_equal(eventfd_write(vhost_kernel.queues[1].err, 1), 0);
	fake_driver_settle(&f.driver);
	assert_true(virtio_status(&f.vdev) & NR);
	assert_int_equal(metric_read(&f.errors), 1);
	assert_int_equal(fake_vm.events[VM_EVENT_VHOST_ERROR], 1);
	assert_int_equal(fake_vm.event_values[VM_EVENT_VHOST_ERROR], VM_EVENT_VHOST_QUEUES + 1);
	assert_false(vhost_is_started(f.vhost));
	vhost_kernel_is_through();
	assert_int_equal(f.served[1], 0); /* not before the reset */
	fake_driver_reset(&f.driver);
	assert_true(start());
	assert_int_equal(eventfd_write(vhost_kernel.queues[0].err, 1), 0);
	fake_driver_settle(&f.driver);
	assert_int_equal(metric_read(&f.errors), 2);
	assert_int_equal(fake_vm.events[VM_EVENT_VHOST_ERROR], 1); /* one a second */
	fake_driver_reset(&f.driver);
	assert_true(start());
	offer(1, 1);
	vhost_kernel_serves(1, 1);
	took_back(1, 1, 5);
}

static void test_used_index_is_scribbled_on(void **state)
{
	uint16_t *used_index;

	(void)state;
	assert_true(start());
	offer(0, 2);
	vhost_kernel_serves(0, 1);
	gmem_lock_shared(f.vm.memory);
	used_index = gmem_span(f.vm.memory, fake_driver_used(&f.driver, 0) + 2, 2);
	*used_index = 0x4000;
	gmem_unlock_shared(f.vm.memory);
	vhost_stop_queue(f.vhost, 0);
	fake_driver_settle(&f.driver);
	assert_int_equal(f.served[0], 0);
	assert_true(virtio_status(&f.vdev) & NR);
}

/* The region with queue 1's rings goes: that back end first, then the table. */
static void test_rings_memory_goes(void **state)
{
	struct virtqueue_config config = { .size = QUEUE_SIZE,
		                           .descriptor_gpa = OTHER_GPA,
		                           .driver_gpa = OTHER_GPA + 4 * KIB,
		                           .device_gpa = OTHER_GPA + 8 * KIB };

	(void)state;
	assert_int_equal(gmem_add_region(f.vm.memory, OTHER_GPA, MIB, NULL, NULL), 0);
	assert_true(fake_driver_negotiate(&f.driver, VHOST_KERNEL_RING_FEATURES));
	fake_driver_set_queue(&f.driver, 1, &config);
	config.descriptor_gpa = RINGS_GPA;
	config.driver_gpa = RINGS_GPA + 4 * KIB;
	config.device_gpa = RINGS_GPA + 8 * KIB;
	fake_driver_set_queue(&f.driver, 0, &config);
	assert_true(fake_driver_go(&f.driver));
	vhost_kernel.story[0] = '\0';
	assert_int_equal(gmem_remove_region(f.vm.memory, OTHER_GPA), 0);
	assert_string_equal(vhost_kernel.story, "detach1 ");
	assert_int_equal(vhost_kernel.region_count, 1);
	assert_int_equal(vhost_kernel.queues[0].backend, VHOST_KERNEL_BACKEND_FD);
	assert_true(virtio_status(&f.vdev) & NR);
	/* A moment of quiet does not bring it back. */
	gmem_hold_unseen_writers(f.vm.memory);
	gmem_let_unseen_writers_go(f.vm.memory);
	assert_int_equal(vhost_kernel.queues[1].backend, -1);
	assert_int_equal(vhost_kernel.queues[0].backend, VHOST_KERNEL_BACKEND_FD);
}

/* A kernel that keeps a table with memory that is gone works on nothing any more. */
static void test_smaller_table_is_refused(void **state)
{
	(void)state;
	assert_int_equal(gmem_add_region(f.vm.memory, OTHER_GPA, MIB, NULL, NULL), 0);
	assert_true(start());
	vhost_kernel.no_table = true;
	assert_int_equal(gmem_remove_region(f.vm.memory, OTHER_GPA), 0);
	assert_int_equal(vhost_kernel.queues[0].backend, -1);
	assert_int_equal(vhost_kernel.queues[1].backend, -1);
	assert_true(virtio_status(&f.vdev) & NR);
}

/* --- moments of quiet, moved interrupts --- */

static void test_moment_of_quiet(void **state)
{
	struct gmem_watcher watcher = { .written = NULL };

	(void)state;
	assert_int_equal(gmem_watch_writes(f.vm.memory, &watcher), 0);
	assert_false(gmem_missed_writes(f.vm.memory, &watcher));
	gmem_hold_unseen_writers(f.vm.memory); /* there is none */
	gmem_let_unseen_writers_go(f.vm.memory);
	gmem_unwatch_writes(f.vm.memory, &watcher);
	assert_true(start());
	offer(0, 4);
	vhost_kernel_serves(0, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(eventfd_read(vhost_kernel.queues[i].kick, &(eventfd_t){ 0 }), 0);
	vhost_kernel.story[0] = '\0';
	gmem_hold_unseen_writers(f.vm.memory);
	assert_string_equal(vhost_kernel.story, "detach0 detach1 ");
	gmem_let_unseen_writers_go(f.vm.memory);
	assert_string_equal(vhost_kernel.story, "detach0 detach1 attach0 attach1 ");
	assert_true(is_signalled(vhost_kernel.queues[0].kick));
	vhost_kernel_serves(0, 2); /* where it was */
	took_back(0, 4, 5);
	assert_int_equal(gmem_watch_writes(f.vm.memory, &watcher), 0);
	fake_driver_reset(&f.driver);
	assert_true(gmem_missed_writes(f.vm.memory, &watcher));
	gmem_unwatch_writes(f.vm.memory, &watcher);
}

static void test_quiet_ends_badly(void **state)
{
	(void)state;
	assert_true(start());
	gmem_hold_unseen_writers(f.vm.memory);
	vhost_kernel.no_backend = true;
	gmem_let_unseen_writers_go(f.vm.memory);
	assert_true(virtio_status(&f.vdev) & NR);
	vhost_kernel.no_backend = false;
	fake_driver_reset(&f.driver);
	vhost_kernel_is_through();
	assert_true(start());
}

static void test_interrupt_moves(void **state)
{
	int vector = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_true(start());
	assert_int_not_equal(vhost_kernel.queues[0].call, vector);
	fake_transport.interrupt_fd = vector;
	virtio_interrupts_moved(&f.vdev);
	fake_driver_settle(&f.driver);
	assert_int_equal(vhost_kernel.queues[0].call, vector);
	assert_int_equal(vhost_kernel.queues[1].call, vector);
	fake_transport.interrupt_fd = 0;
	vhost_kernel.fail_at = vhost_kernel.calls;
	vhost_kernel.fail_code = -EBADF;
	virtio_interrupts_moved(&f.vdev);
	fake_driver_settle(&f.driver);
	assert_true(virtio_status(&f.vdev) & NR);
	fake_driver_reset(&f.driver);
	close(vector);
}

/* Off and on with the kernel at work, and no descriptor more in the end. */
static void test_many_resets(void **state)
{
	unsigned int fds;

	(void)state;
	assert_true(start());
	fake_driver_reset(&f.driver);
	fds = open_fd_count();
	for (unsigned int i = 0; i < 50; i++) {
		assert_true(start());
		offer(0, i % QUEUE_SIZE);
		vhost_kernel_serves(0, i % QUEUE_SIZE / 2);
		fake_driver_reset(&f.driver);
		vhost_kernel_is_through();
	}
	assert_int_equal(open_fd_count(), fds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_path_is_not_there),
		TEST(test_old_kernel),
		TEST(test_create_fails),
		TEST(test_table_follows_memory),
		TEST(test_table_is_refused),
		TEST(test_start_and_stop),
		TEST(test_rings_come_back),
		TEST(test_enabled_queues_alone),
		TEST(test_driver_takes_a_queue_back),
		TEST(test_start_fails),
		TEST(test_ring_outside_memory),
		TEST(test_kernel_meets_an_error),
		TEST(test_used_index_is_scribbled_on),
		TEST(test_rings_memory_goes),
		TEST(test_smaller_table_is_refused),
		TEST(test_moment_of_quiet),
		TEST(test_quiet_ends_badly),
		TEST(test_interrupt_moves),
		TEST(test_many_resets),
	};

	return cmocka_run_group_tests_name("vhost", tests, NULL, NULL);
}
