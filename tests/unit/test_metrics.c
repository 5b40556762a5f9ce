/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms: exactness, percentiles within a quarter, several threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/metrics.h"

static void test_counter(void **state)
{
	struct metric_counter counter = { 0 };

	(void)state;
	metric_increment(&counter);
	metric_add(&counter, 40);
	metric_increment_owned(&counter);
	assert_int_equal(metric_read(&counter), 42);
}

static void test_empty(void **state)
{
	struct metric_histogram histogram = { 0 };

	(void)state;
	assert_int_equal(metric_histogram_percentile(&histogram, 50), 0);
	assert_int_equal(metric_histogram_percentile(&histogram, 100), 0);
	assert_int_equal(metric_histogram_max(&histogram), 0);
}

/* One value: every percentile is that value, for it is also the maximum. */
static void test_one_value(void **state)
{
	(void)state;
	for (unsigned int shift = 0; shift < 64; shift++) {
		for (int offset = -1; offset <= 1; offset++) {
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)offset;
			struct metric_histogram histogram = { 0 };

			metric_histogram_record(&histogram, value);
			assert_true(metric_histogram_percentile(&histogram, 1) == value);
			assert_true(metric_histogram_percentile(&histogram, 100) == value);
			assert_true(metric_histogram_max(&histogram) == value);
		}
	}
}

/* The answer lies between the true value and a quarter above, over the whole range. */
static void test_bucket_width(void **state)
{
	(void)state;
	for (unsigned int shift = 0; shift < 62; shift++) {
		for (uint64_t part = 0; part < 16; part++) {
			uint64_t value = (UINT64_C(1) << shift) + (part << shift) / 16;
			struct metric_histogram histogram = { 0 };
			uint64_t p50;

			metric_histogram_record(&histogram, value);
			metric_histogram_record(&histogram, value);
			metric_histogram_record(&histogram, UINT64_MAX);
			p50 = metric_histogram_percentile(&histogram, 50);
			assert_true(p50 >= value && p50 - value <= value / 4);
			assert_true(metric_histogram_percentile(&histogram, 100) == UINT64_MAX);
		}
	}
}

static void test_percentiles(void **state)
{
	struct metric_histogram histogram = { 0 };
	uint64_t p50, p99;

	(void)state;
	for (uint64_t value = 1; value <= 10000; value++)
		metric_histogram_record(&histogram, value);
	p50 = metric_histogram_percentile(&histogram, 50);
	p99 = metric_histogram_percentile(&histogram, 99);
	assert_in_range(p50, 5000, 6250);
	assert_in_range(p99, 9900, 10000);
	assert_int_equal(metric_histogram_max(&histogram), 10000);
	assert_int_equal(metric_read(&histogram.count), 10000);
	assert_true(metric_histogram_percentile(&histogram, 1) <= 125);
}

#define THREADS            4
#define RECORDS_PER_THREAD 2000

static void *record_many(void *ctx)
{
	for (uint64_t i = 1; i <= RECORDS_PER_THREAD; i++)
		metric_histogram_record(ctx, i);
	return NULL;
}

static void test_threads(void **state)
{
	struct metric_histogram histogram = { 0 };
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, record_many, &histogram), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_read(&histogram.count), THREADS * RECORDS_PER_THREAD);
	assert_int_equal(metric_histogram_max(&histogram), RECORDS_PER_THREAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counter),     cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value),   cmocka_unit_test(test_bucket_width),
		cmocka_unit_test(test_percentiles), cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
