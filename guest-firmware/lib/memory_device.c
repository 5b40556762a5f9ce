/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a memory device. */
#include "memory_device.h"
#include "memory.h"
#include "platform.h"
#include "string.h"
#include <stddef.h>

static uint64_t read_config64(struct virtio_device *vdev, unsigned int offset)
{
	return virtio_config_read32(vdev, offset) | (uint64_t)virtio_config_read32(vdev, offset + 4)
	                                                    << 32;
}

void mem_config(struct virtio_device *vdev, struct virtio_mem_config *ret_config)
{
	uint32_t generation;

	do {
		generation = vdev->transport->read_generation(vdev);
		ret_config->block_size =
			read_config64(vdev, offsetof(struct virtio_mem_config, block_size));
		ret_config->node_id =
			virtio_config_read16(vdev, offsetof(struct virtio_mem_config, node_id));
		ret_config->addr = read_config64(vdev, offsetof(struct virtio_mem_config, addr));
		ret_config->region_size =
			read_config64(vdev, offsetof(struct virtio_mem_config, region_size));
		ret_config->usable_region_size =
			read_config64(vdev, offsetof(struct virtio_mem_config, usable_region_size));
		ret_config->plugged_size =
			read_config64(vdev, offsetof(struct virtio_mem_config, plugged_size));
		ret_config->requested_size =
			read_config64(vdev, offsetof(struct virtio_mem_config, requested_size));
	} while (vdev->transport->read_generation(vdev) != generation);
}

uint64_t mem_plugged_bytes(struct virtio_device *vdev)
{
	return read_config64(vdev, offsetof(struct virtio_mem_config, plugged_size));
}

bool mem_restart(struct virtio_device *vdev)
{
	return virtio_start(vdev, MEM_ALL_FEATURES, 1);
}

bool mem_start(unsigned int index, struct virtio_device *ret_vdev)
{
	struct virtio_mem_config config;

	if (!virtio_find(VIRTIO_ID_MEM, index, ret_vdev) || !mem_restart(ret_vdev))
		return false;
	mem_config(ret_vdev, &config);
	platform_map(config.addr,
	             config.region_size < MEM_REACH_BYTES ? config.region_size : MEM_REACH_BYTES);
	return true;
}

void mem_fill_request(struct virtio_mem_req *request, uint16_t type, uint64_t gpa, uint16_t blocks)
{
	memset(request, 0xa5, sizeof(*request)); /* the device ignores padding */
	request->type = type;
	request->u.plug.addr = gpa;
	request->u.plug.nb_blocks = blocks;
}

int mem_request(struct virtio_device *vdev, uint16_t type, uint64_t gpa, uint16_t blocks,
                uint16_t *ret_state)
{
	static struct virtio_mem_req request;
	static struct virtio_mem_resp response;
	struct virtq_buffer buffers[] = {
		{ (uintptr_t)&request, MEM_REQUEST_BYTES, false },
		{ (uintptr_t)&response, MEM_RESPONSE_BYTES, true },
	};
	uint32_t size_bytes;

	mem_fill_request(&request, type, gpa, blocks);
	memset(&response, 0x5a, sizeof(response));
	if (!virtq_transfer(&vdev->queues[0], buffers, 2, &size_bytes) ||
	    size_bytes < sizeof(response.type) || size_bytes > MEM_RESPONSE_BYTES)
		return MEM_NO_RESPONSE;
	compiler_barrier();
	if (ret_state)
		*ret_state = response.u.state.state;
	return response.type;
}

int mem_plug(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks)
{
	return mem_request(vdev, VIRTIO_MEM_REQ_PLUG, gpa, (uint16_t)blocks, NULL);
}

int mem_unplug(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks)
{
	return mem_request(vdev, VIRTIO_MEM_REQ_UNPLUG, gpa, (uint16_t)blocks, NULL);
}

int mem_unplug_all(struct virtio_device *vdev)
{
	return mem_request(vdev, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0, NULL);
}

int mem_state(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks)
{
	uint16_t state;

	if (mem_request(vdev, VIRTIO_MEM_REQ_STATE, gpa, (uint16_t)blocks, &state) !=
	    VIRTIO_MEM_RESP_ACK)
		return MEM_NO_RESPONSE;
	return state;
}
