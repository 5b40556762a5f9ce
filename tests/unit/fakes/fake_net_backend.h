/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of the test's own behind virtio-net (`fakes: fake_net_backend`): stands in for tap_open
 * and passt_open. Frames that the device sends are kept, frames for it are fed; the other end may
 * be slow, refuse, or go.
 */
#ifndef FAKE_NET_BACKEND_H
#define FAKE_NET_BACKEND_H

#include "ebb/types.h"

#define FAKE_NET_SENT_MAX  1024
#define FAKE_NET_FED_MAX   256
#define FAKE_NET_KEEP_MAX  256 /* bytes of a sent frame that are kept */
#define FAKE_NET_PAIRS_MAX 8

struct fake_net_frame {
	unsigned int pair;
	size_t size_bytes;
	uint8_t bytes[FAKE_NET_KEEP_MAX]; /* the first of them, header and all */
};

struct fake_net {
	/* What the next one that is opened is like. */
	uint64_t features;
	uint16_t mtu;
	unsigned int queue_pairs;
	int open_result;     /* -errno: it cannot be */
	const char *opened;  /* "tap" or "passt" */
	int set_pairs_result, set_offloads_result, send_result, receive_result; /* -errno instead */
	int frame_result;    /* -errno that each frame sent gets; 0: none */
	void (*during_set_pairs)(void); /* may be NULL */
	/* What happened to it. */
	unsigned int open_count; /* now */
	unsigned int pairs;
	uint64_t offloads;
	unsigned int send_calls, receive_calls, sent_count, batch_max;
	struct fake_net_frame sent[FAKE_NET_SENT_MAX];
};

extern struct fake_net fake_net;

void fake_net_clear(void);

/* Makes a frame arrive, header and all; its bytes after the first given ones are 0x5a. The loop is
 * woken with the last of a batch: fake_net_arrive. */
void fake_net_put(unsigned int pair, const void *bytes, size_t given_bytes, size_t size_bytes);
void fake_net_arrive(unsigned int pair);
unsigned int fake_net_waiting(unsigned int pair); /* not received yet */
void fake_net_forget(unsigned int pair);          /* what was put and not received */

/* So many more frames are taken, then sending would wait; fake_net_unblock takes any number. */
void fake_net_block(unsigned int pair, unsigned int frames);
void fake_net_unblock(unsigned int pair);

/* The other end closes. */
void fake_net_hang_up(unsigned int pair);

#endif
