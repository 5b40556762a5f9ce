/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space: ECAM where ACPI or the platform names one, else the architecture's own
 * way; BARs, capabilities, MSI-X. */
#ifndef FIRMWARE_PCI_H
#define FIRMWARE_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_BDF(bus, device, function) ((uint16_t)((bus) << 8 | (device) << 3 | (function)))

#define PCI_REG_VENDOR         0x00
#define PCI_REG_DEVICE         0x02
#define PCI_REG_COMMAND        0x04
#define PCI_REG_STATUS         0x06
#define PCI_REG_CLASS          0x0a
#define PCI_REG_HEADER_TYPE    0x0e
#define PCI_REG_BAR(n)         (0x10 + 4 * (n))
#define PCI_REG_SUBSYSTEM      0x2e
#define PCI_REG_CAPABILITIES   0x34
#define PCI_REG_INTERRUPT_LINE 0x3c
#define PCI_REG_INTERRUPT_PIN  0x3d

#define PCI_COMMAND_IO          0x1
#define PCI_COMMAND_MEMORY      0x2
#define PCI_COMMAND_MASTER      0x4
#define PCI_COMMAND_INTX_OFF    0x400
#define PCI_STATUS_INTERRUPT    0x08
#define PCI_STATUS_CAPABILITIES 0x10

#define PCI_CAP_MSIX      0x11
#define PCI_CAP_VENDOR    0x09
#define PCI_MSIX_CONTROL  2
#define PCI_MSIX_ENABLE   0x8000
#define PCI_MSIX_MASK_ALL 0x4000

/* Base of the ECAM window of bus 0, 0 when there is none. */
uint64_t pci_ecam_gpa(void);
uint32_t pci_read(uint16_t bdf, unsigned int offset, unsigned int size_bytes);
void pci_write(uint16_t bdf, unsigned int offset, unsigned int size_bytes, uint32_t value);

/* The next function on bus 0 from bdf on that answers; false behind the last. */
bool pci_next(uint16_t *bdf);
/* The index-th function of these ids; device_id 0xffff matches any. */
bool pci_find(uint16_t vendor_id, uint16_t device_id, unsigned int index, uint16_t *ret_bdf);

struct pci_bar {
	bool present, io, wide, prefetchable;
	uint64_t gpa; /* or port */
	uint64_t size_bytes;
};
/* Reads and sizes a BAR; a memory BAR that has no place yet gets one, and its place is mapped. */
struct pci_bar pci_bar(uint16_t bdf, unsigned int index);
void pci_bar_move(uint16_t bdf, unsigned int index, uint64_t gpa);

/* Offset of the first capability of this id behind after (0: from the start); 0 when there is none.
 */
unsigned int pci_find_capability(uint16_t bdf, unsigned int id, unsigned int after);

struct pci_msix {
	unsigned int capability;
	unsigned int vector_count;
	uint64_t table_gpa, pending_gpa;
};
bool pci_msix_find(uint16_t bdf, struct pci_msix *ret_msix);
/* Sets a table entry to raise this CPU vector, unmasked. */
void pci_msix_set(const struct pci_msix *msix, unsigned int entry, int cpu_vector);
void pci_msix_mask(const struct pci_msix *msix, unsigned int entry, bool masked);
bool pci_msix_pending(const struct pci_msix *msix, unsigned int entry);
void pci_msix_enable(uint16_t bdf, const struct pci_msix *msix, bool enabled);

#endif
