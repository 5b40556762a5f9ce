/* SPDX-License-Identifier: Apache-2.0 */
/* An accounting in memory: see fake_reclaim.h. */
#include "fake_reclaim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *reclaim_source_name(enum reclaim_source source)
{
	static const char *const names[] = { "inflate", "report", "hint", "unplug", "reset" };

	return names[source];
}

int reclaim_create(struct guest_memory *memory, struct reclaim **ret_reclaim, struct error *err)
{
	struct reclaim *reclaim = calloc(1, sizeof(*reclaim));

	(void)memory;
	if (!reclaim)
		return error_set(err, -ENOMEM, "the fake reclaim engine");
	*ret_reclaim = reclaim;
	return 0;
}

void reclaim_destroy(struct reclaim *reclaim)
{
	free(reclaim);
}

int reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                    struct reclaim_range *ranges, size_t count, struct reclaim_outcome *ret_outcome)
{
	(void)ranges;
	reclaim->stats.sources[source].requests++;
	reclaim->stats.sources[source].ranges_in += count;
	*ret_outcome = (struct reclaim_outcome){ 0 };
	return 0;
}

int reclaim_release_later(struct reclaim *reclaim, enum reclaim_source source,
                          struct reclaim_range *ranges, size_t count,
                          struct reclaim_outcome *ret_outcome)
{
	return reclaim_release(reclaim, source, ranges, count, ret_outcome);
}

int reclaim_release_deferred(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	(void)reclaim;
	(void)source;
	*ret_outcome = (struct reclaim_outcome){ 0 };
	return 0;
}

int reclaim_release_complete(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	(void)reclaim;
	(void)source;
	*ret_outcome = (struct reclaim_outcome){ 0 };
	return 0;
}

int reclaim_release_worth_it(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	(void)reclaim;
	(void)source;
	*ret_outcome = (struct reclaim_outcome){ 0 };
	return 0;
}

int reclaim_release_all(struct reclaim *reclaim, enum reclaim_source source)
{
	reclaim->stats.sources[source].requests++;
	return 0;
}

uint64_t reclaim_forget_deferred(struct reclaim *reclaim, const struct reclaim_range *ranges,
                                 size_t count)
{
	(void)reclaim;
	(void)ranges;
	(void)count;
	return 0;
}

uint64_t reclaim_forget_all_deferred(struct reclaim *reclaim)
{
	(void)reclaim;
	return 0;
}

int reclaim_set_lazy(struct reclaim *reclaim, bool lazy, struct error *err)
{
	(void)reclaim;
	(void)lazy;
	(void)err;
	return 0;
}

const char *reclaim_refusal_name(enum reclaim_refusal refusal)
{
	static const char *const names[] = { "outside", "unaligned", "locked", "inhibited",
		                             "poison",  "paused",    "limit",  "host" };

	return names[refusal];
}

void reclaim_account_refused(struct reclaim *reclaim, enum reclaim_source source,
                             enum reclaim_refusal refusal, uint64_t range_count,
                             uint64_t size_bytes)
{
	reclaim->stats.sources[source].refused[refusal] += size_bytes;
	reclaim->stats.sources[source].ranges_in += range_count;
	reclaim->stats.sources[source].bytes_refused += size_bytes;
}

int reclaim_set_poison(struct reclaim *reclaim, uint32_t poison_value, struct error *err)
{
	if (poison_value && reclaim->no_refill)
		return error_set(err, -EPERM, "no refill (do this)");
	return 0;
}

void reclaim_inhibit(struct reclaim *reclaim)
{
	(void)reclaim;
}

void reclaim_allow(struct reclaim *reclaim)
{
	(void)reclaim;
}

void reclaim_query(struct reclaim *reclaim, struct reclaim_stats *ret_stats)
{
	*ret_stats = reclaim->stats;
}

uint64_t reclaim_resident_bytes(struct reclaim *reclaim)
{
	return reclaim->stats.resident_bytes;
}

void reclaim_trace_set_limit(struct reclaim *reclaim, uint64_t limit_bytes)
{
	reclaim->trace_limit_bytes = limit_bytes;
}

int reclaim_trace_open(struct reclaim *reclaim, const char *path, bool overwrite, struct log *log,
                       struct error *err)
{
	(void)log;
	if (reclaim->stats.trace.active)
		return error_set(err, -EBUSY, "a reclaim trace is being written");
	snprintf(reclaim->trace_path, sizeof(reclaim->trace_path), "%s", path);
	reclaim->trace_overwrites = overwrite;
	reclaim->stats.trace.active = true;
	return 0;
}

int reclaim_trace_open_fd(struct reclaim *reclaim, int fd, bool json, struct log *log,
                          struct error *err)
{
	(void)log;
	if (reclaim->stats.trace.active)
		return error_set(err, -EBUSY, "a reclaim trace is being written");
	reclaim->trace_fd = fd;
	reclaim->trace_is_json = json;
	reclaim->stats.trace.active = true;
	return 0;
}

int reclaim_trace_prepare(struct reclaim *reclaim, const char *path, struct error *err)
{
	return reclaim_trace_open(reclaim, path, true, NULL, err);
}

int reclaim_trace_start_prepared(struct reclaim *reclaim, struct log *log, struct error *err)
{
	(void)log;
	(void)err;
	reclaim->trace_started = true;
	return 0;
}

void reclaim_open_files(struct reclaim *reclaim)
{
	(void)reclaim;
}

int reclaim_trace_close(struct reclaim *reclaim, struct error *err)
{
	if (!reclaim->stats.trace.active)
		return error_set(err, -ENOENT, "no reclaim trace is being written");
	reclaim->stats.trace.active = false;
	return 0;
}
