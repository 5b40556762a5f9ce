/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of virtio-mem that keeps to nothing (VIRTIO 1.2, section 5.15.6): it touches every block
 * it was not given, and asks for what it must not get. Every answer is the one the specification
 * asks for, and neither state nor host memory moves by what was refused.
 */
#include "harness.h"
#include "memory.h"
#include "memory_device.h"
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define PATTERN       0x6d656d6f72792121ull
#define ACK           VIRTIO_MEM_RESP_ACK
#define ERROR         VIRTIO_MEM_RESP_ERROR
#define PLUGGED_FIRST 5u /* blocks 5, 6 and 9 are plugged, all others are not */
#define PLUGGED_COUNT 3u
#define TOUCHES       6u    /* of a block: three words are read, and written */
#define SLACK_KIB     4096u /* what ebb may take for itself meanwhile */

static struct virtio_device vdev;
static struct virtio_mem_config config;
static uint64_t block_bytes, region_gpa, region_end;

static uint64_t block_gpa(uint64_t index)
{
	return region_gpa + index * block_bytes;
}

static bool is_plugged(uint64_t index)
{
	return index == PLUGGED_FIRST || index == PLUGGED_FIRST + 1 || index == PLUGGED_FIRST + 4;
}

/* Whole still: what is plugged, what it holds, and how much of it there is. */
static bool undisturbed(void)
{
	return mem_plugged_bytes(&vdev) == PLUGGED_COUNT * block_bytes &&
	       mmio_read64(block_gpa(PLUGGED_FIRST)) == PATTERN &&
	       mmio_read64(block_gpa(PLUGGED_FIRST + 2) - 8) == PATTERN + 1 &&
	       mmio_read64(block_gpa(PLUGGED_FIRST + 4)) == PATTERN + 2 &&
	       mmio_read64(block_gpa(PLUGGED_FIRST + 5) - 8) == PATTERN + 3;
}

static bool set_up(void)
{
	if (!mem_restart(&vdev) || mem_unplug_all(&vdev) != ACK ||
	    mem_plug(&vdev, block_gpa(PLUGGED_FIRST), 2) != ACK ||
	    mem_plug(&vdev, block_gpa(PLUGGED_FIRST + 4), 1) != ACK)
		return false;
	mmio_write64(block_gpa(PLUGGED_FIRST), PATTERN);
	mmio_write64(block_gpa(PLUGGED_FIRST + 2) - 8, PATTERN + 1);
	mmio_write64(block_gpa(PLUGGED_FIRST + 4), PATTERN + 2);
	mmio_write64(block_gpa(PLUGGED_FIRST + 5) - 8, PATTERN + 3);
	return undisturbed();
}

static bool touch(uint64_t index)
{
	uint64_t gpas[] = { block_gpa(index), block_gpa(index) + block_bytes / 2,
		            block_gpa(index + 1) - 8 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gpas); i++) {
		mmio_write64(gpas[i], PATTERN);
		if (!EXPECT_EQUAL("a word of an unplugged block", mmio_read64(gpas[i]),
		                  MEM_UNPLUGGED))
			return false;
	}
	return true;
}

static void test_touches(void)
{
	uint64_t blocks = config.region_size / block_bytes, i, memory_kib = 0, touches = 0;

	if (harness_listens()) {
		memory_kib = harness_ask("memory");
		touches = harness_ask("stat .virtio_mem[0].touches");
	}
	for (i = 0; i < blocks; i++)
		if (!is_plugged(i) && !touch(i))
			break;
	report_section("every unplugged block reads as ones, whatever is written");
	CHECK("in front of the region", mmio_read64(region_gpa - 8) == MEM_UNPLUGGED);
	CHECK("plugged blocks are as they were", undisturbed());
	if (!harness_listens()) {
		report_skip("what it costs", "nobody to ask");
		return;
	}
	CHECK_EQUAL("each touch is counted", harness_ask("stat .virtio_mem[0].touches") - touches,
	            (blocks - PLUGGED_COUNT) * TOUCHES);
	CHECK_EQUAL("the last one has its block",
	            harness_ask("stat .virtio_mem[0].last_touch.block"), blocks - 1);
	CHECK_EQUAL("and its vCPU", harness_ask("stat .virtio_mem[0].last_touch.vcpu"), 0);
	CHECK("no block became memory", harness_ask("memory") <= memory_kib + SLACK_KIB);
}

struct refusal {
	const char *name;
	uint16_t type;
	uint64_t gpa;
	uint16_t blocks;
};

static void test_refusals(void)
{
	const uint64_t free = block_gpa(0), plugged = block_gpa(PLUGGED_FIRST), block = block_bytes,
		       top = 0ull - block_bytes, usable = region_gpa + config.usable_region_size;
	const struct refusal refusals[] = {
		{ "plug twice", VIRTIO_MEM_REQ_PLUG, plugged, 1 },
		{ "plug over a plugged one", VIRTIO_MEM_REQ_PLUG, plugged - block, 2 },
		{ "plug up to a plugged one", VIRTIO_MEM_REQ_PLUG, plugged + block, 2 },
		{ "plug none", VIRTIO_MEM_REQ_PLUG, free, 0 },
		{ "plug unaligned", VIRTIO_MEM_REQ_PLUG, free + 4096, 1 },
		{ "plug unaligned by a byte", VIRTIO_MEM_REQ_PLUG, free + 1, 1 },
		{ "plug 65535 blocks", VIRTIO_MEM_REQ_PLUG, free, MEM_BLOCKS_MAX },
		{ "plug in front of the region", VIRTIO_MEM_REQ_PLUG, region_gpa - block, 1 },
		{ "plug into the region from in front", VIRTIO_MEM_REQ_PLUG, region_gpa - block,
		  2 },
		{ "plug behind the region", VIRTIO_MEM_REQ_PLUG, region_end, 1 },
		{ "plug over the region's end", VIRTIO_MEM_REQ_PLUG, region_end - block, 2 },
		{ "plug over the usable region's end", VIRTIO_MEM_REQ_PLUG, usable - block, 2 },
		{ "plug boot memory", VIRTIO_MEM_REQ_PLUG, 0, 1 },
		{ "plug at the end of everything", VIRTIO_MEM_REQ_PLUG, top, 1 },
		{ "plug around the end of everything", VIRTIO_MEM_REQ_PLUG, top, MEM_BLOCKS_MAX },
		{ "plug with an address that overflows", VIRTIO_MEM_REQ_PLUG,
		  top - MEM_BLOCKS_MAX * block + region_gpa, MEM_BLOCKS_MAX },
		{ "unplug what is not plugged", VIRTIO_MEM_REQ_UNPLUG, free, 1 },
		{ "unplug one that is and one that is not", VIRTIO_MEM_REQ_UNPLUG, plugged + block,
		  2 },
		{ "unplug with a hole", VIRTIO_MEM_REQ_UNPLUG, plugged, 5 },
		{ "unplug none", VIRTIO_MEM_REQ_UNPLUG, plugged, 0 },
		{ "unplug unaligned", VIRTIO_MEM_REQ_UNPLUG, plugged + 8, 1 },
		{ "unplug 65535 blocks", VIRTIO_MEM_REQ_UNPLUG, plugged, MEM_BLOCKS_MAX },
		{ "unplug boot memory", VIRTIO_MEM_REQ_UNPLUG, 0, 1 },
		{ "unplug behind the region", VIRTIO_MEM_REQ_UNPLUG, region_end, 1 },
		{ "unplug around the end of everything", VIRTIO_MEM_REQ_UNPLUG, top,
		  MEM_BLOCKS_MAX },
		{ "state of none", VIRTIO_MEM_REQ_STATE, plugged, 0 },
		{ "state unaligned", VIRTIO_MEM_REQ_STATE, plugged + 2, 1 },
		{ "state of 65535 blocks", VIRTIO_MEM_REQ_STATE, free, MEM_BLOCKS_MAX },
		{ "state behind the region", VIRTIO_MEM_REQ_STATE, region_end, 1 },
		{ "state of boot memory", VIRTIO_MEM_REQ_STATE, 0, 1 },
		{ "state around the end of everything", VIRTIO_MEM_REQ_STATE, top, 2 },
		{ "a request of type 4", 4, plugged, 1 },
		{ "a request of type 65535", 0xffff, plugged, 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *refusal = &refusals[i];

		EXPECT_EQUAL(refusal->name,
		             mem_request(&vdev, refusal->type, refusal->gpa, refusal->blocks, NULL),
		             ERROR);
		if (!EXPECT(refusal->name, undisturbed()))
			break;
	}
	report_section("33 requests that are wrong get ERROR and change nothing");
	if (config.usable_region_size < config.region_size)
		CHECK_EQUAL("plug behind the usable region", mem_plug(&vdev, usable, 1), ERROR);
	CHECK_EQUAL("more than is requested",
	            mem_plug(&vdev, block_gpa(PLUGGED_FIRST + 5),
	                     (unsigned int)(config.requested_size / block_bytes)),
	            VIRTIO_MEM_RESP_NACK);
	CHECK("changes nothing", undisturbed());
}

/* A chain of two buffers of any length. Whether the device lives; the answer, or MEM_NO_RESPONSE.
 */
static bool send_odd(uint16_t type, uint64_t gpa, uint32_t request_bytes, uint32_t response_bytes,
                     int *ret_answer)
{
	static uint8_t request[PAGE_SIZE], response[PAGE_SIZE];
	struct virtq_buffer buffers[2] = { { (uintptr_t)request, request_bytes, false },
		                           { (uintptr_t)response, response_bytes, true } };
	struct virtqueue *vq = &vdev.queues[0];
	uint32_t size_bytes = 0;
	unsigned int tries;

	mem_fill_request((struct virtio_mem_req *)request, type, gpa, 1);
	memset(response, 0x5a, sizeof(response));
	*ret_answer = MEM_NO_RESPONSE;
	if (virtq_add(vq, request_bytes ? buffers : buffers + 1,
	              (request_bytes != 0) + (response_bytes != 0)) < 0)
		return false;
	virtq_publish(vq);
	for (tries = 0; tries < WAIT_MAX_MS; tries++) {
		if (virtq_wait_used(vq, NULL, &size_bytes, 1)) {
			if (size_bytes >= 2)
				*ret_answer = response[0] | response[1] << 8;
			return size_bytes <= response_bytes;
		}
		if (vdev.transport->read_status(&vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return set_up();
	}
	return false;
}

/* Cut short anywhere: no effect, and where there is room for an answer, it is ERROR. */
static void test_lengths(void)
{
	uint32_t bytes;
	int answer;

	for (bytes = 0; bytes < MEM_REQUEST_BYTES; bytes++) {
		EXPECT("a request cut short",
		       send_odd(VIRTIO_MEM_REQ_PLUG, block_gpa(0), bytes, 16, &answer));
		EXPECT("a request cut short", answer == ERROR || answer == MEM_NO_RESPONSE);
		if (!EXPECT("a request cut short", undisturbed()))
			break;
	}
	report_section("a request cut short has no effect");
	for (bytes = 0; bytes < 2; bytes++)
		EXPECT("no room for an answer",
		       send_odd(VIRTIO_MEM_REQ_UNPLUG, block_gpa(PLUGGED_FIRST), 24, bytes,
		                &answer));
	report_section("the device survives a request with no room for an answer");
	CHECK("it works again", set_up());
	CHECK("over-long buffers", send_odd(VIRTIO_MEM_REQ_STATE, block_gpa(PLUGGED_FIRST),
	                                    PAGE_SIZE, PAGE_SIZE, &answer) &&
	                                   answer == ACK);
	CHECK("over-long buffers of a plug",
	      send_odd(VIRTIO_MEM_REQ_PLUG, block_gpa(0), PAGE_SIZE, PAGE_SIZE, &answer) &&
	              answer == ACK && mem_unplug(&vdev, block_gpa(0), 1) == ACK && undisturbed());
}

/* Byte by byte is as good as whole. */
static void test_pieces(void)
{
	static struct virtio_mem_req request;
	static struct virtio_mem_resp response;
	struct virtq_buffer buffers[MEM_REQUEST_BYTES + MEM_RESPONSE_BYTES];
	unsigned int i;

	for (i = 0; i < MEM_REQUEST_BYTES; i++)
		buffers[i] = (struct virtq_buffer){ (uintptr_t)&request + i, 1, false };
	for (i = 0; i < MEM_RESPONSE_BYTES; i++)
		buffers[MEM_REQUEST_BYTES + i] =
			(struct virtq_buffer){ (uintptr_t)&response + i, 1, true };
	mem_fill_request(&request, VIRTIO_MEM_REQ_STATE, block_gpa(PLUGGED_FIRST), 2);
	response.type = 0xffff;
	CHECK("a request in 34 buffers of a byte each",
	      virtq_transfer(&vdev.queues[0], buffers, ARRAY_SIZE(buffers), NULL));
	CHECK("is answered",
	      response.type == ACK && response.u.state.state == VIRTIO_MEM_STATE_PLUGGED);
}

/* The same requests with their buffers where no memory is, or is no more. */
static void test_buffers(void)
{
	static struct virtio_mem_req request;
	uint64_t gone = block_gpa(0), there = block_gpa(PLUGGED_FIRST);
	struct virtq_buffer buffers[2] = { { gone, MEM_REQUEST_BYTES, false },
		                           { gone + 4096, MEM_RESPONSE_BYTES, true } };
	struct virtqueue *vq = &vdev.queues[0];

	virtq_add(vq, buffers, 2);
	virtq_publish(vq);
	virtq_wait_used(vq, NULL, NULL, 200);
	CHECK("lives on when its buffers are unplugged memory", set_up());

	/* The answer to an unplug request belongs into what it unplugs. */
	mem_fill_request(&request, VIRTIO_MEM_REQ_UNPLUG, there, 1);
	buffers[0] = (struct virtq_buffer){ (uintptr_t)&request, MEM_REQUEST_BYTES, false };
	buffers[1] = (struct virtq_buffer){ there + 64, MEM_RESPONSE_BYTES, true };
	virtq_add(vq, buffers, 2);
	virtq_publish(vq);
	virtq_wait_used(vq, NULL, NULL, 200);
	CHECK("lives on when the answer belongs into what it unplugs", set_up());

	mem_fill_request(&request, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0);
	virtq_add(vq, buffers, 2);
	virtq_publish(vq);
	virtq_wait_used(vq, NULL, NULL, 200);
	CHECK("lives on when the answer to unplug all has no place", set_up());
}

void test_main(void)
{
	if (!mem_start(0, &vdev)) {
		report_skip("virtio-mem", "no such device, or it does not come up");
		return;
	}
	mem_config(&vdev, &config);
	block_bytes = config.block_size;
	region_gpa = config.addr;
	region_end = config.addr + config.region_size;
	platform_map(region_gpa - block_bytes, block_bytes);
	if (!CHECK("comes up", set_up()))
		return;
	mem_config(&vdev, &config);
	test_touches();
	test_refusals();
	test_lengths();
	test_pieces();
	test_buffers();
	CHECK_EQUAL("unplug all in the end", mem_unplug_all(&vdev), ACK);
	CHECK_EQUAL("nothing is plugged", mem_plugged_bytes(&vdev), 0);
}
