/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The selftest guest: brings up every virtio device that ebb has, gives memory back, and prints a
 * table with the figures.
 *
 * Ends with an orderly power-off when all is well, and through the debug-exit port when something
 * failed.
 */
#include "acpi.h"
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define HELD_BYTES    (4u << 20)
#define HELD_PATTERN  0x5a17ed0f5eedf00dull
#define FREED_PATTERN 0xfeedfacecafebeefull
#define INFLATE_PAGES 1024u
#define CONSOLE_TEXT  "hello from the selftest guest\n"

static struct {
	unsigned int failed;
	void *held;
} selftest;

static void row(const char *verdict, const char *what, const char *figures, ...)
	__attribute__((format(printf, 3, 4)));

static void row(const char *verdict, const char *what, const char *figures, ...)
{
	va_list args;

	if (!strcmp(verdict, "FAIL"))
		selftest.failed++;
	print("  %-4s  %-22s  ", verdict, what);
	va_start(args, figures);
	vprint(figures, args);
	va_end(args);
	print("\n");
}

static const char *verdict(bool ok)
{
	return ok ? "PASS" : "FAIL";
}

/* One word in each page: enough to see a page that went away, and cheap. */
static void mark_pages(uint64_t gpa, uint64_t size_bytes, uint64_t pattern)
{
	uint64_t offset;

	for (offset = 0; offset < size_bytes; offset += PAGE_SIZE)
		*(volatile uint64_t *)(uintptr_t)(gpa + offset) = pattern ^ (gpa + offset);
}

static unsigned int count_pages(uint64_t gpa, uint64_t size_bytes, uint64_t pattern, bool zero)
{
	unsigned int count = 0;
	uint64_t offset;

	for (offset = 0; offset < size_bytes; offset += PAGE_SIZE)
		count += *(volatile uint64_t *)(uintptr_t)(gpa + offset) ==
		         (zero ? 0 : pattern ^ (gpa + offset));
	return count;
}

static void test_machine(void)
{
	uint64_t ram_bytes = 0;
	char description[64];
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++)
		if (boot_info.memory_map[i].type == MEMORY_MAP_RAM)
			ram_bytes += boot_info.memory_map[i].size_bytes;
	platform_describe(description, sizeof(description));
	row(verdict(acpi_cpu_count() > 0 && ram_bytes > HELD_BYTES), "machine",
	    "%u CPUs, %lu MiB RAM, %s", acpi_cpu_count(), ram_bytes >> 20, description);
}

static void test_rng(void)
{
	static uint8_t draws[2][64];
	struct virtq_buffer buffers[2] = { { (uintptr_t)draws[0], 64, true },
		                           { (uintptr_t)draws[1], 64, true } };
	struct virtio_device vdev;
	uint32_t got[2] = { 0, 0 };
	struct virtqueue *vq;
	bool ok;

	if (!virtio_find(VIRTIO_ID_RNG, 0, &vdev)) {
		row("SKIP", "virtio-rng", "no such device");
		return;
	}
	ok = virtio_begin(&vdev) && virtio_negotiate(&vdev, 0);
	if (!ok || !(virtio_use_msix(&vdev) || virtio_use_line(&vdev)) ||
	    !(vq = virtio_queue_setup(&vdev, 0, 8))) {
		row("FAIL", "virtio-rng", "does not come up");
		return;
	}
	virtio_ready(&vdev);
	ok = virtq_transfer(vq, &buffers[0], 1, &got[0]) && wait_for_count(&vq->interrupts, 1);
	ok = ok && virtq_transfer(vq, &buffers[1], 1, &got[1]) &&
	     wait_for_count(&vq->interrupts, 2);
	ok = ok && got[0] == 64 && got[1] == 64 && memcmp(draws[0], draws[1], 64);
	virtio_reset(&vdev);
	row(verdict(ok), "virtio-rng", "%u bytes in 2 requests, %u interrupts over %s",
	    got[0] + got[1], vq->interrupts, vdev.transport->name);
}

static void test_console(void)
{
	static const char text[] = CONSOLE_TEXT;
	struct virtq_buffer buffer = { (uintptr_t)text, sizeof(text) - 1, false };
	struct virtio_device vdev;
	bool ok;

	if (!virtio_find(VIRTIO_ID_CONSOLE, 0, &vdev)) {
		row("SKIP", "virtio-console", "no such device");
		return;
	}
	ok = virtio_start(&vdev, 0, 2) && virtq_transfer(&vdev.queues[1], &buffer, 1, NULL);
	virtio_reset(&vdev);
	row(verdict(ok), "virtio-console", "%u bytes written over %s", ok ? buffer.size_bytes : 0,
	    vdev.transport->name);
}

static bool start_balloon(struct virtio_device *vdev)
{
	/* Without MUST_TELL_HOST an inflated page is gone when the request is answered. */
	uint64_t wanted = FEATURE(VIRTIO_BALLOON_F_STATS_VQ) | FEATURE(VIRTIO_BALLOON_F_REPORTING);

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, wanted) ||
	    !balloon_setup_queues(vdev, 0))
		return false;
	virtio_ready(vdev);
	return true;
}

static void test_inflate(struct virtio_device *vdev)
{
	uint64_t size_bytes = INFLATE_PAGES * PAGE_SIZE,
		 gpa = memory_reserve(size_bytes, BALLOON_BLOCK_BYTES), offset;
	unsigned int inflated = 0, deflated = 0, zero, kept;

	mark_pages(gpa, size_bytes, FREED_PATTERN);
	for (offset = 0; offset < size_bytes; offset += BALLOON_REQUEST_MAX * PAGE_SIZE)
		if (balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, gpa + offset,
		                       BALLOON_REQUEST_MAX))
			inflated += BALLOON_REQUEST_MAX;
	balloon_set_actual(vdev, inflated);
	for (offset = 0; offset < size_bytes; offset += BALLOON_REQUEST_MAX * PAGE_SIZE)
		if (balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, gpa + offset,
		                       BALLOON_REQUEST_MAX))
			deflated += BALLOON_REQUEST_MAX;
	balloon_set_actual(vdev, inflated - deflated);
	zero = count_pages(gpa, size_bytes, 0, true);
	kept = count_pages(gpa, size_bytes, FREED_PATTERN, false);
	row(verdict(inflated == INFLATE_PAGES && zero + kept == INFLATE_PAGES), "balloon inflate",
	    "%u pages (%u MiB) inflated, %u came back empty", inflated, inflated / 256, zero);
	mark_pages(gpa, size_bytes, HELD_PATTERN);
	row(verdict(deflated == INFLATE_PAGES &&
	            count_pages(gpa, size_bytes, HELD_PATTERN, false) == INFLATE_PAGES),
	    "balloon deflate", "%u pages deflated, written and read again", deflated);
}

static void test_reporting(struct virtio_device *vdev)
{
	unsigned int blocks = (unsigned int)(memory_left_bytes() / BALLOON_BLOCK_BYTES), pages,
		     zero, kept;
	uint64_t gpa, size_bytes;
	bool ok;

	if (!balloon_reporting_queue(vdev)) {
		row("SKIP", "free page reporting", "not offered");
		return;
	}
	blocks = blocks > BALLOON_REPORT_MAX ? BALLOON_REPORT_MAX : blocks ? blocks - 1 : 0;
	size_bytes = (uint64_t)blocks * BALLOON_BLOCK_BYTES;
	pages = (unsigned int)(size_bytes / PAGE_SIZE);
	gpa = memory_reserve(size_bytes, BALLOON_BLOCK_BYTES);
	mark_pages(gpa, size_bytes, FREED_PATTERN);
	ok = balloon_report_blocks(vdev, gpa, blocks) && blocks;
	zero = count_pages(gpa, size_bytes, 0, true);
	if (option_present("memory-locked")) {
		kept = count_pages(gpa, size_bytes, FREED_PATTERN, false);
		row(verdict(ok && kept == pages), "free page reporting",
		    "%lu MiB in %u blocks reported, %u of %u pages kept: memory is locked",
		    size_bytes >> 20, blocks, kept, pages);
		return;
	}
	row(verdict(ok && zero == pages), "free page reporting",
	    "%lu MiB in %u blocks reported, %u of %u pages empty", size_bytes >> 20, blocks, zero,
	    pages);
}

static void test_balloon(void)
{
	struct virtio_device vdev;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &vdev)) {
		row("SKIP", "virtio-balloon", "no such device");
		return;
	}
	if (!start_balloon(&vdev)) {
		row("FAIL", "virtio-balloon", "does not come up");
		return;
	}
	row("PASS", "virtio-balloon", "features 0x%lx, %u queues over %s", vdev.device_features,
	    balloon_queue_count(&vdev), vdev.transport->name);
	test_inflate(&vdev);
	test_reporting(&vdev);
	virtio_reset(&vdev);
}

static void test_held_memory(void)
{
	unsigned int pages = HELD_BYTES / PAGE_SIZE;
	unsigned int kept = count_pages((uintptr_t)selftest.held, HELD_BYTES, HELD_PATTERN, false);

	row(verdict(kept == pages), "memory not given away", "%u of %u pages intact", kept, pages);
}

void test_main(void)
{
	uint64_t start_ns = clock_ns();

	print("ebb selftest guest\n\n");
	selftest.held = (void *)(uintptr_t)memory_reserve(HELD_BYTES, PAGE_SIZE);
	mark_pages((uintptr_t)selftest.held, HELD_BYTES, HELD_PATTERN);
	test_machine();
	test_rng();
	test_console();
	test_balloon();
	test_held_memory();
	print("\n%s in %lu ms\n", selftest.failed ? "selftest FAILED" : "selftest passed",
	      (clock_ns() - start_ns) / 1000000);
	if (selftest.failed)
		platform_exit(EXIT_FAIL);
	platform_power_off();
	row("FAIL", "power-off", "the machine is still on");
	platform_exit(EXIT_FAIL);
}
