/* SPDX-License-Identifier: Apache-2.0 */
/* Types, sizes and small arithmetic that every room uses. */
#ifndef EBB_TYPES_H
#define EBB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest-physical address. Host-virtual addresses are plain pointers, named hva. */
typedef uint64_t gpa_t;

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

#define PAGE_4K_BYTES (4 * KIB)
#define PAGE_2M_BYTES (2 * MIB)
#define PAGE_1G_BYTES GIB

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define EBB_MUST_CHECK __attribute__((warn_unused_result))
#define EBB_PRINTF(format_index, first_index) \
	__attribute__((format(printf, format_index, first_index)))

/* The object that embeds member, from a pointer to that member. */
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* alignment is a power of two; value + alignment - 1 must not overflow. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

static inline bool is_aligned(uint64_t value, uint64_t alignment)
{
	return !(value & (alignment - 1));
}

/*
 * Whether [start, start + size) lies in [outer_start, outer_start + outer_size), without overflow
 * for any values. An empty range lies inside when its start does or is the end.
 */
static inline bool range_contains(uint64_t outer_start, uint64_t outer_size, uint64_t start,
                                  uint64_t size)
{
	return start >= outer_start && start - outer_start <= outer_size &&
	       size <= outer_size - (start - outer_start);
}

/* Whether two non-empty ranges that do not wrap share a byte. */
static inline bool ranges_overlap(uint64_t a_start, uint64_t a_size, uint64_t b_start,
                                  uint64_t b_size)
{
	return a_start < b_start ? b_start - a_start < a_size : a_start - b_start < b_size;
}

#endif
