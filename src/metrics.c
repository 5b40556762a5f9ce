/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency histograms of fixed size.
 *
 * DOC: Values 0 to 3 have a bucket each; from 4 on each octave [2^n, 2^(n+1)) has four of equal
 * width. Recording is three relaxed atomic additions and no lock, so a reader may see a value
 * counted in a bucket and not yet in the maximum: percentiles are taken over the buckets alone and
 * then cut at the maximum.
 */
#include "ebb/metrics.h"

#define BUCKETS_PER_OCTAVE 4

static unsigned int bucket_of(uint64_t value)
{
	unsigned int octave;

	if (value < BUCKETS_PER_OCTAVE)
		return (unsigned int)value;
	octave = 63 - (unsigned int)__builtin_clzll(value);
	return (octave - 1) * BUCKETS_PER_OCTAVE +
	       (unsigned int)(value >> (octave - 2) & (BUCKETS_PER_OCTAVE - 1));
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_limit(unsigned int bucket)
{
	unsigned int shift, quarter;

	if (bucket < BUCKETS_PER_OCTAVE)
		return bucket;
	shift = bucket / BUCKETS_PER_OCTAVE - 1;
	quarter = bucket % BUCKETS_PER_OCTAVE;
	return ((uint64_t)(BUCKETS_PER_OCTAVE + quarter) << shift) + ((UINT64_C(1) << shift) - 1);
}

void metric_histogram_record(struct metric_histogram *histogram, uint64_t value)
{
	uint64_t max = atomic_load_explicit(&histogram->max, memory_order_relaxed);

	metric_increment(&histogram->buckets[bucket_of(value)]);
	metric_increment(&histogram->count);
	while (value > max &&
	       !atomic_compare_exchange_weak_explicit(&histogram->max, &max, value,
	                                              memory_order_relaxed, memory_order_relaxed))
		;
}

uint64_t metric_histogram_percentile(const struct metric_histogram *histogram, unsigned int percent)
{
	uint64_t max = metric_histogram_max(histogram);
	uint64_t total = 0, seen = 0, rank;

	for (unsigned int i = 0; i < METRIC_HISTOGRAM_BUCKETS; i++)
		total += metric_read(&histogram->buckets[i]);
	if (!total)
		return 0;
	/* ceil(total * percent / 100) without overflow */
	rank = total / 100 * percent + (total % 100 * percent + 99) / 100;
	for (unsigned int i = 0; i < METRIC_HISTOGRAM_BUCKETS; i++) {
		seen += metric_read(&histogram->buckets[i]);
		if (seen >= rank)
			return min_u64(bucket_limit(i), max);
	}
	return max;
}

uint64_t metric_histogram_max(const struct metric_histogram *histogram)
{
	return atomic_load_explicit(&histogram->max, memory_order_relaxed);
}
