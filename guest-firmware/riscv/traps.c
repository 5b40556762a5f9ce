/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions and interrupts of a hart (RISC-V privileged architecture, section 12.1).
 *
 * An exception that no test expects is reported and ends the guest. External interrupts go through
 * the controller that the tree names, AIA before PLIC.
 */
#include "layout.h"
#include "platform_riscv.h"
#include "report.h"

#define CAUSE_INTERRUPT (1ull << 63)

struct trap_frame {
	uint64_t pc;
	uint64_t x[31]; /* from x1 on */
	uint64_t sstatus;
	uint64_t padding;
};
_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_BYTES, "traps.S has the same idea of it");

void trap_dispatch(struct trap_frame *frame);

struct handler {
	irq_handler call;
	void *opaque;
};

static struct {
	const struct irq_controller *controller;
	unsigned int count;
	struct handler vectors[IRQ_VECTOR_MAX + 1]; /* 0 stays free: it is no identity */
	struct handler local[16];
	bool expecting;
	int caught;
} irqs;

void traps_load(void)
{
	__asm__ volatile("csrw stvec, %0; csrw sie, zero" : : "r"(trap_entry) : "memory");
}

static void report_exception(const struct trap_frame *frame, uint64_t cause)
{
	uint64_t value;

	__asm__ volatile("csrr %0, stval" : "=r"(value));
	report_fail("exception", "cause %lu at pc 0x%lx, stval 0x%lx, ra 0x%lx, hart %u", cause,
	            frame->pc, value, frame->x[0], cpu_hardware_id());
	platform_exit(report_summary());
}

static void take_exception(struct trap_frame *frame, uint64_t cause)
{
	if (!irqs.expecting)
		report_exception(frame, cause);
	irqs.caught = (int)cause;
	frame->pc += (*(const volatile uint16_t *)frame->pc & 3) == 3 ? 4 : 2;
}

void trap_dispatch(struct trap_frame *frame)
{
	uint64_t cause;
	unsigned int local;

	__asm__ volatile("csrr %0, scause" : "=r"(cause));
	if (!(cause & CAUSE_INTERRUPT)) {
		take_exception(frame, cause);
		return;
	}
	local = cause & 15;
	if (irqs.local[local].call)
		irqs.local[local].call(irqs.local[local].opaque);
	else if (local == LOCAL_EXTERNAL && irqs.controller)
		irqs.controller->take();
	else
		report_exception(frame, cause);
}

void trap_expect(void)
{
	irqs.caught = -1;
	irqs.expecting = true;
	compiler_barrier();
}

int trap_caught(void)
{
	compiler_barrier();
	irqs.expecting = false;
	return irqs.caught;
}

void irq_local_handler(unsigned int cause, irq_handler handler, void *opaque)
{
	uint64_t bit = 1ull << cause;

	irqs.local[cause] = (struct handler){ handler, opaque };
	if (handler)
		__asm__ volatile("csrs sie, %0" : : "r"(bit) : "memory");
	else
		__asm__ volatile("csrc sie, %0" : : "r"(bit) : "memory");
}

void irq_init(void)
{
	uint64_t bit = 1ull << LOCAL_EXTERNAL;

	traps_load();
	irqs.controller = aia_open();
	if (!irqs.controller)
		irqs.controller = plic_open();
	if (irqs.controller)
		__asm__ volatile("csrs sie, %0" : : "r"(bit) : "memory");
}

const char *irq_controller_name(void)
{
	return irqs.controller ? irqs.controller->name : "none";
}

int irq_vector_alloc(irq_handler handler, void *opaque)
{
	if (irqs.count == IRQ_VECTOR_MAX)
		return -1;
	irqs.vectors[++irqs.count] = (struct handler){ handler, opaque };
	return (int)irqs.count;
}

void irq_run(unsigned int vector)
{
	if (vector && vector <= irqs.count)
		irqs.vectors[vector].call(irqs.vectors[vector].opaque);
}

bool irq_has_messages(void)
{
	return irqs.controller && irqs.controller->messages;
}

void irq_message(int vector, uint64_t *ret_gpa, uint32_t *ret_data)
{
	*ret_gpa = 0;
	*ret_data = 0;
	if (irq_has_messages())
		irqs.controller->message(vector, ret_gpa, ret_data);
}

int irq_route_gsi(unsigned int gsi, int vector, bool level)
{
	return irqs.controller ? irqs.controller->route(gsi, vector, level) : -1;
}

void irq_mask_gsi(unsigned int gsi)
{
	if (irqs.controller)
		irqs.controller->mask(gsi);
}

void irq_enable(void)
{
	__asm__ volatile("csrsi sstatus, 2" ::: "memory");
}

void irq_disable(void)
{
	__asm__ volatile("csrci sstatus, 2" ::: "memory");
}

int interrupts_extended_index(const struct fdt_node *node, uint32_t phandle, uint32_t cause)
{
	uint32_t size_bytes, i;
	const uint8_t *cells = fdt_property(node, "interrupts-extended", &size_bytes);

	for (i = 0; cells && (i + 1) * 8 <= size_bytes; i++)
		if (fdt_cell(cells, 2 * i) == phandle && fdt_cell(cells, 2 * i + 1) == cause)
			return (int)i;
	return -1;
}
