/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over passt's stream socket.
 *
 * DOC: Sending is one sendmsg for many frames: a vector of lengths and of the frames' segments
 * where they lie. A stream takes any part of that; of a frame that was cut the rest is copied (at
 * most one, bounded) and goes first the next time, so that frames never mix.
 *
 * Receiving is one large recv into a buffer, and as many frames out of it as there is room for. A
 * recv that did not fill the buffer has emptied the socket, so that no second one asks. What is
 * left in the buffer is not seen by who watches the socket: a receive that used all its room is to
 * be followed by another (net_backend.h).
 *
 * Syscalls: io: recvfrom recvmsg sendmsg
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "passt_stream.h"

#define LENGTH_BYTES 4
#define INPUT_BYTES  (256 * KIB)
#define BATCH_FRAMES 64

struct passt_stream {
	int fd;
	int gone; /* -errno; 0: not */
	uint64_t syscall_count;
	size_t rest_start, rest_end;
	size_t input_start, input_end;
	uint8_t rest[LENGTH_BYTES + PASST_FRAME_BYTES_MAX];
	uint8_t input[INPUT_BYTES];
};

/* What one sendmsg is to send. */
struct batch {
	unsigned int frame_count, segment_count;
	uint8_t lengths[BATCH_FRAMES][LENGTH_BYTES];
	size_t frame_bytes[BATCH_FRAMES]; /* with the length; 0: not to be sent */
	struct iovec segments[IOV_MAX];
};

int passt_stream_create(int fd, struct passt_stream **ret_stream)
{
	struct passt_stream *stream = malloc(sizeof(*stream));

	if (!stream)
		return -ENOMEM;
	/* The buffers are not touched before they are needed. */
	stream->fd = fd;
	stream->gone = 0;
	stream->syscall_count = 0;
	stream->rest_start = stream->rest_end = 0;
	stream->input_start = stream->input_end = 0;
	*ret_stream = stream;
	return 0;
}

void passt_stream_destroy(struct passt_stream *stream)
{
	free(stream);
}

uint64_t passt_stream_syscall_count(const struct passt_stream *stream)
{
	return stream->syscall_count;
}

/* --- send --- */

bool passt_stream_has_rest(const struct passt_stream *stream)
{
	return stream->rest_start < stream->rest_end && !stream->gone;
}

/* Bytes taken; 0: none now. -errno: the other end is gone, or -ENOBUFS, -EFAULT: not these. */
static ssize_t send_segments(struct passt_stream *stream, struct iovec *segments, size_t count)
{
	const struct msghdr message = { .msg_iov = segments, .msg_iovlen = count };
	ssize_t sent;

	do {
		sent = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		stream->syscall_count++;
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	switch (errno) {
	case EAGAIN:
		return 0;
	case ENOMEM:
	case ENOBUFS:
		return -ENOBUFS;
	case EFAULT:
		return -EFAULT;
	default:
		stream->gone = -ECONNRESET;
		return stream->gone;
	}
}

void passt_stream_flush(struct passt_stream *stream)
{
	struct iovec segment = { .iov_base = stream->rest + stream->rest_start,
		                 .iov_len = stream->rest_end - stream->rest_start };
	ssize_t sent;

	if (!passt_stream_has_rest(stream))
		return;
	sent = send_segments(stream, &segment, 1);
	if (sent > 0)
		stream->rest_start += (size_t)sent;
}

/* The virtio header of a frame: what asks for an offload asks for what was not offered. */
static bool is_whole(const struct net_frame *frame)
{
	struct virtio_net_hdr_v1 header;
	size_t filled = 0;

	for (unsigned int i = 0; i < frame->segment_count && filled < NET_HEADER_BYTES; i++) {
		size_t part = min_u64(frame->segments[i].iov_len, NET_HEADER_BYTES - filled);

		memcpy((uint8_t *)&header + filled, frame->segments[i].iov_base, part);
		filled += part;
	}
	return filled == NET_HEADER_BYTES && !(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	       header.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

/* Without the virtio header; 0: not a frame that may be sent. */
static size_t sendable_bytes(const struct net_frame *frame)
{
	size_t bytes = 0;

	if (frame->segment_count >= IOV_MAX || !is_whole(frame))
		return 0;
	for (unsigned int i = 0; i < frame->segment_count; i++)
		bytes += frame->segments[i].iov_len;
	bytes -= NET_HEADER_BYTES;
	return bytes >= PASST_FRAME_BYTES_MIN && bytes <= PASST_FRAME_BYTES_MAX ? bytes : 0;
}

static void add_frame(struct batch *batch, const struct net_frame *frame, size_t bytes)
{
	uint8_t *length = batch->lengths[batch->frame_count];
	size_t skip = NET_HEADER_BYTES;

	batch->frame_bytes[batch->frame_count++] = LENGTH_BYTES + bytes;
	memcpy(length, &(uint32_t){ htonl((uint32_t)bytes) }, LENGTH_BYTES);
	batch->segments[batch->segment_count++] =
		(struct iovec){ .iov_base = length, .iov_len = LENGTH_BYTES };
	for (unsigned int i = 0; i < frame->segment_count; i++) {
		const struct iovec *segment = &frame->segments[i];
		size_t skipped = min_u64(skip, segment->iov_len);

		skip -= skipped;
		if (segment->iov_len > skipped)
			batch->segments[batch->segment_count++] =
				(struct iovec){ .iov_base = (uint8_t *)segment->iov_base + skipped,
				                .iov_len = segment->iov_len - skipped };
	}
}

static void fill_batch(struct batch *batch, struct net_frame *frames, unsigned int count)
{
	batch->frame_count = batch->segment_count = 0;
	for (unsigned int i = 0; i < count && i < BATCH_FRAMES; i++) {
		size_t bytes = sendable_bytes(&frames[i]);

		if (!bytes) {
			frames[i].result = -EINVAL;
			batch->frame_bytes[batch->frame_count++] = 0;
			continue;
		}
		if (batch->segment_count + frames[i].segment_count + 1 > IOV_MAX)
			return;
		frames[i].result = (int64_t)(NET_HEADER_BYTES + bytes);
		add_frame(batch, &frames[i], bytes);
	}
}

/* Keeps what follows the first sent bytes of the batch, up to end. */
static void keep_rest(struct passt_stream *stream, const struct batch *batch, size_t sent,
                      size_t end)
{
	size_t position = 0;

	stream->rest_start = stream->rest_end = 0;
	for (unsigned int i = 0; i < batch->segment_count && position < end; i++) {
		const struct iovec *segment = &batch->segments[i];
		size_t skipped = sent > position ? min_u64(sent - position, segment->iov_len) : 0;
		size_t part = segment->iov_len - skipped;

		memcpy(stream->rest + stream->rest_end,
		       (const uint8_t *)segment->iov_base + skipped, part);
		stream->rest_end += part;
		position += segment->iov_len;
	}
}

/* How many of the batch's frames are done with when so many bytes were taken. */
static unsigned int settle_batch(struct passt_stream *stream, const struct batch *batch,
                                 size_t sent)
{
	size_t position = 0;

	for (unsigned int i = 0; i < batch->frame_count; i++) {
		size_t end = position + batch->frame_bytes[i];

		if (end == position)
			continue;
		if (sent <= position)
			return i;
		if (sent < end) {
			keep_rest(stream, batch, sent, end);
			return i + 1;
		}
		position = end;
	}
	return batch->frame_count;
}

/* One system call's worth; how many are dealt with, or -errno: the other end is gone. */
static int send_batch(struct passt_stream *stream, struct net_frame *frames, unsigned int count)
{
	struct batch batch;
	unsigned int dealt;
	ssize_t sent = 0;

	fill_batch(&batch, frames, count);
	if (batch.segment_count)
		sent = send_segments(stream, batch.segments, batch.segment_count);
	if (stream->gone)
		return stream->gone;
	dealt = settle_batch(stream, &batch, sent > 0 ? (size_t)sent : 0);
	/* The host cannot take this one: it is lost, or it would be tried for ever. */
	if (sent < 0)
		frames[dealt++].result = sent;
	return (int)dealt;
}

int passt_stream_send(struct passt_stream *stream, struct net_frame *frames, unsigned int count)
{
	unsigned int dealt = 0;

	passt_stream_flush(stream);
	if (stream->gone)
		return stream->gone;
	while (dealt < count && !passt_stream_has_rest(stream)) {
		int ret = send_batch(stream, frames + dealt, count - dealt);

		if (ret < 0)
			return ret;
		if (!ret)
			break;
		dealt += (unsigned int)ret;
	}
	return (int)dealt;
}

/* --- receive --- */

/* Reads what is there into the buffer. Bytes; 0: nothing. -errno: for good. */
static ssize_t fill_input(struct passt_stream *stream, bool *ret_drained)
{
	size_t room;
	ssize_t got;

	stream->input_end -= stream->input_start;
	memmove(stream->input, stream->input + stream->input_start, stream->input_end);
	stream->input_start = 0;
	room = sizeof(stream->input) - stream->input_end;
	do {
		got = recv(stream->fd, stream->input + stream->input_end, room, MSG_DONTWAIT);
		stream->syscall_count++;
	} while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
		return 0;
	if (got <= 0) {
		stream->gone = -ECONNRESET;
		return stream->gone;
	}
	stream->input_end += (size_t)got;
	*ret_drained = (size_t)got < room;
	return got;
}

/* A header of zeroes and the frame, into the segments. Bytes, or -EMSGSIZE: they do not hold it. */
static int64_t scatter(const struct net_frame *room, const uint8_t *frame, size_t frame_bytes)
{
	const size_t all_bytes = NET_HEADER_BYTES + frame_bytes;
	size_t position = 0;

	for (unsigned int i = 0; i < room->segment_count && position < all_bytes; i++) {
		uint8_t *target = room->segments[i].iov_base;
		size_t left = min_u64(room->segments[i].iov_len, all_bytes - position), zeroes = 0;

		if (position < NET_HEADER_BYTES) {
			zeroes = min_u64(left, NET_HEADER_BYTES - position);
			memset(target, 0, zeroes);
		}
		if (left > zeroes)
			memcpy(target + zeroes, frame + position + zeroes - NET_HEADER_BYTES,
			       left - zeroes);
		position += left;
	}
	return position == all_bytes ? (int64_t)all_bytes : -EMSGSIZE;
}

/* The next frame of the buffer into room. 1, 0: it is not all there, or -EPROTO. */
static int take_frame(struct passt_stream *stream, struct net_frame *room)
{
	const uint8_t *bytes = stream->input + stream->input_start;
	size_t available = stream->input_end - stream->input_start, frame_bytes;
	uint32_t length;

	if (available < LENGTH_BYTES)
		return 0;
	memcpy(&length, bytes, LENGTH_BYTES);
	frame_bytes = ntohl(length);
	if (frame_bytes < PASST_FRAME_BYTES_MIN || frame_bytes > PASST_FRAME_BYTES_MAX) {
		stream->gone = -EPROTO;
		return stream->gone;
	}
	if (available < LENGTH_BYTES + frame_bytes)
		return 0;
	room->result = scatter(room, bytes + LENGTH_BYTES, frame_bytes);
	stream->input_start += LENGTH_BYTES + frame_bytes;
	return 1;
}

int passt_stream_receive(struct passt_stream *stream, struct net_frame *frames, unsigned int count)
{
	unsigned int dealt = 0;
	bool drained = false;

	while (!stream->gone && dealt < count) {
		int ret = take_frame(stream, &frames[dealt]);

		if (ret > 0)
			dealt++;
		else if (ret < 0 || drained || fill_input(stream, &drained) <= 0)
			break;
	}
	/* What came before the end is told first. */
	return stream->gone && !dealt ? stream->gone : (int)dealt;
}
