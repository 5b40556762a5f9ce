/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PLIC's registers and gateways (RISC-V PLIC 1.0.0), with the console's UART as source:
 * priority, threshold, enable, pending, claim and complete, in every context there is.
 */
#include "mmio.h"
#include "platform_riscv.h"
#include "print.h"
#include "report.h"

#define IER           1
#define IER_THR_EMPTY 2

#define PRIORITY(source)   (plic_gpa + 4ull * (source))
#define PENDING(source)    (plic_gpa + 0x1000 + (source) / 32 * 4ull)
#define ENABLE(context)    (plic_gpa + 0x2000 + 0x80ull * (context))
#define THRESHOLD(context) (plic_gpa + 0x200000 + 0x1000ull * (context))
#define CLAIM(context)     (THRESHOLD(context) + 4)

static uint64_t plic_gpa;
static uint32_t source;

/* The UART has something to say as long as its transmitter's interrupt is on. */
static void set_wire(bool up)
{
	platform_uart_write(IER, up ? IER_THR_EMPTY : 0);
}

static void enable(unsigned int context, bool enabled)
{
	mmio_write32(ENABLE(context) + source / 32 * 4, enabled ? 1u << source % 32 : 0);
}

static bool is_pending(void)
{
	return mmio_read32(PENDING(source)) >> source % 32 & 1;
}

/* Instead of the controller's handler: only notes that there is an interrupt. */
static void note(void *opaque)
{
	*(volatile bool *)opaque = true;
	irq_local_handler(LOCAL_EXTERNAL, NULL, NULL);
}

/* By taking it: not every emulator shows a guest its pending bits. */
static bool interrupt_raised(void)
{
	volatile bool raised = false;

	irq_local_handler(LOCAL_EXTERNAL, note, (void *)&raised);
	irq_enable();
	delay_us(300);
	irq_disable();
	irq_local_handler(LOCAL_EXTERNAL, NULL, NULL);
	return raised;
}

static void test_registers(unsigned int contexts)
{
	unsigned int i;

	for (i = 1; i < 32; i++)
		EXPECT_EQUAL("priorities are 0 at first", mmio_read32(PRIORITY(i)), 0);
	report_section("priorities are 0 at first");
	mmio_write32(PRIORITY(source), 3);
	CHECK_EQUAL("priority reads back", mmio_read32(PRIORITY(source)), 3);
	mmio_write32(PRIORITY(0), 7);
	CHECK_EQUAL("source 0 has no priority", mmio_read32(PRIORITY(0)), 0);
	for (i = 0; i < contexts; i++) {
		mmio_write32(ENABLE(i), ~0u);
		EXPECT_EQUAL("source 0 cannot be enabled", mmio_read32(ENABLE(i)) & 1, 0);
		mmio_write32(ENABLE(i), 0);
		EXPECT_EQUAL("enable bits read back", mmio_read32(ENABLE(i)), 0);
		mmio_write32(THRESHOLD(i), 2);
		EXPECT_EQUAL("threshold reads back", mmio_read32(THRESHOLD(i)), 2);
		mmio_write32(THRESHOLD(i), 0);
		EXPECT_EQUAL("nothing to claim", mmio_read32(CLAIM(i)), 0);
	}
	report_section("enable bits, thresholds and claims of every context");
	mmio_write32(PENDING(source), ~0u);
	CHECK("pending bits are read-only", !is_pending());
}

/* Levels: what is claimed is not pending; completed with the wire still up, it is again. */
static void test_claims(unsigned int context)
{
	mmio_write32(PRIORITY(source), 3);
	enable(context, true);
	CHECK("nothing is raised at first", !interrupt_raised());
	set_wire(true);
	CHECK("pending when the wire rises", is_pending() && interrupt_raised());
	mmio_write32(THRESHOLD(context), 3);
	CHECK("not raised at its threshold", is_pending() && !interrupt_raised());
	mmio_write32(THRESHOLD(context), 2);
	CHECK("raised above its threshold", interrupt_raised());
	enable(context, false);
	CHECK("not raised when not enabled", is_pending() && !interrupt_raised());
	CHECK_EQUAL("nothing to claim when not enabled", mmio_read32(CLAIM(context)), 0);
	enable(context, true);
	mmio_write32(PRIORITY(source), 0);
	CHECK("never raised at priority 0", !interrupt_raised());
	mmio_write32(PRIORITY(source), 3);

	CHECK_EQUAL("claim", mmio_read32(CLAIM(context)), source);
	CHECK("claimed: not pending, not raised", !is_pending() && !interrupt_raised());
	CHECK_EQUAL("claimed: no second time", mmio_read32(CLAIM(context)), 0);
	mmio_write32(CLAIM(context), source + 1);
	CHECK("another source's completion does nothing", !is_pending());
	mmio_write32(CLAIM(context), source);
	CHECK("completed, the wire up: pending again", is_pending() && interrupt_raised());
	CHECK_EQUAL("claim again", mmio_read32(CLAIM(context)), source);
	set_wire(false);
	mmio_write32(CLAIM(context), source);
	CHECK("completed, the wire down: not pending", !is_pending() && !interrupt_raised());
	mmio_write32(CLAIM(context), source);
	mmio_write32(CLAIM(context), ~0u);
	CHECK("completions of nothing do nothing", !is_pending() && !mmio_read32(CLAIM(context)));
}

/* Two contexts want it: the first to claim has it. */
static void test_contexts(unsigned int mine, unsigned int contexts)
{
	unsigned int other = mine ? 0 : 1;

	if (contexts < 2) {
		report_skip("two contexts", "there is one");
		return;
	}
	enable(mine, true);
	enable(other, true);
	mmio_write32(THRESHOLD(other), 0);
	set_wire(true);
	CHECK("two contexts: raised here", interrupt_raised());
	CHECK_EQUAL("two contexts: the other claims", mmio_read32(CLAIM(other)), source);
	CHECK("two contexts: not raised here any more", !interrupt_raised());
	CHECK_EQUAL("two contexts: nothing left here", mmio_read32(CLAIM(mine)), 0);
	set_wire(false);
	mmio_write32(CLAIM(other), source);
	enable(other, false);
	enable(mine, false);
	CHECK("two contexts: all is quiet", !is_pending() && !interrupt_raised());
}

void test_main(void)
{
	struct fdt_node plic, uart;
	uint64_t size_bytes;
	uint32_t list_bytes;
	int context;

	if (!fdt_find_compatible("sifive,plic-1.0.0", 0, &plic) ||
	    !fdt_find_compatible("ns16550a", 0, &uart)) {
		report_skip("PLIC", "the machine has none: %s", irq_controller_name());
		return;
	}
	fdt_reg(&plic, 0, &plic_gpa, &size_bytes);
	source = fdt_u32(&uart, "interrupts", 0);
	context = interrupts_extended_index(&plic, hart_intc_phandle(cpu_hardware_id()),
	                                    LOCAL_EXTERNAL);
	if (!CHECK("it is wired to this hart", context >= 0 && source) ||
	    !fdt_property(&plic, "interrupts-extended", &list_bytes))
		return;
	test_registers(list_bytes / 8);
	test_claims((unsigned int)context);
	test_contexts((unsigned int)context, list_bytes / 8);
	print("%u contexts, source %u\n", list_bytes / 8, source);
}
