/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting, on top of the architecture's clock. */
#include "platform.h"

void delay_us(unsigned int us)
{
	uint64_t end = clock_ns() + (uint64_t)us * 1000;

	while (clock_ns() < end)
		cpu_relax();
}

bool wait_for_count(const volatile unsigned int *counter, unsigned int target)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	bool reached;

	irq_enable();
	while (!(reached = *counter >= target) && clock_ns() < end)
		cpu_relax();
	irq_disable();
	return reached || *counter >= target;
}
