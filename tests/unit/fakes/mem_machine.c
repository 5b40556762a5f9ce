/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio-mem device in a VM by hand: mem_machine.h. __wrap_* and __real_* are the linker's names
 * (ld --wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "ebb/memslot.h"
#include "fake_arch.h"
#include "fake_kvm.h"
#include "mem_machine.h"

#define REQUEST_BYTES  24
#define RESPONSE_BYTES 10
#define QUEUE_SIZE     256
#define POISON         0xee /* what an answer's place holds before */

struct mem_calls mem_calls;
struct vcpu *mem_vcpu;

/* --- the rooms behind --- */

int __real_gmem_plug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
int __wrap_gmem_plug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
int __real_gmem_unplug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
int __wrap_gmem_unplug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
int __real_gmem_plug_again(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
int __wrap_gmem_plug_again(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
void __real_gmem_trim(struct gmem_area *area);
void __wrap_gmem_trim(struct gmem_area *area);
int __real_reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                           struct reclaim_range *ranges, size_t count,
                           struct reclaim_outcome *ret_outcome);
int __wrap_reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                           struct reclaim_range *ranges, size_t count,
                           struct reclaim_outcome *ret_outcome);
struct vcpu *__wrap_vcpu_current(struct vm *vm);

static bool fails(bool always, gpa_t gpa, uint64_t size_bytes)
{
	unsigned int index = mem_calls.total++;

	return always ||
	       (index >= mem_calls.fail_from &&
	        index - mem_calls.fail_from < mem_calls.fail_count) ||
	       (mem_calls.fail_gpa && range_contains(gpa, size_bytes, mem_calls.fail_gpa, 1));
}

int __wrap_gmem_plug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	mem_calls.plug++;
	return fails(mem_calls.fail_plug, gpa, size_bytes)
	               ? -ENOMEM
	               : __real_gmem_plug(area, gpa, size_bytes);
}

int __wrap_gmem_unplug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	mem_calls.unplug++;
	return fails(mem_calls.fail_unplug, gpa, size_bytes)
	               ? -ENOMEM
	               : __real_gmem_unplug(area, gpa, size_bytes);
}

int __wrap_gmem_plug_again(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	mem_calls.plug_again++;
	return fails(mem_calls.fail_plug_again, 0, 0)
	               ? -ENOMEM
	               : __real_gmem_plug_again(area, gpa, size_bytes);
}

void __wrap_gmem_trim(struct gmem_area *area)
{
	mem_calls.trim++;
	__real_gmem_trim(area);
}

int __wrap_reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                           struct reclaim_range *ranges, size_t count,
                           struct reclaim_outcome *ret_outcome)
{
	assert_int_equal(source, RECLAIM_UNPLUG);
	mem_calls.release++;
	if (fails(mem_calls.fail_release, 0, 0)) {
		memset(ranges, 0xa5, count * sizeof(*ranges)); /* as it may */
		return -EIO;
	}
	return __real_reclaim_release(reclaim, source, ranges, count, ret_outcome);
}

struct vcpu *__wrap_vcpu_current(struct vm *vm)
{
	(void)vm;
	return mem_vcpu;
}

/* --- the machine --- */

int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config *config = &f->vm_config.devices[0];

	memset(&mem_calls, 0, sizeof(mem_calls));
	mem_vcpu = NULL;
	fake_kvm_reset();
	fake_kvm_set_extension(KVM_CAP_NR_MEMSLOTS, 32764); /* as x86-64 has */
	fake_arch_reset();
	fake_reclaim_host_reset();
	fake_transport_clear();
	fake_vm_clear();
	f->vm.config = &f->vm_config;
	list_init(&f->vm.devices);
	f->vm_config.memory.size_bytes = RAM_BYTES;
	f->vm_config.device_count = 1;
	assert_int_equal(guest_memory_create(&f->vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->vm.memory, 0, RAM_BYTES, NULL, NULL), 0);
	f->vm.kvm = fake_kvm_open();
	f->vm.kvm_vm = fake_kvm_vm(f->vm.kvm);
	assert_int_equal(memslots_create(&f->vm, &f->vm.memslots, NULL), 0);
	assert_int_equal(reclaim_create(f->vm.memory, &f->vm.reclaim, NULL), 0);
	assert_int_equal(bus_create("mmio", &f->vm.mmio), 0);
	assert_int_equal(event_loop_create("reclaim", &f->vm.reclaim_loop, NULL), 0);
	device_config_init(config, "virtio-mem");
	strcpy(config->id, "vm0");
	device_config_set_number(config, "size", REGION_BYTES);
	*state = f;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *f = *state;

	device_destroy_all(&f->vm);
	event_loop_destroy(f->vm.reclaim_loop);
	bus_destroy(f->vm.mmio);
	reclaim_destroy(f->vm.reclaim);
	memslots_destroy(f->vm.memslots);
	kvm_vm_destroy(f->vm.kvm_vm);
	kvm_close(f->vm.kvm);
	guest_memory_destroy(f->vm.memory);
	free(f);
	return 0;
}

void create(struct fixture *f)
{
	struct error err = ERROR_INIT;

	assert_int_equal(device_create(&f->vm, &f->vm_config.devices[0], &err), 0);
	f->mem = memory_device_next(&f->vm, NULL);
	assert_non_null(f->mem);
	f->device = device_find(&f->vm, "virtio-mem");
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
}

void start(struct fixture *f)
{
	if (!f->device)
		create(f);
	f->request_count = 0;
	assert_true(fake_driver_start(&f->driver, FEATURES, 1, QUEUE_SIZE));
}

void request_size(struct fixture *f, uint64_t size_bytes)
{
	assert_int_equal(memory_device_set_requested(f->mem, size_bytes, NULL), 0);
}

/* --- the driver --- */

static gpa_t request_gpa(unsigned int index)
{
	return REQUEST_GPA + index * 64;
}

static void store_request(struct fixture *f, gpa_t at, uint16_t type, gpa_t gpa,
                          uint16_t block_count)
{
	uint8_t bytes[32 + RESPONSE_BYTES];

	memset(bytes, POISON, sizeof(bytes)); /* padding is not looked at */
	store_le16(bytes, type);
	store_le64(bytes + 8, gpa);
	store_le16(bytes + 16, block_count);
	assert_int_equal(gmem_write(f->vm.memory, at, bytes, sizeof(bytes)), 0);
}

void add_at(struct fixture *f, uint16_t type, gpa_t gpa, uint16_t block_count)
{
	gpa_t at = request_gpa(f->request_count++);
	const struct fake_driver_buffer buffers[] = {
		{ at, REQUEST_BYTES, false },
		{ at + 32, RESPONSE_BYTES, true },
	};

	store_request(f, at, type, gpa, block_count);
	fake_driver_add(&f->driver, 0, buffers, 2);
}

void add(struct fixture *f, uint16_t type, uint64_t block, uint16_t block_count)
{
	add_at(f, type, REGION_GPA + block * BLOCK, block_count);
}

void kick(struct fixture *f, uint16_t *answers)
{
	uint32_t head, size_bytes;
	unsigned int count = f->request_count;

	f->request_count = 0;
	fake_driver_kick(&f->driver, 0);
	for (unsigned int i = 0; i < count; i++) {
		uint8_t bytes[RESPONSE_BYTES];

		for (unsigned int tries = 0; tries < 64; tries++) {
			if (fake_driver_take_used(&f->driver, 0, &head, &size_bytes))
				break;
			assert_int_not_equal(tries, 63);
			fake_driver_settle(&f->driver); /* another turn */
		}
		assert_int_equal(size_bytes, RESPONSE_BYTES);
		assert_int_equal(gmem_read(f->vm.memory, request_gpa(i) + 32, bytes, sizeof(bytes)),
		                 0);
		answers[i] = load_le16(bytes);
		assert_int_equal(bytes[7], 0);
	}
	assert_false(fake_driver_take_used(&f->driver, 0, &head, &size_bytes));
}

uint16_t answer_state(struct fixture *f, unsigned int index)
{
	uint8_t bytes[2];

	assert_int_equal(gmem_read(f->vm.memory, request_gpa(index) + 32 + 8, bytes, 2), 0);
	return load_le16(bytes);
}

uint16_t ask(struct fixture *f, uint16_t type, uint64_t block, uint16_t block_count)
{
	uint16_t answer;

	add(f, type, block, block_count);
	kick(f, &answer);
	return answer;
}

uint16_t plug(struct fixture *f, uint64_t block, uint16_t block_count)
{
	return ask(f, VIRTIO_MEM_REQ_PLUG, block, block_count);
}

uint16_t unplug(struct fixture *f, uint64_t block, uint16_t block_count)
{
	return ask(f, VIRTIO_MEM_REQ_UNPLUG, block, block_count);
}

/* --- what is there --- */

struct memory_device_status status(struct fixture *f)
{
	struct memory_device_status status;

	memory_device_query(f->mem, &status);
	return status;
}

uint64_t read_config(struct fixture *f, size_t offset)
{
	uint8_t bytes[8];

	virtio_config_read(f->driver.vdev, offset, bytes, sizeof(bytes));
	return load_le64(bytes);
}

bool is_plugged(struct fixture *f, uint64_t block)
{
	return gmem_span(f->vm.memory, REGION_GPA + block * BLOCK, BLOCK);
}

void touch(struct fixture *f, uint64_t block, uint64_t block_count)
{
	for (uint64_t offset = 0; offset < block_count * BLOCK; offset += PAGE_4K_BYTES)
		*(uint8_t *)gmem_span(f->vm.memory, REGION_GPA + block * BLOCK + offset, 1) = 0x5a;
}
