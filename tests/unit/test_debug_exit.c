/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The debug-exit port, with each size of write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_pc.h"
#include "fake_vm.h"

static void check(unsigned int size_bytes, uint32_t value)
{
	struct fake_pc pc;

	fake_pc_create(&pc);
	fake_pc_add(&pc, "debug-exit");
	assert_int_equal(pc_inb(&pc, 0xf4), 0);
	assert_int_equal(fake_vm.end, VM_END_NONE);
	fake_pc_out(&pc, 0xf4, value, size_bytes);
	assert_int_equal(fake_vm.end, VM_END_DEBUG_EXIT);
	assert_int_equal(fake_vm.debug_exit_value, value);
	fake_pc_destroy(&pc);
}

static void test_sizes(void **state)
{
	(void)state;
	check(1, 0);
	check(1, 0xfe);
	check(2, 0x1234);
	check(4, 0x89abcdef);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "debug-exit", 0xf4);
	fake_pc_destroy(&pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
