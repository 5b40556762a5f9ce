/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The devices of bare test kernels: latch, page flush, interrupt lines, emulated memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "ebb/guest_memory.h"
#include "fake_arch.h"
#include "fake_pc.h"

#define LATCH  0xe0
#define FLUSH  0xe4
#define LINES  0x2000
#define MEMORY UINT64_C(0xff000000)

static int set_up(void **state)
{
	static struct fake_pc pc;

	fake_pc_create(&pc);
	fake_pc_add(&pc, "test-devices");
	*state = &pc;
	return 0;
}

static int tear_down(void **state)
{
	fake_pc_destroy(*state);
	return 0;
}

static void test_latch(void **state)
{
	struct fake_pc *pc = *state;

	pc_outl(pc, LATCH, 0x12345678);
	assert_int_equal(pc_inl(pc, LATCH), 0x12345678);
	assert_int_equal(pc_inw(pc, LATCH), 0x5678);
	assert_int_equal(pc_inb(pc, LATCH), 0x78);
	assert_int_equal(pc_inb(pc, LATCH + 3), 0x12);
	pc_outb(pc, LATCH, 0xff);
	pc_outw(pc, LATCH + 2, 0xabcd);
	assert_int_equal(pc_inl(pc, LATCH), 0xabcd56ff);
}

static void test_lines(void **state)
{
	struct fake_pc *pc = *state;

	for (unsigned int gsi = 0; gsi < 24; gsi++) {
		pc_outb(pc, LINES + gsi, 0x80);
		assert_true(fake_arch_level(gsi));
		if (gsi > 0)
			assert_false(fake_arch_level(gsi - 1));
		pc_outb(pc, LINES + gsi, 0);
		assert_false(fake_arch_level(gsi));
	}
	pc_outb(pc, LINES + 24, 1); /* nobody's */
	assert_int_equal(pc_inb(pc, LINES + 24), 0xff);
}

static void test_memory(void **state)
{
	struct fake_pc *pc = *state;
	uint8_t pattern[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, got[8];

	for (unsigned int size = 1; size <= 8; size++) {
		gpa_t gpa = MEMORY + 4096 - size / 2; /* across a page */

		memset(got, 0, sizeof(got));
		assert_true(bus_write(pc->vm.mmio, gpa, pattern, size));
		assert_true(bus_read(pc->vm.mmio, gpa, got, size));
		assert_memory_equal(got, pattern, size);
	}
	assert_true(bus_write(pc->vm.mmio, MEMORY + 64 * KIB - 8, pattern, 8));
	assert_false(bus_write(pc->vm.mmio, MEMORY + 64 * KIB - 7, pattern, 8));
}

static void test_flush_keeps_content(void **state)
{
	struct fake_pc *pc = *state;
	char got[6];

	assert_int_equal(gmem_write(pc->vm.memory, 0x3ffe, "hello", 6), 0); /* two pages */
	pc_outl(pc, FLUSH, 0x3ffe);
	pc_outl(pc, FLUSH, 0x4000);
	assert_int_equal(gmem_read(pc->vm.memory, 0x3ffe, got, 6), 0);
	assert_string_equal(got, "hello");
	assert_int_equal(gmem_write(pc->vm.memory, 0x3000, "again", 6), 0); /* still writable */
	pc_outl(pc, FLUSH, 0xfffffffc); /* no RAM: nothing happens */
	pc_outb(pc, FLUSH, 1);
	assert_int_equal(pc_inl(pc, FLUSH), 0xffffffff);
}

static void test_flush_page(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(gmem_flush_page(pc->vm.memory, FAKE_PC_RAM_BYTES - 1), 0);
	assert_int_not_equal(gmem_flush_page(pc->vm.memory, FAKE_PC_RAM_BYTES), 0);
	assert_int_not_equal(gmem_flush_page(pc->vm.memory, UINT64_MAX), 0);
}

static void test_machine_reset(void **state)
{
	struct fake_pc *pc = *state;
	struct device *device = device_find(&pc->vm, "test-devices");
	uint8_t byte = 0xff;

	pc_outl(pc, LATCH, 0xffffffff);
	pc_outb(pc, LINES + 5, 1);
	bus_write(pc->vm.mmio, MEMORY, &byte, 1);
	device->reset(device);
	assert_int_equal(pc_inl(pc, LATCH), 0);
	assert_false(fake_arch_level(5));
	bus_read(pc->vm.mmio, MEMORY, &byte, 1);
	assert_int_equal(byte, 0);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "test-devices", LATCH);
	fake_pc_add_refused(&pc, "test-devices", LINES + 23);
	fake_pc_destroy(&pc);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_latch),
		on_pc(test_lines),
		on_pc(test_memory),
		on_pc(test_flush_keeps_content),
		on_pc(test_flush_page),
		on_pc(test_machine_reset),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
