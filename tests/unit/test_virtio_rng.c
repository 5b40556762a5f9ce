/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng, driven by a fake driver. */
/* fakes: fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "fake_virtio_driver.h"

#define RAM_BYTES  (4 * MIB)
#define RINGS_GPA  (3 * MIB)
#define BUFFER_GPA (1 * MIB)

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

	fake_driver_vm_create(&f->vm, &f->vm_config, RAM_BYTES);
	f->config.class = &virtio_rng_class;
	assert_int_equal(virtio_rng_class.create(&f->vm, &f->config, &f->device, NULL), 0);
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
	assert_true(fake_driver_start(&f->driver, 0, 1, 64));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_rng_class.destroy(f->device);
	fake_driver_vm_destroy(&f->vm);
	free(f);
	return 0;
}

static void ask(struct fixture *f, gpa_t gpa, uint32_t size_bytes, bool writable)
{
	fake_driver_add(&f->driver, 0, &(struct fake_driver_buffer){ gpa, size_bytes, writable },
	                1);
}

static uint32_t take(struct fixture *f)
{
	uint32_t head, size_bytes;

	assert_true(fake_driver_take_used(&f->driver, 0, &head, &size_bytes));
	return size_bytes;
}

static bool is_zero(struct fixture *f, gpa_t gpa, size_t size_bytes)
{
	const uint8_t *bytes = gmem_span(f->vm.memory, gpa, size_bytes);

	for (size_t i = 0; i < size_bytes; i++)
		if (bytes[i])
			return false;
	return true;
}

static void test_fills_a_buffer(void **state)
{
	struct fixture *f = *state;

	ask(f, BUFFER_GPA, 64, true);
	ask(f, BUFFER_GPA + 4096, 64, true);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(take(f), 64);
	assert_int_equal(take(f), 64);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_false(is_zero(f, BUFFER_GPA, 64));
	assert_true(is_zero(f, BUFFER_GPA + 64, 4096 - 64));
	assert_memory_not_equal(gmem_span(f->vm.memory, BUFFER_GPA, 64),
	                        gmem_span(f->vm.memory, BUFFER_GPA + 4096, 64), 64);
	assert_int_equal(metric_read(&f->device->metrics[0].counter), 128);
}

static void test_fills_across_segments(void **state)
{
	const struct fake_driver_buffer buffers[] = { { BUFFER_GPA, 40, true },
		                                      { BUFFER_GPA + 100, 0, true },
		                                      { BUFFER_GPA + 200, 60, true } };
	struct fixture *f = *state;

	fake_driver_add(&f->driver, 0, buffers, 3);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(take(f), 100);
	assert_false(is_zero(f, BUFFER_GPA, 40));
	assert_true(is_zero(f, BUFFER_GPA + 40, 160));
	assert_false(is_zero(f, BUFFER_GPA + 200, 60));
}

static void test_huge_buffers_get_little(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 64; i++)
		ask(f, BUFFER_GPA, MIB, true);
	fake_driver_kick(&f->driver, 0);
	for (unsigned int i = 0; i < 64; i++)
		assert_in_range(take(f), 1, 1024);
	assert_true(is_zero(f, BUFFER_GPA + 1024, MIB - 1024));
}

static void test_nothing_writable(void **state)
{
	struct fixture *f = *state;

	ask(f, BUFFER_GPA, 64, false);
	ask(f, BUFFER_GPA, 0, true);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(take(f), 0);
	assert_int_equal(take(f), 0);
	assert_true(is_zero(f, BUFFER_GPA, 64));
}

static void test_buffer_outside_ram_breaks(void **state)
{
	struct fixture *f = *state;

	ask(f, RAM_BYTES - 32, 64, true);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_true(is_zero(f, RAM_BYTES - 32, 32));
	/* A reset makes it well again. */
	fake_driver_reset(&f->driver);
	assert_true(fake_driver_start(&f->driver, 0, 1, 64));
	ask(f, BUFFER_GPA, 64, true);
	fake_driver_kick(&f->driver, 0);
	assert_int_equal(take(f), 64);
}

static void test_create_refuses(void **state)
{
	struct fixture *f = *state;
	struct device *device = NULL;

	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(virtio_rng_class.create(&f->vm, &f->config, &device, NULL), -ENOSPC);
	assert_null(device);
	virtio_rng_class.destroy(NULL);
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_driver_run_hostile_chains(&f->driver, 0, 0, BUFFER_GPA, RAM_BYTES),
	                 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_fills_a_buffer),
		TEST(test_fills_across_segments),
		TEST(test_huge_buffers_get_little),
		TEST(test_nothing_writable),
		TEST(test_buffer_outside_ram_breaks),
		TEST(test_create_refuses),
		TEST(test_hostile_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
