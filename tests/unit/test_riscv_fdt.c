/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device tree as a guest reads it. No libfdt here, which has one includer: a reader of the
 * structure block that finds properties by path (Devicetree Specification 0.4, 5).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "ebb/config.h"
#include "ebb/device.h"

#include "../../arch/riscv/fdt.h"
#include "../../arch/riscv/layout.h"

static struct {
	struct isa isa;
	struct device serial, mmio, silent;
	struct list devices;
	struct pci_host_layout pci;
	uint8_t seed[FDT_SEED_BYTES];
	struct numa_map numa;
	struct fdt_config config;
	uint8_t blob[RISCV_FDT_BYTES];
	size_t bytes;
} t;

static void add_device(struct device *device, const char *compatible, uint64_t gpa, uint64_t gsi)
{
	memset(device, 0, sizeof(*device));
	device->compatible = compatible;
	device_add_resource(device, DEVICE_RESOURCE_MMIO, gpa, 0x200);
	device_add_resource(device, DEVICE_RESOURCE_GSI, gsi, 1);
	list_append(&t.devices, &device->node);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	list_init(&t.devices);
	add_device(&t.serial, "ns16550a", RISCV_SERIAL_GPA, RISCV_IRQ_SERIAL);
	add_device(&t.silent, NULL, 0x20000000, 5);
	add_device(&t.mmio, "virtio,mmio", RISCV_VIRTIO_MMIO_GPA, RISCV_IRQ_VIRTIO_MMIO);
	bitmap_set(t.isa.extensions, KVM_RISCV_ISA_EXT_I);
	bitmap_set(t.isa.extensions, KVM_RISCV_ISA_EXT_ZICBOM);
	t.isa.cbom_block_bytes = 64;
	t.isa.satp_mode = 9;
	t.isa.timebase_hz = 10000000;
	memset(t.seed, 0xa7, sizeof(t.seed));
	t.pci = (struct pci_host_layout){
		.ecam_gpa = RISCV_PCI_ECAM_GPA,
		.mmio32_gpa = RISCV_PCI_MMIO32_GPA,
		.mmio32_bytes = RISCV_PCI_MMIO32_BYTES,
		.intx_gsis = { 32, 33, 34, 35 },
	};
	t.numa = (struct numa_map){
		.node_count = 1,
		.range_count = 1,
		.ranges = { { RISCV_RAM_GPA, 2304 * MIB, 0, false } },
	};
	t.config = (struct fdt_config){
		.cpu_count = 3,
		.numa = &t.numa,
		.isa = &t.isa,
		.params = "console=ttyS0 quiet",
		.initrd_gpa = 0x9abcd000,
		.initrd_bytes = 12345,
		.seed = t.seed,
		.pci = &t.pci,
		.devices = &t.devices,
	};
	return 0;
}

static uint32_t be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void build(void)
{
	assert_int_equal(fdt_build(&t.config, t.blob, sizeof(t.blob), &t.bytes), 0);
	assert_int_equal(be32(t.blob), 0xd00dfeed);
	assert_int_equal(be32(t.blob + 4), t.bytes);
}

enum { BEGIN_NODE = 1, END_NODE = 2, PROPERTY = 3, NOP = 4, END = 9 };

/* The property at "/node/node:name", or NULL; name "" finds the node itself. */
static const uint8_t *find(const char *path, uint32_t *ret_bytes)
{
	const uint8_t *at = t.blob + be32(t.blob + 8);
	const char *strings = (const char *)t.blob + be32(t.blob + 12);
	char here[256] = "", full[320];

	for (;;) {
		uint32_t token = be32(at);

		at += 4;
		if (token == BEGIN_NODE) {
			const char *name = (const char *)at;

			if (*name)
				snprintf(here + strlen(here), sizeof(here) - strlen(here), "/%s",
				         name);
			at += align_up(strlen(name) + 1, 4);
			snprintf(full, sizeof(full), "%s:", here);
			if (!strcmp(full, path))
				return at;
		} else if (token == END_NODE) {
			char *last = strrchr(here, '/');

			if (last)
				*last = 0;
		} else if (token == PROPERTY) {
			uint32_t bytes = be32(at);

			snprintf(full, sizeof(full), "%s:%s", here, strings + be32(at + 4));
			at += 8;
			if (!strcmp(full, path)) {
				*ret_bytes = bytes;
				return at;
			}
			at += align_up(bytes, 4);
		} else if (token != NOP) {
			assert_int_equal(token, END);
			return NULL;
		}
	}
}

static bool has(const char *path)
{
	uint32_t bytes;

	return find(path, &bytes) != NULL;
}

static void assert_text(const char *path, const char *text)
{
	uint32_t bytes = 0;
	const uint8_t *value = find(path, &bytes);

	if (!value)
		fail_msg("%s is not there", path);
	assert_int_equal(bytes, strlen(text) + 1);
	assert_string_equal((const char *)value, text);
}

static void assert_cells(const char *path, const uint32_t *cells, size_t count)
{
	uint32_t bytes = 0;
	const uint8_t *value = find(path, &bytes);

	if (!value)
		fail_msg("%s is not there", path);
	assert_int_equal(bytes, count * 4);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(be32(value + 4 * i), cells[i]);
}

#define assert_is(path, ...) \
	assert_cells(path, (const uint32_t[]){ __VA_ARGS__ }, \
	             sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static uint32_t cell(const char *path)
{
	uint32_t bytes = 0;
	const uint8_t *value = find(path, &bytes);

	assert_non_null(value);
	assert_true(bytes >= 4);
	return be32(value);
}

static void test_machine(void **state)
{
	uint32_t bytes;

	(void)state;
	build();
	assert_is(":#address-cells", 2);
	assert_text("/chosen:bootargs", "console=ttyS0 quiet");
	assert_text("/chosen:stdout-path", "/soc/serial@10000000");
	assert_text("/aliases:serial0", "/soc/serial@10000000");
	assert_is("/chosen:linux,initrd-start", 0, 0x9abcd000);
	assert_is("/chosen:linux,initrd-end", 0, 0x9abcd000 + 12345);
	assert_memory_equal(find("/chosen:rng-seed", &bytes), t.seed, sizeof(t.seed));
	assert_int_equal(bytes, sizeof(t.seed));
	assert_is("/memory@80000000:reg", 0, 0x80000000, 0, 0x90000000);
	t.config.initrd_bytes = 0;
	t.config.seed = NULL;
	build();
	assert_false(has("/chosen:linux,initrd-start"));
	assert_false(has("/chosen:rng-seed"));
}

static void test_cpus(void **state)
{
	static const char list[] = "i\0zicbom";
	uint32_t bytes = 0;

	(void)state;
	build();
	assert_is("/cpus:timebase-frequency", 10000000);
	assert_text("/cpus/cpu@0:riscv,isa", "rv64i_zicbom");
	assert_text("/cpus/cpu@2:riscv,isa-base", "rv64i");
	assert_memory_equal(find("/cpus/cpu@2:riscv,isa-extensions", &bytes), list, sizeof(list));
	assert_int_equal(bytes, sizeof(list));
	assert_text("/cpus/cpu@1:mmu-type", "riscv,sv48");
	assert_is("/cpus/cpu@1:reg", 1);
	assert_is("/cpus/cpu@1:riscv,cbom-block-size", 64);
	assert_false(has("/cpus/cpu@1:riscv,cboz-block-size"));
	assert_false(has("/cpus/cpu@3:"));
	assert_int_not_equal(cell("/cpus/cpu@0/interrupt-controller:phandle"),
	                     cell("/cpus/cpu@1/interrupt-controller:phandle"));
}

static void test_plic(void **state)
{
	uint32_t harts[3], plic, bytes = 0;

	(void)state;
	build();
	for (unsigned int i = 0; i < 3; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/cpus/cpu@%u/interrupt-controller:phandle", i);
		harts[i] = cell(path);
	}
	plic = cell("/soc/interrupt-controller@c000000:phandle");
	assert_is("/soc/interrupt-controller@c000000:interrupts-extended", harts[0], 9, harts[1], 9,
	          harts[2], 9);
	assert_is("/soc/interrupt-controller@c000000:riscv,ndev", RISCV_IRQ_SOURCES - 1);
	assert_is("/soc/serial@10000000:interrupts", RISCV_IRQ_SERIAL);
	assert_is("/soc/serial@10000000:interrupt-parent", plic);
	assert_is("/soc/serial@10000000:reg", 0, 0x10000000, 0, 0x200);
	assert_is("/soc/virtio_mmio@10001000:interrupts", RISCV_IRQ_VIRTIO_MMIO);
	assert_text("/soc/virtio_mmio@10001000:compatible", "virtio,mmio");
	assert_false(has("/soc/pci@30000000:msi-parent"));
	assert_false(has("/soc/interrupt-controller@d000000:"));
	assert_non_null(find("/soc/pci@30000000:interrupt-map", &bytes));
	assert_int_equal(bytes, 16 * 6 * 4);
}

static void test_aia(void **state)
{
	uint32_t imsic, aplic;

	(void)state;
	t.config.has_aia = true;
	t.config.aia_ids = 255;
	build();
	imsic = cell("/soc/interrupt-controller@28000000:phandle");
	aplic = cell("/soc/interrupt-controller@d000000:phandle");
	assert_is("/soc/interrupt-controller@28000000:reg", 0, 0x28000000, 0, 0x3000);
	assert_is("/soc/interrupt-controller@28000000:riscv,num-ids", 255);
	assert_is("/soc/interrupt-controller@d000000:msi-parent", imsic);
	assert_is("/soc/interrupt-controller@d000000:riscv,num-sources", RISCV_IRQ_SOURCES - 1);
	assert_is("/soc/pci@30000000:msi-parent", imsic);
	assert_is("/soc/serial@10000000:interrupt-parent", aplic);
	assert_is("/soc/serial@10000000:interrupts", RISCV_IRQ_SERIAL, 4);
	assert_false(has("/soc/interrupt-controller@c000000:"));
}

/* Slot and pin reach the line that the functions of that slot raise: (slot + pin) % 4. */
static void test_interrupt_map(void **state)
{
	uint32_t bytes = 0;
	const uint8_t *map;

	(void)state;
	build();
	assert_is("/soc/pci@30000000:interrupt-map-mask", 0x1800, 0, 0, 7);
	map = find("/soc/pci@30000000:interrupt-map", &bytes);
	for (uint32_t i = 0; i < 16; i++, map += 6 * 4) {
		assert_int_equal(be32(map), i / 4 << 11);
		assert_int_equal(be32(map + 12), i % 4 + 1);
		assert_int_equal(be32(map + 16), cell("/soc/interrupt-controller@c000000:phandle"));
		assert_int_equal(be32(map + 20), 32 + (i / 4 + i % 4) % 4);
	}
	assert_is("/soc/pci@30000000:ranges", 0x02000000, 0, 0x40000000, 0, 0x40000000, 0,
	          0x40000000);
}

static void test_without(void **state)
{
	(void)state;
	t.config.pci = NULL;
	list_remove(&t.serial.node);
	build();
	assert_false(has("/soc/pci@30000000:"));
	assert_false(has("/soc/serial@10000000:"));
	assert_false(has("/chosen:stdout-path"));
	assert_false(has("/aliases:"));
}

static void have_two_nodes(void)
{
	t.numa = (struct numa_map){
		.node_count = 2,
		.range_count = 4,
		.ranges = { { RISCV_RAM_GPA, GIB, 0, false },
		            { RISCV_RAM_GPA + GIB, 1280 * MIB, 1, false },
		            { UINT64_C(0x140000000), 8 * GIB, 0, true },
		            { UINT64_C(0x340000000), 8 * GIB, 1, true } },
		.cpu_nodes = { 1, 0, 1 },
	};
}

static void test_numa(void **state)
{
	(void)state;
	build();
	assert_false(has("/memory@80000000:numa-node-id"));
	assert_false(has("/cpus/cpu@0:numa-node-id"));
	assert_false(has("/distance-map:"));
	have_two_nodes();
	build();
	assert_is("/memory@80000000:reg", 0, 0x80000000, 0, 0x40000000);
	assert_is("/memory@80000000:numa-node-id", 0);
	assert_text("/memory@c0000000:device_type", "memory");
	assert_is("/memory@c0000000:reg", 0, 0xc0000000, 0, 0x50000000);
	assert_is("/memory@c0000000:numa-node-id", 1);
	assert_false(has("/memory@140000000:"));
	assert_is("/cpus/cpu@0:numa-node-id", 1);
	assert_is("/cpus/cpu@1:numa-node-id", 0);
	assert_is("/cpus/cpu@2:numa-node-id", 1);
	assert_text("/distance-map:compatible", "numa-distance-map-v1");
	assert_is("/distance-map:distance-matrix", 0, 0, 10, 0, 1, 20, 1, 0, 20, 1, 1, 10);
}

/* The most that a machine has fits into the room that is kept, and less room is an error. */
static void test_room(void **state)
{
	uint8_t *blob = malloc(RISCV_FDT_BYTES);
	size_t bytes = 0;

	(void)state;
	t.numa.node_count = NUMA_NODES_MAX;
	t.numa.range_count = NUMA_NODES_MAX;
	t.isa.extensions[0] = UINT64_MAX;
	t.isa.cboz_block_bytes = 64;
	t.config.cpu_count = VM_CPUS_MAX;
	t.config.has_aia = true;
	assert_int_equal(fdt_build(&t.config, blob, RISCV_FDT_BYTES, &bytes), 0);
	assert_in_range(bytes, 1, RISCV_FDT_BYTES - 64 * KIB);
	for (size_t room = 0; room < bytes; room += 997) {
		uint8_t *small = malloc(room + 1);

		assert_int_equal(fdt_build(&t.config, small, room, &bytes), -ENOSPC);
		free(small);
	}
	free(blob);
}

/* --- dtc --- */

/* What dtc says of the blob that was built last, every check on. Needs a program of the build host.
 */
static void assert_dtc_is_silent(const char *what)
{
	char path[] = "/tmp/ebb-test-fdt-XXXXXX", command[160], said[2048] = "";
	int fd = mkstemp(path), status;
	FILE *dtc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, t.blob, t.bytes), t.bytes);
	close(fd);
	snprintf(
		command, sizeof(command),
		"dtc -I dtb -O dtb -o /dev/null -Wunit_address_format -Winterrupt_provider %s 2>&1",
		path);
	dtc = popen(command, "re");
	assert_non_null(dtc);
	said[fread(said, 1, sizeof(said) - 1, dtc)] = 0;
	status = pclose(dtc);
	unlink(path);
	if (*said || status)
		fail_msg("dtc about %s: %s", what, said);
}

/* The least and the most of a machine, with either interrupt controller, pass without a warning. */
static void test_dtc(void **state)
{
	static const unsigned int cpu_counts[] = { 1, 16, VM_CPUS_MAX };
	char what[64];

	(void)state;
	if (system("command -v dtc >/dev/null")) {
		print_message("no dtc here (Debian: device-tree-compiler)\n");
		skip();
	}
	t.isa.extensions[0] = UINT64_MAX;
	t.isa.cboz_block_bytes = 64;
	t.config.aia_ids = 255;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cpu_counts); i++) {
		t.config.has_aia = i % 2;
		t.config.cpu_count = cpu_counts[i / 2];
		snprintf(what, sizeof(what), "%u harts with %s", t.config.cpu_count,
		         t.config.has_aia ? "an AIA" : "a PLIC");
		build();
		assert_dtc_is_silent(what);
	}
	have_two_nodes();
	build();
	assert_dtc_is_silent("a machine with two nodes");
	list_remove(&t.serial.node);
	t.config.pci = NULL;
	t.config.initrd_bytes = 0;
	t.config.seed = NULL;
	build();
	assert_dtc_is_silent("a machine without PCI, serial port, initrd and seed");
}

#define with_config(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_config(test_machine),       with_config(test_cpus),    with_config(test_plic),
		with_config(test_aia),           with_config(test_without), with_config(test_room),
		with_config(test_interrupt_map), with_config(test_numa),    with_config(test_dtc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
