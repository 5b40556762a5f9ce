/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon's memory statistics (VIRTIO 1.2, 5.5.6.3).
 *
 * DOC: the newest chain is kept; returning it asks the driver for new figures, which a timer does
 * where an interval is set.
 *
 * Threads: queue and timer on the reclaim loop; balloon.h's functions anywhere. The figures and the
 * interval are under the device lock.
 */
#include <errno.h>
#include <string.h>

#include "ebb/log.h"
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

#define STAT_BYTES          10
#define STATS_PER_CHAIN_MAX 64

/* Reads a statistics message into stats[], which tells nothing before; unknown tags are skipped. */
static void parse_stats(const uint8_t *message, size_t size_bytes, uint64_t *stats)
{
	for (; size_bytes >= STAT_BYTES; message += STAT_BYTES, size_bytes -= STAT_BYTES) {
		uint16_t tag = load_le16(message);

		if (tag < BALLOON_STATS_MAX)
			stats[tag] = load_le64(message + sizeof(tag));
	}
}

static void take_stats(struct balloon *balloon, struct virtq_chain *chain)
{
	uint8_t message[STATS_PER_CHAIN_MAX * STAT_BYTES];
	size_t size_bytes = min_u64(virtq_chain_readable_bytes(chain), sizeof(message));
	uint64_t stats[BALLOON_STATS_MAX];

	if (virtq_chain_read(chain, message, size_bytes) < 0)
		return;
	memset(stats, 0xff, sizeof(stats));
	parse_stats(message, size_bytes, stats);
	pthread_mutex_lock(&balloon->vdev.lock);
	memcpy(balloon->stats, stats, sizeof(stats));
	balloon->stats_updated_ns = monotonic_ns();
	pthread_mutex_unlock(&balloon->vdev.lock);
}

/* The newest chain is kept, and its return asks the driver for new figures. */
void balloon_serve_stats(struct balloon *balloon, unsigned int queue_index)
{
	struct virtqueue *vq = virtio_queue(&balloon->vdev, queue_index);
	struct virtq_chain chain;
	unsigned int taken = 0;
	int r = 1;

	while (taken < BALLOON_QUEUE_SIZE && (r = virtqueue_pop(vq, &chain)) > 0) {
		take_stats(balloon, &chain);
		if (balloon->stats_chain_held)
			virtqueue_push(vq, &balloon->stats_chain);
		balloon->stats_chain = chain;
		balloon->stats_chain_held = true;
		taken++;
	}
	virtio_queue_flush(&balloon->vdev, queue_index);
	if (r < 0)
		virtio_device_broken(&balloon->vdev, "queue %u is not a valid ring", queue_index);
	else if (r > 0)
		balloon_ask_for_another_turn(balloon, queue_index);
}

bool balloon_ask_for_stats(struct balloon *balloon)
{
	struct guest_memory *memory = balloon->vdev.device.vm->memory;
	const unsigned int queue_index = ROLE_STATS; /* behind inflate and deflate, always there */

	if (!balloon->stats_chain_held)
		return false;
	gmem_lock_shared(memory);
	balloon->stats_chain_held = false;
	virtqueue_push(virtio_queue(&balloon->vdev, queue_index), &balloon->stats_chain);
	virtio_queue_flush(&balloon->vdev, queue_index);
	gmem_unlock_shared(memory);
	return true;
}

static void interval_is_over(void *ctx)
{
	(void)balloon_ask_for_stats(ctx);
}

/* The interval changed, or the driver came. On the reclaim loop, whose thread is not started for
 * the timer's sake before there is a driver. */
void balloon_apply_stats_interval(void *ctx)
{
	struct balloon *balloon = ctx;
	struct virtio_device *vdev = &balloon->vdev;
	int64_t interval_ns;

	pthread_mutex_lock(&vdev->lock);
	interval_ns = (int64_t)balloon->stats_interval_s * NS_PER_S;
	pthread_mutex_unlock(&vdev->lock);
	if (!vdev->active || !virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ))
		interval_ns = 0;
	if (!interval_ns) {
		if (balloon->stats_timer)
			event_timer_cancel(balloon->stats_timer);
		return;
	}
	if (!balloon->stats_timer &&
	    event_timer_create(vdev->loop, interval_is_over, balloon, &balloon->stats_timer) < 0) {
		balloon->stats_timer = NULL;
		log_message_limited(vdev->device.vm->log, &vdev->log_limit, LOG_WARN,
		                    "%s: no timer for statistics", vdev->device.id);
		return;
	}
	event_timer_set(balloon->stats_timer, 0, interval_ns);
}

void balloon_forget_stats(struct balloon *balloon)
{
	memset(balloon->stats, 0xff, sizeof(balloon->stats));
	balloon->stats_updated_ns = 0;
}

int balloon_set_stats_interval(struct balloon *balloon, uint64_t seconds, struct error *err)
{
	struct virtio_device *vdev = &balloon->vdev;
	bool negotiated;

	if (seconds > STATS_INTERVAL_MAX_S)
		return error_set(err, -EINVAL, "statistics interval %llu s: at most %llu s",
		                 (unsigned long long)seconds,
		                 (unsigned long long)STATS_INTERVAL_MAX_S);
	pthread_mutex_lock(&vdev->lock);
	negotiated = balloon_driver_ready(balloon) &&
	             virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ);
	if (negotiated)
		balloon->stats_interval_s = seconds;
	pthread_mutex_unlock(&vdev->lock);
	if (!negotiated)
		return error_set(err, -ENOTSUP,
		                 "the guest's balloon driver does not tell statistics");
	event_work_post(&balloon->interval_changed);
	return 0;
}

const char *balloon_stat_name(unsigned int tag)
{
	static const char *const names[BALLOON_STATS_MAX] = {
		"stat-swap-in",          "stat-swap-out",     "stat-major-faults",
		"stat-minor-faults",     "stat-free-memory",  "stat-total-memory",
		"stat-available-memory", "stat-disk-caches",  "stat-htlb-pgalloc",
		"stat-htlb-pgfail",      "stat-oom-kills",    "stat-alloc-stalls",
		"stat-async-scans",      "stat-direct-scans", "stat-async-reclaims",
		"stat-direct-reclaims",
	};

	return tag < BALLOON_STATS_MAX ? names[tag] : NULL;
}
