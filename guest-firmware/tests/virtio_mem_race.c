/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two CPUs: one unplugs and plugs blocks, the other reads and writes them all the time, and their
 * neighbours that stay. What the other sees is memory exactly while the block is plugged, and the
 * neighbours never miss a word (VIRTIO 1.2, section 5.15.6).
 *
 * "rounds=N" on the command line, and three blocks: the middle one comes and goes, each second time
 * with one of its neighbours' neighbours, so that a chunk empties and fills as well.
 */
#include "acpi.h"
#include "command_line.h"
#include "harness.h"
#include "memory.h"
#include "memory_device.h"
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define ACK       VIRTIO_MEM_RESP_ACK
#define BEFORE    0x1111111111111111ull
#define BEHIND    0x2222222222222222ull
#define WRITTEN   0x3333333333333333ull
#define FIRST     2u   /* block that stays; the next comes and goes; the one behind stays */
#define FAR       300u /* another that comes and goes, in a chunk of its own */
#define LOOKS_MIN 4u   /* the other CPU looks at least so often a round, on average */
#define SLACK_KIB 2048u

static struct virtio_device vdev;
static struct virtio_mem_config config;
static uint64_t block_bytes;

/* Even: being changed. Odd: the block is plugged, or not, as bit 1 says. */
static volatile uint32_t phase;
static volatile bool over, ended;
static volatile unsigned int looks, sure, holes, wrong_plugged, wrong_unplugged, wrong_between;

#define PHASE_SETTLED 1u
#define PHASE_PLUGGED 2u
#define PHASE_ROUND   4u

static uint64_t block_gpa(uint64_t index)
{
	return config.addr + index * block_bytes;
}

/* Any word of the block: by the number of the look. */
static uint64_t place(uint64_t index, unsigned int look)
{
	return block_gpa(index) + (look * 4160ull & (block_bytes - 1) & ~7ull);
}

static void look_at_neighbours(unsigned int look)
{
	holes += mmio_read64(block_gpa(FIRST)) != BEFORE;
	holes += mmio_read64(block_gpa(FIRST + 3) - 8) != BEHIND;
	holes += mmio_read64(block_gpa(FIRST + 1) - 8) != BEFORE;
}

static void look_at_block(unsigned int look)
{
	uint32_t before = phase, after;
	uint64_t gpa = place(FIRST + 1, look), value;

	memory_barrier();
	if (look % 3 == 0)
		mmio_write64(gpa, WRITTEN);
	value = mmio_read64(gpa);
	memory_barrier();
	after = phase;
	if (before != after || !(before & PHASE_SETTLED)) {
		wrong_between += value && value != WRITTEN && value != MEM_UNPLUGGED;
		return;
	}
	sure++;
	if (before & PHASE_PLUGGED)
		wrong_plugged += look % 3 ? value && value != WRITTEN : value != WRITTEN;
	else
		wrong_unplugged += value != MEM_UNPLUGGED;
}

static void look_on(unsigned int index)
{
	while (!over) {
		look_at_block(looks);
		look_at_neighbours(looks);
		looks++;
	}
	ended = true;
}

static bool start_looking(void)
{
	unsigned int i;

	for (i = 0; i < acpi_cpu_count(); i++)
		if (acpi_cpu_id(i) != cpu_hardware_id())
			return cpu_start(acpi_cpu_id(i), look_on);
	return false;
}

/* From here on the other CPU cannot know; until settle(). */
static void begin_change(void)
{
	phase &= ~PHASE_SETTLED;
	memory_barrier();
}

static void settle(bool plugged)
{
	memory_barrier();
	phase = ((phase & ~(PHASE_PLUGGED | PHASE_SETTLED)) + PHASE_ROUND) | PHASE_SETTLED |
	        (plugged ? PHASE_PLUGGED : 0);
	memory_barrier();
}

static bool change(bool plug, bool far)
{
	uint16_t type = plug ? VIRTIO_MEM_REQ_PLUG : VIRTIO_MEM_REQ_UNPLUG;
	bool good;

	begin_change();
	good = mem_request(&vdev, type, block_gpa(FIRST + 1), 1, NULL) == ACK;
	settle(plug);
	return good && (!far || mem_request(&vdev, type, block_gpa(FAR), 1, NULL) == ACK);
}

static void test_race(unsigned int rounds)
{
	uint64_t end;
	unsigned int i, target;

	for (i = 0; i < rounds; i++) {
		if (!EXPECT("unplug, under the other CPU's eyes", change(false, i % 2)) ||
		    !EXPECT("plug, under the other CPU's eyes", change(true, i % 2)))
			break;
		mmio_write64(block_gpa(FAR) + 8 * (i & 0xff), WRITTEN);
	}
	report_section("every unplug and plug is acknowledged");
	target = looks + 100;
	end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	while (looks < target && clock_ns() < end)
		cpu_relax();
	over = true;
	while (!ended && clock_ns() < end)
		cpu_relax();
	CHECK("the other CPU got through", ended);
	print("%u rounds, %u looks, %u of them sure of what they must see\n", rounds, looks, sure);
	CHECK("it looked often", looks >= LOOKS_MIN * rounds / 4 && sure > 0);
	CHECK_EQUAL("holes in memory that stayed", holes, 0);
	CHECK_EQUAL("words of a plugged block that were not memory", wrong_plugged, 0);
	CHECK_EQUAL("words of an unplugged block that were", wrong_unplugged, 0);
	CHECK_EQUAL("words that were neither", wrong_between, 0);
}

static void test_cost(uint64_t before_kib)
{
	uint64_t peak_kib = harness_ask("peak"), block_kib = block_bytes >> 10;

	print("%lu KiB before, %lu KiB at most\n", before_kib, peak_kib);
	/* plugged at most: two that stay, two that come and go; and one block in flight */
	CHECK("resident memory never exceeds what is plugged and a block",
	      peak_kib && peak_kib <= before_kib + 5 * block_kib + SLACK_KIB);
	if (harness_ask("stat .virtio_mem[0].touches")) {
		CHECK_EQUAL("the last touch of an unplugged block: which",
		            harness_ask("stat .virtio_mem[0].last_touch.block"), FIRST + 1);
		CHECK_EQUAL("by which vCPU", harness_ask("stat .virtio_mem[0].last_touch.vcpu"), 1);
	}
	CHECK("slots do not pile up", harness_ask("stat .virtio_mem[0].slots") <= 4);
}

void test_main(void)
{
	unsigned int rounds = (unsigned int)option_u64("rounds", 300);
	uint64_t before_kib = 0;

	if (!mem_start(0, &vdev)) {
		report_skip("virtio-mem", "no such device, or it does not come up");
		return;
	}
	mem_config(&vdev, &config);
	block_bytes = config.block_size;
	if (harness_listens()) {
		before_kib = harness_ask("memory");
		harness_ask("watch");
	}
	if (!CHECK("plug three and one", mem_plug(&vdev, block_gpa(FIRST), 3) == ACK &&
	                                         mem_plug(&vdev, block_gpa(FAR), 1) == ACK))
		return;
	mmio_write64(block_gpa(FIRST), BEFORE);
	mmio_write64(block_gpa(FIRST + 1) - 8, BEFORE);
	mmio_write64(block_gpa(FIRST + 3) - 8, BEHIND);
	settle(true);
	if (!CHECK("another CPU looks on", start_looking()))
		return;
	test_race(rounds);
	if (before_kib)
		test_cost(before_kib);
	CHECK_EQUAL("unplug all", mem_unplug_all(&vdev), ACK);
}
