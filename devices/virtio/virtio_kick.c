/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eventfds behind available-buffer notifications, and their loan to vhost.
 *
 * While a device runs, each of its ready queues has an eventfd that KVM signals (an ioeventfd where
 * the transport says the driver writes) and that the device's loop watches, edge-triggered: a
 * notification costs no exit to userspace and no read. Where KVM refuses the ioeventfd, or the
 * driver writes in another way, the transport's register handler signals the same eventfd.
 *
 * Lent to vhost, the kick is watched by the kernel instead of the loop. For the other direction a
 * transport may have a descriptor that interrupts by itself (an MSI-X vector); where not, the loop
 * relays from an eventfd made for the loan. Either is good until the driver moves the queue's
 * interrupt to another vector, or turns MSI-X on or off: then what is right now is looked up anew,
 * on the loop, the borrower gets it, and one interrupt makes up for what the old one swallowed.
 *
 * Threads: start, stop, take and return on the device's loop; signals and moves on vCPU threads.
 * The device lock guards the descriptors.
 *
 * Syscalls: all: eventfd read write
 */
#include "virtio_kick.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ebb/vm.h"

struct virtio_kick {
	struct virtio_device *vdev;
	unsigned int queue_index;
	int fd;                      /* -1: closed */
	struct event_source *source; /* NULL: closed or lent */
	struct ioeventfd ioeventfd;
	bool assigned;
	bool lent;
	struct virtio_queue_borrower borrower;
	int call_fd;  /* while lent */
	int relay_fd; /* -1: not lent, or the transport's own descriptor is */
	struct event_source *relay_source;
};

static void take_anew(void *ctx);

int virtio_kicks_create(struct virtio_device *vdev)
{
	unsigned int count = vdev->info->queue_count;

	event_work_init(&vdev->interrupts_moved, vdev->loop, take_anew, vdev);
	vdev->kicks = calloc(count ? count : 1, sizeof(*vdev->kicks));
	if (!vdev->kicks)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++)
		vdev->kicks[i] = (struct virtio_kick){
			.vdev = vdev, .queue_index = i, .fd = -1, .relay_fd = -1
		};
	return 0;
}

void virtio_kicks_destroy(struct virtio_device *vdev)
{
	free(vdev->kicks);
	vdev->kicks = NULL;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;
	/* It can only fail when the counter is full: then it is signalled anyway. */
	ssize_t written = write(fd, &one, sizeof(one));

	(void)written;
}

static void kick_arrived(void *ctx, uint32_t epoll_events)
{
	struct virtio_kick *kick = ctx;

	(void)epoll_events;
	virtio_queue_kicked(kick->vdev, kick->queue_index);
}

static void relay_arrived(void *ctx, uint32_t epoll_events)
{
	struct virtio_kick *kick = ctx;
	struct virtio_transport *transport = kick->vdev->transport;

	(void)epoll_events;
	transport->ops->notify_used(transport, kick->queue_index);
}

/* An eventfd that the device's loop watches. */
static int open_watched(struct virtio_kick *kick, event_fn fn, int *ret_fd,
                        struct event_source **ret_source)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int ret;

	if (fd < 0)
		return -errno;
	ret = event_loop_add(kick->vdev->loop, fd, EPOLLIN | EPOLLET, fn, kick, ret_source);
	if (ret) {
		close(fd);
		return ret;
	}
	*ret_fd = fd;
	return 0;
}

/* Puts the ioeventfd where the driver writes now. With the device lock held. */
static void place(struct virtio_kick *kick)
{
	struct virtio_transport *transport = kick->vdev->transport;
	struct vm *vm = kick->vdev->device.vm;

	if (kick->assigned)
		ioeventfd_unassign(vm, &kick->ioeventfd);
	kick->assigned = kick->fd >= 0 && transport->ops->kick_address(transport, kick->queue_index,
	                                                               &kick->ioeventfd);
	if (!kick->assigned)
		return;
	kick->ioeventfd.fd = kick->fd;
	/* A refusal costs speed alone: writes reach the bus, and virtio_queue_kick. */
	kick->assigned = !ioeventfd_assign(vm, &kick->ioeventfd);
}

static void close_relay(struct virtio_kick *kick)
{
	if (kick->relay_fd < 0)
		return;
	event_loop_remove(kick->relay_source);
	close(kick->relay_fd);
	kick->relay_source = NULL;
	kick->relay_fd = -1;
}

static void set_lent(struct virtio_kick *kick, bool lent)
{
	struct virtio_device *vdev = kick->vdev;

	pthread_mutex_lock(&vdev->lock);
	vdev->queues_lent += (lent ? 1U : 0U) - (kick->lent ? 1U : 0U);
	kick->lent = lent;
	pthread_mutex_unlock(&vdev->lock);
}

static void close_kick(struct virtio_kick *kick)
{
	int fd = kick->fd;

	if (fd < 0)
		return;
	set_lent(kick, false);
	close_relay(kick);
	event_loop_remove(kick->source);
	kick->source = NULL;
	pthread_mutex_lock(&kick->vdev->lock);
	kick->fd = -1;
	place(kick);
	pthread_mutex_unlock(&kick->vdev->lock);
	close(fd);
}

static int open_kick(struct virtio_kick *kick)
{
	int fd;
	int ret = open_watched(kick, kick_arrived, &fd, &kick->source);

	if (ret)
		return ret;
	pthread_mutex_lock(&kick->vdev->lock);
	kick->fd = fd;
	place(kick);
	pthread_mutex_unlock(&kick->vdev->lock);
	return 0;
}

int virtio_kicks_start(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->info->queue_count; i++) {
		int ret = virtio_queue_is_ready(vdev, i) ? open_kick(&vdev->kicks[i]) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

void virtio_kicks_stop(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		close_kick(&vdev->kicks[i]);
	event_work_cancel(&vdev->interrupts_moved);
}

void virtio_kicks_moved(struct virtio_device *vdev)
{
	pthread_mutex_lock(&vdev->lock);
	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		place(&vdev->kicks[i]);
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_queue_kick(struct virtio_device *vdev, unsigned int queue_index)
{
	if (queue_index >= vdev->info->queue_count)
		return;
	pthread_mutex_lock(&vdev->lock);
	if (vdev->kicks[queue_index].fd >= 0)
		signal_fd(vdev->kicks[queue_index].fd);
	pthread_mutex_unlock(&vdev->lock);
}

/* --- the loan --- */

/* What interrupts for the queue now, made if need be; a relay that is there stays. */
static int find_call_fd(struct virtio_kick *kick)
{
	struct virtio_transport *transport = kick->vdev->transport;
	int fd = transport->ops->interrupt_fd(transport, kick->queue_index);
	int ret;

	if (fd >= 0)
		return fd;
	if (kick->relay_fd < 0) {
		ret = open_watched(kick, relay_arrived, &kick->relay_fd, &kick->relay_source);
		if (ret)
			return ret;
	}
	return kick->relay_fd;
}

static void take_one_anew(struct virtio_kick *kick)
{
	struct virtio_device *vdev = kick->vdev;
	int call_fd = find_call_fd(kick);

	if (call_fd < 0) {
		virtio_device_broken(vdev, "queue %u: no interrupts any more", kick->queue_index);
		return;
	}
	if (call_fd == kick->call_fd)
		return;
	kick->call_fd = call_fd;
	if (kick->borrower.call_moved)
		kick->borrower.call_moved(kick->borrower.ctx, kick->queue_index, call_fd);
	if (call_fd != kick->relay_fd)
		close_relay(kick);
	vdev->transport->ops->notify_used(vdev->transport, kick->queue_index);
}

static void take_anew(void *ctx)
{
	struct virtio_device *vdev = ctx;

	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		if (vdev->kicks[i].lent)
			take_one_anew(&vdev->kicks[i]);
}

void virtio_interrupts_moved(struct virtio_device *vdev)
{
	pthread_mutex_lock(&vdev->lock);
	if (vdev->queues_lent)
		event_work_post(&vdev->interrupts_moved);
	pthread_mutex_unlock(&vdev->lock);
}

int virtio_queue_take_eventfds(struct virtio_device *vdev, unsigned int queue_index,
                               const struct virtio_queue_borrower *borrower, int *ret_kick_fd,
                               int *ret_call_fd, struct error *err)
{
	struct virtio_kick *kick = &vdev->kicks[queue_index];
	int call_fd;

	if (kick->fd < 0)
		return error_set(err, -ENOTCONN, "%s: queue %u is not in use", vdev->device.id,
		                 queue_index);
	/* Lent before its interrupt is looked up, so that no move is missed. */
	set_lent(kick, true);
	call_fd = find_call_fd(kick);
	if (call_fd < 0) {
		set_lent(kick, false);
		return error_set_errno(err, call_fd, "%s: queue %u", vdev->device.id, queue_index);
	}
	kick->call_fd = call_fd;
	kick->borrower = borrower ? *borrower : (struct virtio_queue_borrower){ NULL, NULL };
	event_loop_remove(kick->source);
	kick->source = NULL;
	*ret_kick_fd = kick->fd;
	*ret_call_fd = call_fd;
	return 0;
}

void virtio_queue_return_eventfds(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtio_kick *kick = &vdev->kicks[queue_index];

	if (!kick->lent)
		return;
	set_lent(kick, false);
	/* A call that the loop has not come to yet goes with its source; one too many is allowed.
	 */
	if (kick->relay_fd >= 0)
		vdev->transport->ops->notify_used(vdev->transport, queue_index);
	close_relay(kick);
	signal_fd(kick->fd);
	if (event_loop_add(vdev->loop, kick->fd, EPOLLIN | EPOLLET, kick_arrived, kick,
	                   &kick->source)) {
		kick->source = NULL;
		virtio_device_broken(vdev, "queue %u: no notifications any more", queue_index);
	}
}
