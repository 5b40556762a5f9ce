/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables as bytes: a description in, memory out. Pure. */
#ifndef ARCH_X86_ACPI_H
#define ARCH_X86_ACPI_H

#include "ebb/error.h"
#include "ebb/numa.h"
#include "ebb/types.h"

#define ACPI_VIRTIO_MMIO_MAX 32

struct acpi_config {
	unsigned int cpu_count;
	uint8_t apic_ids[VM_CPUS_MAX];
	bool has_pci;
	gpa_t mmio64_gpa;            /* the 64-bit PCI window */
	uint64_t mmio64_bytes;       /* 0: none */
	const struct numa_map *numa; /* NULL: no SRAT. SLIT with several nodes. */
	size_t virtio_mmio_count;
	struct {
		gpa_t gpa; /* below 4 GiB */
		uint32_t size_bytes;
		uint32_t gsi;
	} virtio_mmio[ACPI_VIRTIO_MMIO_MAX];
};

/*
 * Writes all tables to buf, which will be guest memory at gpa; the RSDP is the first of them.
 * *ret_bytes: how much is used. -ENOSPC when max_bytes are too few. gpa is 64-byte aligned and
 * below 4 GiB.
 */
EBB_MUST_CHECK int acpi_build(const struct acpi_config *config, gpa_t gpa, uint8_t *buf,
                              size_t max_bytes, size_t *ret_bytes);

#endif
