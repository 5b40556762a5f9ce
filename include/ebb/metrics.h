/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and latency histograms that any thread may add to and any may read: relaxed atomics, no
 * lock. A room keeps its metrics in its own struct; a device publishes its array of struct metric
 * (device.h), and `ebb stat` prints what is published.
 */
#ifndef EBB_METRICS_H
#define EBB_METRICS_H

#include <stdatomic.h>

#include "ebb/types.h"

struct metric_counter {
	_Atomic uint64_t value;
};

struct metric {           /* a named counter of a device's array */
	const char *name; /* snake_case with its unit last: "requests", "bytes_read" */
	struct metric_counter counter;
};

static inline void metric_add(struct metric_counter *counter, uint64_t amount)
{
	atomic_fetch_add_explicit(&counter->value, amount, memory_order_relaxed);
}

static inline void metric_increment(struct metric_counter *counter)
{
	metric_add(counter, 1);
}

static inline uint64_t metric_read(const struct metric_counter *counter)
{
	return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* For a counter that one thread alone writes (a vCPU's exits): no locked instruction. */
static inline void metric_increment_owned(struct metric_counter *counter)
{
	uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

	atomic_store_explicit(&counter->value, value + 1, memory_order_relaxed);
}

/* Four buckets an octave over the whole of uint64_t: percentiles are right within 25 %. */
#define METRIC_HISTOGRAM_BUCKETS 256

struct metric_histogram {
	struct metric_counter buckets[METRIC_HISTOGRAM_BUCKETS];
	struct metric_counter count;
	_Atomic uint64_t max;
};

void metric_histogram_record(struct metric_histogram *histogram, uint64_t value);

/* The upper bound of the bucket that holds the percentile (1 to 100), never above the maximum; 0
 * when empty. */
uint64_t metric_histogram_percentile(const struct metric_histogram *histogram,
                                     unsigned int percent);
uint64_t metric_histogram_max(const struct metric_histogram *histogram);

#endif
