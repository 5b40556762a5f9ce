/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a bare test kernel starts the other CPUs: INIT and start-up interrupts by broadcast, vector
 * 0, all at once. What the loader left is read again afterwards, and is as it was. "cpus=N": how
 * many there must be.
 */
#include "command_line.h"
#include "fw_cfg.h"
#include "multiboot.h"
#include "platform.h"
#include "platform_x86.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define CPU_MAX           64
#define START_PAGES_BYTES 0x2000

static volatile unsigned int arrived;
static volatile uint8_t seen[256];

static void ap_entry(unsigned int index)
{
	seen[cpu_hardware_id() & 0xff]++;
	__atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
}

static uint32_t sum_range(uint64_t gpa, uint64_t size_bytes, uint32_t sum)
{
	const volatile uint8_t *bytes = (const volatile uint8_t *)(uintptr_t)gpa;

	while (size_bytes--)
		sum = sum * 31 + *bytes++;
	return sum;
}

/* Over the block and everything it points to. */
static uint32_t sum_loader_data(void)
{
	const struct multiboot_info *info =
		(const struct multiboot_info *)(uintptr_t)boot_info.loader_info_gpa;
	uint32_t sum = sum_range(boot_info.loader_info_gpa, sizeof(*info), 1);
	unsigned int i;

	sum = sum_range(info->cmdline_gpa, strlen((const char *)(uintptr_t)info->cmdline_gpa), sum);
	sum = sum_range(info->mmap_gpa, info->mmap_length, sum);
	sum = sum_range(info->mods_gpa, info->mods_count * sizeof(struct multiboot_module), sum);
	for (i = 0; i < boot_info.module_count; i++) {
		sum = sum_range(boot_info.modules[i].gpa, boot_info.modules[i].size_bytes, sum);
		sum = sum_range((uintptr_t)boot_info.modules[i].command_line,
		                strlen(boot_info.modules[i].command_line), sum);
	}
	return sum;
}

void test_main(void)
{
	unsigned int cpus = (unsigned int)fw_cfg_read(FW_CFG_KEY_CPU_COUNT, 2), ids = 0, i;
	uint32_t sum = sum_loader_data();
	void *page0 = (void *)0;
	uint64_t end;

	__asm__("" : "+r"(page0));
	CHECK_EQUAL("number of CPUs by fw_cfg", cpus, option_u64("cpus", 1));
	memory_fill64(page0, 0xdeadbeefdeadbeef, START_PAGES_BYTES / 8);
	cpu_start_broadcast(0, ap_entry);
	end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	while (arrived < cpus - 1 && clock_ns() < end)
		cpu_relax();
	delay_us(10000);
	CHECK_EQUAL("all other CPUs came", arrived, cpus - 1);
	for (i = 0; i < 256; i++)
		ids += seen[i] == 1;
	CHECK_EQUAL("each with an id of its own", ids, cpus - 1);
	CHECK_EQUAL("not with this one's", seen[cpu_hardware_id() & 0xff], 0);
	CHECK_EQUAL("what the loader left is as it was", sum_loader_data(), sum);
}
