/* SPDX-License-Identifier: Apache-2.0 */
/* Entry by the PVH note: 32-bit, paging off, EBX = struct hvm_start_info. */
	.section .note.Xen, "a", @note
	.balign	4
	.long	4			/* name size */
	.long	4			/* descriptor size */
	.long	18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	boot_entry

	.section .text.boot, "ax"
	.code32
	.globl	boot_entry
boot_entry:
	cli
	cld
	movl	%ebx, boot_argument
	jmp	enter_long_mode

	.section .note.GNU-stack, "", @progbits
