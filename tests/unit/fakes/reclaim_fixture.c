/* SPDX-License-Identifier: Apache-2.0 */
/* See reclaim_fixture.h. */
#include "reclaim_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_reclaim_host.h"

int set_up_with(void **state, const struct gmem_backing *backing)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_reclaim_host_reset();
	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, LOW_BYTES, backing, NULL), 0);
	assert_int_equal(reclaim_create(f->memory, &f->reclaim, NULL), 0);
	/* One region is there before the engine, one comes after it. */
	assert_int_equal(gmem_add_region(f->memory, HIGH_GPA, HIGH_BYTES, backing, NULL), 0);
	*state = f;
	return 0;
}

int set_up(void **state)
{
	return set_up_with(state, NULL);
}

int set_up_thp(void **state)
{
	return set_up_with(state, &(struct gmem_backing){ .thp = true });
}

int tear_down(void **state)
{
	struct fixture *f = *state;

	reclaim_destroy(f->reclaim);
	guest_memory_destroy(f->memory);
	free(f);
	return 0;
}

uint8_t *span(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t *hva = gmem_span(f->memory, gpa, size_bytes);

	assert_non_null(hva);
	return hva;
}

void touch(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t *hva = span(f, gpa, size_bytes);

	for (uint64_t offset = 0; offset < size_bytes; offset += PAGE)
		hva[offset] = 0x5a;
}

/* The host's own word, independent of the engine's. */
uint64_t resident(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t *pages = malloc(size_bytes / PAGE);
	uint64_t bytes = 0;

	assert_int_equal(mincore(span(f, gpa, size_bytes), size_bytes, pages), 0);
	for (size_t i = 0; i < size_bytes / PAGE; i++)
		bytes += (pages[i] & 1) * PAGE;
	free(pages);
	return bytes;
}

struct reclaim_outcome release(struct fixture *f, struct reclaim_range *ranges, size_t count)
{
	struct reclaim_outcome outcome;
	uint64_t in_bytes = 0;

	for (size_t i = 0; i < count; i++)
		in_bytes += ranges[i].size_bytes;
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_REPORT, ranges, count, &outcome), 0);
	assert_int_equal(outcome.bytes_released + outcome.bytes_lazy + outcome.bytes_absent +
	                         outcome.bytes_refused,
	                 in_bytes);
	return outcome;
}

struct reclaim_outcome release_range(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	struct reclaim_range range = { gpa, size_bytes };

	return release(f, &range, 1);
}

unsigned int release_calls(void)
{
	return fake_reclaim_host.madvise_calls + fake_reclaim_host.vector_calls;
}

struct reclaim_outcome later(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	struct reclaim_range range = { gpa, size_bytes };
	struct reclaim_outcome outcome;

	assert_int_equal(reclaim_release_later(f->reclaim, RECLAIM_INFLATE, &range, 1, &outcome),
	                 0);
	return outcome;
}

struct reclaim_outcome release_deferred(struct fixture *f)
{
	struct reclaim_outcome outcome;

	assert_int_equal(reclaim_release_deferred(f->reclaim, RECLAIM_INFLATE, &outcome), 0);
	return outcome;
}

struct reclaim_source_stats inflate_stats(struct fixture *f)
{
	struct reclaim_source_stats *stats;
	struct reclaim_stats all;

	reclaim_query(f->reclaim, &all);
	stats = &all.sources[RECLAIM_INFLATE];
	assert_int_equal(stats->bytes_in,
	                 stats->bytes_released + stats->bytes_absent + stats->bytes_refused);
	return *stats;
}

/* Sizes come from guests: sums stop at the most that there is. */
static uint64_t add(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void assert_adds_up(const struct reclaim_source_stats *stats)
{
	uint64_t refused_bytes = 0;

	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++)
		refused_bytes = add(refused_bytes, stats->refused[i]);
	assert_int_equal(refused_bytes, stats->bytes_refused);
	assert_int_equal(stats->bytes_in, add(add(stats->bytes_released, stats->bytes_lazy),
	                                      add(stats->bytes_absent, stats->bytes_refused)));
}
