/* SPDX-License-Identifier: Apache-2.0 */
/* From the first C line to the test, and from its return to the exit. */
#include "io.h"
#include "platform.h"
#include "platform_x86.h"
#include "report.h"

struct boot_info boot_info;

void boot_main(uint32_t argument)
{
	boot_info_load(argument);
	traps_init();
	lapic_enable();
	if (*boot_info_problem)
		report_fail("boot information", "%s", boot_info_problem);
	test_main();
	platform_exit(report_summary());
}

void platform_exit(uint8_t value)
{
	out32(PORT_DEBUG_EXIT, value);
	platform_halt();
}

void platform_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void cpu_relax(void)
{
	__asm__ volatile("pause");
}

void memory_barrier(void)
{
	/* a locked instruction orders everything, and is cheaper to interpret than a fence */
	__asm__ volatile("lock; addl $0, (%%rsp)" ::: "memory", "cc");
}
