/* SPDX-License-Identifier: Apache-2.0 */
/* Where Linux enters a program: argc, argv and the environment lie at the stack's top. */
	.text
	.globl	_start
_start:
	mv	a0, sp
	andi	sp, sp, -16
	call	user_main
	unimp
	.section .note.GNU-stack, "", @progbits
