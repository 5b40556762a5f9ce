/* SPDX-License-Identifier: Apache-2.0 */
/* The time register and the timer it runs (SBI 2.0, chapter 6). */
#include "platform_riscv.h"

#define NS_PER_S 1000000000ull

static uint64_t hz;

uint64_t clock_ticks(void)
{
	uint64_t ticks;

	__asm__ volatile("rdtime %0" : "=r"(ticks));
	return ticks;
}

uint64_t clock_hz(void)
{
	struct fdt_node cpus;

	if (!hz) {
		if (fdt_find_child("cpus", &cpus))
			hz = fdt_u32(&cpus, "timebase-frequency", 0);
		if (!hz)
			hz = 10000000;
	}
	return hz;
}

uint64_t clock_ns(void)
{
	uint64_t per_s = clock_hz(), now = clock_ticks();

	return now / per_s * NS_PER_S + now % per_s * NS_PER_S / per_s;
}

void timer_set(uint64_t at_ticks)
{
	sbi_call(SBI_TIME, 0, at_ticks, 0, 0);
}
