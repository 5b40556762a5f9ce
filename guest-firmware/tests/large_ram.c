/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM on both sides of the 32-bit hole: the map adds up, and each end of each range holds what is
 * written, at its own place. "ram-mib=N": how much there must be, but for the few hundred KiB below
 * 1 MiB that a PC keeps to itself.
 */
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PC_RESERVED_BYTES (1u << 20)
#define PLACES_MAX        (2 * MEMORY_MAP_MAX)

static volatile uint64_t *places[PLACES_MAX];
static unsigned int place_count;

static void add_place(uint64_t gpa)
{
	if (gpa >= (uintptr_t)firmware_end) {
		platform_map(gpa, 8);
		places[place_count++] = (volatile uint64_t *)(uintptr_t)gpa;
	}
}

void test_main(void)
{
	uint64_t ram_bytes = 0, above_4g_bytes = 0, wanted_bytes = option_u64("ram-mib", 0) << 20;
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->type != MEMORY_MAP_RAM)
			continue;
		ram_bytes += entry->size_bytes;
		if (entry->gpa >= 0x100000000)
			above_4g_bytes += entry->size_bytes;
		add_place(entry->gpa + 8);
		add_place(entry->gpa + entry->size_bytes / 2);
		add_place(entry->gpa + entry->size_bytes - 8);
	}
	if (wanted_bytes) {
		CHECK("the map adds up",
		      ram_bytes <= wanted_bytes && ram_bytes + PC_RESERVED_BYTES >= wanted_bytes);
		CHECK("RAM above 4 GiB where there is much",
		      wanted_bytes < 0x100000000 || above_4g_bytes);
	}
	for (i = 0; i < place_count; i++)
		EXPECT_EQUAL("RAM is empty at first", *places[i], 0);
	report_section("RAM is empty at first");
	for (i = 0; i < place_count; i++)
		*places[i] = 0xabcd0000 + i;
	for (i = 0; i < place_count; i++)
		EXPECT_EQUAL("each place holds its own word", *places[i], 0xabcd0000 + i);
	report_section("each place holds its own word");
	print("%lu MiB, %lu MiB of it above 4 GiB\n", ram_bytes >> 20, above_4g_bytes >> 20);
}
