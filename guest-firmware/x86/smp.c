/* SPDX-License-Identifier: Apache-2.0 */
/* Starting other CPUs: INIT and start-up interrupts (Intel SDM volume 3, section 8.4). */
#include "layout.h"
#include "platform.h"
#include "platform_x86.h"
#include "string.h"

#define LAPIC_REG_ICR_LOW  0x300
#define LAPIC_REG_ICR_HIGH 0x310
#define ICR_INIT           0x4500
#define ICR_STARTUP        0x4600
#define ICR_ALL_BUT_SELF   0xc0000

extern const char ap_trampoline[], ap_trampoline_end[];

static void (*volatile ap_entry)(unsigned int index);
static volatile unsigned int ap_arrived;

void ap_main(unsigned int index)
{
	void (*entry)(unsigned int) = ap_entry;

	traps_load();
	lapic_enable();
	__atomic_fetch_add(&ap_arrived, 1, __ATOMIC_SEQ_CST);
	entry(index);
	platform_halt();
}

static void prepare(uintptr_t page, void (*entry)(unsigned int index))
{
	void *to = (void *)page;

	__asm__("" : "+r"(to)); /* page 0 is an address like any other */
	memcpy(to, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	ap_entry = entry;
}

bool cpu_start(uint32_t hardware_id, void (*entry)(unsigned int index))
{
	unsigned int before = ap_arrived;

	prepare(AP_TRAMPOLINE_GPA, entry);
	lapic_write(LAPIC_REG_ICR_HIGH, hardware_id << 24);
	lapic_write(LAPIC_REG_ICR_LOW, ICR_INIT);
	delay_us(100);
	lapic_write(LAPIC_REG_ICR_HIGH, hardware_id << 24);
	lapic_write(LAPIC_REG_ICR_LOW, ICR_STARTUP | AP_TRAMPOLINE_GPA >> 12);
	return wait_for_count(&ap_arrived, before + 1);
}

void cpu_start_broadcast(uint8_t page_vector, void (*entry)(unsigned int index))
{
	prepare((uintptr_t)page_vector << 12, entry);
	lapic_write(LAPIC_REG_ICR_LOW, ICR_ALL_BUT_SELF | ICR_INIT);
	delay_us(100);
	lapic_write(LAPIC_REG_ICR_LOW, ICR_ALL_BUT_SELF | ICR_STARTUP | page_vector);
}
