/* SPDX-License-Identifier: Apache-2.0 */
/* Constants shared by assembly and C: selectors, stacks, interrupt vectors, fixed physical
 * addresses. */
#ifndef FIRMWARE_X86_LAYOUT_H
#define FIRMWARE_X86_LAYOUT_H

#define SELECTOR_CODE64 0x08
#define SELECTOR_DATA   0x10
#define SELECTOR_CODE32 0x18

#define BOOT_STACK_BYTES 16384
#define AP_STACK_SHIFT   11
#define AP_COUNT_MAX     64

#define VECTOR_COUNT     96 /* 0..31 exceptions, the rest interrupts */
#define VECTOR_FIRST_IRQ 32
#define VECTOR_SPURIOUS  95

#define AP_TRAMPOLINE_GPA 0x8000

#define LAPIC_GPA  0xfee00000
#define IOAPIC_GPA 0xfec00000

#endif
