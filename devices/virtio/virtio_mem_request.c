/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem's requests and responses (VIRTIO 1.2, 5.15.6): what the bytes say, and what the answer
 * is. Pure. */
#include "virtio_mem_private.h"

/* Linux adds memory in blocks of its own, of 128 MiB, or up to 2 GiB in guests of 64 GiB and more
 * on x86; where the region begins or ends within one, or memory in use keeps some from being
 * unplugged, it needs room beside to get to the requested size. */
#define SLACK_BYTES           (256 * MIB)
#define LARGE_GUEST_BYTES     (64 * GIB)
#define SLACK_IN_LARGE_GUESTS (4 * GIB)

void mem_request_parse(const uint8_t bytes[MEM_REQUEST_BYTES], struct mem_request *ret_request)
{
	static const enum memory_device_request kinds[] = {
		[VIRTIO_MEM_REQ_PLUG] = MEMORY_DEVICE_PLUG,
		[VIRTIO_MEM_REQ_UNPLUG] = MEMORY_DEVICE_UNPLUG,
		[VIRTIO_MEM_REQ_UNPLUG_ALL] = MEMORY_DEVICE_UNPLUG_ALL,
		[VIRTIO_MEM_REQ_STATE] = MEMORY_DEVICE_STATE,
	};
	uint16_t type = load_le16(bytes + offsetof(struct virtio_mem_req, type));

	/* The three structs of the union are the same. */
	*ret_request = (struct mem_request){
		.kind = type < ARRAY_SIZE(kinds) ? kinds[type] : MEMORY_DEVICE_INVALID,
		.gpa = load_le64(bytes + offsetof(struct virtio_mem_req, u.plug.addr)),
		.block_count = load_le16(bytes + offsetof(struct virtio_mem_req, u.plug.nb_blocks)),
	};
}

bool mem_request_is_valid(const struct mem_request *request, const struct mem_limits *limits)
{
	if (request->kind == MEMORY_DEVICE_INVALID)
		return false;
	if (request->kind == MEMORY_DEVICE_UNPLUG_ALL)
		return true;
	/* A product that does not fit into 64 bits would take blocks of 2^48 bytes. */
	return request->block_count && is_aligned(request->gpa, limits->block_bytes) &&
	       range_contains(limits->gpa, limits->usable_bytes, request->gpa,
	                      request->block_count * limits->block_bytes);
}

enum memory_device_answer mem_request_judge(const struct mem_request *request,
                                            const struct mem_limits *limits, enum mem_blocks blocks)
{
	uint64_t size_bytes = request->block_count * limits->block_bytes;

	switch (request->kind) {
	case MEMORY_DEVICE_PLUG:
		if (blocks != MEM_BLOCKS_UNPLUGGED)
			return MEMORY_DEVICE_ERROR;
		return limits->plugged_bytes > limits->requested_bytes ||
		                       size_bytes > limits->requested_bytes - limits->plugged_bytes
		               ? MEMORY_DEVICE_NACK
		               : MEMORY_DEVICE_ACK;
	case MEMORY_DEVICE_UNPLUG:
		return blocks == MEM_BLOCKS_PLUGGED ? MEMORY_DEVICE_ACK : MEMORY_DEVICE_ERROR;
	case MEMORY_DEVICE_UNPLUG_ALL:
	case MEMORY_DEVICE_STATE:
		return MEMORY_DEVICE_ACK;
	case MEMORY_DEVICE_INVALID:
	case MEMORY_DEVICE_REQUEST_COUNT:
	default:
		return MEMORY_DEVICE_ERROR;
	}
}

void mem_response_store(uint8_t bytes[MEM_RESPONSE_BYTES], enum memory_device_answer answer,
                        enum mem_blocks blocks)
{
	static const uint16_t types[MEMORY_DEVICE_ANSWER_COUNT] = {
		[MEMORY_DEVICE_ACK] = VIRTIO_MEM_RESP_ACK,
		[MEMORY_DEVICE_NACK] = VIRTIO_MEM_RESP_NACK,
		[MEMORY_DEVICE_BUSY] = VIRTIO_MEM_RESP_BUSY,
		[MEMORY_DEVICE_ERROR] = VIRTIO_MEM_RESP_ERROR,
	};
	static const uint16_t states[] = {
		[MEM_BLOCKS_PLUGGED] = VIRTIO_MEM_STATE_PLUGGED,
		[MEM_BLOCKS_UNPLUGGED] = VIRTIO_MEM_STATE_UNPLUGGED,
		[MEM_BLOCKS_MIXED] = VIRTIO_MEM_STATE_MIXED,
	};

	memset(bytes, 0, MEM_RESPONSE_BYTES);
	store_le16(bytes + offsetof(struct virtio_mem_resp, type), types[answer]);
	store_le16(bytes + offsetof(struct virtio_mem_resp, u.state.state), states[blocks]);
}

uint64_t mem_usable_bytes(uint64_t requested_bytes, uint64_t region_bytes, uint64_t block_bytes,
                          uint64_t boot_bytes)
{
	uint64_t slack_bytes = boot_bytes < LARGE_GUEST_BYTES ? SLACK_BYTES : SLACK_IN_LARGE_GUESTS;

	if (!requested_bytes)
		return 0;
	slack_bytes = align_up(slack_bytes, block_bytes);
	return slack_bytes < region_bytes - requested_bytes ? requested_bytes + slack_bytes
	                                                    : region_bytes;
}

const char *memory_device_answer_name(enum memory_device_answer answer)
{
	static const char *const names[MEMORY_DEVICE_ANSWER_COUNT] = {
		[MEMORY_DEVICE_ACK] = "ack",
		[MEMORY_DEVICE_NACK] = "nack",
		[MEMORY_DEVICE_BUSY] = "busy",
		[MEMORY_DEVICE_ERROR] = "error",
	};

	return names[answer];
}

const char *memory_device_request_name(enum memory_device_request request)
{
	static const char *const names[MEMORY_DEVICE_REQUEST_COUNT] = {
		[MEMORY_DEVICE_PLUG] = "plug",
		[MEMORY_DEVICE_UNPLUG] = "unplug",
		[MEMORY_DEVICE_UNPLUG_ALL] = "unplug_all",
		[MEMORY_DEVICE_STATE] = "state",
		[MEMORY_DEVICE_INVALID] = "invalid",
	};

	return names[request];
}
