/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side of /dev/vhost-*, in memory: it takes what ioctl tells it, and asserts what a
 * kernel would refuse. One file says (`fakes: vhost_kernel`, `wraps: ioctl`).
 */
#ifndef VHOST_KERNEL_H
#define VHOST_KERNEL_H

#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "../../../devices/vhost/vhost.h"

#define VHOST_KERNEL_BACKEND_FD  77 /* what may be attached */
#define VHOST_KERNEL_REGIONS_MAX 4
#define VHOST_KERNEL_NEVER       UINT32_MAX
#define VHOST_KERNEL_RING_FEATURES \
	(UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define VHOST_KERNEL_FEATURES \
	(UINT64_C(1) << VIRTIO_F_VERSION_1 | VHOST_KERNEL_RING_FEATURES | \
	 UINT64_C(1) << VHOST_F_LOG_ALL | UINT64_C(1) << VHOST_NET_F_VIRTIO_NET_HDR | 1U << 15)

struct vhost_kernel_queue {
	unsigned int num, base;
	struct vhost_vring_addr addresses;
	int kick, call, err, backend; /* -1: none */
};

struct vhost_kernel {
	bool owner;
	uint64_t offered, features;
	unsigned int region_count, tables;
	struct vhost_memory_region regions[VHOST_KERNEL_REGIONS_MAX];
	struct vhost_kernel_queue queues[VHOST_QUEUES_MAX];
	unsigned int calls, fail_at; /* VHOST_KERNEL_NEVER: none fails */
	int fail_code;
	bool no_backend;  /* attaching fails */
	bool no_table;    /* each table is refused */
	char story[4096]; /* of attaching, detaching and bases */
};

extern struct vhost_kernel vhost_kernel;

void vhost_kernel_reset(void);
/* What its worker does with count chains, by the addresses that it was given. */
void vhost_kernel_serves(unsigned int index, unsigned int count);
/* Asserts that it keeps nothing of a queue that was given back. */
void vhost_kernel_is_through(void);

#endif
