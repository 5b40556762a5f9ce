/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-return engine: the one room that gives guest RAM back to the host.
 *
 * Callers hand it guest-physical ranges; it sorts, merges, splits at the backing's granularity,
 * releases with as few system calls as the host allows, and says what was really released. A range
 * may be acknowledged to the guest only after reclaim_release has returned. See DOC in
 * src/reclaim.c.
 */
#ifndef EBB_RECLAIM_H
#define EBB_RECLAIM_H

#include "ebb/guest_memory.h"
#include "ebb/metrics.h"
#include "ebb/types.h"

enum reclaim_source {
	RECLAIM_INFLATE,
	RECLAIM_REPORT,
	RECLAIM_HINT,
	RECLAIM_UNPLUG,
	RECLAIM_RESET,
	RECLAIM_SOURCE_COUNT
};

/* "inflate", "report", "hint", "unplug", "reset": the keys of `ebb stat --json`. */
const char *reclaim_source_name(enum reclaim_source source);

/* Why bytes were not released. */
enum reclaim_refusal {
	RECLAIM_REFUSED_OUTSIDE,   /* no guest memory there */
	RECLAIM_REFUSED_UNALIGNED, /* a part of a page of the backing's */
	RECLAIM_REFUSED_LOCKED,    /* memory that the user wants in RAM */
	RECLAIM_REFUSED_INHIBITED, /* reclaim_inhibit */
	RECLAIM_REFUSED_POISON,    /* would not read as the guest relies on */
	RECLAIM_REFUSED_PAUSED, /* the user paused the device, or set it a rate or a least range */
	RECLAIM_REFUSED_LIMIT,  /* more than the device takes in one request */
	RECLAIM_REFUSED_HOST,   /* the host's call failed */
	RECLAIM_REFUSAL_COUNT
};

/* "outside", "unaligned", "locked", "inhibited", "poison", "paused", "limit", "host": keys too. */
const char *reclaim_refusal_name(enum reclaim_refusal refusal);

struct reclaim_range {
	gpa_t gpa;           /* guest-controlled; any value is safe */
	uint64_t size_bytes; /* guest-controlled; any value is safe */
};

struct reclaim_outcome {
	uint64_t
		ranges_released; /* after merging; ranges with nothing in them are not among them */
	uint64_t bytes_released; /* were resident (in RSS, or huge pages), are no longer */
	uint64_t bytes_lazy;     /* are resident, until the host wants them (reclaim_set_lazy) */
	uint64_t bytes_absent;   /* were not resident, or were named before in the same batch */
	uint64_t bytes_refused;  /* the sum of the next */
	uint64_t refused[RECLAIM_REFUSAL_COUNT]; /* bytes */
	unsigned int syscalls;                   /* release calls alone */
};

struct reclaim_source_stats { /* bytes_in is released + lazy + absent + refused */
	uint64_t requests, ranges_in, ranges_released;
	uint64_t bytes_in, bytes_released, bytes_lazy, bytes_absent, bytes_refused;
	uint64_t refused[RECLAIM_REFUSAL_COUNT]; /* bytes: bytes_refused by its reasons */
	uint64_t syscalls, errors;
	uint64_t latency_p50_ns, latency_p99_ns, latency_max_ns; /* of a whole batch */
	uint64_t refault_bytes; /* released for it, resident again; not since a reset's release */
};

struct reclaim_refill_stats {   /* see reclaim_set_poison */
	uint64_t faults;        /* accesses that waited for their memory to be filled */
	uint64_t bytes;         /* filled in all */
	uint64_t blocks_moved;  /* of 2 MiB, put in place as a huge page */
	uint64_t blocks_copied; /* of 2 MiB, or what was missing there, in 4 KiB pages */
	uint64_t errors;        /* the host's; each was tried again */
	uint64_t guarded_bytes; /* released, and not touched since */
};

/* Of the trace that is being written, or of the last one. */
struct reclaim_trace_stats {
	bool active;
	uint64_t rows;    /* of batches, written */
	uint64_t dropped; /* batches without a row of their own: there was no room for it */
	uint64_t failed;  /* writes */
};

struct reclaim_stats {
	struct reclaim_source_stats sources[RECLAIM_SOURCE_COUNT];
	uint64_t deferred_bytes; /* put off, and in no other figure yet */
	uint64_t refault_bytes;  /* of all sources */
	uint64_t resident_bytes;
	/* What was looked at for the two above: less than all of guest memory where that took too
	 * long. Then refaults are estimated from it, and resident_bytes is the process's. */
	uint64_t looked_bytes, total_bytes;
	uint64_t look_ns; /* what it took */
	struct reclaim_refill_stats refill;
	struct reclaim_trace_stats trace;
};

struct reclaim;

/* Follows guest memory from now on; memory is borrowed and must outlive it. What the host can do is
 * found out by the first release. -ENOMEM. */
EBB_MUST_CHECK int reclaim_create(struct guest_memory *memory, struct reclaim **ret_reclaim,
                                  struct error *err);
void reclaim_destroy(struct reclaim *reclaim);

/*
 * Releases ranges[0..count) and accounts them to source. Sorts and merges ranges in place (their
 * order and content afterwards are unspecified). Each input is validated: what lies outside guest
 * memory is refused and counted, without effect. Synchronous; any thread, one batch at a time
 * (others wait). Takes the shared lock of guest memory. RECLAIM_UNPLUG releases blocks of areas
 * that are not plugged, also locked ones and while releases are inhibited; other sources take what
 * is there, and count blocks that are not plugged as outside. Returns 0, or -errno of the host when
 * some range could not be released (the outcome says how much was).
 */
int reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                    struct reclaim_range *ranges, size_t count,
                    struct reclaim_outcome *ret_outcome);

/*
 * As reclaim_release, for memory that its owner asks for before using it again: may put the release
 * of a part off until the rest of its block (2 MiB, or the backing's page) comes, or there is
 * enough for a call. What is put off counts nowhere (*ret_outcome too) until it is released by a
 * later call, by reclaim_release_deferred or by reclaim_release_all. Before the owner gets any of
 * it back, reclaim_forget_deferred has to say so. At most 64 MiB wait, or a 32nd of guest memory if
 * that is more; of a backing that frees huge pages alone, all that never made a whole one.
 */
int reclaim_release_later(struct reclaim *reclaim, enum reclaim_source source,
                          struct reclaim_range *ranges, size_t count,
                          struct reclaim_outcome *ret_outcome);

/* Releases what was put off, but for parts of huge pages that the backing frees whole alone, and
 * accounts it to source. */
int reclaim_release_deferred(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome);

/* The same of whole blocks alone, which only wait for company. */
int reclaim_release_complete(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome);

/* The same of whole blocks, of parts that are nearly whole ones, and of those whose memory the host
 * does not hold in a huge page: not of those that would split one for little. */
int reclaim_release_worth_it(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome);

/*
 * The owner takes ranges back: what was put off of them is released no more, and a huge page that
 * went with them is whole again only when they are. Every page that a range touches. Returns how
 * many bytes waited. Any thread; waits for a batch under way.
 */
uint64_t reclaim_forget_deferred(struct reclaim *reclaim, const struct reclaim_range *ranges,
                                 size_t count);

/* As above, of all of them: the owner is gone. */
uint64_t reclaim_forget_all_deferred(struct reclaim *reclaim);

/* Releases every region whole, with one call or one a region: a reset machine starts with no memory
 * resident. As reclaim_release. */
int reclaim_release_all(struct reclaim *reclaim, enum reclaim_source source);

/* Counts a request that was acknowledged without release, with its bytes as refused for that
 * reason. */
void reclaim_account_refused(struct reclaim *reclaim, enum reclaim_source source,
                             enum reclaim_refusal refusal, uint64_t range_count,
                             uint64_t size_bytes);

/*
 * From now on, what the balloon and reports give is only offered to the host, which takes it
 * when it needs memory (MADV_FREE); until then the guest may have it back without a fault. Private
 * anonymous memory alone: -EOPNOTSUPP, with nothing changed, when any region has another backing.
 * One that is added later is released at once.
 */
EBB_MUST_CHECK int reclaim_set_lazy(struct reclaim *reclaim, bool lazy, struct error *err);

/*
 * From now on, what is released for reports and hints reads as poison_value, repeated, until it is
 * written: the guest relies on it (VIRTIO 1.2, 5.5.6.7). 0: as zeroes, with nothing to do for it;
 * what was released before keeps the value it was released with. For any other value, whole blocks
 * of 2 MiB are released and the edges of a range refused. The first such value needs userfaultfd
 * and starts a thread. If that fails, reports and hints are refused until the next call: -EPERM,
 * -ENOSYS and -EOPNOTSUPP (backing), with what the user may do; -ENOMEM, -EMFILE, -EAGAIN. Any
 * thread; waits for a batch under way.
 */
EBB_MUST_CHECK int reclaim_set_poison(struct reclaim *reclaim, uint32_t poison_value,
                                      struct error *err);

/* While the count is above 0, releases are refused and counted. Nests. Any thread; waits for a
 * batch under way. */
void reclaim_inhibit(struct reclaim *reclaim);
void reclaim_allow(struct reclaim *reclaim);

/* Set-up, once: opens now what would be opened once it is needed, for a process that soon may open
 * nothing. */
void reclaim_open_files(struct reclaim *reclaim);

/* Any thread. Looks at residency, which takes some system calls and 50 ms at most. */
void reclaim_query(struct reclaim *reclaim, struct reclaim_stats *ret_stats);

/* Bytes of guest memory that are resident in ebb now; as the field of the query, and its cost. */
uint64_t reclaim_resident_bytes(struct reclaim *reclaim);

/*
 * Writes every batch from now on to a file, as CSV or, where path ends in .jsonl or .json, as JSON
 * lines; by a thread of its own, which nobody who releases memory waits for. A file that is there
 * is emptied with overwrite, else -EEXIST. -EBUSY: a trace is being written. -errno of the file,
 * with a message. log is borrowed until the end of the trace.
 */
struct log;
EBB_MUST_CHECK int reclaim_trace_open(struct reclaim *reclaim, const char *path, bool overwrite,
                                      struct log *log, struct error *err);

/* The two halves of that, for set-up: the file, which is emptied; then its thread, made by the
 * caller's. Without the first, the second does nothing. */
EBB_MUST_CHECK int reclaim_trace_prepare(struct reclaim *reclaim, const char *path,
                                         struct error *err);
EBB_MUST_CHECK int reclaim_trace_start_prepared(struct reclaim *reclaim, struct log *log,
                                                struct error *err);

/* As reclaim_trace_open, into a file that the caller opened, for writing: a regular file, which is
 * emptied, or a pipe; as JSON lines if so wished. fd stays the caller's. -EINVAL: not such a file.
 */
EBB_MUST_CHECK int reclaim_trace_open_fd(struct reclaim *reclaim, int fd, bool json,
                                         struct log *log, struct error *err);

/* How long a trace's file becomes unless reclaim_trace_set_limit says another, and the least that
 * it may say. */
#define RECLAIM_TRACE_LIMIT_BYTES     GIB
#define RECLAIM_TRACE_LIMIT_MIN_BYTES (64 * KIB)

/* Of the trace that is being written, if there is one. At its limit a file ends with a row called
 * "limit", the log says so once, and batches are counted as dropped from then on. Any thread. */
void reclaim_trace_set_limit(struct reclaim *reclaim, uint64_t limit_bytes);

/* Ends the trace with the last batch in its file; takes 2 s at most. -ENOENT: there is none;
 * -ETIMEDOUT: the host hangs in a write. */
int reclaim_trace_close(struct reclaim *reclaim, struct error *err);

#endif
