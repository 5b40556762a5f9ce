/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sized accesses to device memory, little endian, in order with each other and with RAM.
 *
 * A device sees naturally aligned accesses only: KVM refuses others, so they are made byte by byte.
 */
#ifndef FIRMWARE_MMIO_H
#define FIRMWARE_MMIO_H

#include <stdint.h>

#define MMIO_ACCESSORS(bits, load, store) \
	static inline uint##bits##_t mmio_read_aligned##bits(uint64_t gpa) \
	{ \
		uint64_t value; \
		__asm__ volatile(load " %0, (%1)\n\tfence i, r" \
		                 : "=r"(value) \
		                 : "r"(gpa) \
		                 : "memory"); \
		return (uint##bits##_t)value; \
	} \
	static inline void mmio_write_aligned##bits(uint64_t gpa, uint##bits##_t value) \
	{ \
		__asm__ volatile("fence w, o\n\t" store " %1, (%0)" \
		                 : \
		                 : "r"(gpa), "r"((uint64_t)value) \
		                 : "memory"); \
	} \
	static inline uint##bits##_t mmio_read##bits(uint64_t gpa) \
	{ \
		uint64_t value = 0; \
		unsigned int i; \
		if (!(gpa & (bits / 8 - 1))) \
			return mmio_read_aligned##bits(gpa); \
		for (i = 0; i < bits / 8; i++) \
			value |= (uint64_t)mmio_read_aligned8(gpa + i) << 8 * i; \
		return (uint##bits##_t)value; \
	} \
	static inline void mmio_write##bits(uint64_t gpa, uint##bits##_t value) \
	{ \
		unsigned int i; \
		if (!(gpa & (bits / 8 - 1))) { \
			mmio_write_aligned##bits(gpa, value); \
			return; \
		} \
		for (i = 0; i < bits / 8; i++) \
			mmio_write_aligned8(gpa + i, (uint8_t)((uint64_t)value >> 8 * i)); \
	}

MMIO_ACCESSORS(8, "lbu", "sb")
MMIO_ACCESSORS(16, "lhu", "sh")
MMIO_ACCESSORS(32, "lwu", "sw")
MMIO_ACCESSORS(64, "ld", "sd")

#endif
