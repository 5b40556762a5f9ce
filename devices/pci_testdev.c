/* SPDX-License-Identifier: Apache-2.0 */
/* pci-testdev: the PCI function 1b36:0005 by which bare test kernels time device writes. */
/*
 * DOC: The test function
 *
 * BAR 0 is memory, BAR 1 ports. Both start with the same header, and hold in their second half
 * the bytes that a guest writes to:
 *
 *	0  test     written: starts that test, or none when there is no such      1 byte
 *	1  width    of the accesses to make; not 1, 2 or 4: no test is running    1 byte
 *	4  offset   where in this BAR to write                                    4 bytes
 *	8  data     what to write                                                 4 bytes
 *	12 count    writes that were seen                                         4 bytes
 *	16 name     ends with NUL
 *
 * Three tests on each BAR: the write reaches ebb; an eventfd takes a write of any value; an
 * eventfd takes a write of `data`. What eventfds took is added to the count when it is read. Each
 * test has a byte of its own.
 *
 * Locks: the device's own, below the function's (bar_mapped holds that one); BAR accesses come
 * with neither.
 *
 * QEMU, docs/specs/pci-testdev.
 *
 * Syscalls: vcpu,io: read write
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ebb/bytes.h"
#include "ebb/ioeventfd.h"
#include "ebb/pci.h"
#include "ebb/vm.h"

#include "device_table.h"

#define BAR_COUNT        2
#define MEMORY_BAR       0
#define IO_BAR           1
#define MEMORY_BAR_BYTES 4096
#define IO_BAR_BYTES     256

#define TEST_NONE  (-1)
#define TEST_COUNT 3
enum test_number { TEST_NO_EVENTFD, TEST_WILDCARD, TEST_DATAMATCH };

#define DATA_MATCHING 0xfa
#define DATA_ANY      0xce

#define HEADER_TEST   0
#define HEADER_WIDTH  1
#define HEADER_OFFSET 4
#define HEADER_DATA   8
#define HEADER_COUNT  12
#define HEADER_NAME   16
#define HEADER_BYTES  48

struct testdev_bar {
	struct testdev *testdev;
	unsigned int index;
	bool mapped;
	gpa_t gpa; /* or port */
};

struct testdev {
	struct device device;
	struct pci_function function;
	bool function_ready;
	int event_fd;
	pthread_mutex_t lock;
	/* Under lock: */
	struct testdev_bar bars[BAR_COUNT];
	int test;              /* the running one, guest-controlled, or TEST_NONE */
	unsigned int test_bar; /* on which BAR */
	uint32_t count;
	bool assigned;
	struct ioeventfd ioeventfd; /* as assigned */
};

static uint32_t test_offset(unsigned int bar, unsigned int test)
{
	return bar == MEMORY_BAR ? MEMORY_BAR_BYTES / 2 + test : IO_BAR_BYTES / 2 + test;
}

static uint8_t test_data(unsigned int test)
{
	return test == TEST_WILDCARD ? DATA_ANY : DATA_MATCHING;
}

/* --- the eventfd; under the lock --- */

static void connect_eventfd(struct testdev *testdev)
{
	const struct testdev_bar *bar = &testdev->bars[testdev->test_bar];

	if (testdev->test == TEST_NONE || testdev->test == TEST_NO_EVENTFD || !bar->mapped)
		return;
	testdev->ioeventfd = (struct ioeventfd){
		.pio = bar->index == IO_BAR,
		.gpa = bar->gpa + test_offset(bar->index, testdev->test),
		.size_bytes = 1,
		.match = testdev->test == TEST_DATAMATCH,
		.value = test_data(testdev->test),
		.fd = testdev->event_fd,
	};
	/* In memory "any value" is also "any size". */
	if (!testdev->ioeventfd.pio && !testdev->ioeventfd.match)
		testdev->ioeventfd.size_bytes = 0;
	/* A host that refuses leaves the writes to us, and they are counted here. */
	testdev->assigned = ioeventfd_assign(testdev->device.vm, &testdev->ioeventfd) == 0;
}

static void disconnect_eventfd(struct testdev *testdev)
{
	if (testdev->assigned)
		ioeventfd_unassign(testdev->device.vm, &testdev->ioeventfd);
	testdev->assigned = false;
}

static void collect_signals(struct testdev *testdev)
{
	uint64_t signals;

	if (read(testdev->event_fd, &signals, sizeof(signals)) == sizeof(signals))
		testdev->count += (uint32_t)signals;
}

static void stop_test(struct testdev *testdev)
{
	disconnect_eventfd(testdev);
	collect_signals(testdev);
	testdev->test = TEST_NONE;
	testdev->count = 0;
}

static void start_test(struct testdev *testdev, unsigned int bar, uint8_t test)
{
	stop_test(testdev);
	if (test >= TEST_COUNT)
		return;
	testdev->test = test;
	testdev->test_bar = bar;
	connect_eventfd(testdev);
}

/* --- registers --- */

static void fill_header(struct testdev *testdev, uint8_t *header)
{
	static const char *const names[TEST_COUNT] = {
		"no-eventfd",
		"wildcard-eventfd",
		"datamatch-eventfd",
	};

	if (testdev->test == TEST_NONE)
		return;
	collect_signals(testdev);
	header[HEADER_TEST] = testdev->test;
	header[HEADER_WIDTH] = 1;
	store_le32(header + HEADER_OFFSET, test_offset(testdev->test_bar, testdev->test));
	store_le32(header + HEADER_DATA, test_data(testdev->test));
	store_le32(header + HEADER_COUNT, testdev->count);
	snprintf((char *)header + HEADER_NAME, HEADER_BYTES - HEADER_NAME, "%s-%s",
	         testdev->test_bar == MEMORY_BAR ? "mmio" : "portio", names[testdev->test]);
}

static void testdev_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct testdev_bar *bar = ctx;
	struct testdev *testdev = bar->testdev;
	uint8_t header[HEADER_BYTES] = { 0 };

	memset(data, 0, size_bytes);
	if (offset + size_bytes > HEADER_BYTES)
		return;
	pthread_mutex_lock(&testdev->lock);
	fill_header(testdev, header);
	pthread_mutex_unlock(&testdev->lock);
	memcpy(data, header + offset, size_bytes);
}

static void testdev_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct testdev_bar *bar = ctx;
	struct testdev *testdev = bar->testdev;
	uint8_t value = *(const uint8_t *)data;
	bool counts;

	pthread_mutex_lock(&testdev->lock);
	if (offset == HEADER_TEST) {
		start_test(testdev, bar->index, value);
	} else if (testdev->test != TEST_NONE) {
		counts = bar->index == testdev->test_bar &&
		         offset == test_offset(bar->index, testdev->test) &&
		         (testdev->test == TEST_WILDCARD ||
		          (size_bytes == 1 && value == test_data(testdev->test)));
		testdev->count += counts;
	}
	pthread_mutex_unlock(&testdev->lock);
}

static const struct bus_ops testdev_bus_ops = { .read = testdev_read, .write = testdev_write };

static void testdev_bar_mapped(struct pci_function *function, unsigned int index, gpa_t gpa,
                               bool enabled)
{
	struct testdev *testdev = container_of(function, struct testdev, function);

	if (index >= BAR_COUNT)
		return;
	pthread_mutex_lock(&testdev->lock);
	disconnect_eventfd(testdev);
	testdev->bars[index].mapped = enabled;
	testdev->bars[index].gpa = gpa;
	connect_eventfd(testdev);
	pthread_mutex_unlock(&testdev->lock);
}

static const struct pci_function_ops testdev_function_ops = { .bar_mapped = testdev_bar_mapped };

/* --- life --- */

static void testdev_reset(struct device *device)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	pthread_mutex_lock(&testdev->lock);
	stop_test(testdev);
	pthread_mutex_unlock(&testdev->lock);
	pci_function_reset(&testdev->function);
}

static void testdev_destroy(struct device *device)
{
	struct testdev *testdev;

	if (!device)
		return;
	testdev = container_of(device, struct testdev, device);
	if (testdev->function_ready)
		pci_function_fini(&testdev->function);
	disconnect_eventfd(testdev);
	if (testdev->event_fd >= 0)
		close(testdev->event_fd);
	pthread_mutex_destroy(&testdev->lock);
	free(testdev);
}

static int testdev_connect(struct testdev *testdev, struct error *err)
{
	static const struct pci_identity identity = {
		.vendor_id = 0x1b36,
		.device_id = 0x0005,
		.subsystem_vendor_id = 0x1af4,
		.subsystem_id = 0x1100,
		.class_code = 0xff0000, /* none of the defined classes */
	};
	int rc;

	testdev->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (testdev->event_fd < 0)
		return error_set_errno(err, -errno, "eventfd");
	rc = pci_function_init(&testdev->function, testdev->device.vm, &identity,
	                       &testdev_function_ops, err);
	if (rc < 0)
		return rc;
	testdev->function_ready = true;
	rc = pci_add_memory_bar(&testdev->function, MEMORY_BAR, MEMORY_BAR_BYTES, &testdev_bus_ops,
	                        &testdev->bars[MEMORY_BAR], err);
	if (!rc)
		rc = pci_add_io_bar(&testdev->function, IO_BAR, IO_BAR_BYTES, &testdev_bus_ops,
		                    &testdev->bars[IO_BAR], err);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < BAR_COUNT; i++) {
		testdev->bars[i].mapped = testdev->function.bars[i].mapped;
		testdev->bars[i].gpa = testdev->function.bars[i].gpa;
	}
	return 0;
}

static int testdev_create(struct vm *vm, const struct device_config *config,
                          struct device **ret_device, struct error *err)
{
	struct testdev *testdev = calloc(1, sizeof(*testdev));
	int rc;

	if (!testdev)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&testdev->device, vm, config);
	testdev->device.reset = testdev_reset;
	testdev->event_fd = -1;
	testdev->test = TEST_NONE;
	for (unsigned int i = 0; i < BAR_COUNT; i++)
		testdev->bars[i] = (struct testdev_bar){ .testdev = testdev, .index = i };
	pthread_mutex_init(&testdev->lock, NULL);
	rc = testdev_connect(testdev, err);
	if (rc < 0) {
		testdev_destroy(&testdev->device);
		return rc;
	}
	*ret_device = &testdev->device;
	return 0;
}

const struct device_class pci_testdev_class = {
	.name = "pci-testdev",
	.help = "PCI function 1b36:0005 for bare test kernels",
	.create = testdev_create,
	.destroy = testdev_destroy,
};
