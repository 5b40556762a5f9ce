/* SPDX-License-Identifier: Apache-2.0 */
/* Timer interrupts: the PIT through the I/O APIC, the local APIC's timer once and periodically. */
#include "io.h"
#include "platform.h"
#include "platform_x86.h"
#include "print.h"
#include "report.h"

#define PIT_CHANNEL0 0x40
#define PIT_MODE     0x43
#define PIT_GSI      2 /* by the MADT's override of ISA interrupt 0 */
#define PIT_1KHZ     1193

#define LAPIC_LVT_TIMER     0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0
#define LVT_MASKED          0x10000
#define LVT_PERIODIC        0x20000

static volatile unsigned int pit_interrupts, lapic_interrupts;

static void count(void *opaque)
{
	++*(volatile unsigned int *)opaque;
}

static void test_pit(void)
{
	irq_route_gsi(PIT_GSI, irq_vector_alloc(count, (void *)&pit_interrupts), false);
	out8(PIT_MODE, 0x34); /* channel 0, both bytes, rate generator */
	out8(PIT_CHANNEL0, PIT_1KHZ & 0xff);
	out8(PIT_CHANNEL0, PIT_1KHZ >> 8);
	CHECK("PIT: 5 interrupts", wait_for_count(&pit_interrupts, 5));
	print("  %u interrupts, %lu kHz\n", pit_interrupts, tsc_khz());
	irq_mask_gsi(PIT_GSI);
	out8(PIT_MODE, 0x30); /* stops after one count */
}

static void test_lapic(void)
{
	uint32_t vector = (uint32_t)irq_vector_alloc(count, (void *)&lapic_interrupts);

	lapic_write(LAPIC_TIMER_DIVIDE, 0x3); /* by 16 */
	lapic_write(LAPIC_LVT_TIMER, vector);
	lapic_write(LAPIC_TIMER_INITIAL, 10000);
	CHECK("local APIC timer: once", wait_for_count(&lapic_interrupts, 1));
	irq_enable();
	delay_us(3000);
	irq_disable();
	CHECK_EQUAL("local APIC timer: only once", lapic_interrupts, 1);
	CHECK_EQUAL("local APIC timer: stopped at 0", lapic_read(LAPIC_TIMER_CURRENT), 0);
	lapic_write(LAPIC_LVT_TIMER, vector | LVT_PERIODIC);
	lapic_write(LAPIC_TIMER_INITIAL, 100000);
	CHECK("local APIC timer: periodic", wait_for_count(&lapic_interrupts, 6));
	lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
}

void test_main(void)
{
	test_pit();
	test_lapic();
}
