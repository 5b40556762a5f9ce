/* SPDX-License-Identifier: Apache-2.0 */
/* memcpy, memset and word-wise fill and scan, by eight bytes where addresses allow. */
#include "string.h"

static int aligned8(const void *a)
{
	return !((uintptr_t)a & 7);
}

void *memcpy(void *to, const void *from, size_t size_bytes)
{
	unsigned char *d = to;
	const unsigned char *s = from;

	if (aligned8(d) && aligned8(s))
		for (; size_bytes >= 8; size_bytes -= 8, d += 8, s += 8)
			*(uint64_t *)(void *)d = *(const uint64_t *)(const void *)s;
	while (size_bytes--)
		*d++ = *s++;
	return to;
}

void *memset(void *to, int byte, size_t size_bytes)
{
	unsigned char *d = to;

	for (; size_bytes && !aligned8(d); size_bytes--)
		*d++ = (unsigned char)byte;
	memory_fill64(d, (unsigned char)byte * 0x0101010101010101ull, size_bytes / 8);
	for (d += size_bytes & ~(size_t)7, size_bytes &= 7; size_bytes; size_bytes--)
		*d++ = (unsigned char)byte;
	return to;
}

void memory_fill64(void *to, uint64_t value, size_t count)
{
	volatile uint64_t *words = to;

	while (count--)
		*words++ = value;
}

size_t memory_scan64(const void *from, uint64_t value, size_t count)
{
	const volatile uint64_t *words = from;
	size_t i;

	for (i = 0; i < count && words[i] == value; i++)
		;
	return i;
}
