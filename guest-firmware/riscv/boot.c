/* SPDX-License-Identifier: Apache-2.0 */
/* From the first C line to the test, and from its return to the exit. */
#include "platform_riscv.h"
#include "report.h"

struct boot_info boot_info;

void boot_main(uint64_t hart_id, uint64_t fdt_gpa)
{
	const char *problem = boot_info_load(fdt_gpa);

	console_init();
	irq_init();
	if (*problem)
		report_fail("boot information", "%s", problem);
	test_main();
	platform_exit(report_summary());
}

void cpu_relax(void)
{
	__asm__ volatile(
		".insn i 0x0f, 0, x0, x0, 0x010"); /* pause, a hint where Zihintpause is not */
}

void memory_barrier(void)
{
	__asm__ volatile("fence iorw, iorw" ::: "memory");
}
