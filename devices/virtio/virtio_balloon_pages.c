/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon's inflate and deflate queues, and the batch that they share with reporting.
 *
 * DOC: a turn is gather -> release -> publish. Everything the queue holds is popped, its ranges
 * copied into one batch, the batch handed to the reclaim engine once, then every chain is pushed
 * and the driver notified once: nothing is acknowledged before it is released, but for what may
 * wait (below).
 *
 * Putting off. A driver that negotiated MUST_TELL_HOST deflates before it uses a page again (Linux
 * always does, so that offering the bit costs nothing). Its inflate requests may then be answered
 * while the engine still waits for the rest of a 2 MiB block: a request is 1 MiB, and half a huge
 * page released is a huge page split. What the guest takes back before that is not released at
 * all. Other drivers' pages are released before the answer. Reports always are: the guest takes
 * those pages back without a word.
 *
 * How long. Whole blocks wait 0.1 s for company. Parts wait until it is worth something. When 512
 * MiB of a stock 1 GiB guest that had worked were inflated, three times, all but 12 blocks of 2 MiB
 * were full while requests kept coming, and those 12 stayed parts whether they waited 0.1, 1 or 5
 * s: a sixth to two thirds of each, in up to 94 pieces between pages in use. Releasing them split
 * 12 huge pages, and what the host had available did not grow by it: a page's memory is not the
 * host's before the host, short of memory, takes the page apart. So after 10 s without a request
 * those parts go that are worth it or split nothing (reclaim_deferred.c); the others when processes
 * of the host wait for memory (pressure.h), when they are asked for (a reclaim run,
 * x-ebb-set-inflate), or when the driver goes. Of a host that does not tell its pressure all go
 * after 10 s. The engine bounds them and tells how many there are.
 *
 * Bounds: a chain's array of page frame numbers counts up to 16384 of them (64 MiB; Linux sends
 * 256), the rest is acknowledged and counted as refused (inflate), or makes the engine forget all
 * that waits (deflate); a batch holds 4096 ranges and is released
 * as often as it fills; a turn takes as many chains as the queue is long, or 16384 ranges, then
 * others get theirs.
 *
 * Threads: the reclaim loop.
 */
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

#define RANGES_PER_TURN    16384 /* after the chain that gets there, the turn is over */
#define PFN_BYTES          4
#define PFNS_PER_CHAIN_MAX 16384
#define COMPANY_NS         (100 * NS_PER_MS) /* that whole blocks wait for others */

static enum reclaim_source source_of(enum queue_role role)
{
	return role == ROLE_REPORTING ? RECLAIM_REPORT : RECLAIM_INFLATE;
}

static void release_each(struct balloon *balloon, enum queue_role role, size_t count)
{
	struct reclaim_outcome outcome;

	for (size_t i = 0; i < count; i++)
		(void)reclaim_release(balloon->vdev.device.vm->reclaim, source_of(role),
		                      &balloon->ranges[i], 1, &outcome);
}

/* What the host refuses is counted there; to the guest the pages are gone either way. */
static void release_batch(struct balloon *balloon, enum queue_role role)
{
	struct reclaim *reclaim = balloon->vdev.device.vm->reclaim;
	struct reclaim_outcome outcome;
	size_t count = balloon->range_count;
	struct balloon_release release;

	balloon->range_count = 0;
	if (!count)
		return;
	balloon_query_release(balloon, &release);
	if (role == ROLE_DEFLATE) {
		(void)reclaim_forget_deferred(reclaim, balloon->ranges, count);
	} else if (role == ROLE_INFLATE && release.page_by_page) {
		release_each(balloon, role, count);
	} else if (role == ROLE_INFLATE && balloon->deferred_timer) {
		(void)reclaim_release_later(reclaim, RECLAIM_INFLATE, balloon->ranges, count,
		                            &outcome);
		balloon->complete_released = false;
		event_timer_set(balloon->deferred_timer,
		                (int64_t)min_u64((uint64_t)release.hold_ns, COMPANY_NS), 0);
	} else {
		(void)reclaim_release(reclaim, source_of(role), balloon->ranges, count, &outcome);
	}
}

void balloon_release_deferred(void *ctx)
{
	struct balloon *balloon = ctx;
	struct reclaim_outcome outcome;

	(void)reclaim_release_deferred(balloon->vdev.device.vm->reclaim, RECLAIM_INFLATE, &outcome);
}

/* No request came for a while: whole blocks go first, parts that are worth it when they have waited
 * long enough. */
static void deferred_time_is_up(void *ctx)
{
	struct balloon *balloon = ctx;
	struct reclaim *reclaim = balloon->vdev.device.vm->reclaim;
	struct reclaim_outcome outcome;
	struct balloon_release release;

	balloon_query_release(balloon, &release);
	if (release.hold_ns <= COMPANY_NS || (balloon->complete_released && !balloon->pressure)) {
		balloon_release_deferred(balloon);
		return;
	}
	if (balloon->complete_released) {
		(void)reclaim_release_worth_it(reclaim, RECLAIM_INFLATE, &outcome);
		return;
	}
	balloon->complete_released = true;
	(void)reclaim_release_complete(reclaim, RECLAIM_INFLATE, &outcome);
	event_timer_set(balloon->deferred_timer, release.hold_ns - COMPANY_NS, 0);
}

void balloon_add_range(struct balloon *balloon, enum queue_role role, gpa_t gpa,
                       uint64_t size_bytes)
{
	if (balloon->range_count == BALLOON_RANGES_MAX)
		release_batch(balloon, role);
	balloon->ranges[balloon->range_count++] = (struct reclaim_range){ gpa, size_bytes };
	balloon->turn_range_count++;
}

/* The page frame numbers of a chain, as far as one counts, one by one. Returns how many it has more
 * than that. */
static uint64_t gather_pfns(struct balloon *balloon, enum queue_role role,
                            struct virtq_chain *chain)
{
	uint64_t pfns = virtq_chain_readable_bytes(chain) / PFN_BYTES;
	uint64_t left = min_u64(pfns, PFNS_PER_CHAIN_MAX), more = pfns - left;
	uint8_t buffer[1024];

	while (left) {
		size_t count = min_u64(left, sizeof(buffer) / PFN_BYTES);

		if (virtq_chain_read(chain, buffer, count * PFN_BYTES) < 0)
			return more + left;
		for (size_t i = 0; i < count; i++)
			balloon_add_range(balloon, role,
			                  (gpa_t)load_le32(buffer + i * PFN_BYTES)
			                          << VIRTIO_BALLOON_PFN_SHIFT,
			                  PAGE_4K_BYTES);
		left -= count;
	}
	return more;
}

static void gather_inflate(struct balloon *balloon, struct virtq_chain *chain)
{
	uint64_t more = gather_pfns(balloon, ROLE_INFLATE, chain);

	if (more)
		reclaim_account_refused(balloon->vdev.device.vm->reclaim, RECLAIM_INFLATE,
		                        RECLAIM_REFUSED_LIMIT, more, more * PAGE_4K_BYTES);
}

/* The guest takes pages back: none of them may go any more. */
static void gather_deflate(struct balloon *balloon, struct virtq_chain *chain)
{
	if (gather_pfns(balloon, ROLE_DEFLATE, chain))
		(void)reclaim_forget_all_deferred(balloon->vdev.device.vm->reclaim);
}

static void gather(struct balloon *balloon, enum queue_role role, struct virtq_chain *chain)
{
	if (role == ROLE_INFLATE)
		gather_inflate(balloon, chain);
	else if (role == ROLE_DEFLATE)
		gather_deflate(balloon, chain);
	else
		balloon_gather_report(balloon, chain);
}

void balloon_serve_pages(struct balloon *balloon, enum queue_role role, unsigned int queue_index)
{
	struct virtqueue *vq = virtio_queue(&balloon->vdev, queue_index);
	int r = 1;

	balloon->turn_range_count = 0;
	while (balloon->chain_count < BALLOON_CHAINS_MAX &&
	       balloon->turn_range_count < RANGES_PER_TURN) {
		struct virtq_chain *chain = &balloon->chains[balloon->chain_count];

		r = virtqueue_pop(vq, chain);
		if (r <= 0)
			break;
		balloon->chain_count++;
		gather(balloon, role, chain);
	}
	release_batch(balloon, role);
	for (size_t i = 0; i < balloon->chain_count; i++)
		virtqueue_push(vq, &balloon->chains[i]);
	balloon->chain_count = 0;
	virtio_queue_flush(&balloon->vdev, queue_index);
	if (r < 0)
		virtio_device_broken(&balloon->vdev, "queue %u is not a valid ring", queue_index);
	else if (r > 0)
		balloon_ask_for_another_turn(balloon, queue_index);
}

void balloon_start_deferring(struct balloon *balloon)
{
	struct virtio_device *vdev = &balloon->vdev;

	/* Without a timer nothing is put off; without pressure told, only the time counts. */
	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_MUST_TELL_HOST) ||
	    event_timer_create(vdev->loop, deferred_time_is_up, balloon, &balloon->deferred_timer) <
	            0) {
		balloon->deferred_timer = NULL;
		return;
	}
	/* Once: the kernel takes some 100 ms to end a watch, and drivers come and go. */
	if (!balloon->pressure_tried &&
	    pressure_watch_create(vdev->loop, balloon->pressure_fd, balloon_release_deferred,
	                          balloon, &balloon->pressure) < 0)
		balloon->pressure = NULL;
	balloon->pressure_tried = true;
}

void balloon_stop_deferring(struct balloon *balloon)
{
	event_timer_destroy(balloon->deferred_timer);
	balloon->deferred_timer = NULL;
}

void balloon_query_release(struct balloon *balloon, struct balloon_release *ret_release)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	*ret_release = balloon->release;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

void balloon_set_release(struct balloon *balloon, const struct balloon_release *release)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->release = *release;
	pthread_mutex_unlock(&balloon->vdev.lock);
	event_work_post(&balloon->release_changed);
}
