/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space as a guest reaches it: by ECAM, and by the ports (`fakes: pci_guest`). */
#ifndef PCI_GUEST_H
#define PCI_GUEST_H

#include <linux/pci_regs.h>

#include "virtio_machine.h"

/* Function 0 of a slot, by ECAM. */
uint64_t cfg_read(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                  unsigned int size_bytes);
void cfg_write(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
               uint64_t value, unsigned int size_bytes);

/* By CF8 and CFC: an access of size_bytes at any offset. */
uint32_t port_cfg_read(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                       unsigned int size_bytes);
void port_cfg_write(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                    uint32_t value, unsigned int size_bytes);

/* A port. */
uint32_t port_read(struct virtio_machine *machine, uint16_t port, unsigned int size_bytes);
void port_write(struct virtio_machine *machine, uint16_t port, uint32_t value,
                unsigned int size_bytes);

/* The offset of the index-th capability of a type; 0: none. */
unsigned int cfg_find_capability(struct virtio_machine *machine, unsigned int slot, uint8_t type,
                                 unsigned int index);

/* Address of a 32-bit memory BAR. */
gpa_t cfg_bar(struct virtio_machine *machine, unsigned int slot, unsigned int bar);

#endif
