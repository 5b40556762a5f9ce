/* SPDX-License-Identifier: Apache-2.0 */
/* The console over real pipes, files and pseudo-terminals: gathering, slow and lost readers, keys,
 * raw mode. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/console.h"
#include "ebb/log.h"

#define PATIENCE_MS 10000

struct fixture {
	struct event_loop *loop;
	struct log *log; /* NULL: none */
	struct console *console;
	int input_fd, output_fd;   /* the console's ends */
	int typing_fd, screen_fd;  /* ours; -1: none */
	unsigned int stall_max_ms; /* 0: 200 */
	atomic_uint quits, matches, panics;
	/* The guest's device. */
	pthread_mutex_t lock;
	size_t room;
	char typed[8192];
	size_t typed_bytes;
	atomic_uint resizes;
	int started;
};

static void on_quit(void *ctx)
{
	((struct fixture *)ctx)->quits++;
}

static void on_match(void *ctx)
{
	((struct fixture *)ctx)->matches++;
}

static void on_panic(void *ctx)
{
	((struct fixture *)ctx)->panics++;
}

static size_t device_room(void *ctx)
{
	struct fixture *fixture = ctx;
	size_t room;

	pthread_mutex_lock(&fixture->lock);
	room = fixture->room;
	pthread_mutex_unlock(&fixture->lock);
	return room;
}

static void device_input(void *ctx, const void *data, size_t size_bytes)
{
	struct fixture *fixture = ctx;

	pthread_mutex_lock(&fixture->lock);
	assert_true(size_bytes <= fixture->room);
	memcpy(fixture->typed + fixture->typed_bytes, data, size_bytes);
	fixture->typed_bytes += size_bytes;
	fixture->room -= size_bytes;
	pthread_mutex_unlock(&fixture->lock);
}

static void device_resized(void *ctx, uint16_t columns, uint16_t rows)
{
	struct fixture *fixture = ctx;

	(void)columns;
	(void)rows;
	fixture->resizes++;
}

static const struct console_input_ops device_ops = { device_room, device_input, device_resized };

static void do_start(void *ctx)
{
	struct fixture *fixture = ctx;
	struct error err = ERROR_INIT;

	fixture->started = console_start(fixture->console, &err);
	console_attach(fixture->console, &device_ops, fixture);
}

static void do_destroy(void *ctx)
{
	struct fixture *fixture = ctx;

	console_attach(fixture->console, NULL, NULL);
	console_destroy(fixture->console);
	fixture->console = NULL;
}

static void do_resize(void *ctx)
{
	console_resized(((struct fixture *)ctx)->console);
}

static void start(struct fixture *fixture, const char *pattern)
{
	const struct console_config config = {
		.input_fd = fixture->input_fd,
		.output_fd = fixture->output_fd,
		.expect_pattern = pattern,
		.stall_max_ms = fixture->stall_max_ms ? fixture->stall_max_ms : 200,
	};
	const struct console_events events = { on_quit, on_match, on_panic, fixture };
	struct error err = ERROR_INIT;

	assert_int_equal(event_loop_create("main", &fixture->loop, &err), 0);
	assert_int_equal(console_create(&config, &events, fixture->loop, fixture->log,
	                                &fixture->console, &err),
	                 0);
	event_loop_call(fixture->loop, do_start, fixture);
	assert_int_equal(fixture->started, 0);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Takes the console down; pipes stay, so that what it flushed can be read. */
static void stop(struct fixture *fixture)
{
	event_loop_call(fixture->loop, do_destroy, fixture);
	event_loop_destroy(fixture->loop);
	fixture->loop = NULL;
}

static int set_up(void **state)
{
	static struct fixture fixture;
	int fds[2];

	memset(&fixture, 0, sizeof(fixture));
	pthread_mutex_init(&fixture.lock, NULL);
	fixture.room = sizeof(fixture.typed);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fixture.input_fd = fds[0];
	fixture.typing_fd = fds[1];
	/* Packets: each write(2) is read by itself. */
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
	fixture.screen_fd = fds[0];
	fixture.output_fd = fds[1];
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->loop)
		stop(fixture);
	close_fd(&fixture->input_fd);
	close_fd(&fixture->output_fd);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->screen_fd);
	pthread_mutex_destroy(&fixture->lock);
	return 0;
}

/* One write of the console's, which must come. */
static void expect_screen(struct fixture *fixture, const char *expected)
{
	struct pollfd pollfd = { .fd = fixture->screen_fd, .events = POLLIN };
	char got[8192];
	ssize_t size;

	assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
	size = read(fixture->screen_fd, got, sizeof(got) - 1);
	assert_true(size > 0);
	got[size] = '\0';
	assert_string_equal(got, expected);
}

static void wait_for(const atomic_uint *counter, unsigned int value)
{
	for (int i = 0; i < PATIENCE_MS && *counter < value; i++)
		usleep(1000);
	assert_int_equal(*counter, value);
}

static void expect_typed(struct fixture *fixture, const char *text, size_t size_bytes)
{
	size_t have = 0;

	for (int i = 0; i < PATIENCE_MS && have < size_bytes; i++) {
		pthread_mutex_lock(&fixture->lock);
		have = fixture->typed_bytes;
		pthread_mutex_unlock(&fixture->lock);
		if (have < size_bytes)
			usleep(1000);
	}
	assert_int_equal(have, size_bytes);
	assert_memory_equal(fixture->typed, text, size_bytes);
}

static void type(struct fixture *fixture, const char *text, size_t size_bytes)
{
	assert_int_equal(write(fixture->typing_fd, text, size_bytes), size_bytes);
}

static void make_room(struct fixture *fixture, size_t room)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->room = room;
	pthread_mutex_unlock(&fixture->lock);
	console_input_ready(fixture->console);
}

/* --- output --- */

static void test_lines_are_gathered(void **state)
{
	struct fixture *fixture = *state;
	const char *text = "one line\r\n";

	start(fixture, NULL);
	for (const char *c = text; *c; c++)
		console_write(fixture->console, c, 1);
	expect_screen(fixture, text);
	console_write(fixture->console, "login: ", 7); /* after a silence */
	expect_screen(fixture, "login: ");
}

static void test_long_output_is_not_held_back(void **state)
{
	struct fixture *fixture = *state;
	char text[257];

	memset(text, 'x', 256);
	text[256] = '\0';
	start(fixture, NULL);
	for (int i = 0; i < 256; i++)
		console_write(fixture->console, text, 1);
	expect_screen(fixture, text);
}

static void test_destroy_flushes(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	console_write(fixture->console, "last words", 10);
	stop(fixture);
	expect_screen(fixture, "last words");
}

struct reader {
	int fd;
	size_t bytes;
	bool in_order;
};

#define PATTERN_BYTE(i) ((char)('a' + (i) % 23))

static void *read_slowly(void *ctx)
{
	struct reader *reader = ctx;
	char got[4096];
	ssize_t size;

	reader->in_order = true;
	while ((size = read(reader->fd, got, sizeof(got))) > 0) {
		for (ssize_t i = 0; i < size; i++)
			reader->in_order &= got[i] == PATTERN_BYTE(reader->bytes + i);
		reader->bytes += size;
		usleep(2000);
	}
	return NULL;
}

#define BULK_BYTES (256 * 1024)

static void check_bulk(struct fixture *fixture)
{
	struct reader reader = { .fd = fixture->screen_fd };
	static char text[BULK_BYTES];
	pthread_t thread;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = PATTERN_BYTE(i);
	fixture->stall_max_ms = 10000; /* a reader that a busy machine holds up is not dead */
	start(fixture, NULL);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	for (size_t i = 0; i < sizeof(text); i += 1024)
		console_write(fixture->console, text + i, i < BULK_BYTES / 2 ? 1024 : 0);
	console_write(fixture->console, text + BULK_BYTES / 2, BULK_BYTES / 2); /* at once */
	assert_int_equal(console_dropped_bytes(fixture->console), 0);
	stop(fixture);
	close_fd(&fixture->output_fd);
	pthread_join(thread, NULL);
	assert_int_equal(reader.bytes, BULK_BYTES);
	assert_true(reader.in_order);
}

static void test_slow_reader_gets_all(void **state)
{
	check_bulk(*state);
}

/* Somebody who shares stdout set the flag. */
static void test_nonblocking_output(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fcntl(fixture->output_fd, F_SETFL, O_NONBLOCK), 0);
	check_bulk(fixture);
}

static void test_dead_reader_does_not_stop_the_guest(void **state)
{
	struct fixture *fixture = *state;
	char text[4096];
	int64_t before_ns;
	uint64_t dropped;

	memset(text, 'x', sizeof(text));
	start(fixture, NULL);
	before_ns = monotonic_ns();
	for (int i = 0; i < 100; i++)
		console_write(fixture->console, text, sizeof(text));
	/* It waited once, for stall_max_ms, and not at each write. */
	assert_true(monotonic_ns() - before_ns >= 190 * NS_PER_MS);
	assert_true(monotonic_ns() - before_ns < 5 * NS_PER_S);
	dropped = console_dropped_bytes(fixture->console);
	assert_true(dropped > 200 * 1024);
	/* The reader comes back: so does the output. */
	while (dropped) {
		struct pollfd pollfd = { .fd = fixture->screen_fd, .events = POLLIN };

		if (poll(&pollfd, 1, 300) != 1)
			break;
		assert_true(read(fixture->screen_fd, text, sizeof(text)) > 0);
	}
	console_write(fixture->console, "again\n", 6);
	expect_screen(fixture, "again\n");
	assert_int_equal(console_dropped_bytes(fixture->console), dropped);
}

static void test_lost_reader(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	close_fd(&fixture->screen_fd);
	console_write(fixture->console, "hello\n", 6);
	console_write(fixture->console, "world\n", 6);
	assert_int_equal(console_dropped_bytes(fixture->console), 12);
}

static void test_full_disk(void **state)
{
	struct fixture *fixture = *state;
	char text[512];
	ssize_t size;
	int log_fds[2];

	close_fd(&fixture->output_fd);
	fixture->output_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fixture->output_fd >= 0);
	/* The log goes where the screen was. */
	assert_int_equal(pipe2(log_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(log_fds[1], LOG_INFO, &fixture->log), 0);
	start(fixture, "needle");
	console_write(fixture->console, "hay needle hay\n", 15);
	console_write(fixture->console, "more\n", 5);
	assert_int_equal(console_dropped_bytes(fixture->console), 20);
	assert_int_equal(fixture->matches, 1); /* what is dropped is searched all the same */
	usleep(1100000);                       /* a limit by time would let the next one pass */
	console_write(fixture->console, "more\n", 5);
	size = read(log_fds[0], text, sizeof(text) - 1);
	assert_true(size > 0);
	text[size] = '\0';
	assert_string_equal(text, "ebb: console: output dropped: No space left on device\n");
	stop(fixture);
	log_destroy(fixture->log);
	close(log_fds[0]);
	close(log_fds[1]);
}

/* --- what is looked for --- */

static void test_expect(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, "log.n: $");
	console_write(fixture->console, "lo", 2);
	console_write(fixture->console, "gin: ", 5);
	wait_for(&fixture->matches, 1); /* at the pause: the line has no end */
	console_write(fixture->console, "\nlogin: \n", 9);
	assert_int_equal(fixture->matches, 1);
}

static void test_events_precede_what_follows(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, "ready");
	console_write(fixture->console, "ready\n", 6);
	assert_int_equal(fixture->matches, 1); /* when console_write returns */
	console_write(fixture->console, "[    1.0] Kernel panic - not syncing: x\n", 40);
	assert_int_equal(fixture->panics, 1);
}

static void test_bad_pattern(void **state)
{
	struct fixture *fixture = *state;
	const struct console_config config = { -1, fixture->output_fd, "*(", 0 };
	const struct console_events events = { 0 };
	struct event_loop *loop;
	struct console *console = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(event_loop_create("main", &loop, &err), 0);
	assert_int_equal(console_create(&config, &events, loop, NULL, &console, &err), -EINVAL);
	assert_null(console);
	assert_non_null(strstr(err.message, "--expect"));
	event_loop_destroy(loop);
}

static void test_no_console(void **state)
{
	uint16_t columns = 1, rows = 1;

	(void)state;
	console_write(NULL, "x", 1);
	console_flush(NULL);
	console_attach(NULL, NULL, NULL);
	console_input_ready(NULL);
	console_resized(NULL);
	console_destroy(NULL);
	console_size(NULL, &columns, &rows);
	assert_int_equal(columns | rows, 0);
}

/* --- input --- */

static void test_input_as_there_is_room(void **state)
{
	struct fixture *fixture = *state;

	fixture->room = 3;
	start(fixture, NULL);
	type(fixture, "abcdefgh", 8);
	expect_typed(fixture, "abc", 3);
	make_room(fixture, 2);
	expect_typed(fixture, "abcde", 5);
	make_room(fixture, 100);
	expect_typed(fixture, "abcdefgh", 8);
}

static size_t polled_room(void *ctx)
{
	return *(size_t *)ctx;
}

static void polled_input(void *ctx, const void *data, size_t size_bytes)
{
	size_t *room = ctx;

	assert_true(size_bytes <= *room && !memcmp(data, "de", 2));
	*room -= size_bytes;
}

/* What the device has no room for goes to who polls, and no more than that. */
static void test_second_taker(void **state)
{
	static const struct console_input_ops ops = { polled_room, polled_input, NULL };
	struct fixture *fixture = *state;
	size_t room = 2;

	fixture->room = 3;
	start(fixture, NULL);
	console_attach_polled(fixture->console, &ops, &room);
	type(fixture, "abcdefgh", 8);
	expect_typed(fixture, "abc", 3);
	make_room(fixture, 100);
	expect_typed(fixture, "abcfgh", 6);
	assert_int_equal(room, 0);
	console_attach_polled(fixture->console, NULL, NULL);
	console_attach_polled(NULL, &ops, &room);
}

static int64_t process_cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
}

/* Waits; whoever spins meanwhile is found out. */
static void assert_idle(void)
{
	int64_t before_ns = process_cpu_ns();

	usleep(80000);
	assert_true(process_cpu_ns() - before_ns < 40 * NS_PER_MS);
}

static void test_end_of_input(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	type(fixture, "bye", 3);
	close_fd(&fixture->typing_fd);
	expect_typed(fixture, "bye", 3);
	assert_idle();
}

/* More than the queue holds, a guest that takes nothing, and a hang-up on top. */
static void test_full_queue_does_not_spin(void **state)
{
	struct fixture *fixture = *state;
	char text[6000];

	memset(text, 'q', sizeof(text));
	fixture->room = 0;
	start(fixture, NULL);
	type(fixture, text, sizeof(text));
	close_fd(&fixture->typing_fd);
	assert_idle();
	make_room(fixture, sizeof(fixture->typed));
	expect_typed(fixture, text, sizeof(text)); /* nothing was lost */
	assert_idle();
}

static void test_file_as_input(void **state)
{
	struct fixture *fixture = *state;
	char path[] = "/tmp/test-console-XXXXXX", text[6000];

	close_fd(&fixture->input_fd);
	fixture->input_fd = mkostemp(path, O_CLOEXEC);
	assert_true(fixture->input_fd >= 0);
	unlink(path);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = PATTERN_BYTE(i);
	assert_int_equal(write(fixture->input_fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(lseek(fixture->input_fd, 0, SEEK_SET), 0);
	fixture->room = 100;
	start(fixture, NULL);
	expect_typed(fixture, text, 100);
	make_room(fixture, 5000);
	expect_typed(fixture, text, 5100);
	make_room(fixture, 5000);
	expect_typed(fixture, text, 6000);
	assert_idle();
}

static void check_silent_input(struct fixture *fixture, int fd)
{
	close_fd(&fixture->input_fd);
	fixture->input_fd = fd;
	start(fixture, NULL);
	assert_idle();
	assert_int_equal(fixture->typed_bytes, 0);
	console_write(fixture->console, "x\n", 2);
	expect_screen(fixture, "x\n");
}

static void test_null_as_input(void **state)
{
	check_silent_input(*state, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void test_folder_as_input(void **state)
{
	check_silent_input(*state, open("/tmp", O_RDONLY | O_CLOEXEC));
}

static void test_no_input(void **state)
{
	check_silent_input(*state, -1);
}

static void test_keys(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	type(fixture, "a\001\001b\001ac\001zd", 10);
	expect_typed(fixture, "a\001b\001cd", 6); /* an unknown key is nothing */
	type(fixture, "\001", 1);
	usleep(10000);
	assert_int_equal(fixture->quits, 0);
	type(fixture, "x", 1); /* in two reads */
	wait_for(&fixture->quits, 1);
	type(fixture, "\001h", 2);
	expect_screen(fixture, "\r\nCtrl-A x       end the guest\r\n"
	                       "Ctrl-A h       this list\r\n"
	                       "Ctrl-A Ctrl-A  (or Ctrl-A a) send Ctrl-A to the guest\r\n");
}

/* --- terminals --- */

static void open_terminal(struct fixture *fixture)
{
	struct winsize size = { .ws_col = 132, .ws_row = 43 };
	int master, slave;

	close_fd(&fixture->input_fd);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->output_fd);
	close_fd(&fixture->screen_fd);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	fixture->typing_fd = master;
	fixture->screen_fd = dup(master);
	fixture->input_fd = slave;
	fixture->output_fd = dup(slave);
}

static void test_raw_and_restored(void **state)
{
	struct fixture *fixture = *state;
	struct termios before = { 0 }, raw = { 0 }, after = { 0 };
	uint16_t columns, rows;

	open_terminal(fixture);
	assert_int_equal(tcgetattr(fixture->input_fd, &before), 0);
	start(fixture, NULL);
	assert_int_equal(tcgetattr(fixture->input_fd, &raw), 0);
	assert_false(raw.c_lflag & (ICANON | ECHO | ISIG));
	assert_false(raw.c_oflag & OPOST);
	assert_false(raw.c_iflag & (IXON | ICRNL));
	console_size(fixture->console, &columns, &rows);
	assert_int_equal(columns, 132);
	assert_int_equal(rows, 43);
	event_loop_call(fixture->loop, do_resize, fixture);
	assert_int_equal(fixture->resizes, 1);
	console_write(fixture->console, "a\nb\n", 4);
	expect_screen(fixture, "a\nb\n");                              /* as it is */
	assert_false(fcntl(fixture->output_fd, F_GETFL) & O_NONBLOCK); /* others' flag is theirs */
	type(fixture, "\003\r", 2);                                    /* Ctrl-C is the guest's */
	expect_typed(fixture, "\003\r", 2);
	stop(fixture);
	assert_int_equal(tcgetattr(fixture->input_fd, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

/* A process that dies of its own fault leaves a terminal that one can type at. */
static void test_fatal_signals(void **state)
{
	static const int numbers[] = { SIGABRT, SIGSEGV };
	struct fixture *fixture = *state;

	open_terminal(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct termios after = { 0 };
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			dup2(fixture->input_fd, STDIN_FILENO);
			fixture->input_fd = STDIN_FILENO;
			signal(numbers[i], SIG_DFL); /* the test's runner has its own */
			start(fixture, NULL);
			if (tcgetattr(STDIN_FILENO, &after) || after.c_lflag & ICANON)
				_exit(1);
			kill(getpid(), numbers[i]);
			_exit(2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), numbers[i]);
		assert_int_equal(tcgetattr(fixture->input_fd, &after), 0);
		assert_int_equal(after.c_lflag & (ICANON | ECHO | ISIG | IEXTEN),
		                 ICANON | ECHO | ISIG | IEXTEN);
		assert_true(after.c_oflag & OPOST);
		assert_int_equal(after.c_iflag & (IXON | ICRNL), IXON | ICRNL);
	}
}

/* The guest is deaf, the queue full: the way out still works. */
static void test_keys_with_a_deaf_guest(void **state)
{
	struct fixture *fixture = *state;
	char text[3000];

	open_terminal(fixture);
	fixture->room = 0;
	start(fixture, NULL);
	memset(text, 'q', sizeof(text));
	type(fixture, text, sizeof(text));
	usleep(50000);
	type(fixture, text, sizeof(text));
	usleep(50000);
	type(fixture, "\001x", 2);
	wait_for(&fixture->quits, 1);
}

static void test_stuck_terminal_does_not_stop_the_loop(void **state)
{
	struct fixture *fixture = *state;
	char text[4096];

	open_terminal(fixture);
	start(fixture, NULL);
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 40; i++) /* nobody reads the screen */
		console_write(fixture->console, text, sizeof(text));
	assert_true(console_dropped_bytes(fixture->console) > 0);
	type(fixture, "\001x", 2);
	wait_for(&fixture->quits, 1);
}

static void test_hang_up(void **state)
{
	struct fixture *fixture = *state;

	open_terminal(fixture);
	start(fixture, NULL);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->screen_fd);
	assert_idle();
	console_write(fixture->console, "x\n", 2);
	assert_int_equal(console_dropped_bytes(fixture->console), 2);
}

static bool terminal_is_raw(int fd)
{
	struct termios modes;

	return tcgetattr(fd, &modes) == 0 && !(modes.c_lflag & ICANON);
}

/* As a job in the background of its session; exits with the number of the check that failed. */
static void run_in_background(struct fixture *fixture, int steps_fd)
{
	start(fixture, NULL);
	usleep(50000);
	if (terminal_is_raw(fixture->input_fd))
		_exit(1);
	if (write(steps_fd, "b", 1) != 1)
		_exit(2);
	for (int i = 0; i < PATIENCE_MS && !terminal_is_raw(fixture->input_fd); i++)
		usleep(1000);
	if (!terminal_is_raw(fixture->input_fd))
		_exit(3);
	expect_typed(fixture, "kept", 4);
	if (write(steps_fd, "f", 1) != 1)
		_exit(4);
	stop(fixture);
	_exit(terminal_is_raw(fixture->input_fd) ? 5 : 0);
}

/* The session's leader: puts the job into the foreground once it has behaved in the background. */
static void run_session(struct fixture *fixture)
{
	int steps[2], status;
	pid_t job;
	char step;

	setsid();
	if (ioctl(fixture->input_fd, TIOCSCTTY, 0) || pipe(steps))
		_exit(11);
	signal(SIGTTOU, SIG_IGN);
	job = fork();
	if (job == 0) {
		signal(SIGTTOU, SIG_DFL);
		setpgid(0, 0);
		run_in_background(fixture, steps[1]);
	}
	setpgid(job, job);
	if (read(steps[0], &step, 1) != 1 || step != 'b')
		_exit(12);
	if (write(fixture->typing_fd, "kept", 4) != 4 || tcsetpgrp(fixture->input_fd, job))
		_exit(13);
	close(steps[1]);
	if (read(steps[0], &step, 1) != 1 || step != 'f')
		_exit(14);
	if (waitpid(job, &status, WUNTRACED) != job || !WIFEXITED(status))
		_exit(15);
	_exit(WEXITSTATUS(status));
}

static void test_background(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t session;

	open_terminal(fixture);
	session = fork();
	if (session == 0)
		run_session(fixture);
	assert_int_equal(waitpid(session, &status, 0), session);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define with_pipes(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_pipes(test_lines_are_gathered),
		with_pipes(test_long_output_is_not_held_back),
		with_pipes(test_destroy_flushes),
		with_pipes(test_slow_reader_gets_all),
		with_pipes(test_nonblocking_output),
		with_pipes(test_dead_reader_does_not_stop_the_guest),
		with_pipes(test_lost_reader),
		with_pipes(test_full_disk),
		with_pipes(test_expect),
		with_pipes(test_events_precede_what_follows),
		with_pipes(test_bad_pattern),
		cmocka_unit_test(test_no_console),
		with_pipes(test_input_as_there_is_room),
		with_pipes(test_second_taker),
		with_pipes(test_end_of_input),
		with_pipes(test_full_queue_does_not_spin),
		with_pipes(test_file_as_input),
		with_pipes(test_null_as_input),
		with_pipes(test_folder_as_input),
		with_pipes(test_no_input),
		with_pipes(test_keys),
		with_pipes(test_raw_and_restored),
		with_pipes(test_fatal_signals),
		with_pipes(test_keys_with_a_deaf_guest),
		with_pipes(test_stuck_terminal_does_not_stop_the_loop),
		with_pipes(test_hang_up),
		with_pipes(test_background),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
