/* SPDX-License-Identifier: Apache-2.0 */
/* The RISC-V machine's address map: every fixed guest-physical address and interrupt source, in one
 * place. */
#ifndef ARCH_RISCV_LAYOUT_H
#define ARCH_RISCV_LAYOUT_H

#include "ebb/types.h"

/* Devices lie below RAM. PLIC and APLIC share a corner: a machine has one of them. */
#define RISCV_PLIC_GPA           UINT64_C(0x0c000000)
#define RISCV_APLIC_GPA          UINT64_C(0x0d000000)
#define RISCV_SERIAL_GPA         UINT64_C(0x10000000)
#define RISCV_VIRTIO_MMIO_GPA    UINT64_C(0x10001000)
#define RISCV_VIRTIO_MMIO_STRIDE UINT64_C(0x1000)
#define RISCV_VIRTIO_MMIO_SLOTS  32
#define RISCV_IMSIC_GPA          UINT64_C(0x28000000) /* a page each hart */
#define RISCV_PCI_ECAM_GPA       UINT64_C(0x30000000)
#define RISCV_PCI_MMIO32_GPA     UINT64_C(0x40000000)
#define RISCV_PCI_MMIO32_BYTES   UINT64_C(0x40000000)

/* RAM, and on a GiB above it device memory. PCI needs no window up there: its first is a GiB. */
#define RISCV_RAM_GPA          UINT64_C(0x80000000)
#define RISCV_GPA_BITS_DEFAULT 41 /* Sv39x4: what a host that does not tell has */

/* Where a position-independent image lies: firmware would have the 2 MiB below. */
#define RISCV_KERNEL_OFFSET (2 * MIB)

/*
 * The FDT's room at the end of RAM, or of the first GiB: a kernel that takes the memory behind its
 * image has that free, and one that maps little of RAM reaches it. With 64 harts the FDT has some
 * 100 KiB.
 */
#define RISCV_FDT_BYTES        (256 * KIB)
#define RISCV_BOOT_LIMIT_BYTES GIB
#define RISCV_BOOT_GAP_BYTES   (64 * KIB) /* between the image, initrd and FDT */

/* Interrupt sources, of the PLIC and the APLIC alike; GSIs are the same numbers. 0 is none. */
#define RISCV_IRQ_SERIAL      10
#define RISCV_IRQ_PCI_INTX    32 /* four of them */
#define RISCV_IRQ_VIRTIO_MMIO 36 /* one a slot */
#define RISCV_IRQ_SOURCES     68 /* with source 0 */

_Static_assert(RISCV_IRQ_VIRTIO_MMIO + RISCV_VIRTIO_MMIO_SLOTS == RISCV_IRQ_SOURCES, "one a slot");

#endif
