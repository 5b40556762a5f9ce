/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to and from a TAP's descriptors, many at a time (tap_frames.c). The device's loop. */
#ifndef DEVICES_TAP_FRAMES_H
#define DEVICES_TAP_FRAMES_H

#include "net_backend.h"

struct log;
struct tap_frames;

/* Small until the first frame: what moves frames is made then, and log is told where the host does
 * not let it batch. -ENOMEM. */
EBB_MUST_CHECK int tap_frames_create(struct log *log, struct tap_frames **ret_frames);
void tap_frames_destroy(struct tap_frames *tap_frames); /* NULL is fine */

/* Makes it now, for a process that soon may not. */
void tap_frames_prepare(struct tap_frames *tap_frames);

/* As send and receive of struct net_backend_ops, on a descriptor that does not block; *calls grows
 * by the number of system calls. */
int tap_frames_send(struct tap_frames *tap_frames, int fd, struct net_frame *frames,
                    unsigned int count, uint64_t *calls);
int tap_frames_receive(struct tap_frames *tap_frames, int fd, struct net_frame *frames,
                       unsigned int count, uint64_t *calls);

#endif
