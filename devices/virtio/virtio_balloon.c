/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (VIRTIO 1.2, 5.5): inflate, deflate, statistics, free page reporting.
 *
 * DOC: a queue's turn is gather -> release -> publish. Everything the queue holds is popped, its
 * ranges copied into one batch, the batch handed to the reclaim engine once, then every chain is
 * pushed and the driver notified once: nothing is acknowledged before it is released, but for what
 * may wait (below).
 *
 * Queues. Numbers follow the negotiated features, as Linux numbers them: 0 inflate, 1 deflate, then
 * statistics and reporting, each only if negotiated. Free page hinting is not offered and has no
 * number.
 *
 * Putting off. A driver that negotiated MUST_TELL_HOST deflates before it uses a page again (Linux
 * always does, so that offering the bit costs nothing). Its inflate requests may then be answered
 * while the engine still waits for the rest of a 2 MiB block: a request is 1 MiB, and half a huge
 * page released is a huge page split. What waits is released before a deflate request is answered,
 * before the driver is gone, and once no request came for 100 ms. Other drivers' pages are released
 * before the answer. Reports always are: the guest takes those pages back without a word.
 *
 * Not offered: bit 6, which two proposals claim with different meanings.
 *
 * Poison. A guest that poisons its free pages with a value other than 0 expects that value in what
 * it reported, and a released page reads as 0. Its reports are acknowledged without release and
 * counted as refused; the user is told once. Inflated pages are its no more until it has written
 * them, so inflating goes on.
 *
 * Bounds: a chain's array of page frame numbers counts up to 16384 of them (64 MiB; Linux sends
 * 256), the rest is acknowledged and counted as refused; a batch holds 4096 ranges and is released
 * as often as it fills; a turn takes as many chains as the queue is long, or 16384 ranges, then
 * others get theirs.
 *
 * Threads: queues, timer and statistics on the reclaim loop; config_write on a vCPU's; balloon.h's
 * functions anywhere. What these share is under the device lock.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "../device_table.h"
#include "ebb/balloon.h"
#include "ebb/bytes.h"
#include "ebb/log.h"
#include "ebb/reclaim.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define BALLOON_QUEUE_SIZE    128 /* Linux refuses to report to fewer than 32 */
#define CHAINS_MAX            BALLOON_QUEUE_SIZE
#define RANGES_MAX            4096
#define RANGES_PER_TURN       16384 /* after the chain that gets there, the turn is over */
#define PFN_BYTES             4
#define PFNS_PER_CHAIN_MAX    16384
#define STAT_BYTES            10
#define STATS_PER_CHAIN_MAX   64
#define DEFERRED_MAX_IDLE_NS  (100 * NS_PER_MS)
#define STATS_INTERVAL_MAX_S  UINT32_MAX
#define CONFIG_WITHOUT_POISON offsetof(struct virtio_balloon_config, free_page_hint_cmd_id)

enum queue_role {
	ROLE_INFLATE,
	ROLE_DEFLATE,
	ROLE_STATS,
	ROLE_REPORTING,
	ROLE_COUNT,
	ROLE_NONE = ROLE_COUNT
};

struct balloon {
	struct virtio_device vdev;
	uint64_t ram_bytes;
	uint32_t start_target_pages; /* what a reset goes back to */
	pthread_mutex_t target_lock; /* one new target at a time; taken before the device lock */
	/* Under the device lock: */
	uint32_t target_pages;
	uint64_t stats[BALLOON_STATS_MAX];
	int64_t stats_updated_ns;
	uint64_t stats_interval_s;
	/* On the reclaim loop: */
	struct event_timer *stats_timer;    /* NULL until it is needed */
	struct event_timer *deferred_timer; /* NULL: nothing is put off */
	struct event_work interval_changed, another_turn;
	unsigned int another_turn_queues; /* a bit a queue */
	bool stats_chain_held;
	struct virtq_chain stats_chain;
	bool poison_told;
	struct virtq_chain chains[CHAINS_MAX]; /* popped, not yet pushed */
	size_t chain_count;
	struct reclaim_range ranges[RANGES_MAX];
	size_t range_count, turn_range_count;
};

static const uint16_t queue_sizes[ROLE_COUNT] = {
	BALLOON_QUEUE_SIZE,
	BALLOON_QUEUE_SIZE,
	BALLOON_QUEUE_SIZE,
	BALLOON_QUEUE_SIZE,
};

#define BIT(bit) (UINT64_C(1) << (bit))

#define FEATURES \
	(BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) | BIT(VIRTIO_BALLOON_F_STATS_VQ) | \
	 BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | BIT(VIRTIO_BALLOON_F_REPORTING))

static const struct virtio_device_info info_with_poison = {
	.device_id = VIRTIO_ID_BALLOON,
	.device_features = FEATURES | BIT(VIRTIO_BALLOON_F_PAGE_POISON),
	.queue_count = ROLE_COUNT,
	.queue_size_max = queue_sizes,
	.config_size_bytes = sizeof(struct virtio_balloon_config),
};

static const struct virtio_device_info info_without_poison = {
	.device_id = VIRTIO_ID_BALLOON,
	.device_features = FEATURES,
	.queue_count = ROLE_COUNT,
	.queue_size_max = queue_sizes,
	.config_size_bytes = CONFIG_WITHOUT_POISON,
};

/* --- decisions: pure --- */

static enum queue_role queue_role(uint64_t negotiated_features, unsigned int queue_index)
{
	static const struct {
		enum queue_role role;
		uint64_t feature; /* 0: always there */
	} order[] = {
		{ ROLE_INFLATE, 0 },
		{ ROLE_DEFLATE, 0 },
		{ ROLE_STATS, BIT(VIRTIO_BALLOON_F_STATS_VQ) },
		{ ROLE_REPORTING, BIT(VIRTIO_BALLOON_F_REPORTING) },
	};
	unsigned int index = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (order[i].feature && !(negotiated_features & order[i].feature))
			continue;
		if (index++ == queue_index)
			return order[i].role;
	}
	return ROLE_NONE;
}

/* Whether reported pages may come back as zeroes (5.5.6.7). */
static bool may_release_reports(uint64_t negotiated_features, uint32_t poison_value)
{
	return !(negotiated_features & BIT(VIRTIO_BALLOON_F_PAGE_POISON)) || poison_value == 0;
}

/* Reads a statistics message into stats[], which tells nothing before; unknown tags are skipped. */
static void parse_stats(const uint8_t *message, size_t size_bytes, uint64_t *stats)
{
	for (; size_bytes >= STAT_BYTES; message += STAT_BYTES, size_bytes -= STAT_BYTES) {
		uint16_t tag = load_le16(message);

		if (tag < BALLOON_STATS_MAX)
			stats[tag] = load_le64(message + sizeof(tag));
	}
}

/* --- config space --- */

#define CONFIG_OFFSET(field) offsetof(struct virtio_balloon_config, field)

static uint32_t config_load(const struct balloon *balloon, size_t offset)
{
	return load_le32(&balloon->vdev.config[offset]);
}

static void config_store(struct balloon *balloon, size_t offset, uint32_t value)
{
	store_le32(&balloon->vdev.config[offset], value);
}

/* Under the device lock. */
static uint64_t actual_bytes(const struct balloon *balloon)
{
	uint64_t pages = config_load(balloon, CONFIG_OFFSET(actual));

	return min_u64(pages * PAGE_4K_BYTES, balloon->ram_bytes);
}

/* Under the device lock. */
static void tell_actual(struct balloon *balloon)
{
	vm_emit(balloon->vdev.device.vm, VM_EVENT_BALLOON_CHANGE,
	        balloon->ram_bytes - actual_bytes(balloon));
}

/* The core has stored the bytes already; what is not the driver's to write is put back. */
static void balloon_config_write(struct virtio_device *vdev, size_t offset, size_t size_bytes)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	config_store(balloon, CONFIG_OFFSET(num_pages), balloon->target_pages);
	config_store(balloon, CONFIG_OFFSET(free_page_hint_cmd_id), 0);
	if (ranges_overlap(offset, size_bytes, CONFIG_OFFSET(actual), sizeof(uint32_t)))
		tell_actual(balloon);
}

static void set_target_pages(struct balloon *balloon, uint32_t pages)
{
	uint8_t num_pages[sizeof(uint32_t)];

	store_le32(num_pages, pages);
	pthread_mutex_lock(&balloon->target_lock);
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->target_pages = pages;
	pthread_mutex_unlock(&balloon->vdev.lock);
	virtio_config_update(&balloon->vdev, CONFIG_OFFSET(num_pages), num_pages,
	                     sizeof(num_pages));
	pthread_mutex_unlock(&balloon->target_lock);
}

/* --- the batch --- */

static enum reclaim_source source_of(enum queue_role role)
{
	return role == ROLE_REPORTING ? RECLAIM_REPORT : RECLAIM_INFLATE;
}

/* What the host refuses is counted there; to the guest the pages are gone either way. */
static void release_batch(struct balloon *balloon, enum queue_role role)
{
	struct reclaim *reclaim = balloon->vdev.device.vm->reclaim;
	struct reclaim_outcome outcome;
	size_t count = balloon->range_count;

	balloon->range_count = 0;
	if (!count)
		return;
	if (role == ROLE_INFLATE && balloon->deferred_timer) {
		(void)reclaim_release_later(reclaim, RECLAIM_INFLATE, balloon->ranges, count,
		                            &outcome);
		event_timer_set(balloon->deferred_timer, DEFERRED_MAX_IDLE_NS, 0);
	} else {
		(void)reclaim_release(reclaim, source_of(role), balloon->ranges, count, &outcome);
	}
}

static void release_deferred(void *ctx)
{
	struct balloon *balloon = ctx;
	struct reclaim_outcome outcome;

	(void)reclaim_release_deferred(balloon->vdev.device.vm->reclaim, RECLAIM_INFLATE, &outcome);
}

static void add_range(struct balloon *balloon, enum queue_role role, gpa_t gpa, uint64_t size_bytes)
{
	if (balloon->range_count == RANGES_MAX)
		release_batch(balloon, role);
	balloon->ranges[balloon->range_count++] = (struct reclaim_range){ gpa, size_bytes };
	balloon->turn_range_count++;
}

static void gather_inflate(struct balloon *balloon, struct virtq_chain *chain)
{
	uint64_t pfns = virtq_chain_readable_bytes(chain) / PFN_BYTES;
	uint64_t left = min_u64(pfns, PFNS_PER_CHAIN_MAX);
	uint8_t buffer[1024];

	if (pfns > left)
		reclaim_account_refused(balloon->vdev.device.vm->reclaim, RECLAIM_INFLATE,
		                        pfns - left, (pfns - left) * PAGE_4K_BYTES);
	while (left) {
		size_t count = min_u64(left, sizeof(buffer) / PFN_BYTES);

		if (virtq_chain_read(chain, buffer, count * PFN_BYTES) < 0)
			return;
		for (size_t i = 0; i < count; i++)
			add_range(balloon, ROLE_INFLATE,
			          (gpa_t)load_le32(buffer + i * PFN_BYTES)
			                  << VIRTIO_BALLOON_PFN_SHIFT,
			          PAGE_4K_BYTES);
		left -= count;
	}
}

static void gather_report(struct balloon *balloon, const struct virtq_chain *chain)
{
	for (unsigned int i = 0; i < chain->writable_count; i++) {
		unsigned int segment = chain->readable_count + i;

		add_range(balloon, ROLE_REPORTING, chain->segment_gpas[segment],
		          chain->segments[segment].iov_len);
	}
}

static uint32_t poison_value(struct balloon *balloon)
{
	uint32_t value = 0;

	pthread_mutex_lock(&balloon->vdev.lock);
	if (balloon->vdev.info == &info_with_poison)
		value = config_load(balloon, CONFIG_OFFSET(poison_val));
	pthread_mutex_unlock(&balloon->vdev.lock);
	return value;
}

static void refuse_report(struct balloon *balloon, const struct virtq_chain *chain)
{
	struct vm *vm = balloon->vdev.device.vm;

	reclaim_account_refused(vm->reclaim, RECLAIM_REPORT, chain->writable_count,
	                        chain->writable_bytes);
	if (balloon->poison_told)
		return;
	balloon->poison_told = true;
	log_message_limited(
		vm->log, &balloon->vdev.log_limit, LOG_WARN, /* drivers come and go */
		"%s: the guest poisons its free pages (value 0x%08x), so the memory it reports as "
		"free stays with it; without page_poison=1 in the guest it comes back",
		balloon->vdev.device.id, (unsigned int)poison_value(balloon));
}

/* --- queues --- */

static void gather(struct balloon *balloon, enum queue_role role, struct virtq_chain *chain)
{
	if (role == ROLE_INFLATE)
		gather_inflate(balloon, chain);
	else if (role == ROLE_DEFLATE)
		release_deferred(balloon);
	else if (may_release_reports(balloon->vdev.driver_features, poison_value(balloon)))
		gather_report(balloon, chain);
	else
		refuse_report(balloon, chain);
}

static void ask_for_another_turn(struct balloon *balloon, unsigned int queue_index)
{
	balloon->another_turn_queues |= 1u << queue_index;
	event_work_post(&balloon->another_turn);
}

static void run_another_turn(void *ctx)
{
	struct balloon *balloon = ctx;
	unsigned int queues = balloon->another_turn_queues;

	balloon->another_turn_queues = 0;
	for (unsigned int i = 0; i < ROLE_COUNT; i++)
		if (queues & 1u << i)
			virtio_queue_kicked(&balloon->vdev, i);
}

/* Inflate, deflate, reporting: gather -> release -> publish. */
static void serve_pages(struct balloon *balloon, enum queue_role role, unsigned int queue_index)
{
	struct virtqueue *vq = virtio_queue(&balloon->vdev, queue_index);
	int r = 1;

	balloon->turn_range_count = 0;
	while (balloon->chain_count < CHAINS_MAX && balloon->turn_range_count < RANGES_PER_TURN) {
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
		ask_for_another_turn(balloon, queue_index);
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
static void serve_stats(struct balloon *balloon, unsigned int queue_index)
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
		ask_for_another_turn(balloon, queue_index);
}

static void balloon_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);
	enum queue_role role = queue_role(vdev->driver_features, queue_index);

	if (role == ROLE_NONE)
		return;
	if (role == ROLE_STATS)
		serve_stats(balloon, queue_index);
	else
		serve_pages(balloon, role, queue_index);
}

/* The interval is over: the driver gets its chain back. */
static void return_stats_chain(void *ctx)
{
	struct balloon *balloon = ctx;
	struct guest_memory *memory = balloon->vdev.device.vm->memory;
	const unsigned int queue_index = ROLE_STATS; /* behind inflate and deflate, always there */

	gmem_lock_shared(memory);
	if (balloon->stats_chain_held) {
		balloon->stats_chain_held = false;
		virtqueue_push(virtio_queue(&balloon->vdev, queue_index), &balloon->stats_chain);
		virtio_queue_flush(&balloon->vdev, queue_index);
	}
	gmem_unlock_shared(memory);
}

/* --- life --- */

/* The interval changed, or the driver came. On the reclaim loop, whose thread is not started for
 * the timer's sake before there is a driver. */
static void apply_stats_interval(void *ctx)
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
	if (!balloon->stats_timer && event_timer_create(vdev->loop, return_stats_chain, balloon,
	                                                &balloon->stats_timer) < 0) {
		balloon->stats_timer = NULL;
		log_message_limited(vdev->device.vm->log, &vdev->log_limit, LOG_WARN,
		                    "%s: no timer for statistics", vdev->device.id);
		return;
	}
	event_timer_set(balloon->stats_timer, 0, interval_ns);
}

static int balloon_activate(struct virtio_device *vdev)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	/* Without a timer nothing is put off. */
	if (virtio_has_feature(vdev, VIRTIO_BALLOON_F_MUST_TELL_HOST) &&
	    event_timer_create(vdev->loop, release_deferred, balloon, &balloon->deferred_timer) < 0)
		balloon->deferred_timer = NULL;
	event_work_post(&balloon->interval_changed);
	return 0;
}

static void forget_stats(struct balloon *balloon)
{
	memset(balloon->stats, 0xff, sizeof(balloon->stats));
	balloon->stats_updated_ns = 0;
}

/* What the driver said. */
static void forget_driver(struct balloon *balloon)
{
	bool had_pages;

	pthread_mutex_lock(&balloon->vdev.lock);
	had_pages = actual_bytes(balloon) > 0;
	config_store(balloon, CONFIG_OFFSET(actual), 0);
	config_store(balloon, CONFIG_OFFSET(poison_val), 0);
	forget_stats(balloon);
	if (had_pages)
		tell_actual(balloon);
	pthread_mutex_unlock(&balloon->vdev.lock);
}

/* The driver goes, and with it what it said: a page it gave and did not take back is its again as
 * soon as it touches it. */
static void balloon_deactivate(struct virtio_device *vdev)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	if (balloon->stats_timer)
		event_timer_cancel(balloon->stats_timer);
	event_timer_destroy(balloon->deferred_timer);
	balloon->deferred_timer = NULL;
	release_deferred(balloon);
	event_work_cancel(&balloon->interval_changed);
	event_work_cancel(&balloon->another_turn);
	balloon->another_turn_queues = 0;
	balloon->stats_chain_held = false;
	balloon->poison_told = false;
	forget_driver(balloon);
}

static void balloon_reset(struct device *device)
{
	struct balloon *balloon = container_of(device, struct balloon, vdev.device);

	virtio_device_reset(device);
	forget_driver(balloon); /* it may have spoken before DRIVER_OK */
	set_target_pages(balloon, balloon->start_target_pages);
}

static const struct virtio_device_ops balloon_ops = {
	.activate = balloon_activate,
	.deactivate = balloon_deactivate,
	.queue_notify = balloon_queue_notify,
	.config_write = balloon_config_write,
};

/* --- balloon.h --- */

/* The number of 4 KiB pages, rounded down, and never more than num_pages counts. */
static uint32_t to_pages(uint64_t bytes)
{
	return (uint32_t)min_u64(bytes / PAGE_4K_BYTES, UINT32_MAX);
}

/* Under the device lock. */
static bool driver_ready(const struct balloon *balloon)
{
	uint8_t bits = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;

	return (balloon->vdev.status & bits) == VIRTIO_CONFIG_S_DRIVER_OK;
}

void balloon_query(struct balloon *balloon, struct balloon_status *ret_status)
{
	struct virtio_device *vdev = &balloon->vdev;

	pthread_mutex_lock(&vdev->lock);
	*ret_status = (struct balloon_status){
		.target_bytes = balloon->target_pages * PAGE_4K_BYTES,
		.actual_bytes = actual_bytes(balloon),
		.negotiated_features = driver_ready(balloon) ? vdev->driver_features : 0,
		.driver_ready = driver_ready(balloon),
		.poison_value = config_load(balloon, CONFIG_OFFSET(poison_val)),
		.stats_updated_ns = balloon->stats_updated_ns,
		.stats_interval_s = balloon->stats_interval_s,
	};
	memcpy(ret_status->stats, balloon->stats, sizeof(balloon->stats));
	pthread_mutex_unlock(&vdev->lock);
}

static int check_target(const struct balloon *balloon, uint64_t target_bytes, struct error *err)
{
	if (target_bytes <= balloon->ram_bytes)
		return 0;
	return error_set(err, -EINVAL,
	                 "target %llu MiB: more than the guest's memory (give up to %llu MiB)",
	                 (unsigned long long)(target_bytes / MIB),
	                 (unsigned long long)(balloon->ram_bytes / MIB));
}

int balloon_set_target(struct balloon *balloon, uint64_t target_bytes, struct error *err)
{
	int r = check_target(balloon, target_bytes, err);

	if (r < 0)
		return r;
	set_target_pages(balloon, to_pages(target_bytes));
	return 0;
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
	negotiated = driver_ready(balloon) && virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ);
	if (negotiated)
		balloon->stats_interval_s = seconds;
	pthread_mutex_unlock(&vdev->lock);
	if (!negotiated)
		return error_set(err, -ENOTSUP,
		                 "the guest's balloon driver does not tell statistics");
	event_work_post(&balloon->interval_changed);
	return 0;
}

const char *balloon_feature_name(unsigned int bit)
{
	static const char *const names[] = {
		[VIRTIO_BALLOON_F_MUST_TELL_HOST] = "must-tell-host",
		[VIRTIO_BALLOON_F_STATS_VQ] = "stats",
		[VIRTIO_BALLOON_F_DEFLATE_ON_OOM] = "deflate-on-oom",
		[VIRTIO_BALLOON_F_FREE_PAGE_HINT] = "free-page-hint",
		[VIRTIO_BALLOON_F_PAGE_POISON] = "page-poison",
		[VIRTIO_BALLOON_F_REPORTING] = "free-page-reporting",
	};

	return bit < ARRAY_SIZE(names) ? names[bit] : NULL;
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

/* --- the class --- */

static void balloon_destroy(struct device *device)
{
	struct balloon *balloon;

	if (!device)
		return;
	balloon = container_of(device, struct balloon, vdev.device);
	device->vm->balloon = NULL;
	/* Before the lock that it takes goes; only a driver posts it from now on, and deactivate
	 * ends that. */
	event_work_cancel(&balloon->interval_changed);
	virtio_device_fini(&balloon->vdev);
	event_timer_destroy(balloon->stats_timer);
	pthread_mutex_destroy(&balloon->target_lock);
	free(balloon);
}

static uint64_t offered_features(const struct device_config *config)
{
	uint64_t features = BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) | BIT(VIRTIO_BALLOON_F_STATS_VQ);

	if (device_config_bool(config, "deflate-on-oom"))
		features |= BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (device_config_bool(config, "page-poison"))
		features |= BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	if (device_config_bool(config, "free-page-reporting"))
		features |= BIT(VIRTIO_BALLOON_F_REPORTING);
	return features;
}

static int balloon_create(struct vm *vm, const struct device_config *config,
                          struct device **ret_device, struct error *err)
{
	uint64_t target_bytes = device_config_number(config, "target");
	const struct virtio_device_setup setup = {
		.info = device_config_bool(config, "page-poison") ? &info_with_poison
		                                                  : &info_without_poison,
		.ops = &balloon_ops,
		.loop = vm->reclaim_loop,
		.offered_features = offered_features(config),
	};
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return error_set_errno(err, -ENOMEM, "state");
	balloon->ram_bytes = gmem_total_bytes(vm->memory);
	balloon->start_target_pages = balloon->target_pages = to_pages(target_bytes);
	balloon->stats_interval_s = device_config_number(config, "stats-interval");
	forget_stats(balloon);
	pthread_mutex_init(&balloon->target_lock, NULL);
	event_work_init(&balloon->interval_changed, vm->reclaim_loop, apply_stats_interval,
	                balloon);
	event_work_init(&balloon->another_turn, vm->reclaim_loop, run_another_turn, balloon);
	r = check_target(balloon, target_bytes, err);
	if (r < 0)
		goto free_balloon;
	r = virtio_device_init(&balloon->vdev, vm, config, &setup, err);
	if (r < 0)
		goto free_balloon;
	config_store(balloon, CONFIG_OFFSET(num_pages), balloon->target_pages);
	balloon->vdev.device.reset = balloon_reset;
	vm->balloon = balloon;
	*ret_device = &balloon->vdev.device;
	return 0;

free_balloon:
	pthread_mutex_destroy(&balloon->target_lock);
	free(balloon);
	return r;
}

static const struct device_option balloon_options[] = {
	{ .key = "free-page-reporting",
	  .help = "the guest reports free pages and they are released",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "page-poison",
	  .help = "let guests that poison free pages say so (they report nothing otherwise)",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "deflate-on-oom",
	  .help = "the guest may take pages back before it runs out of memory",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "target",
	  .help = "memory that the balloon takes from the start",
	  .type = DEVICE_OPTION_SIZE },
	{ .key = "stats-interval",
	  .help = "seconds between the guest's memory statistics; 0: none",
	  .type = DEVICE_OPTION_UINT,
	  .max = STATS_INTERVAL_MAX_S },
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.help = "memory balloon: takes memory from the guest and returns what it does not use",
	.option = "balloon",
	.on_by_default = true,
	.options = balloon_options,
	.option_count = ARRAY_SIZE(balloon_options),
	.create = balloon_create,
	.destroy = balloon_destroy,
};
