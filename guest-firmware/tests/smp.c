/* SPDX-License-Identifier: Apache-2.0 */
/* All CPUs of the MADT start, are who they say, and run at once. "cpus=N": how many there must be.
 */
#include "acpi.h"
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define CPU_MAX 64
#define ROUNDS  200u
/* more than that only keep each other from running where the host has fewer */
#define SPINNERS_MAX 15

static volatile uint32_t hardware_ids[CPU_MAX];
static volatile unsigned int arrived, spinning, done, counter;
static volatile bool go;

static void ap_entry(unsigned int index)
{
	unsigned int i;

	hardware_ids[index] = cpu_hardware_id();
	__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
	if (index < SPINNERS_MAX) {
		__atomic_fetch_add(&spinning, 1, __ATOMIC_SEQ_CST);
		while (!go)
			cpu_relax();
	}
	for (i = 0; i < ROUNDS; i++)
		__atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static bool wait_until(const volatile unsigned int *value, unsigned int wanted)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	while (*value != wanted && clock_ns() < end)
		cpu_relax();
	return *value == wanted;
}

void test_main(void)
{
	unsigned int cpus = acpi_cpu_count(), started = 0, i;

	if (!CHECK("the MADT has CPUs", cpus > 0 && cpus <= CPU_MAX))
		return;
	CHECK_EQUAL("number of CPUs", cpus, option_u64("cpus", cpus));
	for (i = 0; i < cpus; i++) {
		uint32_t id = acpi_cpu_id(i);

		if (id == cpu_hardware_id())
			continue;
		if (!EXPECT("each CPU starts", cpu_start(id, ap_entry)))
			break;
		EXPECT("each CPU starts", wait_until(&arrived, started + 1));
		EXPECT_EQUAL("each CPU has the id it was called by", hardware_ids[started], id);
		started++;
	}
	report_section("each CPU starts, by its own id");
	CHECK_EQUAL("all other CPUs started", started, cpus - 1);
	CHECK("up to 15 of them run at once",
	      wait_until(&spinning, started < SPINNERS_MAX ? started : SPINNERS_MAX));
	go = true;
	CHECK("all done", wait_until(&done, started));
	CHECK_EQUAL("atomic additions", counter, started * ROUNDS);
	print("%u CPUs\n", started + 1);
}
