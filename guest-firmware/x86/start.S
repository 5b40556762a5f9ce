/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from 32-bit protected mode to 64-bit C, and the other CPUs' way from real mode.
 *
 * The first 4 GiB are mapped one to one with 2 MiB pages (1 GiB pages are not offered by every
 * KVM); mmu.c maps more on demand. The page directories are built at run time: 2048 entries in a
 * short loop are cheaper than 16 KiB of file.
 */
#include "layout.h"

	.section .text.boot, "ax"
	.code32
	.globl	enter_long_mode
enter_long_mode:
	lgdt	gdt_pointer
	movl	$boot_stack_top, %esp

	movl	$page_pml4, %edi
	movl	$(page_pdpt + 3), (%edi)
	movl	$page_pdpt, %edi
	movl	$(page_directories + 3), %eax
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	loop	1b

	movl	$page_directories, %edi
	movl	$0x83, %eax		/* present, writable, 2 MiB */
	movl	$2048, %ecx
2:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b

	call	long_mode_on
	ljmp	$SELECTOR_CODE64, $bsp64

/* Paging and long mode on; still in a 32-bit code segment. Clobbers EAX, ECX, EDX. */
long_mode_on:
	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$page_pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER */
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* caches on: clear CD and NW */
	orl	$0x80000001, %eax	/* PG, PE */
	movl	%eax, %cr0
	ret

	.code64
bsp64:
	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movq	$boot_stack_top, %rsp
	movl	boot_argument(%rip), %edi
	call	boot_main
1:	hlt
	jmp	1b

/*
 * Another CPU starts here, in real mode at the page its start-up vector names; smp.c copies the
 * code there (a page below 1 MiB), so it may only use addresses relative to CS and absolute ones.
 */
	.section .text, "ax"
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SELECTOR_CODE32, $ap32
	.balign	4
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap32:
	movl	$SELECTOR_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	/* Which one are we? The counter gives each CPU a stack of its own, in the order they come. */
	movl	$1, %ebx
	lock xaddl %ebx, ap_ticket
	movl	%ebx, %eax
	incl	%eax
	shll	$AP_STACK_SHIFT, %eax
	leal	ap_stacks(%eax), %esp
	call	long_mode_on
	ljmp	$SELECTOR_CODE64, $ap64
	.code64
ap64:
	movl	%esp, %esp		/* the upper half is undefined after the mode switch */
	movl	%ebx, %edi
	call	ap_main
1:	hlt
	jmp	1b

	.section .rodata
	.balign	16
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 0x08: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x10: data */
	.quad	0x00cf9b000000ffff	/* 0x18: 32-bit code */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.bss
	.balign	4096
	.globl	page_pml4, page_pdpt
page_pml4:
	.skip	4096
page_pdpt:
	.skip	4096
page_directories:
	.skip	4 * 4096
	.skip	BOOT_STACK_BYTES
	.globl	boot_stack_top
boot_stack_top:
	.globl	ap_stacks
ap_stacks:
	.skip	AP_COUNT_MAX << AP_STACK_SHIFT
	.globl	boot_argument, ap_ticket
boot_argument:
	.skip	4
ap_ticket:
	.skip	4

	.section .note.GNU-stack, "", @progbits
