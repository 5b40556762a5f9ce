/* SPDX-License-Identifier: Apache-2.0 */
/* A system call of x86-64 Linux: the result, or -errno. */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H

static inline long system_call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result = number;

	__asm__ volatile("syscall"
	                 : "+a"(result)
	                 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	                 : "rcx", "r11", "memory");
	return result;
}

#endif
