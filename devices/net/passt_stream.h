/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames over the stream socket that passt speaks: each behind its length, four bytes,
 * big-endian. Private to passt.c.
 *
 * One thread at a time. What comes from the other end is trusted no more than a guest.
 */
#ifndef PASST_STREAM_H
#define PASST_STREAM_H

#include "net_backend.h"

#define PASST_FRAME_BYTES_MIN 14    /* an Ethernet header; without the virtio one, here */
#define PASST_FRAME_BYTES_MAX 65535 /* the most that passt takes */

struct passt_stream;

/* fd is borrowed, a stream socket. -ENOMEM. */
EBB_MUST_CHECK int passt_stream_create(int fd, struct passt_stream **ret_stream);
void passt_stream_destroy(struct passt_stream *stream); /* NULL is fine */

/*
 * As net_backend_ops, send and receive. A frame of which only a part was taken counts as dealt
 * with; its rest is kept, and goes before all else. -ECONNRESET: the other end is gone; -EPROTO: it
 * sent what is no frame. Both for good.
 */
EBB_MUST_CHECK int passt_stream_send(struct passt_stream *stream, struct net_frame *frames,
                                     unsigned int count);
EBB_MUST_CHECK int passt_stream_receive(struct passt_stream *stream, struct net_frame *frames,
                                        unsigned int count);

/* Whether the rest of a frame waits for room; sends it, or some of it. */
bool passt_stream_has_rest(const struct passt_stream *stream);
void passt_stream_flush(struct passt_stream *stream);

uint64_t passt_stream_syscall_count(const struct passt_stream *stream);

#endif
