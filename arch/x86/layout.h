/* SPDX-License-Identifier: Apache-2.0 */
/* The x86 machine's address map: every fixed guest-physical address, port and GSI, in one place. */
#ifndef ARCH_X86_LAYOUT_H
#define ARCH_X86_LAYOUT_H

#ifdef __ASSEMBLER__ /* dsdt.asl, through the preprocessor */
#define UINT64_C(number) number
#else
#include "ebb/types.h"
#endif

/* RAM: from 0 to at most 3 GiB, the rest from 4 GiB. */
#define X86_RAM_LOW_MAX_BYTES (3 * GIB)
#define X86_RAM_HIGH_GPA      (4 * GIB)

/* Below 1 MiB: what is RAM to the guest ends where a PC has its EBDA. */
#define X86_LOW_RAM_END UINT64_C(0x9fc00)
#define X86_BIOS_END    UINT64_C(0x100000)
#define X86_ACPI_GPA    UINT64_C(0xe0000)
#define X86_ACPI_BYTES  (X86_BIOS_END - X86_ACPI_GPA)

/*
 * What a kernel is handed over lies together, below the EBDA: images must stay out of it. A kernel
 * copies what it wants to keep.
 */
#define X86_BOOT_AREA_GPA      UINT64_C(0x90000)
#define X86_BOOT_GDT_GPA       UINT64_C(0x90000)
#define X86_BOOT_INFO_GPA      UINT64_C(0x90100) /* hvm_start_info or multiboot information */
#define X86_BOOT_MODULES_GPA   UINT64_C(0x90200)
#define X86_BOOT_MAP_GPA       UINT64_C(0x90400)
#define X86_BOOT_ZERO_PAGE_GPA UINT64_C(0x91000)
#define X86_BOOT_PARAMS_GPA    UINT64_C(0x92000) /* command line, then modules' names */
#define X86_BOOT_PARAMS_BYTES  UINT64_C(0x5000)
#define X86_BOOT_PML4_GPA      UINT64_C(0x97000)
#define X86_BOOT_PDPT_GPA      UINT64_C(0x98000)
#define X86_BOOT_PD_GPA        UINT64_C(0x99000) /* one a GiB, four at most */
#define X86_BOOT_AREA_END      UINT64_C(0x9d000)

/* Small multiboot modules lie here, out of the way of a kernel that takes all above itself. */
#define X86_BOOT_LOW_MODULES_GPA UINT64_C(0x10000)

/* Between 3 and 4 GiB. */
#define X86_PCI_MMIO32_GPA      UINT64_C(0xc0000000)
#define X86_PCI_MMIO32_BYTES    UINT64_C(0x10000000)
#define X86_PCI_MMIO32_LAST_GPA UINT64_C(0xcfffffff)
#define X86_VIRTIO_MMIO_GPA     UINT64_C(0xd0000000)
#define X86_VIRTIO_MMIO_STRIDE  UINT64_C(0x1000)
#define X86_VIRTIO_MMIO_SLOTS   32
#define X86_PCI_ECAM_GPA        UINT64_C(0xe0000000)
#define X86_PCI_ECAM_BYTES      UINT64_C(0x100000)
#define X86_IOAPIC_GPA          UINT64_C(0xfec00000)
#define X86_LAPIC_GPA           UINT64_C(0xfee00000)
#define X86_TEST_DEVICES_GPA    UINT64_C(0xff000000)
#define X86_KVM_IDENTITY_GPA    UINT64_C(0xfffbc000) /* one page; KVM's default */
#define X86_KVM_TSS_GPA         UINT64_C(0xfffbd000) /* three pages */
#define X86_KVM_PRIVATE_BYTES   UINT64_C(0x4000)     /* both */

/* Above RAM, on a 1 GiB boundary, lies device memory, and above that, on such a boundary too, this,
 * as far as the CPU's address bits go. */
#define X86_PCI_MMIO64_MAX_BYTES (32 * GIB)

/* GSIs: the IOAPIC's 24 pins. */
#define X86_IRQCHIP_PINS    24
#define X86_PIC_PINS        16
#define X86_GSI_PIT         0
#define X86_GSI_PIC_CASCADE 2
#define X86_PIT_IOAPIC_PIN  2
#define X86_GSI_SERIAL      4
#define X86_GSI_RTC         8
#define X86_GSI_SCI         9
#define X86_GSI_PCI_INTX    16 /* four of them */

/* Ports. */
#define X86_PORT_SERIAL      0x3f8
#define X86_PORT_ACPI_PM     0x600
#define X86_PORT_PVPANIC     0x505
#define X86_PCI_IO_PORT      0xc000 /* PCI_IO_WINDOW_BASE of ebb/pci.h */
#define X86_PCI_IO_LAST_PORT 0xcfff
#define X86_PCI_IO_PORTS     0x1000

#endif
