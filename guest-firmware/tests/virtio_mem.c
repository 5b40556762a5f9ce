/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem as a driver uses it (VIRTIO 1.2, section 5.15): configuration, plug, unplug, state,
 * unplug-all, sizes that change, device reset.
 *
 * "busy" on the command line: the host has less memory than is requested. Otherwise, wants a first
 * device with at least 16 blocks requested, and room for four times as many.
 */
#include "command_line.h"
#include "harness.h"
#include "memory_device.h"
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PATTERN     0x0123456789abcdefull
#define STRIDE      4096u
#define BLOCKS_MIN  16u
#define NAME        "vm0" /* by the command line of ebb */
#define ACK         VIRTIO_MEM_RESP_ACK
#define NACK        VIRTIO_MEM_RESP_NACK
#define FEW_BLOCKS  4u
#define SOME_BLOCKS 3u /* in the middle of what is plugged */

static struct virtio_device vdev;
static struct virtio_mem_config first;
static uint64_t block_bytes, region_gpa;

static uint64_t block_gpa(uint64_t index)
{
	return region_gpa + index * block_bytes;
}

static void mark(uint64_t index)
{
	uint64_t offset;

	for (offset = 0; offset < block_bytes; offset += STRIDE)
		mmio_write64(block_gpa(index) + offset, PATTERN + block_gpa(index) + offset);
	mmio_write64(block_gpa(index + 1) - 8, PATTERN + index);
}

static bool marked(uint64_t index)
{
	uint64_t offset;

	for (offset = 0; offset < block_bytes; offset += STRIDE)
		if (mmio_read64(block_gpa(index) + offset) != PATTERN + block_gpa(index) + offset)
			return false;
	return mmio_read64(block_gpa(index + 1) - 8) == PATTERN + index;
}

static bool empty(uint64_t index)
{
	uint64_t offset;

	for (offset = 0; offset < block_bytes; offset += STRIDE)
		if (mmio_read64(block_gpa(index) + offset))
			return false;
	return !mmio_read64(block_gpa(index + 1) - 8);
}

static bool inaccessible(uint64_t index)
{
	return mmio_read64(block_gpa(index)) == MEM_UNPLUGGED &&
	       mmio_read64(block_gpa(index) + block_bytes / 2) == MEM_UNPLUGGED &&
	       mmio_read64(block_gpa(index + 1) - 8) == MEM_UNPLUGGED;
}

static uint64_t plugged_blocks(void)
{
	return mem_plugged_bytes(&vdev) / block_bytes;
}

static bool aligned(uint64_t value)
{
	return !(value & (first.block_size - 1));
}

static void test_config(void)
{
	CHECK("offers UNPLUGGED_INACCESSIBLE",
	      vdev.device_features & FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE));
	CHECK("block size is a power of two, 2 MiB or more",
	      block_bytes >= 2u << 20 && !(block_bytes & (block_bytes - 1)));
	CHECK("sizes are multiples of it", aligned(first.addr) && aligned(first.region_size) &&
	                                           aligned(first.usable_region_size) &&
	                                           aligned(first.plugged_size) &&
	                                           aligned(first.requested_size));
	CHECK("requested, usable and region size are in order",
	      first.requested_size <= first.usable_region_size &&
	              first.usable_region_size <= first.region_size);
	CHECK_EQUAL("nothing is plugged", first.plugged_size, 0);
}

/* No firmware table has it: the driver decides what it is. */
static void test_no_ram(void)
{
	uint64_t end = first.addr + first.region_size;
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		EXPECT("the memory map leaves the region out",
		       entry->type != MEMORY_MAP_RAM || entry->gpa >= end ||
		               entry->gpa + entry->size_bytes <= first.addr);
	}
	report_section("the memory map leaves the region out");
}

static void test_plug(void)
{
	unsigned int i;

	CHECK("unplugged blocks read as ones", inaccessible(0) && inaccessible(FEW_BLOCKS));
	CHECK_EQUAL("state of an unplugged block", mem_state(&vdev, block_gpa(0), 1),
	            VIRTIO_MEM_STATE_UNPLUGGED);
	CHECK_EQUAL("plug", mem_plug(&vdev, block_gpa(0), FEW_BLOCKS), ACK);
	CHECK_EQUAL("plugged size", plugged_blocks(), FEW_BLOCKS);
	CHECK_EQUAL("state of plugged blocks", mem_state(&vdev, block_gpa(0), FEW_BLOCKS),
	            VIRTIO_MEM_STATE_PLUGGED);
	CHECK_EQUAL("state of both kinds", mem_state(&vdev, block_gpa(0), FEW_BLOCKS + 1),
	            VIRTIO_MEM_STATE_MIXED);
	for (i = 0; i < FEW_BLOCKS; i++) {
		EXPECT("plugged blocks are empty", empty(i));
		mark(i);
	}
	for (i = 0; i < FEW_BLOCKS; i++)
		EXPECT("plugged blocks hold what is written", marked(i));
	report_section("plugged blocks are empty, and hold what is written");
	CHECK("the next block is none", inaccessible(FEW_BLOCKS));
}

static void test_unplug(void)
{
	CHECK_EQUAL("unplug one in the middle", mem_unplug(&vdev, block_gpa(1), 1), ACK);
	CHECK_EQUAL("plugged size, less one", plugged_blocks(), FEW_BLOCKS - 1);
	CHECK("it is gone", inaccessible(1));
	mmio_write64(block_gpa(1) + 64, PATTERN);
	CHECK("it takes no write",
	      inaccessible(1) && mmio_read64(block_gpa(1) + 64) == MEM_UNPLUGGED);
	CHECK("its neighbours are there", marked(0) && marked(2) && marked(3));
	CHECK_EQUAL("state with a hole", mem_state(&vdev, block_gpa(0), SOME_BLOCKS),
	            VIRTIO_MEM_STATE_MIXED);
	CHECK_EQUAL("plug it again", mem_plug(&vdev, block_gpa(1), 1), ACK);
	CHECK("it comes back empty", empty(1));
	mark(1);
	CHECK("all hold what is written", marked(0) && marked(1) && marked(2) && marked(3));
}

/* Elsewhere in what is usable; then as much as is requested, and not a block more. */
static void test_limit(void)
{
	uint64_t last = first.usable_region_size / block_bytes - 1,
		 wanted = first.requested_size / block_bytes;

	CHECK_EQUAL("plug the last usable block", mem_plug(&vdev, block_gpa(last), 1), ACK);
	CHECK("it is empty", empty(last));
	mark(last);
	CHECK_EQUAL("one more than requested",
	            mem_plug(&vdev, block_gpa(FEW_BLOCKS), (unsigned int)(wanted - FEW_BLOCKS)),
	            NACK);
	CHECK_EQUAL("nothing of it is plugged", plugged_blocks(), FEW_BLOCKS + 1);
	CHECK("nor there", inaccessible(FEW_BLOCKS));
	CHECK_EQUAL("as much as requested",
	            mem_plug(&vdev, block_gpa(FEW_BLOCKS), (unsigned int)(wanted - FEW_BLOCKS - 1)),
	            ACK);
	CHECK_EQUAL("plugged size is requested size", plugged_blocks(), wanted);
	CHECK_EQUAL("a block more", mem_plug(&vdev, block_gpa(last - 1), 1), NACK);
	CHECK("what was there still is", marked(0) && marked(3) && marked(last));
}

/* A device reset is the driver's affair and changes no block (5.15.5.2). */
static void test_device_reset(void)
{
	uint64_t before = plugged_blocks(), last = first.usable_region_size / block_bytes - 1;

	CHECK("device reset", virtio_reset(&vdev));
	CHECK("plugged memory outlives it", marked(0) && marked(3) && marked(last));
	CHECK("comes up again", mem_restart(&vdev));
	CHECK_EQUAL("with as much plugged", plugged_blocks(), before);
	CHECK_EQUAL("unplug all", mem_unplug_all(&vdev), ACK);
	CHECK_EQUAL("nothing is plugged then", plugged_blocks(), 0);
	CHECK("all is gone", inaccessible(0) && inaccessible(3) && inaccessible(last));
	CHECK_EQUAL("unplug all of nothing", mem_unplug_all(&vdev), ACK);
	CHECK_EQUAL("plug behind it", mem_plug(&vdev, block_gpa(0), 2), ACK);
	CHECK("empty", empty(0) && empty(1));
	CHECK_EQUAL("unplug", mem_unplug(&vdev, block_gpa(0), 2), ACK);
}

/* Asks for a size by command and waits until the configuration has it, told by an interrupt. */
static bool ask_for(uint64_t size_bytes)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	unsigned int interrupts = vdev.config_interrupts;
	struct virtio_mem_config config;

	if (harness_ask("mem " NAME " %luM", size_bytes >> 20) != 0)
		return false;
	do {
		mem_config(&vdev, &config);
	} while (config.requested_size != size_bytes && clock_ns() < end);
	return config.requested_size == size_bytes && config.usable_region_size >= size_bytes &&
	       wait_for_count(&vdev.config_interrupts, interrupts + 1);
}

static bool start_with_interrupts(void)
{
	if (!virtio_begin(&vdev) || !virtio_negotiate(&vdev, MEM_ALL_FEATURES) ||
	    !(virtio_use_msix(&vdev) || virtio_use_line(&vdev)) || !virtio_queue_setup(&vdev, 0, 8))
		return false;
	virtio_ready(&vdev);
	irq_enable();
	return true;
}

static void plug_whole_region(uint64_t blocks)
{
	uint64_t i;

	CHECK_EQUAL("plug all of the region", mem_plug(&vdev, block_gpa(0), (unsigned int)blocks),
	            ACK);
	for (i = 0; i < blocks; i++)
		mmio_write64(block_gpa(i), PATTERN + i);
	for (i = 0; i < blocks; i++)
		if (!EXPECT_EQUAL("every block is one", mmio_read64(block_gpa(i)), PATTERN + i))
			break;
	report_section("every block of the region is memory of its own");
	for (i = 1; i < blocks; i += 2)
		if (!EXPECT_EQUAL("every second block", mem_unplug(&vdev, block_gpa(i), 1), ACK))
			break;
	for (i = 0; i < blocks; i++)
		if (!EXPECT_EQUAL("every second block", mmio_read64(block_gpa(i)),
		                  i % 2 ? MEM_UNPLUGGED : PATTERN + i))
			break;
	report_section("every second block is unplugged, and the others are whole");
	CHECK_EQUAL("the host says so too", harness_ask("stat .virtio_mem[0].plugged_bytes"),
	            mem_plugged_bytes(&vdev));
}

static void test_sizes(void)
{
	uint64_t blocks = first.region_size / block_bytes;
	struct virtio_mem_config config;

	if (!harness_listens()) {
		report_skip("sizes that change", "nobody to ask for them");
		return;
	}
	if (!CHECK("comes up with interrupts", start_with_interrupts()))
		return;
	CHECK("grows", ask_for(2 * first.requested_size));
	CHECK_EQUAL("plug as much",
	            mem_plug(&vdev, block_gpa(0),
	                     (unsigned int)(2 * first.requested_size / block_bytes)),
	            ACK);
	mark(0);
	CHECK("shrinks to nothing", ask_for(0));
	CHECK("what is plugged stays until it is unplugged", marked(0));
	mem_config(&vdev, &config);
	CHECK("the usable region does not shrink by itself",
	      config.usable_region_size >= 2 * first.requested_size);
	CHECK_EQUAL("unplug one", mem_unplug(&vdev, block_gpa(0), 1), ACK);
	CHECK_EQUAL("plug is refused then", mem_plug(&vdev, block_gpa(0), 1), NACK);
	CHECK_EQUAL("unplug all", mem_unplug_all(&vdev), ACK);
	CHECK("grows to the region", ask_for(first.region_size));
	mem_config(&vdev, &config);
	CHECK_EQUAL("all of it is usable then", config.usable_region_size, first.region_size);
	plug_whole_region(blocks);
	CHECK_EQUAL("unplug all", mem_unplug_all(&vdev), ACK);
	CHECK("no size that is no multiple of blocks", harness_ask("mem " NAME " 3M") != 0);
	CHECK("no size beyond the region",
	      harness_ask("mem " NAME " %luM", (unsigned long)(first.region_size >> 20) + 2) != 0);
	CHECK("no device of another name", harness_ask("mem nobody 2M") != 0);
	mem_config(&vdev, &config);
	CHECK_EQUAL("the requested size is as it was", config.requested_size, first.region_size);
}

/* "busy": the host's memory ends before the requested size does. */
static void test_busy(void)
{
	unsigned int count = 0, wanted = (unsigned int)(first.requested_size / block_bytes), i;
	int answer = ACK;

	while (count < wanted && (answer = mem_plug(&vdev, block_gpa(count), 1)) == ACK)
		mark(count++);
	if (count == wanted) {
		report_skip("a host without memory", "this one had all of it");
		return;
	}
	CHECK_EQUAL("a plug that the host has no memory for", answer, VIRTIO_MEM_RESP_BUSY);
	CHECK_EQUAL("is none", plugged_blocks(), count);
	CHECK("leaves nothing", inaccessible(count));
	CHECK_EQUAL("many more than there are", mem_plug(&vdev, block_gpa(count), wanted - count),
	            VIRTIO_MEM_RESP_BUSY);
	CHECK_EQUAL("are none", plugged_blocks(), count);
	for (i = 0; i < count; i++)
		EXPECT("what is plugged is whole", marked(i));
	report_section("what is plugged is whole");
	print("%u of %u blocks\n", count, wanted);
	if (count) {
		CHECK_EQUAL("unplug the last", mem_unplug(&vdev, block_gpa(count - 1), 1), ACK);
		CHECK_EQUAL("there is memory again", mem_plug(&vdev, block_gpa(wanted), 1), ACK);
		CHECK("empty", empty(wanted));
	}
	CHECK_EQUAL("unplug all", mem_unplug_all(&vdev), ACK);
}

/* A second one, where there is one: a region, a node and blocks of its own. */
static void test_second(void)
{
	static struct virtio_device other;
	struct virtio_mem_config config;

	if (!mem_start(1, &other)) {
		report_skip("a second device", "there is none");
		return;
	}
	mem_config(&other, &config);
	CHECK("its region is another", config.addr >= first.addr + first.region_size ||
	                                       config.addr + config.region_size <= first.addr);
	CHECK_EQUAL("plug in the first", mem_plug(&vdev, block_gpa(0), 1), ACK);
	mark(0);
	CHECK_EQUAL("plug in the second", mem_plug(&other, config.addr, 1), ACK);
	mmio_write64(config.addr, PATTERN);
	CHECK_EQUAL("not one in the other's region", mem_plug(&other, block_gpa(1), 1),
	            VIRTIO_MEM_RESP_ERROR);
	CHECK_EQUAL("unplug all of the second", mem_unplug_all(&other), ACK);
	CHECK("the first has its own", marked(0));
	CHECK_EQUAL("the second has nothing", mmio_read64(config.addr), MEM_UNPLUGGED);
	CHECK_EQUAL("unplug all of the first", mem_unplug_all(&vdev), ACK);
}

void test_main(void)
{
	if (!mem_start(0, &vdev)) {
		report_skip("virtio-mem", "no such device, or it does not come up");
		return;
	}
	mem_config(&vdev, &first);
	block_bytes = first.block_size;
	region_gpa = first.addr;
	print("%lu MiB at 0x%lx in blocks of %lu MiB, %lu MiB usable\n",
	      (unsigned long)(first.region_size >> 20), region_gpa, block_bytes >> 20,
	      (unsigned long)(first.usable_region_size >> 20));
	test_config();
	test_no_ram();
	if (option_present("busy")) {
		test_busy();
		return;
	}
	if (!CHECK("the machine is large enough for the rest",
	           first.requested_size >= BLOCKS_MIN * block_bytes &&
	                   first.region_size >= 4 * first.requested_size))
		return;
	test_plug();
	test_unplug();
	test_limit();
	test_device_reset();
	test_second();
	test_sizes();
}
