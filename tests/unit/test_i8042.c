/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The keyboard controller: reset, A20, and a probe that never has to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fake_pc.h"
#include "fake_vm.h"

#define DATA    0x60
#define COMMAND 0x64

#define OUTPUT_FULL 0x01
#define INPUT_FULL  0x02
#define AUX_DATA    0x20
#define TIMEOUT     0x40

static int set_up(void **state)
{
	static struct fake_pc pc;

	fake_pc_create(&pc);
	fake_pc_add(&pc, "i8042");
	*state = &pc;
	return 0;
}

static int tear_down(void **state)
{
	fake_pc_destroy(*state);
	return 0;
}

/* The controller's answer to a command, which must be there at once. */
static uint8_t ask(struct fake_pc *pc, uint8_t command)
{
	pc_outb(pc, COMMAND, command);
	assert_int_equal(pc_inb(pc, COMMAND) & (OUTPUT_FULL | INPUT_FULL), OUTPUT_FULL);
	return pc_inb(pc, DATA);
}

static void test_reset(void **state)
{
	struct fake_pc *pc = *state;

	pc_outb(pc, COMMAND, 0xfe);
	assert_int_equal(fake_vm.resets, 1);
	pc_outb(pc, COMMAND, 0xff); /* pulses nothing */
	pc_outb(pc, COMMAND, 0xfd); /* pulses A20 */
	assert_int_equal(fake_vm.resets, 1);
	pc_outb(pc, COMMAND, 0xd1); /* the output port's bit 0 */
	pc_outb(pc, DATA, 0xdf);
	assert_int_equal(fake_vm.resets, 1);
	pc_outb(pc, COMMAND, 0xd1);
	pc_outb(pc, DATA, 0xde);
	assert_int_equal(fake_vm.resets, 2);
}

static void test_never_busy(void **state)
{
	struct fake_pc *pc = *state;

	for (unsigned int command = 0; command < 256; command++) {
		pc_outb(pc, COMMAND, command);
		assert_int_equal(pc_inb(pc, COMMAND) & INPUT_FULL, 0);
		pc_outb(pc, DATA, command);
		assert_int_equal(pc_inb(pc, COMMAND) & INPUT_FULL, 0);
	}
}

static void test_empty_at_start(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(pc_inb(pc, COMMAND) & OUTPUT_FULL, 0);
	assert_int_equal(ask(pc, 0xaa), 0x55);
	assert_int_equal(pc_inb(pc, COMMAND) & OUTPUT_FULL, 0);
}

static void test_a20(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(ask(pc, 0xd0) & 3, 3);
	pc_outb(pc, COMMAND, 0xd1);
	pc_outb(pc, DATA, 0x01);
	assert_int_equal(ask(pc, 0xd0) & 3, 1);
}

static void test_configuration(void **state)
{
	struct fake_pc *pc = *state;

	pc_outb(pc, COMMAND, 0x60);
	pc_outb(pc, DATA, 0x47);
	assert_int_equal(ask(pc, 0x20), 0x47);
	assert_int_equal(ask(pc, 0x20), 0x47); /* Linux reads it twice and compares */
	pc_outb(pc, COMMAND, 0xad);
	pc_outb(pc, COMMAND, 0xa7);
	assert_int_equal(ask(pc, 0x20), 0x77);
	pc_outb(pc, COMMAND, 0xae);
	pc_outb(pc, COMMAND, 0xa8);
	assert_int_equal(ask(pc, 0x20), 0x47);
}

static void test_nothing_is_attached(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_not_equal(ask(pc, 0xab), 0);
	assert_int_not_equal(ask(pc, 0xa9), 0);
	pc_outb(pc, DATA, 0xf2); /* to the keyboard: who are you? */
	assert_int_equal(pc_inb(pc, COMMAND) & (OUTPUT_FULL | AUX_DATA | TIMEOUT),
	                 OUTPUT_FULL | TIMEOUT);
	assert_int_equal(pc_inb(pc, DATA), 0xfe);
	pc_outb(pc, COMMAND, 0xd4);
	pc_outb(pc, DATA, 0xf2);
	assert_int_equal(pc_inb(pc, COMMAND) & (OUTPUT_FULL | AUX_DATA | TIMEOUT),
	                 OUTPUT_FULL | AUX_DATA | TIMEOUT);
	assert_int_equal(pc_inb(pc, DATA), 0xfe);
	/* What is looped through the second port's buffer comes back on the first: no second port.
	 */
	pc_outb(pc, COMMAND, 0xd3);
	pc_outb(pc, DATA, 0x5a);
	assert_int_equal(pc_inb(pc, COMMAND) & (OUTPUT_FULL | AUX_DATA), OUTPUT_FULL);
	assert_int_equal(pc_inb(pc, DATA), 0x5a);
}

static void test_machine_reset(void **state)
{
	struct fake_pc *pc = *state;
	struct device *device = device_find(&pc->vm, "i8042");

	pc_outb(pc, COMMAND, 0xd1);
	pc_outb(pc, DATA, 0x01);
	pc_outb(pc, COMMAND, 0xaa);
	pc_outb(pc, COMMAND, 0x60); /* a parameter is awaited */
	device->reset(device);
	assert_int_equal(pc_inb(pc, COMMAND) & OUTPUT_FULL, 0);
	assert_int_equal(ask(pc, 0xd0) & 3, 3);
	pc_outb(pc, DATA, 0x00);
	assert_int_not_equal(ask(pc, 0x20), 0);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "i8042", DATA);
	fake_pc_add_refused(&pc, "i8042", COMMAND);
	fake_pc_destroy(&pc);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_reset),          on_pc(test_never_busy),
		on_pc(test_empty_at_start), on_pc(test_a20),
		on_pc(test_configuration),  on_pc(test_nothing_is_attached),
		on_pc(test_machine_reset),  cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
