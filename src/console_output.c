/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's output: gathered, searched, written.
 *
 * DOC: any thread appends to the buffer under `lock`; a whole line, FLUSH_BYTES, or a timer on the
 * main loop starts the writing. Who writes holds `write_lock` and not `lock`; who finds it taken
 * leaves its bytes to that one. Bytes that stdout does not take now stay in the buffer.
 *
 * A reader that is slow. From WAIT_BYTES on who writes, a vCPU, waits for the reader; a signal (a
 * kick) ends the wait early. Who offers, the io loop, never waits: what does not fit it keeps, and
 * is told by the timer when there is room. After CONSOLE_STALL_MAX_MS without progress the reader
 * counts as dead: what does not fit is dropped and counted until something is taken again.
 *
 * The main loop never waits, but at the end: a terminal is written through an open file description
 * of our own that does not block (its flag would otherwise be every other process's as well), a
 * pipe only when poll says that it takes a page.
 *
 * Order of locks: write_lock, lock. Nothing of the event loop, the log or a device is called under
 * `lock`.
 *
 * Syscalls: main,io,vcpu: poll write
 */
#include "console_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_BYTES    CONSOLE_OUTPUT_BYTES
#define WAIT_BYTES      (OUTPUT_BYTES / 2)
#define ROOM_BYTES      (OUTPUT_BYTES / 2) /* that is worth telling who offered */
#define FLUSH_BYTES     256
#define WRITE_BYTES_MAX PAGE_4K_BYTES /* what a pipe that polls writable takes without blocking */
#define SILENCE_NS      (5 * NS_PER_MS)
#define RETRY_NS        (50 * NS_PER_MS)

/* Ready to be written to? Waits up to timeout_ms; a signal ends that. */
static bool wait_writable(struct console_output *output, int timeout_ms)
{
	struct pollfd pollfd = { .fd = output->fd, .events = POLLOUT };

	/* An error or a hang-up is "ready": write says what it is. */
	return poll(&pollfd, 1, timeout_ms) > 0;
}

/* Counts what is lost, and says so once an outage. */
static void drop(struct console_output *output, size_t size_bytes, int error)
{
	bool told;

	metric_add(&output->dropped_bytes, size_bytes);
	pthread_mutex_lock(&output->lock);
	told = output->outage_told;
	output->outage_told = true;
	pthread_mutex_unlock(&output->lock);
	if (!told)
		log_message_limited(output->setup.log, &output->drop_limit, LOG_WARN,
		                    "console: output dropped: %s", strerror(error));
}

/* Takes up to WRITE_BYTES_MAX from the buffer's start to bytes, leaving them there. */
static size_t peek_output(struct console_output *output, uint8_t *bytes)
{
	size_t count;

	pthread_mutex_lock(&output->lock);
	count = min_u64(output->size_bytes, WRITE_BYTES_MAX);
	memcpy(bytes, output->bytes, count);
	pthread_mutex_unlock(&output->lock);
	return count;
}

static void consume_output(struct console_output *output, size_t size_bytes, bool written)
{
	pthread_mutex_lock(&output->lock);
	output->size_bytes -= size_bytes;
	memmove(output->bytes, output->bytes + size_bytes, output->size_bytes);
	output->stalled = false;
	if (written)
		output->outage_told = false;
	pthread_mutex_unlock(&output->lock);
}

/* stdout takes nothing now. Returns whether to try again at once: after a wait that it paid for. */
static bool wait_for_reader(struct console_output *output, size_t wait_from_bytes)
{
	int64_t now_ns = monotonic_ns(), left_ns;
	bool full;

	pthread_mutex_lock(&output->lock);
	if (!output->stalled)
		output->stalled_since_ns = now_ns;
	output->stalled = true;
	left_ns = output->stalled_since_ns + output->stall_max_ns - now_ns;
	full = output->size_bytes >= wait_from_bytes;
	pthread_mutex_unlock(&output->lock);
	return full && left_ns > 0 && wait_writable(output, left_ns / NS_PER_MS + 1);
}

/*
 * Writes what is there, write_lock held. With less than wait_from_bytes in the buffer it waits for
 * nobody; what is left then is the timer's.
 */
static void write_output(struct console_output *output, size_t wait_from_bytes)
{
	uint8_t bytes[WRITE_BYTES_MAX];
	size_t count;

	while ((count = peek_output(output, bytes)) > 0) {
		bool ready = !output->poll_first || wait_writable(output, 0);
		ssize_t written = ready ? write(output->fd, bytes, count) : -1;
		int error = ready ? errno : EAGAIN;

		if (written > 0) {
			consume_output(output, written, true);
		} else if (written < 0 && error == EAGAIN) {
			if (!wait_for_reader(output, wait_from_bytes))
				return;
		} else if (written < 0 && error == EINTR) {
			return;
		} else {
			consume_output(output, count, false);
			drop(output, count, written < 0 ? error : EIO);
		}
	}
}

#define WAIT_NEVER SIZE_MAX

/* Leaves the work to whoever does it now, unless the buffer is so full that this caller has to
 * wait.
 */
static void flush(struct console_output *output, size_t wait_from_bytes)
{
	bool must_wait;

	pthread_mutex_lock(&output->lock);
	must_wait = output->size_bytes >= wait_from_bytes;
	pthread_mutex_unlock(&output->lock);
	if (must_wait)
		pthread_mutex_lock(&output->write_lock);
	else if (pthread_mutex_trylock(&output->write_lock))
		return;
	write_output(output, wait_from_bytes);
	pthread_mutex_unlock(&output->write_lock);
}

/* No lock held. */
static void tell_found(struct console_output *output, unsigned int found)
{
	if (found)
		output->setup.found(output->setup.ctx, found);
}

/* Lock held. Returns whether the caller is to set the timer, having left the lock. */
static bool need_timer(struct console_output *output)
{
	bool need = output->size_bytes > 0 && !output->timer_armed;

	output->written_since = true;
	if (need)
		output->timer_armed = true;
	return need;
}

/* Lock held. */
static bool reader_is_dead(const struct console_output *output)
{
	return output->stalled && monotonic_ns() - output->stalled_since_ns >= output->stall_max_ns;
}

/* Lock held. Whether who offered too much is to be told now. */
static bool take_room_wanted(struct console_output *output)
{
	bool tell = output->room_wanted &&
	            (OUTPUT_BYTES - output->size_bytes >= ROOM_BYTES || reader_is_dead(output));

	if (tell)
		output->room_wanted = false;
	return tell;
}

static void on_timer(void *ctx)
{
	struct console_output *output = ctx;
	unsigned int found = 0;
	bool again, soon, room;

	pthread_mutex_lock(&output->lock);
	soon = output->written_since;
	output->written_since = false;
	if (!soon)
		found = console_match_pause(&output->match);
	pthread_mutex_unlock(&output->lock);
	if (!soon)
		flush(output, WAIT_NEVER);
	tell_found(output, found);
	pthread_mutex_lock(&output->lock);
	room = take_room_wanted(output);
	soon = soon || output->written_since || output->room_wanted;
	again = soon || output->size_bytes > 0;
	output->timer_armed = again;
	pthread_mutex_unlock(&output->lock);
	if (again)
		event_timer_set(output->timer, soon ? SILENCE_NS : RETRY_NS, 0);
	if (room)
		output->setup.room(output->setup.ctx);
}

/* Appends what fits. Returns how much did; *ret_due says whether it is time to write. */
static size_t append_output(struct console_output *output, const uint8_t *data, size_t size_bytes,
                            bool *ret_due)
{
	bool set_timer;
	size_t count;

	pthread_mutex_lock(&output->lock);
	count = min_u64(size_bytes, OUTPUT_BYTES - output->size_bytes);
	memcpy(output->bytes + output->size_bytes, data, count);
	output->size_bytes += count;
	*ret_due = output->size_bytes >= FLUSH_BYTES || memchr(data, '\n', count);
	set_timer = need_timer(output);
	pthread_mutex_unlock(&output->lock);
	if (set_timer)
		event_timer_set(output->timer, SILENCE_NS, 0);
	return count;
}

/* A second try where there was no room at first. Returns how much did fit. */
static size_t append_and_flush(struct console_output *output, const uint8_t *data,
                               size_t size_bytes, size_t wait_from_bytes)
{
	bool due;
	size_t count = append_output(output, data, size_bytes, &due);

	if (due || !count)
		flush(output, wait_from_bytes);
	return count ? count : append_output(output, data, size_bytes, &due);
}

static void put_output(struct console_output *output, const uint8_t *data, size_t size_bytes,
                       size_t wait_from_bytes)
{
	while (size_bytes > 0) {
		size_t count = append_and_flush(output, data, size_bytes, wait_from_bytes);

		if (!count) {
			drop(output, size_bytes, EAGAIN);
			return;
		}
		data += count;
		size_bytes -= count;
	}
}

void console_output_write(struct console_output *output, const void *data, size_t size_bytes)
{
	unsigned int found;

	pthread_mutex_lock(&output->lock);
	found = console_match_feed(&output->match, data, size_bytes);
	pthread_mutex_unlock(&output->lock);
	put_output(output, data, size_bytes, WAIT_BYTES);
	tell_found(output, found);
}

enum room { ROOM_NOW, ROOM_LATER, ROOM_NEVER };

/* There was none. While the buffer is full the timer is set, and tells of room when there is some.
 */
static enum room look_for_room(struct console_output *output)
{
	enum room room = ROOM_NOW;

	pthread_mutex_lock(&output->lock);
	if (output->size_bytes == OUTPUT_BYTES)
		room = reader_is_dead(output) ? ROOM_NEVER : ROOM_LATER;
	if (room == ROOM_LATER)
		output->room_wanted = true;
	pthread_mutex_unlock(&output->lock);
	return room;
}

/* As far as there is room, or all of it when there never will be. */
static size_t append_offer(struct console_output *output, const uint8_t *bytes, size_t size_bytes)
{
	size_t taken_bytes = 0;

	while (taken_bytes < size_bytes) {
		size_t left_bytes = size_bytes - taken_bytes;
		size_t count =
			append_and_flush(output, bytes + taken_bytes, left_bytes, WAIT_NEVER);
		enum room room = count ? ROOM_NOW : look_for_room(output);

		if (room == ROOM_LATER)
			break;
		if (room == ROOM_NEVER) {
			drop(output, left_bytes, EAGAIN);
			count = left_bytes;
		}
		taken_bytes += count;
	}
	return taken_bytes;
}

size_t console_output_offer(struct console_output *output, const void *data, size_t size_bytes)
{
	size_t taken_bytes = append_offer(output, data, size_bytes);
	unsigned int found;

	pthread_mutex_lock(&output->lock);
	found = console_match_feed(&output->match, data, taken_bytes);
	pthread_mutex_unlock(&output->lock);
	tell_found(output, found);
	return taken_bytes;
}

void console_output_flush(struct console_output *output)
{
	flush(output, WAIT_NEVER);
}

void console_output_say(struct console_output *output, const char *text)
{
	put_output(output, (const uint8_t *)text, strlen(text), WAIT_NEVER);
}

static void open_output(struct console_output *output, int fd)
{
	struct stat status;
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	mode_t mode = fstat(fd, &status) ? 0 : status.st_mode;

	output->fd = fd;
	if (S_ISCHR(mode) && isatty(fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		output->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (output->own_fd >= 0)
			output->fd = output->own_fd;
	}
	output->poll_first = output->own_fd < 0 && !S_ISREG(mode);
}

int console_output_init(struct console_output *output, const struct console_output_setup *setup,
                        struct error *err)
{
	unsigned int stall_max_ms = setup->config->stall_max_ms;
	int r;

	output->setup = *setup;
	output->own_fd = -1;
	output->stall_max_ns = NS_PER_MS * (stall_max_ms ? stall_max_ms : CONSOLE_STALL_MAX_MS);
	pthread_mutex_init(&output->write_lock, NULL);
	pthread_mutex_init(&output->lock, NULL);
	r = console_match_init(&output->match, setup->config->expect_pattern, err);
	if (r < 0)
		return r;
	r = event_timer_create(setup->main_loop, on_timer, output, &output->timer);
	if (r < 0)
		return error_set_errno(err, r, "console timer");
	open_output(output, setup->config->output_fd);
	output->setup.config = NULL; /* borrowed until here */
	return 0;
}

void console_output_fini(struct console_output *output)
{
	event_timer_destroy(output->timer);
	output->timer = NULL;
	output->timer_armed = true; /* nobody sets it any more */
	flush(output, 0);
	if (output->own_fd >= 0)
		close(output->own_fd);
	console_match_fini(&output->match);
	pthread_mutex_destroy(&output->lock);
	pthread_mutex_destroy(&output->write_lock);
}
