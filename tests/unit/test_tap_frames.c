/* SPDX-License-Identifier: Apache-2.0 */
/* wraps: calloc readv io_uring_queue_init_params */
/*
 * Frames in batches: results, rooms that are too small, how many are asked for. Packets of a socket
 * stand in for a TAP's, which are cut in silence as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/log.h"

#include "../../devices/net/tap_frames.h"

#define FRAMES     300
#define ROOM_BYTES 40

struct io_uring;
struct io_uring_params;

static struct {
	struct log *logger;
	int log[2];
	struct tap_frames *tap_frames;
	int fds[2]; /* 0 is the TAP's */
	struct net_frame frames[FRAMES];
	struct iovec segments[FRAMES][2];
	char rooms[FRAMES][ROOM_BYTES];
	char large[NET_FRAME_BYTES_MAX];
	uint64_t calls;
	unsigned int calloc_left; /* then one fails; 0: none does */
	bool plain;               /* no io_uring */
	unsigned int runs;        /* the first may find out that there is no RWF_NOWAIT here */
	int reads[FRAMES];        /* what readv answers then, in turn, when not 0 */
	unsigned int read_count;
} t;

void *__real_calloc(size_t count, size_t size_bytes);
void *__wrap_calloc(size_t count, size_t size_bytes);
ssize_t __real_readv(int fd, const struct iovec *segments, int count);
ssize_t __wrap_readv(int fd, const struct iovec *segments, int count);
int __real_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);

void *__wrap_calloc(size_t count, size_t size_bytes)
{
	if (t.calloc_left && --t.calloc_left == 0)
		return NULL;
	return __real_calloc(count, size_bytes);
}

ssize_t __wrap_readv(int fd, const struct iovec *segments, int count)
{
	int answer = t.read_count < FRAMES ? t.reads[t.read_count++] : 0;

	if (answer > 0) {
		errno = answer;
		return -1;
	}
	return __real_readv(fd, segments, count);
}

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
	int r = t.plain ? -EPERM : __real_io_uring_queue_init_params(entries, ring, params);

	t.plain = r < 0; /* by the test's will or the host's */
	return r;
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	for (unsigned int i = 0; i < FRAMES; i++) {
		t.segments[i][0] = (struct iovec){ t.rooms[i], 12 };
		t.segments[i][1] = (struct iovec){ t.rooms[i] + 12, ROOM_BYTES - 12 };
		t.frames[i] = (struct net_frame){ t.segments[i], 2, 4711 };
	}
	assert_int_equal(pipe2(t.log, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(t.log[1], LOG_INFO, &t.logger), 0);
	assert_int_equal(tap_frames_create(t.logger, &t.tap_frames), 0);
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t.fds);
}

static int set_up_plain(void **state)
{
	set_up(state);
	t.plain = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tap_frames_destroy(t.tap_frames);
	log_destroy(t.logger);
	close(t.log[0]);
	close(t.log[1]);
	close(t.fds[0]);
	close(t.fds[1]);
	return 0;
}

static int receive(unsigned int count)
{
	t.calls = 0;
	return tap_frames_receive(t.tap_frames, t.fds[0], t.frames, count, &t.calls);
}

static int transmit(unsigned int count)
{
	t.calls = 0;
	return tap_frames_send(t.tap_frames, t.fds[0], t.frames, count, &t.calls);
}

/* Frames of size_bytes for the guest, that hold their numbers. */
static void arrive(unsigned int first, unsigned int count, size_t size_bytes)
{
	for (unsigned int i = first; i < first + count; i++) {
		memset(t.large, (int)i, size_bytes);
		assert_int_equal(send(t.fds[1], t.large, size_bytes, 0), (int)size_bytes);
	}
}

static void check_arrived(unsigned int index, unsigned int number, size_t size_bytes)
{
	assert_int_equal(t.frames[index].result, size_bytes);
	for (size_t i = 0; i < size_bytes; i++)
		assert_int_equal((uint8_t)t.rooms[index][i], number & 0xff);
}

static void frames_go_out(void **state)
{
	char packet[ROOM_BYTES + 1];
	int r;

	(void)state;
	for (unsigned int i = 0; i < FRAMES; i++)
		memset(t.rooms[i], (int)i, ROOM_BYTES);
	assert_int_equal(transmit(2), 2);
	r = transmit(FRAMES); /* more than the socket takes */
	assert_in_range(r, 1, FRAMES - 1);
	for (int i = 0; i < r; i++)
		assert_int_equal(t.frames[i].result, ROOM_BYTES);
	assert_int_equal(t.frames[r].result, -EAGAIN);
	for (int i = 0; i < r + 2; i++) {
		assert_int_equal(recv(t.fds[1], packet, sizeof(packet), 0), ROOM_BYTES);
		assert_int_equal((uint8_t)packet[0], (i < 2 ? i : i - 2) & 0xff);
		assert_int_equal(packet[ROOM_BYTES - 1], packet[0]);
	}
	assert_int_equal(recv(t.fds[1], packet, sizeof(packet), 0), -1);
}

static void one_that_is_refused_holds_up_nobody(void **state)
{
	(void)state;
	t.frames[1].segment_count = IOV_MAX + 1;
	assert_int_equal(transmit(4), 4);
	assert_int_equal(t.frames[0].result, ROOM_BYTES);
	assert_int_equal(t.frames[1].result, -EINVAL);
	assert_int_equal(t.frames[3].result, ROOM_BYTES);
	t.frames[3].segment_count = IOV_MAX + 1;
	assert_int_equal(transmit(4), 4);
	assert_int_equal(t.frames[3].result, -EINVAL);
}

static void frames_come_in(void **state)
{
	char line[128] = "";

	(void)state;
	assert_int_equal(receive(FRAMES), 0);
	if (read(t.log[0], line, sizeof(line) - 1) > 0)
		assert_non_null(strstr(line, "no io_uring here, so a system call a frame: "));
	assert_int_equal(line[0] != '\0', t.plain);
	arrive(0, 3, 20);
	assert_int_equal(receive(FRAMES), 3);
	for (unsigned int i = 0; i < 3; i++)
		check_arrived(i, i, 20);
	arrive(0, 5, 30);
	assert_int_equal(receive(2), 2);
	assert_int_equal(receive(2), 2);
	check_arrived(1, 3, 30);
	assert_int_equal(receive(2), 1);
	check_arrived(0, 4, 30);
	assert_int_equal(receive(0), 0);
	assert_int_equal(t.calls, 0);
}

static void calls_for(unsigned int frames, unsigned int batches)
{
	arrive(0, frames, 20);
	assert_int_equal(receive(FRAMES), frames);
	for (unsigned int i = 0; i < frames; i++)
		check_arrived(i, i, 20);
	if (t.plain) /* one finds nothing, and is the only one */
		assert_int_equal(t.calls, frames + 1);
	else
		assert_in_range(t.calls, batches, batches + (t.runs++ ? 0 : 1));
}

/* Half as many more as last time, and twice as many while all come. */
static void batches_grow(void **state)
{
	(void)state;
	assert_int_equal(receive(FRAMES), 0);
	calls_for(100, 5); /* 4, 8, 16, 32, and 40 of 64 */
	calls_for(60, 1);  /* of 40 + 20 + 4 */
	calls_for(90, 1);  /* of 60 + 30 + 4 */
	assert_int_equal(receive(FRAMES), 0);
	calls_for(40, 1); /* of 94, and half of that next time */
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(receive(FRAMES), 0);
	calls_for(5, 2); /* 4 again */
}

static void what_does_not_fit_is_told(void **state)
{
	static const size_t sizes[] = { ROOM_BYTES, ROOM_BYTES + 1, ROOM_BYTES - 1,
		                        NET_FRAME_BYTES_MAX };

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		arrive(i, 1, sizes[i]);
	assert_int_equal(receive(FRAMES), 4);
	check_arrived(0, 0, ROOM_BYTES);
	assert_int_equal(t.frames[1].result, -EMSGSIZE);
	check_arrived(2, 2, ROOM_BYTES - 1);
	assert_int_equal(t.frames[3].result, -EMSGSIZE);
	/* No room at all. */
	t.frames[0].segment_count = 0;
	arrive(0, 1, 12);
	assert_int_equal(receive(1), 1);
	assert_int_equal(t.frames[0].result, -EMSGSIZE);
	/* Room for any. */
	t.segments[0][0] = (struct iovec){ t.large, sizeof(t.large) };
	t.frames[0].segment_count = 1;
	arrive(0, 1, NET_FRAME_BYTES_MAX);
	assert_int_equal(receive(1), 1);
	assert_int_equal(t.frames[0].result, NET_FRAME_BYTES_MAX);
}

/* There is no place for a segment more: a frame that fills the room may have been cut. */
static void as_many_segments_as_there_may_be(void **state)
{
	static struct iovec many[IOV_MAX];

	(void)state;
	memset(many, 0, sizeof(many));
	many[IOV_MAX - 1] = (struct iovec){ t.rooms[0], ROOM_BYTES };
	t.frames[0].segments = many;
	t.frames[0].segment_count = IOV_MAX;
	arrive(0, 3, ROOM_BYTES - 1);
	arrive(0, 1, ROOM_BYTES);
	assert_int_equal(receive(1), 1);
	assert_int_equal(t.frames[0].result, ROOM_BYTES - 1);
	/* And where the places of a batch are gone, another begins. */
	t.frames[0].segment_count = t.frames[1].segment_count = 1000;
	t.frames[0].segments = many + IOV_MAX - 1000;
	t.frames[1].segments = t.frames[0].segments;
	assert_int_equal(receive(2), 2);
	assert_int_equal(t.frames[1].result, ROOM_BYTES - 1);
	assert_int_equal(t.calls, 2);
	t.frames[0].segments = many;
	t.frames[0].segment_count = IOV_MAX;
	assert_int_equal(receive(1), 1);
	assert_int_equal(t.frames[0].result, -EMSGSIZE);
}

/* Without io_uring the host answers as it does one after the other: a frame is lost in the middle.
 */
static void holes_are_left(void **state)
{
	(void)state;
	arrive(0, 5, 20);
	t.reads[1] = EFAULT;
	assert_int_equal(receive(4), 4);
	check_arrived(0, 0, 20);
	assert_int_equal(t.frames[1].result, -EFAULT);
	check_arrived(2, 1, 20);
	assert_int_equal(receive(4), 2);
	check_arrived(1, 4, 20);
}

static void the_interface_goes(void **state)
{
	static const int errors[] = { EBADFD, EBADF, ENODEV };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		t.read_count = 0;
		memset(t.reads, 0, sizeof(t.reads));
		arrive(0, 1, 20);
		t.reads[1] = t.reads[2] = t.reads[3] = t.reads[4] = errors[i];
		assert_int_equal(receive(4), 1);
		check_arrived(0, 0, 20);
		assert_int_equal(receive(1), -errors[i]);
	}
	assert_int_equal(tap_frames_send(t.tap_frames, -1, t.frames, 3, &t.calls), -EBADF);
}

static void no_memory(void **state)
{
	(void)state;
	tap_frames_destroy(t.tap_frames);
	t.tap_frames = NULL;
	t.calloc_left = 1;
	assert_int_equal(tap_frames_create(t.logger, &t.tap_frames), -ENOMEM);
	assert_null(t.tap_frames);
	tap_frames_destroy(NULL);
	assert_int_equal(tap_frames_create(t.logger, &t.tap_frames), 0);
	arrive(0, 2, 20);
	for (unsigned int n = 1; n <= 2; n++) {
		t.calloc_left = n;
		assert_int_equal(receive(2), 0);
		t.calloc_left = n;
		assert_int_equal(transmit(2), 2); /* dropped */
		assert_int_equal(t.frames[1].result, -ENOMEM);
		assert_int_equal(t.calls, 0);
	}
	assert_int_equal(receive(2), 2);
	check_arrived(0, 0, 20);
	assert_int_equal(transmit(2), 2);
	assert_int_equal(t.frames[1].result, ROOM_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_go_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frames_go_out, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_refused_holds_up_nobody, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(frames_come_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frames_come_in, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(batches_grow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batches_grow, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_told, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(as_many_segments_as_there_may_be, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(holes_are_left, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(the_interface_goes, set_up_plain, tear_down),
		cmocka_unit_test_setup_teardown(no_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
