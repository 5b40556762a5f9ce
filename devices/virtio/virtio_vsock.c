/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (VIRTIO 1.2, 5.10): sockets between guest and host, by the kernel's vhost.
 *
 * The kernel has the receive and transmit queues, and knows the guest by its CID; it holds that
 * from creation on, so that two guests with one are told apart at the start. The event queue's one
 * event (5.10.6.7: the transport was reset, after a migration) never comes to pass, so buffers
 * there stay where they are.
 *
 * The kernel runs both queues or none: without both, nothing is started, and when the driver takes
 * one back, the other stops.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>

#include "../device_table.h"
#include "../vhost/vhost.h"
#include "ebb/bytes.h"
#include "ebb/log.h"
#include "ebb/vm.h"

#define VSOCK_PATH       "/dev/vhost-vsock"
#define VSOCK_QUEUE_SIZE 128
#define VSOCK_CID_MIN    3 /* 5.10.4: 0 to 2 are reserved */
#define VSOCK_CID_MAX    (UINT32_MAX - 1)

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUE_EVENT, PACKET_QUEUES = QUEUE_EVENT };

struct vsock {
	struct virtio_device vdev;
	struct vhost *vhost;
	struct metric vhost_errors;
};

static const uint16_t queue_sizes[] = { VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE, VSOCK_QUEUE_SIZE };

static const struct virtio_device_info vsock_info = {
	.device_id = VIRTIO_ID_VSOCK,
	.device_features = UINT64_C(1) << VIRTIO_VSOCK_F_SEQPACKET,
	.queue_count = ARRAY_SIZE(queue_sizes),
	.queue_size_max = queue_sizes,
	.config_size_bytes = sizeof(struct virtio_vsock_config),
};

static struct vsock *from_vdev(struct virtio_device *vdev)
{
	return container_of(vdev, struct vsock, vdev);
}

/* Of all queues at once: the last one to be attached and the first to be detached decide. */
static int set_backend(void *ctx, int vhost_fd, unsigned int queue, bool attach)
{
	(void)ctx;
	if (attach && queue != QUEUE_TRANSMIT)
		return 0;
	return vhost_vsock_set_running(vhost_fd, attach);
}

static int vsock_activate(struct virtio_device *vdev)
{
	struct error err = ERROR_INIT;
	int result;

	if (!virtqueue_is_enabled(virtio_queue(vdev, QUEUE_RECEIVE)) ||
	    !virtqueue_is_enabled(virtio_queue(vdev, QUEUE_TRANSMIT)))
		return 0;
	result = vhost_start(from_vdev(vdev)->vhost, vdev->driver_features, &err);
	if (result < 0)
		log_error(vdev->device.vm->log, "%s: %s", vdev->device.id, err.message);
	return result;
}

static void vsock_deactivate(struct virtio_device *vdev)
{
	vhost_stop(from_vdev(vdev)->vhost);
}

static void vsock_queue_stop(struct virtio_device *vdev, unsigned int queue_index)
{
	if (queue_index < PACKET_QUEUES)
		vhost_stop(from_vdev(vdev)->vhost);
}

/* The kernel is told itself; what it does not run has no service. */
static void vsock_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	(void)vdev;
	(void)queue_index;
}

static const struct virtio_device_ops vsock_ops = {
	.activate = vsock_activate,
	.deactivate = vsock_deactivate,
	.queue_notify = vsock_queue_notify,
	.queue_stop = vsock_queue_stop,
};

static void vsock_destroy(struct device *device)
{
	struct vsock *vsock;

	if (!device)
		return;
	vsock = container_of(device, struct vsock, vdev.device);
	virtio_device_fini(&vsock->vdev);
	vhost_destroy(vsock->vhost);
	free(vsock);
}

static int take_cid(struct vsock *vsock, uint64_t cid, struct error *err)
{
	int result = vhost_vsock_set_guest_cid(vhost_fd(vsock->vhost), cid);

	if (result == -EADDRINUSE)
		return error_set(err, result,
		                 "--vsock %llu: another guest or this host has that CID (choose "
		                 "another)",
		                 (unsigned long long)cid);
	if (result < 0)
		return error_set_errno(err, result, "--vsock %llu", (unsigned long long)cid);
	return 0;
}

static int open_vhost(struct vsock *vsock, struct vm *vm, uint64_t cid, struct error *err)
{
	const struct vhost_setup setup = {
		.path = VSOCK_PATH,
		.vm = vm,
		.vdev = &vsock->vdev,
		.first_queue = QUEUE_RECEIVE,
		.queue_count = PACKET_QUEUES,
		.set_backend = set_backend,
		.error_count = &vsock->vhost_errors.counter,
	};
	int result = vhost_create(&setup, &vsock->vhost, err);

	if (result < 0)
		return result;
	return take_cid(vsock, cid, err);
}

static int vsock_create(struct vm *vm, const struct device_config *config,
                        struct device **ret_device, struct error *err)
{
	struct virtio_device_setup setup = {
		.info = &vsock_info,
		.ops = &vsock_ops,
		.loop = vm->io_loop,
	};
	struct vsock *vsock = calloc(1, sizeof(*vsock));
	uint64_t cid = device_config_number(config, "cid");
	int result;

	if (!vsock)
		return error_set_errno(err, -ENOMEM, "state");
	result = open_vhost(vsock, vm, cid, err);
	if (result < 0)
		goto free_vsock;
	setup.offered_features = vsock_info.device_features & vhost_features(vsock->vhost);
	result = virtio_device_init(&vsock->vdev, vm, config, &setup, err);
	if (result < 0)
		goto free_vsock;
	store_le64(vsock->vdev.config, cid);
	vsock->vhost_errors.name = "vhost_errors";
	vsock->vdev.device.metrics = &vsock->vhost_errors;
	vsock->vdev.device.metric_count = 1;
	*ret_device = &vsock->vdev.device;
	return 0;

free_vsock:
	vhost_destroy(vsock->vhost);
	free(vsock);
	return result;
}

static const struct device_option vsock_options[] = {
	{ .key = "cid",
	  .help = "the guest's address, which no other guest of the host has",
	  .type = DEVICE_OPTION_UINT,
	  .min = VSOCK_CID_MIN,
	  .max = VSOCK_CID_MAX,
	  .value_text = "CID" },
};

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.help = "sockets between guest and host (vhost-vsock)",
	.option = "vsock",
	.positional = "cid",
	.options = vsock_options,
	.option_count = ARRAY_SIZE(vsock_options),
	.create = vsock_create,
	.destroy = vsock_destroy,
};
