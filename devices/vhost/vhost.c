/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost: queues of a virtio device in the hands of the host's kernel.
 *
 * DOC: Who lends what. The core lends the ring (virtqueue_lend: host addresses of its parts,
 * checked to lie in guest memory, and where to go on), the transport the eventfds (kick, that KVM
 * signals when the driver writes; call, that interrupts). The device lends what is behind the queue
 * (a TAP descriptor, a CID) by its set_backend. While lent, nothing of ebb touches the ring.
 *
 *	start:	features -> per queue: lend ring, take eventfds, num, base, addr, err, call, kick
 *		-> attach each back end -> one kick each, for what was there before
 *	stop:	detach each back end -> per queue: base, no kick, no call, no err; ring and
 *		eventfds back
 *
 * A back end that is detached is what stops the kernel's worker: the ioctl returns when it is
 * through with the queue. So it is the last thing to come and the first to go, and between the two
 * the kernel may write guest memory at any time, unseen (gmem_add_unseen_writer). A moment of quiet
 * detaches and attaches again; ring and eventfds stay lent.
 *
 * Memory table: all of guest memory's regions, merged (vhost_memory.c). The kernel has the new
 * table when the ioctl returns, since it takes each queue's lock for it. It reaches guest memory by
 * ebb's mapping with ebb's rights: a block of an area that is not plugged is PROT_NONE, and faults
 * there as it does for a device of ours. Rings it reaches by the addresses it was given, table or
 * no table; so a region that goes with a ring in it takes the back end along first.
 *
 * What the kernel finds wrong in a ring or a buffer it says by the err eventfd, and does nothing
 * more until the next kick. Here that is the end: stopped, and the device needs a reset.
 *
 * A reset of the device, and with it one of the VM, ends in stop before guest memory is released.
 * A page that the kernel reads from for a frame under way (zero-copy transmit, where the host
 * turned that on) may be released meanwhile: the frame was the guest's to keep, and nothing is
 * written; so nobody inhibits reclaim (reclaim_inhibit) for vhost.
 *
 * Threads: header. The lock guards spans, the table, and which back ends are attached; set_backend
 * runs under it. It is taken behind guest memory's, and only a device's lock behind it.
 *
 * Syscalls: main,io,reclaim: eventfd ioctl:vhost read write
 */
#include "vhost.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "ebb/vm.h"
#include "vhost_memory.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* The core negotiates these by itself, so the kernel has to know them. */
#define NEEDED_FEATURES \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* A log that is not there, headers that the back end moves itself, an IOMMU. */
#define NEVER_FEATURES \
	(FEATURE(VHOST_F_LOG_ALL) | FEATURE(VHOST_NET_F_VIRTIO_NET_HDR) | \
	 FEATURE(VIRTIO_F_ACCESS_PLATFORM))

#define EVENT_PERIOD_NS NS_PER_S /* a guest brings about errors as fast as it resets devices */

#define REGIONS_MAX_PATH    "/sys/module/vhost/parameters/max_mem_regions"
#define REGIONS_MAX_DEFAULT 64

struct vhost_queue {
	struct vhost *vhost;
	unsigned int index; /* the vhost's own */
	bool lent;          /* ring and eventfds */
	struct virtqueue_loan ring;
	int kick_fd; /* borrowed */
	int err_fd;  /* -1: none */
	struct event_source *err_source;
	/* Under lock: */
	bool wanted;   /* its back end is to be attached, but for moments of quiet */
	bool attached; /* it is */
};

struct vhost {
	struct vhost_setup setup;
	int fd;
	uint64_t features;
	bool started;
	int64_t next_event_ns;
	struct vhost_queue queues[VHOST_QUEUES_MAX];
	struct gmem_unseen_writer writer;
	struct gmem_listener listener;
	bool listening;
	struct log_ratelimit table_limit;
	pthread_mutex_t lock;
	/* Under lock: */
	struct vhost_spans spans;
};

static int control(const struct vhost *vhost, unsigned long request, void *argument)
{
	return ioctl(vhost->fd, request, argument) < 0 ? -errno : 0;
}

static unsigned int queue_of_device(const struct vhost_queue *queue)
{
	return queue->vhost->setup.first_queue + queue->index;
}

static void signal_fd(int fd)
{
	/* It can only fail when the counter is full: then it is signalled anyway. */
	(void)!eventfd_write(fd, 1);
}

/* --- back ends; lock held --- */

static int attach(struct vhost_queue *queue)
{
	const struct vhost_setup *setup = &queue->vhost->setup;
	int result;

	if (queue->attached)
		return 0;
	result = setup->set_backend(setup->ctx, queue->vhost->fd, queue->index, true);
	queue->attached = result >= 0;
	return result < 0 ? result : 0;
}

static void detach(struct vhost_queue *queue)
{
	const struct vhost_setup *setup = &queue->vhost->setup;

	if (!queue->attached)
		return;
	/* The kernel refuses only what is not open. */
	(void)!setup->set_backend(setup->ctx, queue->vhost->fd, queue->index, false);
	queue->attached = false;
}

static bool ring_is_there(const struct vhost_queue *queue)
{
	const struct vhost_spans *spans = &queue->vhost->spans;
	const struct virtqueue_loan *ring = &queue->ring;

	return vhost_spans_hold(spans, (uintptr_t)ring->descriptors, ring->descriptor_bytes) &&
	       vhost_spans_hold(spans, (uintptr_t)ring->driver_area, ring->driver_bytes) &&
	       vhost_spans_hold(spans, (uintptr_t)ring->device_area, ring->device_bytes);
}

/* --- the memory table; lock held --- */

static int send_table(struct vhost *vhost)
{
	struct vhost_memory *table;
	struct vhost_span *merged = calloc(vhost->spans.count + 1, sizeof(*merged));
	size_t count;
	int result = -ENOMEM;

	if (!merged)
		return -ENOMEM;
	count = vhost_spans_merge(&vhost->spans, merged);
	table = calloc(1, sizeof(*table) + count * sizeof(table->regions[0]));
	if (table) {
		table->nregions = (uint32_t)count;
		for (size_t i = 0; i < count; i++)
			table->regions[i] = (struct vhost_memory_region){
				.guest_phys_addr = merged[i].gpa,
				.memory_size = merged[i].size_bytes,
				.userspace_addr = merged[i].hva,
			};
		result = control(vhost, VHOST_SET_MEM_TABLE, table);
	}
	free(table);
	free(merged);
	return result;
}

static unsigned int regions_max(void)
{
	char text[16] = "";
	int fd = open(REGIONS_MAX_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;
	unsigned long value;

	if (fd >= 0) {
		got = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	value = got > 0 ? strtoul(text, NULL, 10) : 0;
	return value && value <= UINT16_MAX ? (unsigned int)value : REGIONS_MAX_DEFAULT;
}

static void tell_refused(struct vhost *vhost, size_t count, int result)
{
	if (result == -E2BIG)
		log_message_limited(
			vhost->setup.vm->log, &vhost->table_limit, LOG_WARN,
			"%s: guest memory would come in %zu parts, and the kernel takes "
			"%u (modprobe vhost max_mem_regions=%zu)",
			vhost->setup.path, count, regions_max(), count);
	else
		log_message_limited(vhost->setup.vm->log, &vhost->table_limit, LOG_WARN,
		                    "%s: the kernel does not take its memory table: %s",
		                    vhost->setup.path, strerrordesc_np(-result));
}

static int region_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct vhost *vhost = container_of(listener, struct vhost, listener);
	const struct vhost_span span = {
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.hva = (uintptr_t)region->hva,
	};
	size_t count;
	int result;

	pthread_mutex_lock(&vhost->lock);
	result = vhost_spans_add(&vhost->spans, &span);
	if (!result) {
		count = vhost_spans_merge(&vhost->spans, NULL);
		result = send_table(vhost);
		if (result < 0) {
			vhost_spans_remove(&vhost->spans, span.gpa);
			tell_refused(vhost, count, result);
		}
	}
	pthread_mutex_unlock(&vhost->lock);
	return result;
}

/*
 * Should the kernel not take the smaller table, it may reach what is gone: it is left without a
 * back end then.
 */
static void region_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct vhost *vhost = container_of(listener, struct vhost, listener);
	bool detached[VHOST_QUEUES_MAX] = { false };
	int result;

	pthread_mutex_lock(&vhost->lock);
	vhost_spans_remove(&vhost->spans, region->gpa);
	result = send_table(vhost);
	if (result < 0)
		tell_refused(vhost, vhost->spans.count, result);
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++) {
		struct vhost_queue *queue = &vhost->queues[i];

		if (!queue->wanted || (result >= 0 && ring_is_there(queue)))
			continue;
		detach(queue);
		queue->wanted = false;
		detached[i] = true;
	}
	pthread_mutex_unlock(&vhost->lock);
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++)
		if (detached[i])
			virtio_device_broken(vhost->setup.vdev,
			                     "queue %u: memory that vhost uses went away",
			                     vhost->setup.first_queue + i);
}

/* --- moments of quiet --- */

static void hold(struct gmem_unseen_writer *writer)
{
	struct vhost *vhost = container_of(writer, struct vhost, writer);

	pthread_mutex_lock(&vhost->lock);
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++)
		detach(&vhost->queues[i]);
	pthread_mutex_unlock(&vhost->lock);
}

/* All that is wanted; what fails is wanted no more. Returns the first failure. */
static int attach_wanted(struct vhost *vhost)
{
	int result = 0;

	pthread_mutex_lock(&vhost->lock);
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++) {
		struct vhost_queue *queue = &vhost->queues[i];
		int attached;

		if (!queue->wanted)
			continue;
		attached = ring_is_there(queue) ? attach(queue) : -EFAULT;
		queue->wanted = attached >= 0;
		if (attached < 0 && !result)
			result = attached;
		/* Its driver may have notified while nobody was there. */
		if (!attached)
			signal_fd(queue->kick_fd);
	}
	pthread_mutex_unlock(&vhost->lock);
	return result;
}

static void let_go(struct gmem_unseen_writer *writer)
{
	struct vhost *vhost = container_of(writer, struct vhost, writer);
	int result = attach_wanted(vhost);

	if (result < 0)
		virtio_device_broken(vhost->setup.vdev, "vhost cannot go on: %s",
		                     strerrordesc_np(-result));
}

/* --- queues; on the device's loop --- */

static int set_state(const struct vhost_queue *queue, unsigned long request, unsigned int num)
{
	struct vhost_vring_state state = { .index = queue->index, .num = num };

	return control(queue->vhost, request, &state);
}

static int set_file(const struct vhost_queue *queue, unsigned long request, int fd)
{
	struct vhost_vring_file file = { .index = queue->index, .fd = fd };

	return control(queue->vhost, request, &file);
}

static int set_addresses(const struct vhost_queue *queue)
{
	struct vhost_vring_addr addresses = {
		.index = queue->index,
		.desc_user_addr = (uintptr_t)queue->ring.descriptors,
		.avail_user_addr = (uintptr_t)queue->ring.driver_area,
		.used_user_addr = (uintptr_t)queue->ring.device_area,
	};

	return control(queue->vhost, VHOST_SET_VRING_ADDR, &addresses);
}

/* To whoever listens at the control socket. */
static void emit_error(struct vhost_queue *queue)
{
	struct vhost *vhost = queue->vhost;
	struct vm *vm = vhost->setup.vm;
	uint64_t place = 0;

	if (monotonic_ns() < vhost->next_event_ns)
		return;
	vhost->next_event_ns = monotonic_ns() + EVENT_PERIOD_NS;
	/* The list stands while the VM runs. */
	list_for_each (node, &vm->devices) {
		if (node == &vhost->setup.vdev->device.node)
			break;
		place++;
	}
	vm_emit(vm, VM_EVENT_VHOST_ERROR, place * VM_EVENT_VHOST_QUEUES + queue_of_device(queue));
}

static void kernel_failed(void *ctx, uint32_t epoll_events)
{
	struct vhost_queue *queue = ctx;
	struct vhost *vhost = queue->vhost;

	(void)epoll_events;
	if (vhost->setup.error_count)
		metric_increment(vhost->setup.error_count);
	virtio_device_broken(vhost->setup.vdev,
	                     "queue %u: %s met an error (a ring or buffer that is not valid)",
	                     queue_of_device(queue), vhost->setup.path);
	emit_error(queue);
	vhost_stop(vhost);
}

static int open_err(struct vhost_queue *queue)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int result;

	if (fd < 0)
		return -errno;
	result = event_loop_add(queue->vhost->setup.vdev->loop, fd, EPOLLIN | EPOLLET,
	                        kernel_failed, queue, &queue->err_source);
	if (result < 0) {
		close(fd);
		return result;
	}
	queue->err_fd = fd;
	return 0;
}

static void call_moved(void *ctx, unsigned int queue_index, int call_fd)
{
	const struct vhost_queue *queue = ctx;
	int result = set_file(queue, VHOST_SET_VRING_CALL, call_fd);

	if (result < 0)
		virtio_device_broken(queue->vhost->setup.vdev, "queue %u: its interrupt: %s",
		                     queue_index, strerrordesc_np(-result));
}

/* Undone by give_back, however far it came. */
static int tell_kernel(struct vhost_queue *queue, int call_fd)
{
	int result = open_err(queue);

	if (!result)
		result = set_state(queue, VHOST_SET_VRING_NUM, queue->ring.size);
	if (!result)
		result = set_state(queue, VHOST_SET_VRING_BASE, queue->ring.next_avail);
	if (!result)
		result = set_addresses(queue);
	if (!result)
		result = set_file(queue, VHOST_SET_VRING_ERR, queue->err_fd);
	if (!result)
		result = set_file(queue, VHOST_SET_VRING_CALL, call_fd);
	if (!result)
		result = set_file(queue, VHOST_SET_VRING_KICK, queue->kick_fd);
	return result;
}

/* Detached by now. */
static void give_back(struct vhost_queue *queue)
{
	struct virtio_device *vdev = queue->vhost->setup.vdev;
	struct vhost_vring_state base = { .index = queue->index };

	if (!queue->lent)
		return;
	if (control(queue->vhost, VHOST_GET_VRING_BASE, &base) < 0)
		base.num = queue->ring.next_avail;
	/* It cannot refuse to forget a descriptor. */
	(void)!set_file(queue, VHOST_SET_VRING_KICK, -1);
	(void)!set_file(queue, VHOST_SET_VRING_CALL, -1);
	(void)!set_file(queue, VHOST_SET_VRING_ERR, -1);
	if (queue->err_fd >= 0) {
		event_loop_remove(queue->err_source);
		close(queue->err_fd);
	}
	queue->err_source = NULL;
	queue->err_fd = -1;
	queue->lent = false;
	/* A ring that came back broken says so to who pops. */
	(void)!virtqueue_take_back(virtio_queue(vdev, queue_of_device(queue)), (uint16_t)base.num);
	virtio_queue_return_eventfds(vdev, queue_of_device(queue));
}

static int lend(struct vhost_queue *queue, struct error *err)
{
	struct virtio_device *vdev = queue->vhost->setup.vdev;
	const struct virtio_queue_borrower borrower = { .call_moved = call_moved, .ctx = queue };
	const unsigned int index = queue_of_device(queue);
	struct virtqueue *vq = virtio_queue(vdev, index);
	int call_fd, result;

	result = virtqueue_lend(vq, &queue->ring);
	if (result < 0)
		return error_set_errno(err, result, "%s: queue %u", queue->vhost->setup.path,
		                       index);
	result = virtio_queue_take_eventfds(vdev, index, &borrower, &queue->kick_fd, &call_fd, err);
	if (result < 0) {
		(void)!virtqueue_take_back(vq, queue->ring.next_avail);
		return result;
	}
	queue->lent = true;
	result = tell_kernel(queue, call_fd);
	if (result < 0) {
		give_back(queue);
		return error_set_errno(err, result, "%s: queue %u", queue->vhost->setup.path,
		                       index);
	}
	return 0;
}

static void set_wanted(struct vhost_queue *queue, bool wanted)
{
	pthread_mutex_lock(&queue->vhost->lock);
	queue->wanted = wanted;
	if (!wanted)
		detach(queue);
	pthread_mutex_unlock(&queue->vhost->lock);
}

int vhost_start(struct vhost *vhost, uint64_t features, struct error *err)
{
	uint64_t used_features = features & vhost->features & ~NEVER_FEATURES;
	int result;

	assert(!vhost->started);
	result = control(vhost, VHOST_SET_FEATURES, &used_features);
	if (result < 0)
		return error_set_errno(err, result, "%s: features %#llx", vhost->setup.path,
		                       (unsigned long long)used_features);
	vhost->started = true;
	gmem_add_unseen_writer(vhost->setup.vm->memory, &vhost->writer);
	for (unsigned int i = 0; i < vhost->setup.queue_count && !result; i++) {
		struct vhost_queue *queue = &vhost->queues[i];

		if (!virtqueue_is_enabled(virtio_queue(vhost->setup.vdev, queue_of_device(queue))))
			continue;
		result = lend(queue, err);
		if (!result)
			set_wanted(queue, true);
	}
	if (!result) {
		result = attach_wanted(vhost);
		if (result < 0)
			error_set_errno(err, result, "%s: back end", vhost->setup.path);
	}
	if (result < 0)
		vhost_stop(vhost);
	return result;
}

void vhost_stop(struct vhost *vhost)
{
	if (!vhost->started)
		return;
	/* All of them before the first ring goes back. */
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++)
		set_wanted(&vhost->queues[i], false);
	gmem_remove_unseen_writer(vhost->setup.vm->memory, &vhost->writer);
	vhost->started = false;
	for (unsigned int i = 0; i < vhost->setup.queue_count; i++)
		give_back(&vhost->queues[i]);
}

void vhost_stop_queue(struct vhost *vhost, unsigned int queue)
{
	if (queue >= vhost->setup.queue_count)
		return;
	set_wanted(&vhost->queues[queue], false);
	give_back(&vhost->queues[queue]);
}

bool vhost_is_started(const struct vhost *vhost)
{
	return vhost->started;
}

/* --- life --- */

/* "/dev/vhost-net" is vhost_net's. */
static void module_name(const char *path, char *name, size_t size_bytes)
{
	const char *slash = strrchr(path, '/');

	snprintf(name, size_bytes, "%s", slash ? slash + 1 : path);
	for (char *dash = name; (dash = strchr(dash, '-'));)
		*dash = '_';
}

static int open_device(const char *path, int *ret_fd, struct error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int result = -errno;
	char module[32];

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	module_name(path, module, sizeof(module));
	if (result == -ENOENT || result == -ENODEV || result == -ENXIO)
		return error_set(err, result, "%s: %s (as root: modprobe %s)", path,
		                 strerrordesc_np(-result), module);
	if (result == -EACCES || result == -EPERM)
		return error_set(err, result,
		                 "%s: %s (add yourself to the group that it belongs to, as a rule "
		                 "kvm)",
		                 path, strerrordesc_np(-result));
	return error_set_errno(err, result, "%s", path);
}

static int take_ownership(struct vhost *vhost, struct error *err)
{
	const char *path = vhost->setup.path;
	int result = control(vhost, VHOST_SET_OWNER, NULL);
	size_t count;

	if (result < 0)
		return error_set_errno(err, result, "%s: ownership", path);
	result = control(vhost, VHOST_GET_FEATURES, &vhost->features);
	if (result < 0)
		return error_set_errno(err, result, "%s: features", path);
	if (~vhost->features & NEEDED_FEATURES)
		return error_set(err, -ENOTSUP,
		                 "%s: features %#llx lack some of %#llx (a newer kernel has them)",
		                 path, (unsigned long long)vhost->features,
		                 (unsigned long long)NEEDED_FEATURES);
	result = gmem_add_listener(vhost->setup.vm->memory, &vhost->listener);
	if (result < 0) {
		count = gmem_list_regions(vhost->setup.vm->memory, NULL, 0);
		return error_set_errno(err, result,
		                       "%s: guest memory in %zu regions, the kernel takes %u", path,
		                       count, regions_max());
	}
	vhost->listening = true;
	return 0;
}

int vhost_create(const struct vhost_setup *setup, struct vhost **ret_vhost, struct error *err)
{
	struct vhost *vhost = calloc(1, sizeof(*vhost));
	int result;

	assert(setup->queue_count <= VHOST_QUEUES_MAX);
	if (!vhost)
		return error_set_errno(err, -ENOMEM, "%s", setup->path);
	vhost->setup = *setup;
	vhost->fd = -1;
	vhost->listener.region_added = region_added;
	vhost->listener.region_removed = region_removed;
	vhost->writer.hold = hold;
	vhost->writer.let_go = let_go;
	pthread_mutex_init(&vhost->lock, NULL);
	for (unsigned int i = 0; i < setup->queue_count; i++)
		vhost->queues[i] = (struct vhost_queue){
			.vhost = vhost, .index = i, .kick_fd = -1, .err_fd = -1
		};
	result = open_device(setup->path, &vhost->fd, err);
	if (!result)
		result = take_ownership(vhost, err);
	if (result < 0) {
		vhost_destroy(vhost);
		return result;
	}
	*ret_vhost = vhost;
	return 0;
}

void vhost_destroy(struct vhost *vhost)
{
	if (!vhost)
		return;
	vhost_stop(vhost);
	if (vhost->listening)
		gmem_remove_listener(vhost->setup.vm->memory, &vhost->listener);
	if (vhost->fd >= 0)
		close(vhost->fd);
	vhost_spans_free(&vhost->spans);
	pthread_mutex_destroy(&vhost->lock);
	free(vhost);
}

uint64_t vhost_features(const struct vhost *vhost)
{
	return vhost->features;
}

int vhost_fd(const struct vhost *vhost)
{
	return vhost->fd;
}

/* --- ioctls of one kind of vhost --- */

int vhost_net_set_backend(int vhost_fd, unsigned int queue, int tap_fd)
{
	struct vhost_vring_file file = { .index = queue, .fd = tap_fd };

	return ioctl(vhost_fd, VHOST_NET_SET_BACKEND, &file) < 0 ? -errno : 0;
}

int vhost_vsock_set_running(int vhost_fd, bool running)
{
	int value = running;

	return ioctl(vhost_fd, VHOST_VSOCK_SET_RUNNING, &value) < 0 ? -errno : 0;
}

int vhost_vsock_set_guest_cid(int vhost_fd, uint64_t cid)
{
	return ioctl(vhost_fd, VHOST_VSOCK_SET_GUEST_CID, &cid) < 0 ? -errno : 0;
}
