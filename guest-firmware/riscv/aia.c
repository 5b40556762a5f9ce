/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Advanced Interrupt Architecture 1.0: the boot hart's IMSIC file, and an APLIC that turns
 * wires into messages for it.
 *
 * A vector is an interrupt identity of the file. A level wire sends one message when it rises; the
 * handler done, the APLIC is asked to send another if it is still up (section 4.9.3 of it; some
 * models send one even when it is down, so we look first).
 */
#include "mmio.h"
#include "platform_riscv.h"

#define IMSIC_EIDELIVERY  0x70
#define IMSIC_EITHRESHOLD 0x72
#define IMSIC_EIE0        0xc0

#define APLIC_DOMAINCFG      0x0000
#define APLIC_SOURCECFG(n)   (0x0004 + 4ull * ((n)-1))
#define APLIC_SETIPNUM       0x1cdc
#define APLIC_IN_CLRIP(n)    (0x1d00 + (n) / 32 * 4ull)
#define APLIC_SETIENUM       0x1edc
#define APLIC_CLRIENUM       0x1fdc
#define APLIC_TARGET(n)      (0x3004 + 4ull * ((n)-1))
#define DOMAINCFG_IE         0x100
#define DOMAINCFG_MESSAGES   0x4
#define SOURCECFG_RISING     4
#define SOURCECFG_LEVEL_HIGH 6
#define TARGET_HART_SHIFT    18

static struct {
	uint64_t file_gpa, aplic_gpa;
	unsigned int hart_index, sources;
	uint16_t level_source[IRQ_VECTOR_MAX + 1]; /* by vector; 0: none */
} aia;

/* siselect and sireg */
static void imsic_write(uint64_t reg, uint64_t value)
{
	__asm__ volatile("csrw 0x150, %0; csrw 0x151, %1" : : "r"(reg), "r"(value) : "memory");
}

static void aplic_write(uint64_t reg, uint32_t value)
{
	mmio_write32(aia.aplic_gpa + reg, value);
}

static void take(void)
{
	uint64_t top;
	unsigned int vector, source;

	/* stopei: reading tells which, writing takes it */
	__asm__ volatile("csrrw %0, 0x15c, zero" : "=r"(top) : : "memory");
	vector = top >> 16 & 0x7ff;
	irq_run(vector);
	source = vector <= IRQ_VECTOR_MAX ? aia.level_source[vector] : 0;
	if (source && mmio_read32(aia.aplic_gpa + APLIC_IN_CLRIP(source)) >> source % 32 & 1)
		aplic_write(APLIC_SETIPNUM, source);
}

static void message(int vector, uint64_t *ret_gpa, uint32_t *ret_data)
{
	*ret_gpa = aia.file_gpa;
	*ret_data = (uint32_t)vector;
}

static int route(unsigned int gsi, int vector, bool level)
{
	if (!aia.aplic_gpa || !gsi || gsi > aia.sources || vector <= 0 || vector > IRQ_VECTOR_MAX)
		return -1;
	aplic_write(APLIC_CLRIENUM, gsi);
	aplic_write(APLIC_SOURCECFG(gsi), 0);
	aplic_write(APLIC_TARGET(gsi), aia.hart_index << TARGET_HART_SHIFT | (uint32_t)vector);
	aplic_write(APLIC_SOURCECFG(gsi), level ? SOURCECFG_LEVEL_HIGH : SOURCECFG_RISING);
	/* an inactive source has no target: some models forget it */
	aplic_write(APLIC_TARGET(gsi), aia.hart_index << TARGET_HART_SHIFT | (uint32_t)vector);
	aia.level_source[vector] = (uint16_t)(level ? gsi : 0);
	aplic_write(APLIC_SETIENUM, gsi);
	return 0;
}

static void mask(unsigned int gsi)
{
	if (aia.aplic_gpa && gsi && gsi <= aia.sources)
		aplic_write(APLIC_CLRIENUM, gsi);
}

static const struct irq_controller controller = {
	.name = "AIA",
	.messages = true,
	.take = take,
	.message = message,
	.route = route,
	.mask = mask,
};

/* The node whose files are the supervisor's: its interrupts-extended says cause 9 for this hart. */
static bool find_imsic(struct fdt_node *ret_node, int *ret_index)
{
	uint32_t phandle = hart_intc_phandle(cpu_hardware_id());
	unsigned int i;

	for (i = 0; fdt_find_compatible("riscv,imsics", i, ret_node); i++) {
		*ret_index = interrupts_extended_index(ret_node, phandle, LOCAL_EXTERNAL);
		if (*ret_index >= 0)
			return true;
	}
	return false;
}

static void open_aplic(uint32_t imsic_phandle)
{
	struct fdt_node node;
	uint64_t size_bytes;
	unsigned int i;

	for (i = 0; fdt_find_compatible("riscv,aplic", i, &node); i++) {
		if (fdt_u32(&node, "msi-parent", 0) != imsic_phandle ||
		    !fdt_reg(&node, 0, &aia.aplic_gpa, &size_bytes))
			continue;
		aia.sources = fdt_u32(&node, "riscv,num-sources", 0);
		aplic_write(APLIC_DOMAINCFG, DOMAINCFG_IE | DOMAINCFG_MESSAGES);
		return;
	}
}

const struct irq_controller *aia_open(void)
{
	struct fdt_node node;
	uint64_t base_gpa, size_bytes;
	int index;

	if (!find_imsic(&node, &index) || !fdt_reg(&node, 0, &base_gpa, &size_bytes))
		return NULL;
	aia.hart_index = (unsigned int)index;
	aia.file_gpa =
		base_gpa + ((uint64_t)index << (12 + fdt_u32(&node, "riscv,guest-index-bits", 0)));
	imsic_write(IMSIC_EITHRESHOLD, 0);
	imsic_write(IMSIC_EIE0, ~1ull);
	imsic_write(IMSIC_EIDELIVERY, 1);
	open_aplic(fdt_u32(&node, "phandle", 0));
	return &controller;
}
