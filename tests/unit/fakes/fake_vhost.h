/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhosts without a kernel: stands in for devices/vhost/vhost.c (`fakes: fake_vhost`). Each start
 * and stop calls the device's set_backend for both of its queues; what that asks of the kernel is
 * noted. Every call may be made to fail.
 */
#ifndef FAKE_VHOST_H
#define FAKE_VHOST_H

#include "../../../devices/vhost/vhost.h"

#define FAKE_VHOSTS_MAX 8
#define FAKE_VHOST_FD   1000 /* of the first; they count on */
#define FAKE_VHOST_NONE UINT32_MAX

struct vhost {
	struct vhost_setup setup;
	unsigned int number; /* in the order of creation */
	bool started;
};

struct fake_vhost {
	uint64_t features;                    /* of all of them */
	unsigned int fail_create, fail_start; /* the number of the one that fails, or NONE */
	int fail_code;
	unsigned int created, destroyed;
	struct vhost *vhosts[FAKE_VHOSTS_MAX];                 /* by number; NULL: destroyed */
	int tap_fds[FAKE_VHOSTS_MAX][VHOST_QUEUES_MAX];        /* vhost-net: attached; -1: none */
	bool queue_stopped[FAKE_VHOSTS_MAX][VHOST_QUEUES_MAX]; /* by vhost_stop_queue */
	uint64_t start_features;                               /* of the last start */
	uint64_t cid;                                          /* vhost-vsock */
	int cid_result;
	bool running;
};

extern struct fake_vhost fake_vhost;

void fake_vhost_clear(void);
unsigned int fake_vhost_started_count(void);

#endif
