/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio core against VIRTIO 1.2, 2.1 to 2.5 and 3.1, over a transport that counts. */
/* fakes: virtio_machine fake_virtio_driver test_driver hostile_chains fake_kvm fake_arch */
#include <errno.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_virtio_driver.h"
#include "hostile_chains.h"
#include "virtio_machine.h"

#define A  VIRTIO_CONFIG_S_ACKNOWLEDGE
#define D  VIRTIO_CONFIG_S_DRIVER
#define FO VIRTIO_CONFIG_S_FEATURES_OK
#define OK VIRTIO_CONFIG_S_DRIVER_OK
#define NR VIRTIO_CONFIG_S_NEEDS_RESET
#define F  VIRTIO_CONFIG_S_FAILED

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define VERSION_1    FEATURE(VIRTIO_F_VERSION_1)
#define INDIRECT     FEATURE(28)
#define EVENT_IDX    FEATURE(29)

struct fixture {
	struct virtio_machine machine;
	struct probe *probe;
	struct virtio_device *vdev;
	struct fake_driver driver;
};

static void set_up(struct fixture *f)
{
	int ret;

	fake_transport_clear();
	virtio_machine_create(&f->machine, TRANSPORT_PCI);
	f->probe = probe_create(&f->machine, &ret, NULL);
	assert_non_null(f->probe);
	f->vdev = &f->probe->vdev;
	fake_driver_init(&f->driver, &f->machine.vm, &f->vdev->device, 0);
}

static void tear_down(struct fixture *f)
{
	probe_destroy(f->probe);
	virtio_machine_destroy(&f->machine);
}

static void set_features(struct virtio_device *vdev, uint64_t features)
{
	virtio_set_driver_features(vdev, 0, (uint32_t)features);
	virtio_set_driver_features(vdev, 1, (uint32_t)(features >> 32));
}

/* --- status --- */

static void driver_walks_through_status(void **state)
{
	/* What is written, one after the other, and what reads back behind each. */
	static const struct {
		const char *what;
		uint64_t features;
		uint8_t writes[6][2];
	} rows[] = {
		{ "3.1.1: the sequence",
		  VERSION_1,
		  { { A, A },
		    { A | D, A | D },
		    { A | D | FO, A | D | FO },
		    { A | D | FO | OK, A | D | FO | OK } } },
		{ "all at once", VERSION_1, { { A | D | FO | OK, A | D | FO | OK } } },
		{ "2.1.1: bits are not cleared but by a reset",
		  VERSION_1,
		  { { A | D | FO, A | D | FO }, { A, A | D | FO }, { F, A | D | FO | F } } },
		{ "2.2.2: VERSION_1 must be there", 0, { { A | D | FO, A | D } } },
		{ "and without FEATURES_OK no DRIVER_OK", 0, { { A | D | FO | OK, A | D } } },
		{ "DRIVER_OK before FEATURES_OK", VERSION_1, { { A | D | OK, A | D } } },
		{ "features that were not offered",
		  VERSION_1 | FEATURE(PROBE_FEATURE_HIDDEN),
		  { { A | D | FO, A | D } } },
		{ "features nobody has", VERSION_1 | FEATURE(33), { { A | D | FO, A | D } } },
		{ "a transport feature that is not offered",
		  VERSION_1 | FEATURE(VIRTIO_F_RING_PACKED),
		  { { A | D | FO, A | D } } },
		{ "NEEDS_RESET is the device's", VERSION_1, { { A | D | NR, A | D } } },
		{ "reserved bits stay 0", VERSION_1, { { A | 0x30, A } } },
		{ "0 resets",
		  VERSION_1,
		  { { A | D | FO | OK, A | D | FO | OK },
		    { 0, 0 },
		    { A, A },
		    { A | D | FO, A | D } } }, /* and forgets features */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture f;

		set_up(&f);
		set_features(f.vdev, rows[i].features);
		for (unsigned int n = 0;
		     n < 6 && (n == 0 || rows[i].writes[n][0] || rows[i].writes[n + 1][0]); n++) {
			virtio_set_status(f.vdev, rows[i].writes[n][0]);
			if (virtio_status(f.vdev) != rows[i].writes[n][1])
				fail_msg("%s: write %u: %#x", rows[i].what, n,
				         virtio_status(f.vdev));
		}
		tear_down(&f);
	}
}

static void device_has_a_say_in_features(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	f.probe->refuse_a_without_b = true;
	set_features(f.vdev, VERSION_1 | FEATURE(PROBE_FEATURE_A));
	virtio_set_status(f.vdev, A | D | FO);
	assert_int_equal(virtio_status(f.vdev), A | D);
	set_features(f.vdev, VERSION_1 | FEATURE(PROBE_FEATURE_A) | FEATURE(PROBE_FEATURE_B));
	virtio_set_status(f.vdev, A | D | FO);
	assert_int_equal(virtio_status(f.vdev), A | D | FO);
	tear_down(&f);
}

static void core_offers_its_features(void **state)
{
	struct fixture f;
	uint64_t expected = VERSION_1 | INDIRECT | EVENT_IDX | FEATURE(PROBE_FEATURE_A) |
	                    FEATURE(PROBE_FEATURE_B);

	(void)state;
	set_up(&f);
	assert_int_equal(virtio_offered_features(f.vdev, 0), (uint32_t)expected);
	assert_int_equal(virtio_offered_features(f.vdev, 1), expected >> 32);
	assert_int_equal(virtio_offered_features(f.vdev, 2), 0);
	assert_int_equal(virtio_offered_features(f.vdev, UINT32_MAX), 0);
	tear_down(&f);
}

static void features_are_fixed_by_features_ok(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_features(f.vdev, VERSION_1 | FEATURE(PROBE_FEATURE_A));
	virtio_set_driver_features(f.vdev, 2, UINT32_MAX);
	virtio_set_status(f.vdev, A | D | FO);
	set_features(f.vdev, FEATURE(PROBE_FEATURE_B));
	assert_int_equal(virtio_driver_features(f.vdev, 0), 1U << PROBE_FEATURE_A);
	assert_int_equal(virtio_driver_features(f.vdev, 1), 1);
	assert_int_equal(virtio_driver_features(f.vdev, 2), 0);
	assert_true(virtio_has_feature(f.vdev, PROBE_FEATURE_A));
	assert_false(virtio_has_feature(f.vdev, PROBE_FEATURE_B));
	tear_down(&f);
}

/* --- running --- */

static void device_runs_between_driver_ok_and_reset(void **state)
{
	struct fixture f;
	struct fake_driver_buffer buffer = { MACHINE_SCRATCH_GPA, 8, true };
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f);
	virtio_queue_kick(f.vdev, 0); /* 2.1.2: nothing is consumed before DRIVER_OK */
	fake_driver_kick(&f.driver, 0);
	assert_int_equal(f.probe->notifications[0], 0);

	assert_true(fake_driver_start(&f.driver, EVENT_IDX, 2, 8));
	assert_int_equal(f.probe->activations, 1);
	assert_true(f.vdev->active);
	f.probe->notifications[1] = 0;
	fake_driver_add(&f.driver, 1, &buffer, 1);
	virtio_queue_kick(f.vdev, 1);
	fake_driver_settle(&f.driver);
	assert_int_equal(f.probe->notifications[1], 1);
	assert_true(fake_driver_take_used(&f.driver, 1, &head, &size_bytes));
	assert_int_equal(fake_transport.used_notifications[1], 1);
	assert_int_equal(fake_transport.used_notifications[0], 0);

	fake_driver_reset(&f.driver);
	assert_int_equal(f.probe->deactivations, 1);
	assert_int_equal(fake_transport.resets, 1);
	assert_false(f.vdev->active);
	assert_false(virtio_queue_is_ready(f.vdev, 1));
	virtio_queue_kick(f.vdev, 1);
	fake_driver_kick(&f.driver, 1);
	assert_int_equal(f.probe->notifications[1], 1);

	assert_true(fake_driver_start(&f.driver, 0, 2, 8)); /* and again */
	assert_int_equal(f.probe->activations, 2);
	tear_down(&f);
}

/* Buffers that were offered before DRIVER_OK need no notification. */
static void queues_are_looked_at_when_it_starts(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 1, 8));
	assert_int_equal(f.probe->notifications[0], 1);
	assert_int_equal(f.probe->notifications[1], 0); /* not set up by the driver */
	tear_down(&f);
}

static void device_that_cannot_start_needs_a_reset(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	f.probe->activate_ret = -EIO;
	assert_false(fake_driver_start(&f.driver, 0, 2, 8));
	assert_int_equal(virtio_status(f.vdev), A | D | FO | OK | NR);
	/* 2.1.2: it MUST tell the driver. */
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_int_equal(metric_read(&f.vdev->needs_reset_count), 1);
	fake_driver_reset(&f.driver);
	assert_int_equal(f.probe->deactivations, 0); /* it never was active */
	f.probe->activate_ret = 0;
	assert_true(fake_driver_start(&f.driver, 0, 2, 8));
	tear_down(&f);
}

static void bad_ring_address_needs_a_reset(void **state)
{
	static const struct virtqueue_config rows[] = {
		{ 8, MACHINE_RAM_BYTES, 0, 0, false, false },
		{ 8, 8, 0, 0, false, false },
		{ 9, 0, 0, 0, false, false },
		{ 32, 0, 0, 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture f;

		set_up(&f);
		set_features(f.vdev, VERSION_1);
		virtio_set_status(f.vdev, A | D | FO);
		virtio_queue_set_config(f.vdev, 0, &rows[i]);
		virtio_queue_set_ready(f.vdev, 0, true);
		virtio_set_status(f.vdev, A | D | FO | OK);
		assert_int_equal(virtio_status(f.vdev), A | D | FO | OK | NR);
		assert_int_equal(f.probe->activations, 0);
		tear_down(&f);
	}
}

static void broken_device_rests_until_reset(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 2, 8));
	virtio_device_broken(f.vdev, "test %d", 1);
	assert_true(virtio_status(f.vdev) & NR);
	assert_int_equal(fake_transport.config_notifications, 1);
	f.probe->notifications[0] = 0;
	fake_driver_kick(&f.driver, 0);
	assert_int_equal(f.probe->notifications[0], 0);
	virtio_set_status(f.vdev, A | D | FO | OK); /* the bit stays */
	assert_true(virtio_status(f.vdev) & NR);
	virtio_device_broken(f.vdev, "test %d", 2);
	assert_int_equal(fake_transport.config_notifications, 1); /* told once */
	assert_int_equal(metric_read(&f.vdev->needs_reset_count), 2);
	fake_driver_reset(&f.driver);
	assert_int_equal(virtio_status(f.vdev), 0);
	tear_down(&f);
}

static void queue_can_be_taken_away_from_a_running_device(void **state)
{
	struct fixture f;
	struct fake_driver_buffer buffer = { MACHINE_SCRATCH_GPA, 8, true };
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 2, 8));
	virtio_queue_set_ready(f.vdev, 0, false);
	fake_driver_add(&f.driver, 0, &buffer, 1);
	fake_driver_kick(&f.driver, 0);
	/* 4.2.2.1: no access to its contents any more. */
	assert_false(fake_driver_take_used(&f.driver, 0, &head, &size_bytes));
	assert_false(virtio_queue_is_ready(f.vdev, 0));
	assert_false(virtio_status(f.vdev) & NR);
	tear_down(&f);
}

static void queue_configuration_is_fixed_when_ready(void **state)
{
	struct fixture f;
	struct virtqueue_config config = { .size = 4, .descriptor_gpa = 0x1000 }, got;

	(void)state;
	set_up(&f);
	assert_true(virtio_queue_config(f.vdev, 0, &got));
	assert_int_equal(got.size, 16); /* 4.1.4.3: the most it takes, until written */
	virtio_queue_set_config(f.vdev, 0, &config);
	virtio_queue_set_ready(f.vdev, 0, true);
	config.descriptor_gpa = 0x2000;
	virtio_queue_set_config(f.vdev, 0, &config);
	assert_true(virtio_queue_config(f.vdev, 0, &got));
	assert_int_equal(got.descriptor_gpa, 0x1000);
	virtio_queue_set_ready(f.vdev, 0, false);
	config.size = 12; /* 4.1.4.3.1: 0 or a power of 2 is presented */
	virtio_queue_set_config(f.vdev, 0, &config);
	assert_true(virtio_queue_config(f.vdev, 0, &got));
	assert_int_equal(got.size, 0);
	assert_false(virtio_queue_config(f.vdev, PROBE_QUEUES, &got));
	virtio_queue_set_config(f.vdev, PROBE_QUEUES, &config);
	virtio_queue_set_ready(f.vdev, UINT32_MAX, true);
	assert_false(virtio_queue_is_ready(f.vdev, UINT32_MAX));
	tear_down(&f);
}

static void *fight(void *ctx)
{
	struct virtio_device *vdev = ctx;
	struct virtqueue_config config = { .size = 8, .driver_gpa = 0x400, .device_gpa = 0x800 };

	for (unsigned int i = 0; i < 100; i++) {
		set_features(vdev, VERSION_1);
		virtio_set_status(vdev, A | D | FO);
		virtio_queue_set_config(vdev, 0, &config);
		virtio_queue_set_ready(vdev, 0, true);
		virtio_set_status(vdev, A | D | FO | OK);
		virtio_queue_kick(vdev, 0);
		virtio_queue_set_ready(vdev, 0, i % 3);
		if (i % 2)
			virtio_set_status(vdev, 0);
	}
	return NULL;
}

/* Whatever they write, starts and stops take turns: the sanitizers judge. */
static void vcpus_fight_over_status(void **state)
{
	struct fixture f;
	pthread_t threads[3];

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fight, f.vdev), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	fake_driver_reset(&f.driver);
	assert_int_equal(f.probe->activations, f.probe->deactivations);
	assert_true(f.probe->activations > 0);
	tear_down(&f);
}

/* --- config space --- */

static void config_space_is_bounded(void **state)
{
	static const struct {
		uint64_t offset;
		size_t size_bytes;
		bool inside;
	} rows[] = {
		{ 0, 1, true },
		{ 0, 4, true },
		{ 11, 1, true },
		{ 4, 8, true },
		{ 12, 1, false },
		{ 11, 2, false },
		{ 5, 8, false },
		{ 4096, 4, false },
		{ 9, 4, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX - 3, 8, false },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t data[8], expected[8];
		unsigned int writes = f.probe->config_writes;

		memset(expected, 0xff, sizeof(expected));
		for (size_t n = 0; rows[i].inside && n < rows[i].size_bytes; n++)
			expected[n] = (uint8_t)(0xc0 + rows[i].offset + n);
		memset(data, 0xff, sizeof(data));
		virtio_config_read(f.vdev, rows[i].offset, data, rows[i].size_bytes);
		assert_memory_equal(data, expected, sizeof(data));
		virtio_config_write(f.vdev, rows[i].offset, data, rows[i].size_bytes);
		assert_int_equal(f.probe->config_writes, writes + rows[i].inside);
	}
	assert_int_equal(f.probe->config_write_offset, 4);
	assert_int_equal(f.probe->config_write_bytes, 8);
	tear_down(&f);
}

/* 2.5.1, 4.1.4.3.1: a driver that reads across a change sees the generation move. */
static void generation_moves_when_a_change_is_read(void **state)
{
	struct fixture f;
	uint32_t before;
	uint8_t data[4];

	(void)state;
	set_up(&f);
	before = virtio_config_generation(f.vdev);
	virtio_config_read(f.vdev, 0, data, 4);
	assert_int_equal(virtio_config_generation(f.vdev), before);
	virtio_config_update(f.vdev, 0, "abcd", 4);
	virtio_config_read(f.vdev, 4, data, 4); /* any part of it */
	assert_int_equal(virtio_config_generation(f.vdev), before + 1);
	for (unsigned int i = 0; i < 256; i++) /* as many as the register has values */
		virtio_config_update(f.vdev, 0, "efgh", 4);
	virtio_config_read(f.vdev, 0, data, 4);
	assert_memory_equal(data, "efgh", 4);
	assert_int_equal((uint8_t)virtio_config_generation(f.vdev), (uint8_t)(before + 2));
	virtio_set_status(f.vdev, 0);
	assert_int_equal(virtio_config_generation(f.vdev), before + 2); /* never back */
	tear_down(&f);
}

static void driver_is_told_of_config_changes_when_it_runs(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	virtio_config_update(f.vdev, 0, "a", 1);
	assert_int_equal(fake_transport.config_notifications, 0);
	assert_true(fake_driver_start(&f.driver, 0, 1, 8));
	virtio_config_update(f.vdev, 0, "b", 1);
	assert_int_equal(fake_transport.config_notifications, 1);
	tear_down(&f);
}

static void what_the_driver_asked_for_itself_changes_silently(void **state)
{
	struct fixture f;
	uint32_t before;
	uint8_t data;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 1, 8));
	before = virtio_config_generation(f.vdev);
	virtio_config_store(f.vdev, 3, "d", 1);
	assert_int_equal(fake_transport.config_notifications, 0);
	virtio_config_read(f.vdev, 3, &data, 1);
	assert_int_equal(data, 'd');
	assert_int_equal(virtio_config_generation(f.vdev), before + 1);
	tear_down(&f);
}

/* --- hostile drivers --- */

static void restart(void *ctx, struct hostile_queue *ret_queue)
{
	struct fixture *f = ctx;
	gpa_t rings_gpa = fake_driver_descriptors(&f->driver, 0);

	fake_driver_reset(&f->driver);
	fake_driver_start(&f->driver, INDIRECT, 1, 8);
	*ret_queue = (struct hostile_queue){
		.ring = { .memory = f->machine.vm.memory,
		          .size = 8,
		          .descriptor_gpa = rings_gpa,
		          .driver_gpa = fake_driver_avail(&f->driver, 0),
		          .device_gpa = fake_driver_used(&f->driver, 0) },
		.scratch_gpa = MACHINE_SCRATCH_GPA,
		.outside_gpa = MACHINE_RAM_BYTES,
	};
}

static void kick(void *ctx)
{
	struct fixture *f = ctx;

	fake_driver_kick(&f->driver, 0);
}

static bool needs_reset(void *ctx)
{
	struct fixture *f = ctx;

	return virtio_status(f->vdev) & NR;
}

static void hostile_chains_need_a_reset(void **state)
{
	struct fixture f;
	struct hostile_target target = { &f, restart, kick, needs_reset };

	(void)state;
	set_up(&f);
	assert_int_equal(hostile_chains_run(&target), 0);
	tear_down(&f);
}

/* --- life --- */

static void vm_reset_is_a_reset(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 2, 8));
	f.vdev->device.reset(&f.vdev->device);
	assert_int_equal(virtio_status(f.vdev), 0);
	assert_int_equal(f.probe->deactivations, 1);
	f.vdev->device.reset(&f.vdev->device); /* nothing runs: fine */
	assert_int_equal(f.probe->deactivations, 1);
	tear_down(&f);
}

static void device_goes_while_it_runs(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, 2, 8));
	tear_down(&f); /* ASan and the fixture judge */
}

static void change_config(struct virtio_device *vdev)
{
	virtio_config_update(vdev, 0, "c", 1);
}

/* What the transport takes back at a reset must be all there is. */
static void config_change_during_a_reset_is_silent(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(fake_driver_start(&f.driver, 0, PROBE_QUEUES, 8));
	fake_transport.during_reset = change_config;
	fake_driver_reset(&f.driver);
	fake_transport.during_reset = NULL;
	assert_int_equal(fake_transport.resets, 1);
	assert_int_equal(fake_transport.config_notifications, 0);
	tear_down(&f);
}

static void transport_that_fails_leaves_nothing(void **state)
{
	struct virtio_machine machine;
	struct error err = ERROR_INIT;
	int ret;

	(void)state;
	fake_transport_clear();
	fake_transport.fail_create = -ENOSPC;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	assert_null(probe_create(&machine, &ret, &err));
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(err.code, -ENOSPC);
	virtio_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_walks_through_status),
		cmocka_unit_test(device_has_a_say_in_features),
		cmocka_unit_test(core_offers_its_features),
		cmocka_unit_test(features_are_fixed_by_features_ok),
		cmocka_unit_test(device_runs_between_driver_ok_and_reset),
		cmocka_unit_test(queues_are_looked_at_when_it_starts),
		cmocka_unit_test(device_that_cannot_start_needs_a_reset),
		cmocka_unit_test(bad_ring_address_needs_a_reset),
		cmocka_unit_test(broken_device_rests_until_reset),
		cmocka_unit_test(queue_can_be_taken_away_from_a_running_device),
		cmocka_unit_test(queue_configuration_is_fixed_when_ready),
		cmocka_unit_test(vcpus_fight_over_status),
		cmocka_unit_test(config_space_is_bounded),
		cmocka_unit_test(generation_moves_when_a_change_is_read),
		cmocka_unit_test(driver_is_told_of_config_changes_when_it_runs),
		cmocka_unit_test(what_the_driver_asked_for_itself_changes_silently),
		cmocka_unit_test(config_change_during_a_reset_is_silent),
		cmocka_unit_test(hostile_chains_need_a_reset),
		cmocka_unit_test(vm_reset_is_a_reset),
		cmocka_unit_test(device_goes_while_it_runs),
		cmocka_unit_test(transport_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
