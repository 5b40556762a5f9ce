/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bare test kernel starts the other harts: by SBI HSM, each with a stack of its own. What the
 * loader left is as it was afterwards. "cpus=N": how many there must be.
 */
#include "command_line.h"
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

#define HART_MAX 64
#define ROUNDS   200u

static volatile unsigned int arrived, counter, done;
static volatile uint8_t seen[HART_MAX];
static volatile bool go;

static void ap_work(unsigned int index)
{
	unsigned int i;

	seen[cpu_hardware_id() % HART_MAX]++;
	__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
	while (!go)
		cpu_relax();
	for (i = 0; i < ROUNDS; i++)
		__atomic_fetch_add(&counter, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static uint32_t sum_range(uint64_t gpa, uint64_t size_bytes)
{
	const volatile uint8_t *bytes = (const volatile uint8_t *)(uintptr_t)gpa;
	uint32_t sum = 1;

	while (size_bytes--)
		sum = sum * 31 + *bytes++;
	return sum;
}

void test_main(void)
{
	unsigned int cpus = platform_cpu_count(), others = 0, i;
	uint32_t sum = sum_range(fdt_gpa(), fdt_size_bytes());

	CHECK_EQUAL("number of harts", cpus, option_u64("cpus", 1));
	for (i = 0; i < cpus; i++) {
		if (platform_cpu_id(i) == cpu_hardware_id())
			continue;
		EXPECT("each hart starts", cpu_start(platform_cpu_id(i), ap_work));
		others++;
	}
	report_section("each hart starts");
	CHECK("all of them came", wait_for_count(&arrived, others));
	go = true;
	CHECK("all of them are done", wait_for_count(&done, others));
	CHECK_EQUAL("atomic additions", counter, others * ROUNDS);
	for (i = 0; i < cpus; i++)
		EXPECT_EQUAL("each came once", seen[platform_cpu_id(i) % HART_MAX],
		             platform_cpu_id(i) != cpu_hardware_id());
	report_section("each came once");
	CHECK_EQUAL("the device tree is as it was", sum_range(fdt_gpa(), fdt_size_bytes()), sum);
	print("%u harts\n", others + 1);
}
