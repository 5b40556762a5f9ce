/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of virtio-mem, as far as tests share it (VIRTIO 1.2, section 5.15). */
#ifndef FIRMWARE_MEMORY_DEVICE_H
#define FIRMWARE_MEMORY_DEVICE_H

#include "virtio.h"
#include <linux/virtio_mem.h>

#define MEM_ALL_FEATURES \
	(FEATURE(VIRTIO_MEM_F_ACPI_PXM) | FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE))

#define MEM_REQUEST_BYTES  sizeof(struct virtio_mem_req) /* 24 */
#define MEM_RESPONSE_BYTES 10
#define MEM_BLOCKS_MAX     0xffff       /* of one request */
#define MEM_REACH_BYTES    (4ull << 30) /* of a region, from its start */
#define MEM_NO_RESPONSE    (-1)
#define MEM_UNPLUGGED      (~0ull) /* what a word that is not plugged reads as */

/* The index-th one, up with one queue and all features that it offers, and what is reachable of its
 * region. */
bool mem_start(unsigned int index, struct virtio_device *ret_vdev);
/* The same for a device found already: reset and up again. */
bool mem_restart(struct virtio_device *vdev);

/* The device's configuration, as it is now. */
void mem_config(struct virtio_device *vdev, struct virtio_mem_config *ret_config);
uint64_t mem_plugged_bytes(struct virtio_device *vdev);

/* Sends one request and waits: VIRTIO_MEM_RESP_* or MEM_NO_RESPONSE. gpa and blocks go as they are.
 * ret_state, or NULL, gets VIRTIO_MEM_STATE_*. */
int mem_request(struct virtio_device *vdev, uint16_t type, uint64_t gpa, uint16_t blocks,
                uint16_t *ret_state);
int mem_plug(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks);
int mem_unplug(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks);
int mem_unplug_all(struct virtio_device *vdev);
/* VIRTIO_MEM_STATE_*, or MEM_NO_RESPONSE when the answer was no ACK. */
int mem_state(struct virtio_device *vdev, uint64_t gpa, unsigned int blocks);

void mem_fill_request(struct virtio_mem_req *request, uint16_t type, uint64_t gpa, uint16_t blocks);

#endif
