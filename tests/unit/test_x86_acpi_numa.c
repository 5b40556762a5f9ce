/* SPDX-License-Identifier: Apache-2.0 */
/* SRAT and SLIT, byte by byte and as iasl reads them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "../../arch/x86/acpi_private.h"

#define GPA   0xe0000
#define BYTES 16384

static uint8_t memory[BYTES];
static struct acpi_writer writer;
static struct numa_map map;
static struct acpi_config config;

static int set_up(void **state)
{
	(void)state;
	memset(memory, 0xcc, sizeof(memory));
	writer = (struct acpi_writer){ .bytes = memory, .max = sizeof(memory), .gpa = GPA };
	/* CPUs 0 and 2 in node 1; boot memory around the hole; a device a node. */
	map = (struct numa_map){
		.node_count = 2,
		.range_count = 5,
		.ranges = { { 0, 2 * GIB, 0, false },
		            { 2 * GIB, GIB, 1, false },
		            { 4 * GIB, GIB, 1, false },
		            { 5 * GIB, 8 * GIB, 0, true },
		            { 13 * GIB, 512 * GIB, 1, true } },
		.cpu_nodes = { 1, 0, 1 },
	};
	config = (struct acpi_config){
		.cpu_count = 3, .apic_ids = { 0, 8, 1 }, .has_pci = true, .numa = &map
	};
	return 0;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	while (count--)
		total += *bytes++;
	return total;
}

static void srat_has_cpus_by_node(void **state)
{
	static const uint8_t expected[][2] = { { 0, 8 }, { 1, 0 }, { 1, 1 } }; /* node, APIC id */
	const uint8_t *srat = memory + acpi_write_srat(&writer, &config);

	(void)state;
	assert_memory_equal(srat, "SRAT", 4);
	assert_int_equal(load_le32(srat + 4), 48 + 3 * 16 + 5 * 40);
	assert_int_equal(srat[8], 3);
	assert_int_equal(sum(srat, load_le32(srat + 4)), 0);
	assert_int_equal(load_le32(srat + 36), 1);
	assert_int_equal(load_le64(srat + 40), 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const uint8_t *entry = srat + 48 + i * 16;

		assert_int_equal(load_le16(entry), 16 << 8 | 0); /* type and length */
		assert_int_equal(entry[2], expected[i][0]);
		assert_int_equal(entry[3], expected[i][1]);
		assert_int_equal(load_le32(entry + 4), 1);
		assert_int_equal(load_le64(entry + 8), 0);
	}
}

static void srat_has_memory(void **state)
{
	const uint8_t *srat = memory + acpi_write_srat(&writer, &config);

	(void)state;
	for (size_t i = 0; i < map.range_count; i++) {
		const uint8_t *entry = srat + 48 + 3 * 16 + i * 40;

		assert_int_equal(load_le16(entry), 40 << 8 | 1);
		assert_int_equal(load_le32(entry + 2), map.ranges[i].node);
		assert_int_equal(load_le16(entry + 6), 0);
		assert_int_equal(load_le64(entry + 8), map.ranges[i].gpa);
		assert_int_equal(load_le64(entry + 16), map.ranges[i].size_bytes);
		assert_int_equal(load_le32(entry + 24), 0);
		assert_int_equal(load_le32(entry + 28), map.ranges[i].is_device_memory ? 3 : 1);
		assert_int_equal(load_le64(entry + 32), 0);
	}
}

static void slit_says_near_and_far(void **state)
{
	const uint8_t *slit;

	(void)state;
	map.node_count = 3;
	slit = memory + acpi_write_slit(&writer, &config);
	assert_memory_equal(slit, "SLIT", 4);
	assert_int_equal(load_le32(slit + 4), 44 + 9);
	assert_int_equal(slit[8], 1);
	assert_int_equal(sum(slit, load_le32(slit + 4)), 0);
	assert_int_equal(load_le64(slit + 36), 3);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(slit[44 + i], i % 4 ? 20 : 10);
}

/* Whether the root table lists it. */
static bool is_listed(const char *signature)
{
	const uint8_t *xsdt = memory + load_le64(memory + 24) - GPA;

	for (size_t i = 36; i < load_le32(xsdt + 4); i += 8)
		if (!memcmp(memory + load_le64(xsdt + i) - GPA, signature, 4))
			return true;
	return false;
}

static void they_are_there_where_there_is_something_to_say(void **state)
{
	size_t bytes;

	(void)state;
	assert_int_equal(acpi_build(&config, GPA, memory, BYTES, &bytes), 0);
	assert_true(is_listed("SRAT") && is_listed("SLIT") && is_listed("MCFG"));
	map.node_count = 1;
	assert_int_equal(acpi_build(&config, GPA, memory, BYTES, &bytes), 0);
	assert_true(is_listed("SRAT") && !is_listed("SLIT"));
	config.numa = NULL;
	assert_int_equal(acpi_build(&config, GPA, memory, BYTES, &bytes), 0);
	assert_false(is_listed("SRAT") || is_listed("SLIT"));
}

/* The most of everything fits into what a PC keeps for tables; less is told. */
static void the_most_fits(void **state)
{
	size_t needed, bytes;

	(void)state;
	config.cpu_count = VM_CPUS_MAX;
	config.virtio_mmio_count = ACPI_VIRTIO_MMIO_MAX;
	map.node_count = NUMA_NODES_MAX;
	map.range_count = NUMA_RANGES_MAX;
	for (unsigned int cpu = 0; cpu < VM_CPUS_MAX; cpu++)
		map.cpu_nodes[cpu] = (uint8_t)(cpu % NUMA_NODES_MAX);
	assert_int_equal(acpi_build(&config, GPA, memory, BYTES, &needed), 0);
	assert_in_range(needed, 1, 12 * KIB);
	for (size_t max = 0; max < needed; max += 37) {
		uint8_t *buf = malloc(max + 1);

		assert_int_equal(acpi_build(&config, GPA, buf, max, &bytes), -ENOSPC);
		free(buf);
	}
}

static char *run(const char *command)
{
	static char said[65536];
	FILE *stream = popen(command, "re");

	assert_non_null(stream);
	said[fread(said, 1, sizeof(said) - 1, stream)] = 0;
	if (pclose(stream))
		fail_msg("%s: %s", command, said);
	return said;
}

/* What iasl reads out of a table. */
static char *disassemble(const uint8_t *table)
{
	char path[] = "/tmp/ebb-test-acpi-XXXXXX", command[192];
	int fd = mkstemp(path);
	char *text;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, table, load_le32(table + 4)), load_le32(table + 4));
	close(fd);
	snprintf(command, sizeof(command), "iasl -p %s -d %s 2>&1 && cat %s.dsl && rm -f %s.dsl",
	         path, path, path, path);
	text = run(command);
	unlink(path);
	if (strcasestr(text, "warning") || strcasestr(text, "error") || strstr(text, "ncorrect") ||
	    strcasestr(text, "unknown") || strcasestr(text, "invalid"))
		fail_msg("iasl: %s", text);
	return text;
}

static unsigned int count(const char *text, const char *words)
{
	unsigned int times = 0;

	for (; (text = strstr(text, words)); text++)
		times++;
	return times;
}

static void iasl_reads_them(void **state)
{
	const char *text;

	(void)state;
	if (system("command -v iasl >/dev/null")) {
		print_message("no iasl here (Debian: acpica-tools)\n");
		skip();
	}
	text = disassemble(memory + acpi_write_srat(&writer, &config));
	assert_int_equal(count(text, "[Processor Local APIC/SAPIC Affinity]"), 3);
	assert_int_equal(count(text, "[Memory Affinity]"), 5);
	assert_int_equal(count(text, "Hot Pluggable : 1"), 2);
	assert_int_equal(count(text, "Hot Pluggable : 0"), 3);
	assert_int_equal(count(text, "Enabled : 1"), 8);
	assert_int_equal(count(text, "Address Length : 0000008000000000"), 1);
	text = disassemble(memory + acpi_write_slit(&writer, &config));
	assert_int_equal(count(text, "Localities : 0000000000000002"), 1);
	assert_int_equal(count(text, "Locality   0 : 0A 14"), 1);
	assert_int_equal(count(text, "Locality   1 : 14 0A"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(srat_has_cpus_by_node, set_up),
		cmocka_unit_test_setup(srat_has_memory, set_up),
		cmocka_unit_test_setup(slit_says_near_and_far, set_up),
		cmocka_unit_test_setup(they_are_there_where_there_is_something_to_say, set_up),
		cmocka_unit_test_setup(the_most_fits, set_up),
		cmocka_unit_test_setup(iasl_reads_them, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
