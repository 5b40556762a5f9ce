/* SPDX-License-Identifier: Apache-2.0 */
/* test-devices: what bare test kernels expect beside the debug-exit port (--test-devices). */
/*
 * DOC: Devices of bare test kernels
 *
 * Four that go together, at the places where such kernels look for them:
 *
 *   port 0xE0, 4 bytes    a latch: what was written is read back, by bytes, words or whole
 *   port 0xE4             page flush: the 32-bit guest-physical address of a page whose next
 *                         access is to fault in the host again, content kept
 *   ports 0x2000 + n      a byte: GSI n takes the level "value is not 0"
 *   0xFF000000, 64 KiB    memory that is no RAM: each access leaves the guest
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/guest_memory.h"
#include "ebb/irq.h"
#include "ebb/vm.h"

#include "device_table.h"

#define LATCH_PORT   0xe0
#define LATCH_BYTES  4
#define FLUSH_PORT   0xe4
#define FLUSH_BYTES  4
#define LINES_PORT   0x2000
#define LINES_COUNT  24 /* an IOAPIC's pins */
#define MEMORY_GPA   UINT64_C(0xff000000)
#define MEMORY_BYTES (64 * KIB)

struct test_devices {
	struct device device;
	unsigned int ranges_on_bus; /* of the table below, from its start */
	struct irq_line *lines[LINES_COUNT];
	pthread_mutex_t lock;
	uint8_t latch[LATCH_BYTES];   /* under lock */
	uint8_t memory[MEMORY_BYTES]; /* under lock */
};

static void latch_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;

	pthread_mutex_lock(&test->lock);
	memcpy(data, test->latch + offset, size_bytes);
	pthread_mutex_unlock(&test->lock);
}

static void latch_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;

	pthread_mutex_lock(&test->lock);
	memcpy(test->latch + offset, data, size_bytes);
	pthread_mutex_unlock(&test->lock);
}

static void flush_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0xff, size_bytes);
}

static void flush_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;

	if (offset || size_bytes != FLUSH_BYTES)
		return;
	/* A page that is no RAM has nothing to flush. */
	(void)!gmem_flush_page(test->device.vm->memory, load_le32(data));
}

static void lines_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0, size_bytes);
}

static void lines_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;
	const uint8_t *bytes = data;

	for (unsigned int i = 0; i < size_bytes; i++)
		irq_line_set(test->lines[offset + i], bytes[i] != 0);
}

static void memory_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;

	pthread_mutex_lock(&test->lock);
	memcpy(data, test->memory + offset, size_bytes);
	pthread_mutex_unlock(&test->lock);
}

static void memory_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct test_devices *test = ctx;

	pthread_mutex_lock(&test->lock);
	memcpy(test->memory + offset, data, size_bytes);
	pthread_mutex_unlock(&test->lock);
}

static const struct {
	bool is_port;
	uint64_t base, size_bytes;
	struct bus_ops ops;
	const char *name;
} ranges[] = {
	{ true, LATCH_PORT, LATCH_BYTES, { latch_read, latch_write }, "test latch" },
	{ true, FLUSH_PORT, FLUSH_BYTES, { flush_read, flush_write }, "test page flush" },
	{ true, LINES_PORT, LINES_COUNT, { lines_read, lines_write }, "test interrupt lines" },
	{ false, MEMORY_GPA, MEMORY_BYTES, { memory_read, memory_write }, "test memory" },
};

static struct bus *bus_of_range(const struct vm *vm, size_t index)
{
	return ranges[index].is_port ? vm->pio : vm->mmio;
}

static void test_devices_reset(struct device *device)
{
	struct test_devices *test = container_of(device, struct test_devices, device);

	for (size_t i = 0; i < LINES_COUNT; i++)
		irq_line_set(test->lines[i], false);
	pthread_mutex_lock(&test->lock);
	memset(test->latch, 0, sizeof(test->latch));
	memset(test->memory, 0, sizeof(test->memory));
	pthread_mutex_unlock(&test->lock);
}

static void test_devices_destroy(struct device *device)
{
	struct test_devices *test;

	if (!device)
		return;
	test = container_of(device, struct test_devices, device);
	while (test->ranges_on_bus > 0) {
		test->ranges_on_bus--;
		bus_remove(bus_of_range(device->vm, test->ranges_on_bus),
		           ranges[test->ranges_on_bus].base);
	}
	for (size_t i = 0; i < LINES_COUNT; i++)
		irq_line_destroy(test->lines[i]);
	pthread_mutex_destroy(&test->lock);
	free(test);
}

static int test_devices_connect(struct test_devices *test, struct error *err)
{
	struct vm *vm = test->device.vm;

	for (unsigned int i = 0; i < LINES_COUNT; i++) {
		int rc = irq_line_create(vm->irq, i, &test->lines[i]);

		if (rc < 0)
			return error_set_errno(err, rc, "interrupt line %u", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		int rc = bus_add(bus_of_range(vm, i), ranges[i].base, ranges[i].size_bytes,
		                 &ranges[i].ops, test, ranges[i].name);

		if (rc < 0)
			return error_set_errno(err, rc, "%s at 0x%llx", ranges[i].name,
			                       (unsigned long long)ranges[i].base);
		test->ranges_on_bus++;
	}
	return 0;
}

static int test_devices_create(struct vm *vm, const struct device_config *config,
                               struct device **ret_device, struct error *err)
{
	struct test_devices *test = calloc(1, sizeof(*test));
	int rc;

	if (!test)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&test->device, vm, config);
	test->device.reset = test_devices_reset;
	pthread_mutex_init(&test->lock, NULL);
	rc = test_devices_connect(test, err);
	if (rc < 0) {
		test_devices_destroy(&test->device);
		return rc;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		device_add_resource(&test->device,
		                    ranges[i].is_port ? DEVICE_RESOURCE_PIO : DEVICE_RESOURCE_MMIO,
		                    ranges[i].base, ranges[i].size_bytes);
	*ret_device = &test->device;
	return 0;
}

const struct device_class test_devices_class = {
	.name = "test-devices",
	.help = "latch, page flush, interrupt lines and emulated memory for bare test kernels",
	.create = test_devices_create,
	.destroy = test_devices_destroy,
};
