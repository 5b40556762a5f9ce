/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net's pairs and their vhosts: which are opened, which run, on which descriptors. */
/* fakes: fake_vhost failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
#include <errno.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../devices/net/net_backend.h"
#include "../../devices/virtio/virtio_net_vhost.h"
#include "ebb/vm.h"
#include "failures.h"
#include "fake_vhost.h"

#define PAIRS     3
#define TAP_FD    50
#define MRG_RXBUF (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
#define FEATURES  (MRG_RXBUF | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4)

static unsigned int pairs_with_fd;

static int tap_fd_of(struct net_backend *backend, unsigned int pair)
{
	(void)backend;
	return pair < pairs_with_fd ? TAP_FD + (int)pair : -ENOTSUP;
}

static const struct net_backend_ops backend_ops = { .vhost_fd = tap_fd_of };
static struct net_backend backend = { .ops = &backend_ops, .name = "tap t0" };
static struct virtio_device vdev = { .driver_features = FEATURES };
static struct vm vm;
static struct metric_counter errors;

static const struct net_vhost_setup setup = {
	.vm = &vm,
	.vdev = &vdev,
	.backend = &backend,
	.pair_count = PAIRS,
	.error_count = &errors,
};

static int set_up(void **state)
{
	(void)state;
	fake_vhost_clear();
	fake_vhost.features = MRG_RXBUF | 1;
	fake_vhost.fail_code = -EIO;
	pairs_with_fd = PAIRS;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(fake_vhost.created, fake_vhost.destroyed);
	return 0;
}

static struct net_vhost *build(void)
{
	struct net_vhost *vhost = NULL;

	assert_int_equal(net_vhost_create(&setup, &vhost, NULL), 0);
	return vhost;
}

/* Each pair below `pairs` on its own descriptor, both queues; the others on none. */
static void runs(unsigned int pairs)
{
	assert_int_equal(fake_vhost_started_count(), pairs);
	for (unsigned int i = 0; i < PAIRS; i++)
		for (unsigned int queue = 0; queue < 2; queue++)
			assert_int_equal(fake_vhost.tap_fds[i][queue],
			                 i < pairs ? TAP_FD + (int)i : -1);
}

static void test_create(void **state)
{
	struct net_vhost *vhost = build();

	(void)state;
	assert_int_equal(fake_vhost.created, PAIRS);
	for (unsigned int i = 0; i < PAIRS; i++) {
		const struct vhost_setup *of_pair = &fake_vhost.vhosts[i]->setup;

		assert_string_equal(of_pair->path, "/dev/vhost-net");
		assert_int_equal(of_pair->first_queue, 2 * i);
		assert_int_equal(of_pair->queue_count, 2);
		assert_ptr_equal(of_pair->vdev, &vdev);
		assert_ptr_equal(of_pair->error_count, &errors);
	}
	assert_int_equal(net_vhost_features(vhost), MRG_RXBUF);
	fake_vhost.features = 0;
	assert_int_equal(net_vhost_features(vhost), 0);
	net_vhost_destroy(vhost);
	net_vhost_destroy(NULL);
}

static int create(void *ctx, struct error *err)
{
	return net_vhost_create(&setup, ctx, err);
}

static void destroy(void *ctx)
{
	net_vhost_destroy(*(struct net_vhost **)ctx);
}

static void test_create_fails(void **state)
{
	struct net_vhost *vhost = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(failures_run(create, destroy, &vhost), 1 + PAIRS);
	for (unsigned int i = 0; i < PAIRS; i++) {
		fake_vhost.created = fake_vhost.destroyed = 0;
		fake_vhost.fail_create = i;
		assert_int_equal(net_vhost_create(&setup, &vhost, &err), -EIO);
		assert_int_equal(fake_vhost.destroyed, i);
	}
	fake_vhost.fail_create = FAKE_VHOST_NONE;
	pairs_with_fd = 0; /* passt has nothing for the kernel */
	assert_int_equal(net_vhost_create(&setup, &vhost, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "tap t0"));
}

static void test_pairs_come_and_go(void **state)
{
	struct net_vhost *vhost = build();

	(void)state;
	net_vhost_stop(vhost); /* nothing runs */
	assert_int_equal(net_vhost_start(vhost, 1, NULL), 0);
	assert_int_equal(fake_vhost.start_features, FEATURES);
	runs(1);
	assert_int_equal(net_vhost_set_pairs(vhost, 3, NULL), 0);
	runs(3);
	assert_int_equal(net_vhost_set_pairs(vhost, 3, NULL), 0);
	runs(3);
	assert_int_equal(net_vhost_set_pairs(vhost, 2, NULL), 0);
	runs(2);
	net_vhost_stop(vhost);
	runs(0);
	assert_int_equal(net_vhost_start(vhost, 2, NULL), 0);
	runs(2);
	net_vhost_destroy(vhost);
	runs(0);
}

static void test_start_fails(void **state)
{
	struct net_vhost *vhost = build();
	struct error err = ERROR_INIT;

	(void)state;
	fake_vhost.fail_start = 2;
	assert_int_equal(net_vhost_start(vhost, 3, &err), -EIO);
	assert_true(err.message[0]);
	runs(0);
	assert_int_equal(net_vhost_start(vhost, 1, NULL), 0);
	assert_int_equal(net_vhost_set_pairs(vhost, 3, &err), -EIO);
	runs(1);
	fake_vhost.fail_start = FAKE_VHOST_NONE;
	pairs_with_fd = 1; /* the interface lost a queue */
	assert_int_equal(net_vhost_set_pairs(vhost, 2, &err), -ENOTSUP);
	runs(1);
	net_vhost_destroy(vhost);
}

static void test_stop_queue(void **state)
{
	struct net_vhost *vhost = build();

	(void)state;
	net_vhost_stop_queue(vhost, 3);
	net_vhost_stop_queue(vhost, 2 * PAIRS); /* the control queue */
	for (unsigned int i = 0; i < PAIRS; i++) {
		assert_false(fake_vhost.queue_stopped[i][0]);
		assert_int_equal(fake_vhost.queue_stopped[i][1], i == 1);
	}
	net_vhost_destroy(vhost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),      TEST(test_create_fails), TEST(test_pairs_come_and_go),
		TEST(test_start_fails), TEST(test_stop_queue),
	};

	return cmocka_run_group_tests_name("virtio_net_vhost", tests, NULL, NULL);
}
