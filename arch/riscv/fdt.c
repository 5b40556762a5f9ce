/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the flattened device tree, in order, into one buffer. */
#include "fdt.h"

#include <errno.h>
#include <libfdt.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "ebb/bytes.h"
#include "ebb/device.h"
#include "layout.h"
#include "plic.h"

/* Phandles: each hart's own interrupt controller, then the machine's. */
#define PHANDLE_HART(index) (1 + (index))
#define PHANDLE_IRQCHIP     1000 /* PLIC or APLIC: wires */
#define PHANDLE_IMSIC       1001

#define SUPERVISOR_EXTERNAL 9 /* a hart's interrupt number */
#define IRQ_LEVEL_HIGH      4 /* second cell of an APLIC's interrupt */

#define COMPATIBLE_SERIAL  "ns16550a"
#define SERIAL_CLOCK_HZ    3686400
#define PCI_SPACE_MEMORY32 0x02000000
#define PCI_ECAM_BYTES     MIB
#define INTX_SLOTS         4 /* then the swizzle repeats */
#define INTX_PINS          4
#define CELLS_MAX          (3 * NUMA_NODES_MAX * NUMA_NODES_MAX) /* of the distances: the most */

struct writer {
	const struct fdt_config *config;
	void *fdt;
	int error; /* libfdt's first */
};

struct cells {
	fdt32_t values[CELLS_MAX];
	size_t count;
};

static void check(struct writer *writer, int result)
{
	if (result && !writer->error)
		writer->error = result;
}

static void begin(struct writer *writer, const char *name)
{
	check(writer, fdt_begin_node(writer->fdt, name));
}

static void begin_at(struct writer *writer, const char *name, uint64_t unit)
{
	char text[64];

	snprintf(text, sizeof(text), "%s@%llx", name, (unsigned long long)unit);
	begin(writer, text);
}

static void end(struct writer *writer)
{
	check(writer, fdt_end_node(writer->fdt));
}

static void put(struct writer *writer, const char *name, const void *value, size_t bytes)
{
	check(writer, fdt_property(writer->fdt, name, value, (int)bytes));
}

static void put_empty(struct writer *writer, const char *name)
{
	put(writer, name, NULL, 0);
}

static void put_u32(struct writer *writer, const char *name, uint32_t value)
{
	check(writer, fdt_property_u32(writer->fdt, name, value));
}

static void put_u64(struct writer *writer, const char *name, uint64_t value)
{
	check(writer, fdt_property_u64(writer->fdt, name, value));
}

static void put_string(struct writer *writer, const char *name, const char *value)
{
	check(writer, fdt_property_string(writer->fdt, name, value));
}

static void add_cell(struct cells *cells, uint32_t value)
{
	if (cells->count < CELLS_MAX)
		cells->values[cells->count++] = cpu_to_fdt32(value);
}

static void add_two(struct cells *cells, uint64_t value)
{
	add_cell(cells, (uint32_t)(value >> 32));
	add_cell(cells, (uint32_t)value);
}

static void put_cells(struct writer *writer, const char *name, const struct cells *cells)
{
	put(writer, name, cells->values, cells->count * sizeof(cells->values[0]));
}

static void put_reg(struct writer *writer, uint64_t base, uint64_t size_bytes)
{
	struct cells cells = { .count = 0 };

	add_two(&cells, base);
	add_two(&cells, size_bytes);
	put_cells(writer, "reg", &cells);
}

static void put_address_cells(struct writer *writer, uint32_t address, uint32_t size)
{
	put_u32(writer, "#address-cells", address);
	put_u32(writer, "#size-cells", size);
}

/* Nodes that have no children, but are looked through by interrupt maps. */
static void put_interrupt_controller(struct writer *writer, uint32_t cells, uint32_t phandle)
{
	put_empty(writer, "interrupt-controller");
	put_u32(writer, "#interrupt-cells", cells);
	put_u32(writer, "#address-cells", 0);
	put_u32(writer, "phandle", phandle);
}

static void add_interrupt(const struct writer *writer, struct cells *cells, uint32_t source)
{
	add_cell(cells, source);
	if (writer->config->has_aia)
		add_cell(cells, IRQ_LEVEL_HIGH);
}

static void put_interrupt(struct writer *writer, uint32_t source)
{
	struct cells cells = { .count = 0 };

	add_interrupt(writer, &cells, source);
	put_u32(writer, "interrupt-parent", PHANDLE_IRQCHIP);
	put_cells(writer, "interrupts", &cells);
}

/* --- nodes --- */

/* Nodes of the machine, not of the tree (Linux, Documentation/devicetree/bindings/numa.txt). */
static void put_numa_node(struct writer *writer, unsigned int node)
{
	if (writer->config->numa->node_count > 1)
		put_u32(writer, "numa-node-id", node);
}

static void write_distances(struct writer *writer)
{
	const uint32_t count = (uint32_t)writer->config->numa->node_count;
	struct cells matrix = { .count = 0 };

	for (uint32_t i = 0; i < count * count; i++) {
		add_cell(&matrix, i / count);
		add_cell(&matrix, i % count);
		add_cell(&matrix, numa_distance(i / count, i % count));
	}
	begin(writer, "distance-map");
	put_string(writer, "compatible", "numa-distance-map-v1");
	put_cells(writer, "distance-matrix", &matrix);
	end(writer);
}

/* Of device memory its driver knows. */
static void write_memory(struct writer *writer)
{
	const struct numa_map *map = writer->config->numa;

	for (size_t i = 0; i < map->range_count && !map->ranges[i].is_device_memory; i++) {
		begin_at(writer, "memory", map->ranges[i].gpa);
		put_string(writer, "device_type", "memory");
		put_reg(writer, map->ranges[i].gpa, map->ranges[i].size_bytes);
		put_numa_node(writer, map->ranges[i].node);
		end(writer);
	}
}

static void write_cpu(struct writer *writer, unsigned int index)
{
	const struct isa *isa = writer->config->isa;
	char text[ISA_STRING_MAX_BYTES];

	begin_at(writer, "cpu", index);
	put_string(writer, "device_type", "cpu");
	put_string(writer, "compatible", "riscv");
	put_string(writer, "status", "okay");
	put_u32(writer, "reg", index);
	put_numa_node(writer, writer->config->numa->cpu_nodes[index]);
	isa_string(isa, text);
	put_string(writer, "riscv,isa", text);
	put_string(writer, "riscv,isa-base", "rv64i");
	put(writer, "riscv,isa-extensions", text, isa_extension_list(isa, text));
	put_string(writer, "mmu-type", isa_mmu_type(isa));
	if (isa->cbom_block_bytes)
		put_u32(writer, "riscv,cbom-block-size", isa->cbom_block_bytes);
	if (isa->cboz_block_bytes)
		put_u32(writer, "riscv,cboz-block-size", isa->cboz_block_bytes);
	begin(writer, "interrupt-controller");
	put_string(writer, "compatible", "riscv,cpu-intc");
	put_interrupt_controller(writer, 1, PHANDLE_HART(index));
	end(writer);
	end(writer);
}

static void write_cpus(struct writer *writer)
{
	begin(writer, "cpus");
	put_address_cells(writer, 1, 0);
	put_u32(writer, "timebase-frequency", (uint32_t)writer->config->isa->timebase_hz);
	for (unsigned int i = 0; i < writer->config->cpu_count; i++)
		write_cpu(writer, i);
	end(writer);
}

static void put_harts(struct writer *writer)
{
	struct cells cells = { .count = 0 };

	for (unsigned int i = 0; i < writer->config->cpu_count; i++) {
		add_cell(&cells, PHANDLE_HART(i));
		add_cell(&cells, SUPERVISOR_EXTERNAL);
	}
	put_cells(writer, "interrupts-extended", &cells);
}

static void write_plic(struct writer *writer)
{
	static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";

	begin_at(writer, "interrupt-controller", RISCV_PLIC_GPA);
	put(writer, "compatible", compatible, sizeof(compatible));
	put_reg(writer, RISCV_PLIC_GPA, PLIC_BYTES);
	put_harts(writer);
	put_u32(writer, "riscv,ndev", RISCV_IRQ_SOURCES - 1);
	put_interrupt_controller(writer, 1, PHANDLE_IRQCHIP);
	end(writer);
}

static void write_aia(struct writer *writer)
{
	const struct fdt_config *config = writer->config;

	begin_at(writer, "interrupt-controller", RISCV_IMSIC_GPA);
	put_string(writer, "compatible", "riscv,imsics");
	put_reg(writer, RISCV_IMSIC_GPA, config->cpu_count * (uint64_t)KVM_DEV_RISCV_IMSIC_SIZE);
	put_harts(writer);
	put_empty(writer, "msi-controller");
	put_u32(writer, "#msi-cells", 0);
	put_u32(writer, "riscv,num-ids", config->aia_ids);
	put_interrupt_controller(writer, 0, PHANDLE_IMSIC);
	end(writer);

	begin_at(writer, "interrupt-controller", RISCV_APLIC_GPA);
	put_string(writer, "compatible", "riscv,aplic");
	put_reg(writer, RISCV_APLIC_GPA, KVM_DEV_RISCV_APLIC_SIZE);
	put_u32(writer, "msi-parent", PHANDLE_IMSIC);
	put_u32(writer, "riscv,num-sources", RISCV_IRQ_SOURCES - 1);
	put_interrupt_controller(writer, 2, PHANDLE_IRQCHIP);
	end(writer);
}

static void put_interrupt_map(struct writer *writer)
{
	static const uint32_t mask[] = { (INTX_SLOTS - 1) << 11, 0, 0, 7 };
	struct cells map = { .count = 0 }, map_mask = { .count = 0 };

	for (uint32_t slot = 0; slot < INTX_SLOTS; slot++) {
		for (uint32_t pin = 0; pin < INTX_PINS; pin++) {
			add_cell(&map, slot << 11);
			add_two(&map, 0);
			add_cell(&map, pin + 1);
			add_cell(&map, PHANDLE_IRQCHIP);
			add_interrupt(writer, &map,
			              writer->config->pci->intx_gsis[(slot + pin) % INTX_PINS]);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(mask); i++)
		add_cell(&map_mask, mask[i]);
	put_cells(writer, "interrupt-map", &map);
	put_cells(writer, "interrupt-map-mask", &map_mask);
}

static void write_pci(struct writer *writer)
{
	const struct pci_host_layout *pci = writer->config->pci;
	struct cells ranges = { .count = 0 }, buses = { .count = 0 };

	add_cell(&ranges, PCI_SPACE_MEMORY32);
	add_two(&ranges, pci->mmio32_gpa); /* the same on both sides of the bridge */
	add_two(&ranges, pci->mmio32_gpa);
	add_two(&ranges, pci->mmio32_bytes);
	add_two(&buses, 0); /* first and last */
	begin_at(writer, "pci", pci->ecam_gpa);
	put_string(writer, "compatible", "pci-host-ecam-generic");
	put_string(writer, "device_type", "pci");
	put_address_cells(writer, 3, 2);
	put_u32(writer, "#interrupt-cells", 1);
	put_reg(writer, pci->ecam_gpa, PCI_ECAM_BYTES);
	put_cells(writer, "ranges", &ranges);
	put_cells(writer, "bus-range", &buses);
	put_u32(writer, "linux,pci-domain", 0);
	put_empty(writer, "dma-coherent");
	put_interrupt_map(writer);
	if (writer->config->has_aia)
		put_u32(writer, "msi-parent", PHANDLE_IMSIC);
	end(writer);
}

static bool is_serial(const struct device *device)
{
	return device->compatible && !strcmp(device->compatible, COMPATIBLE_SERIAL);
}

static void write_device(struct writer *writer, const struct device *device)
{
	const struct device_resource *registers =
		device_find_resource(device, DEVICE_RESOURCE_MMIO);
	const struct device_resource *interrupt = device_find_resource(device, DEVICE_RESOURCE_GSI);

	if (!device->compatible || !registers)
		return;
	begin_at(writer, is_serial(device) ? "serial" : "virtio_mmio", registers->base);
	put_string(writer, "compatible", device->compatible);
	put_reg(writer, registers->base, registers->size_bytes);
	if (interrupt)
		put_interrupt(writer, (uint32_t)interrupt->base);
	if (is_serial(device))
		put_u32(writer, "clock-frequency", SERIAL_CLOCK_HZ);
	else
		put_empty(writer, "dma-coherent");
	end(writer);
}

static void write_soc(struct writer *writer)
{
	begin(writer, "soc");
	put_string(writer, "compatible", "simple-bus");
	put_address_cells(writer, 2, 2);
	put_empty(writer, "ranges");
	if (writer->config->has_aia)
		write_aia(writer);
	else
		write_plic(writer);
	list_for_each (node, writer->config->devices)
		write_device(writer, container_of(node, const struct device, node));
	if (writer->config->pci)
		write_pci(writer);
	end(writer);
}

/* Of the serial port, for whoever prints early; NULL: there is none. */
static const struct device_resource *serial_registers(const struct fdt_config *config)
{
	list_for_each (node, config->devices) {
		const struct device *device = container_of(node, const struct device, node);

		if (is_serial(device))
			return device_find_resource(device, DEVICE_RESOURCE_MMIO);
	}
	return NULL;
}

static void write_chosen(struct writer *writer)
{
	const struct fdt_config *config = writer->config;
	const struct device_resource *serial = serial_registers(config);
	char path[64];

	snprintf(path, sizeof(path), "/soc/serial@%llx",
	         serial ? (unsigned long long)serial->base : 0);
	begin(writer, "chosen");
	put_string(writer, "bootargs", config->params);
	if (serial)
		put_string(writer, "stdout-path", path);
	if (config->initrd_bytes) {
		put_u64(writer, "linux,initrd-start", config->initrd_gpa);
		put_u64(writer, "linux,initrd-end", config->initrd_gpa + config->initrd_bytes);
	}
	if (config->seed)
		put(writer, "rng-seed", config->seed, FDT_SEED_BYTES);
	end(writer);
	if (!serial)
		return;
	begin(writer, "aliases");
	put_string(writer, "serial0", path);
	end(writer);
}

int fdt_build(const struct fdt_config *config, void *buf, size_t max_bytes, size_t *ret_bytes)
{
	struct writer writer = { .config = config, .fdt = buf };

	check(&writer, fdt_create(buf, (int)max_bytes));
	check(&writer, fdt_finish_reservemap(buf));
	begin(&writer, "");
	put_string(&writer, "compatible", "linux,dummy-virt");
	put_string(&writer, "model", "ebb");
	put_address_cells(&writer, 2, 2);
	write_chosen(&writer);
	write_memory(&writer);
	if (config->numa->node_count > 1)
		write_distances(&writer);
	begin(&writer, "reserved-memory"); /* Linux remarks on one that is missing */
	put_address_cells(&writer, 2, 2);
	put_empty(&writer, "ranges");
	end(&writer);
	write_cpus(&writer);
	write_soc(&writer);
	end(&writer);
	check(&writer, fdt_finish(buf));
	if (writer.error)
		return writer.error == -FDT_ERR_NOSPACE ? -ENOSPC : -EINVAL;
	*ret_bytes = fdt_totalsize(buf);
	return 0;
}
