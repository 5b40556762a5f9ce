/* SPDX-License-Identifier: Apache-2.0 */
/* A system call of RISC-V Linux: the result, or -errno. */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H

static inline long system_call(long number, long a, long b, long c, long d, long e)
{
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;

	__asm__ volatile("ecall"
	                 : "+r"(a0)
	                 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
	                 : "memory");
	return a0;
}

#endif
