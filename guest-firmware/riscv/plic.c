/* SPDX-License-Identifier: Apache-2.0 */
/* The PLIC: claim, handle, complete, in the boot hart's supervisor context (RISC-V PLIC 1.0.0). */
#include "mmio.h"
#include "platform_riscv.h"

#define PLIC_PRIORITY(source)   (4ull * (source))
#define PLIC_ENABLE(context)    (0x2000 + 0x80ull * (context))
#define PLIC_THRESHOLD(context) (0x200000 + 0x1000ull * (context))
#define PLIC_CLAIM(context)     (PLIC_THRESHOLD(context) + 4)
#define PLIC_SOURCES_MAX        1024

static struct {
	uint64_t gpa;
	unsigned int context, sources;
	uint8_t vectors[PLIC_SOURCES_MAX];
} plic;

static void set_enabled(unsigned int source, bool enabled)
{
	uint64_t word = plic.gpa + PLIC_ENABLE(plic.context) + source / 32 * 4;
	uint32_t bit = 1u << source % 32, value = mmio_read32(word);

	mmio_write32(word, enabled ? value | bit : value & ~bit);
}

static void take(void)
{
	uint64_t claim = plic.gpa + PLIC_CLAIM(plic.context);
	uint32_t source = mmio_read32(claim);

	if (!source)
		return;
	if (source < PLIC_SOURCES_MAX)
		irq_run(plic.vectors[source]);
	mmio_write32(claim, source);
}

static int route(unsigned int gsi, int vector, bool level)
{
	if (!gsi || gsi > plic.sources || gsi >= PLIC_SOURCES_MAX)
		return -1;
	plic.vectors[gsi] = (uint8_t)vector;
	mmio_write32(plic.gpa + PLIC_PRIORITY(gsi), 1);
	set_enabled(gsi, true);
	return 0;
}

static void mask(unsigned int gsi)
{
	if (gsi && gsi <= plic.sources && gsi < PLIC_SOURCES_MAX)
		set_enabled(gsi, false);
}

static const struct irq_controller controller = {
	.name = "PLIC",
	.take = take,
	.route = route,
	.mask = mask,
};

const struct irq_controller *plic_open(void)
{
	uint32_t phandle = hart_intc_phandle(cpu_hardware_id());
	struct fdt_node node;
	uint64_t size_bytes;
	int context;

	if (!fdt_find_compatible("sifive,plic-1.0.0", 0, &node) &&
	    !fdt_find_compatible("riscv,plic0", 0, &node))
		return NULL;
	context = interrupts_extended_index(&node, phandle, LOCAL_EXTERNAL);
	if (context < 0 || !fdt_reg(&node, 0, &plic.gpa, &size_bytes))
		return NULL;
	plic.context = (unsigned int)context;
	plic.sources = fdt_u32(&node, "riscv,ndev", 0);
	mmio_write32(plic.gpa + PLIC_THRESHOLD(plic.context), 0);
	return &controller;
}
