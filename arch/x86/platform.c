/* SPDX-License-Identifier: Apache-2.0 */
/* The PC around the CPUs: which legacy devices there are, the PCI host bridge, and their
 * description for the guest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "ebb/device.h"
#include "ebb/device_memory.h"
#include "ebb/guest_memory.h"
#include "ebb/numa.h"
#include "ebb/virtio.h"
#include "layout.h"
#include "x86.h"

/* With 64 CPUs, 32 virtio-mmio devices and 16 nodes they have 10 KiB. */
#define ACPI_TABLES_MAX_BYTES (16 * KIB)

_Static_assert(ACPI_TABLES_MAX_BYTES <= X86_ACPI_BYTES, "they lie below 1 MiB");

/* Four IOAPIC pins that nothing else has, then what is free of the ISA's. Slots share them,
 * level-triggered. */
static const unsigned int virtio_mmio_gsis[X86_VIRTIO_MMIO_SLOTS] = {
	20, 21, 22, 23, 5, 10, 11, 15, 20, 21, 22, 23, 5, 10, 11, 15,
	20, 21, 22, 23, 5, 10, 11, 15, 20, 21, 22, 23, 5, 10, 11, 15,
};

static const struct virtio_mmio_layout virtio_mmio_layout = {
	.base_gpa = X86_VIRTIO_MMIO_GPA,
	.stride_bytes = X86_VIRTIO_MMIO_STRIDE,
	.slot_count = X86_VIRTIO_MMIO_SLOTS,
	.gsis = virtio_mmio_gsis,
};

/* A class, and where the machine has it; base and gsi only where the class has such options. */
struct platform_device {
	const char *class_name;
	uint64_t base, gsi;
	bool is_test;
};

static const struct platform_device devices[] = {
	{ .class_name = "serial-16550", .base = X86_PORT_SERIAL, .gsi = X86_GSI_SERIAL },
	{ .class_name = "i8042" },
	{ .class_name = "rtc-cmos", .gsi = X86_GSI_RTC },
	{ .class_name = "acpi-pm", .base = X86_PORT_ACPI_PM, .gsi = X86_GSI_SCI },
	{ .class_name = "fw-cfg" },
	{ .class_name = "debug-exit" },
	{ .class_name = "pvpanic" },
	{ .class_name = "test-devices", .is_test = true },
	{ .class_name = "pci-testdev", .is_test = true },
};

/* The window above RAM and device memory, cut where the CPU's addresses end; none when they end
 * there too. */
static void place_mmio64(struct pci_host_layout *layout, gpa_t memory_end_gpa,
                         unsigned int physical_bits)
{
	gpa_t end_gpa = UINT64_C(1) << (physical_bits < 52 ? physical_bits : 52);
	gpa_t gpa = align_up(memory_end_gpa, GIB);

	if (gpa >= end_gpa)
		return;
	layout->mmio64_gpa = gpa;
	layout->mmio64_bytes = min_u64(end_gpa - gpa, X86_PCI_MMIO64_MAX_BYTES);
}

static int create_pci_host(struct vm *vm, struct error *err)
{
	struct pci_host_layout *layout = &vm->arch->pci_layout;
	struct device_memory_layout memory;
	int rc = device_memory_layout(vm->config, &memory, err);

	if (rc)
		return rc;
	*layout = (struct pci_host_layout){
		.ecam_gpa = X86_PCI_ECAM_GPA,
		.mmio32_gpa = X86_PCI_MMIO32_GPA,
		.mmio32_bytes = X86_PCI_MMIO32_BYTES,
		.has_io_ports = true,
	};
	for (unsigned int i = 0; i < ARRAY_SIZE(layout->intx_gsis); i++)
		layout->intx_gsis[i] = X86_GSI_PCI_INTX + i;
	place_mmio64(layout, memory.end_gpa, x86_cpuid_physical_bits(vm->arch->cpuid));
	return pci_host_create(vm, layout, &vm->pci, err);
}

static int create_device(struct vm *vm, const struct platform_device *device, struct error *err)
{
	struct device_config config;

	device_config_init(&config, device->class_name);
	if (device->base)
		device_config_set_number(&config, "base", device->base);
	if (device->gsi)
		device_config_set_number(&config, "gsi", device->gsi);
	return device_create(vm, &config, err);
}

int x86_platform_create(struct vm *vm, struct error *err)
{
	bool has_pci = vm->config->transport == TRANSPORT_PCI || vm->config->test_devices;

	vm->virtio_mmio = &virtio_mmio_layout;
	if (has_pci) {
		int rc = create_pci_host(vm, err);

		if (rc)
			return rc;
	}
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		int rc;

		if (devices[i].is_test && !vm->config->test_devices)
			continue;
		rc = create_device(vm, &devices[i], err);
		if (rc)
			return rc;
	}
	return 0;
}

void x86_platform_destroy(struct vm *vm)
{
	pci_host_destroy(vm->pci);
	vm->pci = NULL;
	vm->virtio_mmio = NULL;
}

/* A device in a virtio-mmio slot: it published its registers there, and a GSI. */
static void describe_device(const struct device *device, struct acpi_config *config)
{
	const struct device_resource *registers =
		device_find_resource(device, DEVICE_RESOURCE_MMIO);
	const struct device_resource *interrupt = device_find_resource(device, DEVICE_RESOURCE_GSI);
	size_t index = config->virtio_mmio_count;

	if (!registers || !interrupt || index == ACPI_VIRTIO_MMIO_MAX ||
	    !range_contains(X86_VIRTIO_MMIO_GPA, X86_VIRTIO_MMIO_SLOTS * X86_VIRTIO_MMIO_STRIDE,
	                    registers->base, registers->size_bytes))
		return;
	config->virtio_mmio[index].gpa = registers->base;
	config->virtio_mmio[index].size_bytes = (uint32_t)registers->size_bytes;
	config->virtio_mmio[index].gsi = (uint32_t)interrupt->base;
	config->virtio_mmio_count++;
}

/* Of memory that comes later Linux learns from the SRAT alone: how far addresses go, by which it
 * decides on bounce buffers for devices that reach 4 GiB. */
static bool needs_srat(const struct vm_config *config, const struct numa_map *map)
{
	return config->numa.node_count || map->ranges[map->range_count - 1].is_device_memory;
}

int x86_platform_describe(struct vm *vm, struct error *err)
{
	struct acpi_config config = {
		.cpu_count = vm->config->cpu_count,
		.has_pci = vm->pci != NULL,
		.mmio64_gpa = vm->arch->pci_layout.mmio64_gpa,
		.mmio64_bytes = vm->arch->pci_layout.mmio64_bytes,
	};
	uint8_t *tables;
	struct numa_map map;
	size_t bytes;
	int rc = numa_map(vm->config, &map, err);

	if (rc)
		return rc;
	if (needs_srat(vm->config, &map))
		config.numa = &map;
	tables = malloc(ACPI_TABLES_MAX_BYTES);
	if (!tables)
		return error_set_errno(err, -ENOMEM, "ACPI tables");
	for (unsigned int cpu = 0; cpu < config.cpu_count; cpu++)
		config.apic_ids[cpu] = (uint8_t)x86_topology_apic_id(vm->config, cpu);
	list_for_each (node, &vm->devices)
		describe_device(container_of(node, struct device, node), &config);
	rc = acpi_build(&config, X86_ACPI_GPA, tables, ACPI_TABLES_MAX_BYTES, &bytes);
	if (!rc)
		rc = gmem_write(vm->memory, X86_ACPI_GPA, tables, bytes);
	free(tables);
	return rc ? error_set_errno(err, rc, "ACPI tables") : 0;
}
