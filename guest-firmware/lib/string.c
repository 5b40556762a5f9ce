/* SPDX-License-Identifier: Apache-2.0 */
/* Portable string functions; memcpy and memset are the architecture's. */
#include "string.h"

int memcmp(const void *a, const void *b, size_t size_bytes)
{
	const unsigned char *x = a, *y = b;

	for (; size_bytes; size_bytes--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

void *memmove(void *to, const void *from, size_t size_bytes)
{
	volatile unsigned char *d = to;
	const unsigned char *s = from;

	if ((uintptr_t)to - (uintptr_t)from >= size_bytes)
		return memcpy(to, from, size_bytes);
	while (size_bytes--)
		d[size_bytes] = s[size_bytes];
	return to;
}

size_t strlen(const char *s)
{
	const volatile char *end = s;

	while (*end)
		end++;
	return (size_t)((const char *)end - s);
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t count)
{
	for (; count; count--, a++, b++)
		if (*a != *b || !*a)
			return (unsigned char)*a - (unsigned char)*b;
	return 0;
}

void string_copy(char *to, const char *from, size_t size_bytes)
{
	if (!size_bytes)
		return;
	while (--size_bytes && *from)
		*to++ = *from++;
	*to = 0;
}

uint64_t string_to_u64(const char *s)
{
	unsigned int base = 10;
	uint64_t value = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (;; s++) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned int)(*s - '0');
		else if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
			digit = (unsigned int)((*s | 0x20) - 'a') + 10;
		else
			return value;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}
