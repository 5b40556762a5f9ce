/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reboot by SRST, type=1 cold or type=2 warm: the second boot finds devices and memory as after
 * power-on.
 *
 * Nothing in the machine tells the boots apart. So the first one asks for a key; the second asks
 * again, and nobody answers.
 */
#include "aftermath.h"
#include "command_line.h"
#include "memory.h"
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

#define ANSWER_MS 3000

static bool key_pressed(void)
{
	uint64_t end = clock_ns() + ANSWER_MS * 1000000ull;

	print("press a key\n");
	while (clock_ns() < end)
		if (platform_getc() >= ' ')
			return true;
	return false;
}

static void check_hart(void)
{
	uint64_t pending;

	__asm__ volatile("csrr %0, sip" : "=r"(pending));
	CHECK_EQUAL("after: no interrupt is pending", pending, 0);
	CHECK_EQUAL("after: interrupts were off", entry_state.sstatus & SSTATUS_SIE, 0);
}

void test_main(void)
{
	uint64_t marker_gpa = memory_reserve(AFTERMATH_BYTES, 2u << 20);

	if (!key_pressed()) {
		print("second boot\n");
		check_hart();
		aftermath_check(marker_gpa, false);
		return;
	}
	aftermath_make(marker_gpa);
	timer_set(clock_ticks() + 1);
	print("asking for a reset\n");
	irq_enable();
	sbi_call(SBI_SRST, 0, option_u64("type", SBI_SRST_COLD_REBOOT), SBI_SRST_NO_REASON, 0);
	irq_disable();
	report_fail("reset", "the machine goes on");
}
