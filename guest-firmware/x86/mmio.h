/* SPDX-License-Identifier: Apache-2.0 */
/* Sized accesses to device memory, little endian. */
#ifndef FIRMWARE_MMIO_H
#define FIRMWARE_MMIO_H

#include <stdint.h>

#define MMIO_ACCESSORS(bits) \
	static inline uint##bits##_t mmio_read##bits(uint64_t gpa) \
	{ \
		return *(const volatile uint##bits##_t *)(uintptr_t)gpa; \
	} \
	static inline void mmio_write##bits(uint64_t gpa, uint##bits##_t value) \
	{ \
		*(volatile uint##bits##_t *)(uintptr_t)gpa = value; \
	}

MMIO_ACCESSORS(8)
MMIO_ACCESSORS(16)
MMIO_ACCESSORS(32)
MMIO_ACCESSORS(64)

#endif
