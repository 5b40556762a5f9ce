/* SPDX-License-Identifier: Apache-2.0 */
/* Memory from the largest RAM range below 4 GiB behind the program: handed out once, never given
 * back. */
#ifndef FIRMWARE_MEMORY_H
#define FIRMWARE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u

/* Zeroed by us, aligned to a power of two; ends the guest when there is not enough. */
void *memory_alloc(size_t size_bytes, size_t alignment_bytes);
/* The same, but not touched. */
uint64_t memory_reserve(uint64_t size_bytes, uint64_t alignment_bytes);
/* Bytes that memory_reserve() could still give, before alignment. */
uint64_t memory_left_bytes(void);

#endif
