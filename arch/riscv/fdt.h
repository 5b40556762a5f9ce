/* SPDX-License-Identifier: Apache-2.0 */
/* The flattened device tree, from data alone (Devicetree Specification 0.4). Pure. */
#ifndef ARCH_RISCV_FDT_H
#define ARCH_RISCV_FDT_H

#include "ebb/list.h"
#include "ebb/numa.h"
#include "ebb/pci.h"
#include "ebb/types.h"

#include "isa.h"

#define FDT_SEED_BYTES 64

struct fdt_config {
	unsigned int cpu_count;
	const struct numa_map *numa; /* one node is not told of */
	const struct isa *isa;
	const char *params; /* the kernel's command line */
	gpa_t initrd_gpa;
	uint64_t initrd_bytes;             /* 0: none */
	const uint8_t *seed;               /* FDT_SEED_BYTES; NULL: none */
	bool has_aia;                      /* else a PLIC */
	uint32_t aia_ids;                  /* highest interrupt identity */
	const struct pci_host_layout *pci; /* NULL: no PCI */
	const struct list *devices;        /* struct device.node: those with a compatible string and
	                                      registers in memory are described */
};

/* -ENOSPC: it does not fit into max_bytes. *ret_bytes: what it took. */
EBB_MUST_CHECK int fdt_build(const struct fdt_config *config, void *buf, size_t max_bytes,
                             size_t *ret_bytes);

#endif
