/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to and from a TAP's descriptors, many at a time.
 *
 * DOC: a frame is one readv or writev whose segments are the caller's own, so that the kernel
 * copies straight from and to guest memory; async_io makes one system call of many.
 *
 * A TAP cuts a frame that its reader has no room for, and does not say so. So where the room is
 * smaller than the largest frame, one byte of ours goes behind it: a frame that reaches it was too
 * large.
 *
 * How many frames wait is not known before they are read, and each read that finds none costs a
 * little. So a batch asks for half as many more as came last time, or half as many as it asked for
 * then; as long as all it asked for come, another follows, twice as large.
 */
#include "tap_frames.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/async_io.h"
#include "ebb/log.h"

#define BATCH_MAX 127 /* and one more in the ring: a power of two */
#define BATCH_MIN 4

struct mover {
	struct async_io *io;
	struct async_op ops[BATCH_MAX];
	size_t room_bytes[BATCH_MAX];
	struct iovec segments[IOV_MAX]; /* of rooms with a byte behind them */
	unsigned int segment_count;
	uint8_t behind;
};

struct tap_frames {
	struct log *log;
	struct mover *mover;
	unsigned int receive_batch;
};

int tap_frames_create(struct log *log, struct tap_frames **ret_frames)
{
	struct tap_frames *tap_frames = calloc(1, sizeof(*tap_frames));

	if (!tap_frames)
		return -ENOMEM;
	tap_frames->log = log;
	tap_frames->receive_batch = BATCH_MIN;
	*ret_frames = tap_frames;
	return 0;
}

void tap_frames_destroy(struct tap_frames *tap_frames)
{
	if (!tap_frames)
		return;
	if (tap_frames->mover)
		async_io_destroy(tap_frames->mover->io);
	free(tap_frames->mover);
	free(tap_frames);
}

/* NULL: no memory. */
static struct mover *ready_mover(struct tap_frames *tap_frames)
{
	struct mover *mover = tap_frames->mover;
	int why;

	if (mover)
		return mover;
	mover = calloc(1, sizeof(*mover));
	if (!mover)
		return NULL;
	if (async_io_create(BATCH_MAX, &mover->io, &why)) {
		free(mover);
		return NULL;
	}
	if (!async_io_is_batched(mover->io))
		log_info(tap_frames->log, "no io_uring here, so a system call a frame: %s",
		         strerror(-why));
	tap_frames->mover = mover;
	return mover;
}

void tap_frames_prepare(struct tap_frames *tap_frames)
{
	(void)ready_mover(tap_frames); /* or a system call a frame, or no memory then either */
}

/* The interface, or this queue of it, is gone; frames that are just refused have other errors. */
static bool is_gone(int64_t result)
{
	return result == -EBADFD || result == -EBADF || result == -ENODEV;
}

/*
 * Gives count frames their results. Returns how many were dealt with: up to the last that does not
 * wait. *ret_gone: the error, when one says that no frame will pass any more.
 */
static unsigned int settle(const struct mover *mover, struct net_frame *frames, unsigned int count,
                           int *ret_gone)
{
	unsigned int dealt_with = 0;

	*ret_gone = 0;
	for (unsigned int i = 0; i < count; i++) {
		frames[i].result = mover->ops[i].result;
		if (is_gone(frames[i].result))
			*ret_gone = (int)frames[i].result;
		else if (frames[i].result != -EAGAIN)
			dealt_with = i + 1;
	}
	return dealt_with;
}

int tap_frames_send(struct tap_frames *tap_frames, int fd, struct net_frame *frames,
                    unsigned int count, uint64_t *calls)
{
	struct mover *mover = ready_mover(tap_frames);
	unsigned int sent = 0, batch, dealt_with;
	int gone;

	while (mover && sent < count) {
		batch = (unsigned int)min_u64(count - sent, BATCH_MAX);
		for (unsigned int i = 0; i < batch; i++)
			mover->ops[i] = (struct async_op){
				.kind = ASYNC_WRITEV,
				.fd = fd,
				.segments = frames[sent + i].segments,
				.segment_count = frames[sent + i].segment_count,
			};
		*calls += (uint64_t)async_io_run(mover->io, mover->ops, batch);
		dealt_with = settle(mover, &frames[sent], batch, &gone);
		sent += dealt_with;
		if (gone && !sent)
			return gone;
		if (dealt_with < batch)
			return (int)sent;
	}
	for (; sent < count; sent++) /* dropped, as on any full line */
		frames[sent].result = -ENOMEM;
	return (int)sent;
}

/* A read of a frame into its room, and of the byte behind that. False: no place to note it. */
static bool prepare_room(struct mover *mover, const struct net_frame *frame, int fd,
                         unsigned int index)
{
	struct iovec *segments = &mover->segments[mover->segment_count];
	unsigned int count = frame->segment_count;
	size_t room_bytes = 0;

	for (unsigned int i = 0; i < count; i++)
		room_bytes += frame->segments[i].iov_len;
	mover->room_bytes[index] = room_bytes;
	mover->ops[index] = (struct async_op){
		.kind = ASYNC_READV, .fd = fd, .segments = frame->segments, .segment_count = count
	};
	if (room_bytes >= NET_FRAME_BYTES_MAX || count >= IOV_MAX)
		return true;
	if (mover->segment_count + count + 1 > IOV_MAX)
		return false;
	for (unsigned int i = 0; i < count; i++)
		segments[i] = frame->segments[i];
	segments[count] = (struct iovec){ &mover->behind, 1 };
	mover->segment_count += count + 1;
	mover->ops[index].segments = segments;
	mover->ops[index].segment_count = count + 1;
	return true;
}

/* Frames that may have been cut get an error for a result. */
static void find_cut_frames(struct mover *mover, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct async_op *op = &mover->ops[i];
		bool has_byte_behind =
			op->segments[op->segment_count - 1].iov_base == &mover->behind;
		size_t fits_bytes = mover->room_bytes[i];

		if (!has_byte_behind && fits_bytes < NET_FRAME_BYTES_MAX)
			fits_bytes--;
		if (op->result > 0 && (uint64_t)op->result > fits_bytes)
			op->result = -EMSGSIZE;
	}
}

static unsigned int prepare_rooms(struct mover *mover, int fd, const struct net_frame *frames,
                                  unsigned int count)
{
	unsigned int batch = 0;

	mover->segment_count = 0;
	while (batch < count && prepare_room(mover, &frames[batch], fd, batch))
		batch++;
	return batch;
}

/* last: what the caller had rooms for may be less. */
static unsigned int next_batch(unsigned int last, unsigned int batch, unsigned int received)
{
	uint64_t next;

	if (received < batch)
		next = max_u64(received + received / 2 + BATCH_MIN, batch / 2);
	else
		next = max_u64(last, 2 * (uint64_t)batch);
	return (unsigned int)min_u64(next, BATCH_MAX);
}

int tap_frames_receive(struct tap_frames *tap_frames, int fd, struct net_frame *frames,
                       unsigned int count, uint64_t *calls)
{
	struct mover *mover = ready_mover(tap_frames);
	unsigned int received = 0, batch, dealt_with;
	int gone;

	while (mover && received < count) {
		batch = (unsigned int)min_u64(count - received, tap_frames->receive_batch);
		batch = prepare_rooms(mover, fd, &frames[received], batch);
		*calls += (uint64_t)async_io_run(mover->io, mover->ops, batch);
		find_cut_frames(mover, batch);
		dealt_with = settle(mover, &frames[received], batch, &gone);
		received += dealt_with;
		if (gone && !received)
			return gone;
		tap_frames->receive_batch =
			next_batch(tap_frames->receive_batch, batch, dealt_with);
		if (dealt_with < batch)
			break;
	}
	return (int)received;
}
