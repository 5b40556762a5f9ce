/* SPDX-License-Identifier: Apache-2.0 */
/* Harts: which there are, and starting them by SBI HSM (SBI 2.0, chapter 9). */
#include "platform_riscv.h"

static void (*volatile ap_entry)(unsigned int index);
static volatile unsigned int ap_arrived;

void ap_main(unsigned int index)
{
	void (*entry)(unsigned int) = ap_entry;

	traps_load();
	__atomic_fetch_add(&ap_arrived, 1, __ATOMIC_SEQ_CST);
	entry(index);
	platform_halt();
}

bool cpu_start(uint32_t hardware_id, void (*entry)(unsigned int index))
{
	unsigned int before = ap_arrived;

	ap_entry = entry;
	memory_barrier();
	if (sbi_call(SBI_HSM, SBI_HSM_START, hardware_id, (uintptr_t)ap_start, 0).error)
		return false;
	return wait_for_count(&ap_arrived, before + 1);
}

uint32_t cpu_hardware_id(void)
{
	uint64_t id;

	__asm__ volatile("mv %0, tp" : "=r"(id));
	return (uint32_t)id;
}

unsigned int platform_cpu_count(void)
{
	struct fdt_node node;
	unsigned int count = 0;

	while (fdt_find_type("cpu", count, &node))
		count++;
	return count;
}

uint32_t platform_cpu_id(unsigned int index)
{
	struct fdt_node node;

	return fdt_find_type("cpu", index, &node) ? fdt_u32(&node, "reg", 0) : 0;
}

uint32_t hart_intc_phandle(uint64_t hart_id)
{
	struct fdt_walk walk = { 0 };
	struct fdt_node node;
	bool inside = false;

	while (fdt_next(&walk, &node)) {
		if (fdt_string_is(&node, "device_type", "cpu"))
			inside = fdt_u32(&node, "reg", ~0u) == hart_id;
		else if (inside && fdt_is_compatible(&node, "riscv,cpu-intc"))
			return fdt_u32(&node, "phandle", 0);
	}
	return 0;
}
