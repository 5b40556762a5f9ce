/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for virtio_pci.c and virtio_mmio.c, and plays the driver. */
#include "fake_virtio_driver.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"
#include "hostile_chains.h"

#define DESCRIPTOR_BYTES  16
#define DESCRIPTOR_NEXT   1
#define DESCRIPTOR_WRITE  2
#define AVAIL_OFFSET      (4 * KIB)
#define USED_OFFSET       (8 * KIB)
#define USED_ENTRY_BYTES  8
#define RING_HEADER_BYTES 4

struct fake_transport fake_transport;

void fake_transport_clear(void)
{
	memset((void *)&fake_transport, 0, sizeof(fake_transport));
}

static void must(bool done)
{
	assert(done);
	(void)done;
}

void fake_driver_vm_create(struct vm *vm, const struct vm_config *config, uint64_t ram_bytes)
{
	fake_transport_clear();
	vm->config = config;
	list_init(&vm->devices);
	must(guest_memory_create(&vm->memory, NULL) == 0);
	must(gmem_add_region(vm->memory, 0, ram_bytes, NULL, NULL) == 0);
	must(event_loop_create("io", &vm->io_loop, NULL) == 0);
}

void fake_driver_vm_destroy(struct vm *vm)
{
	event_loop_destroy(vm->io_loop);
	guest_memory_destroy(vm->memory);
}

static void notify_used(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)transport;
	fake_transport.used_notifications[queue_index]++;
}

static void notify_config(struct virtio_transport *transport)
{
	(void)transport;
	fake_transport.config_notifications++;
}

static bool kick_address(struct virtio_transport *transport, unsigned int queue_index,
                         struct ioeventfd *ret)
{
	(void)transport;
	(void)queue_index;
	(void)ret;
	return false;
}

static int interrupt_fd(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)transport;
	(void)queue_index;
	return fake_transport.interrupt_fd ? fake_transport.interrupt_fd : -ENOTSUP;
}

static void reset(struct virtio_transport *transport)
{
	fake_transport.resets++;
	if (fake_transport.during_reset)
		fake_transport.during_reset(transport->vdev);
}

static void destroy(struct virtio_transport *transport)
{
	fake_transport.destroyed++;
	free(transport);
}

static const struct virtio_transport_ops transport_ops = {
	.notify_used = notify_used,
	.notify_config = notify_config,
	.kick_address = kick_address,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
	.destroy = destroy,
};

int virtio_pci_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                      struct error *err)
{
	struct virtio_transport *transport;

	if (fake_transport.fail_create)
		return error_set(err, fake_transport.fail_create, "no transport");
	transport = calloc(1, sizeof(*transport));
	if (!transport)
		return error_set_errno(err, -ENOMEM, "transport");
	transport->ops = &transport_ops;
	transport->vdev = vdev;
	*ret_transport = transport;
	return 0;
}

int virtio_mmio_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                       struct error *err)
{
	return virtio_pci_create(vdev, ret_transport, err);
}

/* --- the driver --- */

static void write_bytes(struct fake_driver *driver, gpa_t gpa, const void *bytes, size_t size_bytes)
{
	int r = gmem_write(driver->vm->memory, gpa, bytes, size_bytes);

	assert(r == 0);
	(void)r;
}

static void write_u16(struct fake_driver *driver, gpa_t gpa, uint16_t value)
{
	uint8_t bytes[2];

	store_le16(bytes, value);
	write_bytes(driver, gpa, bytes, sizeof(bytes));
}

static uint16_t *ring_word(struct fake_driver *driver, gpa_t gpa)
{
	uint16_t *word = gmem_span(driver->vm->memory, gpa, sizeof(*word));

	assert(word);
	return word;
}

static uint32_t read_u32(struct fake_driver *driver, gpa_t gpa)
{
	uint8_t bytes[4];
	int r = gmem_read(driver->vm->memory, gpa, bytes, sizeof(bytes));

	assert(r == 0);
	(void)r;
	return load_le32(bytes);
}

gpa_t fake_driver_descriptors(const struct fake_driver *driver, unsigned int queue_index)
{
	return driver->rings_gpa + queue_index * FAKE_DRIVER_RING_BYTES;
}

gpa_t fake_driver_avail(const struct fake_driver *driver, unsigned int queue_index)
{
	return fake_driver_descriptors(driver, queue_index) + AVAIL_OFFSET;
}

gpa_t fake_driver_used(const struct fake_driver *driver, unsigned int queue_index)
{
	return fake_driver_descriptors(driver, queue_index) + USED_OFFSET;
}

void fake_driver_init(struct fake_driver *driver, struct vm *vm, struct device *device,
                      gpa_t rings_gpa)
{
	memset(driver, 0, sizeof(*driver));
	driver->vm = vm;
	driver->vdev = container_of(device, struct virtio_device, device);
	driver->rings_gpa = rings_gpa;
}

#define STATUS_EARLY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

bool fake_driver_negotiate(struct fake_driver *driver, uint64_t features)
{
	features |= UINT64_C(1) << VIRTIO_F_VERSION_1;
	virtio_set_status(driver->vdev, STATUS_EARLY);
	virtio_set_driver_features(driver->vdev, 0, (uint32_t)features);
	virtio_set_driver_features(driver->vdev, 1, (uint32_t)(features >> 32));
	virtio_set_status(driver->vdev, STATUS_EARLY | VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_status(driver->vdev) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void fake_driver_set_queue(struct fake_driver *driver, unsigned int queue_index,
                           const struct virtqueue_config *config)
{
	virtio_queue_set_config(driver->vdev, queue_index, config);
	virtio_queue_set_ready(driver->vdev, queue_index, true);
}

bool fake_driver_go(struct fake_driver *driver)
{
	virtio_set_status(driver->vdev,
	                  STATUS_EARLY | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	fake_driver_settle(driver);
	return !(virtio_status(driver->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

bool fake_driver_start(struct fake_driver *driver, uint64_t features, unsigned int queue_count,
                       uint16_t queue_size)
{
	static const uint8_t zeroes[FAKE_DRIVER_RING_BYTES];

	if (!fake_driver_negotiate(driver, features))
		return false;
	for (unsigned int i = 0; i < queue_count; i++) {
		struct virtqueue_config config = {
			.size = queue_size,
			.descriptor_gpa = fake_driver_descriptors(driver, i),
			.driver_gpa = fake_driver_avail(driver, i),
			.device_gpa = fake_driver_used(driver, i),
		};

		driver->queues[i] = (struct fake_driver_queue){ .size = queue_size };
		write_bytes(driver, config.descriptor_gpa, zeroes, sizeof(zeroes));
		fake_driver_set_queue(driver, i, &config);
	}
	return fake_driver_go(driver);
}

void fake_driver_reset(struct fake_driver *driver)
{
	virtio_set_status(driver->vdev, 0);
}

uint16_t fake_driver_add(struct fake_driver *driver, unsigned int queue_index,
                         const struct fake_driver_buffer *buffers, unsigned int count)
{
	struct fake_driver_queue *queue = &driver->queues[queue_index];
	gpa_t avail = fake_driver_avail(driver, queue_index);
	uint16_t head = queue->next_descriptor;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t index = queue->next_descriptor;
		uint8_t descriptor[DESCRIPTOR_BYTES];

		queue->next_descriptor = (uint16_t)((index + 1) % queue->size);
		store_le64(descriptor, buffers[i].gpa);
		store_le32(descriptor + 8, buffers[i].size_bytes);
		store_le16(descriptor + 12,
		           (uint16_t)((i + 1 < count ? DESCRIPTOR_NEXT : 0) |
		                      (buffers[i].writable ? DESCRIPTOR_WRITE : 0)));
		store_le16(descriptor + 14, queue->next_descriptor);
		write_bytes(driver,
		            fake_driver_descriptors(driver, queue_index) + index * DESCRIPTOR_BYTES,
		            descriptor, sizeof(descriptor));
	}
	write_u16(driver, avail + RING_HEADER_BYTES + queue->avail_index % queue->size * 2, head);
	/* The device may be looking at it. */
	__atomic_store_n(ring_word(driver, avail + 2), htole16(++queue->avail_index),
	                 __ATOMIC_RELEASE);
	return head;
}

struct kick {
	struct virtio_device *vdev;
	unsigned int queue_index;
};

static void kick(void *ctx)
{
	struct kick *kick = ctx;

	virtio_queue_kicked(kick->vdev, kick->queue_index);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void fake_driver_settle(struct fake_driver *driver)
{
	for (unsigned int i = 0; i < 4; i++)
		event_loop_call(driver->vdev->loop, nothing, NULL);
}

void fake_driver_kick(struct fake_driver *driver, unsigned int queue_index)
{
	struct kick arguments = { driver->vdev, queue_index };

	event_loop_call(driver->vdev->loop, kick, &arguments);
	fake_driver_settle(driver);
}

bool fake_driver_take_used(struct fake_driver *driver, unsigned int queue_index, uint32_t *ret_head,
                           uint32_t *ret_size_bytes)
{
	struct fake_driver_queue *queue = &driver->queues[queue_index];
	gpa_t used = fake_driver_used(driver, queue_index);
	gpa_t entry = used + RING_HEADER_BYTES +
	              (gpa_t)(queue->used_index % queue->size) * USED_ENTRY_BYTES;

	if (le16toh(__atomic_load_n(ring_word(driver, used + 2), __ATOMIC_ACQUIRE)) ==
	    queue->used_index)
		return false;
	queue->used_index++;
	*ret_head = read_u32(driver, entry);
	*ret_size_bytes = read_u32(driver, entry + 4);
	return true;
}

/* --- hostile chains --- */

struct hostile_run {
	struct fake_driver *driver;
	uint64_t features;
	unsigned int queue_index;
	gpa_t scratch_gpa, outside_gpa;
};

static void hostile_restart(void *ctx, struct hostile_queue *ret_queue)
{
	struct hostile_run *run = ctx;
	struct fake_driver *driver = run->driver;
	const uint16_t size = virtqueue_size_max(virtio_queue(driver->vdev, run->queue_index));
	struct virtqueue_config config;
	bool started;

	ret_queue->scratch_gpa = run->scratch_gpa;
	ret_queue->outside_gpa = run->outside_gpa;
	test_ring_init(&ret_queue->ring, driver->vm->memory, driver->rings_gpa, size);
	config = test_ring_config(&ret_queue->ring, true, false);
	fake_driver_reset(driver);
	started = fake_driver_negotiate(driver,
	                                run->features | UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
	assert(started);
	fake_driver_set_queue(driver, run->queue_index, &config);
	started = fake_driver_go(driver);
	(void)started;
}

static void hostile_kick(void *ctx)
{
	struct hostile_run *run = ctx;

	if (run->driver->before_hostile_kick)
		run->driver->before_hostile_kick();
	fake_driver_kick(run->driver, run->queue_index);
}

static bool hostile_needs_reset(void *ctx)
{
	struct hostile_run *run = ctx;

	return virtio_status(run->driver->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

unsigned int fake_driver_run_hostile_chains(struct fake_driver *driver, uint64_t features,
                                            unsigned int queue_index, gpa_t scratch_gpa,
                                            gpa_t outside_gpa)
{
	struct hostile_run run = { driver, features, queue_index, scratch_gpa, outside_gpa };
	const struct hostile_target target = {
		.ctx = &run,
		.restart = hostile_restart,
		.kick = hostile_kick,
		.needs_reset = hostile_needs_reset,
	};

	return hostile_chains_run(&target);
}
