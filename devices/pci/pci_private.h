/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the PCI room share. */
#ifndef EBB_PCI_PRIVATE_H
#define EBB_PCI_PRIVATE_H

#include <linux/pci_regs.h>

#include "ebb/bytes.h"
#include "ebb/pci.h"
#include "ebb/vm.h"

/* Configuration space: pci_function.c. offset + size_bytes lies in the function's 4 KiB. */
void pci_config_read(struct pci_function *function, unsigned int offset, uint8_t *data,
                     unsigned int size_bytes);
void pci_config_write(struct pci_function *function, unsigned int offset, const uint8_t *data,
                      unsigned int size_bytes);

/* Writes what the guest finds after power-on too. */
void pci_config_init(struct pci_function *function, unsigned int offset, uint64_t value,
                     unsigned int size_bytes);

/* Brings mappings in line with the BARs and the command register, for functions whose place was
 * taken until now too. */
void pci_remap_bars(struct pci_function *function);

/* Slots and windows: pci_host.c. */
enum pci_window { PCI_WINDOW_IO, PCI_WINDOW_MMIO32, PCI_WINDOW_MMIO64, PCI_WINDOW_COUNT };

EBB_MUST_CHECK int pci_host_add_function(struct pci_host *host, struct pci_function *function,
                                         struct error *err);
void pci_host_remove_function(struct pci_host *host, struct pci_function *function);
EBB_MUST_CHECK int pci_host_assign(struct pci_host *host, enum pci_window window,
                                   uint64_t size_bytes, gpa_t *ret_gpa);
bool pci_host_has_window(const struct pci_host *host, enum pci_window window);
void pci_host_remap_bars(struct pci_host *host);
void pci_host_count_overlap(struct pci_host *host);

/* MSI-X: pci_msix.c. */
void pci_msix_destroy(struct pci_msix *msix);
/* The control word of the capability or the command register may have changed; INTx is to be looked
 * at again behind it. */
void pci_msix_update_control(struct pci_function *function);
void pci_msix_reset(struct pci_function *function);
/* With the interrupt lock held. */
bool pci_msix_is_enabled(const struct pci_function *function);

#endif
