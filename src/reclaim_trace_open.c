/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one trace of an engine: where its file comes from, and when it begins and ends.
 *
 * DOC: a file is found by its path, is handed over as a descriptor, or was opened before the
 * sandbox and waits for the threads that come after it. Whatever it is, a second trace is refused
 * before its file is touched. What is written, and how, is reclaim_trace.c's.
 */
#include "ebb/reclaim.h"

#include <errno.h>
#include <pthread.h>

#include "reclaim_private.h"

/* Takes trace, or leaves it where there is one. */
static bool hang_in(struct reclaim *reclaim, struct reclaim_trace *trace)
{
	bool is_free;

	pthread_mutex_lock(&reclaim->lock);
	is_free = !reclaim->trace;
	if (is_free)
		reclaim->trace = trace;
	pthread_mutex_unlock(&reclaim->lock);
	return is_free;
}

static int refuse_second(struct error *err)
{
	return error_set(err, -EBUSY, "a reclaim trace is being written (stop it first)");
}

static int start_trace(struct reclaim *reclaim, const struct reclaim_trace_file *file,
                       struct log *log, struct error *err)
{
	struct reclaim_trace_stats unused;
	struct reclaim_trace *trace;
	int r = reclaim_trace_start(file, reclaim->status_fd, log, &trace, err);

	if (r < 0 || hang_in(reclaim, trace))
		return r;
	(void)reclaim_trace_stop(trace, &unused);
	return refuse_second(err);
}

int reclaim_trace_open(struct reclaim *reclaim, const char *path, bool overwrite, struct log *log,
                       struct error *err)
{
	struct reclaim_trace_file file;
	int r;

	/* Looked at first, so that a refusal leaves no file behind. */
	if (!hang_in(reclaim, NULL))
		return refuse_second(err);
	r = reclaim_trace_file_open(path, overwrite, &file, err);
	return r < 0 ? r : start_trace(reclaim, &file, log, err);
}

int reclaim_trace_open_fd(struct reclaim *reclaim, int fd, bool json, struct log *log,
                          struct error *err)
{
	struct reclaim_trace_file file;
	int r;

	if (!hang_in(reclaim, NULL))
		return refuse_second(err);
	r = reclaim_trace_file_take(fd, json, &file, err);
	return r < 0 ? r : start_trace(reclaim, &file, log, err);
}

int reclaim_trace_prepare(struct reclaim *reclaim, const char *path, struct error *err)
{
	return reclaim_trace_file_open(path, true, &reclaim->prepared_trace, err);
}

int reclaim_trace_start_prepared(struct reclaim *reclaim, struct log *log, struct error *err)
{
	struct reclaim_trace_file file = reclaim->prepared_trace;

	if (file.fd < 0)
		return 0;
	reclaim->prepared_trace.fd = -1;
	return start_trace(reclaim, &file, log, err);
}

void reclaim_trace_set_limit(struct reclaim *reclaim, uint64_t limit_bytes)
{
	pthread_mutex_lock(&reclaim->lock);
	if (reclaim->trace)
		reclaim_trace_limit(reclaim->trace, limit_bytes);
	pthread_mutex_unlock(&reclaim->lock);
}

int reclaim_trace_close(struct reclaim *reclaim, struct error *err)
{
	struct reclaim_trace_stats stats;
	struct reclaim_trace *trace;
	int r;

	pthread_mutex_lock(&reclaim->lock);
	trace = reclaim->trace;
	reclaim->trace = NULL;
	pthread_mutex_unlock(&reclaim->lock);
	if (!trace)
		return error_set(err, -ENOENT, "no reclaim trace is being written");
	r = reclaim_trace_stop(trace, &stats);
	pthread_mutex_lock(&reclaim->lock);
	reclaim->trace_stats = stats;
	pthread_mutex_unlock(&reclaim->lock);
	return r < 0 ? error_set(err, r,
	                         "the reclaim trace: a write hangs in the host; left behind")
	             : 0;
}
