/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's data path in ebb: between the queues and a net_backend, many frames at a time.
 *
 * DOC: no byte of a frame is copied here. A frame to be sent is the vector of its chain's segments;
 * room for a received one is a vector over one chain, or over neighbouring ones where the driver
 * merges buffers. The back end moves a batch with as few system calls as it can, and a turn ends
 * with one publication and at most one interrupt a queue.
 *
 *	send:     kick -> fill -> backend send -> push -> ... empty: ask for kicks
 *	                                    would wait: EPOLLOUT
 *	receive:  EPOLLIN -> fill -> lay out rooms -> backend receive -> push ... drained: EPOLLIN
 *	                                    no room: ask for kicks, EPOLLIN off
 *
 * The header of a frame to be sent goes to the host as the guest wrote it, by address: a TAP reads
 * it once, into its own, and judges that (a bad one is -EINVAL, and the frame is dropped), so that
 * a check here would only be a second read, of what may have changed since. What the guest asks
 * for there without having negotiated it, it gets: it costs the guest's own packet. Of a received
 * header the device writes num_buffers (5.1.6.3.2), which back ends do not know, and zeroes all
 * else where the driver did not take GUEST_CSUM (5.1.6.4.1).
 *
 * How long a frame is, is known when it was received: room for it must be for the longest, 64 KiB
 * with offloads. What room was not used stays for the next frame; so chains are held from turn to
 * turn. With less than that the device waits for more buffers (a long frame would be lost), unless
 * the driver never gave more, or 10 ms have passed.
 *
 * Frames that wait at DRIVER_OK were for another driver, who may have negotiated other offloads:
 * they are dropped.
 *
 * Bounds: a turn moves up to 256 frames or 4 MiB and posts itself again; chains of more than a
 * frame's longest are dropped whole, as are those that hold no header. Notifications are off while
 * there is something to do.
 *
 * Threads: the device's loop. Turns run under guest memory's shared lock, which virtio_queue_kicked
 * takes; starting and stopping without.
 */
#include <errno.h>
#include <limits.h>
#include <linux/virtio_config.h>
#include <stdlib.h>

#include "ebb/bytes.h"
#include "virtio_net_private.h"

#define BATCH_FRAMES     64
#define TURN_FRAMES      256
#define TURN_BYTES       (4 * MIB)
#define GATHER_ROUNDS    4
#define STALE_FRAMES_MAX 1024 /* a TAP's queue holds as many at most, unless its user said more */
#define PATIENCE_NS      (10 * NS_PER_MS)

/* Ethernet with a VLAN tag, in front of an MTU's worth. */
#define LINK_HEADER_BYTES 18
#define MTU_USUAL         1500

#define NUM_BUFFERS_OFFSET offsetof(struct virtio_net_hdr_v1, num_buffers)

struct turn {
	struct net_pair *pair;
	struct virtqueue *vq;
	unsigned int queue_index;
	unsigned int frames; /* moved so far */
	uint64_t bytes;
	bool more; /* than one turn's worth: another follows */
};

static struct turn begin_turn(struct net_pair *pair, bool is_send)
{
	const unsigned int queue_index = 2 * pair->index + is_send;

	return (struct turn){
		.pair = pair,
		.vq = virtio_queue(&pair->net->vdev, queue_index),
		.queue_index = queue_index,
	};
}

static bool is_spent(const struct turn *turn)
{
	return turn->frames >= TURN_FRAMES || turn->bytes >= TURN_BYTES;
}

static void count_syscalls(struct virtio_net *net)
{
	uint64_t count = net->backend->syscall_count;

	net_count(net, NET_BACKEND_SYSCALLS, count - net->syscalls_counted);
	net->syscalls_counted = count;
}

/* --- what the loop watches --- */

void net_user_unwatch(struct net_pair *pair)
{
	event_loop_remove(pair->source);
	pair->source = NULL;
}

static void watch(struct net_pair *pair)
{
	const uint32_t events =
		(pair->receive_ready ? EPOLLIN : 0) | (pair->send_waits ? EPOLLOUT : 0);
	int ret;

	if (!pair->source || events == pair->watched)
		return;
	ret = event_loop_modify(pair->source, events);
	if (ret)
		virtio_device_broken(&pair->net->vdev, "pair %u: cannot be watched any more: %s",
		                     pair->index, strerrordesc_np(-ret));
	pair->watched = events;
}

static void backend_ready(void *ctx, uint32_t epoll_events)
{
	struct net_pair *pair = ctx;
	struct virtio_device *vdev = &pair->net->vdev;

	if (epoll_events & (EPOLLERR | EPOLLHUP)) {
		net_backend_lost(pair->net, -ECONNRESET);
		return;
	}
	if (epoll_events & EPOLLIN)
		virtio_queue_kicked(vdev, 2 * pair->index);
	if (epoll_events & EPOLLOUT) {
		pair->send_waits = false;
		virtio_queue_kicked(vdev, 2 * pair->index + 1);
	}
	/* Nobody would take what keeps on coming. */
	if (virtio_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		net_user_unwatch(pair);
}

/* --- send --- */

static bool is_sendable(struct net_held *held, unsigned int index)
{
	size_t size_bytes = net_held_bytes(held, index);

	return size_bytes >= NET_HEADER_BYTES && size_bytes <= NET_FRAME_BYTES_MAX;
}

/* Hands frames to the back end; returns how many are done with. */
static unsigned int send_frames(struct virtio_net *net, unsigned int pair, struct net_frame *frames,
                                unsigned int count)
{
	int dealt = -EPIPE;

	if (!count)
		return 0;
	if (!net->backend_lost)
		dealt = net->backend->ops->send(net->backend, pair, frames, count);
	if (dealt >= 0)
		return (unsigned int)dealt;
	for (unsigned int i = 0; i < count; i++)
		frames[i].result = -EPIPE;
	net_backend_lost(net, dealt);
	return count;
}

/* Sends what is held, as far as the back end takes it. */
static void send_held(struct turn *turn)
{
	struct net_pair *pair = turn->pair;
	struct net_held *held = pair->send;
	struct net_frame frames[BATCH_FRAMES];
	unsigned int count = 0, dealt, next = 0;

	for (unsigned int i = 0; i < held->count; i++) {
		if (!is_sendable(held, i))
			continue;
		frames[count].segments = net_held_segments(held, i, &frames[count].segment_count);
		frames[count++].result = 0;
	}
	dealt = send_frames(pair->net, pair->index, frames, count);
	pair->send_waits = dealt < count;
	for (unsigned int i = 0; i < held->count; i++) {
		const bool sendable = is_sendable(held, i);

		if (sendable && next == dealt)
			break;
		if (!sendable || frames[next].result < 0) {
			net_count(pair->net, NET_SEND_DROPPED, 1);
		} else {
			net_count(pair->net, NET_FRAMES_SENT, 1);
			net_count(pair->net, NET_BYTES_SENT, (uint64_t)frames[next].result);
			turn->bytes += (uint64_t)frames[next].result;
		}
		next += sendable;
		turn->frames++;
		net_held_push(held, turn->vq, i, 0);
	}
	net_held_compact(held);
}

/* Sends until the queue is empty, the back end would wait, or the turn is over. 0 or -errno: the
 * queue is broken. */
static int run_send_turn(struct turn *turn)
{
	struct net_pair *pair = turn->pair;
	int got = net_held_locate(pair->send, pair->net->vdev.device.vm->memory);

	if (got)
		return got;
	virtqueue_disable_notification(turn->vq);
	for (unsigned int i = 0; !is_spent(turn) && i < TURN_FRAMES; i++) {
		got = net_held_fill(pair->send, turn->vq, BATCH_FRAMES);
		if (got < 0)
			return got;
		if (!pair->send->count) {
			if (!virtqueue_enable_notification(turn->vq))
				return 0;
			virtqueue_disable_notification(turn->vq);
			continue;
		}
		send_held(turn);
		if (pair->send_waits)
			return 0;
	}
	turn->more = true;
	return 0;
}

static void serve_send(struct net_pair *pair)
{
	struct turn turn = begin_turn(pair, true);
	int ret = run_send_turn(&turn);

	net_flush(pair->net, turn.queue_index);
	count_syscalls(pair->net);
	if (ret) {
		virtio_device_broken(&pair->net->vdev, "transmit queue %u: %s", pair->index,
		                     ret == -EFAULT ? "a buffer is gone" : "not a valid ring");
		return;
	}
	watch(pair);
	if (turn.more)
		event_work_post(&pair->send_turn);
}

/* --- receive --- */

static bool merges(const struct virtio_net *net)
{
	return virtio_has_feature(&net->vdev, VIRTIO_NET_F_MRG_RXBUF);
}

/* Of the longest frame that can come. */
static size_t room_bytes(const struct virtio_net *net)
{
	const uint64_t whole_packets = NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	const size_t mtu = max_u64(net->backend->mtu, MTU_USUAL);

	if (net->offloads & ~whole_packets)
		return NET_FRAME_BYTES_MAX;
	return min_u64(NET_HEADER_BYTES + LINK_HEADER_BYTES + mtu, NET_FRAME_BYTES_MAX);
}

/* Gives back at once what cannot hold a header. */
static void push_useless(struct turn *turn, struct net_held *held, unsigned int first)
{
	for (unsigned int i = first; i < held->count; i++) {
		if (net_held_bytes(held, i) >= NET_HEADER_BYTES)
			continue;
		net_held_push(held, turn->vq, i, 0);
		turn->frames++;
	}
	net_held_compact(held);
}

static bool has_room(struct net_pair *pair)
{
	struct net_held *held = pair->receive;
	const size_t wanted_bytes = room_bytes(pair->net);
	size_t bytes = 0;

	if (!held->count || !merges(pair->net))
		return held->count;
	for (unsigned int i = 0; i < held->count; i++) {
		bytes += net_held_bytes(held, i);
		if (bytes < wanted_bytes)
			continue;
		pair->patience_over = false;
		return true;
	}
	return held->count >= pair->receive_held_max || pair->patience_over;
}

/* Takes buffers until there is room for a frame. 1, 0: the driver will notify of more, -EPROTO. */
static int gather(struct turn *turn)
{
	struct net_pair *pair = turn->pair;
	struct net_held *held = pair->receive;

	for (unsigned int i = 0; i < GATHER_ROUNDS; i++) {
		const unsigned int before = held->count;
		int got = net_held_fill(held, turn->vq, NET_HELD_MAX);

		if (got < 0)
			return got;
		push_useless(turn, held, before);
		if (held->count > pair->receive_held_max)
			pair->receive_held_max = held->count;
		if (has_room(pair))
			return 1;
		if (!virtqueue_enable_notification(turn->vq))
			return 0;
		virtqueue_disable_notification(turn->vq);
	}
	turn->more = true;
	return 0;
}

/* Rooms of neighbouring chains, from the first on; returns how many. Only the first may be smaller
 * than the longest frame. */
static unsigned int lay_out(struct net_pair *pair, struct net_frame *frames, unsigned int *chains)
{
	struct net_held *held = pair->receive;
	const size_t wanted_bytes = merges(pair->net) ? room_bytes(pair->net) : 0;
	unsigned int count = 0, next = 0;

	while (count < BATCH_FRAMES && next < held->count) {
		unsigned int segments, more;
		const struct iovec *room = net_held_segments(held, next, &segments);
		size_t bytes = net_held_bytes(held, next++);

		for (chains[count] = 1; bytes < wanted_bytes && next < held->count;
		     chains[count]++) {
			net_held_segments(held, next, &more);
			if (segments + more > IOV_MAX)
				break;
			segments += more;
			bytes += net_held_bytes(held, next++);
		}
		if (bytes < wanted_bytes && count)
			break;
		frames[count++] = (struct net_frame){ .segments = room, .segment_count = segments };
	}
	return count;
}

/* A frame of so many bytes lies in the chains from first on. */
static void finish_frame(struct turn *turn, unsigned int first, size_t size_bytes)
{
	struct virtio_net *net = turn->pair->net;
	struct net_held *held = turn->pair->receive;
	size_t left_bytes = size_bytes;
	unsigned int used = 0;
	uint8_t header[NET_HEADER_BYTES] = { 0 };

	for (size_t bytes = 0; bytes < size_bytes; used++)
		bytes += net_held_bytes(held, first + used);
	store_le16(header + NUM_BUFFERS_OFFSET, (uint16_t)used);
	if (net->offloads & NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM))
		net_held_poke(held, first, NUM_BUFFERS_OFFSET, header + NUM_BUFFERS_OFFSET,
		              NET_HEADER_BYTES - NUM_BUFFERS_OFFSET);
	else
		net_held_poke(held, first, 0, header, NET_HEADER_BYTES);
	for (unsigned int i = first; i < first + used; i++) {
		size_t part_bytes = min_u64(left_bytes, net_held_bytes(held, i));

		net_held_push(held, turn->vq, i, part_bytes);
		left_bytes -= part_bytes;
	}
	net_count(net, NET_FRAMES_RECEIVED, 1);
	net_count(net, NET_BYTES_RECEIVED, size_bytes);
	turn->bytes += size_bytes;
}

/* One batch. 1: there may be more, 0: nothing is there any more. */
static int receive_frames(struct turn *turn)
{
	struct net_pair *pair = turn->pair;
	struct net_backend *backend = pair->net->backend;
	struct net_frame frames[BATCH_FRAMES];
	unsigned int chains[BATCH_FRAMES], first = 0;
	const unsigned int count = lay_out(pair, frames, chains);
	int dealt = backend->ops->receive(backend, pair->index, frames, count);

	if (dealt < 0) {
		net_backend_lost(pair->net, dealt);
		return 0;
	}
	for (int i = 0; i < dealt; i++) {
		const int64_t result = frames[i].result;

		if (result >= NET_HEADER_BYTES)
			finish_frame(turn, first, (size_t)result);
		else if (result >= 0 || result == -EMSGSIZE)
			net_count(pair->net, NET_RECEIVE_DROPPED, 1);
		if (result > 0)
			pair->patience_over = false;
		turn->frames++;
		first += chains[i];
	}
	net_held_compact(pair->receive);
	return (unsigned int)dealt == count;
}

/* Receives until nothing is there, there is no room, or the turn is over. 0 or -errno: the queue is
 * broken. */
static int run_receive_turn(struct turn *turn)
{
	struct net_pair *pair = turn->pair;
	int got = net_held_locate(pair->receive, pair->net->vdev.device.vm->memory);

	if (got)
		return got;
	pair->receive_ready = false;
	virtqueue_disable_notification(turn->vq);
	while (!is_spent(turn)) {
		got = gather(turn);
		if (got <= 0)
			return got;
		if (pair->net->backend_lost)
			return 0;
		if (!receive_frames(turn)) {
			pair->receive_ready = true;
			return 0;
		}
	}
	turn->more = true;
	return 0;
}

static void serve_receive(struct net_pair *pair)
{
	struct turn turn = begin_turn(pair, false);
	int ret = run_receive_turn(&turn);

	net_flush(pair->net, turn.queue_index);
	count_syscalls(pair->net);
	if (ret) {
		virtio_device_broken(&pair->net->vdev, "receive queue %u: %s", pair->index,
		                     ret == -EFAULT ? "a buffer is gone" : "not a valid ring");
		return;
	}
	watch(pair);
	if (turn.more)
		event_work_post(&pair->receive_turn);
	else if (!pair->receive_ready && pair->receive->count)
		event_timer_set(pair->patience, PATIENCE_NS, 0);
}

void net_user_notify(struct net_pair *pair, bool is_send)
{
	if (!pair->running)
		return;
	if (!is_send)
		serve_receive(pair);
	else if (!pair->send_waits)
		serve_send(pair);
}

void net_user_stop_queue(struct net_pair *pair, bool is_send)
{
	net_held_forget(is_send ? pair->send : pair->receive);
}

/* --- life --- */

static void another_receive_turn(void *ctx)
{
	struct net_pair *pair = ctx;

	virtio_queue_kicked(&pair->net->vdev, 2 * pair->index);
}

static void another_send_turn(void *ctx)
{
	struct net_pair *pair = ctx;

	virtio_queue_kicked(&pair->net->vdev, 2 * pair->index + 1);
}

static void patience_is_over(void *ctx)
{
	struct net_pair *pair = ctx;

	pair->patience_over = true;
	another_receive_turn(ctx);
}

static void stop_pair(struct net_pair *pair)
{
	net_user_unwatch(pair);
	event_work_cancel(&pair->receive_turn);
	event_work_cancel(&pair->send_turn);
	event_timer_cancel(pair->patience);
	net_held_forget(pair->receive);
	net_held_forget(pair->send);
	pair->running = false;
}

/* What was for whoever had the device before, with offloads that this driver may not know. */
static void drop_stale(struct net_pair *pair)
{
	struct net_backend *backend = pair->net->backend;
	struct iovec room = { .iov_base = malloc(NET_FRAME_BYTES_MAX),
		              .iov_len = NET_FRAME_BYTES_MAX };
	struct net_frame frames[BATCH_FRAMES];
	unsigned int dropped = 0;
	int dealt = room.iov_base ? BATCH_FRAMES : 0;

	while (dealt == BATCH_FRAMES && dropped < STALE_FRAMES_MAX) {
		for (unsigned int i = 0; i < BATCH_FRAMES; i++)
			frames[i] = (struct net_frame){ .segments = &room, .segment_count = 1 };
		dealt = backend->ops->receive(backend, pair->index, frames, BATCH_FRAMES);
		for (int i = 0; i < dealt; i++)
			dropped += frames[i].result > 0;
	}
	net_count(pair->net, NET_RECEIVE_DROPPED, dropped);
	free(room.iov_base);
}

static int start_pair(struct net_pair *pair)
{
	struct net_backend *backend = pair->net->backend;
	int ret;

	pair->receive_ready = pair->send_waits = pair->patience_over = false;
	pair->receive_held_max = 0;
	pair->watched = 0;
	if (!pair->net->backend_lost) {
		if (!pair->net->pairs_in_use) /* of others the host drops it: they were detached */
			drop_stale(pair);
		ret = event_loop_add(pair->net->vdev.loop,
		                     backend->ops->poll_fd(backend, pair->index), pair->watched,
		                     backend_ready, pair, &pair->source);
		if (ret)
			return ret;
	}
	pair->running = true;
	event_work_post(&pair->receive_turn);
	event_work_post(&pair->send_turn);
	return 0;
}

int net_user_set_pairs(struct virtio_net *net, unsigned int count)
{
	unsigned int started = 0;
	int ret = 0;

	while (started < count && !ret) {
		if (!net->pairs[started].running)
			ret = start_pair(&net->pairs[started]);
		started += !ret;
	}
	if (ret)
		count = net->pairs_in_use;
	for (unsigned int i = count; i < net->backend->queue_pairs; i++)
		if (net->pairs[i].running)
			stop_pair(&net->pairs[i]);
	return ret;
}

static int create_pair(struct virtio_net *net, struct vm *vm, unsigned int index)
{
	struct net_pair *pair = &net->pairs[index];

	pair->net = net;
	pair->index = index;
	event_work_init(&pair->receive_turn, vm->io_loop, another_receive_turn, pair);
	event_work_init(&pair->send_turn, vm->io_loop, another_send_turn, pair);
	pair->receive = calloc(1, sizeof(*pair->receive));
	pair->send = calloc(1, sizeof(*pair->send));
	if (!pair->receive || !pair->send)
		return -ENOMEM;
	pair->receive->writable = true;
	return event_timer_create(vm->io_loop, patience_is_over, pair, &pair->patience);
}

int net_user_create(struct virtio_net *net, struct vm *vm)
{
	net->pairs = calloc(net->backend->queue_pairs, sizeof(*net->pairs));
	if (!net->pairs)
		return -ENOMEM;
	for (unsigned int i = 0; i < net->backend->queue_pairs; i++) {
		int ret = create_pair(net, vm, i);

		if (ret)
			return ret;
	}
	return 0;
}

void net_user_destroy(struct virtio_net *net)
{
	for (unsigned int i = 0; net->pairs && i < net->backend->queue_pairs; i++) {
		if (net->pairs[i].patience)
			event_timer_destroy(net->pairs[i].patience);
		free(net->pairs[i].receive);
		free(net->pairs[i].send);
	}
	free(net->pairs);
	net->pairs = NULL;
}
