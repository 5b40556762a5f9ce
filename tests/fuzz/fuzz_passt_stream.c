/* SPDX-License-Identifier: Apache-2.0 */
/* A passt that sends anything, in pieces of any size, into rooms of any shape: what arrives is what
 * one reads off its bytes, up to the first length that cannot be. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../devices/net/passt_stream.h"

#define HEADER_BYTES 12
#define INPUT_MAX    65536
#define ROOMS        4

struct reader { /* of the bytes as they are, one frame after another */
	const uint8_t *bytes;
	size_t size_bytes, position;
};

static size_t next_length(const struct reader *reader)
{
	const uint8_t *at = reader->bytes + reader->position;

	if (reader->size_bytes - reader->position < 4)
		return SIZE_MAX;
	return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static void check_frame(struct reader *reader, const struct net_frame *frame, const uint8_t *room,
                        size_t room_bytes)
{
	static const uint8_t zeroes[HEADER_BYTES];
	const size_t length = next_length(reader);

	assert(length >= PASST_FRAME_BYTES_MIN && length <= PASST_FRAME_BYTES_MAX);
	assert(reader->size_bytes - reader->position >= 4 + length);
	if (HEADER_BYTES + length > room_bytes) {
		assert(frame->result == -EMSGSIZE);
	} else {
		assert(frame->result == (int64_t)(HEADER_BYTES + length));
		assert(memcmp(room, zeroes, HEADER_BYTES) == 0);
		assert(memcmp(room + HEADER_BYTES, reader->bytes + reader->position + 4, length) ==
		       0);
	}
	reader->position += 4 + length;
}

/* Receives what is there; each room is of two segments, cut at cut. -errno at the end. */
static int receive(struct passt_stream *stream, struct reader *reader, size_t room_bytes,
                   size_t cut)
{
	static uint8_t rooms[ROOMS][HEADER_BYTES + PASST_FRAME_BYTES_MAX];
	struct iovec segments[ROOMS][2];
	struct net_frame frames[ROOMS];
	int dealt;

	do {
		for (size_t i = 0; i < ROOMS; i++) {
			segments[i][0] = (struct iovec){ rooms[i], cut };
			segments[i][1] = (struct iovec){ rooms[i] + cut, room_bytes - cut };
			frames[i] = (struct net_frame){ segments[i], 2, 0 };
		}
		dealt = passt_stream_receive(stream, frames, ROOMS);
		for (int i = 0; i < dealt; i++)
			check_frame(reader, &frames[i], rooms[i], room_bytes);
	} while (dealt > 0);
	return dealt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct passt_stream *stream;
	struct reader reader;
	size_t step, room_bytes, cut, length;
	int fds[2], ret = 0;

	if (size_bytes < 4 || size_bytes > INPUT_MAX)
		return 0;
	step = data[0] ? data[0] : size_bytes;
	room_bytes = HEADER_BYTES + (data[1] ? data[1] * 8U : PASST_FRAME_BYTES_MAX);
	cut = data[2] % room_bytes;
	reader = (struct reader){ .bytes = data + 3, .size_bytes = size_bytes - 3 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) ||
	    passt_stream_create(fds[0], &stream))
		abort();
	for (size_t at = 0; !ret && at < reader.size_bytes; at += step) {
		ssize_t sent = send(fds[1], reader.bytes + at,
		                    min_u64(step, reader.size_bytes - at), MSG_NOSIGNAL);

		assert(sent > 0);
		ret = receive(stream, &reader, room_bytes, cut);
	}
	length = next_length(&reader);
	assert((ret == -EPROTO) == (length < PASST_FRAME_BYTES_MIN ||
	                            (length > PASST_FRAME_BYTES_MAX && length != SIZE_MAX)));
	close(fds[1]);
	if (!ret)
		assert(receive(stream, &reader, room_bytes, cut) == -ECONNRESET);
	passt_stream_destroy(stream);
	close(fds[0]);
	return 0;
}
