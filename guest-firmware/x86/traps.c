/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and interrupts: the IDT, the local APIC and the I/O APIC.
 *
 * An exception is reported and ends the guest. An interrupt runs the handler given to
 * irq_vector_alloc() and is then acknowledged at the local APIC. Intel SDM volume 3, chapters 6 and
 * 11; I/O APIC data sheet.
 */
#include "io.h"
#include "layout.h"
#include "mmio.h"
#include "platform.h"
#include "platform_x86.h"
#include "report.h"

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code, rip, cs, rflags, rsp, ss;
};

struct idt_entry {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
};

#define IDT_INTERRUPT_GATE 0x8e00

#define LAPIC_REG_ID       0x20
#define LAPIC_REG_TPR      0x80
#define LAPIC_REG_EOI      0xb0
#define LAPIC_REG_SPURIOUS 0xf0

#define IOAPIC_REG_SELECT       0x00
#define IOAPIC_REG_WINDOW       0x10
#define IOAPIC_REDIRECTION(gsi) (0x10 + 2 * (gsi))
#define IOAPIC_MASKED           0x10000
#define IOAPIC_LEVEL            0x8000

extern const char trap_stubs[];
void trap_dispatch(struct trap_frame *frame);

static struct idt_entry idt[VECTOR_COUNT];

static struct {
	unsigned int count;
	struct {
		irq_handler handler;
		void *opaque;
	} rows[VECTOR_SPURIOUS - VECTOR_FIRST_IRQ];
} irqs;

void traps_load(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void traps_init(void)
{
	unsigned int i;

	for (i = 0; i < VECTOR_COUNT; i++) {
		uintptr_t stub = (uintptr_t)trap_stubs + 16 * i;

		idt[i] = (struct idt_entry){ (uint16_t)stub,         SELECTOR_CODE64,
			                     IDT_INTERRUPT_GATE,     (uint16_t)(stub >> 16),
			                     (uint32_t)(stub >> 32), 0 };
	}
	traps_load();
	/* the old PIC stays masked: its vectors would hit the exceptions' */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

static void report_exception(const struct trap_frame *frame)
{
	uint64_t cr2;

	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	report_fail("exception", "vector %lu at rip 0x%lx, error code 0x%lx, cr2 0x%lx, rsp 0x%lx",
	            frame->vector, frame->rip, frame->error_code, cr2, frame->rsp);
	platform_exit(report_summary());
}

void trap_dispatch(struct trap_frame *frame)
{
	unsigned int row = (unsigned int)frame->vector - VECTOR_FIRST_IRQ;

	if (frame->vector < VECTOR_FIRST_IRQ)
		report_exception(frame);
	if (frame->vector == VECTOR_SPURIOUS)
		return;
	if (row < irqs.count)
		irqs.rows[row].handler(irqs.rows[row].opaque);
	lapic_write(LAPIC_REG_EOI, 0);
}

uint32_t lapic_read(unsigned int reg)
{
	return mmio_read32(LAPIC_GPA + reg);
}

void lapic_write(unsigned int reg, uint32_t value)
{
	mmio_write32(LAPIC_GPA + reg, value);
}

void lapic_enable(void)
{
	lapic_write(LAPIC_REG_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	lapic_write(LAPIC_REG_TPR, 0);
}

uint32_t cpu_hardware_id(void)
{
	return lapic_read(LAPIC_REG_ID) >> 24;
}

int irq_vector_alloc(irq_handler handler, void *opaque)
{
	if (irqs.count == ARRAY_SIZE(irqs.rows))
		return -1;
	irqs.rows[irqs.count].handler = handler;
	irqs.rows[irqs.count].opaque = opaque;
	return VECTOR_FIRST_IRQ + (int)irqs.count++;
}

bool irq_has_messages(void)
{
	return true;
}

void irq_message(int vector, uint64_t *ret_gpa, uint32_t *ret_data)
{
	*ret_gpa = LAPIC_GPA | cpu_hardware_id() << 12;
	*ret_data = (uint32_t)vector;
}

static void ioapic_write(unsigned int reg, uint32_t value)
{
	mmio_write32(IOAPIC_GPA + IOAPIC_REG_SELECT, reg);
	mmio_write32(IOAPIC_GPA + IOAPIC_REG_WINDOW, value);
}

static unsigned int ioapic_pins(void)
{
	mmio_write32(IOAPIC_GPA + IOAPIC_REG_SELECT, 1);
	return (mmio_read32(IOAPIC_GPA + IOAPIC_REG_WINDOW) >> 16 & 0xff) + 1;
}

int irq_route_gsi(unsigned int gsi, int vector, bool level)
{
	if (gsi >= ioapic_pins())
		return -1;
	ioapic_write(IOAPIC_REDIRECTION(gsi) + 1, cpu_hardware_id() << 24);
	ioapic_write(IOAPIC_REDIRECTION(gsi), (uint32_t)vector | (level ? IOAPIC_LEVEL : 0));
	return 0;
}

void irq_mask_gsi(unsigned int gsi)
{
	if (gsi < ioapic_pins())
		ioapic_write(IOAPIC_REDIRECTION(gsi), IOAPIC_MASKED);
}

void irq_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}

void irq_disable(void)
{
	__asm__ volatile("cli" ::: "memory");
}
