/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of virtio-balloon, as far as tests share it (VIRTIO 1.2, section 5.5). */
#ifndef FIRMWARE_BALLOON_H
#define FIRMWARE_BALLOON_H

#include "virtio.h"
#include <linux/virtio_balloon.h>

#define BALLOON_PAGE_BYTES  4096u
#define BALLOON_BLOCK_BYTES (2u << 20) /* what guests report: pageblock order */
#define BALLOON_REPORT_MAX  32         /* blocks in one report of a Linux guest */
#define BALLOON_REQUEST_MAX 256        /* page numbers in one request of a Linux guest */

#define BALLOON_QUEUE_INFLATE 0
#define BALLOON_QUEUE_DEFLATE 1

/* Queue numbers follow the negotiated features; 0 when the feature was not negotiated. */
uint16_t balloon_stats_queue(const struct virtio_device *vdev);
uint16_t balloon_hint_queue(const struct virtio_device *vdev);
uint16_t balloon_reporting_queue(const struct virtio_device *vdev);
uint16_t balloon_queue_count(const struct virtio_device *vdev);

/* Sets up every queue the negotiated features call for, with size entries (0: the maximum). */
bool balloon_setup_queues(struct virtio_device *vdev, uint16_t size);

/* Sends count consecutive page numbers from first_gpa, descending as Linux does, on one queue;
 * waits for the answer. */
bool balloon_send_pages(struct virtio_device *vdev, uint16_t queue, uint64_t first_gpa,
                        unsigned int count);
/* Reports count blocks of BALLOON_BLOCK_BYTES from first_gpa in one chain and waits for the answer.
 */
bool balloon_report_blocks(struct virtio_device *vdev, uint64_t first_gpa, unsigned int count);

uint32_t balloon_num_pages(struct virtio_device *vdev);
void balloon_set_actual(struct virtio_device *vdev, uint32_t pages);

#endif
