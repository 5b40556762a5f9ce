/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The PCI test function: the protocol as a test kernel drives it, on both BARs, with eventfds that
 * move along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/pci.h"
#include "fake_kvm.h"
#include "fake_pc.h"

#define MEMORY_BAR 0
#define IO_BAR     1

struct fixture {
	struct fake_pc pc;
	struct device *device;
	uint64_t bars[2];
};

static const struct pci_host_layout layout = {
	.ecam_gpa = 0xe0000000,
	.mmio32_gpa = 0xc0000000,
	.mmio32_bytes = 0x10000000,
	.has_io_ports = true,
	.intx_gsis = { 16, 17, 18, 19 },
};

static uint32_t config_read(struct fixture *fixture, unsigned int offset, unsigned int size_bytes)
{
	uint8_t data[4];

	assert_true(bus_read(fixture->pc.vm.mmio, layout.ecam_gpa + (1 << 15) + offset, data,
	                     size_bytes));
	return (uint32_t)load_le(data, size_bytes);
}

static void config_write(struct fixture *fixture, unsigned int offset, uint32_t value,
                         unsigned int size_bytes)
{
	uint8_t data[4];

	store_le(data, value, size_bytes);
	assert_true(bus_write(fixture->pc.vm.mmio, layout.ecam_gpa + (1 << 15) + offset, data,
	                      size_bytes));
}

static int set_up(void **state)
{
	static struct fixture fixture;
	struct error err = ERROR_INIT;

	fake_pc_create(&fixture.pc);
	assert_int_equal(pci_host_create(&fixture.pc.vm, &layout, &fixture.pc.vm.pci, &err), 0);
	fixture.device = fake_pc_add(&fixture.pc, "pci-testdev");
	fixture.bars[MEMORY_BAR] = config_read(&fixture, 0x10, 4) & ~UINT32_C(0xf);
	fixture.bars[IO_BAR] = config_read(&fixture, 0x14, 4) & ~UINT32_C(0x3);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	device_destroy_all(&fixture->pc.vm);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	pci_host_destroy(fixture->pc.vm.pci);
	fake_pc_destroy(&fixture->pc);
	return 0;
}

static uint32_t get(struct fixture *fixture, unsigned int bar, unsigned int offset,
                    unsigned int size_bytes)
{
	struct bus *bus = bar == IO_BAR ? fixture->pc.vm.pio : fixture->pc.vm.mmio;
	uint8_t data[4];

	assert_true(bus_read(bus, fixture->bars[bar] + offset, data, size_bytes));
	return (uint32_t)load_le(data, size_bytes);
}

/* A guest's write: KVM's if an eventfd takes it, else ours. Returns whether one took it. */
static bool put(struct fixture *fixture, unsigned int bar, unsigned int offset, uint8_t value)
{
	struct bus *bus = bar == IO_BAR ? fixture->pc.vm.pio : fixture->pc.vm.mmio;

	if (fake_kvm_guest_write(bar == IO_BAR, fixture->bars[bar] + offset, value, 1))
		return true;
	assert_true(bus_write(bus, fixture->bars[bar] + offset, &value, 1));
	return false;
}

static void test_identity(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(config_read(fixture, 0, 4), 0x00051b36);
	assert_int_equal(config_read(fixture, 4, 2) & 3, 3); /* decodes ports and memory already */
	assert_int_equal(config_read(fixture, 0x10, 4) & 1, 0);
	assert_int_equal(config_read(fixture, 0x14, 4) & 3, 1);
	assert_int_not_equal(fixture->bars[0], 0);
	assert_int_not_equal(fixture->bars[1], 0);
}

static void check_name(struct fixture *fixture, unsigned int bar, const char *expected)
{
	char name[32] = "";

	for (size_t i = 0; i < sizeof(name) - 1; i++) {
		name[i] = (char)get(fixture, bar, 16 + i, 1);
		if (!name[i])
			break;
	}
	assert_string_equal(name, expected);
}

static void check_test(struct fixture *fixture, unsigned int bar, unsigned int test,
                       const char *name)
{
	uint32_t offset;
	uint8_t data;

	put(fixture, bar, 0, test);
	assert_int_equal(get(fixture, bar, 12, 4), 0);
	assert_int_equal(get(fixture, bar, 1, 1), 1);
	check_name(fixture, bar, name);
	offset = get(fixture, bar, 4, 4);
	data = get(fixture, bar, 8, 4);
	assert_in_range(offset, 64, 4095);
	for (int i = 0; i < 16; i++)
		assert_int_equal(put(fixture, bar, offset, data), test != 0);
	assert_int_equal(get(fixture, bar, 12, 4), 16);
	/* Another value: only "any value" counts it. */
	assert_int_equal(put(fixture, bar, offset, data ^ 1), test == 1);
	put(fixture, bar, offset + 8, data);
	assert_int_equal(get(fixture, bar, 12, 4), test == 1 ? 17 : 16);
	assert_int_equal(fake_kvm_ioeventfd_count(), test != 0);
}

static void test_protocol(void **state)
{
	struct fixture *fixture = *state;

	check_test(fixture, MEMORY_BAR, 0, "mmio-no-eventfd");
	check_test(fixture, MEMORY_BAR, 1, "mmio-wildcard-eventfd");
	check_test(fixture, MEMORY_BAR, 2, "mmio-datamatch-eventfd");
	check_test(fixture, IO_BAR, 0, "portio-no-eventfd");
	check_test(fixture, IO_BAR, 1, "portio-wildcard-eventfd");
	check_test(fixture, IO_BAR, 2, "portio-datamatch-eventfd");
	put(fixture, IO_BAR, 0, 3); /* there is no such test: a kernel that scans stops */
	assert_int_equal(get(fixture, IO_BAR, 1, 1), 0);
	assert_int_equal(get(fixture, IO_BAR, 12, 4), 0);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
}

static void test_bounds(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, MEMORY_BAR, 0, 0);
	assert_int_equal(get(fixture, MEMORY_BAR, 4092, 4), 0);
	assert_int_equal(get(fixture, MEMORY_BAR, 46, 4), 0);
	assert_int_equal(get(fixture, IO_BAR, 252, 4), 0);
}

static void test_eventfd_follows_the_bar(void **state)
{
	struct fixture *fixture = *state;
	uint16_t command = config_read(fixture, 4, 2);
	uint32_t offset, data;

	put(fixture, MEMORY_BAR, 0, 2);
	assert_int_equal(fake_kvm_ioeventfd_count(), 1);
	config_write(fixture, 4, command & ~2, 2); /* memory decoding off */
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	fixture->bars[MEMORY_BAR] += 0x100000;
	config_write(fixture, 0x10, fixture->bars[MEMORY_BAR], 4);
	config_write(fixture, 4, command, 2);
	assert_int_equal(fake_kvm_ioeventfd_count(), 1);
	offset = get(fixture, MEMORY_BAR, 4, 4);
	data = get(fixture, MEMORY_BAR, 8, 4);
	assert_int_equal(fake_kvm_ioeventfd(0)->addr, fixture->bars[MEMORY_BAR] + offset);
	assert_true(put(fixture, MEMORY_BAR, offset, data));
	assert_int_equal(get(fixture, MEMORY_BAR, 12, 4), 1);
}

static void test_host_without_ioeventfd(void **state)
{
	struct fixture *fixture = *state;
	uint32_t offset, data;

	fake_kvm_fail_nth(0, -38);
	put(fixture, MEMORY_BAR, 0, 2);
	assert_true(fake_kvm_has_failed());
	fake_kvm_fail_never();
	offset = get(fixture, MEMORY_BAR, 4, 4);
	data = get(fixture, MEMORY_BAR, 8, 4);
	assert_false(put(fixture, MEMORY_BAR, offset, data));
	assert_int_equal(get(fixture, MEMORY_BAR, 12, 4), 1); /* it came to us instead */
}

static void test_machine_reset(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, IO_BAR, 0, 1);
	assert_int_equal(fake_kvm_ioeventfd_count(), 1);
	fixture->device->reset(fixture->device);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	assert_int_equal(get(fixture, IO_BAR, 1, 1), 0);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_identity),
		on_pc(test_protocol),
		on_pc(test_bounds),
		on_pc(test_eventfd_follows_the_bar),
		on_pc(test_host_without_ioeventfd),
		on_pc(test_machine_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
