/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian values at any alignment, as guests, disks and tables hold them. */
#ifndef EBB_BYTES_H
#define EBB_BYTES_H

#include <endian.h>
#include <string.h>

#include "ebb/types.h"

static inline uint16_t load_le16(const void *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof(value));
	return le16toh(value);
}

static inline uint32_t load_le32(const void *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof(value));
	return le32toh(value);
}

static inline uint64_t load_le64(const void *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

static inline void store_le16(void *to, uint16_t value)
{
	value = htole16(value);
	memcpy(to, &value, sizeof(value));
}

static inline void store_le32(void *to, uint32_t value)
{
	value = htole32(value);
	memcpy(to, &value, sizeof(value));
}

static inline void store_le64(void *to, uint64_t value)
{
	value = htole64(value);
	memcpy(to, &value, sizeof(value));
}

/* A register access of 1, 2, 4 or 8 bytes (others: the low 8 bytes are used). */
static inline uint64_t load_le(const void *from, size_t size_bytes)
{
	uint64_t value = 0;

	memcpy(&value, from, size_bytes < sizeof(value) ? size_bytes : sizeof(value));
	return le64toh(value);
}

static inline void store_le(void *to, uint64_t value, size_t size_bytes)
{
	value = htole64(value);
	memcpy(to, &value, size_bytes < sizeof(value) ? size_bytes : sizeof(value));
}

#endif
