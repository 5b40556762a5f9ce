/* SPDX-License-Identifier: Apache-2.0 */
/* The clock: the time stamp counter, measured once against channel 2 of the PIT. */
#include "io.h"
#include "platform.h"
#include "platform_x86.h"

#define PIT_HZ            1193182
#define PIT_CHANNEL2      0x42
#define PIT_MODE          0x43
#define PIT_GATE          0x61
#define CALIBRATION_TICKS 2386 /* 2 ms */

static uint64_t khz;

static uint16_t pit_count(void)
{
	uint16_t low;

	out8(PIT_MODE, 0x80); /* latch channel 2 */
	low = in8(PIT_CHANNEL2);
	return (uint16_t)(low | in8(PIT_CHANNEL2) << 8);
}

uint64_t tsc_khz(void)
{
	uint64_t tsc_start, tsc_end;
	uint16_t start, end;

	if (khz)
		return khz;
	out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & ~2) | 1)); /* gate on, speaker off */
	out8(PIT_MODE, 0xb4);                                /* channel 2, both bytes, mode 2 */
	out8(PIT_CHANNEL2, 0xff);
	out8(PIT_CHANNEL2, 0xff);
	start = pit_count();
	tsc_start = read_tsc();
	do {
		end = pit_count();
		tsc_end = read_tsc();
	} while ((uint16_t)(start - end) < CALIBRATION_TICKS);
	khz = (tsc_end - tsc_start) * PIT_HZ / (uint16_t)(start - end) / 1000;
	if (!khz)
		khz = 1;
	return khz;
}

uint64_t clock_ns(void)
{
	uint64_t per_ms = tsc_khz(), now = read_tsc();

	return now / per_ms * 1000000 + now % per_ms * 1000000 / per_ms;
}

void delay_us(unsigned int us)
{
	uint64_t end = clock_ns() + (uint64_t)us * 1000;

	while (clock_ns() < end)
		cpu_relax();
}

bool wait_for_count(const volatile unsigned int *counter, unsigned int target,
                    unsigned int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	bool reached;

	irq_enable();
	while (!(reached = *counter >= target) && clock_ns() < end)
		cpu_relax();
	irq_disable();
	return reached || *counter >= target;
}
