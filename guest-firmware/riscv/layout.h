/* SPDX-License-Identifier: Apache-2.0 */
/* Constants shared by assembly and C. */
#ifndef FIRMWARE_RISCV_LAYOUT_H
#define FIRMWARE_RISCV_LAYOUT_H

#define BOOT_STACK_BYTES 32768
#define AP_STACK_SHIFT   13
#define AP_COUNT_MAX     64

#define TRAP_FRAME_BYTES 272 /* struct trap_frame of traps.c */

#endif
