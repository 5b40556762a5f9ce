/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_console */
/* SBI calls: the consoles, addresses outside of RAM, what is not supported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"
#include "fake_console.h"

#include "../../arch/riscv/sbi.h"

#define RAM_GPA   UINT64_C(0x80000000)
#define RAM_BYTES (4 * MIB)

static struct {
	struct guest_memory *memory;
	struct sbi *sbi;
} t;

static int set_up(void **state)
{
	(void)state;
	fake_console_clear();
	assert_int_equal(guest_memory_create(&t.memory, NULL), 0);
	assert_int_equal(gmem_add_region(t.memory, RAM_GPA, RAM_BYTES, NULL, NULL), 0);
	return sbi_create(t.memory, NULL, &t.sbi);
}

static int tear_down(void **state)
{
	(void)state;
	sbi_destroy(t.sbi);
	assert_null(fake_console.polled_ops);
	guest_memory_destroy(t.memory);
	return 0;
}

static struct sbi_result call(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1,
                              uint64_t a2)
{
	const struct sbi_call sbi_call = { extension, function, { a0, a1, a2 } };

	return sbi_handle(t.sbi, &sbi_call);
}

static struct sbi_result dbcn(uint64_t function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return call(SBI_EXT_DBCN, function, a0, a1, a2);
}

static void assert_result(struct sbi_result result, uint64_t error, uint64_t value)
{
	assert_int_equal(result.error, error);
	assert_int_equal(result.value, value);
}

static void test_write(void **state)
{
	static const char text[] = "hello from S-mode\n";
	const size_t bytes = sizeof(text) - 1;

	(void)state;
	assert_int_equal(gmem_write(t.memory, RAM_GPA + 77, text, bytes), 0);
	assert_result(dbcn(SBI_DBCN_WRITE, bytes, RAM_GPA + 77, 0), SBI_SUCCESS, bytes);
	assert_string_equal(fake_console.output, text);
	assert_result(dbcn(SBI_DBCN_WRITE_BYTE, 0xffffff41, 0, 0), SBI_SUCCESS, 0);
	assert_result(call(SBI_EXT_LEGACY_PUTCHAR, 0, 'B', 0, 0), SBI_SUCCESS, 0);
	assert_string_equal(fake_console.output + bytes, "AB");
	assert_result(dbcn(SBI_DBCN_WRITE, 0, 0, 0), SBI_SUCCESS, 0);
	assert_int_equal(fake_console.output_bytes, bytes + 2);
}

static void test_long_write_is_partial(void **state)
{
	(void)state;
	assert_result(dbcn(SBI_DBCN_WRITE, RAM_BYTES, RAM_GPA, 0), SBI_SUCCESS, SBI_DBCN_BYTES_MAX);
	assert_int_equal(fake_console.output_bytes, SBI_DBCN_BYTES_MAX);
}

static void test_outside_of_ram(void **state)
{
	static const struct {
		uint64_t bytes, low, high;
	} bad[] = {
		{ 1, 0, 0 },
		{ 1, RAM_GPA - 1, 0 },
		{ 2, RAM_GPA - 1, 0 },
		{ 1, RAM_GPA + RAM_BYTES, 0 },
		{ 2, RAM_GPA + RAM_BYTES - 1, 0 },
		{ RAM_BYTES + 1, RAM_GPA, 0 },
		{ UINT64_MAX, RAM_GPA, 0 },
		{ UINT64_MAX, UINT64_MAX, 0 },
		{ 1, UINT64_MAX, 0 },
		{ 1, RAM_GPA, 1 },
		{ 1, RAM_GPA, UINT64_MAX },
		{ 1, 0x10000000, 0 }, /* a device */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_result(dbcn(SBI_DBCN_WRITE, bad[i].bytes, bad[i].low, bad[i].high),
		              SBI_ERR_INVALID_PARAM, 0);
		assert_result(dbcn(SBI_DBCN_READ, bad[i].bytes, bad[i].low, bad[i].high),
		              SBI_ERR_INVALID_PARAM, 0);
	}
	assert_int_equal(fake_console.output_bytes, 0);
}

static void test_read(void **state)
{
	char text[8] = "";

	(void)state;
	/* Who does not poll is given nothing: what is typed waits for a device. */
	assert_int_equal(fake_console_type("early", 5), 0);
	assert_result(dbcn(SBI_DBCN_READ, 8, RAM_GPA, 0), SBI_SUCCESS, 0);
	assert_int_equal(fake_console.ready_count, 1); /* it had been refused */
	assert_int_equal(fake_console_type("early", 5), 5);
	assert_int_equal(fake_console_type("more", 4), 0);
	assert_result(dbcn(SBI_DBCN_READ, 3, RAM_GPA, 0), SBI_SUCCESS, 3);
	assert_result(call(SBI_EXT_LEGACY_GETCHAR, 0, 0, 0, 0), 'l', 0);
	assert_result(dbcn(SBI_DBCN_READ, 8, RAM_GPA + 3, 0), SBI_SUCCESS, 1);
	assert_int_equal(gmem_read(t.memory, RAM_GPA, text, 4), 0);
	assert_string_equal(text, "eary");
	assert_result(call(SBI_EXT_LEGACY_GETCHAR, 0, 0, 0, 0), (uint64_t)-1, 0);
}

static void test_long_input(void **state)
{
	char text[200];
	size_t typed = 0, taken = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	while (taken < sizeof(text)) {
		struct sbi_result result = dbcn(SBI_DBCN_READ, 4096, RAM_GPA, 0);

		assert_int_equal(result.error, SBI_SUCCESS);
		taken += result.value;
		assert_int_equal(taken, typed);
		typed += fake_console_type(text + typed, sizeof(text) - typed);
		assert_true(typed > taken || taken == sizeof(text));
	}
}

static void test_reset_drops_input(void **state)
{
	(void)state;
	assert_result(call(SBI_EXT_LEGACY_GETCHAR, 0, 0, 0, 0), (uint64_t)-1, 0);
	assert_int_equal(fake_console_type("x", 1), 1);
	sbi_reset(t.sbi);
	assert_int_equal(fake_console_type("y", 1), 0);
	assert_result(call(SBI_EXT_LEGACY_GETCHAR, 0, 0, 0, 0), (uint64_t)-1, 0);
}

static void test_not_supported(void **state)
{
	static const uint64_t extensions[] = {
		0,        3,          8,          0x10,       0x48534d,   0x53525354,
		0x735049, 0x08000000, 0x09000000, 0x0a000000, UINT64_MAX,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		assert_result(call(extensions[i], 0, 1, RAM_GPA, 0), SBI_ERR_NOT_SUPPORTED, 0);
	assert_result(dbcn(3, 1, RAM_GPA, 0), SBI_ERR_NOT_SUPPORTED, 0);
	assert_result(dbcn(UINT64_MAX, 1, RAM_GPA, 0), SBI_ERR_NOT_SUPPORTED, 0);
	assert_int_equal(fake_console.output_bytes, 0);
}

#define with_sbi(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_sbi(test_write),          with_sbi(test_long_write_is_partial),
		with_sbi(test_outside_of_ram), with_sbi(test_read),
		with_sbi(test_long_input),     with_sbi(test_reset_drops_input),
		with_sbi(test_not_supported),
	};

	sbi_destroy(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
