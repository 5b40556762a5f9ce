/* SPDX-License-Identifier: Apache-2.0 */
/* Where Linux enters a program: argc, argv and the environment lie at the stack's top. */
	.text
	.globl	_start
_start:
	xorl	%ebp, %ebp
	movq	%rsp, %rdi
	andq	$-16, %rsp
	call	user_main
	ud2
	.section .note.GNU-stack, "", @progbits
