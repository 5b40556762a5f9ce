/* SPDX-License-Identifier: Apache-2.0 */
/* Reclaim on command, with a driver that gives, hesitates, allocates, and goes. */
/* fakes: balloon_machine fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "balloon_machine.h"

#define STATS_GPA  (BUFFER_GPA + 64 * KIB)
#define KEEP_BYTES (8 * MIB)

/* A guest: pages from 0 up go into the balloon, statistics say what is left of free_bytes. */
struct guest {
	struct fixture *f;
	uint64_t free_bytes; /* with an empty balloon */
	uint64_t given_pages;
	uint64_t most_pages; /* what it gives at most */
	bool silent;         /* tells no statistics */
};

static struct balloon_run_status run_of(struct fixture *f)
{
	struct balloon_run_status run;

	balloon_run_query(f->vm.balloon, &run);
	return run;
}

static void tell_stats(struct guest *guest)
{
	uint64_t given = guest->given_pages * PAGE;

	store_le16(hva(guest->f, STATS_GPA), VIRTIO_BALLOON_S_MEMFREE);
	store_le64(hva(guest->f, STATS_GPA + 2),
	           guest->free_bytes - min_u64(given, guest->free_bytes));
	add_pfns(guest->f, STATS, STATS_GPA, 10);
	fake_driver_kick(&guest->f->driver, STATS);
}

/* What a driver does in a moment: some pages towards the target, statistics if asked. */
static void drive(struct guest *guest)
{
	uint64_t target = min_u64(read_config(guest->f, CONFIG(num_pages)), guest->most_pages);
	bool inflates = guest->given_pages < target;
	uint32_t head, size_bytes;

	if (guest->given_pages != target) {
		uint64_t step = min_u64(
			inflates ? target - guest->given_pages : guest->given_pages - target, 512);
		uint64_t first = inflates ? guest->given_pages : guest->given_pages - step;

		store_pfns(guest->f, BUFFER_GPA, (uint32_t)first, 1, (unsigned int)step);
		add_pfns(guest->f, inflates ? INFLATE : DEFLATE, BUFFER_GPA, (uint32_t)step * 4);
		fake_driver_kick(&guest->f->driver, inflates ? INFLATE : DEFLATE);
		(void)take_all_used(guest->f, inflates ? INFLATE : DEFLATE);
		guest->given_pages = inflates ? guest->given_pages + step : first;
		write_config(guest->f, CONFIG(actual), (uint32_t)guest->given_pages);
	}
	if (!guest->silent && fake_driver_take_used(&guest->f->driver, STATS, &head, &size_bytes))
		tell_stats(guest);
}

/* Drives until the run is over. */
static void drive_to_the_end(struct guest *guest)
{
	for (unsigned int tries = 0; tries < 20000; tries++) {
		if (run_of(guest->f).phase == BALLOON_RUN_IDLE)
			return;
		drive(guest);
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("it goes on and on: phase %d", run_of(guest->f).phase);
}

static struct guest make_guest(struct fixture *f)
{
	struct guest guest = { .f = f, .free_bytes = 48 * MIB, .most_pages = UINT32_MAX };

	start(f, TELL | FEATURE(STATS_VQ) | FEATURE(REPORTING));
	touch(f, 0, 48 * MIB);
	tell_stats(&guest);
	return guest;
}

static void start_run(struct fixture *f)
{
	struct error err = ERROR_INIT;
	uint64_t serial = 0;

	assert_int_equal(balloon_run_start(f->vm.balloon, KEEP_BYTES, &serial, &err), 0);
	assert_true(serial > 0);
}

static void test_a_run(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);
	struct balloon_run_status run;
	uint64_t serial;

	start_run(f);
	assert_int_equal(balloon_run_start(f->vm.balloon, 0, &serial, NULL), -EBUSY);
	drive_to_the_end(&guest);
	run = run_of(f);
	assert_string_equal(balloon_run_end_name(run.end), "done");
	assert_int_equal(run.goal_bytes, 40 * MIB);
	assert_true(run.taken_bytes > 39 * MIB && run.taken_bytes <= 40 * MIB);
	assert_true(run.resident_before_bytes - run.resident_after_bytes > 39 * MIB);
	assert_int_equal(run.resident_after_bytes, reclaim_resident_bytes(f->vm.reclaim));
	assert_true(run.inflating_ns > 0 && run.inflating_ns <= run.duration_ns);
	assert_int_equal(fake_vm.events[VM_EVENT_RECLAIM_ENDED], 1);
	assert_int_equal(fake_vm.event_values[VM_EVENT_RECLAIM_ENDED],
	                 run.resident_before_bytes - run.resident_after_bytes);
	/* The guest has it all again, and may use it. */
	assert_int_equal(status(f).actual_bytes, 0);
	assert_int_equal(status(f).target_bytes, 0);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, run.taken_bytes);
	/* Another one finds nothing new, and says so. */
	start_run(f);
	drive_to_the_end(&guest);
	assert_int_equal(run_of(f).serial, 2);
	assert_int_equal(run_of(f).end, BALLOON_RUN_DONE);
}

static void test_what_the_user_took_stays(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	assert_int_equal(balloon_set_target(f->vm.balloon, 16 * MIB, NULL), 0);
	while (status(f).actual_bytes < 16 * MIB)
		drive(&guest);
	start_run(f);
	drive_to_the_end(&guest);
	assert_int_equal(run_of(f).end, BALLOON_RUN_DONE);
	assert_int_equal(run_of(f).goal_bytes, 24 * MIB);
	assert_int_equal(status(f).actual_bytes, 16 * MIB);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 16 * MIB / PAGE);
}

/* Half of what is above the reserve before anybody has looked again. */
static void test_a_guest_that_says_nothing_more(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	start_run(f);
	while (run_of(f).phase == BALLOON_RUN_ASKING)
		drive(&guest);
	guest.silent = true;
	drive_to_the_end(&guest);
	assert_int_equal(run_of(f).end, BALLOON_RUN_STALLED);
	assert_true(run_of(f).taken_bytes <= 20 * MIB);
	assert_int_equal(status(f).actual_bytes, 0);
}

static void test_a_guest_that_allocates(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	start_run(f);
	while (run_of(f).phase == BALLOON_RUN_ASKING)
		drive(&guest);
	guest.free_bytes = 20 * MIB;
	drive_to_the_end(&guest);
	assert_true(run_of(f).end == BALLOON_RUN_ALLOCATING ||
	            run_of(f).end == BALLOON_RUN_RESERVE);
	assert_int_equal(status(f).actual_bytes, 0);
}

static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	guest.most_pages = 512; /* it would take a while to find that it gives no more */
	start_run(f);
	balloon_run_cancel(f->vm.balloon, 77); /* not this one */
	while (status(f).actual_bytes < 2 * MIB)
		drive(&guest);
	balloon_run_cancel(f->vm.balloon, run_of(f).serial);
	drive_to_the_end(&guest);
	assert_int_equal(run_of(f).end, BALLOON_RUN_CANCELLED);
	assert_int_equal(status(f).actual_bytes, 0);
	assert_true(run_of(f).duration_ns < 3 * NS_PER_S);
}

static void test_another_target_overrules(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	start_run(f);
	while (status(f).actual_bytes < 2 * MIB)
		drive(&guest);
	/* What is queried meanwhile is the user's. */
	assert_int_equal(status(f).target_bytes, 0);
	assert_int_equal(balloon_set_target(f->vm.balloon, MIB, NULL), 0);
	drive_to_the_end(&guest);
	assert_int_equal(run_of(f).end, BALLOON_RUN_OVERRULED);
	assert_int_equal(read_config(f, CONFIG(num_pages)), MIB / PAGE);
}

static void test_a_driver_that_goes(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	start_run(f);
	while (status(f).actual_bytes < 2 * MIB)
		drive(&guest);
	fake_driver_reset(&f->driver);
	assert_int_equal(run_of(f).phase, BALLOON_RUN_IDLE);
	assert_int_equal(run_of(f).end, BALLOON_RUN_DRIVER_GONE);
	assert_int_equal(fake_vm.events[VM_EVENT_RECLAIM_ENDED], 1);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 0);
	/* And at once: before the run has even begun, or while it deflates. */
	guest = make_guest(f);
	start_run(f);
	f->device->reset(f->device);
	assert_int_equal(run_of(f).end, BALLOON_RUN_DRIVER_GONE);
	guest = make_guest(f);
	start_run(f);
	while (run_of(f).phase != BALLOON_RUN_DEFLATING)
		drive(&guest);
	fake_driver_reset(&f->driver);
	assert_int_equal(run_of(f).phase, BALLOON_RUN_IDLE);
	assert_int_equal(run_of(f).end, BALLOON_RUN_DONE);
}

static void test_destroyed_under_way(void **state)
{
	struct fixture *f = *state;
	struct guest guest = make_guest(f);

	start_run(f);
	while (status(f).actual_bytes < 2 * MIB)
		drive(&guest);
	/* tear_down does the rest */
}

static void test_what_cannot_start(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	uint64_t serial;

	create(f);
	assert_int_equal(balloon_run_start(f->vm.balloon, 0, &serial, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "no balloon driver"));
	start(f, TELL);
	assert_int_equal(balloon_run_start(f->vm.balloon, 0, &serial, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "statistics"));
	/* Zeroes (init_on_free) are written just as any other value is. */
	for (uint32_t poison = 0; poison < 2; poison++) {
		fake_driver_reset(&f->driver);
		write_config(f, CONFIG(poison_val), poison);
		start(f, TELL | FEATURE(STATS_VQ) | FEATURE(PAGE_POISON));
		assert_int_equal(balloon_run_start(f->vm.balloon, 0, &serial, &err), -ENOTSUP);
		assert_non_null(strstr(err.message, "writes every page that it frees"));
		assert_non_null(strstr(err.message, "reporting, or set a balloon size)"));
	}
	fake_driver_reset(&f->driver);
	start(f, TELL | FEATURE(STATS_VQ));
	assert_int_equal(balloon_run_start(f->vm.balloon, RAM_BYTES + 1, &serial, &err), -EINVAL);
	assert_non_null(strstr(err.message, "64 MiB"));
	assert_int_equal(run_of(f).serial, 0);
	assert_string_equal(balloon_run_phase_name(run_of(f).phase), "idle");
	/* The default fits a small guest too: all of it is reserve. */
	assert_int_equal(balloon_run_start(f->vm.balloon, BALLOON_KEEP_DEFAULT, &serial, &err), 0);
	assert_int_equal(run_of(f).keep_bytes, RAM_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_a_run),
		TEST(test_what_the_user_took_stays),
		TEST(test_a_guest_that_says_nothing_more),
		TEST(test_a_guest_that_allocates),
		TEST(test_cancelled),
		TEST(test_another_target_overrules),
		TEST(test_a_driver_that_goes),
		TEST(test_destroyed_under_way),
		TEST(test_what_cannot_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
