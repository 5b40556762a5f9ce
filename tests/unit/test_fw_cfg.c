/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The firmware configuration ports: the keys that are there, and those that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_pc.h"

#define SELECTOR 0x510
#define DATA     0x511

static int set_up(void **state)
{
	static struct fake_pc pc;

	fake_pc_create(&pc);
	fake_pc_add(&pc, "fw-cfg");
	*state = &pc;
	return 0;
}

static int tear_down(void **state)
{
	fake_pc_destroy(*state);
	return 0;
}

static uint64_t item(struct fake_pc *pc, uint16_t key, unsigned int size_bytes)
{
	uint64_t value = 0;

	pc_outw(pc, SELECTOR, key);
	for (unsigned int i = 0; i < size_bytes; i++)
		value |= (uint64_t)pc_inb(pc, DATA) << (8 * i);
	return value;
}

static void test_keys(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(item(pc, 0, 4), 0x554d4551); /* "QEMU" */
	assert_int_equal(item(pc, 5, 2), 3);
	pc->config.memory.size_bytes = 6 * GIB;
	assert_int_equal(item(pc, 3, 8), 6 * GIB);
	assert_int_equal(item(pc, 3, 8), 6 * GIB); /* selecting starts over */
}

static void test_nothing_else(void **state)
{
	struct fake_pc *pc = *state;

	for (unsigned int key = 0; key < 0x10000; key += key < 64 ? 1 : 251)
		if (key != 0 && key != 3 && key != 5)
			assert_int_equal(item(pc, key, 8), 0);
	assert_int_equal(item(pc, 5, 8), 3); /* past the end */
	for (int i = 0; i < 300; i++)
		assert_int_equal(pc_inb(pc, DATA), 0);
}

static void test_accesses(void **state)
{
	struct fake_pc *pc = *state;

	pc_outw(pc, SELECTOR, 5);
	pc_outb(pc, SELECTOR, 0); /* a byte selects nothing */
	pc_outb(pc, DATA, 0);     /* nor does writing data */
	assert_int_equal(pc_inb(pc, SELECTOR), 0);
	assert_int_equal(pc_inb(pc, DATA), 3);
	pc_outw(pc, SELECTOR, 5);
	assert_int_equal(pc_inw(pc, SELECTOR), 0x0300);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "fw-cfg", SELECTOR);
	fake_pc_destroy(&pc);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_keys),
		on_pc(test_nothing_else),
		on_pc(test_accesses),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
