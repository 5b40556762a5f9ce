/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net: features, queue numbers, config space, which path, what it is made of. */
/* fakes: net_machine fake_net_backend fake_net_vhost fake_virtio_driver hostile_chains test_driver fake_vm failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "ebb/bytes.h"
#include "failures.h"
#include "fake_vm.h"
#include "net_machine.h"

#define F(name) NET_FEATURE(VIRTIO_NET_F_##name)

#define CONTROL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE))
#define ALWAYS  (F(MAC) | F(STATUS) | F(MRG_RXBUF) | CONTROL)

#define CORE (UINT64_C(1) << 32 | UINT64_C(1) << 29 | UINT64_C(1) << 28)

static int set_up(void **state)
{
	struct net_machine *m = calloc(1, sizeof(*m));

	net_machine_begin(m);
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	net_machine_end(*state);
	free(*state);
	return 0;
}

static void create(struct net_machine *m)
{
	struct error err = ERROR_INIT;

	if (net_machine_create(m, &err))
		fail_msg("%s", err.message);
}

static uint64_t offered(const struct net_machine *m)
{
	return virtio_offered_features(m->driver.vdev, 0) |
	       (uint64_t)virtio_offered_features(m->driver.vdev, 1) << 32;
}

static uint16_t config_u16(struct net_machine *m, size_t offset)
{
	uint8_t bytes[2];

	virtio_config_read(m->driver.vdev, offset, bytes, sizeof(bytes));
	return load_le16(bytes);
}

static uint16_t status(struct net_machine *m)
{
	return config_u16(m, offsetof(struct virtio_net_config, status));
}

/* --- features --- */

static void test_offers_what_the_back_end_carries(void **state)
{
	static const struct {
		uint64_t backend, offered;
	} table[] = {
		{ 0, 0 },
		{ F(CSUM), F(CSUM) },
		{ F(GUEST_CSUM), F(GUEST_CSUM) | F(CTRL_GUEST_OFFLOADS) },
		{ F(HOST_TSO4) | F(GUEST_TSO6), 0 }, /* not without checksums */
		{ F(CSUM) | F(HOST_ECN), F(CSUM) },
		{ NET_HOST_OFFLOADS, NET_HOST_OFFLOADS },
		{ NET_GUEST_OFFLOADS, NET_GUEST_OFFLOADS | F(CTRL_GUEST_OFFLOADS) },
		{ F(RSS) | F(HASH_REPORT) | F(CTRL_VLAN) | F(STANDBY), 0 }, /* not a back end's */
	};
	struct net_machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		fake_net.features = table[i].backend;
		create(m);
		assert_int_equal(offered(m), table[i].offered | ALWAYS | CORE);
		virtio_net_class.destroy(m->device);
		m->device = NULL;
	}
}

static void test_offers_pairs_and_mtu(void **state)
{
	struct net_machine *m = *state;

	fake_net.queue_pairs = 4;
	fake_net.mtu = 9000;
	create(m);
	assert_int_equal(offered(m), ALWAYS | CORE | F(MQ) | F(MTU));
	assert_int_equal(config_u16(m, offsetof(struct virtio_net_config, max_virtqueue_pairs)), 4);
	assert_int_equal(config_u16(m, offsetof(struct virtio_net_config, mtu)), 9000);
	/* There is nothing behind that. */
	assert_int_equal(config_u16(m, offsetof(struct virtio_net_config, speed)), 0xffff);
}

static void test_the_user_says_the_mtu(void **state)
{
	struct net_machine *m = *state;
	struct error err = ERROR_INIT;

	device_config_set_number(&m->config, "mtu", 67);
	assert_int_equal(net_machine_create(m, &err), -EINVAL);
	assert_non_null(strstr(err.message, "mtu=67"));
	assert_non_null(strstr(err.message, "68 to 65535"));
	device_config_set_number(&m->config, "mtu", 1280);
	fake_net.mtu = 9000;
	create(m);
	assert_int_equal(config_u16(m, offsetof(struct virtio_net_config, mtu)), 1280);
	assert_true(offered(m) & F(MTU));
}

static void test_no_merging_where_vhost_cannot(void **state)
{
	struct net_machine *m = *state;

	fake_net_vhost.create_result = 0;
	fake_net_vhost.features = 0;
	create(m);
	assert_int_equal(offered(m), (ALWAYS | CORE) & ~F(MRG_RXBUF));
}

/* 5.1.3.1, each of them: what needs, and what is needed. */
static void test_features_that_need_others(void **state)
{
	static const struct {
		uint64_t feature, needs;
	} table[] = {
		{ F(GUEST_TSO4), F(GUEST_CSUM) },
		{ F(GUEST_TSO6), F(GUEST_CSUM) },
		{ F(GUEST_UFO), F(GUEST_CSUM) },
		{ NET_FEATURE(NET_F_GUEST_USO4), F(GUEST_CSUM) },
		{ NET_FEATURE(NET_F_GUEST_USO6), F(GUEST_CSUM) },
		{ F(GUEST_ECN), F(GUEST_TSO6) | F(GUEST_CSUM) },
		{ F(GUEST_ECN), F(GUEST_TSO4) | F(GUEST_CSUM) },
		{ F(HOST_TSO4), F(CSUM) },
		{ F(HOST_TSO6), F(CSUM) },
		{ F(HOST_UFO), F(CSUM) },
		{ NET_FEATURE(NET_F_HOST_USO), F(CSUM) },
		{ F(HOST_ECN), F(HOST_TSO4) | F(CSUM) },
		{ F(HOST_ECN), F(HOST_TSO6) | F(CSUM) },
		{ F(CTRL_RX), F(CTRL_VQ) },
		{ F(GUEST_ANNOUNCE), F(CTRL_VQ) },
		{ F(MQ), F(CTRL_VQ) },
		{ F(CTRL_MAC_ADDR), F(CTRL_VQ) },
	};
	struct net_machine *m = *state;

	fake_net.features = NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS;
	fake_net.queue_pairs = 2;
	create(m);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(net_consistent_features(table[i].feature), 0);
		assert_false(fake_driver_negotiate(&m->driver, table[i].feature));
		fake_driver_reset(&m->driver);
		assert_true(
			fake_driver_negotiate(&m->driver, table[i].feature | table[i].needs));
		fake_driver_reset(&m->driver);
	}
	assert_true(fake_driver_negotiate(&m->driver, 0));
	fake_driver_reset(&m->driver);
	assert_true(fake_driver_negotiate(&m->driver, offered(m)));
}

/* --- queue numbers --- */

static void test_queue_numbers(void **state)
{
	enum { R = NET_QUEUE_RECEIVE, S = NET_QUEUE_SEND, C = NET_QUEUE_CONTROL };
	static const struct {
		uint64_t features;
		unsigned int pairs_max;
		int roles[8];
	} table[] = {
		{ 0, 1, { R, S } },
		{ 0, 3, { R, S } },
		{ F(CTRL_VQ), 1, { R, S, C } },
		{ F(CTRL_VQ), 3, { R, S, C } },
		{ F(CTRL_VQ) | F(MQ), 1, { R, S, C } },
		{ F(CTRL_VQ) | F(MQ), 2, { R, S, R, S, C } },
		{ F(CTRL_VQ) | F(MQ), 3, { R, S, R, S, R, S, C } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		for (unsigned int queue = 0; queue < 8; queue++) {
			unsigned int pair = 99;
			int role = (int)net_queue_role(table[i].features, table[i].pairs_max, queue,
			                               &pair);

			assert_int_equal(role, table[i].roles[queue]);
			if (role == R || role == S)
				assert_int_equal(pair, queue / 2);
		}
	}
}

/* The same through the queues: where a command is answered. */
static void test_control_queue_is_where_linux_looks(void **state)
{
	static const uint8_t promiscuous[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	static const struct {
		uint64_t features;
		unsigned int pairs, control;
	} table[] = {
		{ F(CTRL_VQ) | F(CTRL_RX), 1, 2 },
		{ F(CTRL_VQ) | F(CTRL_RX), 3, 2 },
		{ F(CTRL_VQ) | F(CTRL_RX) | F(MQ), 2, 4 },
		{ F(CTRL_VQ) | F(CTRL_RX) | F(MQ), 3, 6 },
	};
	struct net_machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		fake_net.queue_pairs = table[i].pairs;
		create(m);
		assert_true(fake_driver_start(&m->driver, table[i].features, table[i].control + 1,
		                              16));
		for (unsigned int queue = 2; queue <= table[i].control; queue++)
			assert_int_equal(net_machine_command(m, queue, promiscuous, 3),
			                 queue == table[i].control ? VIRTIO_NET_OK : 0xff);
		virtio_net_class.destroy(m->device);
		m->device = NULL;
	}
}

/* --- config space --- */

static void read_mac(struct net_machine *m, uint8_t mac[MAC_BYTES])
{
	virtio_config_read(m->driver.vdev, 0, mac, MAC_BYTES);
}

static void test_mac_is_the_users(void **state)
{
	static const uint8_t wanted[MAC_BYTES] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct net_machine *m = *state;
	uint8_t mac[MAC_BYTES];

	device_config_set_string(&m->config, "mac", "52:54:00:12:34:56");
	create(m);
	read_mac(m, mac);
	assert_memory_equal(mac, wanted, MAC_BYTES);
}

static void test_mac_is_refused(void **state)
{
	struct net_machine *m = *state;
	struct error err = ERROR_INIT;

	device_config_set_string(&m->config, "mac", "01:00:5e:00:00:01");
	assert_int_equal(net_machine_create(m, &err), -EINVAL);
	assert_non_null(strstr(err.message, "mac=01:00:5e:00:00:01"));
	assert_int_equal(fake_net.open_count, 0);
}

static void test_mac_follows_from_names(void **state)
{
	uint8_t first[MAC_BYTES], again[MAC_BYTES], other[MAC_BYTES];
	struct net_machine *m = *state;

	create(m);
	read_mac(m, first);
	assert_int_equal(first[0] & 3, 2); /* an interface's, locally administered */
	virtio_net_class.destroy(m->device);
	create(m);
	read_mac(m, again);
	assert_memory_equal(first, again, MAC_BYTES);
	virtio_net_class.destroy(m->device);
	strcpy(m->config.id, "net1");
	create(m);
	read_mac(m, other);
	assert_memory_not_equal(first, other, MAC_BYTES);
}

static void test_a_mac_that_was_set_goes_with_a_reset(void **state)
{
	static const uint8_t set[] = { 1, 1, 2, 0, 0, 0, 0, 7 };
	uint8_t first[MAC_BYTES], now[MAC_BYTES];
	struct net_machine *m = *state;

	create(m);
	read_mac(m, first);
	assert_true(fake_driver_start(&m->driver, F(CTRL_VQ) | F(CTRL_MAC_ADDR), 3, 16));
	assert_int_equal(net_machine_command(m, 2, set, sizeof(set)), VIRTIO_NET_OK);
	read_mac(m, now);
	assert_memory_equal(now, set + 2, MAC_BYTES);
	assert_int_equal(fake_transport.config_notifications, 0);
	fake_driver_reset(&m->driver);
	read_mac(m, now);
	assert_memory_equal(now, first, MAC_BYTES);
}

static void test_driver_cannot_write_config(void **state)
{
	static const uint8_t ones[] = { 0xff, 0xff, 0xff, 0xff };
	struct net_machine *m = *state;
	uint8_t before[12], after[12];

	create(m);
	virtio_config_read(m->driver.vdev, 0, before, sizeof(before));
	for (size_t offset = 0; offset < 12; offset += 4)
		virtio_config_write(m->driver.vdev, offset, ones, 4);
	virtio_config_read(m->driver.vdev, 0, after, sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
}

static void test_asks_to_announce_after_a_pause(void **state)
{
	static const uint8_t ack[] = { VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK };
	struct net_machine *m = *state;

	create(m);
	fake_vm_tell(VM_EVENT_RESUME, 0); /* nobody there who could */
	assert_true(fake_driver_start(&m->driver, F(STATUS) | F(CTRL_VQ), 3, 16));
	fake_vm_tell(VM_EVENT_RESUME, 0); /* nor one who would */
	fake_driver_settle(&m->driver);
	assert_int_equal(status(m), VIRTIO_NET_S_LINK_UP);
	fake_driver_reset(&m->driver);
	assert_true(fake_driver_start(&m->driver, F(STATUS) | F(CTRL_VQ) | F(GUEST_ANNOUNCE), 3,
	                              16));
	fake_vm_tell(VM_EVENT_STOP, 0);
	fake_driver_settle(&m->driver);
	assert_int_equal(status(m), VIRTIO_NET_S_LINK_UP);
	fake_vm_tell(VM_EVENT_RESUME, 0);
	fake_driver_settle(&m->driver);
	assert_int_equal(status(m), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_int_equal(net_machine_command(m, 2, ack, sizeof(ack)), VIRTIO_NET_OK);
	assert_int_equal(status(m), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(fake_transport.config_notifications, 1);
	fake_vm_tell(VM_EVENT_RESUME, 0);
	fake_driver_settle(&m->driver);
	fake_driver_reset(&m->driver);
	assert_int_equal(status(m), VIRTIO_NET_S_LINK_UP);
}

/* --- the path --- */

static void set_vhost(struct net_machine *m, bool on)
{
	device_config_set_number(&m->config, "vhost", on);
}

static void test_vhost_where_it_can_be(void **state)
{
	struct net_machine *m = *state;

	fake_net_vhost.create_result = 0;
	create(m);
	assert_int_equal(fake_net_vhost.open_count, 1);
	assert_int_equal(net_machine_metric(m, "vhost_in_use"), 1);
	assert_true(fake_driver_start(&m->driver, F(CSUM) & offered(m), 2, 16));
	assert_int_equal(fake_net_vhost.pairs, 1);
	fake_driver_kick(&m->driver, 0); /* nothing to do with it */
	fake_driver_kick(&m->driver, 1);
	assert_int_equal(fake_net.send_calls + fake_net.receive_calls, 0);
	virtio_queue_set_ready(m->driver.vdev, 1, false);
	assert_int_equal(fake_net_vhost.stopped_queues, 1U << 1);
	fake_driver_reset(&m->driver);
	assert_int_equal(fake_net_vhost.pairs, 0);
	assert_int_equal(fake_net_vhost.stops, 1);
}

static void test_itself_where_vhost_cannot_be(void **state)
{
	struct net_machine *m = *state;

	create(m);
	assert_int_equal(net_machine_metric(m, "vhost_in_use"), 0);
	assert_true(fake_driver_start(&m->driver, 0, 2, 16));
	assert_int_equal(fake_net_vhost.starts, 0);
}

static void test_vhost_off(void **state)
{
	struct net_machine *m = *state;

	fake_net_vhost.create_result = 0;
	set_vhost(m, false);
	create(m);
	assert_int_equal(fake_net_vhost.open_count, 0);
}

static void test_vhost_on_or_not_at_all(void **state)
{
	struct net_machine *m = *state;
	struct error err = ERROR_INIT;

	set_vhost(m, true);
	assert_int_equal(net_machine_create(m, &err), -ENOENT);
	assert_string_equal(err.message, "vhost=on: /dev/vhost-net is not there");
	fake_net_vhost.create_result = 0;
	create(m);
	assert_int_equal(fake_net_vhost.open_count, 1);
}

static void test_vhost_that_does_not_start(void **state)
{
	struct net_machine *m = *state;

	fake_net_vhost.create_result = 0;
	fake_net_vhost.start_result = -EFAULT;
	create(m);
	assert_false(fake_driver_start(&m->driver, 0, 2, 16)); /* NEEDS_RESET */
	fake_driver_reset(&m->driver);
	fake_net_vhost.start_result = 0;
	assert_true(fake_driver_start(&m->driver, 0, 2, 16));
}

static void test_pairs_of_vhost(void **state)
{
	static const uint8_t two[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 };
	static const uint8_t one[] = { VIRTIO_NET_CTRL_MQ, 0, 1, 0 };
	struct net_machine *m = *state;

	fake_net_vhost.create_result = 0;
	fake_net.queue_pairs = 2;
	create(m);
	assert_true(fake_driver_start(&m->driver, F(MQ) | F(CTRL_VQ), 5, 16));
	assert_int_equal(fake_net_vhost.pairs, 1);
	assert_int_equal(fake_net.pairs, 1);
	assert_int_equal(net_machine_command(m, 4, two, sizeof(two)), VIRTIO_NET_OK);
	assert_int_equal(fake_net_vhost.pairs, 2);
	assert_int_equal(fake_net.pairs, 2);
	fake_net_vhost.set_pairs_result = -EBUSY;
	assert_int_equal(net_machine_command(m, 4, one, sizeof(one)), VIRTIO_NET_ERR);
	assert_int_equal(fake_net.pairs, 2);
	fake_net_vhost.set_pairs_result = 0;
	assert_int_equal(net_machine_command(m, 4, one, sizeof(one)), VIRTIO_NET_OK);
	assert_int_equal(fake_net_vhost.pairs, 1);
	assert_int_equal(fake_net.pairs, 1);
	fake_net.set_pairs_result = -EPERM;
	assert_int_equal(net_machine_command(m, 4, two, sizeof(two)), VIRTIO_NET_ERR);
	assert_int_equal(fake_net_vhost.pairs, 1);
	fake_net.set_pairs_result = 0;
	fake_driver_reset(&m->driver);
	assert_true(fake_driver_start(&m->driver, F(MQ) | F(CTRL_VQ), 5, 16));
	assert_int_equal(fake_net_vhost.pairs, 1);
}

/* --- making it --- */

static void test_kinds(void **state)
{
	struct net_machine *m = *state;
	struct error err = ERROR_INIT;

	create(m);
	assert_string_equal(fake_net.opened, "tap");
	virtio_net_class.destroy(m->device);
	m->device = NULL;
	device_config_set_string(&m->config, "kind", "user");
	create(m);
	assert_string_equal(fake_net.opened, "passt");
	virtio_net_class.destroy(m->device);
	m->device = NULL;
	device_config_set_string(&m->config, "kind", "bridge");
	assert_int_equal(net_machine_create(m, &err), -EINVAL);
	assert_non_null(strstr(err.message, "kind=bridge"));
}

static void test_create_fails(void **state)
{
	struct net_machine *m = *state;
	struct error err = ERROR_INIT;

	fake_net.open_result = -EPERM;
	assert_int_equal(net_machine_create(m, &err), -EPERM);
	assert_string_equal(err.message, "no network");
	fake_net.open_result = 0;
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(net_machine_create(m, &err), -ENOSPC);
	assert_null(m->device);
	virtio_net_class.destroy(NULL);
}

static int create_again(void *ctx, struct error *err)
{
	return net_machine_create(ctx, err);
}

static void destroy_again(void *ctx)
{
	struct net_machine *m = ctx;

	virtio_net_class.destroy(m->device);
	m->device = NULL;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

/* The host refuses one call, whichever. */
static void test_every_call_of_create_fails(void **state)
{
	struct net_machine *m = *state;

	event_loop_call(m->vm.io_loop, nothing, NULL); /* has its thread now */
	fake_net.queue_pairs = 3;
	assert_true(failures_run(create_again, destroy_again, m) > 20);
	assert_int_equal(fake_net.open_count, 0);
	fake_net_vhost.create_result = 0;
	assert_true(failures_run(create_again, destroy_again, m) > 10);
	assert_int_equal(fake_net.open_count + fake_net_vhost.open_count, 0);
}

static void test_back_end_refuses_offloads(void **state)
{
	struct net_machine *m = *state;

	create(m);
	fake_net.set_offloads_result = -EINVAL;
	assert_false(fake_driver_start(&m->driver, 0, 2, 16));
	fake_driver_reset(&m->driver);
	fake_net.set_offloads_result = 0;
	assert_true(fake_driver_start(&m->driver, F(MRG_RXBUF), 2, 16));
	assert_true(fake_net.offloads & F(MRG_RXBUF));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_offers_what_the_back_end_carries),
		TEST(test_offers_pairs_and_mtu),
		TEST(test_the_user_says_the_mtu),
		TEST(test_no_merging_where_vhost_cannot),
		TEST(test_features_that_need_others),
		TEST(test_queue_numbers),
		TEST(test_control_queue_is_where_linux_looks),
		TEST(test_mac_is_the_users),
		TEST(test_mac_is_refused),
		TEST(test_mac_follows_from_names),
		TEST(test_a_mac_that_was_set_goes_with_a_reset),
		TEST(test_driver_cannot_write_config),
		TEST(test_asks_to_announce_after_a_pause),
		TEST(test_vhost_where_it_can_be),
		TEST(test_itself_where_vhost_cannot_be),
		TEST(test_vhost_off),
		TEST(test_vhost_on_or_not_at_all),
		TEST(test_vhost_that_does_not_start),
		TEST(test_pairs_of_vhost),
		TEST(test_kinds),
		TEST(test_create_fails),
		TEST(test_every_call_of_create_fails),
		TEST(test_back_end_refuses_offloads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
