/* SPDX-License-Identifier: Apache-2.0 */
/* SBI calls, and what ends the guest: system reset (SBI 2.0, chapter 10). */
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1,
                           uint64_t a2)
{
	register uint64_t r0 __asm__("a0") = a0;
	register uint64_t r1 __asm__("a1") = a1;
	register uint64_t r2 __asm__("a2") = a2;
	register uint64_t r6 __asm__("a6") = function;
	register uint64_t r7 __asm__("a7") = extension;

	__asm__ volatile("ecall" : "+r"(r0), "+r"(r1) : "r"(r2), "r"(r6), "r"(r7) : "memory");
	return (struct sbi_result){ (int64_t)r0, (int64_t)r1 };
}

bool sbi_has(uint64_t extension)
{
	struct sbi_result result = sbi_call(SBI_BASE, SBI_BASE_PROBE, extension, 0, 0);

	return !result.error && result.value;
}

static void shut_down(uint64_t reason)
{
	sbi_call(SBI_SRST, 0, SBI_SRST_SHUTDOWN, reason, 0);
	sbi_call(SBI_OLD_SHUTDOWN, 0, 0, 0, 0);
}

void platform_power_off(void)
{
	shut_down(SBI_SRST_NO_REASON);
	delay_us(100000);
}

/*
 * There is no debug-exit port: the line carries what the status would be behind one. The debug
 * console is heard whatever device is the guest's console.
 */
void platform_exit(uint8_t value)
{
	char line[32];
	int length = string_format(line, sizeof(line), "EXIT: STATUS=%u\n", value << 1 | 1u);

	if (sbi_call(SBI_DBCN, SBI_DBCN_WRITE, (uint64_t)length, (uintptr_t)line, 0).error)
		print("%s", line);
	shut_down(value == EXIT_FAIL ? SBI_SRST_SYSTEM_FAILED : SBI_SRST_NO_REASON);
	platform_halt();
}

void platform_halt(void)
{
	irq_disable();
	for (;;)
		__asm__ volatile("csrw sie, zero; wfi");
}
