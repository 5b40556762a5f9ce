/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI host bridge: the two ways to configuration space, slots, windows. */
/* fakes: virtio_machine pci_guest test_driver fake_kvm fake_arch */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "pci_guest.h"

static const struct pci_identity identity = {
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.subsystem_vendor_id = 0x9abc,
	.subsystem_id = 0xdef0,
	.class_code = 0x010203,
	.revision = 4,
};

static void no_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0, size_bytes);
}

static void no_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	(void)data;
	(void)size_bytes;
}

static const struct bus_ops no_ops = { no_read, no_write };

static void bridge_is_device_0(void **state)
{
	struct virtio_machine machine;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	assert_int_equal(cfg_read(&machine, 0, PCI_VENDOR_ID, 4), 0x00081b36);
	assert_int_equal(cfg_read(&machine, 0, PCI_CLASS_REVISION, 4) >> 8, 0x060000);
	assert_int_equal(cfg_read(&machine, 0, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(pci_host_layout(machine.vm.pci)->ecam_gpa, MACHINE_ECAM_GPA);
	virtio_machine_destroy(&machine);
}

static void absent_functions_read_all_ones(void **state)
{
	struct virtio_machine machine;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	assert_int_equal(cfg_read(&machine, 1, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(cfg_read(&machine, 31, 0xffc, 4), UINT32_MAX);
	cfg_write(&machine, 1, PCI_COMMAND, 7, 2);
	/* Function 1 of a device that is there. */
	assert_int_equal(cfg_read(&machine, 0, 0x1000, 4), UINT32_MAX);
	assert_int_equal(port_cfg_read(&machine, 1, PCI_VENDOR_ID, 2), 0xffff);
	port_cfg_write(&machine, 1, PCI_COMMAND, 7, 2);
	/* Another bus; and an address without the enable bit. */
	port_write(&machine, 0xcf8, 0x80010000, 4);
	assert_int_equal(port_read(&machine, 0xcfc, 4), UINT32_MAX);
	port_write(&machine, 0xcf8, 0x00000000, 4);
	assert_int_equal(port_read(&machine, 0xcfc, 4), UINT32_MAX);
	port_write(&machine, 0xcfc, 0, 4);
	virtio_machine_destroy(&machine);
}

static void both_ways_see_the_same(void **state)
{
	struct virtio_machine machine;
	struct pci_function function;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	memset(&function, 0, sizeof(function));
	assert_int_equal(pci_function_init(&function, &machine.vm, &identity, NULL, NULL), 0);
	assert_int_equal(function.slot, 1);
	for (unsigned int offset = 0; offset < 64; offset++) {
		assert_int_equal(port_cfg_read(&machine, 1, offset, 1),
		                 cfg_read(&machine, 1, offset, 1));
		if (offset % 2 == 0)
			assert_int_equal(port_cfg_read(&machine, 1, offset, 2),
			                 cfg_read(&machine, 1, offset, 2));
		if (offset % 4 == 0)
			assert_int_equal(port_cfg_read(&machine, 1, offset, 4),
			                 cfg_read(&machine, 1, offset, 4));
	}
	/* Byte enables: one byte of four. */
	port_cfg_write(&machine, 1, PCI_CACHE_LINE_SIZE, 0x40, 1);
	port_cfg_write(&machine, 1, PCI_INTERRUPT_LINE, 0x0b, 1);
	assert_int_equal(cfg_read(&machine, 1, PCI_CACHE_LINE_SIZE, 4), 0x40);
	assert_int_equal(cfg_read(&machine, 1, PCI_INTERRUPT_LINE, 2), 0x010b);
	pci_function_fini(&function);
	assert_int_equal(cfg_read(&machine, 1, PCI_VENDOR_ID, 4), UINT32_MAX);
	virtio_machine_destroy(&machine);
}

/* PCI 3.0, 3.2.2.3.2: the latch takes whole dwords only. */
static void address_port_takes_4_bytes(void **state)
{
	struct virtio_machine machine;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	port_write(&machine, 0xcf8, 0x80000008, 4);
	port_write(&machine, 0xcf8, 0, 1);
	port_write(&machine, 0xcf9, 6, 1);
	port_write(&machine, 0xcfa, 0, 2);
	assert_int_equal(port_read(&machine, 0xcf8, 4), 0x80000008);
	assert_int_equal(port_read(&machine, 0xcf8, 2), 0xffff);
	assert_int_equal(port_read(&machine, 0xcfb, 1), 0xff);
	virtio_machine_destroy(&machine);
}

static void ecam_access_at_its_edges(void **state)
{
	struct virtio_machine machine;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	assert_int_equal(cfg_read(&machine, 0, 0, 8), 0x81b36);
	assert_int_equal(cfg_read(&machine, 0, 0xfc, 8), 0);
	assert_int_equal(cfg_read(&machine, 0, 0x100, 4), 0); /* no extended capabilities */
	assert_int_equal(cfg_read(&machine, 0, 0xffc, 8), UINT64_MAX); /* into the next function */
	cfg_write(&machine, 0, 0xffc, 0, 8);
	cfg_write(&machine, 0, 0xfe, UINT64_MAX, 4);
	virtio_machine_destroy(&machine);
}

static void bus_has_32_slots(void **state)
{
	struct virtio_machine machine;
	struct pci_function functions[PCI_SLOTS_MAX];
	struct error err = ERROR_INIT;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	memset(functions, 0, sizeof(functions));
	for (unsigned int i = 1; i < PCI_SLOTS_MAX; i++) {
		assert_int_equal(
			pci_function_init(&functions[i], &machine.vm, &identity, NULL, NULL), 0);
		assert_int_equal(cfg_read(&machine, i, PCI_INTERRUPT_LINE, 1),
		                 MACHINE_INTX_GSI + i % 4);
	}
	assert_int_equal(pci_function_init(&functions[0], &machine.vm, &identity, NULL, &err),
	                 -ENOSPC);
	assert_int_equal(err.code, -ENOSPC);
	for (unsigned int i = 0; i < PCI_SLOTS_MAX; i++)
		pci_function_fini(&functions[i]); /* [0] never was one */
	virtio_machine_destroy(&machine);
}

static void windows_end(void **state)
{
	struct virtio_machine machine;
	struct pci_function function;
	struct error err = ERROR_INIT;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	memset(&function, 0, sizeof(function));
	assert_int_equal(pci_function_init(&function, &machine.vm, &identity, NULL, NULL), 0);
	assert_int_equal(pci_add_memory_bar(&function, 0, 1 * GIB, &no_ops, NULL, NULL), 0);
	assert_int_equal(pci_add_memory_bar(&function, 2, 1 * GIB, &no_ops, NULL, &err), -ENOSPC);
	assert_int_equal(err.code, -ENOSPC);
	assert_int_equal(pci_add_io_bar(&function, 2, PCI_IO_WINDOW_BYTES, &no_ops, NULL, NULL), 0);
	assert_int_equal(pci_add_io_bar(&function, 3, 16, &no_ops, NULL, &err), -ENOSPC);
	pci_function_fini(&function);
	virtio_machine_destroy(&machine);
}

/* Rounding up to the size of the BAR leads out of the window. */
static void window_is_smaller_than_the_bar(void **state)
{
	struct virtio_machine machine;
	struct pci_function function;
	struct pci_host_layout layout;
	struct pci_host *host;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	layout = *pci_host_layout(machine.vm.pci);
	layout.ecam_gpa += 16 * MIB;
	layout.has_io_ports = false;
	layout.mmio64_bytes = 0;
	assert_int_equal(pci_host_create(&machine.vm, &layout, &host, NULL), 0);
	memset(&function, 0, sizeof(function));
	function.host = host;
	assert_int_equal(pci_function_init(&function, &machine.vm, &identity, NULL, NULL), 0);
	assert_int_equal(pci_add_memory_bar(&function, 0, 0x1000, &no_ops, NULL, NULL), 0);
	assert_int_equal(pci_add_memory_bar(&function, 1, 1 * GIB, &no_ops, NULL, NULL), -ENOSPC);
	assert_int_equal(pci_add_io_bar(&function, 1, 16, &no_ops, NULL, NULL), -ENOSPC);
	assert_int_equal(pci_add_memory_bar(&function, 1, 32 * MIB, &no_ops, NULL, NULL), 0);
	assert_false(function.bars[1].is_64bit);
	pci_function_fini(&function);
	pci_host_destroy(host);
	virtio_machine_destroy(&machine);
}

static void no_host_no_function(void **state)
{
	struct vm vm = { .pci = NULL };
	struct pci_function function = { .slot = 0 };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(pci_function_init(&function, &vm, &identity, NULL, &err), -ENODEV);
	assert_int_equal(err.code, -ENODEV);
	pci_host_destroy(NULL);
}

/* Whatever is in the way: nothing is left behind. */
static void host_that_finds_no_room_leaves_nothing(void **state)
{
	struct virtio_machine machine;
	struct pci_host_layout layout;
	struct pci_host *host = NULL;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	layout = *pci_host_layout(machine.vm.pci);
	assert_int_equal(pci_host_create(&machine.vm, &layout, &host, NULL), -EEXIST);
	layout.ecam_gpa += 16 * MIB;
	assert_int_equal(pci_host_create(&machine.vm, &layout, &host, NULL), -EEXIST); /* CF8 */
	assert_null(host);
	layout.has_io_ports = false;
	assert_int_equal(pci_host_create(&machine.vm, &layout, &host, NULL), 0);
	pci_host_destroy(host);
	assert_int_equal(cfg_read(&machine, 0, PCI_VENDOR_ID, 2), 0x1b36);
	virtio_machine_destroy(&machine);
}

/* Through what the VM's reset does: the bridge is nobody's device. */
static void reset_forgets_what_the_guest_wrote(void **state)
{
	struct virtio_machine machine;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	cfg_write(&machine, 0, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	cfg_write(&machine, 0, PCI_INTERRUPT_LINE, 0x5a, 1);
	port_write(&machine, 0xcf8, 0x80000800, 4);
	pci_host_reset(machine.vm.pci);
	assert_int_equal(cfg_read(&machine, 0, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg_read(&machine, 0, PCI_INTERRUPT_LINE, 1), 0);
	assert_int_equal(cfg_read(&machine, 0, PCI_VENDOR_ID, 2), 0x1b36);
	assert_int_equal(port_read(&machine, 0xcf8, 4), 0);
	assert_int_equal(port_read(&machine, 0xcfc, 4), 0xffffffff);
	virtio_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bridge_is_device_0),
		cmocka_unit_test(absent_functions_read_all_ones),
		cmocka_unit_test(both_ways_see_the_same),
		cmocka_unit_test(address_port_takes_4_bytes),
		cmocka_unit_test(ecam_access_at_its_edges),
		cmocka_unit_test(bus_has_32_slots),
		cmocka_unit_test(windows_end),
		cmocka_unit_test(window_is_smaller_than_the_bar),
		cmocka_unit_test(no_host_no_function),
		cmocka_unit_test(host_that_finds_no_room_leaves_nothing),
		cmocka_unit_test(reset_forgets_what_the_guest_wrote),
	};

	return cmocka_run_group_tests_name("pci_host", tests, NULL, NULL);
}
