/* SPDX-License-Identifier: Apache-2.0 */
/* Frames over a stream socket: cut anywhere, of every length, and from another end that lies. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../devices/net/passt_stream.h"

#define HEADER_BYTES 12

static struct passt_stream *stream;
static int peer;
static int fds[2];

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer = fds[1];
	return passt_stream_create(fds[0], &stream);
}

static int tear_down(void **state)
{
	(void)state;
	passt_stream_destroy(stream);
	passt_stream_destroy(NULL);
	close(fds[0]);
	if (peer >= 0)
		close(peer);
	return 0;
}

static uint8_t pattern(size_t frame, size_t position)
{
	return (uint8_t)(frame * 131 + position * 7 + (position >> 8));
}

/* A frame of so many bytes behind its header, over one segment. */
static void make_frame(uint8_t *bytes, size_t number, size_t frame_bytes)
{
	memset(bytes, 0, HEADER_BYTES);
	for (size_t i = 0; i < frame_bytes; i++)
		bytes[HEADER_BYTES + i] = pattern(number, i);
}

static void read_exactly(void *buffer, size_t size_bytes)
{
	assert_int_equal(recv(peer, buffer, size_bytes, MSG_WAITALL), size_bytes);
}

static void expect_frame(size_t number, size_t frame_bytes)
{
	static uint8_t bytes[65536];
	uint32_t length;

	read_exactly(&length, sizeof(length));
	assert_int_equal(ntohl(length), frame_bytes);
	read_exactly(bytes, frame_bytes);
	for (size_t i = 0; i < frame_bytes; i++)
		assert_int_equal(bytes[i], pattern(number, i));
}

static void many_frames_are_one_call(void **state)
{
	static const size_t sizes[] = { 14, 60, 1514, 9000, 15, 42 };
	uint8_t bytes[ARRAY_SIZE(sizes)][9100];
	struct iovec segments[ARRAY_SIZE(sizes)];
	struct net_frame frames[ARRAY_SIZE(sizes)];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		make_frame(bytes[i], i, sizes[i]);
		segments[i] = (struct iovec){ bytes[i], HEADER_BYTES + sizes[i] };
		frames[i] = (struct net_frame){ &segments[i], 1, 0 };
	}
	assert_int_equal(passt_stream_send(stream, frames, ARRAY_SIZE(sizes)), ARRAY_SIZE(sizes));
	assert_int_equal(passt_stream_syscall_count(stream), 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(frames[i].result, HEADER_BYTES + sizes[i]);
		expect_frame(i, sizes[i]);
	}
}

/* The header may lie in any number of segments, empty ones among them. */
static void a_frame_may_be_in_pieces(void **state)
{
	uint8_t bytes[HEADER_BYTES + 100];
	struct iovec segments[HEADER_BYTES + 101];

	(void)state;
	make_frame(bytes, 3, 100);
	for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
		struct net_frame frame = { segments, 0, 0 };

		for (size_t at = 0; at < sizeof(bytes); at += piece)
			segments[frame.segment_count++] =
				(struct iovec){ bytes + at, min_u64(piece, sizeof(bytes) - at) };
		segments[frame.segment_count++] = (struct iovec){ bytes, 0 };
		assert_int_equal(passt_stream_send(stream, &frame, 1), 1);
		assert_int_equal(frame.result, sizeof(bytes));
		expect_frame(3, 100);
	}
}

static void what_is_no_frame_is_refused(void **state)
{
	static uint8_t bytes[HEADER_BYTES + 65536];
	static struct iovec many[1024];
	struct iovec segment = { bytes, 0 };
	struct net_frame frames[3] = { { &segment, 1, 0 }, { &segment, 1, 0 }, { &segment, 1, 0 } };
	struct iovec good = { bytes, HEADER_BYTES + 14 };
	static const size_t sizes[] = { 0, 11, 12, 12 + 13, 12 + 65536 };

	(void)state;
	make_frame(bytes, 0, 65536);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		segment.iov_len = sizes[i];
		frames[1].segments = &good;
		assert_int_equal(passt_stream_send(stream, frames, 3), 3);
		assert_int_equal(frames[0].result, -EINVAL);
		assert_int_equal(frames[1].result, HEADER_BYTES + 14);
		assert_int_equal(frames[2].result, -EINVAL);
		expect_frame(0, 14);
	}
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct iovec){ bytes + i, 1 };
	frames[0] = (struct net_frame){ many, ARRAY_SIZE(many), 0 };
	assert_int_equal(passt_stream_send(stream, frames, 1), 1);
	assert_int_equal(frames[0].result, -EINVAL);
	frames[0].segment_count--;
	assert_int_equal(passt_stream_send(stream, frames, 1), 1);
	assert_int_equal(frames[0].result, ARRAY_SIZE(many) - 1);
	expect_frame(0, ARRAY_SIZE(many) - 1 - HEADER_BYTES);
	/* Offloads that nobody offered: a checksum to be made, a packet to be cut. */
	frames[0].segments = &good;
	frames[0].segment_count = 1;
	bytes[0] = 1;
	assert_int_equal(passt_stream_send(stream, frames, 1), 1);
	assert_int_equal(frames[0].result, -EINVAL);
	bytes[0] = 2; /* a checksum that is right already */
	bytes[1] = 1;
	assert_int_equal(passt_stream_send(stream, frames, 1), 1);
	assert_int_equal(frames[0].result, -EINVAL);
	bytes[1] = 0;
	assert_int_equal(passt_stream_send(stream, frames, 1), 1);
	expect_frame(0, 14);
}

/* More than the socket takes, again and again: every frame comes whole, and in its order. */
static void frames_that_are_cut_are_finished(void **state)
{
	enum { COUNT = 300 };
	static uint8_t bytes[8][HEADER_BYTES + 65535];
	const int size_bytes = 16384;
	struct iovec segments[8];
	struct net_frame frames[8];
	size_t sent = 0, seen = 0, rests = 0;

	(void)state;
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof(size_bytes)),
	                 0);
	while (seen < COUNT) {
		unsigned int count = 0;
		int dealt;

		for (; count < 8 && sent + count < COUNT; count++) {
			size_t frame_bytes = 14 + (sent + count) * 7919 % 65522;

			make_frame(bytes[count], sent + count, frame_bytes);
			segments[count] =
				(struct iovec){ bytes[count], HEADER_BYTES + frame_bytes };
			frames[count] = (struct net_frame){ &segments[count], 1, 0 };
		}
		dealt = passt_stream_send(stream, frames, count);
		assert_in_range(dealt, 0, count);
		for (int i = 0; i < dealt; i++)
			assert_int_equal(frames[i].result, segments[i].iov_len);
		sent += (size_t)dealt;
		rests += passt_stream_has_rest(stream);
		/* What is there by now, and the rest of a frame by itself. */
		while (seen < sent) {
			static uint8_t in[65536];
			size_t frame_bytes = 14 + seen * 7919 % 65522, got = 0;
			uint32_t length;

			read_exactly(&length, sizeof(length));
			assert_int_equal(ntohl(length), frame_bytes);
			while (got < frame_bytes) {
				ssize_t part =
					recv(peer, in + got, frame_bytes - got, MSG_DONTWAIT);

				if (part < 0)
					passt_stream_flush(stream);
				else
					got += (size_t)part;
			}
			for (size_t i = 0; i < frame_bytes; i++)
				assert_int_equal(in[i], pattern(seen, i));
			seen++;
		}
		assert_false(passt_stream_has_rest(stream));
	}
	assert_true(rests > 10);
}

static void write_frame(size_t number, size_t frame_bytes)
{
	static uint8_t bytes[4 + HEADER_BYTES + 65536];
	const uint32_t length = htonl((uint32_t)frame_bytes);

	make_frame(bytes + 4 - HEADER_BYTES + HEADER_BYTES, number, frame_bytes);
	memmove(bytes + 4, bytes + 4 + HEADER_BYTES, frame_bytes);
	memcpy(bytes, &length, sizeof(length));
	assert_int_equal(send(peer, bytes, 4 + frame_bytes, 0), 4 + frame_bytes);
}

static void expect_received(const uint8_t *bytes, int64_t result, size_t number, size_t frame_bytes)
{
	static const uint8_t zeroes[HEADER_BYTES];

	assert_int_equal(result, HEADER_BYTES + frame_bytes);
	assert_memory_equal(bytes, zeroes, HEADER_BYTES);
	for (size_t i = 0; i < frame_bytes; i++)
		assert_int_equal(bytes[HEADER_BYTES + i], pattern(number, i));
}

static void many_frames_come_of_one_call(void **state)
{
	uint8_t bytes[4][2000];
	struct iovec segments[4];
	struct net_frame frames[4];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		memset(bytes[i], 0xee, sizeof(bytes[i]));
		segments[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
		frames[i] = (struct net_frame){ &segments[i], 1, 0 };
	}
	assert_int_equal(passt_stream_receive(stream, frames, 4), 0);
	assert_int_equal(passt_stream_syscall_count(stream), 1);
	for (size_t i = 0; i < 6; i++)
		write_frame(i, 42 + 100 * i);
	/* All of it is read, as much as there is room for handed out. */
	assert_int_equal(passt_stream_receive(stream, frames, 4), 4);
	assert_int_equal(passt_stream_syscall_count(stream), 2);
	for (size_t i = 0; i < 4; i++)
		expect_received(bytes[i], frames[i].result, i, 42 + 100 * i);
	assert_int_equal(passt_stream_receive(stream, frames, 1), 1);
	expect_received(bytes[0], frames[0].result, 4, 442);
	assert_int_equal(passt_stream_receive(stream, frames, 1), 1);
	expect_received(bytes[0], frames[0].result, 5, 542);
	assert_int_equal(passt_stream_syscall_count(stream), 2);
	assert_int_equal(passt_stream_receive(stream, frames, 4), 0);
	assert_int_equal(passt_stream_syscall_count(stream), 3);
}

static void room_may_be_in_pieces_or_too_small(void **state)
{
	uint8_t bytes[HEADER_BYTES + 100];
	struct iovec segments[HEADER_BYTES + 100];

	(void)state;
	for (size_t piece = 1; piece <= sizeof(bytes); piece++) {
		struct net_frame frame = { segments, 0, 0 };

		memset(bytes, 0xee, sizeof(bytes));
		for (size_t at = 0; at < sizeof(bytes); at += piece)
			segments[frame.segment_count++] =
				(struct iovec){ bytes + at, min_u64(piece, sizeof(bytes) - at) };
		write_frame(piece, 100);
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
		expect_received(bytes, frame.result, piece, 100);
		write_frame(piece, 101);
		write_frame(piece + 1, 14);
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
		assert_int_equal(frame.result, -EMSGSIZE);
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
		expect_received(bytes, frame.result, piece + 1, 14);
	}
}

/* Byte by byte, and larger ones than are ever read at once. */
static void frames_come_in_any_pieces(void **state)
{
	static uint8_t bytes[HEADER_BYTES + 65535];
	const uint8_t small[] = { 0, 0, 0, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
	struct iovec segment = { bytes, sizeof(bytes) };
	struct net_frame frame = { &segment, 1, 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(small); i++) {
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 0);
		assert_int_equal(send(peer, &small[i], 1, 0), 1);
	}
	assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
	assert_memory_equal(bytes + HEADER_BYTES, small + 4, 14);
	for (size_t i = 0; i < 20; i++) {
		write_frame(i, 65535 - i);
		write_frame(i, 14 + i);
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
		expect_received(bytes, frame.result, i, 65535 - i);
		assert_int_equal(passt_stream_receive(stream, &frame, 1), 1);
		expect_received(bytes, frame.result, i, 14 + i);
	}
}

static void another_end_that_lies_is_left(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 13, 65536, 0x80000000, UINT32_MAX };
	uint8_t bytes[100];
	struct iovec segment = { bytes, sizeof(bytes) };
	struct net_frame frames[] = { { &segment, 1, 0 }, { &segment, 1, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		const uint32_t length = htonl(lengths[i]);

		write_frame(1, 20);
		assert_int_equal(send(peer, &length, sizeof(length), 0), sizeof(length));
		write_frame(2, 20);
		assert_int_equal(passt_stream_receive(stream, frames, 2), 1);
		expect_received(bytes, frames[0].result, 1, 20);
		assert_int_equal(passt_stream_receive(stream, frames, 2), -EPROTO);
		assert_int_equal(passt_stream_receive(stream, frames, 2), -EPROTO);
		assert_int_equal(passt_stream_send(stream, frames, 2), -EPROTO);
		tear_down(state);
		set_up(state);
	}
}

static void another_end_that_goes_is_told_once_all_came(void **state)
{
	uint8_t bytes[100] = { 0 };
	struct iovec segment = { bytes, sizeof(bytes) };
	struct net_frame frames[] = { { &segment, 1, 0 }, { &segment, 1, 0 } };

	(void)state;
	write_frame(1, 20);
	close(peer);
	peer = -1;
	assert_int_equal(passt_stream_receive(stream, frames, 2), 1);
	expect_received(bytes, frames[0].result, 1, 20);
	assert_int_equal(passt_stream_receive(stream, frames, 2), -ECONNRESET);
	assert_int_equal(passt_stream_send(stream, frames, 2), -ECONNRESET);
	tear_down(state);
	set_up(state);
	close(peer);
	peer = -1;
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(passt_stream_send(stream, frames, 2), -ECONNRESET);
	assert_int_equal(passt_stream_receive(stream, frames, 2), -ECONNRESET);
	assert_false(passt_stream_has_rest(stream));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_frames_are_one_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_frame_may_be_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_frame_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frames_that_are_cut_are_finished, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(many_frames_come_of_one_call, set_up, tear_down),
		cmocka_unit_test_setup_teardown(room_may_be_in_pieces_or_too_small, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(frames_come_in_any_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_end_that_lies_is_left, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_end_that_goes_is_told_once_all_came, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
