/* SPDX-License-Identifier: Apache-2.0 */
/* Harts by SBI: status, stop and start again, software interrupts to one, to some, to all. */
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

#define HART_MAX    64
#define HSM_STARTED 0
#define HSM_STOPPED 1

static volatile unsigned int arrived, answered[HART_MAX];
static volatile bool leave;

/* The only one that a test waits for; interrupts stay off in between. */
static void take_software(void *opaque)
{
	__asm__ volatile("csrci sip, 2");
	__atomic_fetch_add(&answered[cpu_hardware_id() % HART_MAX], 1, __ATOMIC_SEQ_CST);
}

static void ap_loop(unsigned int index)
{
	irq_local_handler(LOCAL_SOFTWARE, take_software, NULL);
	irq_enable();
	__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
	while (!leave)
		cpu_relax();
	irq_disable();
	sbi_call(SBI_HSM, SBI_HSM_STOP, 0, 0, 0);
}

static int64_t status_of(uint32_t hart)
{
	struct sbi_result result = sbi_call(SBI_HSM, SBI_HSM_STATUS, hart, 0, 0);

	return result.error ? result.error : result.value;
}

static bool wait_status(uint32_t hart, int64_t wanted)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	while (status_of(hart) != wanted && clock_ns() < end)
		cpu_relax();
	return status_of(hart) == wanted;
}

static bool wait_answers(uint32_t hart, unsigned int wanted)
{
	return wait_for_count(&answered[hart % HART_MAX], wanted);
}

static void test_round(unsigned int round, unsigned int cpus)
{
	unsigned int i, expected = 0;

	leave = false;
	for (i = 0; i < cpus; i++) {
		uint32_t hart = platform_cpu_id(i);

		if (hart == cpu_hardware_id())
			continue;
		EXPECT_EQUAL("stopped at first", status_of(hart), HSM_STOPPED);
		EXPECT("starts", cpu_start(hart, ap_loop));
		EXPECT("is started", wait_status(hart, HSM_STARTED));
		expected++;
	}
	EXPECT("all harts run", wait_for_count(&arrived, (round + 1) * expected));
	for (i = 0; i < cpus; i++) {
		uint32_t hart = platform_cpu_id(i);

		if (hart == cpu_hardware_id())
			continue;
		EXPECT_EQUAL("an interrupt to one hart", sbi_call(SBI_IPI, 0, 1, hart, 0).error, 0);
		EXPECT("an interrupt to one hart", wait_answers(hart, 2 * round + 1));
	}
	EXPECT_EQUAL("an interrupt to all", sbi_call(SBI_IPI, 0, 0, ~0ull, 0).error, 0);
	for (i = 0; i < cpus; i++)
		if (platform_cpu_id(i) != cpu_hardware_id())
			EXPECT("an interrupt to all",
			       wait_answers(platform_cpu_id(i), 2 * round + 2));
	leave = true;
	for (i = 0; i < cpus; i++)
		if (platform_cpu_id(i) != cpu_hardware_id())
			EXPECT("stops", wait_status(platform_cpu_id(i), HSM_STOPPED));
}

void test_main(void)
{
	unsigned int cpus = platform_cpu_count(), round;

	irq_local_handler(LOCAL_SOFTWARE, take_software, NULL);
	CHECK_EQUAL("an interrupt to itself", sbi_call(SBI_IPI, 0, 1, cpu_hardware_id(), 0).error,
	            0);
	CHECK("it arrives", wait_answers(cpu_hardware_id(), 1));
	CHECK("an interrupt to no hart there is is refused",
	      sbi_call(SBI_IPI, 0, 1, 4711, 0).error == SBI_INVALID_PARAM);
	if (cpus < 2) {
		report_skip("other harts", "there are none");
		return;
	}
	irq_local_handler(LOCAL_SOFTWARE, take_software, NULL);
	for (round = 0; round < 3; round++)
		test_round(round, cpus);
	report_section("3 rounds of start, interrupts and stop");
	print("%u harts\n", cpus);
}
