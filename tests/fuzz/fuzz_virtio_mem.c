/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem, guest memory's areas and the reclaim engine behind it. The first byte chooses: a
 * driver that does anything, or sequences of requests, well-formed and not, against a model of the
 * device that says each answer and what is plugged then, also when the host's release calls fail.
 */
/* fakes: fake_virtio_driver hostile_chains test_driver fuzz_driver fake_vm fake_arch fake_kvm */
/* fakes: fake_reclaim_host */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_mem.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/memory_device.h"
#include "ebb/memslot.h"
#include "ebb/reclaim.h"
#include "fake_kvm.h"
#include "fake_reclaim_host.h"
#include "fake_vm.h"
#include "fuzz_driver.h"

#define RAM_BYTES      (4 * MIB)
#define RINGS_GPA      (RAM_BYTES - FAKE_DRIVER_QUEUES_MAX * FAKE_DRIVER_RING_BYTES)
#define REQUEST_GPA    (1 * MIB)
#define BLOCK          (2 * MIB)
#define BLOCKS         256
#define REGION_GPA     GIB
#define SLACK          (256 * MIB)
#define REQUESTS_MAX   32 /* at once */
#define OPERATIONS_MAX 64
#define FEATURES       UINT64_C(3)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct request {
	uint16_t type;
	gpa_t gpa;
	uint16_t block_count;
};

struct target {
	struct vm_config vm_config;
	struct vm vm;
	struct device *device;
	struct memory_device *mem;
	struct fuzz_driver fuzz;
	/* The model. */
	bool plugged[BLOCKS];
	uint64_t requested_bytes, usable_bytes;
	struct request requests[REQUESTS_MAX];
	unsigned int request_count;
};

static uint64_t usable_for(uint64_t requested_bytes)
{
	return requested_bytes ? min_u64(requested_bytes + SLACK, BLOCKS * BLOCK) : 0;
}

static uint64_t plugged_bytes(const struct target *target)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < BLOCKS; i++)
		bytes += target->plugged[i] ? BLOCK : 0;
	return bytes;
}

static void store(struct target *target, gpa_t gpa, const void *bytes, size_t size_bytes)
{
	int ret = gmem_write(target->vm.memory, gpa, bytes, size_bytes);

	assert(ret == 0);
	(void)ret;
}

static uint16_t load(struct target *target, gpa_t gpa)
{
	uint8_t bytes[2];
	int ret = gmem_read(target->vm.memory, gpa, bytes, sizeof(bytes));

	assert(ret == 0);
	(void)ret;
	return load_le16(bytes);
}

/* --- what the model says --- */

static bool is_valid(const struct target *target, const struct request *request)
{
	uint64_t offset = request->gpa - REGION_GPA;

	return request->type <= VIRTIO_MEM_REQ_STATE && request->block_count &&
	       offset % BLOCK == 0 && offset < target->usable_bytes &&
	       request->block_count <= (target->usable_bytes - offset) / BLOCK;
}

static uint16_t state_of(const struct target *target, const struct request *request)
{
	size_t first = (request->gpa - REGION_GPA) / BLOCK, count = 0;

	for (size_t i = 0; i < request->block_count; i++)
		count += target->plugged[first + i];
	if (count == request->block_count)
		return VIRTIO_MEM_STATE_PLUGGED;
	return count ? VIRTIO_MEM_STATE_MIXED : VIRTIO_MEM_STATE_UNPLUGGED;
}

static uint16_t expect(const struct target *target, const struct request *request)
{
	if (request->type == VIRTIO_MEM_REQ_UNPLUG_ALL)
		return VIRTIO_MEM_RESP_ACK;
	if (!is_valid(target, request))
		return VIRTIO_MEM_RESP_ERROR;
	if (request->type == VIRTIO_MEM_REQ_STATE)
		return VIRTIO_MEM_RESP_ACK;
	if (request->type == VIRTIO_MEM_REQ_UNPLUG)
		return state_of(target, request) == VIRTIO_MEM_STATE_PLUGGED
		               ? VIRTIO_MEM_RESP_ACK
		               : VIRTIO_MEM_RESP_ERROR;
	if (state_of(target, request) != VIRTIO_MEM_STATE_UNPLUGGED)
		return VIRTIO_MEM_RESP_ERROR;
	return plugged_bytes(target) + request->block_count * BLOCK > target->requested_bytes
	               ? VIRTIO_MEM_RESP_NACK
	               : VIRTIO_MEM_RESP_ACK;
}

static void follow(struct target *target, const struct request *request)
{
	size_t first = (request->gpa - REGION_GPA) / BLOCK;

	if (request->type == VIRTIO_MEM_REQ_UNPLUG_ALL) {
		memset(target->plugged, 0, sizeof(target->plugged));
		target->usable_bytes = usable_for(target->requested_bytes);
	} else if (request->type != VIRTIO_MEM_REQ_STATE) {
		for (size_t i = 0; i < request->block_count; i++)
			target->plugged[first + i] = request->type == VIRTIO_MEM_REQ_PLUG;
	}
}

static bool is_there(struct target *target, size_t block)
{
	return gmem_span(target->vm.memory, REGION_GPA + block * BLOCK, BLOCK);
}

static void check_truth(struct target *target)
{
	struct memory_device_status status;

	memory_device_query(target->mem, &status);
	for (size_t i = 0; i < BLOCKS; i++)
		assert(is_there(target, i) == target->plugged[i]);
	assert(status.plugged_bytes == plugged_bytes(target));
	assert(status.requested_bytes == target->requested_bytes);
	assert(status.usable_bytes == target->usable_bytes);
	assert(gmem_total_bytes(target->vm.memory) == RAM_BYTES + status.plugged_bytes);
}

/* What was just plugged is zeroes; from now on it is not. */
static void use_plugged(struct target *target, const struct request *request)
{
	for (size_t i = 0; i < request->block_count; i++) {
		gpa_t gpa = request->gpa + i * BLOCK;

		if (!is_there(target, (gpa - REGION_GPA) / BLOCK))
			continue; /* unplugged again in the same batch */
		store(target, gpa + PAGE_4K_BYTES, "\x5a", 1);
	}
}

/* --- the driver --- */

static void add_request(struct target *target, struct fuzz_input *input)
{
	uint8_t shape = fuzz_u8(input);
	struct request *request = &target->requests[target->request_count];
	gpa_t at = REQUEST_GPA + target->request_count * 64;
	const struct fake_driver_buffer buffers[] = { { at, 24, false }, { at + 32, 10, true } };
	uint8_t bytes[42];

	if (target->request_count == REQUESTS_MAX)
		return;
	target->request_count++;
	request->type = shape % 5;
	request->gpa = REGION_GPA + fuzz_u8(input) * BLOCK;
	request->block_count = fuzz_u8(input) % 32;
	if (shape >> 5 == 7) {
		request->gpa += (uint64_t)fuzz_u16(input) << (fuzz_u8(input) & 63);
		request->block_count = fuzz_u16(input);
		request->type = shape & 16 ? fuzz_u16(input) : request->type;
	}
	memset(bytes, 0xee, sizeof(bytes));
	store_le16(bytes, request->type);
	store_le64(bytes + 8, request->gpa);
	store_le16(bytes + 16, request->block_count);
	store(target, at, bytes, sizeof(bytes));
	fake_driver_add(&target->fuzz.driver, 0, buffers, 2);
}

static bool is_taken_back(const struct request *request, uint16_t answer, bool host_fails)
{
	return host_fails && answer == VIRTIO_MEM_RESP_BUSY &&
	       (request->type == VIRTIO_MEM_REQ_UNPLUG ||
	        request->type == VIRTIO_MEM_REQ_UNPLUG_ALL);
}

static void check_answer(struct target *target, unsigned int index, bool host_fails)
{
	const struct request *request = &target->requests[index];
	gpa_t at = REQUEST_GPA + index * 64 + 32;
	uint16_t expected = expect(target, request), answer = load(target, at);

	if (expected == VIRTIO_MEM_RESP_ACK && is_taken_back(request, answer, host_fails))
		return;
	assert(answer == expected);
	if (answer != VIRTIO_MEM_RESP_ACK)
		return;
	if (request->type == VIRTIO_MEM_REQ_STATE)
		assert(load(target, at + 8) == state_of(target, request));
	follow(target, request);
}

static void kick(struct target *target, bool host_fails)
{
	uint32_t head, size_bytes;

	fake_driver_kick(&target->fuzz.driver, 0);
	for (unsigned int i = 0; i < target->request_count; i++) {
		for (unsigned int tries = 0;
		     !fake_driver_take_used(&target->fuzz.driver, 0, &head, &size_bytes); tries++) {
			assert(tries < REQUESTS_MAX);
			fake_driver_settle(&target->fuzz.driver);
		}
		assert(size_bytes == 10);
		check_answer(target, i, host_fails);
	}
	for (unsigned int i = 0; i < target->request_count; i++)
		if (target->requests[i].type == VIRTIO_MEM_REQ_PLUG &&
		    load(target, REQUEST_GPA + i * 64 + 32) == VIRTIO_MEM_RESP_ACK)
			use_plugged(target, &target->requests[i]);
	target->request_count = 0;
	check_truth(target);
}

/* With release calls that fail. Runs of UNPLUG_ALL that were not undone cannot be told from the
 * answer, so that there is one alone. */
static void kick_with_failures(struct target *target, struct fuzz_input *input)
{
	for (unsigned int i = 0; i < target->request_count; i++)
		if (target->requests[i].type == VIRTIO_MEM_REQ_UNPLUG_ALL)
			return;
	fake_reclaim_host.fail_from = fake_reclaim_host.release_calls + fuzz_u8(input) % 4;
	fake_reclaim_host.fail_count = 1 + fuzz_u8(input) % 4;
	fake_reclaim_host.fail_errno = ENOMEM;
	kick(target, true);
	fake_reclaim_host.fail_count = 0;
}

static void restart(struct target *target)
{
	bool started;

	fake_driver_reset(&target->fuzz.driver);
	target->request_count = 0;
	started = fake_driver_start(&target->fuzz.driver, FEATURES, 1, 256);
	assert(started);
	(void)started;
}

static void reset_vm(struct target *target)
{
	target->device->reset(target->device);
	memset(target->plugged, 0, sizeof(target->plugged));
	target->usable_bytes = usable_for(target->requested_bytes);
	check_truth(target);
}

static void request_size(struct target *target, uint64_t size_bytes)
{
	int ret = memory_device_set_requested(target->mem, size_bytes, NULL);

	assert(ret == 0);
	(void)ret;
	target->requested_bytes = size_bytes;
	target->usable_bytes = max_u64(target->usable_bytes, usable_for(size_bytes));
}

static void run_model(struct target *target, struct fuzz_input *input)
{
	restart(target);
	for (unsigned int i = 0; i < OPERATIONS_MAX && input->left_bytes; i++) {
		uint8_t operation = fuzz_u8(input);

		if (operation < 0xb0)
			add_request(target, input);
		else if (operation < 0xd0)
			kick(target, false);
		else if (operation < 0xe0)
			kick_with_failures(target, input);
		else if (operation < 0xf8 && !target->request_count)
			request_size(target, fuzz_u8(input) * BLOCK);
		else if (operation < 0xfc)
			restart(target);
		else
			reset_vm(target), restart(target);
	}
	kick(target, false);
}

/* --- a driver that does anything --- */

static void surroundings(void *ctx, struct fuzz_input *input)
{
	struct target *target = ctx;
	uint8_t shape = fuzz_u8(input), data[8];
	struct memory_device_status status;

	if (shape & 1)
		(void)!memory_device_set_requested(target->mem, fuzz_u16(input) * MIB, NULL);
	if (shape & 2)
		bus_read(target->vm.mmio, REGION_GPA + fuzz_u32(input), data, 8);
	if (shape & 4)
		target->device->reset(target->device);
	memory_device_query(target->mem, &status);
	assert(status.plugged_bytes <= status.region_bytes &&
	       status.usable_bytes >= status.requested_bytes);
	assert(gmem_total_bytes(target->vm.memory) == RAM_BYTES + status.plugged_bytes);
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));
	struct device_config *config = &target->vm_config.devices[0];
	struct fake_driver driver;
	int failed;

	target->vm.config = &target->vm_config;
	list_init(&target->vm.devices);
	target->vm_config.memory.size_bytes = RAM_BYTES;
	target->vm_config.device_count = 1;
	fake_kvm_set_extension(KVM_CAP_NR_MEMSLOTS, 32764);
	target->vm.kvm = fake_kvm_open();
	target->vm.kvm_vm = fake_kvm_vm(target->vm.kvm);
	failed = guest_memory_create(&target->vm.memory, NULL) ||
	         gmem_add_region(target->vm.memory, 0, RAM_BYTES, NULL, NULL) ||
	         memslots_create(&target->vm, &target->vm.memslots, NULL) ||
	         reclaim_create(target->vm.memory, &target->vm.reclaim, NULL) ||
	         bus_create("mmio", &target->vm.mmio) ||
	         event_loop_create("reclaim", &target->vm.reclaim_loop, NULL);
	device_config_init(config, "virtio-mem");
	device_config_set_number(config, "size", BLOCKS * BLOCK);
	failed = failed || device_create(&target->vm, config, NULL);
	assert(!failed);
	(void)failed;
	target->mem = memory_device_next(&target->vm, NULL);
	target->device = device_find(&target->vm, "virtio-mem");
	fake_driver_init(&driver, &target->vm, target->device, RINGS_GPA);
	target->fuzz = fuzz_driver_of(&driver, RAM_BYTES, 1, surroundings, target);
	return target;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target *target;
	struct fuzz_input input = { data, size_bytes };

	if (!target)
		target = create();
	if (fuzz_u8(&input) & 1)
		fuzz_driver_run(&target->fuzz, input.data, input.left_bytes);
	else
		run_model(target, &input);
	/* The next input finds the device as this one did. */
	fake_driver_reset(&target->fuzz.driver);
	request_size(target, 0);
	reset_vm(target);
	return 0;
}
