/* SPDX-License-Identifier: Apache-2.0 */
/* The few string functions freestanding code needs. */
#ifndef FIRMWARE_STRING_H
#define FIRMWARE_STRING_H

#include <stddef.h>
#include <stdint.h>

/* The architecture's own. */
void *memcpy(void *to, const void *from, size_t size_bytes);
void *memset(void *to, int byte, size_t size_bytes);
/* Stores value in count words; counts the words at from equal to value before the first other one.
 */
void memory_fill64(void *to, uint64_t value, size_t count);
size_t memory_scan64(const void *from, uint64_t value, size_t count);

/* Portable. */
int memcmp(const void *a, const void *b, size_t size_bytes);
void *memmove(void *to, const void *from, size_t size_bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t count);
/* Copies with truncation, always terminated when size_bytes > 0. */
void string_copy(char *to, const char *from, size_t size_bytes);
/* Decimal or 0x-hexadecimal; stops at the first other character. */
uint64_t string_to_u64(const char *s);

#endif
