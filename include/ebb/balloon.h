/* SPDX-License-Identifier: Apache-2.0 */
/* What control asks of the balloon (vm->balloon); devices/virtio/virtio_balloon.c answers. Any
 * thread. */
#ifndef EBB_BALLOON_H
#define EBB_BALLOON_H

#include "ebb/error.h"
#include "ebb/types.h"

struct balloon;

#define BALLOON_STATS_MAX 16 /* tags 0 to 15, VIRTIO 1.3, 5.5.6.3 and Linux 6.12 */

struct balloon_status {
	uint64_t target_bytes; /* what the balloon is asked to take */
	uint64_t actual_bytes; /* what the driver says it has given; guest-controlled, bounded by
	                          RAM */
	uint64_t negotiated_features;
	bool driver_ready;
	uint32_t poison_value;
	uint64_t stats[BALLOON_STATS_MAX]; /* guest-controlled; by tag, UINT64_MAX: not told */
	int64_t stats_updated_ns;          /* monotonic; 0: never */
	uint64_t stats_interval_s;         /* 0: not polled */
};

void balloon_query(struct balloon *balloon, struct balloon_status *ret_status);

/* -EINVAL above RAM; -ENODEV with no driver is not an error: a driver that comes finds the target.
 */
EBB_MUST_CHECK int balloon_set_target(struct balloon *balloon, uint64_t target_bytes,
                                      struct error *err);

/* 0 stops. -ENOTSUP when the driver did not negotiate STATS_VQ. */
EBB_MUST_CHECK int balloon_set_stats_interval(struct balloon *balloon, uint64_t seconds,
                                              struct error *err);

/* The name of a feature bit and of a statistics tag (QEMU's names, "stat-free-memory"); NULL:
 * unknown. */
const char *balloon_feature_name(unsigned int bit);
const char *balloon_stat_name(unsigned int tag);

#endif
