/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI function's configuration space, BARs, capabilities and INTx against PCI 3.0, chapter 6. */
/* fakes: virtio_machine pci_guest test_driver fake_kvm fake_arch */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_arch.h"
#include "pci_guest.h"

#define BAR(index) (PCI_BASE_ADDRESS_0 + 4 * (index))
#define SLOT       1

static const struct pci_identity identity = {
	.vendor_id = 0x1234,
	.device_id = 0x5678,
	.subsystem_vendor_id = 0x9abc,
	.subsystem_id = 0xdef0,
	.class_code = 0x010203,
	.revision = 4,
};

struct toy {
	struct pci_function function; /* first */
	gpa_t mapped[PCI_BARS_MAX];   /* as bar_mapped said; 0: not */
	unsigned int maps, unmaps, config_reads, config_writes;
	unsigned int access_offset;
};

struct fixture {
	struct virtio_machine machine;
	struct toy toy;
};

/* What a BAR reads as: its number. */
static void bar_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)offset;
	memset(data, *(const uint8_t *)ctx, size_bytes);
}

static void bar_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	(void)data;
	(void)size_bytes;
}

static const struct bus_ops bar_ops = { bar_read, bar_write };

static void bar_mapped(struct pci_function *function, unsigned int bar, gpa_t gpa, bool enabled)
{
	struct toy *toy = container_of(function, struct toy, function);

	toy->mapped[bar] = enabled ? gpa : 0;
	toy->maps += enabled;
	toy->unmaps += !enabled;
}

static void config_read(struct pci_function *function, unsigned int offset, unsigned int size_bytes)
{
	struct toy *toy = container_of(function, struct toy, function);
	const uint8_t byte = 0x77;

	(void)size_bytes;
	toy->config_reads++;
	toy->access_offset = offset;
	pci_config_set(function, offset & ~3U, &byte, 1);
}

static void config_write(struct pci_function *function, unsigned int offset,
                         unsigned int size_bytes)
{
	struct toy *toy = container_of(function, struct toy, function);

	(void)size_bytes;
	toy->config_writes++;
	toy->access_offset = offset;
}

static const struct pci_function_ops toy_ops = { .bar_mapped = bar_mapped,
	                                         .config_read = config_read,
	                                         .config_write = config_write };

static uint8_t numbers[] = { 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5 };

static void toy_init(struct virtio_machine *machine, struct toy *toy)
{
	memset(toy, 0, sizeof(*toy));
	assert_int_equal(pci_function_init(&toy->function, &machine->vm, &identity, &toy_ops, NULL),
	                 0);
	assert_int_equal(pci_add_memory_bar(&toy->function, 0, 0x4000, &bar_ops, &numbers[0], NULL),
	                 0);
	assert_int_equal(pci_add_io_bar(&toy->function, 1, 32, &bar_ops, &numbers[1], NULL), 0);
	assert_int_equal(
		pci_add_memory_bar(&toy->function, 2, 64 * MIB, &bar_ops, &numbers[2], NULL), 0);
}

static void set_up(struct fixture *f)
{
	virtio_machine_create(&f->machine, TRANSPORT_PCI);
	toy_init(&f->machine, &f->toy);
}

static void tear_down(struct fixture *f)
{
	pci_function_fini(&f->toy.function);
	virtio_machine_destroy(&f->machine);
}

static uint64_t get(struct fixture *f, unsigned int offset, unsigned int size_bytes)
{
	return cfg_read(&f->machine, SLOT, offset, size_bytes);
}

static void set(struct fixture *f, unsigned int offset, uint64_t value, unsigned int size_bytes)
{
	cfg_write(&f->machine, SLOT, offset, value, size_bytes);
}

static void header_is_type_0(void **state)
{
	static const struct {
		unsigned int offset, size_bytes;
		uint32_t value;
	} rows[] = {
		{ PCI_VENDOR_ID, 2, 0x1234 },
		{ PCI_DEVICE_ID, 2, 0x5678 },
		{ PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY }, /* decoding at once */
		{ PCI_STATUS, 2, 0 },
		{ PCI_CLASS_REVISION, 4, 0x01020304 },
		{ PCI_HEADER_TYPE, 1, 0 },
		{ PCI_SUBSYSTEM_VENDOR_ID, 4, 0xdef09abc },
		{ PCI_CAPABILITY_LIST, 1, 0 },
		{ PCI_INTERRUPT_PIN, 1, 1 },
		{ PCI_INTERRUPT_LINE, 1, MACHINE_INTX_GSI + SLOT },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(get(&f, rows[i].offset, rows[i].size_bytes), rows[i].value);
		if (rows[i].offset == PCI_COMMAND || rows[i].offset == PCI_INTERRUPT_LINE)
			continue;
		set(&f, rows[i].offset, UINT32_MAX, rows[i].size_bytes); /* read-only */
		assert_int_equal(get(&f, rows[i].offset, rows[i].size_bytes), rows[i].value);
	}
	set(&f, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(get(&f, PCI_COMMAND, 2),
	                 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
	                         PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	tear_down(&f);
}

/* 6.2.5.1: all-ones written reads back as the mask of the size. */
static void bars_are_sized(void **state)
{
	static const struct {
		unsigned int bar;
		uint32_t mask;
	} rows[] = {
		{ 0, 0xffffc000 },
		{ 1, 0x0000ffe0 | PCI_BASE_ADDRESS_SPACE_IO }, /* 16 address bits, as a PC has */
		{ 2, 0xfc000000 | PCI_BASE_ADDRESS_MEM_TYPE_64 },
		{ 3, 0xffffffff },
		{ 4, 0 },
		{ 5, 0 },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	set(&f, PCI_COMMAND, 0, 2);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t before = get(&f, BAR(rows[i].bar), 4);

		set(&f, BAR(rows[i].bar), UINT32_MAX, 4);
		assert_int_equal(get(&f, BAR(rows[i].bar), 4), rows[i].mask);
		set(&f, BAR(rows[i].bar), before, 4);
		assert_int_equal(get(&f, BAR(rows[i].bar), 4), before);
	}
	tear_down(&f);
}

static void bars_decode_by_the_command_register(void **state)
{
	struct fixture f;
	gpa_t memory;
	uint16_t port;

	(void)state;
	set_up(&f);
	memory = cfg_bar(&f.machine, SLOT, 0);
	port = get(&f, BAR(1), 2) & 0xfffc;
	assert_in_range(memory, MACHINE_MMIO32_GPA, MACHINE_MMIO32_GPA + 256 * MIB - 1);
	assert_int_equal(memory % 0x4000, 0);
	assert_int_equal(port, PCI_IO_WINDOW_BASE);
	assert_int_equal(f.toy.mapped[0], memory);
	assert_int_equal(f.toy.mapped[2], MACHINE_MMIO64_GPA);
	assert_int_equal(get(&f, BAR(2), 8) & ~0xfULL, MACHINE_MMIO64_GPA);
	assert_int_equal(machine_read(&f.machine, memory + 0x3fff, 1), 0xb0);
	assert_int_equal(port_read(&f.machine, port, 1), 0xb1);
	assert_int_equal(machine_read(&f.machine, MACHINE_MMIO64_GPA, 1), 0xb2);

	set(&f, PCI_COMMAND, PCI_COMMAND_IO, 2);
	assert_int_equal(machine_read(&f.machine, memory, 1), 0xff);
	assert_int_equal(machine_read(&f.machine, MACHINE_MMIO64_GPA, 1), 0xff);
	assert_int_equal(port_read(&f.machine, port, 1), 0xb1);
	assert_int_equal(f.toy.mapped[0], 0);
	set(&f, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(machine_read(&f.machine, memory, 1), 0xb0);
	assert_int_equal(port_read(&f.machine, port, 1), 0xff);
	tear_down(&f);
}

static void bars_move(void **state)
{
	struct fixture f;
	gpa_t before, after = MACHINE_MMIO32_GPA + 128 * MIB;
	unsigned int maps;

	(void)state;
	set_up(&f);
	before = cfg_bar(&f.machine, SLOT, 0);
	set(&f, BAR(0), after + 0x123, 4); /* low bits are the size's */
	assert_int_equal(machine_read(&f.machine, before, 1), 0xff);
	assert_int_equal(machine_read(&f.machine, after, 1), 0xb0);
	assert_int_equal(f.toy.mapped[0], after);
	maps = f.toy.maps;
	set(&f, BAR(0), after, 4); /* the same place: nothing happens */
	set(&f, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
	assert_int_equal(f.toy.maps, maps);

	set(&f, BAR(3), 0x50, 4); /* the upper half alone */
	assert_int_equal(f.toy.mapped[2], UINT64_C(0x5000000000));
	assert_int_equal(machine_read(&f.machine, UINT64_C(0x5000000000), 1), 0xb2);
	set(&f, BAR(2), UINT64_C(0x6004000000), 8);
	assert_int_equal(f.toy.mapped[2], UINT64_C(0x6004000000));
	set(&f, BAR(2), UINT64_MAX, 8); /* up to the last byte there is */
	assert_int_equal(get(&f, BAR(2), 8), UINT64_MAX << 26 | PCI_BASE_ADDRESS_MEM_TYPE_64);

	port_cfg_write(&f.machine, SLOT, BAR(1), 0xd000, 4);
	assert_int_equal(port_read(&f.machine, 0xd01f, 1), 0xb1);
	tear_down(&f);
}

static void bar_that_is_in_the_way_waits(void **state)
{
	struct fixture f;
	struct toy other;
	gpa_t mine, theirs;

	(void)state;
	set_up(&f);
	toy_init(&f.machine, &other);
	mine = cfg_bar(&f.machine, SLOT, 0);
	theirs = cfg_bar(&f.machine, SLOT + 1, 0);
	set(&f, BAR(0), theirs, 4); /* no error to the guest */
	assert_int_equal(get(&f, BAR(0), 4), theirs);
	assert_int_equal(f.toy.mapped[0], 0);
	assert_true(pci_host_overlap_count(f.machine.vm.pci) >= 1);
	assert_int_equal(other.mapped[0], theirs);
	cfg_write(&f.machine, SLOT + 1, BAR(0), mine, 4); /* they swap */
	assert_int_equal(f.toy.mapped[0], theirs);
	assert_int_equal(other.mapped[0], mine);

	/* And back by reset, in either order. */
	pci_function_reset(&f.toy.function);
	pci_function_reset(&other.function);
	assert_int_equal(f.toy.mapped[0], mine);
	assert_int_equal(other.mapped[0], theirs);

	set(&f, BAR(0), MACHINE_ECAM_GPA, 4); /* the bridge's own */
	assert_int_equal(f.toy.mapped[0], 0);
	assert_int_equal(get(&f, PCI_VENDOR_ID, 2), 0x1234);
	pci_function_fini(&other.function);
	tear_down(&f);
}

static void capabilities_form_a_list(void **state)
{
	static const uint8_t first[] = { PCI_CAP_ID_VNDR, 0xee, 5, 1, 2 };
	static const uint8_t second[] = { PCI_CAP_ID_VNDR, 0xee, 4, 3 };
	static const uint8_t long_one[192] = { PCI_CAP_ID_VNDR };
	struct fixture f;
	int offsets[2];

	(void)state;
	set_up(&f);
	offsets[0] = pci_add_capability(&f.toy.function, first, NULL, sizeof(first));
	offsets[1] = pci_add_capability(&f.toy.function, second, NULL, sizeof(second));
	assert_int_equal(offsets[0], 0x40);
	assert_int_equal(offsets[1], 0x48); /* dword-aligned */
	assert_int_equal(get(&f, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	assert_int_equal(cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_VNDR, 0), 0x40);
	assert_int_equal(cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_VNDR, 1), 0x48);
	assert_int_equal(cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_VNDR, 2), 0);
	set(&f, 0x40, 0, 8);
	assert_int_equal(get(&f, 0x44, 1), 2); /* read-only */
	assert_int_equal(pci_add_capability(&f.toy.function, long_one, NULL, sizeof(long_one)),
	                 -ENOSPC);
	assert_int_equal(get(&f, 0x49, 1), 0); /* the list ends */
	tear_down(&f);
}

static void writable_capability_is_watched(void **state)
{
	static const uint8_t bytes[8] = { PCI_CAP_ID_VNDR, 0, 8, 0, 1, 2, 3, 4 };
	static const uint8_t writable[8] = { 0, 0, 0, 0, 0xff, 0x0f, 0, 0 };
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(pci_add_capability(&f.toy.function, bytes, writable, sizeof(bytes)), 0x40);
	get(&f, PCI_VENDOR_ID, 4);
	set(&f, PCI_COMMAND, 3, 2);
	get(&f, 0x40, 4);
	assert_int_equal(f.toy.config_reads + f.toy.config_writes, 0);
	set(&f, 0x44, 0xffffffff, 4);
	assert_int_equal(f.toy.config_writes, 1);
	assert_int_equal(f.toy.access_offset, 0x44);
	assert_int_equal(get(&f, 0x44, 4), 0x04030f77); /* the hook's byte, what the mask let in */
	assert_int_equal(f.toy.config_reads, 1);
	set(&f, 0x40, 0, 8); /* reaches into it */
	assert_int_equal(f.toy.config_writes, 2);
	pci_function_reset(&f.toy.function);
	assert_int_equal(get(&f, 0x45, 1), 2);
	tear_down(&f);
}

/* 6.2.3, 6.2.4. */
static void intx_follows_level_and_command(void **state)
{
	struct fixture f;
	unsigned int gsi = MACHINE_INTX_GSI + SLOT;

	(void)state;
	set_up(&f);
	pci_set_intx(&f.toy.function, true);
	assert_true(fake_arch_level(gsi));
	assert_int_equal(get(&f, PCI_STATUS, 2), PCI_STATUS_INTERRUPT);
	set(&f, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
	assert_false(fake_arch_level(gsi));
	assert_int_equal(get(&f, PCI_STATUS, 2),
	                 PCI_STATUS_INTERRUPT); /* the state, not the line */
	pci_set_intx(&f.toy.function, false);
	pci_set_intx(&f.toy.function, true);
	assert_false(fake_arch_level(gsi));
	set(&f, PCI_COMMAND, 0, 2);
	assert_true(fake_arch_level(gsi));
	pci_function_reset(&f.toy.function);
	assert_false(fake_arch_level(gsi));
	assert_int_equal(get(&f, PCI_STATUS, 2), 0);
	tear_down(&f);
}

static void reset_puts_everything_back(void **state)
{
	struct fixture f;
	uint8_t before[PCI_CONFIG_BYTES];
	gpa_t mapped;

	(void)state;
	set_up(&f);
	pci_config_get(&f.toy.function, 0, before, sizeof(before));
	mapped = f.toy.mapped[0];
	for (unsigned int offset = 0; offset < PCI_CONFIG_BYTES; offset += 4)
		set(&f, offset, 0x5a5a5a5a, 4);
	pci_function_reset(&f.toy.function);
	assert_memory_equal(f.toy.function.config, before, sizeof(before));
	assert_int_equal(f.toy.mapped[0], mapped);
	assert_int_equal(machine_read(&f.machine, mapped, 1), 0xb0);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_type_0),
		cmocka_unit_test(bars_are_sized),
		cmocka_unit_test(bars_decode_by_the_command_register),
		cmocka_unit_test(bars_move),
		cmocka_unit_test(bar_that_is_in_the_way_waits),
		cmocka_unit_test(capabilities_form_a_list),
		cmocka_unit_test(writable_capability_is_watched),
		cmocka_unit_test(intx_follows_level_and_command),
		cmocka_unit_test(reset_puts_everything_back),
	};

	return cmocka_run_group_tests_name("pci_function", tests, NULL, NULL);
}
