/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of guest memory that were released and read back as a value other than 0. Private to
 * src/reclaim*.c. See DOC in reclaim_refill.c. */
#ifndef EBB_RECLAIM_REFILL_H
#define EBB_RECLAIM_REFILL_H

#include "ebb/error.h"
#include "ebb/reclaim.h"

#define REFILL_BLOCK_BYTES PAGE_2M_BYTES

/* Guards lie in so many runs of neighbouring blocks at most: each may cost the process two mappings
 * of the 65530 that vm.max_map_count grants. */
#define REFILL_RUNS_MAX 8192

struct refill;

struct refill_memory { /* a region of guest memory */
	uint8_t *hva;
	uint64_t size_bytes;
	bool shared; /* a memfd's mapping, not private anonymous memory */
};

/* Opens what the host has for it, and starts the thread. -EPERM, -ENOSYS, with what to do;
 * -ENOMEM, -EMFILE, -EAGAIN. */
EBB_MUST_CHECK int refill_create(struct refill **ret_refill, struct error *err);

/* The same in two: what the host has for it, which is taken, and the errors explained, then. */
struct refill_opened {
	int fd; /* or -errno */
	bool is_device;
};

struct refill_opened refill_open(void);
EBB_MUST_CHECK int refill_create_opened(struct refill_opened opened, struct refill **ret_refill,
                                        struct error *err);

/* No access to guarded memory may be under way or come. NULL is fine. */
void refill_destroy(struct refill *refill);

/* From the first guard to the last release that belongs to it, nothing is filled. Not while holding
 * anything that a thread with an access to guest memory under way may hold. */
void refill_lock(struct refill *refill);
void refill_unlock(struct refill *refill);

/*
 * Under refill_lock, all of them, hva and size_bytes in whole blocks inside memory: what is missing
 * there, now or after a release, reads as value. -ENOSPC: too many runs; -ENOMEM, -EINVAL and so on
 * of the host: nothing is guarded that was not before.
 */
EBB_MUST_CHECK int refill_guard(struct refill *refill, const struct refill_memory *memory,
                                uint8_t *hva, uint64_t size_bytes, uint32_t value);

/* Under refill_lock. Any range in 4 KiB pages: whole blocks in it read as 0 where they are missing.
 */
void refill_unguard(struct refill *refill, uint8_t *hva, uint64_t size_bytes);

/* The region that starts at hva is going. */
void refill_forget(struct refill *refill, const uint8_t *hva);

/* Any thread. */
void refill_query(struct refill *refill, struct reclaim_refill_stats *ret_stats);

#endif
