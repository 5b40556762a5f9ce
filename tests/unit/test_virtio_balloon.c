/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon, driven by a fake driver on real memory and with the real engine behind it. */
/* fakes: fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../devices/device_table.h"
#include "ebb/balloon.h"
#include "ebb/bytes.h"
#include "ebb/log.h"
#include "ebb/reclaim.h"
#include "fake_reclaim_host.h"
#include "fake_virtio_driver.h"
#include "fake_vm.h"

#define RAM_BYTES     (64 * MIB)
#define RINGS_GPA     (60 * MIB)
#define BUFFER_GPA    (56 * MIB) /* what requests lie in */
#define PAGE          PAGE_4K_BYTES
#define FEATURE(name) (UINT64_C(1) << VIRTIO_BALLOON_F_##name)
#define TELL          FEATURE(MUST_TELL_HOST)
#define ALL \
	(FEATURE(STATS_VQ) | FEATURE(DEFLATE_ON_OOM) | FEATURE(PAGE_POISON) | FEATURE(REPORTING))

enum { INFLATE = 0, DEFLATE = 1 };

struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_reclaim_host_reset();
	fake_transport_clear();
	fake_vm_clear();
	f->vm.config = &f->vm_config;
	list_init(&f->vm.devices);
	assert_int_equal(guest_memory_create(&f->vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->vm.memory, 0, RAM_BYTES, true, NULL), 0);
	assert_int_equal(reclaim_create(f->vm.memory, &f->vm.reclaim, NULL), 0);
	assert_int_equal(event_loop_create("reclaim", &f->vm.reclaim_loop, NULL), 0);
	f->config.class = &virtio_balloon_class;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_balloon_class.destroy(f->device);
	assert_null(f->vm.balloon);
	event_loop_destroy(f->vm.reclaim_loop);
	reclaim_destroy(f->vm.reclaim);
	guest_memory_destroy(f->vm.memory);
	free(f);
	return 0;
}

static void create(struct fixture *f)
{
	struct error err = ERROR_INIT;

	assert_int_equal(virtio_balloon_class.create(&f->vm, &f->config, &f->device, &err), 0);
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
}

static void start(struct fixture *f, uint64_t features)
{
	unsigned int queues =
		2 + !!(features & FEATURE(STATS_VQ)) + !!(features & FEATURE(REPORTING));

	if (!f->device)
		create(f);
	assert_true(fake_driver_start(&f->driver, features, queues, 128));
}

static uint8_t *hva(struct fixture *f, gpa_t gpa)
{
	return gmem_span(f->vm.memory, gpa, 1);
}

static void touch(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	for (uint64_t offset = 0; offset < size_bytes; offset += PAGE)
		*hva(f, gpa + offset) = 0x5a;
}

static struct reclaim_source_stats stats_of(struct fixture *f, enum reclaim_source source)
{
	struct reclaim_stats stats;

	reclaim_query(f->vm.reclaim, &stats);
	return stats.sources[source];
}

static struct balloon_status status(struct fixture *f)
{
	struct balloon_status status;

	balloon_query(f->vm.balloon, &status);
	return status;
}

static void store_pfns(struct fixture *f, gpa_t at, uint32_t first, int step, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		store_le32(hva(f, at + i * 4), first + (uint32_t)((int)i * step));
}

static void add_pfns(struct fixture *f, unsigned int queue, gpa_t at, uint32_t size_bytes)
{
	fake_driver_add(&f->driver, queue, &(struct fake_driver_buffer){ at, size_bytes, false },
	                1);
}

static unsigned int take_all_used(struct fixture *f, unsigned int queue)
{
	unsigned int count = 0;
	uint32_t head, size_bytes;

	while (fake_driver_take_used(&f->driver, queue, &head, &size_bytes)) {
		assert_int_equal(size_bytes, 0);
		count++;
	}
	return count;
}

static unsigned int release_calls(void)
{
	return fake_reclaim_host.madvise_calls + fake_reclaim_host.vector_calls;
}

/* --- inflate and deflate --- */

static void test_inflate_descending(void **state)
{
	struct fixture *f = *state;

	start(f, ALL);
	touch(f, 0, 2 * MIB);
	store_pfns(f, BUFFER_GPA, 255, -1, 256);
	add_pfns(f, INFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).ranges_in, 256);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).ranges_released, 1);
	assert_int_equal(*hva(f, 0), 0);
	assert_int_equal(*hva(f, MIB), 0x5a);
}

static void test_inflate_requests_are_one_batch(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, 16 * MIB);
	for (unsigned int i = 0; i < 16; i++) {
		store_pfns(f, BUFFER_GPA + i * 1024, (16 - i) * 256 - 1, -1, 256);
		add_pfns(f, INFLATE, BUFFER_GPA + i * 1024, 1024);
	}
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 16);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 16 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).requests, 1);
}

static void test_inflate_outside_ram(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, PAGE);
	store_pfns(f, BUFFER_GPA, 0, 0, 1);
	store_pfns(f, BUFFER_GPA + 4, (uint32_t)(RAM_BYTES / PAGE), 1, 1);
	store_pfns(f, BUFFER_GPA + 8, UINT32_MAX, 0, 1);
	add_pfns(f, INFLATE, BUFFER_GPA, 12);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, PAGE);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_refused, 2 * PAGE);
}

static void test_inflate_more_than_a_request_may_hold(void **state)
{
	const uint32_t pfns = 20000;
	struct fixture *f = *state;
	struct reclaim_source_stats stats;

	start(f, 0);
	store_pfns(f, BUFFER_GPA, 0, 0, pfns);
	add_pfns(f, INFLATE, BUFFER_GPA, pfns * 4 + 3);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	stats = stats_of(f, RECLAIM_INFLATE);
	assert_int_equal(stats.bytes_in, pfns * PAGE);
	assert_int_equal(stats.bytes_refused, (pfns - 16384) * PAGE);
}

/* Chains as long as they may be are not all served in one turn, in which nobody else gets his. */
static void test_turns_are_bounded(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	store_pfns(f, BUFFER_GPA, 0, 0, 16384);
	for (unsigned int i = 0; i < 3; i++)
		add_pfns(f, INFLATE, BUFFER_GPA, 16384 * 4);
	fake_driver_kick(&f->driver, INFLATE);
	while (take_all_used(f, INFLATE))
		fake_driver_settle(&f->driver);
	assert_int_equal(f->driver.queues[INFLATE].used_index, 3);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 3);
}

static void test_inflate_empty_and_odd(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 3 };
	struct fixture *f = *state;

	start(f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		add_pfns(f, INFLATE, BUFFER_GPA, sizes[i]);
	/* Only writable buffers: nothing to read. */
	fake_driver_add(&f->driver, INFLATE, &(struct fake_driver_buffer){ BUFFER_GPA, 64, true },
	                1);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 4);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).requests, 0);
	assert_true(status(f).driver_ready);
}

static void test_inflate_split_over_buffers(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = { { BUFFER_GPA, 2, false },
		                                      { BUFFER_GPA + 2, 5, false },
		                                      { BUFFER_GPA + 7, 1, false } };

	start(f, 0);
	touch(f, 0, 8 * PAGE);
	store_pfns(f, BUFFER_GPA, 3, 2, 2);
	fake_driver_add(&f->driver, INFLATE, buffers, 3);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * PAGE);
	assert_int_equal(*hva(f, 3 * PAGE), 0);
	assert_int_equal(*hva(f, 5 * PAGE), 0);
	assert_int_equal(*hva(f, 4 * PAGE), 0x5a);
}

static void test_deflate_releases_nothing(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, MIB);
	store_pfns(f, BUFFER_GPA, 0, 1, 256);
	add_pfns(f, DEFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, DEFLATE);
	assert_int_equal(take_all_used(f, DEFLATE), 1);
	assert_int_equal(fake_transport.used_notifications[DEFLATE], 1);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(*hva(f, 0), 0x5a);
}

/* --- putting off --- */

static void inflate_mib(struct fixture *f, unsigned int mib)
{
	store_pfns(f, BUFFER_GPA, (mib + 1) * 256 - 1, -1, 256);
	add_pfns(f, INFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
}

static void test_inflate_waits_for_whole_blocks(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 32 * MIB);
	for (unsigned int mib = 32; mib-- > 0;)
		inflate_mib(f, mib);
	assert_int_equal(release_calls(), 2);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 32 * MIB);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 32);
}

static void test_deflate_waits_for_the_release(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	inflate_mib(f, 0);
	assert_int_equal(release_calls(), 0);
	store_pfns(f, BUFFER_GPA, 1, 1, 1);
	add_pfns(f, DEFLATE, BUFFER_GPA, 4);
	fake_driver_kick(&f->driver, DEFLATE);
	assert_int_equal(take_all_used(f, DEFLATE), 1);
	/* Nothing waits any more that could take the page away from its owner. */
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
	touch(f, PAGE, PAGE);
	inflate_mib(f, 1);
	fake_driver_reset(&f->driver);
	assert_int_equal(*hva(f, PAGE), 0x5a);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
}

static void test_rest_is_released_in_time(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	inflate_mib(f, 0);
	for (unsigned int tries = 0; tries < 5000; tries++) {
		if (stats_of(f, RECLAIM_INFLATE).bytes_released == MIB)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("it still waits");
}

/* --- queue numbers --- */

static void check_queue_numbers(struct fixture *f, uint64_t features)
{
	bool has_stats = features & FEATURE(STATS_VQ),
	     has_reporting = features & FEATURE(REPORTING);
	unsigned int reporting = has_stats ? 3 : 2;
	uint64_t inflated = stats_of(f, RECLAIM_INFLATE).bytes_released;
	uint64_t reported = stats_of(f, RECLAIM_REPORT).bytes_released;

	start(f, features);
	touch(f, 0, 4 * MIB);
	store_pfns(f, BUFFER_GPA, 0, 1, 1);
	add_pfns(f, INFLATE, BUFFER_GPA, 4);
	fake_driver_kick(&f->driver, INFLATE);
	inflated += PAGE;
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, inflated);
	if (has_stats) {
		store_le16(hva(f, BUFFER_GPA), VIRTIO_BALLOON_S_MEMFREE);
		store_le64(hva(f, BUFFER_GPA + 2), 12345);
		add_pfns(f, 2, BUFFER_GPA, 10);
		fake_driver_kick(&f->driver, 2);
		assert_int_equal(take_all_used(f, 2), 0); /* kept */
		assert_int_equal(status(f).stats[VIRTIO_BALLOON_S_MEMFREE], 12345);
	}
	if (has_reporting) {
		fake_driver_add(&f->driver, reporting,
		                &(struct fake_driver_buffer){ 2 * MIB, 2 * MIB, true }, 1);
		fake_driver_kick(&f->driver, reporting);
		assert_int_equal(take_all_used(f, reporting), 1);
		reported += 2 * MIB;
	}
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, reported);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, inflated);
	assert_int_equal(status(f).negotiated_features & ALL, features);
	fake_driver_reset(&f->driver);
}

static void test_queue_numbers_follow_features(void **state)
{
	struct fixture *f = *state;

	for (unsigned int combination = 0; combination < 16; combination++)
		check_queue_numbers(f, (combination & 1 ? FEATURE(STATS_VQ) : 0) |
		                               (combination & 2 ? FEATURE(REPORTING) : 0) |
		                               (combination & 4 ? FEATURE(PAGE_POISON) : 0) |
		                               (combination & 8 ? FEATURE(DEFLATE_ON_OOM) : 0));
}

static void test_queue_without_a_role(void **state)
{
	struct fixture *f = *state;

	create(f);
	assert_true(fake_driver_start(&f->driver, FEATURE(REPORTING), 4, 128));
	touch(f, 2 * MIB, 2 * MIB);
	fake_driver_add(&f->driver, 3, &(struct fake_driver_buffer){ 2 * MIB, 2 * MIB, true }, 1);
	fake_driver_kick(&f->driver, 3);
	assert_int_equal(take_all_used(f, 3), 0);
	assert_int_equal(*hva(f, 2 * MIB), 0x5a);
}

/* --- reporting and poison --- */

static void test_report_is_one_call(void **state)
{
	struct fake_driver_buffer buffers[32];
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 56 * MIB);
	for (unsigned int i = 0; i < 13; i++)
		buffers[i] =
			(struct fake_driver_buffer){ i * 2 * PAGE_2M_BYTES, PAGE_2M_BYTES, true };
	fake_driver_add(&f->driver, 2, buffers, 13);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 1);
	assert_int_equal(fake_transport.used_notifications[2], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 26 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).ranges_in, 13);
	for (unsigned int i = 0; i < 13; i++) {
		assert_int_equal(*hva(f, i * 2 * PAGE_2M_BYTES), 0);
		assert_int_equal(*hva(f, (i * 2 + 1) * PAGE_2M_BYTES), 0x5a);
	}
}

static void test_reports_of_single_buffers_are_one_batch(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 32 * MIB);
	for (unsigned int i = 0; i < 16; i++)
		fake_driver_add(
			&f->driver, 2,
			&(struct fake_driver_buffer){ i * PAGE_2M_BYTES, PAGE_2M_BYTES, true }, 1);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 16);
	assert_int_equal(fake_transport.used_notifications[2], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 32 * MIB);
}

/* A driver's own memory of requests must not be released behind its back. */
static void test_readable_buffers_are_no_reports(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = { { 0, MIB, false }, { 2 * MIB, MIB, true } };

	start(f, FEATURE(REPORTING));
	touch(f, 0, 4 * MIB);
	fake_driver_add(&f->driver, 2, buffers, 2);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(*hva(f, 0), 0x5a);
	assert_int_equal(*hva(f, 2 * MIB), 0);
}

static void write_config(struct fixture *f, size_t offset, uint32_t value)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	virtio_config_write(f->driver.vdev, offset, bytes, sizeof(bytes));
}

static uint32_t read_config(struct fixture *f, size_t offset)
{
	uint8_t bytes[4];

	virtio_config_read(f->driver.vdev, offset, bytes, sizeof(bytes));
	return load_le32(bytes);
}

#define CONFIG(field) offsetof(struct virtio_balloon_config, field)

static void report_with_poison(struct fixture *f, uint64_t features, uint32_t poison, bool released)
{
	create(f);
	write_config(f, CONFIG(poison_val), poison);
	start(f, FEATURE(REPORTING) | features);
	touch(f, 2 * MIB, 2 * MIB);
	fake_driver_add(&f->driver, 2, &(struct fake_driver_buffer){ 2 * MIB, 2 * MIB, true }, 1);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 1);
	assert_int_equal(*hva(f, 2 * MIB), released ? 0 : 0x5a);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_refused, released ? 0 : 2 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_in, 2 * MIB);
}

static void test_poison_keeps_reports(void **state)
{
	report_with_poison(*state, FEATURE(PAGE_POISON), 0xaaaaaaaa, false);
}

static void test_poison_of_zero_releases(void **state)
{
	report_with_poison(*state, FEATURE(PAGE_POISON), 0, true);
}

static void test_poison_not_negotiated_releases(void **state)
{
	report_with_poison(*state, 0, 0xaaaaaaaa, true);
}

static void test_poison_ends_with_the_driver(void **state)
{
	struct fixture *f = *state;

	report_with_poison(f, FEATURE(PAGE_POISON), 0xaaaaaaaa, false);
	assert_int_equal(status(f).poison_value, 0xaaaaaaaa);
	fake_driver_reset(&f->driver);
	assert_int_equal(status(f).poison_value, 0);
}

/* However often a driver comes and goes. */
static void test_poison_does_not_flood_the_log(void **state)
{
	struct fixture *f = *state;
	unsigned int lines = 0, drivers = 50;
	char text[16384];
	ssize_t got;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(log_create(fds[1], LOG_WARN, &f->vm.log), 0);
	create(f);
	for (unsigned int i = 0; i < drivers; i++) {
		write_config(f, CONFIG(poison_val), 0xaaaaaaaa);
		start(f, FEATURE(REPORTING) | FEATURE(PAGE_POISON));
		fake_driver_add(&f->driver, 2, &(struct fake_driver_buffer){ 2 * MIB, PAGE, true },
		                1);
		fake_driver_kick(&f->driver, 2);
		fake_driver_reset(&f->driver);
	}
	got = read(fds[0], text, sizeof(text));
	for (ssize_t i = 0; i < got; i++)
		lines += text[i] == '\n';
	assert_true(lines > 0 && lines < drivers / 2);
	log_destroy(f->vm.log);
	f->vm.log = NULL;
	close(fds[0]);
	close(fds[1]);
}

/* --- statistics --- */

#define STATS 2

static void add_stats(struct fixture *f, gpa_t at, uint64_t value, unsigned int tags,
                      uint32_t extra)
{
	for (unsigned int i = 0; i < tags; i++) {
		store_le16(hva(f, at + i * 10), (uint16_t)i);
		store_le64(hva(f, at + i * 10 + 2), value + i);
	}
	add_pfns(f, STATS, at, tags * 10 + extra);
}

static void test_stats_tags(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(STATS_VQ));
	assert_true(status(f).stats[0] == UINT64_MAX);
	assert_int_equal(status(f).stats_updated_ns, 0);
	add_stats(f, BUFFER_GPA, 1000, 10, 7); /* 10 tags and an odd end */
	fake_driver_kick(&f->driver, STATS);
	for (unsigned int tag = 0; tag < 10; tag++)
		assert_int_equal(status(f).stats[tag], 1000 + tag);
	assert_true(status(f).stats[10] == UINT64_MAX);
	assert_true(status(f).stats_updated_ns > 0);
	/* A newer message with 16 tags and 200 that nobody knows returns the older one. */
	add_stats(f, BUFFER_GPA + PAGE, 2000, 216, 0);
	fake_driver_kick(&f->driver, STATS);
	for (unsigned int tag = 0; tag < 16; tag++)
		assert_int_equal(status(f).stats[tag], 2000 + tag);
	assert_int_equal(take_all_used(f, STATS), 1);
	/* What a message leaves out is not told. */
	add_stats(f, BUFFER_GPA, 3000, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	assert_true(status(f).stats[1] == UINT64_MAX);
}

static void wait_for_used(struct fixture *f)
{
	uint32_t head, size_bytes;

	for (unsigned int tries = 0; tries < 2000; tries++) {
		if (fake_driver_take_used(&f->driver, STATS, &head, &size_bytes))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("statistics were not asked for");
}

static void test_stats_interval(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	create(f);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), -ENOTSUP);
	start(f, FEATURE(STATS_VQ));
	add_stats(f, BUFFER_GPA, 0, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	assert_int_equal(take_all_used(f, STATS), 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), 0);
	wait_for_used(f);
	assert_int_equal(status(f).stats_interval_s, 1);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 0, &err), 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, UINT64_MAX, &err), -EINVAL);
	/* With no chain in hand the timer has nothing to do. */
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 3600, &err), 0);
	fake_driver_settle(&f->driver);
	fake_driver_reset(&f->driver);
	start(f, 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), -ENOTSUP);
}

static void test_stats_interval_from_the_start(void **state)
{
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "stats-interval", { .number = 1 } };
	start(f, FEATURE(STATS_VQ));
	add_stats(f, BUFFER_GPA, 0, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	wait_for_used(f);
}

/* --- config space, target, reset --- */

static void test_target_and_actual(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	start(f, ALL);
	assert_int_equal(balloon_set_target(f->vm.balloon, 32 * MIB + 1, &err), 0);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 32 * MIB / PAGE);
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_int_equal(status(f).target_bytes, 32 * MIB);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES + 1, &err), -EINVAL);
	assert_non_null(strstr(err.message, "64 MiB"));
	assert_int_equal(status(f).target_bytes, 32 * MIB);
	write_config(f, CONFIG(actual), 100);
	assert_int_equal(status(f).actual_bytes, 100 * PAGE);
	assert_int_equal(fake_vm.events[VM_EVENT_BALLOON_CHANGE], 1);
	assert_int_equal(fake_vm.event_values[VM_EVENT_BALLOON_CHANGE], RAM_BYTES - 100 * PAGE);
	/* More than there is. */
	write_config(f, CONFIG(actual), UINT32_MAX);
	assert_int_equal(status(f).actual_bytes, RAM_BYTES);
	assert_int_equal(fake_vm.event_values[VM_EVENT_BALLOON_CHANGE], 0);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES, &err), 0);
}

static void test_driver_cannot_write_the_target(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	start(f, ALL);
	assert_int_equal(balloon_set_target(f->vm.balloon, MIB, &err), 0);
	write_config(f, CONFIG(num_pages), 77);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 256);
	write_config(f, CONFIG(free_page_hint_cmd_id), 77);
	assert_int_equal(read_config(f, CONFIG(free_page_hint_cmd_id)), 0);
	assert_int_equal(fake_vm.events[VM_EVENT_BALLOON_CHANGE], 0);
	/* Across a border: the driver's half stays, ours does not. */
	write_config(f, CONFIG(actual) - 2, 0xffffffff);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 256);
	assert_int_equal(status(f).actual_bytes, RAM_BYTES);
}

static void test_reset_empties_the_balloon(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "target", { .number = 8 * MIB } };
	start(f, ALL);
	assert_int_equal(status(f).target_bytes, 8 * MIB);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 8 * MIB / PAGE);
	write_config(f, CONFIG(actual), 2048);
	assert_int_equal(balloon_set_target(f->vm.balloon, 16 * MIB, &err), 0);
	/* The driver alone goes: the target stays. */
	fake_driver_reset(&f->driver);
	assert_int_equal(status(f).actual_bytes, 0);
	assert_int_equal(status(f).target_bytes, 16 * MIB);
	assert_false(status(f).driver_ready);
	assert_int_equal(fake_vm.event_values[VM_EVENT_BALLOON_CHANGE], RAM_BYTES);
	/* The machine goes: the target is the one it was started with. */
	start(f, ALL);
	f->device->reset(f->device);
	assert_int_equal(status(f).target_bytes, 8 * MIB);
	assert_int_equal(read_config(f, CONFIG(num_pages)), 8 * MIB / PAGE);
	assert_false(status(f).driver_ready);
}

/* Config space can be written before there is a driver in the sense of VIRTIO. */
static void test_reset_forgets_early_claims(void **state)
{
	struct fixture *f = *state;

	create(f);
	write_config(f, CONFIG(actual), 100);
	write_config(f, CONFIG(poison_val), 0xaaaaaaaa);
	f->device->reset(f->device);
	assert_int_equal(status(f).actual_bytes, 0);
	assert_int_equal(status(f).poison_value, 0);
	assert_int_equal(fake_vm.event_values[VM_EVENT_BALLOON_CHANGE], RAM_BYTES);
}

static void test_options_shape_the_offer(void **state)
{
	static const char *const keys[] = { "free-page-reporting", "page-poison",
		                            "deflate-on-oom" };
	static const uint64_t features[] = { FEATURE(REPORTING), FEATURE(PAGE_POISON),
		                             FEATURE(DEFLATE_ON_OOM) };
	struct fixture *f = *state;
	uint8_t byte;

	for (unsigned int off = 0; off < 8; off++) {
		uint64_t expected = ALL | TELL;

		f->config.property_count = 0;
		for (unsigned int i = 0; i < 3; i++) {
			if (!(off & 1u << i))
				continue;
			expected &= ~features[i];
			f->config.properties[f->config.property_count++] =
				(struct device_property){ keys[i], { .number = 0 } };
		}
		create(f);
		assert_int_equal(virtio_offered_features(f->driver.vdev, 0) & 0xffffff, expected);
		/* 16 bytes with the poison value, 8 without. */
		virtio_config_read(f->driver.vdev, 12, &byte, 1);
		assert_int_equal(byte, off & 2 ? 0xff : 0);
		virtio_config_read(f->driver.vdev, off & 2 ? 8 : 16, &byte, 1);
		assert_int_equal(byte, 0xff);
		virtio_balloon_class.destroy(f->device);
		f->device = NULL;
	}
}

static void test_create_refuses(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "target", { .number = GIB } };
	assert_int_equal(virtio_balloon_class.create(&f->vm, &f->config, &f->device, &err),
	                 -EINVAL);
	assert_non_null(strstr(err.message, "1024 MiB"));
	f->config.property_count = 0;
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(virtio_balloon_class.create(&f->vm, &f->config, &f->device, &err),
	                 -ENOSPC);
	assert_null(f->device);
	assert_null(f->vm.balloon);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(balloon_feature_name(5), "free-page-reporting");
	assert_null(balloon_feature_name(6));
	assert_null(balloon_feature_name(UINT32_MAX));
	assert_string_equal(balloon_stat_name(4), "stat-free-memory");
	assert_string_equal(balloon_stat_name(15), "stat-direct-reclaims");
	assert_null(balloon_stat_name(16));
}

/* --- a broken ring --- */

static void test_broken_ring_acknowledges_what_was_good(void **state)
{
	struct fixture *f = *state;
	uint8_t head[2] = { 0xff, 0xff };

	start(f, 0);
	touch(f, 0, MIB);
	store_pfns(f, BUFFER_GPA, 0, 1, 1);
	add_pfns(f, INFLATE, BUFFER_GPA, 4);
	add_pfns(f, INFLATE, BUFFER_GPA, 4);
	/* The second entry names a descriptor outside the table. */
	assert_int_equal(
		gmem_write(f->vm.memory, fake_driver_avail(&f->driver, INFLATE) + 4 + 2, head, 2),
		0);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, PAGE);
	assert_false(status(f).driver_ready);
	assert_int_equal(fake_transport.config_notifications, 1);
	/* Nothing more until it is reset, then all is well again. */
	add_pfns(f, INFLATE, BUFFER_GPA, 4);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 0);
	fake_driver_reset(&f->driver);
	start(f, 0);
	touch(f, 0, MIB);
	add_pfns(f, INFLATE, BUFFER_GPA, 4);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	create(f);
	for (unsigned int queue = 0; queue < 4; queue++)
		assert_int_equal(fake_driver_run_hostile_chains(&f->driver, ALL, queue, BUFFER_GPA,
		                                                RAM_BYTES),
		                 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_inflate_descending),
		TEST(test_inflate_requests_are_one_batch),
		TEST(test_inflate_outside_ram),
		TEST(test_inflate_more_than_a_request_may_hold),
		TEST(test_turns_are_bounded),
		TEST(test_inflate_empty_and_odd),
		TEST(test_inflate_split_over_buffers),
		TEST(test_deflate_releases_nothing),
		TEST(test_inflate_waits_for_whole_blocks),
		TEST(test_deflate_waits_for_the_release),
		TEST(test_rest_is_released_in_time),
		TEST(test_queue_numbers_follow_features),
		TEST(test_queue_without_a_role),
		TEST(test_report_is_one_call),
		TEST(test_reports_of_single_buffers_are_one_batch),
		TEST(test_readable_buffers_are_no_reports),
		TEST(test_poison_keeps_reports),
		TEST(test_poison_of_zero_releases),
		TEST(test_poison_not_negotiated_releases),
		TEST(test_poison_ends_with_the_driver),
		TEST(test_poison_does_not_flood_the_log),
		TEST(test_stats_tags),
		TEST(test_stats_interval),
		TEST(test_stats_interval_from_the_start),
		TEST(test_target_and_actual),
		TEST(test_driver_cannot_write_the_target),
		TEST(test_reset_empties_the_balloon),
		TEST(test_reset_forgets_early_claims),
		TEST(test_options_shape_the_offer),
		TEST(test_create_refuses),
		TEST(test_hostile_chains),
		TEST(test_names),
		TEST(test_broken_ring_acknowledges_what_was_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
