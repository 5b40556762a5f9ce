/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem: its config space, what users ask of it, resets, touches of what is not plugged. */
/* fakes: mem_machine fake_arch fake_kvm fake_reclaim_host fake_virtio_driver hostile_chains */
/* fakes: test_driver fake_vm failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: vcpu_current gmem_plug gmem_unplug gmem_plug_again gmem_trim reclaim_release */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>

#include "failures.h"
#include "mem_machine.h"

#define ACK  VIRTIO_MEM_RESP_ACK
#define NACK VIRTIO_MEM_RESP_NACK
#define BUSY VIRTIO_MEM_RESP_BUSY

static void set_number(struct fixture *f, const char *key, uint64_t value)
{
	device_config_set_number(&f->vm_config.devices[0], key, value);
}

static void test_config_at_start(void **state)
{
	struct fixture *f = *state;

	set_number(f, "requested-size", 64 * MIB);
	set_number(f, "block-size", 4 * MIB);
	set_number(f, "node", 3);
	create(f);
	assert_int_equal(read_config(f, CONFIG(block_size)), 4 * MIB);
	assert_int_equal(read_config(f, CONFIG(node_id)) & UINT16_MAX, 3);
	assert_int_equal(read_config(f, CONFIG(addr)), REGION_GPA);
	assert_int_equal(read_config(f, CONFIG(region_size)), REGION_BYTES);
	assert_int_equal(read_config(f, CONFIG(usable_region_size)), 320 * MIB);
	assert_int_equal(read_config(f, CONFIG(plugged_size)), 0);
	assert_int_equal(read_config(f, CONFIG(requested_size)), 64 * MIB);
	/* Behind its end there is nothing; none of it is the driver's to write. */
	assert_true(read_config(f, sizeof(struct virtio_mem_config)) == UINT64_MAX);
	virtio_config_write(f->driver.vdev, CONFIG(requested_size), "abcdefgh", 8);
	assert_int_equal(read_config(f, CONFIG(requested_size)), 64 * MIB);
	assert_int_equal(fake_vm.events[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 0);
}

static void test_query(void **state)
{
	struct fixture *f = *state;
	struct memory_device_status s;

	set_number(f, "requested-size", 16 * MIB);
	set_number(f, "node", 1);
	create(f);
	s = status(f);
	assert_string_equal(s.id, "vm0");
	assert_int_equal(s.gpa, REGION_GPA);
	assert_int_equal(s.node, 1);
	assert_int_equal(s.block_bytes, BLOCK);
	assert_int_equal(s.region_bytes, REGION_BYTES);
	assert_int_equal(s.usable_bytes, 272 * MIB);
	assert_int_equal(s.requested_bytes, 16 * MIB);
	assert_int_equal(s.plugged_bytes, 0);
	assert_int_equal(s.slots, 0);
	assert_false(s.driver_ready);
	assert_int_equal(s.negotiated_features, 0);
	start(f);
	assert_int_equal(plug(f, 0, 1), ACK);
	s = status(f);
	assert_true(s.driver_ready);
	assert_int_equal(s.negotiated_features & 3, 3);
	assert_int_equal(s.plugged_bytes, BLOCK);
	assert_int_equal(s.slots, 1);
	assert_int_equal(s.answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_ACK], 1);
	assert_int_equal(metric_read(&f->device->metrics[0].counter), BLOCK);
	assert_int_equal(unplug(f, 0, 1), ACK);
	s = status(f);
	assert_int_equal(s.slots, 0);
	assert_int_equal(metric_read(&f->device->metrics[1].counter), BLOCK);
}

static void test_find(void **state)
{
	struct fixture *f = *state;
	struct memory_device_status s;
	struct memory_device *second;

	f->vm_config.device_count = 2;
	device_config_init(&f->vm_config.devices[1], "virtio-mem");
	strcpy(f->vm_config.devices[1].id, "dimm");
	device_config_set_number(&f->vm_config.devices[1], "size", REGION_BYTES);
	create(f);
	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[1], NULL), 0);
	second = memory_device_next(&f->vm, f->mem);
	assert_non_null(second);
	assert_null(memory_device_next(&f->vm, second));
	assert_ptr_equal(memory_device_find(&f->vm, "vm0"), f->mem);
	assert_ptr_equal(memory_device_find(&f->vm, "dimm"), second);
	assert_null(memory_device_find(&f->vm, "vm1"));
	memory_device_query(second, &s);
	assert_string_equal(s.id, "dimm");
	assert_int_equal(s.gpa, REGION_GPA + REGION_BYTES);
}

static void test_requested_size(void **state)
{
	static const uint64_t wrong[] = { 1, MIB, BLOCK + 1, REGION_BYTES + BLOCK, UINT64_MAX };
	struct fixture *f = *state;

	create(f);
	request_size(f, 8 * MIB); /* nobody there to hear of it */
	assert_int_equal(fake_transport.config_notifications, 0);
	start(f);
	request_size(f, 16 * MIB);
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_int_equal(read_config(f, CONFIG(requested_size)), 16 * MIB);
	assert_int_equal(read_config(f, CONFIG(usable_region_size)), 272 * MIB);
	/* Saying it again has the driver try again. */
	request_size(f, 16 * MIB);
	assert_int_equal(fake_transport.config_notifications, 2);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(memory_device_set_requested(f->mem, wrong[i], &err), -EINVAL);
		assert_non_null(strstr(err.message, "vm0: "));
	}
	assert_int_equal(fake_transport.config_notifications, 2);
	assert_int_equal(status(f).requested_bytes, 16 * MIB);
	request_size(f, REGION_BYTES);
	assert_int_equal(status(f).usable_bytes, REGION_BYTES);
}

/* 5.15.4: it shrinks when all is unplugged, never else. */
static void test_usable_region(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 512 * MIB);
	request_size(f, 4 * MIB);
	assert_int_equal(status(f).usable_bytes, 768 * MIB);
	assert_int_equal(plug(f, 383, 1), ACK);
	assert_int_equal(unplug(f, 383, 1), ACK);
	assert_int_equal(status(f).usable_bytes, 768 * MIB);
	fake_transport.config_notifications = 0;
	assert_int_equal(ask(f, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(read_config(f, CONFIG(usable_region_size)), 260 * MIB);
	assert_int_equal(plug(f, 383, 1), VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(fake_transport.config_notifications, 0); /* and nobody is told */
	request_size(f, 512 * MIB);
	assert_int_equal(plug(f, 383, 1), ACK);
}

static void test_events(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(fake_vm.events[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 0);
	assert_int_equal(plug(f, 0, 8), ACK);
	assert_int_equal(fake_vm.events[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 1);
	assert_int_equal(fake_vm.event_values[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 16 * MIB);
	assert_int_equal(plug(f, 0, 1), VIRTIO_MEM_RESP_ERROR);
	assert_int_equal(ask(f, VIRTIO_MEM_REQ_STATE, 0, 1), ACK);
	assert_int_equal(fake_vm.events[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 1);
	assert_int_equal(unplug(f, 0, 1), ACK);
	assert_int_equal(fake_vm.events[VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE], 2);
	/* 5.15.4: of what it did itself the driver is not notified. */
	assert_int_equal(fake_transport.config_notifications, 1);
}

/* 5.15.5: the driver goes, what is plugged stays, and the next one finds it. */
static void test_driver_reset(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 2, 4), ACK);
	touch(f, 2, 4);
	fake_driver_reset(&f->driver);
	assert_int_equal(status(f).plugged_bytes, 8 * MIB);
	assert_false(status(f).driver_ready);
	start(f);
	assert_int_equal(read_config(f, CONFIG(plugged_size)), 8 * MIB);
	assert_int_equal(
		*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA + 5 * BLOCK + PAGE_4K_BYTES, 1),
		0x5a);
	assert_int_equal(unplug(f, 2, 4), ACK);
}

/* Requests that it left behind are not carried out for the next. */
static void test_driver_reset_between(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	for (unsigned int i = 0; i < 100; i++) {
		for (unsigned int block = 0; block < 8; block++)
			add(f, i & 1 ? VIRTIO_MEM_REQ_UNPLUG : VIRTIO_MEM_REQ_PLUG, block * 2, 1);
		virtio_queue_kick(f->driver.vdev, 0); /* and does not wait */
		fake_driver_reset(&f->driver);
		start(f);
		assert_int_equal(ask(f, VIRTIO_MEM_REQ_STATE, 1, 1), ACK);
		assert_int_equal(answer_state(f, 0), VIRTIO_MEM_STATE_UNPLUGGED);
	}
}

static void test_vm_reset(void **state)
{
	struct fixture *f = *state;
	struct memory_device_status s;

	set_number(f, "requested-size", 8 * MIB);
	start(f);
	request_size(f, 512 * MIB);
	for (unsigned int block = 0; block < 64; block += 2)
		assert_int_equal(plug(f, block, 1), ACK);
	touch(f, 0, 1);
	request_size(f, 16 * MIB);
	assert_int_equal(status(f).usable_bytes, 768 * MIB);
	f->device->reset(f->device);
	s = status(f);
	assert_int_equal(s.plugged_bytes, 0);
	assert_int_equal(s.slots, 0);
	/* What the user asked for last stays; the room is as at the start. */
	assert_int_equal(s.requested_bytes, 16 * MIB);
	assert_int_equal(s.usable_bytes, 272 * MIB);
	start(f);
	assert_int_equal(plug(f, 0, 1), ACK);
	assert_int_equal(*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA, 1), 0);
}

/* What the host keeps from being unplugged stays plugged, and says so. */
static void test_vm_reset_fails(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 4), ACK);
	assert_int_equal(plug(f, 6, 2), ACK);
	mem_calls.fail_gpa = REGION_GPA + 6 * BLOCK;
	f->device->reset(f->device);
	assert_int_equal(status(f).plugged_bytes, 12 * MIB);
	assert_true(is_plugged(f, 0) && is_plugged(f, 6));
	mem_calls.fail_gpa = 0;
	mem_calls.fail_release = true;
	f->device->reset(f->device);
	assert_int_equal(status(f).plugged_bytes, 12 * MIB);
	mem_calls.fail_release = false;
	start(f);
	assert_int_equal(ask(f, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(status(f).plugged_bytes, 0);
	/* What is neither released nor given back is unplugged all the same. */
	assert_int_equal(plug(f, 0, 4), ACK);
	request_size(f, 32 * MIB);
	mem_calls.fail_release = mem_calls.fail_plug_again = true;
	f->device->reset(f->device);
	mem_calls.fail_release = mem_calls.fail_plug_again = false;
	assert_int_equal(status(f).plugged_bytes, 0);
	assert_int_equal(status(f).usable_bytes, 32 * MIB + 256 * MIB);
}

/* --- enforcement --- */

static void test_features(void **state)
{
	struct fixture *f = *state;

	create(f);
	assert_false(fake_driver_negotiate(&f->driver, UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM));
	assert_false(virtio_status(f->driver.vdev) & VIRTIO_CONFIG_S_FEATURES_OK);
	fake_driver_reset(&f->driver);
	assert_true(fake_driver_start(&f->driver,
	                              UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE, 1, 64));
	fake_driver_reset(&f->driver);
	assert_false(fake_driver_negotiate(&f->driver, FEATURES | UINT64_C(1) << 2));
}

static void test_touch(void **state)
{
	struct vcpu vcpu = { .index = 3 };
	struct fixture *f = *state;
	uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	create(f);
	mem_vcpu = &vcpu;
	assert_true(bus_read(f->vm.mmio, REGION_GPA, data, 8));
	assert_memory_equal(data, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	assert_int_equal(status(f).touches, 1);
	assert_int_equal(status(f).touched_block, 0);
	assert_int_equal(status(f).touched_vcpu, 3);
	vcpu.index = 1;
	assert_true(bus_write(f->vm.mmio, REGION_GPA + REGION_BYTES - 1, data, 1));
	assert_int_equal(status(f).touches, 2);
	assert_int_equal(status(f).touched_block, REGION_BYTES / BLOCK - 1);
	assert_int_equal(status(f).touched_vcpu, 1);
	assert_false(bus_read(f->vm.mmio, REGION_GPA + REGION_BYTES, data, 1));
	assert_false(bus_read(f->vm.mmio, REGION_GPA - 1, data, 1));
	assert_int_equal(status(f).touches, 2);
	assert_int_equal(metric_read(&f->device->metrics[2].counter), 2);
}

/* --- creation --- */

static void test_create_refuses(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	set_number(f, "requested-size", 3 * MIB);
	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[0], &err), -EINVAL);
	assert_non_null(strstr(err.message, "--virtio-mem"));
	set_number(f, "requested-size", 2 * MIB);
	/* Something else has its addresses. */
	assert_int_equal(gmem_add_region(f->vm.memory, REGION_GPA, BLOCK, NULL, NULL), 0);
	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[0], &err), -EEXIST);
	assert_int_equal(gmem_remove_region(f->vm.memory, REGION_GPA), 0);
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[0], &err), -ENOSPC);
	fake_transport.fail_create = 0;
	assert_null(memory_device_next(&f->vm, NULL));
	/* Nothing of those is left. */
	create(f);
	start(f);
	assert_int_equal(plug(f, 0, 1), ACK);
}

static void test_registers_taken(void **state)
{
	static const struct bus_ops ops = { .read = NULL };
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	assert_int_equal(bus_add(f->vm.mmio, REGION_GPA + MIB, 8, &ops, NULL, "other"), 0);
	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[0], &err), -EEXIST);
	bus_remove(f->vm.mmio, REGION_GPA + MIB);
	create(f);
}

static int create_device(void *ctx, struct error *err)
{
	struct fixture *f = ctx;

	return device_create(&f->vm, &f->vm_config.devices[0], err);
}

static void destroy_device(void *ctx)
{
	struct fixture *f = ctx;

	device_destroy_all(&f->vm);
}

/* The host refuses one call, whichever. */
static void test_every_call_of_create_fails(void **state)
{
	struct fixture *f = *state;

	assert_true(failures_run(create_device, destroy_device, f) > 5);
	f->vm_config.memory.backing.kind = GMEM_MEMFD;
	assert_true(failures_run(create_device, destroy_device, f) > 5);
	create(f);
	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 32), ACK);
}

/* With something plugged, and a driver. */
static void test_destroyed_while_in_use(void **state)
{
	struct fixture *f = *state;

	start(f);
	request_size(f, 64 * MIB);
	assert_int_equal(plug(f, 0, 32), ACK);
	for (unsigned int i = 0; i < 16; i++)
		add(f, VIRTIO_MEM_REQ_UNPLUG, i, 1);
	virtio_queue_kick(f->driver.vdev, 0);
	device_destroy_all(&f->vm);
	assert_int_equal(gmem_total_bytes(f->vm.memory), RAM_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_config_at_start),
		TEST(test_query),
		TEST(test_find),
		TEST(test_requested_size),
		TEST(test_usable_region),
		TEST(test_events),
		TEST(test_driver_reset),
		TEST(test_driver_reset_between),
		TEST(test_vm_reset),
		TEST(test_vm_reset_fails),
		TEST(test_features),
		TEST(test_touch),
		TEST(test_create_refuses),
		TEST(test_registers_taken),
		TEST(test_every_call_of_create_fails),
		TEST(test_destroyed_while_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
