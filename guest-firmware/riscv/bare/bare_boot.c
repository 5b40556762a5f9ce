/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bare test kernel finds at its entry: registers, its own place, the device tree, memory,
 * command line, initrd.
 *
 * Words: ram-mib=N and cpus=N, what there must be; initrd=N, the length of an initrd whose text
 * starts with NR_CPUS=N.
 */
#include "command_line.h"
#include "memory.h"
#include "platform_riscv.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define RAM_GPA       0x80000000ull
#define KERNEL_OFFSET 0x200000ull
#define UART_GPA      0x10000000ull
#define FREE_BYTES    0x10000ull /* what a kernel takes behind its image before it knows better */
#define FDT_BYTES_MAX 0x200000u

/* Initialised with addresses: right only where the image moved itself. */
static const char *const words[] = { "moved", "by", "itself" };

static void test_entry_state(void)
{
	CHECK_EQUAL("the image lies at RAM + 2 MiB", entry_state.where_gpa,
	            RAM_GPA + KERNEL_OFFSET);
	CHECK("its addresses are right", !strcmp(words[0], "moved") && !strcmp(words[2], "itself"));
	CHECK_EQUAL("a0 is the hart's id", entry_state.a0, platform_cpu_id(0));
	CHECK("a1 points to a device tree", fdt_gpa() && fdt_gpa() == entry_state.a1);
	CHECK_EQUAL("interrupts off", entry_state.sstatus & SSTATUS_SIE, 0);
	CHECK_EQUAL("no translation", entry_state.satp, 0);
}

static bool apart(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	return a + a_bytes <= b || b + b_bytes <= a;
}

static void test_cpus(void)
{
	unsigned int i, count = platform_cpu_count();
	struct fdt_node cpu, cpus;

	CHECK_EQUAL("number of harts", count, option_u64("cpus", 1));
	CHECK("timebase-frequency is /cpus'",
	      fdt_find_child("cpus", &cpus) && fdt_u32(&cpus, "timebase-frequency", 0) >= 100000);
	for (i = 0; fdt_find_type("cpu", i, &cpu); i++) {
		const char *isa = (const char *)fdt_property(&cpu, "riscv,isa", NULL);

		EXPECT("each hart has its riscv,isa", isa && !strncmp(isa, "rv64ima", 7));
		EXPECT_EQUAL("harts count from 0", fdt_u32(&cpu, "reg", ~0u), i);
		EXPECT("each hart has an interrupt controller", hart_intc_phandle(i) != 0);
	}
	report_section("each hart: riscv,isa, reg, interrupt controller");
}

static uint64_t sum_ram(void)
{
	uint64_t gpa, size_bytes, ram_bytes = 0;
	struct fdt_node memory;
	unsigned int i, j;

	for (i = 0; fdt_find_type("memory", i, &memory); i++)
		for (j = 0; fdt_reg(&memory, j, &gpa, &size_bytes); j++)
			ram_bytes += size_bytes;
	return ram_bytes;
}

/* Each end of RAM holds its own word; the first 2 MiB are RAM as well. */
static void test_memory(void)
{
	uint64_t wanted_bytes = option_u64("ram-mib", 0) << 20, gpa, size_bytes;
	volatile uint64_t *first = (volatile uint64_t *)(RAM_GPA + 8);
	volatile uint64_t *last, *middle;
	struct fdt_node memory;

	if (!CHECK("memory is there",
	           fdt_find_type("memory", 0, &memory) && fdt_reg(&memory, 0, &gpa, &size_bytes)))
		return;
	CHECK_EQUAL("memory begins at 2 GiB", gpa, RAM_GPA);
	CHECK_EQUAL("memory size", sum_ram(), wanted_bytes);
	CHECK("the device tree lies in it, out of the image's way",
	      fdt_gpa() >= gpa && fdt_gpa() + fdt_size_bytes() <= gpa + size_bytes &&
	              fdt_size_bytes() <= FDT_BYTES_MAX &&
	              apart(fdt_gpa(), fdt_size_bytes(), (uintptr_t)firmware_start,
	                    (uintptr_t)firmware_end + FREE_BYTES - (uintptr_t)firmware_start));
	last = (volatile uint64_t *)(gpa + size_bytes - 8);
	if (fdt_gpa() + fdt_size_bytes() > (uintptr_t)last)
		last = (volatile uint64_t *)(fdt_gpa() - 8);
	middle = (volatile uint64_t *)(gpa + size_bytes / 2);
	*first = 0x1111;
	*middle = 0x2222;
	*last = 0x3333;
	CHECK("first, middle and last word of RAM",
	      *first == 0x1111 && *middle == 0x2222 && *last == 0x3333);
}

static void test_command_line(void)
{
	CHECK("the command line has no program's name",
	      !strncmp(boot_info.command_line, "ram-mib=", 8));
	CHECK("all of it is there", option_present("cpus"));
}

static void test_initrd(void)
{
	uint64_t wanted_bytes = option_u64("initrd", 0);
	const struct boot_module *initrd = &boot_info.modules[0];
	const char *text = (const char *)(uintptr_t)initrd->gpa;

	CHECK_EQUAL("an initrd, or none", boot_info.module_count, wanted_bytes != 0);
	if (!boot_info.module_count)
		return;
	CHECK_EQUAL("initrd: length", initrd->size_bytes, wanted_bytes);
	CHECK("initrd: text",
	      !strncmp(text, "NR_CPUS=", 8) && string_to_u64(text + 8) == option_u64("cpus", 1));
	CHECK("initrd: not right behind the image",
	      apart(initrd->gpa, initrd->size_bytes, (uintptr_t)firmware_start,
	            (uintptr_t)firmware_end + FREE_BYTES - (uintptr_t)firmware_start));
	CHECK("initrd: not in the device tree",
	      apart(initrd->gpa, initrd->size_bytes, fdt_gpa(), fdt_size_bytes()));
}

void test_main(void)
{
	test_entry_state();
	test_cpus();
	test_memory();
	test_command_line();
	test_initrd();
	CHECK_EQUAL("UART at its usual place", console_gpa(), UART_GPA);
}
