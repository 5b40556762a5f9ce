/* SPDX-License-Identifier: Apache-2.0 */
/* Formatted output on the console. */
#ifndef FIRMWARE_PRINT_H
#define FIRMWARE_PRINT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * %d %i %u %x %X %c %s %p %%, with l, ll and z, field width, '0' and '-'. Returns the length the
 * whole text would have; the buffer is always terminated when size_bytes > 0.
 */
int string_vformat(char *buf, size_t size_bytes, const char *format, va_list args);
int string_format(char *buf, size_t size_bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* At most 255 bytes a call. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vprint(const char *format, va_list args);

#endif
