/* SPDX-License-Identifier: Apache-2.0 */
/* The time register and its timer (SBI 2.0, chapter 6): once, later, taken back, in the past,
 * often. */
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

#define NEVER ~0ull
#define TICKS 50

static volatile unsigned int interrupts;
static uint64_t period_ticks; /* 0: once */

static void take_timer(void *opaque)
{
	interrupts++;
	timer_set(period_ticks ? clock_ticks() + period_ticks : NEVER);
}

static void quiet(unsigned int us)
{
	irq_enable();
	delay_us(us);
	irq_disable();
}

void test_main(void)
{
	uint64_t start = clock_ticks(), end, i;

	CHECK("the tree names the frequency", clock_hz() >= 100000);
	for (i = 0; i < 1000; i++) {
		end = clock_ticks();
		EXPECT("time does not go back", end >= start);
		start = end;
	}
	report_section("time does not go back, 1000 times");

	timer_set(NEVER);
	irq_local_handler(LOCAL_TIMER, take_timer, NULL);
	timer_set(clock_ticks() + clock_hz() / 1000);
	CHECK("once: arrives", wait_for_count(&interrupts, 1));
	quiet(3000);
	CHECK_EQUAL("once: only once", interrupts, 1);

	timer_set(clock_ticks() + clock_hz() / 50);
	timer_set(NEVER);
	quiet(30000);
	CHECK_EQUAL("taken back: none", interrupts, 1);
	timer_set(1);
	CHECK("in the past: arrives at once", wait_for_count(&interrupts, 2));

	/* while interrupts are off it waits */
	timer_set(clock_ticks() + clock_hz() / 10000);
	delay_us(2000);
	CHECK_EQUAL("interrupts off: waits", interrupts, 2);
	CHECK("interrupts on: arrives", wait_for_count(&interrupts, 3));

	interrupts = 0;
	period_ticks = clock_hz() / 2000;
	start = clock_ticks();
	timer_set(start + period_ticks);
	CHECK("again and again", wait_for_count(&interrupts, TICKS));
	end = clock_ticks();
	CHECK("not too soon", end - start >= TICKS * period_ticks);
	period_ticks = 0;
	timer_set(NEVER);

	/* a hart that waits for an interrupt wakes up by it */
	interrupts = 0;
	timer_set(clock_ticks() + clock_hz() / 200);
	__asm__ volatile("wfi");
	CHECK("wfi ends", wait_for_count(&interrupts, 1));
	print("%lu Hz\n", clock_hz());
}
