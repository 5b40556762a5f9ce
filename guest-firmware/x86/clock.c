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
#define SAMPLE_TRIES      4

static uint64_t khz;

static uint16_t pit_count(void)
{
	uint16_t low;

	out8(PIT_MODE, 0x80); /* latch channel 2 */
	low = in8(PIT_CHANNEL2);
	return (uint16_t)(low | in8(PIT_CHANNEL2) << 8);
}

/* A count and the time stamp it belongs to. */
struct sample {
	uint64_t tsc;
	uint16_t count;
};

/* The tightest of a few pairs: whoever runs us may take the CPU away between the two reads. */
static struct sample take_sample(void)
{
	struct sample best = { 0 };
	uint64_t best_width = ~0ull;
	unsigned int i;

	for (i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = read_tsc();
		uint16_t count = pit_count();
		uint64_t width = read_tsc() - before;

		if (width < best_width) {
			best_width = width;
			best = (struct sample){ before + width / 2, count };
		}
	}
	return best;
}

static uint64_t measure_khz(void)
{
	struct sample start = take_sample(), end;

	do
		end = take_sample();
	while ((uint16_t)(start.count - end.count) < CALIBRATION_TICKS);
	return (end.tsc - start.tsc) * PIT_HZ / (uint16_t)(start.count - end.count) / 1000;
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t low = a < b ? a : b, high = a < b ? b : a;

	return c < low ? low : c > high ? high : c;
}

uint64_t tsc_khz(void)
{
	if (khz)
		return khz;
	out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & ~2) | 1)); /* gate on, speaker off */
	out8(PIT_MODE, 0xb4);                                /* channel 2, both bytes, mode 2 */
	out8(PIT_CHANNEL2, 0xff);
	out8(PIT_CHANNEL2, 0xff);
	khz = median(measure_khz(), measure_khz(), measure_khz());
	if (!khz)
		khz = 1;
	return khz;
}

uint64_t clock_ns(void)
{
	uint64_t per_ms = tsc_khz(), now = read_tsc();

	return now / per_ms * 1000000 + now % per_ms * 1000000 / per_ms;
}
