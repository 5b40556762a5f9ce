/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon's free page hinting: what the driver may say when, and what goes in the end. */
/* fakes: balloon_machine fake_kvm fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../devices/virtio/virtio_balloon_private.h"
#include "balloon_machine.h"
#include "ebb/bitmap.h"
#include "ebb/memslot.h"
#include "fake_kvm.h"

#define BLOCK PAGE_2M_BYTES
#define STOP  0
#define DONE  1
#define HINTS 2 /* the queue, with no statistics */

static uint64_t dirty[BITMAP_WORDS(RAM_BYTES / PAGE_4K_BYTES)]; /* what KVM has seen */
static unsigned int log_reads;

static int read_log(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                    void *arg)
{
	struct kvm_dirty_log *log = arg;

	(void)scope;
	(void)vcpu_id;
	if (request != KVM_GET_DIRTY_LOG)
		return 0;
	log_reads++;
	memcpy(log->dirty_bitmap, dirty, sizeof(dirty));
	memset(dirty, 0, sizeof(dirty));
	return 0;
}

static int begin(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	fake_kvm_reset();
	fake_kvm_set_ioctl_hook(read_log);
	memset(dirty, 0, sizeof(dirty));
	log_reads = 0;
	f->vm.kvm = fake_kvm_open();
	f->vm.kvm_vm = fake_kvm_vm(f->vm.kvm);
	assert_int_equal(memslots_create(&f->vm, &f->vm.memslots, NULL), 0);
	memslots_allow_log(f->vm.memslots);
	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "free-page-hint", { .number = 1 } };
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	virtio_balloon_class.destroy(f->device);
	f->device = NULL;
	f->vm.balloon = NULL;
	assert_int_equal(fake_kvm_memslot(0)->flags, 0); /* whatever state it was in */
	assert_null(fake_vm.quiet);
	memslots_destroy(f->vm.memslots);
	kvm_vm_destroy(f->vm.kvm_vm);
	kvm_close(f->vm.kvm);
	return tear_down(state);
}

static void guest_writes(struct fixture *f, gpa_t gpa, uint64_t size_bytes, uint8_t value)
{
	gmem_lock_shared(f->vm.memory);
	memset(hva(f, gpa), value, size_bytes);
	gmem_unlock_shared(f->vm.memory);
	for (uint64_t offset = 0; offset < size_bytes; offset += PAGE)
		bitmap_set(dirty, (gpa + offset) / PAGE);
}

static void add_command(struct fixture *f, uint32_t command_id, uint32_t size_bytes)
{
	store_le32(hva(f, BUFFER_GPA), command_id);
	fake_driver_add(&f->driver, HINTS,
	                &(struct fake_driver_buffer){ BUFFER_GPA, size_bytes, false }, 1);
	fake_driver_kick(&f->driver, HINTS);
}

static void hint(struct fixture *f, gpa_t gpa, uint32_t size_bytes)
{
	fake_driver_add(&f->driver, HINTS, &(struct fake_driver_buffer){ gpa, size_bytes, true },
	                1);
	fake_driver_kick(&f->driver, HINTS);
}

static uint32_t shown_id(struct fixture *f)
{
	return read_config(f, CONFIG(free_page_hint_cmd_id));
}

static void begin_round(struct fixture *f)
{
	struct error err = ERROR_INIT;

	assert_int_equal(balloon_hint_start(f->vm.balloon, &err), 0);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_ASKED);
	assert_int_equal(shown_id(f), status(f).hint.command_id);
}

/* Moments of quiet until there is none asked for. */
static unsigned int decide(void)
{
	unsigned int count = 0;

	while (fake_vm_run_quiet())
		count++;
	return count;
}

/* --- what the driver may say when --- */

static void say(struct fixture *f, char what, unsigned int block)
{
	switch (what) {
	case 'S':
		add_command(f, status(f).hint.command_id, 4);
		break;
	case 'W':
		add_command(f, status(f).hint.command_id + 1, 4);
		break;
	case 'D':
		add_command(f, DONE, 4);
		break;
	case 'X':
		add_command(f, STOP, 4);
		break;
	case 'B':
		add_command(f, status(f).hint.command_id, 8);
		break;
	case 'P':
		hint(f, block * BLOCK, BLOCK);
		break;
	}
}

static void test_protocol(void **state)
{
	static const struct {
		const char *said;
		enum balloon_hint_state state;
		unsigned int hinted, ignored; /* blocks */
	} rows[] = {
		{ "", BALLOON_HINT_ASKED, 0, 0 },
		{ "P", BALLOON_HINT_ASKED, 0, 1 },
		{ "S", BALLOON_HINT_HINTING, 0, 0 },
		{ "SPP", BALLOON_HINT_HINTING, 2, 0 },
		{ "SPX", BALLOON_HINT_DECIDING, 1, 0 },
		{ "SPXP", BALLOON_HINT_DECIDING, 1, 1 },
		{ "SPXX", BALLOON_HINT_DECIDING, 1, 0 },
		{ "SPXSP", BALLOON_HINT_DECIDING, 1, 1 },
		{ "SPXWP", BALLOON_HINT_DECIDING, 1, 1 },
		{ "X", BALLOON_HINT_ASKED, 0, 0 }, /* an earlier round's */
		{ "PXPSP", BALLOON_HINT_HINTING, 1, 2 },
		{ "WP", BALLOON_HINT_ASKED, 0, 1 },
		{ "WPSP", BALLOON_HINT_HINTING, 1, 1 },
		{ "SPWP", BALLOON_HINT_HINTING, 1, 1 },
		{ "SPWPSP", BALLOON_HINT_HINTING, 2, 1 },
		{ "SPWX", BALLOON_HINT_DECIDING, 1, 0 },
		{ "SPDP", BALLOON_HINT_HINTING, 1, 1 },
		{ "SPBP", BALLOON_HINT_HINTING, 1, 1 },
		{ "BP", BALLOON_HINT_ASKED, 0, 1 },
		{ "SSP", BALLOON_HINT_HINTING, 1, 0 },
	};
	struct fixture *f = *state;
	unsigned int said = 0;

	start(f, FEATURE(FREE_PAGE_HINT));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct balloon_hint_status hints;
		uint64_t rounds = status(f).hint.rounds;

		begin_round(f);
		for (unsigned int at = 0; rows[i].said[at]; at++)
			say(f, rows[i].said[at], at);
		said += (unsigned int)strlen(rows[i].said);
		hints = status(f).hint;
		if (hints.state != rows[i].state || hints.hinted_bytes != rows[i].hinted * BLOCK ||
		    hints.ignored_bytes != rows[i].ignored * BLOCK)
			fail_msg("%s: state %d, %llu hinted, %llu ignored", rows[i].said,
			         (int)hints.state, (unsigned long long)hints.hinted_bytes,
			         (unsigned long long)hints.ignored_bytes);
		/* Nothing happens before the decision, and all buffers are back. */
		assert_int_equal(release_calls(), 0);
		assert_int_equal(take_all_used(f, HINTS), said);
		said = 0;
		assert_int_equal(shown_id(f), hints.command_id);
		balloon_hint_stop(f->vm.balloon);
		assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
		assert_int_equal(shown_id(f), DONE);
		/* A moment of quiet that was asked for finds nothing to do. */
		decide();
		assert_int_equal(status(f).hint.rounds, rounds);
		assert_int_equal(stats_of(f, RECLAIM_HINT).requests, 0);
	}
	/* Nobody asked. */
	say(f, 'S', 0);
	say(f, 'P', 0);
	say(f, 'X', 0);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
	assert_false(fake_vm_run_quiet());
}

static void test_command_ids(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;
	uint32_t last = 0;

	create(f);
	assert_int_equal(balloon_hint_start(f->vm.balloon, &err), -ENODEV);
	start(f, FEATURE(STATS_VQ));
	assert_int_equal(shown_id(f), STOP);
	assert_int_equal(balloon_hint_start(f->vm.balloon, &err), -ENODEV);
	fake_driver_reset(&f->driver);
	start(f, FEATURE(FREE_PAGE_HINT));
	balloon_hint_stop(f->vm.balloon); /* nothing to stop */
	assert_int_equal(shown_id(f), STOP);
	for (unsigned int i = 0; i < 3; i++) {
		unsigned int told = fake_transport.config_notifications;

		begin_round(f);
		assert_int_equal(fake_transport.config_notifications, told + 1);
		assert_true(shown_id(f) >= 2 && shown_id(f) != last);
		last = shown_id(f);
		assert_int_equal(balloon_hint_start(f->vm.balloon, &err), -EBUSY);
		/* The driver cannot write it. */
		write_config(f, CONFIG(free_page_hint_cmd_id), 77);
		assert_int_equal(shown_id(f), last);
		balloon_hint_stop(f->vm.balloon);
	}
	/* Not while a driver comes and goes either. */
	begin_round(f);
	last = shown_id(f);
	fake_driver_reset(&f->driver);
	assert_int_equal(shown_id(f), STOP);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
	assert_int_equal(fake_kvm_memslot(0)->flags, 0);
	start(f, FEATURE(FREE_PAGE_HINT));
	assert_int_equal(shown_id(f), STOP);
	begin_round(f);
	assert_true(shown_id(f) > last);
}

static void test_not_offered(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	f->config.property_count = 0;
	start(f, ALL);
	assert_false(f->driver.vdev->offered_features & FEATURE(FREE_PAGE_HINT));
	assert_int_equal(f->driver.vdev->info->queue_count, 4);
	assert_int_equal(balloon_hint_start(f->vm.balloon, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "--balloon free-page-hint"));
}

static void test_config_space_ends_behind_the_last_field(void **state)
{
	struct fixture *f = *state;

	f->config.properties[f->config.property_count++] =
		(struct device_property){ "page-poison", { .number = 0 } };
	create(f);
	assert_int_equal(f->driver.vdev->info->config_size_bytes, 12);
	assert_int_equal(f->driver.vdev->info->queue_count, 5);
}

/* --- what goes --- */

static void test_untouched_goes_touched_stays(void **state)
{
	struct fixture *f = *state;
	struct balloon_hint_status hints;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 16 * MIB);
	guest_writes(f, 0, 16 * MIB, 0x5a);
	memset(dirty, 0, sizeof(dirty)); /* before the round */
	begin_round(f);
	assert_int_equal(fake_kvm_memslot(0)->flags, KVM_MEM_LOG_DIRTY_PAGES);
	say(f, 'S', 0);
	hint(f, 0, 4 * BLOCK);
	hint(f, 0, BLOCK);             /* again: counts once */
	hint(f, 6 * BLOCK, BLOCK / 2); /* half a block is kept */
	guest_writes(f, BLOCK + 7 * PAGE, PAGE, 0x77);
	guest_writes(f, 2 * BLOCK, BLOCK, 0); /* what the guest cleared may go: it is the same */
	say(f, 'X', 0);
	assert_true(decide() >= 1); /* how many it takes depends on the host */
	hints = status(f).hint;
	assert_int_equal(hints.state, BALLOON_HINT_IDLE);
	assert_int_equal(hints.rounds, 1);
	assert_true(hints.sees_writes);
	assert_int_equal(shown_id(f), DONE);
	assert_int_equal(fake_kvm_memslot(0)->flags, 0);
	assert_int_equal(hints.hinted_bytes, 4 * BLOCK + BLOCK / 2);
	assert_int_equal(hints.touched_bytes, PAGE);
	assert_int_equal(hints.kept_bytes, BLOCK - PAGE + BLOCK / 2);
	assert_int_equal(hints.zero_bytes, BLOCK);
	assert_int_equal(hints.released_bytes, 3 * BLOCK);
	assert_int_equal(stats_of(f, RECLAIM_HINT).bytes_in, 3 * BLOCK);
	assert_int_equal(*hva(f, 0), 0);
	assert_int_equal(*hva(f, BLOCK), 0x5a);
	assert_int_equal(*hva(f, BLOCK + 7 * PAGE), 0x77);
	assert_int_equal(*hva(f, 2 * BLOCK), 0);
	assert_int_equal(*hva(f, 3 * BLOCK), 0);
	assert_int_equal(*hva(f, 4 * BLOCK), 0x5a);
	assert_int_equal(*hva(f, 6 * BLOCK), 0x5a);
}

/* A device fills a page that the guest took back: no vCPU wrote it. */
static void test_device_writes_count(void **state)
{
	const uint8_t byte = 0x11;
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 8 * MIB);
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, 2 * BLOCK);
	assert_int_equal(gmem_write(f->vm.memory, BLOCK, &byte, 1), 0);
	say(f, 'X', 0);
	decide();
	assert_int_equal(*hva(f, 0), 0);
	assert_int_equal(*hva(f, BLOCK), 0x11);
	assert_int_equal(*hva(f, BLOCK + PAGE), 0x5a);
}

/* The rings and the buffer of commands are hinted too: they are in use, whatever the driver says.
 */
static void test_hinting_the_rings(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, RAM_BYTES);
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
	assert_int_equal(take_all_used(f, HINTS), 3);
	begin_round(f);
	say(f, 'S', 0);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_HINTING);
}

static void test_poison_is_not_zero(void **state)
{
	struct fixture *f = *state;

	f->config.properties[f->config.property_count++] =
		(struct device_property){ "page-poison", { .number = 1 } };
	create(f);
	assert_true(fake_driver_negotiate(&f->driver, FEATURE(FREE_PAGE_HINT) | FEATURE(REPORTING) |
	                                                      FEATURE(PAGE_POISON)));
	fake_driver_reset(&f->driver);
	write_config(f, CONFIG(poison_val), 0xaaaaaaaa);
	start(f, FEATURE(FREE_PAGE_HINT) | FEATURE(REPORTING) | FEATURE(PAGE_POISON));
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, BLOCK);
	guest_writes(f, 0, BLOCK, 0);
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.zero_bytes, 0);
	assert_int_equal(status(f).hint.touched_bytes, BLOCK);
	assert_int_equal(stats_of(f, RECLAIM_HINT).requests, 0);
}

static void test_without_a_log(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 8 * MIB);
	fake_kvm_fail_nth(0, -EINVAL);
	begin_round(f);
	assert_false(status(f).hint.sees_writes);
	say(f, 'S', 0);
	hint(f, 0, 2 * BLOCK);
	guest_writes(f, 0, BLOCK, 0);
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.released_bytes, BLOCK);
	assert_int_equal(status(f).hint.zero_bytes, BLOCK);
	assert_int_equal(*hva(f, BLOCK), 0x5a);
}

static void test_memory_changes_meanwhile(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 8 * MIB);
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, 2 * BLOCK);
	assert_int_equal(gmem_add_region(f->vm.memory, GIB, BLOCK, NULL, NULL), 0);
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
	assert_int_equal(status(f).hint.kept_bytes, 2 * BLOCK);
	assert_int_equal(*hva(f, 0), 0x5a);
}

static void test_odd_hints(void **state)
{
	static const struct {
		gpa_t gpa;
		uint32_t size_bytes;
		uint64_t hinted_bytes;
	} rows[] = {
		{ 1, PAGE, 0 },
		{ 1, 2 * PAGE, PAGE },
		{ 0, 1, 0 },
		{ 0, PAGE - 1, 0 },
		{ 8 * PAGE + 1, 3 * PAGE - 2, PAGE },
		{ RAM_BYTES - PAGE, PAGE, PAGE },
		{ RAM_BYTES - 1, 1, 0 },
	};
	struct fixture *f = *state;
	uint64_t expected = 0, said = 0;

	start(f, FEATURE(FREE_PAGE_HINT));
	begin_round(f);
	say(f, 'S', 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		hint(f, rows[i].gpa, rows[i].size_bytes);
		expected += rows[i].hinted_bytes;
		said += rows[i].size_bytes;
		assert_int_equal(status(f).hint.hinted_bytes, expected);
		assert_int_equal(status(f).hint.ignored_bytes, said - expected);
	}
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.kept_bytes, expected);
	/* Of parts that come in any order a block becomes whole. */
	begin_round(f);
	say(f, 'S', 0);
	for (unsigned int i = 0; i < 512; i++)
		hint(f, (i * 37 % 512) * PAGE, PAGE);
	say(f, 'X', 0);
	decide();
	assert_int_equal(status(f).hint.hinted_bytes, BLOCK);
	assert_int_equal(status(f).hint.kept_bytes, 0);
}

/* As if the time of a round were over. */
static void let_time_pass(struct fixture *f)
{
	struct balloon *balloon = container_of(f->driver.vdev, struct balloon, vdev);
	enum balloon_hint_state before = status(f).hint.state;

	event_timer_set(balloon->hint.timer, 0, 0);
	for (unsigned int i = 0; i < 2000 && status(f).hint.state == before; i++)
		usleep(1000);
}

static void test_a_round_takes_too_long(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 8 * MIB);
	/* A driver that does not answer. */
	begin_round(f);
	let_time_pass(f);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_IDLE);
	assert_int_equal(shown_id(f), DONE);
	assert_int_equal(status(f).hint.rounds, 0);
	/* One that does not stop: what it told so far is decided. */
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, BLOCK);
	let_time_pass(f);
	assert_int_equal(status(f).hint.state, BALLOON_HINT_DECIDING);
	hint(f, BLOCK, BLOCK);
	decide();
	assert_int_equal(status(f).hint.released_bytes, BLOCK);
	assert_int_equal(*hva(f, 0), 0);
	assert_int_equal(*hva(f, BLOCK), 0x5a);
	assert_int_equal(shown_id(f), DONE);
}

/* The driver goes between its STOP and the moment of quiet. */
static void test_driver_goes_before_the_decision(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(FREE_PAGE_HINT));
	touch(f, 0, 8 * MIB);
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, 2 * BLOCK);
	say(f, 'X', 0);
	fake_driver_reset(&f->driver);
	assert_int_equal(decide(), 1);
	assert_int_equal(*hva(f, 0), 0x5a);
	assert_int_equal(log_reads, 0);
	/* And with the next driver's round under way. */
	start(f, FEATURE(FREE_PAGE_HINT));
	begin_round(f);
	say(f, 'S', 0);
	hint(f, 0, 2 * BLOCK);
	say(f, 'X', 0);
	balloon_hint_stop(f->vm.balloon);
	begin_round(f);
	decide();
	assert_int_equal(status(f).hint.state, BALLOON_HINT_ASKED);
	assert_int_equal(*hva(f, 0), 0x5a);
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	create(f);
	assert_int_equal(fake_driver_run_hostile_chains(&f->driver, FEATURE(FREE_PAGE_HINT), HINTS,
	                                                BUFFER_GPA, RAM_BYTES),
	                 0);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(balloon_hint_state_name(BALLOON_HINT_IDLE), "idle");
	assert_string_equal(balloon_hint_state_name(BALLOON_HINT_DECIDING), "deciding");
}

int main(void)
{
#define HINT_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		HINT_TEST(test_protocol),
		HINT_TEST(test_command_ids),
		HINT_TEST(test_not_offered),
		HINT_TEST(test_config_space_ends_behind_the_last_field),
		HINT_TEST(test_untouched_goes_touched_stays),
		HINT_TEST(test_device_writes_count),
		HINT_TEST(test_hinting_the_rings),
		HINT_TEST(test_poison_is_not_zero),
		HINT_TEST(test_without_a_log),
		HINT_TEST(test_memory_changes_meanwhile),
		HINT_TEST(test_odd_hints),
		HINT_TEST(test_a_round_takes_too_long),
		HINT_TEST(test_driver_goes_before_the_decision),
		HINT_TEST(test_hostile_chains),
		HINT_TEST(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
