/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-vsock: what the guest sees of it, and when the kernel runs its queues. */
/* fakes: fake_vhost fake_virtio_driver hostile_chains test_driver fake_vm failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_vsock.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../devices/device_table.h"
#include "ebb/bytes.h"
#include "failures.h"
#include "fake_vhost.h"
#include "fake_virtio_driver.h"

#define RAM_BYTES (4 * MIB)
#define RINGS_GPA (3 * MIB)
#define CID       42
#define NR        VIRTIO_CONFIG_S_NEEDS_RESET
#define SEQPACKET (UINT64_C(1) << VIRTIO_VSOCK_F_SEQPACKET)

static struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
} f;

static int create(void *ctx, struct error *err)
{
	(void)ctx;
	return virtio_vsock_class.create(&f.vm, &f.config, &f.device, err);
}

static void destroy(void *ctx)
{
	(void)ctx;
	virtio_vsock_class.destroy(f.device);
	f.device = NULL;
}

static int set_up(void **state)
{
	(void)state;
	memset(&f, 0, sizeof(f));
	fake_vhost_clear();
	fake_vhost.features = SEQPACKET;
	fake_driver_vm_create(&f.vm, &f.vm_config, RAM_BYTES);
	f.config.class = &virtio_vsock_class;
	device_config_set_number(&f.config, "cid", CID);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	virtio_vsock_class.destroy(f.device);
	assert_int_equal(fake_vhost.created, fake_vhost.destroyed);
	assert_false(fake_vhost.running);
	fake_driver_vm_destroy(&f.vm);
	return 0;
}

static void build(void)
{
	assert_int_equal(create(NULL, NULL), 0);
	fake_driver_init(&f.driver, &f.vm, f.device, RINGS_GPA);
}

static bool start(unsigned int queues)
{
	return fake_driver_start(&f.driver, SEQPACKET, queues, 64);
}

static void test_what_the_guest_sees(void **state)
{
	uint8_t cid[8];

	(void)state;
	build();
	assert_int_equal(f.driver.vdev->info->device_id, 19);
	assert_int_equal(f.driver.vdev->info->queue_count, 3);
	assert_int_equal(f.driver.vdev->info->config_size_bytes, 8);
	virtio_config_read(f.driver.vdev, 0, cid, sizeof(cid));
	assert_int_equal(load_le64(cid), CID);
	assert_int_equal(fake_vhost.cid, CID);
	assert_string_equal(fake_vhost.vhosts[0]->setup.path, "/dev/vhost-vsock");
	assert_true(f.driver.vdev->offered_features & SEQPACKET);
	destroy(NULL);
	fake_vhost.features = 0; /* a kernel before 5.14 */
	build();
	assert_false(f.driver.vdev->offered_features & SEQPACKET);
}

static void test_cid_of_another(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	fake_vhost.cid_result = -EADDRINUSE;
	assert_int_equal(create(NULL, &err), -EADDRINUSE);
	assert_non_null(strstr(err.message, "--vsock 42"));
	assert_non_null(strstr(err.message, "choose another"));
	fake_vhost.cid_result = -EINVAL;
	assert_int_equal(create(NULL, &err), -EINVAL);
	assert_null(f.device);
}

static void test_create_fails(void **state)
{
	(void)state;
	assert_true(failures_run(create, destroy, NULL) >= 4);
	fake_vhost.fail_create = fake_vhost.created;
	fake_vhost.fail_code = -EACCES;
	assert_int_equal(create(NULL, NULL), -EACCES);
	fake_vhost.fail_create = FAKE_VHOST_NONE;
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(create(NULL, NULL), -ENOSPC);
	assert_null(f.device);
}

static void test_runs_between_activate_and_reset(void **state)
{
	(void)state;
	build();
	assert_false(fake_vhost.running);
	assert_true(start(3));
	assert_true(fake_vhost.running);
	assert_true(fake_vhost.start_features & SEQPACKET);
	fake_driver_reset(&f.driver);
	assert_false(fake_vhost.running);
	assert_true(start(3));
	assert_true(fake_vhost.running);
	virtio_device_reset(f.device); /* the VM's */
	assert_false(fake_vhost.running);
	assert_int_equal(fake_vhost.cid, CID); /* still its own */
}

/* Both queues or none; of the third nothing is wanted, and nothing done with it. */
static void test_both_packet_queues(void **state)
{
	const struct fake_driver_buffer buffer = { MIB, 64, true };
	uint32_t head, size_bytes;

	(void)state;
	build();
	assert_true(start(1));
	assert_false(fake_vhost.running);
	fake_driver_kick(&f.driver, 0);
	fake_driver_reset(&f.driver);
	assert_true(start(3));
	fake_driver_add(&f.driver, 2, &buffer, 1);
	fake_driver_kick(&f.driver, 2);
	assert_false(fake_driver_take_used(&f.driver, 2, &head, &size_bytes));
	virtio_queue_set_ready(f.driver.vdev, 2, false);
	assert_true(fake_vhost.running);
	virtio_queue_set_ready(f.driver.vdev, 1, false);
	assert_false(fake_vhost.running);
	assert_false(virtio_status(f.driver.vdev) & NR);
}

static void test_start_fails(void **state)
{
	(void)state;
	build();
	fake_vhost.fail_start = 0;
	fake_vhost.fail_code = -EIO;
	assert_false(start(3));
	assert_false(fake_vhost.running);
	fake_driver_reset(&f.driver);
	fake_vhost.fail_start = FAKE_VHOST_NONE;
	assert_true(start(3));
	assert_true(fake_vhost.running);
}

/* `--vsock CID`, of 3 to 2^32 - 2 (5.10.4), and it has to be given. */
static void test_row(void **state)
{
	const struct device_option *option = virtio_vsock_class.options;

	(void)state;
	assert_string_equal(virtio_vsock_class.option, "vsock");
	assert_string_equal(virtio_vsock_class.positional, "cid");
	assert_false(virtio_vsock_class.on_by_default);
	assert_int_equal(virtio_vsock_class.option_count, 1);
	assert_string_equal(option->key, "cid");
	assert_int_equal(option->min, 3);
	assert_int_equal(option->max, 0xfffffffe);
	assert_true(option->default_value < option->min);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_the_guest_sees), TEST(test_cid_of_another),
		TEST(test_create_fails),        TEST(test_runs_between_activate_and_reset),
		TEST(test_both_packet_queues),  TEST(test_start_fails),
		cmocka_unit_test(test_row),
	};

	return cmocka_run_group_tests_name("virtio_vsock", tests, NULL, NULL);
}
