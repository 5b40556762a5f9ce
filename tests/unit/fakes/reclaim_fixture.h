/* SPDX-License-Identifier: Apache-2.0 */
/* The memory-return engine over two regions of real memory, for its tests. Functions assert. */
#ifndef RECLAIM_FIXTURE_H
#define RECLAIM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ebb/reclaim.h"

#define LOW_BYTES  (96 * MIB) /* from 0 */
#define HIGH_GPA   (4 * GIB)
#define HIGH_BYTES (16 * MIB)
#define PAGE       PAGE_4K_BYTES

struct fixture {
	struct guest_memory *memory;
	struct reclaim *reclaim;
};

int set_up_with(void **state, const struct gmem_backing *backing);
int set_up(void **state);     /* private anonymous memory, without huge pages */
int set_up_thp(void **state); /* with them */
int tear_down(void **state);

uint8_t *span(struct fixture *f, gpa_t gpa, uint64_t size_bytes);
void touch(struct fixture *f, gpa_t gpa, uint64_t size_bytes); /* 0x5a in each page */

/* The host's own word, independent of the engine's. */
uint64_t resident(struct fixture *f, gpa_t gpa, uint64_t size_bytes);

/* As RECLAIM_REPORT, without an error, and the outcome adds up. */
struct reclaim_outcome release(struct fixture *f, struct reclaim_range *ranges, size_t count);
struct reclaim_outcome release_range(struct fixture *f, gpa_t gpa, uint64_t size_bytes);
unsigned int release_calls(void);

/* As RECLAIM_INFLATE. */
struct reclaim_outcome later(struct fixture *f, gpa_t gpa, uint64_t size_bytes);
struct reclaim_outcome release_deferred(struct fixture *f);
struct reclaim_source_stats inflate_stats(struct fixture *f);

/* Of a source's account, or an outcome: every byte is in one figure, and refused has its reasons.
 */
void assert_adds_up(const struct reclaim_source_stats *stats);

#endif
