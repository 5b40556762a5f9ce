/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a look at guest memory takes its slices, and what a sample says about all. */
#include "reclaim_look.h"

static size_t greatest_common_divisor(size_t a, size_t b)
{
	while (b) {
		size_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Steps of the golden section fall into the largest gaps. */
size_t reclaim_look_step(size_t count)
{
	size_t step = count * 618 / 1000;

	if (count < 3)
		return 1;
	while (greatest_common_divisor(step, count) != 1)
		step++;
	return step;
}

uint64_t reclaim_look_extrapolate(uint64_t found_bytes, uint64_t looked_bytes, uint64_t total_bytes)
{
	double all;

	if (looked_bytes >= total_bytes || !looked_bytes)
		return found_bytes;
	all = (double)found_bytes * (double)total_bytes / (double)looked_bytes;
	return min_u64((uint64_t)all / PAGE_4K_BYTES * PAGE_4K_BYTES, total_bytes);
}
