/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* ACPI's fixed hardware: button and SCI, sleep, timer, reset, in all widths of access. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ebb/acpi_pm.h"
#include "ebb/event_loop.h"
#include "fake_arch.h"
#include "fake_pc.h"
#include "fake_vm.h"

#define BASE    0x600
#define STATUS  (BASE + ACPI_PM1_EVENT_OFFSET)
#define ENABLE  (STATUS + 2)
#define CONTROL (BASE + ACPI_PM1_CONTROL_OFFSET)
#define TIMER   (BASE + ACPI_PM_TIMER_OFFSET)
#define RESET   (BASE + ACPI_PM_RESET_OFFSET)
#define SCI     9

#define POWER_BUTTON 0x0100

static int set_up(void **state)
{
	static struct fake_pc pc;

	fake_pc_create(&pc);
	fake_pc_add(&pc, "acpi-pm");
	*state = &pc;
	return 0;
}

static int tear_down(void **state)
{
	fake_pc_destroy(*state);
	assert_false(fake_vm_has_listeners());
	return 0;
}

static void press_power_button(void)
{
	fake_vm_tell(VM_EVENT_POWERDOWN, 0);
}

static void test_button(void **state)
{
	struct fake_pc *pc = *state;

	fake_vm_tell(VM_EVENT_RESUME, 0);
	assert_int_equal(pc_inw(pc, STATUS) & POWER_BUTTON, 0);
	pc_outw(pc, ENABLE, POWER_BUTTON);
	assert_false(fake_arch_level(SCI));
	press_power_button();
	assert_true(fake_arch_level(SCI));
	assert_true(pc_inw(pc, STATUS) & POWER_BUTTON);
	pc_outw(pc, STATUS, 0x0001); /* another bit clears another bit */
	assert_true(fake_arch_level(SCI));
	pc_outw(pc, STATUS, POWER_BUTTON);
	assert_false(fake_arch_level(SCI));
	assert_int_equal(pc_inw(pc, STATUS) & POWER_BUTTON, 0);
}

static void test_pressed_before_enabled(void **state)
{
	struct fake_pc *pc = *state;

	press_power_button();
	assert_false(fake_arch_level(SCI));
	pc_outb(pc, ENABLE + 1, POWER_BUTTON >> 8); /* by bytes */
	assert_true(fake_arch_level(SCI));
	pc_outb(pc, STATUS + 1, POWER_BUTTON >> 8);
	assert_false(fake_arch_level(SCI));
}

static void test_enable_bits(void **state)
{
	struct fake_pc *pc = *state;

	pc_outw(pc, ENABLE, 0xffff);
	assert_int_equal(pc_inw(pc, ENABLE), 0x0721);
	pc_outl(pc, STATUS, 0); /* status and enable together */
	assert_int_equal(pc_inl(pc, STATUS) >> 16, 0);
}

static void test_power_off(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(pc_inw(pc, CONTROL), 1); /* ACPI mode, always */
	pc_outw(pc, CONTROL, ACPI_PM_SLP_TYP_S5 << 10);
	assert_int_equal(fake_vm.end, VM_END_NONE);
	assert_int_equal(pc_inw(pc, CONTROL), ACPI_PM_SLP_TYP_S5 << 10 | 1);
	pc_outw(pc, CONTROL, 1 << 10 | 1 << 13); /* a sleep that is not offered */
	assert_int_equal(fake_vm.end, VM_END_NONE);
	pc_outw(pc, CONTROL, ACPI_PM_SLP_TYP_S5 << 10 | 1 << 13);
	assert_int_equal(fake_vm.end, VM_END_POWEROFF);
}

static void test_power_off_by_byte(void **state)
{
	struct fake_pc *pc = *state;

	pc_outb(pc, CONTROL + 1, ACPI_PM_SLP_TYP_S5 << 2 | 1 << 5);
	assert_int_equal(fake_vm.end, VM_END_POWEROFF);
}

static void test_reset_register(void **state)
{
	struct fake_pc *pc = *state;

	pc_outb(pc, RESET, 0);
	pc_outb(pc, RESET + 1, ACPI_PM_RESET_VALUE);
	assert_int_equal(fake_vm.resets, 0);
	pc_outb(pc, RESET, ACPI_PM_RESET_VALUE);
	assert_int_equal(fake_vm.resets, 1);
}

static void test_timer(void **state)
{
	struct fake_pc *pc = *state;
	int64_t before_ns = monotonic_ns(), after_ns;
	uint32_t first = pc_inl(pc, TIMER), last, ticks;

	do {
		last = pc_inl(pc, TIMER);
		after_ns = monotonic_ns();
	} while (after_ns - before_ns < 2 * NS_PER_MS);
	ticks = last - first;
	/* It never ran faster than its rate; and it ran. */
	assert_true(ticks <= (uint64_t)(after_ns - before_ns) * ACPI_PM_TIMER_HZ / NS_PER_S + 1);
	assert_true(ticks > 0);
	pc_outl(pc, TIMER, 0); /* read-only */
	assert_true(pc_inl(pc, TIMER) - last < ACPI_PM_TIMER_HZ);
}

static void test_machine_reset(void **state)
{
	struct fake_pc *pc = *state;
	struct device *device = device_find(&pc->vm, "acpi-pm");

	pc_outw(pc, ENABLE, POWER_BUTTON);
	pc_outw(pc, CONTROL, ACPI_PM_SLP_TYP_S5 << 10);
	press_power_button();
	device->reset(device);
	assert_false(fake_arch_level(SCI));
	assert_int_equal(pc_inw(pc, STATUS) & POWER_BUTTON, 0);
	assert_int_equal(pc_inw(pc, ENABLE), 0);
	assert_int_equal(pc_inw(pc, CONTROL), 1);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "acpi-pm", BASE + ACPI_PM_BLOCK_BYTES - 1);
	fake_pc_destroy(&pc);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_button),
		on_pc(test_pressed_before_enabled),
		on_pc(test_enable_bits),
		on_pc(test_power_off),
		on_pc(test_power_off_by_byte),
		on_pc(test_reset_register),
		on_pc(test_timer),
		on_pc(test_machine_reset),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
