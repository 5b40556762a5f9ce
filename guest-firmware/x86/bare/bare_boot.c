/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bare test kernel finds at its multiboot entry: CPU state, memory, command line, modules,
 * CPU count, tables.
 *
 * Words: ram-mib=N and cpus=N, what there must be; modules=N, how many modules; the first module's
 * text starts with NR_CPUS=N, the second one's is "second module".
 */
#include "acpi.h"
#include "command_line.h"
#include "fw_cfg.h"
#include "multiboot.h"
#include "platform.h"
#include "platform_x86.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define CR0_PROTECTED     0x00000001
#define CR0_PAGING        0x80000000
#define EFLAGS_INTERRUPTS 0x200
#define EFLAGS_VM86       0x20000
#define FIRST_ALLOWED_GPA 0x2000 /* pages 0 and 1 belong to the kernel's start code */
#define PC_RESERVED_BYTES (1u << 20)
#define SECOND_MODULE     "second module\n"

static const struct multiboot_info *info;

static void test_entry_state(void)
{
	CHECK_EQUAL("EAX is the loader's magic", entry_state.eax, MULTIBOOT_LOADED_MAGIC);
	CHECK("EBX points to the information block", entry_state.ebx != 0);
	CHECK_EQUAL("protected mode, paging off", entry_state.cr0 & (CR0_PROTECTED | CR0_PAGING),
	            CR0_PROTECTED);
	CHECK_EQUAL("interrupts off", entry_state.eflags & (EFLAGS_INTERRUPTS | EFLAGS_VM86), 0);
	CHECK("segments are flat to 4 GiB",
	      entry_state.high_word[0] && entry_state.high_word[0] == entry_state.high_word[1] &&
	              entry_state.high_word[0] == entry_state.high_word[2]);
	CHECK("code segment is not a data segment",
	      entry_state.cs && entry_state.ds && entry_state.cs != entry_state.ds);
}

/* Two addresses 1 MiB apart are two places. */
static void test_a20(void)
{
	volatile uint32_t *low = (volatile uint32_t *)0x2ff0, *high = (volatile uint32_t *)0x102ff0;
	uint32_t saved_low, saved_high;

	__asm__("" : "+r"(low), "+r"(high));
	saved_low = *low;
	saved_high = *high;
	*low = ~saved_high;
	CHECK_EQUAL("A20 is on", *high, saved_high);
	*low = saved_low;
}

static void test_memory(void)
{
	uint64_t ram_bytes = 0, above_4g_bytes = 0, above_1m_bytes = 0,
		 wanted_bytes = option_u64("ram-mib", 0) << 20;
	unsigned int i;

	CHECK("memory sizes are there unasked", info->flags & MULTIBOOT_INFO_MEMORY);
	CHECK("mem_lower", info->mem_lower_kib >= 512 && info->mem_lower_kib <= 640);
	if (!CHECK("memory map is there", info->flags & MULTIBOOT_INFO_MMAP))
		return;
	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->type != MEMORY_MAP_RAM)
			continue;
		ram_bytes += entry->size_bytes;
		if (entry->gpa >= 0x100000000)
			above_4g_bytes += entry->size_bytes;
		if (entry->gpa == 0x100000)
			above_1m_bytes = entry->size_bytes;
	}
	CHECK("mem_upper is the map's RAM from 1 MiB",
	      above_1m_bytes && info->mem_upper_kib <= above_1m_bytes >> 10 &&
	              info->mem_upper_kib + 4096 >= above_1m_bytes >> 10);
	if (wanted_bytes) {
		CHECK("map adds up",
		      ram_bytes <= wanted_bytes && ram_bytes + PC_RESERVED_BYTES >= wanted_bytes);
		CHECK("RAM above 4 GiB", wanted_bytes <= 0x100000000 || above_4g_bytes);
	}
	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];
		volatile uint32_t *last;

		if (entry->type != MEMORY_MAP_RAM || entry->gpa < 0x100000000)
			continue;
		platform_map(entry->gpa, entry->size_bytes);
		last = (volatile uint32_t *)(uintptr_t)(entry->gpa + entry->size_bytes - 4);
		*last = 0x600df00d;
		CHECK_EQUAL("last word above 4 GiB", *last, 0x600df00d);
	}
}

static void test_command_line(void)
{
	const char *line = boot_info.command_line, *end = line;
	size_t length;

	CHECK("command line is there", info->flags & MULTIBOOT_INFO_CMDLINE);
	while (*end && *end != ' ')
		end++;
	length = (size_t)(end - line);
	CHECK("word 0 is the program's name",
	      length >= 13 && !strncmp(end - 13, "bare_boot.elf", 13));
	CHECK("the other words follow", !option_u64("ram-mib", 0) || option_present("cpus"));
}

static void test_modules(void)
{
	uint64_t count = option_u64("modules", 0);
	unsigned int i;

	CHECK_EQUAL("number of modules", boot_info.module_count, count);
	for (i = 0; i < boot_info.module_count; i++) {
		EXPECT("modules have names",
		       boot_info.modules[i].command_line && *boot_info.modules[i].command_line);
		EXPECT("modules are aligned", !(boot_info.modules[i].gpa & 0xfff));
	}
	report_section("modules have names and are page aligned");
	if (boot_info.module_count > 0) {
		const char *text = (const char *)(uintptr_t)boot_info.modules[0].gpa;

		CHECK("module 0: NR_CPUS",
		      !strncmp(text, "NR_CPUS=", 8) &&
		              string_to_u64(text + 8) == option_u64("cpus", 1));
	}
	if (boot_info.module_count > 1) {
		CHECK_EQUAL("module 1: length", boot_info.modules[1].size_bytes,
		            sizeof(SECOND_MODULE) - 1);
		CHECK("module 1: text", !memcmp((void *)(uintptr_t)boot_info.modules[1].gpa,
		                                SECOND_MODULE, sizeof(SECOND_MODULE) - 1));
	}
}

static void expect_place(const char *name, uint64_t gpa, uint64_t size_bytes)
{
	EXPECT(name, gpa >= FIRST_ALLOWED_GPA);
	EXPECT(name,
	       gpa + size_bytes <= (uintptr_t)firmware_start || gpa >= (uintptr_t)firmware_end);
}

/* Out of pages 0 and 1, and out of the kernel's way. */
static void test_places(void)
{
	unsigned int i;

	expect_place("information block", entry_state.ebx, sizeof(*info));
	expect_place("command line", info->cmdline_gpa, strlen(boot_info.command_line));
	expect_place("memory map", info->mmap_gpa, info->mmap_length);
	if (info->mods_count)
		expect_place("module table", info->mods_gpa,
		             info->mods_count * sizeof(struct multiboot_module));
	for (i = 0; i < boot_info.module_count; i++) {
		expect_place("module", boot_info.modules[i].gpa, boot_info.modules[i].size_bytes);
		expect_place("module name", (uintptr_t)boot_info.modules[i].command_line,
		             strlen(boot_info.modules[i].command_line));
	}
	report_section("nothing in pages 0 and 1 or in the load range");
}

static void test_fw_cfg(void)
{
	uint64_t ram_mib = option_u64("ram-mib", 0), cpus = option_u64("cpus", 1);

	CHECK_EQUAL("fw_cfg: number of CPUs", fw_cfg_read(FW_CFG_KEY_CPU_COUNT, 2), cpus);
	CHECK_EQUAL("fw_cfg: again", fw_cfg_read(FW_CFG_KEY_CPU_COUNT, 2), cpus);
	if (ram_mib)
		CHECK_EQUAL("fw_cfg: RAM size", fw_cfg_read(FW_CFG_KEY_RAM_SIZE, 8), ram_mib << 20);
}

static void test_acpi(void)
{
	const struct acpi_rsdp *rsdp = acpi_scan_rsdp();
	const struct acpi_fadt *fadt;
	uint32_t before, after;

	if (!CHECK("RSDP in 0xe0000-0xfffff", rsdp != NULL))
		return;
	fadt = acpi_find("FACP");
	if (!CHECK("FADT with a PM timer", fadt && fadt->pm_timer))
		return;
	CHECK("RSDT leads there, too", rsdp->rsdt_gpa != 0);
	before = in32((uint16_t)fadt->pm_timer);
	delay_us(100);
	after = in32((uint16_t)fadt->pm_timer);
	CHECK("PM timer counts", before != after);
	CHECK_EQUAL("MADT: number of CPUs", acpi_cpu_count(), option_u64("cpus", 1));
}

void test_main(void)
{
	info = (const struct multiboot_info *)(uintptr_t)boot_info.loader_info_gpa;
	test_entry_state();
	test_a20();
	test_memory();
	test_command_line();
	test_modules();
	test_places();
	test_fw_cfg();
	test_acpi();
	CHECK_EQUAL("an unclaimed port reads all-ones", in32(0x1234), 0xffffffff);
}
