/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry by multiboot 1: 32-bit, paging off, EAX = magic, EBX = information. Keeps the state it was
 * entered with.
 */

#include "layout.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0		/* as small kernels ask: nothing; memory sizes come all the same */

	.section .multiboot, "a"
	.balign	4
	.long	MULTIBOOT_MAGIC
	.long	MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.section .text.boot, "ax"
	.code32
	.globl	boot_entry
boot_entry:
	movl	%eax, entry_state
	movl	%ebx, entry_state + 4
	movl	%cr0, %eax
	movl	%eax, entry_state + 8
	movl	%esp, entry_state + 12
	xorl	%eax, %eax
	movw	%cs, %ax
	movl	%eax, entry_state + 16
	movw	%ds, %ax
	movl	%eax, entry_state + 20
	movw	%es, %ax
	movl	%eax, entry_state + 24
	movw	%ss, %ax
	movl	%eax, entry_state + 28
	movl	$boot_stack_top, %esp
	pushfl
	popl	%eax
	movl	%eax, entry_state + 32
	/* flat segments reach 4 GiB: a smaller limit faults here, with no gate to catch it */
	movl	%ds:LAPIC_GPA + 0x30, %eax
	movl	%eax, entry_state + 36
	movl	%es:LAPIC_GPA + 0x30, %eax
	movl	%eax, entry_state + 40
	movl	%ss:LAPIC_GPA + 0x30, %eax
	movl	%eax, entry_state + 44
	cli
	cld
	movl	%ebx, boot_argument
	jmp	enter_long_mode

	.bss
	.balign	8
	.globl	entry_state
entry_state:
	.skip	64

	.section .note.GNU-stack, "", @progbits
