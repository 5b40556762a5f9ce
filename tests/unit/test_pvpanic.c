/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The panic port: what it offers, and that nothing but "panicked" ends the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_pc.h"
#include "fake_vm.h"

static void test_panic(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add(&pc, "pvpanic");
	assert_int_equal(pc_inb(&pc, 0x505), 1);
	pc_outb(&pc, 0x505, 2); /* a crash kernel is loaded: not offered */
	pc_outb(&pc, 0x505, 0);
	assert_int_equal(fake_vm.panics, 0);
	assert_int_equal(fake_vm.end, VM_END_NONE);
	pc_outb(&pc, 0x505, 1);
	assert_int_equal(fake_vm.panics, 1);
	assert_int_equal(fake_vm.end, VM_END_PANIC);
	fake_pc_destroy(&pc);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "pvpanic", 0x505);
	fake_pc_destroy(&pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
