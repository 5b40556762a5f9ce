/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the loader to C: hart id in a0, device tree in a1, supervisor mode, no translation (SBI 2.0;
 * the kernel's boot-image-header).
 *
 * The same code begins an ELF file, linked where it runs, and a flat Image, linked at 0 and moved
 * by itself. tp holds the hart's id for good.
 */
#include "layout.h"

	.section .head, "ax"
	.globl	boot_entry
boot_entry:
	.option	push
	.option	norvc
	j	boot_start
	nop
	.option	pop
	.quad	0x200000		/* where in RAM to load it */
	.quad	firmware_end - boot_entry
	.quad	0			/* little endian */
	.word	2			/* header version 0.2 */
	.word	0
	.quad	0
	.ascii	"RISCV\0\0\0"
	.ascii	"RSC\x05"
	.word	0

boot_start:
	csrr	s2, sstatus
	csrr	s3, satp
	csrw	sie, zero
	csrci	sstatus, 2
	csrw	satp, zero
	mv	tp, a0
	lla	sp, boot_stack_top

	lla	t0, bss_start
	lla	t1, bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, (t0)
	addi	t0, t0, 8
	j	1b
2:
	/* R_RISCV_RELATIVE alone: nothing else is left in what was linked at 0 */
	lla	t0, rela_start
	lla	t1, rela_end
	lla	t2, firmware_start
	li	t3, 3
3:	bgeu	t0, t1, 5f
	lw	t4, 8(t0)
	bne	t4, t3, 4f
	ld	t4, 0(t0)
	ld	t5, 16(t0)
	add	t4, t4, t2
	add	t5, t5, t2
	sd	t5, (t4)
4:	addi	t0, t0, 24
	j	3b
5:
	fence.i
	lla	t0, entry_state
	sd	a0, 0(t0)
	sd	a1, 8(t0)
	sd	s2, 16(t0)
	sd	s3, 24(t0)
	lla	t1, boot_entry
	sd	t1, 32(t0)
	call	boot_main
1:	wfi
	j	1b

/* Another hart, started by SBI HSM: a0 is its id. The ticket gives each a stack of its own. */
	.globl	ap_start
ap_start:
	csrw	sie, zero
	csrci	sstatus, 2
	csrw	satp, zero
	mv	tp, a0
	lla	t0, ap_ticket
	li	t1, 1
	amoadd.w t1, t1, (t0)
	mv	a0, t1
	lla	sp, ap_stacks
	addi	t1, t1, 1
	slli	t1, t1, AP_STACK_SHIFT
	add	sp, sp, t1
	call	ap_main
1:	wfi
	j	1b

	.bss
	.balign	8
	.globl	entry_state
entry_state:
	.skip	40
ap_ticket:
	.skip	8

	/* not cleared: nobody reads a stack before writing it */
	.section .stacks, "aw", @nobits
	.balign	16
	.skip	BOOT_STACK_BYTES
boot_stack_top:
ap_stacks:
	.skip	AP_COUNT_MAX << AP_STACK_SHIFT

	.section .note.GNU-stack, "", @progbits
