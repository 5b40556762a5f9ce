/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon's free page reporting (VIRTIO 1.2, 5.5.6.7).
 *
 * DOC: a report's pages are the guest's again as soon as it is acknowledged, so they are released
 * before, never put off.
 *
 * Poison. A guest that poisons its free pages with a value other than 0 expects that value in what
 * it reported, and a released page reads as 0. Its reports are acknowledged without release and
 * counted as refused; the user is told once. Inflated pages are its no more until it has written
 * them, so inflating goes on.
 *
 * Threads: the reclaim loop.
 */
#include "ebb/log.h"
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

/* Whether reported pages may come back as zeroes (5.5.6.7). */
static bool may_release_reports(uint64_t negotiated_features, uint32_t poison_value)
{
	return !(negotiated_features & (UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON)) ||
	       poison_value == 0;
}

static void add_ranges(struct balloon *balloon, const struct virtq_chain *chain)
{
	for (unsigned int i = 0; i < chain->writable_count; i++) {
		unsigned int segment = chain->readable_count + i;

		balloon_add_range(balloon, ROLE_REPORTING, chain->segment_gpas[segment],
		                  chain->segments[segment].iov_len);
	}
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
		balloon->vdev.device.id, (unsigned int)balloon_poison_value(balloon));
}

void balloon_gather_report(struct balloon *balloon, const struct virtq_chain *chain)
{
	if (may_release_reports(balloon->vdev.driver_features, balloon_poison_value(balloon)))
		add_ranges(balloon, chain);
	else
		refuse_report(balloon, chain);
}
