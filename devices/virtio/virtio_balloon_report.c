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
 * Threads: the reclaim loop.
 */
#include "ebb/log.h"
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

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

static void add_ranges(struct balloon *balloon, const struct virtq_chain *chain)
{
	for (unsigned int i = 0; i < chain->writable_count; i++) {
		unsigned int segment = chain->readable_count + i;

		balloon_add_range(balloon, ROLE_REPORTING, chain->segment_gpas[segment],
		                  chain->segments[segment].iov_len);
	}
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
