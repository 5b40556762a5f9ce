/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: reclaim_fixture fake_reclaim_host */
/* Blocks of areas: what is plugged goes as any memory does, what is unplugged by RECLAIM_UNPLUG
 * alone. */
#include "reclaim_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fake_reclaim_host.h"

#define BLOCK      (2 * MIB)
#define CHUNK      (128 * MIB)
#define AREA_GPA   (8 * GIB)
#define AREA_BYTES (2 * CHUNK)

struct area {
	struct fixture *f;
	struct gmem_area *area;
	struct gmem_region chunk; /* the first */
};

/* With blocks [0, 4) plugged and touched. */
static struct area add_area(struct fixture *f, const struct gmem_backing *backing)
{
	const struct gmem_extent extent = { AREA_GPA, AREA_BYTES, BLOCK };
	struct area area = { .f = f };
	struct gmem_region regions[3];

	assert_int_equal(gmem_add_area(f->memory, &extent, backing, &area.area, NULL), 0);
	assert_int_equal(gmem_plug(area.area, AREA_GPA, 4 * BLOCK), 0);
	assert_int_equal(gmem_list_regions(f->memory, regions, 3), 3);
	area.chunk = regions[2];
	touch(f, AREA_GPA, 4 * BLOCK);
	return area;
}

static struct reclaim_outcome release_as(struct area *area, enum reclaim_source source,
                                         size_t first, size_t count)
{
	struct reclaim_range range = { AREA_GPA + first * BLOCK, count * BLOCK };
	struct reclaim_outcome outcome;

	assert_int_equal(reclaim_release(area->f->reclaim, source, &range, 1, &outcome), 0);
	assert_true(outcome.bytes_released + outcome.bytes_lazy + outcome.bytes_absent +
	                    outcome.bytes_refused ==
	            count * BLOCK);
	return outcome;
}

static int unplug(struct area *area, size_t first, size_t count)
{
	return gmem_unplug(area->area, AREA_GPA + first * BLOCK, count * BLOCK);
}

/* Whatever the mapping's rights are. */
static uint64_t resident_bytes(const struct area *area, size_t first, size_t count)
{
	uint8_t pages[16 * BLOCK / PAGE];
	uint64_t bytes = 0;

	assert_int_equal(mincore(area->chunk.hva + first * BLOCK, count * BLOCK, pages), 0);
	for (size_t i = 0; i < count * BLOCK / PAGE; i++)
		bytes += (pages[i] & 1) * PAGE;
	return bytes;
}

static uint64_t file_bytes(const struct area *area)
{
	struct stat status;

	assert_int_equal(fstat(area->chunk.fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void test_unplugged_goes(void **state)
{
	struct area area = add_area(*state, NULL);
	struct reclaim_outcome outcome;
	struct reclaim_range ranges[2];

	assert_int_equal(unplug(&area, 1, 2), 0);
	/* Nobody else's. */
	outcome = release_as(&area, RECLAIM_REPORT, 1, 2);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_OUTSIDE], 2 * BLOCK);
	assert_int_equal(outcome.syscalls, 0);
	outcome = later(area.f, AREA_GPA + BLOCK, BLOCK);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_OUTSIDE], BLOCK);
	assert_int_equal(resident_bytes(&area, 0, 4), 4 * BLOCK);
	/* Nor is what is plugged anybody's to unplug, or what is no area's. */
	outcome = release_as(&area, RECLAIM_UNPLUG, 0, 1);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_OUTSIDE], BLOCK);
	touch(area.f, 0, BLOCK);
	ranges[0] = (struct reclaim_range){ 0, BLOCK };
	assert_int_equal(reclaim_release(area.f->reclaim, RECLAIM_UNPLUG, ranges, 1, &outcome), 0);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_OUTSIDE], BLOCK);
	assert_int_equal(release_calls(), 0);
	/* Two ranges of one run are one call. */
	ranges[0] = (struct reclaim_range){ AREA_GPA + 2 * BLOCK, BLOCK };
	ranges[1] = (struct reclaim_range){ AREA_GPA + BLOCK, BLOCK };
	assert_int_equal(reclaim_release(area.f->reclaim, RECLAIM_UNPLUG, ranges, 2, &outcome), 0);
	assert_int_equal(outcome.bytes_released, 2 * BLOCK);
	assert_int_equal(outcome.syscalls, 1);
	assert_int_equal(resident_bytes(&area, 0, 4), 2 * BLOCK);
	/* A range that covers both kinds: to each its own. */
	outcome = release_as(&area, RECLAIM_REPORT, 0, 4);
	assert_int_equal(outcome.bytes_released, 2 * BLOCK);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_OUTSIDE], 2 * BLOCK);
	gmem_trim(area.area);
	gmem_remove_area(area.area);
}

static void test_though_inhibited(void **state)
{
	struct area area = add_area(*state, NULL);

	reclaim_inhibit(area.f->reclaim);
	assert_int_equal(unplug(&area, 0, 4), 0);
	assert_int_equal(release_as(&area, RECLAIM_UNPLUG, 0, 4).bytes_released, 4 * BLOCK);
	reclaim_allow(area.f->reclaim);
	gmem_remove_area(area.area);
}

static void test_though_locked(void **state)
{
	static const struct gmem_backing locked = { .lock = true };
	struct area area = add_area(*state, &locked);

	assert_int_equal(release_as(&area, RECLAIM_REPORT, 0, 1).refused[RECLAIM_REFUSED_LOCKED],
	                 BLOCK);
	assert_int_equal(unplug(&area, 0, 3), 0);
	assert_int_equal(release_as(&area, RECLAIM_UNPLUG, 0, 3).bytes_released, 3 * BLOCK);
	assert_int_equal(fake_reclaim_host.munlock_calls, 1);
	assert_int_equal(resident_bytes(&area, 0, 4), BLOCK);
	gmem_remove_area(area.area);
}

/* The hole is punched by the file: the mapping has no rights. */
static void test_shared(void **state)
{
	static const struct gmem_backing memfd = { .kind = GMEM_MEMFD };
	struct area area = add_area(*state, &memfd);
	struct reclaim_outcome outcome;

	assert_int_equal(file_bytes(&area), 4 * BLOCK);
	assert_int_equal(unplug(&area, 1, 2), 0);
	outcome = release_as(&area, RECLAIM_UNPLUG, 1, 2);
	assert_int_equal(outcome.bytes_released, 2 * BLOCK);
	assert_int_equal(outcome.syscalls, 1);
	assert_int_equal(fake_reclaim_host.punch_calls, 1);
	assert_int_equal(file_bytes(&area), 2 * BLOCK);
	/* What is plugged goes as it always did. */
	assert_int_equal(release_as(&area, RECLAIM_REPORT, 0, 1).bytes_released, BLOCK);
	assert_int_equal(fake_reclaim_host.punch_calls, 1);
	assert_int_equal(file_bytes(&area), BLOCK);
	/* In the second chunk the file's place is another. */
	assert_int_equal(gmem_plug(area.area, AREA_GPA + CHUNK, BLOCK), 0);
	touch(area.f, AREA_GPA + CHUNK, BLOCK);
	assert_int_equal(file_bytes(&area), 2 * BLOCK);
	assert_int_equal(unplug(&area, CHUNK / BLOCK, 1), 0);
	assert_int_equal(release_as(&area, RECLAIM_UNPLUG, CHUNK / BLOCK, 1).bytes_released, BLOCK);
	assert_int_equal(file_bytes(&area), BLOCK);
	gmem_remove_area(area.area);
}

/* The host fails: it is said, what did not go is there, and the owner may have it back. */
static void test_host_fails(void **state)
{
	static const struct gmem_backing backings[] = { { .kind = GMEM_ANON },
		                                        { .kind = GMEM_MEMFD } };

	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		struct area area = add_area(*state, &backings[i]);
		struct reclaim_range range = { AREA_GPA, 2 * BLOCK };
		struct reclaim_outcome outcome;
		struct reclaim_stats stats;
		uint8_t byte;

		assert_int_equal(unplug(&area, 0, 2), 0);
		fake_reclaim_host_reset();
		fake_reclaim_host.fail_count = 2;
		fake_reclaim_host.fail_errno = ENOMEM;
		assert_int_equal(
			reclaim_release(area.f->reclaim, RECLAIM_UNPLUG, &range, 1, &outcome),
			-ENOMEM);
		assert_int_equal(outcome.refused[RECLAIM_REFUSED_HOST], 2 * BLOCK);
		reclaim_query(area.f->reclaim, &stats);
		assert_adds_up(&stats.sources[RECLAIM_UNPLUG]);
		assert_int_equal(gmem_plug_again(area.area, AREA_GPA, 2 * BLOCK), 0);
		assert_int_equal(gmem_read(area.f->memory, AREA_GPA + BLOCK, &byte, 1), 0);
		assert_int_equal(byte, 0x5a);
		gmem_remove_area(area.area);
	}
}

/* What was remembered of a block goes with it. */
static void test_nothing_is_remembered(void **state)
{
	struct area area = add_area(*state, &(struct gmem_backing){ .thp = true });
	struct reclaim_stats before, after;

	/* A part that waits, and a block that was released and would count as faulted back. */
	later(area.f, AREA_GPA, MIB);
	reclaim_query(area.f->reclaim, &before);
	assert_int_equal(before.deferred_bytes, MIB);
	assert_int_equal(release_as(&area, RECLAIM_REPORT, 1, 1).bytes_released, BLOCK);
	assert_int_equal(unplug(&area, 0, 2), 0);
	/* Between the two, what waits is not taken. */
	assert_int_equal(release_deferred(area.f).bytes_released, 0);
	assert_int_equal(resident_bytes(&area, 0, 1), BLOCK);
	release_as(&area, RECLAIM_UNPLUG, 0, 2);
	gmem_trim(area.area);
	assert_int_equal(gmem_plug(area.area, AREA_GPA, 2 * BLOCK), 0);
	touch(area.f, AREA_GPA, 2 * BLOCK);
	reclaim_query(area.f->reclaim, &after);
	assert_int_equal(after.deferred_bytes, 0);
	assert_int_equal(after.refault_bytes, 0);
	assert_int_equal(release_deferred(area.f).bytes_released, 0);
	gmem_remove_area(area.area);
}

/* A guard for what was there (reclaim_set_poison) does not fill what comes. */
static void test_new_blocks_hold_no_poison(void **state)
{
	struct area area = add_area(*state, &(struct gmem_backing){ .thp = true });
	struct error err = ERROR_INIT;
	uint8_t byte = 1;

	if (reclaim_set_poison(area.f->reclaim, 0xaaaaaaaa, &err) < 0) {
		print_message("SKIP %s\n", err.message);
		gmem_remove_area(area.area);
		return;
	}
	assert_int_equal(release_as(&area, RECLAIM_REPORT, 0, 2).bytes_released, 2 * BLOCK);
	assert_int_equal(gmem_read(area.f->memory, AREA_GPA, &byte, 1), 0);
	assert_int_equal(byte, 0xaa);
	assert_int_equal(release_as(&area, RECLAIM_REPORT, 0, 1).bytes_released, BLOCK);
	assert_int_equal(unplug(&area, 0, 2), 0);
	release_as(&area, RECLAIM_UNPLUG, 0, 2);
	gmem_trim(area.area);
	assert_int_equal(gmem_plug(area.area, AREA_GPA, 2 * BLOCK), 0);
	for (gpa_t offset = 0; offset < 2 * BLOCK; offset += BLOCK) {
		assert_int_equal(gmem_read(area.f->memory, AREA_GPA + offset, &byte, 1), 0);
		assert_int_equal(byte, 0);
	}
	gmem_remove_area(area.area);
}

static void test_looks_and_resets(void **state)
{
	struct area area = add_area(*state, NULL);
	struct reclaim_stats stats;
	uint64_t before_bytes;

	reclaim_query(area.f->reclaim, &stats);
	assert_int_equal(stats.total_bytes, LOW_BYTES + HIGH_BYTES + 4 * BLOCK);
	assert_int_equal(stats.looked_bytes, stats.total_bytes);
	assert_int_equal(stats.resident_bytes, 4 * BLOCK);
	/* Not released yet, and guest memory no more. */
	assert_int_equal(unplug(&area, 1, 1), 0);
	reclaim_query(area.f->reclaim, &stats);
	assert_int_equal(stats.total_bytes, LOW_BYTES + HIGH_BYTES + 3 * BLOCK);
	assert_int_equal(stats.resident_bytes, 3 * BLOCK);
	before_bytes = stats.sources[RECLAIM_RESET].bytes_in;
	assert_int_equal(reclaim_release_all(area.f->reclaim, RECLAIM_RESET), 0);
	reclaim_query(area.f->reclaim, &stats);
	assert_adds_up(&stats.sources[RECLAIM_RESET]);
	assert_int_equal(stats.sources[RECLAIM_RESET].bytes_in - before_bytes,
	                 LOW_BYTES + HIGH_BYTES + 3 * BLOCK);
	assert_int_equal(stats.sources[RECLAIM_RESET].bytes_released, 3 * BLOCK);
	assert_int_equal(stats.sources[RECLAIM_RESET].bytes_refused, 0);
	assert_int_equal(stats.resident_bytes, 0);
	gmem_remove_area(area.area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unplugged_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_though_inhibited, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_though_locked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_host_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_is_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_blocks_hold_no_poison, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_looks_and_resets, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
