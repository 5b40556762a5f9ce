/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over MMIO against VIRTIO 1.2, 4.2. */
/* fakes: virtio_machine test_driver fake_kvm fake_arch */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "fake_arch.h"
#include "fake_kvm.h"
#include "virtio_machine.h"

#define RING_GPA 0x10000
#define STATUS_READY \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

struct fixture {
	struct virtio_machine machine;
	struct probe *probe;
	struct test_ring rings[PROBE_QUEUES];
};

static uint32_t in(struct fixture *f, unsigned int offset)
{
	return (uint32_t)machine_read(&f->machine, MACHINE_VIRTIO_GPA + offset, 4);
}

static void out(struct fixture *f, unsigned int offset, uint32_t value)
{
	machine_write(&f->machine, MACHINE_VIRTIO_GPA + offset, value, 4);
}

static void set_up(struct fixture *f)
{
	int ret;

	virtio_machine_create(&f->machine, TRANSPORT_MMIO);
	f->probe = probe_create(&f->machine, &ret, NULL);
	assert_non_null(f->probe);
}

static void tear_down(struct fixture *f)
{
	probe_destroy(f->probe);
	virtio_machine_destroy(&f->machine);
}

static void set_up_queue(struct fixture *f, unsigned int queue_index)
{
	struct test_ring *ring = &f->rings[queue_index];

	test_ring_init(ring, f->machine.vm.memory, RING_GPA + queue_index * TEST_RING_BYTES, 8);
	out(f, VIRTIO_MMIO_QUEUE_SEL, queue_index);
	out(f, VIRTIO_MMIO_QUEUE_NUM, 8);
	out(f, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring->descriptor_gpa);
	out(f, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	out(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)ring->driver_gpa);
	out(f, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	out(f, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)ring->device_gpa);
	out(f, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	out(f, VIRTIO_MMIO_QUEUE_READY, 1);
}

/* 3.1.1, over registers. */
static void start(struct fixture *f)
{
	out(f, VIRTIO_MMIO_STATUS, 0);
	out(f, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	out(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	out(f, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	out(f, VIRTIO_MMIO_STATUS, STATUS_READY);
	assert_int_equal(in(f, VIRTIO_MMIO_STATUS), STATUS_READY);
	for (unsigned int i = 0; i < PROBE_QUEUES; i++)
		set_up_queue(f, i);
	out(f, VIRTIO_MMIO_STATUS, STATUS_READY | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(in(f, VIRTIO_MMIO_STATUS), STATUS_READY | VIRTIO_CONFIG_S_DRIVER_OK);
	machine_settle(&f->machine);
}

/* A buffer there and back. */
static void pass(struct fixture *f, unsigned int queue_index)
{
	uint32_t head, size_bytes;

	test_ring_offer_buffer(&f->rings[queue_index], MACHINE_SCRATCH_GPA, 4, true);
	out(f, VIRTIO_MMIO_QUEUE_NOTIFY, queue_index);
	machine_settle(&f->machine);
	assert_true(test_ring_take_used(&f->rings[queue_index], &head, &size_bytes));
}

static void registers_read_as_specified(void **state)
{
	static const struct {
		const char *what;
		unsigned int offset;
		uint32_t value;
	} rows[] = {
		{ "4.2.2.1: magic", VIRTIO_MMIO_MAGIC_VALUE, 0x74726976 },
		{ "4.2.2.1: version", VIRTIO_MMIO_VERSION, 2 },
		{ "device", VIRTIO_MMIO_DEVICE_ID, PROBE_DEVICE_ID },
		{ "QueueReady", VIRTIO_MMIO_QUEUE_READY, 0 },
		{ "QueueNumMax", VIRTIO_MMIO_QUEUE_NUM_MAX, 16 },
		{ "InterruptStatus", VIRTIO_MMIO_INTERRUPT_STATUS, 0 },
		{ "Status", VIRTIO_MMIO_STATUS, 0 },
		{ "no such shared memory: length low", VIRTIO_MMIO_SHM_LEN_LOW, UINT32_MAX },
		{ "length high", VIRTIO_MMIO_SHM_LEN_HIGH, UINT32_MAX },
		{ "base low", VIRTIO_MMIO_SHM_BASE_LOW, UINT32_MAX },
		{ "base high", VIRTIO_MMIO_SHM_BASE_HIGH, UINT32_MAX },
		{ "write-only", VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX },
		{ "nothing there", 0x0f0, UINT32_MAX },
		{ "config space", VIRTIO_MMIO_CONFIG, 0xc3c2c1c0 },
		{ "config space, last", VIRTIO_MMIO_CONFIG + 8, 0xcbcac9c8 },
		{ "behind it", VIRTIO_MMIO_CONFIG + PROBE_CONFIG_BYTES, UINT32_MAX },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (in(&f, rows[i].offset) != rows[i].value)
			fail_msg("%s: %#x", rows[i].what, in(&f, rows[i].offset));
	/* 4.2.2.2: 32 bits wide and aligned, but for the config space. */
	assert_int_equal(machine_read(&f.machine, MACHINE_VIRTIO_GPA, 2), 0xffff);
	assert_int_equal(machine_read(&f.machine, MACHINE_VIRTIO_GPA + 2, 4), UINT32_MAX);
	assert_int_equal(machine_read(&f.machine, MACHINE_VIRTIO_GPA, 8), UINT64_MAX);
	assert_int_equal(machine_read(&f.machine, MACHINE_VIRTIO_GPA + 0x101, 1), 0xc1);
	assert_int_equal(machine_read(&f.machine, MACHINE_VIRTIO_GPA + 0x102, 2), 0xc3c2);
	tear_down(&f);
}

static void features_come_in_words(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(in(&f, VIRTIO_MMIO_DEVICE_FEATURES),
	                 1U << PROBE_FEATURE_A | 1U << PROBE_FEATURE_B | 3U << 28);
	out(&f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(in(&f, VIRTIO_MMIO_DEVICE_FEATURES), 1);
	out(&f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(in(&f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	tear_down(&f);
}

static void queues_that_are_not_there(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	out(&f, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(in(&f, VIRTIO_MMIO_QUEUE_NUM_MAX), 8);
	for (unsigned int i = 0; i < 2; i++) {
		out(&f, VIRTIO_MMIO_QUEUE_SEL, i ? UINT32_MAX : PROBE_QUEUES);
		assert_int_equal(in(&f, VIRTIO_MMIO_QUEUE_NUM_MAX), 0); /* 4.2.2: not available */
		out(&f, VIRTIO_MMIO_QUEUE_NUM, 8);
		out(&f, VIRTIO_MMIO_QUEUE_DESC_HIGH, 8);
		out(&f, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(in(&f, VIRTIO_MMIO_QUEUE_READY), 0);
		out(&f, VIRTIO_MMIO_QUEUE_NOTIFY, i ? UINT32_MAX : PROBE_QUEUES);
	}
	tear_down(&f);
}

static void addresses_have_two_halves(void **state)
{
	struct fixture f;
	struct virtqueue_config config;

	(void)state;
	set_up(&f);
	out(&f, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x11);
	out(&f, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x22);
	out(&f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x33);
	out(&f, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0x44);
	out(&f, VIRTIO_MMIO_QUEUE_USED_HIGH, 0x55);
	out(&f, VIRTIO_MMIO_QUEUE_USED_LOW, 0x66);
	out(&f, VIRTIO_MMIO_QUEUE_NUM, 0x10008); /* not 8 */
	assert_true(virtio_queue_config(&f.probe->vdev, 0, &config));
	assert_int_equal(config.descriptor_gpa, UINT64_C(0x1100000022));
	assert_int_equal(config.driver_gpa, UINT64_C(0x4400000033));
	assert_int_equal(config.device_gpa, UINT64_C(0x5500000066));
	assert_int_equal(config.size, 0);
	tear_down(&f);
}

static void buffers_pass_without_an_exit(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0); /* none before it is needed */
	start(&f);
	assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES);
	for (unsigned int i = 0; i < PROBE_QUEUES; i++) {
		const struct kvm_ioeventfd *kick = fake_kvm_ioeventfd(i);

		assert_int_equal(kick->addr, MACHINE_VIRTIO_GPA + VIRTIO_MMIO_QUEUE_NOTIFY);
		assert_int_equal(kick->len, 4);
		assert_int_equal(kick->flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
		pass(&f, i);
	}
	out(&f, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	start(&f);
	pass(&f, 1);
	tear_down(&f);
}

/* A host that refuses ioeventfds costs speed alone. */
static void buffers_pass_by_the_register_too(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	start(&f);
	/* KVM_IOEVENTFD of queue 0 is refused at the next start. */
	out(&f, VIRTIO_MMIO_STATUS, 0);
	fake_kvm_fail_nth(0, -ENOSPC);
	start(&f);
	assert_true(fake_kvm_has_failed());
	assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES - 1);
	pass(&f, 0);
	pass(&f, 1);
	tear_down(&f);
}

/* 4.2.2.1: a bit is presented, and the line high, until the driver acknowledges it. */
static void interrupts_stay_until_acknowledged(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	start(&f);
	assert_false(fake_arch_level(MACHINE_VIRTIO_GSI));
	pass(&f, 0);
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	assert_true(fake_arch_level(MACHINE_VIRTIO_GSI));
	virtio_config_update(&f.probe->vdev, 0, "x", 1);
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS),
	                 VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	out(&f, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_true(fake_arch_level(MACHINE_VIRTIO_GSI));
	out(&f, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_false(fake_arch_level(MACHINE_VIRTIO_GSI));
	pass(&f, 1);
	assert_true(fake_arch_level(MACHINE_VIRTIO_GSI));
	out(&f, VIRTIO_MMIO_STATUS, 0); /* upon reset, all bits clear, QueueReady 0 */
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(in(&f, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_false(fake_arch_level(MACHINE_VIRTIO_GSI));
	tear_down(&f);
}

static void generation_is_read(void **state)
{
	struct fixture f;
	uint32_t before;

	(void)state;
	set_up(&f);
	before = in(&f, VIRTIO_MMIO_CONFIG_GENERATION);
	virtio_config_update(&f.probe->vdev, 0, "x", 1);
	in(&f, VIRTIO_MMIO_CONFIG);
	assert_int_not_equal(in(&f, VIRTIO_MMIO_CONFIG_GENERATION), before);
	machine_write(&f.machine, MACHINE_VIRTIO_GPA + VIRTIO_MMIO_CONFIG + 3, 7, 1);
	assert_int_equal(f.probe->config_write_offset, 3);
	assert_int_equal(f.probe->vdev.config[3], 7);
	tear_down(&f);
}

/* For vhost: with no vector to lend, the loop relays. */
static void call_eventfd_is_relayed(void **state)
{
	struct fixture f;
	struct virtio_device *vdev;
	uint64_t count = 1;
	int kick_fd, call_fd;

	(void)state;
	set_up(&f);
	start(&f);
	vdev = &f.probe->vdev;
	assert_int_equal(virtio_queue_take_eventfds(vdev, 0, NULL, &kick_fd, &call_fd, NULL), 0);
	f.probe->notifications[0] = 0;
	out(&f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 0);
	assert_int_equal(write(call_fd, &count, sizeof(count)), sizeof(count));
	machine_settle(&f.machine);
	assert_int_equal(in(&f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	virtio_queue_return_eventfds(vdev, 0);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 1);
	tear_down(&f);
}

static void slots_are_taken_in_order_and_published(void **state)
{
	struct virtio_machine machine;
	struct error err = ERROR_INIT;
	struct probe *probes[2];
	int ret;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_MMIO);
	for (unsigned int i = 0; i < 2; i++) {
		const struct device *device;

		probes[i] = probe_create(&machine, &ret, NULL);
		device = &probes[i]->vdev.device;
		assert_string_equal(device->compatible, "virtio,mmio");
		assert_int_equal(device->resource_count, 2);
		assert_int_equal(device->resources[0].kind, DEVICE_RESOURCE_MMIO);
		assert_int_equal(device->resources[0].base, MACHINE_VIRTIO_GPA + 0x1000 * i);
		assert_int_equal(device->resources[1].kind, DEVICE_RESOURCE_GSI);
		assert_int_equal(device->resources[1].base, i ? 10 : MACHINE_VIRTIO_GSI);
	}
	assert_null(probe_create(&machine, &ret, &err)); /* two slots, two devices */
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(err.code, -ENOSPC);
	probe_destroy(probes[0]);
	probes[0] = probe_create(&machine, &ret, NULL); /* its slot is free again */
	assert_int_equal(probes[0]->vdev.device.resources[0].base, MACHINE_VIRTIO_GPA);
	probe_destroy(probes[0]);
	probe_destroy(probes[1]);
	virtio_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_read_as_specified),
		cmocka_unit_test(features_come_in_words),
		cmocka_unit_test(queues_that_are_not_there),
		cmocka_unit_test(addresses_have_two_halves),
		cmocka_unit_test(buffers_pass_without_an_exit),
		cmocka_unit_test(buffers_pass_by_the_register_too),
		cmocka_unit_test(interrupts_stay_until_acknowledged),
		cmocka_unit_test(generation_is_read),
		cmocka_unit_test(call_eventfd_is_relayed),
		cmocka_unit_test(slots_are_taken_in_order_and_published),
	};

	return cmocka_run_group_tests_name("virtio_mmio", tests, NULL, NULL);
}
