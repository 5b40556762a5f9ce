/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a virtio-net device's frames go on the host: a TAP interface, or a process behind a socket.
 *
 * A back end moves whole frames, each with a struct virtio_net_hdr_v1 (VIRTIO 1.2, 5.1.6; 12 bytes,
 * little-endian) in front, between iovecs and the host, many at a time. It knows nothing of rings
 * or of guest memory. Everything in a frame to be sent, header and all, is guest-controlled.
 *
 * Threads: opened and destroyed on main; all else on the device's loop, one call at a time. No lock
 * is taken inside, so the caller may hold guest memory's shared lock.
 */
#ifndef DEVICES_NET_BACKEND_H
#define DEVICES_NET_BACKEND_H

#include <sys/uio.h>

#include "ebb/device.h"
#include "ebb/error.h"
#include "ebb/types.h"

#define NET_QUEUE_PAIRS_MAX 8

#define NET_HEADER_BYTES 12 /* struct virtio_net_hdr_v1 */

/* Header and all: a frame of 64 KiB (GSO), as large as one gets either way. */
#define NET_FRAME_BYTES_MAX (NET_HEADER_BYTES + 65550)

#define NET_FEATURE(bit) (UINT64_C(1) << (bit))

/* Of VIRTIO 1.3 (5.1.3), which older <linux/virtio_net.h> lack. */
#define NET_F_GUEST_USO4 54
#define NET_F_GUEST_USO6 55
#define NET_F_HOST_USO   56

struct net_backend;
struct vm;

struct net_frame { /* to be sent, or room for one that is received */
	const struct iovec *segments;
	unsigned int segment_count;
	int64_t result; /* bytes moved, header and all, or -errno */
};

struct net_backend_ops { /* static const */
	/*
	 * Frames in their order, as few system calls as the host allows. Returns how many of
	 * frames[0..count) were dealt with, each with its result; a frame that the host refuses
	 * (-EINVAL: a header that makes no sense) counts as dealt with. Fewer than count: the rest
	 * would wait (send: for room; receive: nothing is there); the loop watches poll_fd. A
	 * receive that dealt with all count may have left more where poll_fd does not show it:
	 * there has to be another. -errno
	 * (-ECONNRESET, -EBADFD …): the other end is gone for good.
	 *
	 * A received frame that its segments do not hold has the result -EMSGSIZE and is lost. Any
	 * other -errno of one before the last that was dealt with, -EAGAIN too, says that nothing
	 * is in it (receive: its room is free still, what it may hold means nothing) or that it is
	 * dropped (send). The bytes of num_buffers are the device's to write.
	 */
	int (*send)(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
	            unsigned int count);
	int (*receive)(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
	               unsigned int count);
	/* What to watch for EPOLLIN (receive) and EPOLLOUT (send); non-blocking, borrowed. */
	int (*poll_fd)(struct net_backend *backend, unsigned int pair);
	/* For VHOST_NET_SET_BACKEND, borrowed; -ENOTSUP: vhost cannot be used with it. */
	int (*vhost_fd)(struct net_backend *backend, unsigned int pair);
	/* What the driver negotiated, of features: from here on received frames carry no other
	 * offloads. -errno of the host. */
	int (*set_offloads)(struct net_backend *backend, uint64_t driver_features);
	/* So many pairs, from 0 on, carry traffic; 1 to queue_pairs, 1 after open. -errno of the
	 * host: some of the change may have been made. Of the others no poll_fd may be watched
	 * (it says EPOLLERR) and no frame moved. */
	int (*set_queue_pairs)(struct net_backend *backend, unsigned int count);
	void (*destroy)(struct net_backend *backend); /* NULL and half-built are fine */
};

struct net_backend { /* embedded first in a back end's own struct; filled by its open */
	const struct net_backend_ops *ops;
	const char *name;  /* what the log says: "tap tap0", "passt" */
	uint64_t features; /* of VIRTIO_NET_F_*: checksum and segmentation offloads, each way */
	unsigned int queue_pairs; /* 1 to NET_QUEUE_PAIRS_MAX */
	uint16_t mtu;             /* 0: the usual 1500, which nobody needs be told */
	uint64_t syscall_count;   /* of send and receive, since it was opened */
};

/*
 * A TAP interface (devices/net/tap.c), by the keys ifname, fd and queues of the device's
 * configuration: one that exists, a descriptor handed in (the back end's own as soon as it has
 * shown to be a TAP's), or one made now where ebb may. Errors are told with the command that mends
 * them: -errno of the host, -EINVAL (what is there is no TAP, or has no header or too few queues),
 * -EPERM, -EBUSY, -ENOMEM. vm gives the log. No offloads are on before set_offloads.
 */
EBB_MUST_CHECK int tap_open(struct vm *vm, const struct device_config *config,
                            struct net_backend **ret_backend, struct error *err);

/* passt behind its stream socket (devices/net/passt.c), by the key forward; started here, ended by
 * destroy. */
EBB_MUST_CHECK int passt_open(struct vm *vm, const struct device_config *config,
                              struct net_backend **ret_backend, struct error *err);

#endif
