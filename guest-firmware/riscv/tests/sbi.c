/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SBI calls (SBI 2.0): what is there, the debug console with good and bad buffers, and the answer
 * to what nobody knows.
 */
#include "memory.h"
#include "platform_riscv.h"
#include "report.h"
#include "string.h"

#define SBI_UNKNOWN   0x0a0b0c0d
#define NO_FUNCTION   77
#define PAGES_WRITTEN 2

static const char greeting[] = "sbi: the debug console works\n";

static struct sbi_result dbcn(uint64_t function, uint64_t size_bytes, uint64_t gpa, uint64_t high)
{
	return sbi_call(SBI_DBCN, function, size_bytes, gpa, high);
}

static void test_base(void)
{
	static const uint64_t wanted[] = { SBI_BASE, SBI_TIME, SBI_IPI, SBI_RFENCE,
		                           SBI_HSM,  SBI_SRST, SBI_DBCN };
	struct sbi_result version = sbi_call(SBI_BASE, 0, 0, 0, 0);
	unsigned int i;

	CHECK("version is 0.2 or later", !version.error && version.value >= 2);
	for (i = 0; i < ARRAY_SIZE(wanted); i++)
		EXPECT("extensions: base TIME IPI RFENCE HSM SRST DBCN", sbi_has(wanted[i]));
	report_section("extensions: base TIME IPI RFENCE HSM SRST DBCN");
	CHECK("an unknown extension is not there", !sbi_has(SBI_UNKNOWN));
	CHECK_EQUAL("an unknown extension: not supported", sbi_call(SBI_UNKNOWN, 0, 1, 2, 3).error,
	            SBI_NOT_SUPPORTED);
	CHECK_EQUAL("an unknown function: not supported",
	            sbi_call(SBI_DBCN, NO_FUNCTION, 0, 0, 0).error, SBI_NOT_SUPPORTED);
}

static void test_write(void)
{
	struct sbi_result result =
		dbcn(SBI_DBCN_WRITE, sizeof(greeting) - 1, (uintptr_t)greeting, 0);
	uint64_t gpa = memory_reserve(PAGES_WRITTEN * PAGE_SIZE, PAGE_SIZE) + PAGE_SIZE - 8;

	CHECK_EQUAL("write", result.error, SBI_SUCCESS);
	CHECK("write: some or all", result.value > 0 && result.value < (int64_t)sizeof(greeting));
	memcpy((void *)(uintptr_t)gpa, "across two pages\n", 17);
	CHECK_EQUAL("write across a page", dbcn(SBI_DBCN_WRITE, 17, gpa, 0).error, SBI_SUCCESS);
	CHECK_EQUAL("write nothing", dbcn(SBI_DBCN_WRITE, 0, gpa, 0).error, SBI_SUCCESS);
	CHECK_EQUAL("write nothing: 0 bytes", dbcn(SBI_DBCN_WRITE, 0, gpa, 0).value, 0);
	CHECK_EQUAL("write a byte", dbcn(SBI_DBCN_WRITE_BYTE, '#', 0, 0).error, SBI_SUCCESS);
	CHECK_EQUAL("write a byte", dbcn(SBI_DBCN_WRITE_BYTE, '\n', 0, 0).error, SBI_SUCCESS);
}

static void test_read(void)
{
	static char bytes[16];
	struct sbi_result result = dbcn(SBI_DBCN_READ, sizeof(bytes), (uintptr_t)bytes, 0);

	CHECK_EQUAL("read", result.error, SBI_SUCCESS);
	CHECK_EQUAL("read: nothing was typed", result.value, 0);
}

static uint64_t ram_end(void)
{
	uint64_t end = 0;
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->gpa + entry->size_bytes > end)
			end = entry->gpa + entry->size_bytes;
	}
	return end;
}

static void test_refused(void)
{
	uint64_t end = ram_end();
	const struct {
		uint64_t size_bytes, gpa, high;
	} bad[] = {
		{ 1, 0, 0 },
		{ 16, 0x1000, 0 },
		{ 4, console_gpa(), 0 },
		{ 16, end, 0 },
		{ 16, end - 8, 0 },
		{ ~0ull, end - 8, 0 },
		{ 0x1000, ~0ull - 0x7ff, 0 },
		{ 16, (uintptr_t)greeting, 1 },
		{ 16, ~0ull, ~0ull },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQUAL("write from outside RAM",
		             dbcn(SBI_DBCN_WRITE, bad[i].size_bytes, bad[i].gpa, bad[i].high).error,
		             SBI_INVALID_PARAM);
		EXPECT_EQUAL("read to outside RAM",
		             dbcn(SBI_DBCN_READ, bad[i].size_bytes, bad[i].gpa, bad[i].high).error,
		             SBI_INVALID_PARAM);
	}
	report_section("buffers outside RAM are refused");
	CHECK_EQUAL("the last bytes of RAM are not", dbcn(SBI_DBCN_READ, 8, end - 8, 0).error,
	            SBI_SUCCESS);
}

static void test_legacy(void)
{
	int64_t error = sbi_call(SBI_OLD_PUTCHAR, 0, '*', 0, 0).error;

	if (error == SBI_NOT_SUPPORTED) {
		report_skip("legacy console", "not supported"); /* KVM's choice */
		return;
	}
	CHECK_EQUAL("legacy: putchar", error, 0);
	sbi_call(SBI_OLD_PUTCHAR, 0, '\n', 0, 0);
	CHECK_EQUAL("legacy: getchar finds nothing",
	            (int32_t)sbi_call(SBI_OLD_GETCHAR, 0, 0, 0, 0).error, -1);
}

static void test_harts(void)
{
	uint32_t self = cpu_hardware_id();

	CHECK_EQUAL("HSM: this hart is started",
	            sbi_call(SBI_HSM, SBI_HSM_STATUS, self, 0, 0).value, 0);
	CHECK_EQUAL("HSM: starting it again",
	            sbi_call(SBI_HSM, SBI_HSM_START, self, (uintptr_t)ap_start, 0).error,
	            SBI_ALREADY_AVAILABLE);
	CHECK_EQUAL("HSM: no such hart",
	            sbi_call(SBI_HSM, SBI_HSM_START, 4711, (uintptr_t)ap_start, 0).error,
	            SBI_INVALID_PARAM);
	CHECK("SRST: a wild type is refused", sbi_call(SBI_SRST, 0, 0x1234, 0, 0).error < 0);
}

void test_main(void)
{
	test_base();
	test_write();
	test_read();
	test_refused();
	test_legacy();
	test_harts();
}
