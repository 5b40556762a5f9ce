/* SPDX-License-Identifier: Apache-2.0 */
/* The eventfds behind notifications: opened, placed, moved, lent, and none left open. */
/* fakes: virtio_machine test_driver fake_kvm fake_arch */
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_kvm.h"
#include "open_fds.h"
#include "virtio_machine.h"

#define STATUS_ALL \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK)

/* A transport whose registers are wherever the test says. */
struct toy_transport {
	struct virtio_transport transport; /* first */
	gpa_t gpa;                         /* 0: nowhere */
	int interrupt_fd;
	_Atomic unsigned int notified;
};

static struct toy_transport *from_transport(struct virtio_transport *transport)
{
	return container_of(transport, struct toy_transport, transport);
}

static void notify_used(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)queue_index;
	from_transport(transport)->notified++;
}

static void notify_config(struct virtio_transport *transport)
{
	(void)transport;
}

static bool kick_address(struct virtio_transport *transport, unsigned int queue_index,
                         struct ioeventfd *ret)
{
	struct toy_transport *toy = from_transport(transport);

	*ret = (struct ioeventfd){ .gpa = toy->gpa + 4 * queue_index, .size_bytes = 4 };
	return toy->gpa;
}

static int interrupt_fd(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)queue_index;
	return from_transport(transport)->interrupt_fd;
}

static void reset(struct virtio_transport *transport)
{
	(void)transport;
}

static void destroy(struct virtio_transport *transport)
{
	free(from_transport(transport));
}

static const struct virtio_transport_ops toy_ops = {
	.notify_used = notify_used,
	.notify_config = notify_config,
	.kick_address = kick_address,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
	.destroy = destroy,
};

int virtio_pci_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                      struct error *err)
{
	struct toy_transport *toy = calloc(1, sizeof(*toy));

	(void)err;
	toy->transport.ops = &toy_ops;
	toy->transport.vdev = vdev;
	toy->gpa = 0x1000;
	toy->interrupt_fd = -ENOTSUP;
	*ret_transport = &toy->transport;
	return 0;
}

int virtio_mmio_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                       struct error *err)
{
	return virtio_pci_create(vdev, ret_transport, err);
}

struct fixture {
	struct virtio_machine machine;
	struct probe *probe;
	struct virtio_device *vdev;
	struct toy_transport *toy;
	unsigned int open_before;
};

static void set_up(struct fixture *f)
{
	int ret;

	virtio_machine_create(&f->machine, TRANSPORT_PCI);
	f->probe = probe_create(&f->machine, &ret, NULL);
	assert_non_null(f->probe);
	f->vdev = &f->probe->vdev;
	f->toy = from_transport(f->vdev->transport);
	machine_settle(&f->machine); /* the loop's own descriptors are there */
	f->open_before = open_fd_count();
}

static void stop(struct fixture *f)
{
	virtio_set_status(f->vdev, 0);
	assert_int_equal(open_fd_count(), f->open_before);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
}

static void tear_down(struct fixture *f)
{
	stop(f);
	probe_destroy(f->probe);
	virtio_machine_destroy(&f->machine);
}

/* With the first queue_count queues; whether the device took it. */
static bool start(struct fixture *f, unsigned int queue_count)
{
	virtio_set_driver_features(f->vdev, 1, 1);
	virtio_set_status(f->vdev, STATUS_ALL & ~VIRTIO_CONFIG_S_DRIVER_OK);
	for (unsigned int i = 0; i < queue_count; i++) {
		struct virtqueue_config config = {
			.size = 8,
			.descriptor_gpa = 0x1000 * i,
			.driver_gpa = 0x1000 * i + 0x400,
			.device_gpa = 0x1000 * i + 0x800,
		};

		virtio_queue_set_config(f->vdev, i, &config);
		virtio_queue_set_ready(f->vdev, i, true);
	}
	virtio_set_status(f->vdev, STATUS_ALL);
	machine_settle(&f->machine);
	memset(f->probe->notifications, 0, sizeof(f->probe->notifications));
	return virtio_status(f->vdev) == STATUS_ALL;
}

static void only_ready_queues_have_eventfds(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(start(&f, 1));
	assert_int_equal(open_fd_count(), f.open_before + 1);
	assert_int_equal(fake_kvm_ioeventfd_count(), 1);
	virtio_queue_kick(f.vdev, 1); /* not ready */
	virtio_queue_kick(f.vdev, PROBE_QUEUES);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[1], 0);
	tear_down(&f);
}

/* Edge-triggered: every signal wakes anew, although nobody reads. */
static void every_signal_arrives(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(start(&f, 2));
	for (unsigned int i = 1; i <= 5; i++) {
		machine_write(&f.machine, 0x1004, 0, 4);
		machine_settle(&f.machine);
		assert_int_equal(f.probe->notifications[1], i);
	}
	assert_int_equal(f.probe->notifications[0], 0);
	tear_down(&f);
}

static void ioeventfds_follow_the_transport(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(start(&f, 2));
	f.toy->gpa = 0x2000;
	virtio_kicks_moved(f.vdev);
	assert_false(fake_kvm_guest_write(false, 0x1000, 0, 4));
	machine_write(&f.machine, 0x2000, 0, 4);
	machine_settle(&f.machine);
	f.toy->gpa = 0;
	virtio_kicks_moved(f.vdev);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	virtio_queue_kick(f.vdev, 0); /* still heard */
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 2);
	stop(&f);
	virtio_kicks_moved(f.vdev); /* nothing runs */
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	tear_down(&f);
}

static void refused_ioeventfd_costs_speed_alone(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned int n = 0; n < PROBE_QUEUES; n++) {
		set_up(&f);
		fake_kvm_fail_nth(n, -ENOSPC);
		assert_true(start(&f, PROBE_QUEUES));
		assert_true(fake_kvm_has_failed());
		assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES - 1);
		virtio_queue_kick(f.vdev, n);
		machine_settle(&f.machine);
		assert_int_equal(f.probe->notifications[n], 1);
		tear_down(&f);
	}
}

/* Without descriptors left, the device needs a reset; with some again, it comes up. */
static void no_descriptors_left(void **state)
{
	struct fixture f;
	struct rlimit before, tight;

	(void)state;
	set_up(&f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned int spare = 0; spare < PROBE_QUEUES; spare++) {
		int next = dup(0); /* the lowest free number */

		close(next);
		tight = before;
		tight.rlim_cur = (rlim_t)next + spare;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		assert_false(start(&f, PROBE_QUEUES));
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_true(virtio_status(f.vdev) & VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_int_equal(f.probe->activations, 0);
		stop(&f);
	}
	assert_true(start(&f, PROBE_QUEUES));
	tear_down(&f);
}

/* A device that does not come up hears nothing, and holds nothing. */
static void failed_start_closes_all(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	f.probe->activate_ret = -EIO;
	assert_false(start(&f, PROBE_QUEUES));
	assert_int_equal(open_fd_count(), f.open_before);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	tear_down(&f);
}

static void eventfds_are_lent_and_come_back(void **state)
{
	struct fixture f;
	struct error err = ERROR_INIT;
	uint64_t count;
	int kick_fd = -1, call_fd = -1;

	(void)state;
	set_up(&f);
	assert_int_equal(virtio_queue_take_eventfds(f.vdev, 0, NULL, &kick_fd, &call_fd, &err),
	                 -ENOTCONN);
	assert_int_equal(err.code, -ENOTCONN);
	assert_int_equal(kick_fd, -1);
	assert_true(start(&f, 2));
	assert_int_equal(virtio_queue_take_eventfds(f.vdev, 0, NULL, &kick_fd, &call_fd, NULL), 0);
	machine_write(&f.machine, 0x1000, 0, 4);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 0); /* the borrower's to see */
	assert_int_equal(read(kick_fd, &count, sizeof(count)), sizeof(count));
	count = 1;
	assert_int_equal(write(call_fd, &count, sizeof(count)), sizeof(count));
	machine_settle(&f.machine);
	assert_int_equal(f.toy->notified, 1);
	virtio_queue_return_eventfds(f.vdev, 0);
	assert_int_equal(open_fd_count(), f.open_before + 2); /* the two kicks */
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 1); /* for what came meanwhile */
	virtio_queue_return_eventfds(f.vdev, 0);        /* twice is harmless */
	machine_write(&f.machine, 0x1000, 0, 4);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 2);
	tear_down(&f);
}

/* On the device's loop, so that the relay does not come in between. */
static void call_and_return(void *ctx)
{
	struct fixture *f = ctx;
	uint64_t one = 1;
	int kick_fd, call_fd;

	assert_int_equal(virtio_queue_take_eventfds(f->vdev, 0, NULL, &kick_fd, &call_fd, NULL), 0);
	assert_int_equal(write(call_fd, &one, sizeof(one)), sizeof(one));
	virtio_queue_return_eventfds(f->vdev, 0);
}

static void last_call_is_not_lost(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_true(start(&f, 1));
	event_loop_call(f.vdev->loop, call_and_return, &f);
	machine_settle(&f.machine);
	assert_true(f.toy->notified > 0);
	tear_down(&f);
}

static void transports_own_descriptor_is_lent(void **state)
{
	struct fixture f;
	int kick_fd, call_fd;

	(void)state;
	set_up(&f);
	f.toy->interrupt_fd = 0; /* any: it is only passed on */
	assert_true(start(&f, 1));
	assert_int_equal(virtio_queue_take_eventfds(f.vdev, 0, NULL, &kick_fd, &call_fd, NULL), 0);
	assert_int_equal(call_fd, 0);
	tear_down(&f);
}

static struct {
	unsigned int queue_index, times;
	int call_fd;
} moved;

static void call_moved(void *ctx, unsigned int queue_index, int call_fd)
{
	assert_ptr_equal(ctx, &moved);
	moved.queue_index = queue_index;
	moved.call_fd = call_fd;
	moved.times++;
}

/* From a vector to the line, to another vector, and to the same one. */
static void borrower_follows_the_interrupt(void **state)
{
	const struct virtio_queue_borrower borrower = { .call_moved = call_moved, .ctx = &moved };
	struct fixture f;
	uint64_t one = 1;
	int kick_fd, call_fd;

	(void)state;
	memset(&moved, 0, sizeof(moved));
	set_up(&f);
	f.toy->interrupt_fd = 0;
	assert_true(start(&f, 2));
	virtio_interrupts_moved(f.vdev); /* nothing is lent */
	assert_int_equal(
		virtio_queue_take_eventfds(f.vdev, 1, &borrower, &kick_fd, &call_fd, NULL), 0);
	assert_int_equal(call_fd, 0);
	f.toy->interrupt_fd = -ENOTSUP;
	virtio_interrupts_moved(f.vdev);
	machine_settle(&f.machine);
	assert_int_equal(moved.times, 1);
	assert_int_equal(moved.queue_index, 1);
	assert_int_equal(f.toy->notified, 1); /* for what the old one swallowed */
	assert_int_equal(write(moved.call_fd, &one, sizeof(one)), sizeof(one));
	machine_settle(&f.machine);
	assert_int_equal(f.toy->notified, 2);
	virtio_interrupts_moved(f.vdev);
	machine_settle(&f.machine);
	assert_int_equal(moved.times, 1); /* the relay is as good as before */
	f.toy->interrupt_fd = 0;
	virtio_interrupts_moved(f.vdev);
	machine_settle(&f.machine);
	assert_int_equal(moved.times, 2);
	assert_int_equal(moved.call_fd, 0);
	assert_int_equal(open_fd_count(), f.open_before + 2); /* the relay is closed */
	virtio_queue_return_eventfds(f.vdev, 1);
	virtio_interrupts_moved(f.vdev);
	machine_settle(&f.machine);
	assert_int_equal(moved.times, 2);
	tear_down(&f);
}

static void reset_while_lent_closes_all(void **state)
{
	struct fixture f;
	int kick_fd, call_fd;

	(void)state;
	set_up(&f);
	assert_true(start(&f, 1));
	assert_int_equal(virtio_queue_take_eventfds(f.vdev, 0, NULL, &kick_fd, &call_fd, NULL), 0);
	assert_int_equal(open_fd_count(), f.open_before + 2); /* kick and relay */
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_ready_queues_have_eventfds),
		cmocka_unit_test(every_signal_arrives),
		cmocka_unit_test(ioeventfds_follow_the_transport),
		cmocka_unit_test(refused_ioeventfd_costs_speed_alone),
		cmocka_unit_test(no_descriptors_left),
		cmocka_unit_test(failed_start_closes_all),
		cmocka_unit_test(eventfds_are_lent_and_come_back),
		cmocka_unit_test(last_call_is_not_lost),
		cmocka_unit_test(transports_own_descriptor_is_lent),
		cmocka_unit_test(borrower_follows_the_interrupt),
		cmocka_unit_test(reset_while_lent_closes_all),
	};

	return cmocka_run_group_tests_name("virtio_kick", tests, NULL, NULL);
}
