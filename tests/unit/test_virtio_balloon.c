/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon: queue numbers, config space, target, reset, options, hostile drivers. */
/* fakes: balloon_machine fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "balloon_machine.h"

/* --- queue numbers --- */

static void check_queue_numbers(struct fixture *f, uint64_t features)
{
	bool has_stats = features & FEATURE(STATS_VQ),
	     has_hinting = features & FEATURE(FREE_PAGE_HINT),
	     has_reporting = features & FEATURE(REPORTING);
	unsigned int hinting = 2 + has_stats, reporting = hinting + has_hinting;
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
	if (has_hinting) { /* the queue that starts the round */
		assert_int_equal(balloon_hint_start(f->vm.balloon, NULL), 0);
		store_le32(hva(f, BUFFER_GPA), status(f).hint.command_id);
		add_pfns(f, hinting, BUFFER_GPA, 4);
		fake_driver_kick(&f->driver, hinting);
		assert_int_equal(take_all_used(f, hinting), 1);
		assert_int_equal(status(f).hint.state, BALLOON_HINT_HINTING);
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
	assert_int_equal(status(f).negotiated_features & (ALL | FEATURE(FREE_PAGE_HINT)), features);
	fake_driver_reset(&f->driver);
}

static void test_queue_numbers_follow_features(void **state)
{
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "free-page-hint", { .number = 1 } };
	for (unsigned int combination = 0; combination < 32; combination++)
		check_queue_numbers(f, (combination & 1 ? FEATURE(STATS_VQ) : 0) |
		                               (combination & 2 ? FEATURE(REPORTING) : 0) |
		                               (combination & 4 ? FEATURE(PAGE_POISON) : 0) |
		                               (combination & 8 ? FEATURE(DEFLATE_ON_OOM) : 0) |
		                               (combination & 16 ? FEATURE(FREE_PAGE_HINT) : 0));
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
	/* One rule for a start and for later. */
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES, &err), -EINVAL);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES - 1, &err), 0);
	assert_int_equal(status(f).target_bytes, RAM_BYTES - PAGE);
}

static void test_plugged_memory_is_the_balloons_too(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	start(f, ALL);
	assert_int_equal(gmem_add_region(f->vm.memory, GIB, 32 * MIB, NULL, &err), 0);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES, &err), -EINVAL);
	fake_vm_tell(VM_EVENT_RECLAIM_ENDED, 0); /* another event */
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES, &err), -EINVAL);
	fake_vm_tell(VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, 0);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES + 32 * MIB, &err), -EINVAL);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES + 16 * MIB, &err), 0);
	write_config(f, CONFIG(actual), (RAM_BYTES + 8 * MIB) / PAGE);
	assert_int_equal(status(f).actual_bytes, RAM_BYTES + 8 * MIB);
	assert_int_equal(fake_vm.event_values[VM_EVENT_BALLOON_CHANGE], 24 * MIB);
	/* Unplugged: the driver's word is bounded by what is left, the user's stands. */
	assert_int_equal(gmem_remove_region(f->vm.memory, GIB), 0);
	fake_vm_tell(VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, 0);
	assert_int_equal(status(f).actual_bytes, RAM_BYTES);
	assert_int_equal(status(f).target_bytes, RAM_BYTES + 16 * MIB);
	assert_int_equal(balloon_set_target(f->vm.balloon, RAM_BYTES, &err), -EINVAL);
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
	f->config.properties[0] = (struct device_property){ "target", { .number = RAM_BYTES } };
	assert_int_equal(virtio_balloon_class.create(&f->vm, &f->config, &f->device, &err),
	                 -EINVAL);
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
		TEST(test_queue_numbers_follow_features),
		TEST(test_queue_without_a_role),
		TEST(test_target_and_actual),
		TEST(test_plugged_memory_is_the_balloons_too),
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
