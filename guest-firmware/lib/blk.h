/* SPDX-License-Identifier: Apache-2.0 */
/* A driver of virtio-blk (VIRTIO 1.2, section 5.2) that polls: up to BLK_REQUESTS requests at once,
 * each with a header, a status byte and data of its own. */
#ifndef FIRMWARE_BLK_H
#define FIRMWARE_BLK_H

#include "virtio.h"
#include <linux/virtio_blk.h>

#define BLK_F(name) FEATURE(VIRTIO_BLK_F_##name)

#define BLK_SECTOR     512u
#define BLK_REQUESTS   32
#define BLK_DATA_BYTES 65536u /* of each request, aligned to 4 KiB */
#define BLK_RING_SIZE  256

#define BLK_NO_ANSWER 0xff /* a request's status before the device wrote it */

struct blk_request {
	struct virtio_blk_outhdr header;
	volatile uint8_t status;
	int head;
	uint8_t *data;
};

struct blk {
	struct virtio_device vdev;
	uint64_t sectors;
	uint16_t queue_count; /* 1 without MQ */
	struct blk_request *requests;
};

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

/* Reset, these features of those offered, every queue. blk->vdev is one that was found. */
bool blk_start(struct blk *blk, uint64_t features);
bool blk_needs_reset(struct blk *blk);

/* Puts request n, with so many bytes of its data, into a queue; not published. device_writes: the
 * data is to be read into. False: no room. */
bool blk_add(struct blk *blk, uint16_t queue, unsigned int n, uint32_t type, uint64_t sector,
             uint32_t data_bytes);

/* Request 0 by queue 0: its status, or BLK_NO_ANSWER. Types but IN and GET_ID send their data. */
uint8_t blk_ask(struct blk *blk, uint32_t type, uint64_t sector, uint32_t data_bytes);
/* The same by another queue, and with the used length; ret_used_bytes may be NULL. */
uint8_t blk_ask_queue(struct blk *blk, uint16_t queue, uint32_t type, uint64_t sector,
                      uint32_t data_bytes, uint32_t *ret_used_bytes);
/* One that names ranges: DISCARD, WRITE_ZEROES. */
uint8_t blk_ask_ranges(struct blk *blk, uint32_t type, const struct blk_range *ranges,
                       unsigned int count);

#endif
