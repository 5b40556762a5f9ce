/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of virtio-net share: the device (virtio_net.c), its control queue
 * (virtio_net_control.c), the userspace data path (virtio_net_user.c) and the chains that one holds
 * (virtio_net_held.c). All on the device's loop unless it says otherwise. */
#ifndef VIRTIO_NET_PRIVATE_H
#define VIRTIO_NET_PRIVATE_H

#include <linux/virtio_net.h>

#include "../net/net_backend.h"
#include "ebb/network.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

/* What the driver lets the device give it in place of whole packets with checksums (5.1.6.4): as
 * features, and as the set of VIRTIO_NET_CTRL_GUEST_OFFLOADS. */
#define NET_GUEST_OFFLOADS \
	(NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | \
	 NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | NET_FEATURE(VIRTIO_NET_F_GUEST_ECN) | \
	 NET_FEATURE(VIRTIO_NET_F_GUEST_UFO) | NET_FEATURE(NET_F_GUEST_USO4) | \
	 NET_FEATURE(NET_F_GUEST_USO6))
#define NET_HOST_OFFLOADS \
	(NET_FEATURE(VIRTIO_NET_F_CSUM) | NET_FEATURE(VIRTIO_NET_F_HOST_TSO4) | \
	 NET_FEATURE(VIRTIO_NET_F_HOST_TSO6) | NET_FEATURE(VIRTIO_NET_F_HOST_ECN) | \
	 NET_FEATURE(VIRTIO_NET_F_HOST_UFO) | NET_FEATURE(NET_F_HOST_USO))

#define NET_QUEUE_SIZE 512
#define NET_QUEUES_MAX (2 * NET_QUEUE_PAIRS_MAX + 1)

struct net_vhost;
struct virtio_net;

enum net_metric {
	NET_FRAMES_RECEIVED, /* by the guest */
	NET_BYTES_RECEIVED,  /* with headers, as all bytes here */
	NET_FRAMES_SENT,
	NET_BYTES_SENT,
	NET_RECEIVE_DROPPED, /* no room in the guest's buffers */
	NET_SEND_DROPPED,    /* not a frame, refused by the host, or nobody is there */
	NET_BACKEND_SYSCALLS,
	NET_INTERRUPTS,
	NET_CONTROL_COMMANDS,
	NET_CONTROL_REFUSED,
	NET_VHOST_ERRORS,
	NET_VHOST_IN_USE, /* 1: frames do not pass through ebb, and are not counted */
	NET_METRIC_COUNT
};

/* --- chains that were popped and not pushed, in their order --- */

#define NET_HELD_MAX          512
#define NET_HELD_SEGMENTS_MAX 4096

struct net_held_chain {
	uint16_t head_index, segment_count;
	bool done; /* pushed */
	unsigned int segment_first;
	size_t bytes; /* of the part held */
};

struct net_held {
	bool writable; /* what is held of a chain: its writable part, or its readable one */
	/* Chains are chains[first .. first + count), and counted from first on everywhere else.
	 * Their segments lie in the same order, without gaps, up to segment_end. */
	unsigned int first, count, segment_end;
	unsigned int touched; /* none was pushed from here on, since the last compact */
	uint64_t generation;  /* of guest memory, that all segments belong to */
	struct guest_memory *memory;
	struct net_held_chain chains[2 * NET_HELD_MAX];
	struct iovec segments[NET_HELD_SEGMENTS_MAX];
	gpa_t segment_gpas[NET_HELD_SEGMENTS_MAX];
};

/* All under guest memory's shared lock. Takes chains until so many (up to NET_HELD_MAX) are held,
 * or there is no room for the segments of another. 1: the queue may have more, 0: it is empty,
 * -EPROTO: it is broken. */
EBB_MUST_CHECK int net_held_fill(struct net_held *held, struct virtqueue *vq, unsigned int max);

/* Finds all of it anew where guest memory changed. -EFAULT: some of it is gone. */
EBB_MUST_CHECK int net_held_locate(struct net_held *held, const struct guest_memory *memory);

/* Pushes one, into which so many bytes were written. Indexes stay what they were, and segments of
 * the others where they were, until compact forgets those that were pushed. */
void net_held_push(struct net_held *held, struct virtqueue *vq, unsigned int index,
                   size_t written_bytes);
void net_held_compact(struct net_held *held);
void net_held_forget(struct net_held *held); /* all: the queue is the driver's again */

size_t net_held_bytes(struct net_held *held, unsigned int index); /* of the part held */
/* Behind them come those of the next one. Good until the next fill, compact or forget. */
struct iovec *net_held_segments(struct net_held *held, unsigned int index, unsigned int *ret_count);

/* Writes over bytes of a chain's writable part, which has as many. */
void net_held_poke(struct net_held *held, unsigned int index, size_t offset, const void *data,
                   size_t size_bytes);

/* --- the userspace data path --- */

struct net_pair {
	struct virtio_net *net;
	unsigned int index;
	bool running;
	struct event_source *source; /* of the back end's poll_fd */
	uint32_t watched;            /* what source waits for */
	struct event_work receive_turn, send_turn;
	struct event_timer *patience;
	struct net_held *receive, *send;
	unsigned int receive_held_max; /* the most that was held since the pair runs */
	bool receive_ready;            /* a frame that comes has room */
	bool patience_over;            /* with what room there is */
	bool send_waits;               /* for the back end */
};

EBB_MUST_CHECK int net_user_create(struct virtio_net *net, struct vm *vm); /* main. -ENOMEM */
void net_user_destroy(struct virtio_net *net);                             /* main */
/* Pairs [0, count) run, the others do not. -errno: those before run as they did. Without guest
 * memory's lock. */
EBB_MUST_CHECK int net_user_set_pairs(struct virtio_net *net, unsigned int count);
/* The back end's descriptor is of no interest any more; by its own handler too. */
void net_user_unwatch(struct net_pair *pair);
void net_user_notify(struct net_pair *pair, bool is_send);     /* queue_notify */
void net_user_stop_queue(struct net_pair *pair, bool is_send); /* queue_stop */

/* --- the control queue --- */

#define NET_COMMAND_BYTES_MAX 4096 /* with its two bytes of class and command */

enum net_command_kind {
	NET_COMMAND_MALFORMED, /* or of a class or command that nobody knows */
	NET_COMMAND_RX_MODE,   /* promiscuous, all multicast */
	NET_COMMAND_MAC_TABLE,
	NET_COMMAND_MAC_ADDRESS,
	NET_COMMAND_ANNOUNCE_ACK,
	NET_COMMAND_PAIRS,
	NET_COMMAND_OFFLOADS,
};

struct net_command {
	enum net_command_kind kind;
	uint8_t mac[MAC_BYTES];
	unsigned int pairs;
	uint64_t offloads;
	unsigned int unicast_count, multicast_count; /* of a MAC table */
};

struct net_control_state { /* what a command is judged by */
	uint64_t features; /* negotiated */
	unsigned int pairs_max;
};

/* What a command says, all of it read: class, command and data (5.1.6.5). Pure. */
struct net_command net_control_parse(const uint8_t *bytes, size_t size_bytes);
/* Whether it may be carried out. Pure. */
bool net_control_allowed(const struct net_command *command, const struct net_control_state *state);

void net_control_notify(struct virtio_net *net); /* queue_notify */
void net_control_work(void *ctx);

/* --- the device --- */

struct virtio_net {
	struct virtio_device vdev;
	struct virtio_device_info info;
	uint16_t queue_sizes[NET_QUEUES_MAX];
	struct net_backend *backend;
	struct net_vhost *vhost; /* NULL: the userspace path */
	struct net_pair *pairs;  /* of it, backend->queue_pairs of them; NULL: vhost */
	uint8_t mac[MAC_BYTES];  /* until the driver sets another */
	struct vm_listener listener;
	bool listening;
	struct event_work announce, control;
	uint64_t syscalls_counted;
	bool backend_lost;
	uint16_t status;           /* VIRTIO_NET_S_*, as in config space */
	unsigned int pairs_in_use; /* 0: not active */
	uint64_t offloads;         /* of NET_GUEST_OFFLOADS, in force */
	struct metric metrics[NET_METRIC_COUNT];
};

enum net_queue_role { NET_QUEUE_NONE, NET_QUEUE_RECEIVE, NET_QUEUE_SEND, NET_QUEUE_CONTROL };

/* What a queue number means once features were negotiated (5.1.2). Pure. */
enum net_queue_role net_queue_role(uint64_t features, unsigned int pairs_max,
                                   unsigned int queue_index, unsigned int *ret_pair);

/* Features without those that need another that is not there (5.1.3.1). Pure. */
uint64_t net_consistent_features(uint64_t features);

void net_count(struct virtio_net *net, enum net_metric metric, uint64_t amount);
/* Publishes, and interrupts the driver if it wants that. */
void net_flush(struct virtio_net *net, unsigned int queue_index);
/* The other end is gone for good: the link goes down. */
void net_backend_lost(struct virtio_net *net, int error);
/* The driver uses so many pairs. Without guest memory's lock. -errno: as before. */
EBB_MUST_CHECK int net_set_pairs(struct virtio_net *net, unsigned int pairs);
EBB_MUST_CHECK int net_set_offloads(struct virtio_net *net, uint64_t offloads);
void net_set_status(struct virtio_net *net, uint16_t status, bool tell);

#endif
