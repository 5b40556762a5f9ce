/* SPDX-License-Identifier: Apache-2.0 */
/* One entry for exceptions and interrupts: saves the registers on the interrupted stack and calls
 * trap_dispatch(). */
#include "layout.h"

#define SAVED_REGISTERS 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, \
	24, 25, 26, 27, 28, 29, 30, 31

	.text
	.balign	4
	.globl	trap_entry
trap_entry:
	addi	sp, sp, -TRAP_FRAME_BYTES
	sd	ra, 8(sp)
	.irp	n, SAVED_REGISTERS
	sd	x\n, 8 * \n(sp)
	.endr
	addi	t0, sp, TRAP_FRAME_BYTES
	sd	t0, 16(sp)
	csrr	t0, sepc
	sd	t0, 0(sp)
	csrr	t0, sstatus
	sd	t0, 256(sp)
	mv	a0, sp
	call	trap_dispatch
	ld	t0, 256(sp)
	csrw	sstatus, t0
	ld	t0, 0(sp)
	csrw	sepc, t0
	ld	ra, 8(sp)
	.irp	n, SAVED_REGISTERS
	ld	x\n, 8 * \n(sp)
	.endr
	ld	sp, 16(sp)
	sret

	.section .note.GNU-stack, "", @progbits
