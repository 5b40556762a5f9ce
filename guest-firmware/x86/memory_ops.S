/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy, memset and word-wise fill and scan by string instructions: one instruction for the
 * interpreter, many bytes moved.
 */
	.text
	.code64
	.globl	memcpy, memset, memory_fill64, memory_scan64

memcpy:					/* (rdi to, rsi from, rdx bytes) */
	movq	%rdi, %rax
	movq	%rdx, %rcx
	shrq	$3, %rcx
	rep movsq
	movl	%edx, %ecx
	andl	$7, %ecx
	rep movsb
	ret

memset:					/* (rdi to, esi byte, rdx bytes) */
	movq	%rdi, %r8
	movzbl	%sil, %eax
	movabsq	$0x0101010101010101, %rcx
	imulq	%rcx, %rax
	movq	%rdx, %rcx
	shrq	$3, %rcx
	rep stosq
	movl	%edx, %ecx
	andl	$7, %ecx
	rep stosb
	movq	%r8, %rax
	ret

memory_fill64:				/* (rdi to, rsi value, rdx words) */
	movq	%rsi, %rax
	movq	%rdx, %rcx
	rep stosq
	ret

memory_scan64:				/* (rdi from, rsi value, rdx words): equal words before another */
	movq	%rsi, %rax
	movq	%rdx, %rcx
	cmpq	%rax, %rax		/* ZF, for a count of 0 */
	repe scasq
	je	1f
	incq	%rcx
1:	subq	%rcx, %rdx
	movq	%rdx, %rax
	ret

	.section .note.GNU-stack, "", @progbits
