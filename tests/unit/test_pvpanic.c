/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The panic port, and the PCI function: what they offer, and that nothing but "panicked" ends the
 * guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/pci.h"
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

#define ECAM_GPA UINT64_C(0x30000000)
#define BAR_GPA  UINT64_C(0x40000000)

static uint64_t mmio_read(struct fake_pc *pc, gpa_t gpa, unsigned int size_bytes)
{
	uint8_t data[8];

	bus_read(pc->vm.mmio, gpa, data, size_bytes);
	return load_le(data, size_bytes);
}

static void mmio_write(struct fake_pc *pc, gpa_t gpa, uint8_t value)
{
	bus_write(pc->vm.mmio, gpa, &value, 1);
}

/* A machine without ports. */
static void test_function(void **state)
{
	static const struct pci_host_layout layout = {
		.ecam_gpa = ECAM_GPA,
		.mmio32_gpa = BAR_GPA,
		.mmio32_bytes = MIB,
		.intx_gsis = { 1, 2, 3, 4 },
	};
	struct fake_pc pc;
	struct bus *pio;
	struct device *device;

	(void)state;
	fake_pc_create(&pc);
	pio = pc.vm.pio;
	pc.vm.pio = NULL;
	assert_int_equal(pci_host_create(&pc.vm, &layout, &pc.vm.pci, NULL), 0);
	device = fake_pc_add(&pc, "pvpanic");
	assert_int_equal(mmio_read(&pc, ECAM_GPA + 0x8000, 4), 0x00111b36);
	assert_int_equal(mmio_read(&pc, BAR_GPA, 1), 1);
	assert_int_equal(mmio_read(&pc, BAR_GPA + 1, 1), 0);
	mmio_write(&pc, BAR_GPA, 2);
	mmio_write(&pc, BAR_GPA + 1, 1);
	device->reset(device);
	assert_int_equal(fake_vm.panics, 0);
	mmio_write(&pc, BAR_GPA, 1);
	assert_int_equal(fake_vm.panics, 1);
	assert_int_equal(fake_vm.end, VM_END_PANIC);
	device_destroy_all(&pc.vm);
	pci_host_destroy(pc.vm.pci);
	pc.vm.pio = pio;
	fake_pc_destroy(&pc);
}

/* Neither ports nor PCI. */
static void test_nowhere(void **state)
{
	struct device_config config;
	struct fake_pc pc;
	struct bus *pio;

	(void)state;
	fake_pc_create(&pc);
	pio = pc.vm.pio;
	pc.vm.pio = NULL;
	device_config_init(&config, "pvpanic");
	assert_int_not_equal(device_create(&pc.vm, &config, NULL), 0);
	pc.vm.pio = pio;
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
		cmocka_unit_test(test_function),
		cmocka_unit_test(test_nowhere),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
