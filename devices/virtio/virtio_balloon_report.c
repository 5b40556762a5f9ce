/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon's free page reporting (VIRTIO 1.2, 5.5.6.7).
 *
 * DOC: a report's pages are the guest's again as soon as it is acknowledged, so they are released
 * before, never put off.
 *
 * Poison. A guest that poisons its free pages says so, with the value, and a reported page must not
 * change to anything else. The engine is told the value when the driver is ready, and from then on
 * refills what it released of reports. Where the host does not let it, reports are acknowledged
 * without release and counted as refused, and the user is told once what to do. A driver that
 * changes its value later (it must not, 5.5.6.6) has the new one taken with its next report.
 *
 * What the user says: a device may be paused, a range may be too small to be worth it, and there
 * may be a rate. The rate is a bucket that fills with its bytes each second and holds those of one
 * second; a range is released while there is anything in it, and takes what it has, also more than
 * is there: so huge ranges go at a low rate too, and the average is the rate's. Whatever is not
 * released is acknowledged as ever and counts as refused: the guest must have its pages back, and
 * tells of them again only when it has used them.
 *
 * Threads: the reclaim loop; balloon.h's functions anywhere.
 */
#include "ebb/log.h"
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

#define RATE_MAX_BYTES (UINT64_C(1) << 60)

/* What reported pages have to read as. */
static uint32_t expected_value(struct balloon *balloon)
{
	return virtio_has_feature(&balloon->vdev, VIRTIO_BALLOON_F_PAGE_POISON) &&
	                       virtio_has_feature(&balloon->vdev, VIRTIO_BALLOON_F_REPORTING)
	               ? balloon_poison_value(balloon)
	               : 0;
}

void balloon_take_poison(struct balloon *balloon)
{
	struct vm *vm = balloon->vdev.device.vm;
	struct error err = ERROR_INIT;

	balloon->poison_taken = expected_value(balloon);
	balloon->keeps_reports = reclaim_set_poison(vm->reclaim, balloon->poison_taken, &err) < 0;
	if (!balloon->keeps_reports || balloon->poison_told)
		return;
	balloon->poison_told = true;
	log_message_limited(
		vm->log, &balloon->vdev.log_limit, LOG_WARN, /* drivers come and go */
		"%s: the guest poisons its free pages (value 0x%08x), so the memory it reports as "
		"free stays with it: %s",
		balloon->vdev.device.id, (unsigned int)balloon->poison_taken, err.message);
}

/* Whether a range of a report is released now; pays for it. */
static bool may_release(struct report_bucket *bucket, const struct balloon_reporting *reporting,
                        uint64_t size_bytes, int64_t now_ns)
{
	uint64_t rate = min_u64(reporting->rate_bytes_per_s, RATE_MAX_BYTES);
	double filled;

	if (reporting->paused || size_bytes < reporting->min_range_bytes)
		return false;
	if (!rate)
		return true;
	filled = (double)bucket->bytes +
	         (double)rate * (double)(now_ns - bucket->filled_ns) / (double)NS_PER_S;
	bucket->bytes = filled < (double)rate ? (int64_t)filled : (int64_t)rate;
	bucket->filled_ns = now_ns;
	if (bucket->bytes <= 0)
		return false;
	bucket->bytes -= (int64_t)min_u64(size_bytes, RATE_MAX_BYTES);
	return true;
}

static void add_ranges(struct balloon *balloon, const struct virtq_chain *chain)
{
	struct balloon_reporting reporting;
	int64_t now_ns = monotonic_ns();
	uint64_t refused_bytes = 0;
	unsigned int refused = 0;

	balloon_query_reporting(balloon, &reporting);
	for (unsigned int i = 0; i < chain->writable_count; i++) {
		unsigned int segment = chain->readable_count + i;
		uint64_t size_bytes = chain->segments[segment].iov_len;

		if (may_release(&balloon->report_bucket, &reporting, size_bytes, now_ns)) {
			balloon_add_range(balloon, ROLE_REPORTING, chain->segment_gpas[segment],
			                  size_bytes);
		} else {
			refused++;
			refused_bytes += size_bytes;
		}
	}
	if (refused)
		reclaim_account_refused(balloon->vdev.device.vm->reclaim, RECLAIM_REPORT,
		                        RECLAIM_REFUSED_PAUSED, refused, refused_bytes);
}

void balloon_gather_report(struct balloon *balloon, const struct virtq_chain *chain)
{
	if (expected_value(balloon) != balloon->poison_taken)
		balloon_take_poison(balloon);
	if (balloon->keeps_reports)
		reclaim_account_refused(balloon->vdev.device.vm->reclaim, RECLAIM_REPORT,
		                        RECLAIM_REFUSED_POISON, chain->writable_count,
		                        chain->writable_bytes);
	else
		add_ranges(balloon, chain);
}

void balloon_query_reporting(struct balloon *balloon, struct balloon_reporting *ret_reporting)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	*ret_reporting = balloon->reporting;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

void balloon_set_reporting(struct balloon *balloon, const struct balloon_reporting *reporting)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->reporting = *reporting;
	pthread_mutex_unlock(&balloon->vdev.lock);
}
