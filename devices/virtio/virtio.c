/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio core: device status, feature negotiation, config space, queue set-up, reset.
 *
 * DOC: virtio core
 *
 *	0 -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK		VIRTIO 1.2, 2.1 and 3.1
 *	         features are judged ----^              ^---- queues enabled, kicks, activate
 *	any -> 0: deactivate, kicks closed, queues disabled, all forgotten
 *	running -> NEEDS_RESET: the driver broke VIRTIO, or the device cannot start
 *
 * A driver sets bits and never clears one but by a reset; bits it may not set stay 0. Features are
 * fixed with FEATURES_OK, a queue's configuration with its being ready.
 *
 * Threads: registers are read and written on vCPU threads, under the device lock. What starts or
 * stops a device is carried over to its loop, where all of its work happens, so that activate,
 * deactivate and queue_notify never meet. Nothing waits with the lock held.
 */
#include "ebb/virtio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ebb/vm.h"
#include "virtio_kick.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* Of <linux/virtio_ring.h>, which only virtqueue.c includes (VIRTIO 1.2, 6). */
#define FEATURE_RING_INDIRECT_DESC 28
#define FEATURE_RING_EVENT_IDX     29

#define CORE_FEATURES \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(FEATURE_RING_INDIRECT_DESC) | \
	 FEATURE(FEATURE_RING_EVENT_IDX))

#define DRIVER_STATUS_BITS \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

static void forget_queues(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->info->queue_count; i++) {
		vdev->queue_configs[i] =
			(struct virtqueue_config){ .size = vdev->info->queue_size_max[i] };
		vdev->queue_ready[i] = false;
	}
}

static int create_queues(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->info->queue_count; i++) {
		int ret = virtqueue_create(vdev->device.vm->memory, vdev->info->queue_size_max[i],
		                           &vdev->queues[i]);

		if (ret)
			return ret;
	}
	forget_queues(vdev);
	return virtio_kicks_create(vdev);
}

int virtio_device_init(struct virtio_device *vdev, struct vm *vm,
                       const struct device_config *config, const struct virtio_device_setup *setup,
                       struct error *err)
{
	const struct virtio_device_info *info = setup->info;
	int ret;

	assert(info->queue_count <= VIRTIO_QUEUES_MAX &&
	       info->config_size_bytes <= VIRTIO_CONFIG_MAX_BYTES &&
	       !(setup->offered_features & ~info->device_features));
	device_init(&vdev->device, vm, config);
	vdev->device.reset = virtio_device_reset;
	vdev->info = info;
	vdev->ops = setup->ops;
	vdev->loop = setup->loop;
	vdev->offered_features = setup->offered_features | CORE_FEATURES;
	pthread_mutex_init(&vdev->lock, NULL);
	vdev->initialised = true;
	ret = create_queues(vdev);
	if (ret)
		error_set_errno(err, ret, "queues");
	else if (vm->config->transport == TRANSPORT_PCI)
		ret = virtio_pci_create(vdev, &vdev->transport, err);
	else
		ret = virtio_mmio_create(vdev, &vdev->transport, err);
	if (ret)
		virtio_device_fini(vdev);
	return ret;
}

bool virtio_has_feature(const struct virtio_device *vdev, unsigned int feature_bit)
{
	return vdev->driver_features & FEATURE(feature_bit);
}

struct virtqueue *virtio_queue(struct virtio_device *vdev, unsigned int queue_index)
{
	return vdev->queues[queue_index];
}

/* --- starting, stopping, breaking: on the device's loop --- */

static int enable_queues(struct virtio_device *vdev)
{
	for (unsigned int i = 0; i < vdev->info->queue_count; i++) {
		struct virtqueue_config config;
		int ret;

		virtio_queue_config(vdev, i, &config);
		config.indirect = virtio_has_feature(vdev, FEATURE_RING_INDIRECT_DESC);
		config.event_index = virtio_has_feature(vdev, FEATURE_RING_EVENT_IDX);
		if (!virtio_queue_is_ready(vdev, i))
			continue;
		ret = virtqueue_enable(vdev->queues[i], &config);
		if (ret)
			return ret;
	}
	return 0;
}

static void stop(struct virtio_device *vdev)
{
	if (vdev->active && vdev->ops->deactivate)
		vdev->ops->deactivate(vdev);
	vdev->active = false;
	virtio_kicks_stop(vdev);
	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		virtqueue_disable(vdev->queues[i]);
}

static void start(struct virtio_device *vdev)
{
	int ret = enable_queues(vdev);

	if (!ret)
		ret = virtio_kicks_start(vdev);
	if (!ret && vdev->ops->activate)
		ret = vdev->ops->activate(vdev);
	if (ret) {
		stop(vdev);
		virtio_device_broken(vdev, "cannot start: %s", strerrordesc_np(-ret));
		return;
	}
	vdev->active = true;
	/* Buffers may have been there before anybody listened. */
	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		if (virtqueue_is_enabled(vdev->queues[i]))
			virtio_queue_kicked(vdev, i);
}

static void reset(void *ctx)
{
	struct virtio_device *vdev = ctx;

	stop(vdev);
	/* From here on config space changes silently: the interrupts that are taken back next are
	 * the last ones. */
	pthread_mutex_lock(&vdev->lock);
	vdev->status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	pthread_mutex_unlock(&vdev->lock);
	vdev->transport->ops->reset(vdev->transport);
	pthread_mutex_lock(&vdev->lock);
	forget_queues(vdev);
	vdev->driver_features = 0;
	vdev->status = 0;
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_device_broken(struct virtio_device *vdev, const char *format, ...)
{
	char what[160];
	bool tell;
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	pthread_mutex_lock(&vdev->lock);
	tell = (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET);
	vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	pthread_mutex_unlock(&vdev->lock);
	metric_increment(&vdev->needs_reset_count);
	log_message_limited(vdev->device.vm->log, &vdev->log_limit, LOG_WARN,
	                    "%s needs a reset by its driver: %s", vdev->device.id, what);
	if (tell) /* 2.1.2 */
		vdev->transport->ops->notify_config(vdev->transport);
}

void virtio_queue_kicked(struct virtio_device *vdev, unsigned int queue_index)
{
	struct guest_memory *memory = vdev->device.vm->memory;

	if (!vdev->active || virtqueue_is_lent(vdev->queues[queue_index]) ||
	    (virtio_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	gmem_lock_shared(memory);
	vdev->ops->queue_notify(vdev, queue_index);
	gmem_unlock_shared(memory);
}

bool virtio_queue_flush(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtqueue *vq = vdev->queues[queue_index];
	bool notify;

	gmem_lock_shared(vdev->device.vm->memory);
	virtqueue_flush(vq);
	notify = virtqueue_should_notify(vq);
	gmem_unlock_shared(vdev->device.vm->memory);
	if (notify)
		vdev->transport->ops->notify_used(vdev->transport, queue_index);
	return notify;
}

/* --- status and features --- */

uint8_t virtio_status(struct virtio_device *vdev)
{
	uint8_t status;

	pthread_mutex_lock(&vdev->lock);
	status = vdev->status;
	pthread_mutex_unlock(&vdev->lock);
	return status;
}

static bool features_acceptable(const struct virtio_device *vdev)
{
	uint64_t features = vdev->driver_features;

	return !(features & ~vdev->offered_features) && (features & FEATURE(VIRTIO_F_VERSION_1)) &&
	       (!vdev->ops->features_ok || vdev->ops->features_ok(vdev, features));
}

struct status_write {
	struct virtio_device *vdev;
	uint8_t value;
};

static void write_status(void *ctx)
{
	const struct status_write *write = ctx;
	struct virtio_device *vdev = write->vdev;
	bool refused = false;
	uint64_t features;
	uint8_t added;

	if (!write->value) {
		reset(vdev);
		return;
	}
	pthread_mutex_lock(&vdev->lock);
	features = vdev->driver_features;
	added = write->value & DRIVER_STATUS_BITS & ~vdev->status;
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(vdev)) {
		refused = true;
		added &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (!((vdev->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	vdev->status |= added;
	pthread_mutex_unlock(&vdev->lock);
	if (refused)
		log_message_limited(vdev->device.vm->log, &vdev->log_limit, LOG_WARN,
		                    "%s: features %#llx refused", vdev->device.id,
		                    (unsigned long long)features);
	if (added & VIRTIO_CONFIG_S_DRIVER_OK)
		start(vdev);
}

void virtio_set_status(struct virtio_device *vdev, uint8_t status)
{
	struct status_write write = { .vdev = vdev, .value = status };

	/* What starts or stops it goes to the loop, whatever the status is now: another vCPU may
	 * be changing it. Bits on the way there need not. */
	if (!status || (status & VIRTIO_CONFIG_S_DRIVER_OK))
		event_loop_call(vdev->loop, write_status, &write);
	else
		write_status(&write);
}

uint32_t virtio_offered_features(const struct virtio_device *vdev, uint32_t word_index)
{
	return word_index < 2 ? (uint32_t)(vdev->offered_features >> (32 * word_index)) : 0;
}

uint32_t virtio_driver_features(struct virtio_device *vdev, uint32_t word_index)
{
	uint64_t features;

	pthread_mutex_lock(&vdev->lock);
	features = vdev->driver_features;
	pthread_mutex_unlock(&vdev->lock);
	return word_index < 2 ? (uint32_t)(features >> (32 * word_index)) : 0;
}

void virtio_set_driver_features(struct virtio_device *vdev, uint32_t word_index, uint32_t bits)
{
	unsigned int shift = 32 * word_index;

	if (word_index >= 2)
		return;
	pthread_mutex_lock(&vdev->lock);
	if (!(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		vdev->driver_features = (vdev->driver_features & ~(UINT64_C(0xffffffff) << shift)) |
		                        (uint64_t)bits << shift;
	pthread_mutex_unlock(&vdev->lock);
}

/* --- config space --- */

void virtio_config_read(struct virtio_device *vdev, uint64_t offset, void *data, size_t size_bytes)
{
	memset(data, 0xff, size_bytes);
	if (!range_contains(0, vdev->info->config_size_bytes, offset, size_bytes))
		return;
	pthread_mutex_lock(&vdev->lock);
	memcpy(data, &vdev->config[offset], size_bytes);
	/* 4.1.4.3.1: moving on at the read, not at the change, is safe with a counter that the
	 * transport cuts to 8 bits. */
	vdev->config_generation += vdev->config_changed;
	vdev->config_changed = false;
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_config_write(struct virtio_device *vdev, uint64_t offset, const void *data,
                         size_t size_bytes)
{
	if (!vdev->ops->config_write ||
	    !range_contains(0, vdev->info->config_size_bytes, offset, size_bytes))
		return;
	pthread_mutex_lock(&vdev->lock);
	memcpy(&vdev->config[offset], data, size_bytes);
	vdev->ops->config_write(vdev, offset, size_bytes);
	pthread_mutex_unlock(&vdev->lock);
}

uint32_t virtio_config_generation(struct virtio_device *vdev)
{
	uint32_t generation;

	pthread_mutex_lock(&vdev->lock);
	generation = vdev->config_generation;
	pthread_mutex_unlock(&vdev->lock);
	return generation;
}

/* Under the lock. */
static void change_config(struct virtio_device *vdev, size_t offset, const void *data,
                          size_t size_bytes)
{
	assert(range_contains(0, vdev->info->config_size_bytes, offset, size_bytes));
	memcpy(&vdev->config[offset], data, size_bytes);
	vdev->config_changed = true;
}

void virtio_config_store(struct virtio_device *vdev, size_t offset, const void *data,
                         size_t size_bytes)
{
	pthread_mutex_lock(&vdev->lock);
	change_config(vdev, offset, data, size_bytes);
	pthread_mutex_unlock(&vdev->lock);
}

void virtio_config_update(struct virtio_device *vdev, size_t offset, const void *data,
                          size_t size_bytes)
{
	pthread_mutex_lock(&vdev->lock);
	change_config(vdev, offset, data, size_bytes);
	/* Under the lock, or the driver could reset the device in between. */
	if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->ops->notify_config(vdev->transport);
	pthread_mutex_unlock(&vdev->lock);
}

/* --- queues --- */

bool virtio_queue_config(struct virtio_device *vdev, unsigned int queue_index,
                         struct virtqueue_config *ret_config)
{
	*ret_config = (struct virtqueue_config){ .size = 0 };
	if (queue_index >= vdev->info->queue_count)
		return false;
	pthread_mutex_lock(&vdev->lock);
	*ret_config = vdev->queue_configs[queue_index];
	pthread_mutex_unlock(&vdev->lock);
	return true;
}

void virtio_queue_set_config(struct virtio_device *vdev, unsigned int queue_index,
                             const struct virtqueue_config *config)
{
	struct virtqueue_config *mine = &vdev->queue_configs[queue_index];

	if (queue_index >= vdev->info->queue_count)
		return;
	pthread_mutex_lock(&vdev->lock);
	if (!vdev->queue_ready[queue_index]) {
		*mine = *config;
		if (!is_power_of_two(mine->size) ||
		    mine->size > vdev->info->queue_size_max[queue_index])
			mine->size = 0;
	}
	pthread_mutex_unlock(&vdev->lock);
}

bool virtio_queue_is_ready(struct virtio_device *vdev, unsigned int queue_index)
{
	bool ready = false;

	if (queue_index >= vdev->info->queue_count)
		return false;
	pthread_mutex_lock(&vdev->lock);
	ready = vdev->queue_ready[queue_index];
	pthread_mutex_unlock(&vdev->lock);
	return ready;
}

static void set_ready(struct virtio_device *vdev, unsigned int queue_index, bool ready)
{
	pthread_mutex_lock(&vdev->lock);
	vdev->queue_ready[queue_index] = ready;
	pthread_mutex_unlock(&vdev->lock);
}

struct queue_stop {
	struct virtio_device *vdev;
	unsigned int queue_index;
};

static void stop_queue(void *ctx)
{
	const struct queue_stop *stop = ctx;
	struct virtio_device *vdev = stop->vdev;

	if (vdev->active && vdev->ops->queue_stop)
		vdev->ops->queue_stop(vdev, stop->queue_index);
	virtqueue_disable(vdev->queues[stop->queue_index]);
	set_ready(vdev, stop->queue_index, false);
}

void virtio_queue_set_ready(struct virtio_device *vdev, unsigned int queue_index, bool ready)
{
	struct queue_stop stop = { .vdev = vdev, .queue_index = queue_index };

	if (queue_index >= vdev->info->queue_count)
		return;
	if (!ready && (virtio_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK))
		event_loop_call(vdev->loop, stop_queue, &stop);
	else
		set_ready(vdev, queue_index, ready);
}

/* --- reset and end --- */

/* While no vCPU runs: a loop that was never needed need not start for this. */
static void reset_at_rest(struct virtio_device *vdev)
{
	if (virtio_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		event_loop_call(vdev->loop, reset, vdev);
	else
		reset(vdev);
}

void virtio_device_reset(struct device *device)
{
	struct virtio_device *vdev = container_of(device, struct virtio_device, device);

	reset_at_rest(vdev);
	if (vdev->transport->ops->power_on_reset)
		vdev->transport->ops->power_on_reset(vdev->transport);
}

void virtio_device_fini(struct virtio_device *vdev)
{
	if (!vdev->initialised)
		return;
	if (vdev->transport) {
		reset_at_rest(vdev);
		vdev->transport->ops->destroy(vdev->transport);
	}
	vdev->transport = NULL;
	virtio_kicks_destroy(vdev);
	for (unsigned int i = 0; i < vdev->info->queue_count; i++)
		virtqueue_destroy(vdev->queues[i]);
	pthread_mutex_destroy(&vdev->lock);
	vdev->initialised = false;
}
