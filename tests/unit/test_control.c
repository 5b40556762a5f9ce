/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_server control_guest user_folder fake_vm fake_balloon fake_reclaim */
/* fakes: fake_kvm fake_arch fake_device_table */
/* wraps: monotonic_ns accept4 */
/* The control socket under good and bad clients. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/control_private.h"
#include "control_server.h"
#include "open_fds.h"

#define CAPABILITIES "{\"execute\": \"qmp_capabilities\"}\n"
#define QUERY_NAME   "{\"execute\": \"query-name\"}\n"
#define NAME_REPLY   "{\"return\": {\"name\": \"guest\"}}\n"

/* What the control socket takes for the time is later by so much. */
static _Atomic int64_t later_ns;

int64_t __real_monotonic_ns(void);
int64_t __wrap_monotonic_ns(void);

int64_t __wrap_monotonic_ns(void)
{
	return __real_monotonic_ns() + later_ns;
}

/* accept4 fails so, if not 0; and how often it was called. */
static _Atomic int accept_error;
static _Atomic unsigned int accepts;

int __real_accept4(int fd, struct sockaddr *peer, socklen_t *size_bytes, int flags);
int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *size_bytes, int flags);

int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *size_bytes, int flags)
{
	accepts++;
	if (accept_error) {
		errno = accept_error;
		return -1;
	}
	return __real_accept4(fd, peer, size_bytes, flags);
}

static struct control_server server;
static size_t fds_before;

static int set_up(void **state)
{
	(void)state;
	fds_before = open_fd_count();
	later_ns = 0;
	accept_error = 0;
	control_server_start(&server);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_server_stop(&server);
	return open_fd_count() == fds_before ? 0 : -1;
}

static int connect_client(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(name.sun_path, control_name_socket_path(server.name));
	assert_int_equal(connect(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next line, or what there is at the end of the stream; fails after 5 s. */
static const char *hear(int fd)
{
	static char line[1 << 16];
	size_t length = 0;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	while (length < sizeof(line) - 1) {
		assert_int_equal(poll(&poll_fd, 1, 5000), 1);
		if (recv(fd, line + length, 1, 0) != 1)
			break;
		if (line[length++] == '\n')
			break;
	}
	line[length] = '\0';
	return line;
}

static void hear_the_end(int fd)
{
	assert_string_equal(hear(fd), "");
}

/* Past the greeting, negotiated. */
static int connect_ready(void)
{
	int fd = connect_client();

	assert_memory_equal(hear(fd), "{\"QMP\": ", 8);
	say(fd, CAPABILITIES);
	assert_string_equal(hear(fd), "{\"return\": {}}\n");
	return fd;
}

static void the_socket_is_this_users_alone(void **state)
{
	struct stat status;

	(void)state;
	assert_int_equal(stat(control_name_socket_path(server.name), &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_uid, geteuid());
}

/* What a process of user uid hears that connects: its first byte, or 'e' at the end. */
static char first_byte_for(uid_t uid)
{
	int pipe_fds[2], status;
	char byte = '?';

	assert_int_equal(pipe(pipe_fds), 0);
	if (fork() == 0) {
		int fd;

		if (seteuid(0) || setuid(uid))
			_exit(1);
		fd = connect_client();
		byte = recv(fd, &byte, 1, 0) == 1 ? byte : 'e';
		_exit(write(pipe_fds[1], &byte, 1) != 1);
	}
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return byte;
}

static void other_users_are_turned_away(void **state)
{
	char folder[64];

	(void)state;
	if (getuid() != 0)
		skip(); /* only root can become others */
	/* Even with every door open. */
	snprintf(folder, sizeof(folder), "%s/ebb", server.folder);
	assert_int_equal(chmod(server.folder, 0777), 0);
	assert_int_equal(chmod(folder, 0777), 0);
	assert_int_equal(chmod(control_name_socket_path(server.name), 0777), 0);
	assert_int_equal(first_byte_for(12345), 'e');
	assert_int_equal(first_byte_for(0), '{');
	assert_int_equal(first_byte_for(geteuid()), '{');
}

static void a_client_is_served(void **state)
{
	int fd = connect_ready();

	(void)state;
	say(fd, QUERY_NAME);
	assert_string_equal(hear(fd), NAME_REPLY);
	/* In pieces. */
	say(fd, "{\"exec");
	control_server_settle(&server);
	say(fd, "ute\": \"query-name\"");
	control_server_settle(&server);
	say(fd, "}");
	assert_string_equal(hear(fd), NAME_REPLY);
	say(fd, "{\"execute\": \"stop\"}");
	assert_string_equal(hear(fd), "{\"return\": {}}\n");
	assert_int_equal(fake_vm.state, VM_STATE_PAUSED);
	close(fd);
}

static void a_client_that_ends_its_input_is_answered_first(void **state)
{
	int fd = connect_ready();

	(void)state;
	say(fd, QUERY_NAME QUERY_NAME "{\"execute\": \"qu");
	shutdown(fd, SHUT_WR);
	assert_string_equal(hear(fd), NAME_REPLY);
	assert_string_equal(hear(fd), NAME_REPLY);
	hear_the_end(fd);
	assert_int_equal(fake_vm.ends, 0);
	close(fd);
}

static void a_client_that_hangs_up_harms_nobody(void **state)
{
	int other = connect_ready();

	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = i % 2 ? connect_ready() : connect_client();

		if (i % 3 == 0)
			say(fd, "{\"execute\": \"query-na");
		else if (i % 3 == 1)
			say(fd, QUERY_NAME QUERY_NAME QUERY_NAME);
		close(fd);
	}
	control_server_settle(&server);
	say(other, QUERY_NAME);
	assert_string_equal(hear(other), NAME_REPLY);
	close(other);
}

static void garbage_gets_an_error_and_the_conversation_goes_on(void **state)
{
	int fd = connect_ready();

	(void)state;
	say(fd, "\x01\xff garbage\n");
	assert_non_null(strstr(hear(fd), "\"GenericError\""));
	say(fd, QUERY_NAME);
	assert_string_equal(hear(fd), NAME_REPLY);
	close(fd);
}

static void a_line_without_end_ends_the_connection(void **state)
{
	static char block[64 * 1024];
	int fd = connect_ready(), other = connect_ready();
	size_t sent = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	/* 100 MB at most, but it is stopped long before. */
	while (sent < 100 * 1000 * 1000) {
		ssize_t ret = send(fd, block, sizeof(block), MSG_NOSIGNAL);

		if (ret < 0)
			break;
		sent += (size_t)ret;
	}
	assert_true(sent < MIB);
	assert_string_equal(hear(fd),
	                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the request is "
	                    "longer than 65536 bytes\"}}\n");
	hear_the_end(fd);
	close(fd);
	say(other, QUERY_NAME);
	assert_string_equal(hear(other), NAME_REPLY);
	close(other);
}

static void a_client_that_never_reads_is_not_heard_and_at_last_dropped(void **state)
{
	struct pollfd poll_fd = { .events = POLLOUT };
	int fd = connect_ready(), other = connect_ready();
	size_t sent = 0;

	(void)state;
	/* It asks until nobody listens any more. */
	for (;;) {
		ssize_t ret = send(fd, QUERY_NAME, strlen(QUERY_NAME), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (ret > 0) {
			sent += (size_t)ret;
			assert_true(sent < 64 * MIB);
			continue;
		}
		poll_fd.fd = fd;
		if (poll(&poll_fd, 1, 200) == 0)
			break;
	}
	/* Others are served meanwhile. */
	say(other, QUERY_NAME);
	assert_string_equal(hear(other), NAME_REPLY);
	close(other);
	/* Events pile up for it until it is too much. */
	control_server_flood(&server, VM_EVENT_RESUME, CONTROL_OUTPUT_MAX_BYTES / 64);
	other = connect_ready();
	say(other, QUERY_NAME);
	assert_string_equal(hear(other), NAME_REPLY);
	poll_fd.events = 0;
	assert_int_equal(poll(&poll_fd, 1, 5000), 1);
	assert_true(poll_fd.revents & POLLHUP);
	close(fd);
	close(other);
}

static void a_slow_reader_gets_every_answer(void **state)
{
	static char block[512 * (sizeof(QUERY_NAME) - 1) + 1];
	const size_t request_bytes = strlen(QUERY_NAME);
	int fd = connect_ready();
	size_t sent = 0, asked;
	ssize_t ret;

	(void)state;
	for (size_t i = 0; i < 512; i++)
		memcpy(block + i * request_bytes, QUERY_NAME, request_bytes + 1);
	/* More answers than may wait: the rest is asked when it reads. */
	do {
		ret = send(fd, block + sent % request_bytes,
		           sizeof(block) - 1 - sent % request_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += ret > 0 ? (size_t)ret : 0;
		control_server_settle(&server);
	} while (ret > 0);
	asked = sent / request_bytes;
	assert_true(asked * strlen(NAME_REPLY) > 128 * KIB);
	control_server_settle(&server);
	shutdown(fd, SHUT_WR);
	for (size_t i = 0; i < asked; i++)
		assert_string_equal(hear(fd), NAME_REPLY);
	hear_the_end(fd);
	close(fd);
}

static void clients_have_a_limit(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], fd;

	(void)state;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = connect_ready();
	fd = connect_client();
	assert_string_equal(hear(fd), "{\"error\": {\"class\": \"GenericError\", \"desc\": \"too "
	                              "many clients are connected\"}}\n");
	hear_the_end(fd);
	close(fd);
	close(fds[3]);
	control_server_settle(&server);
	fds[3] = connect_ready();
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}

static void a_silent_client_makes_room(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], fd;

	(void)state;
	/* The first two came before the others, and the first asks for something in the end. */
	for (size_t i = 0; i < 2; i++)
		fds[i] = connect_ready();
	later_ns = NS_PER_S;
	for (size_t i = 2; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = connect_ready();
	later_ns = CONTROL_IDLE_NS / 2;
	say(fds[0], QUERY_NAME);
	assert_string_equal(hear(fds[0]), NAME_REPLY);
	fd = connect_client();
	assert_non_null(strstr(hear(fd), "too many clients are connected"));
	close(fd);

	later_ns = CONTROL_IDLE_NS + NS_PER_S / 2;
	fd = connect_ready();
	assert_non_null(strstr(hear(fds[1]), "another client takes the place of this one"));
	hear_the_end(fds[1]);
	close(fds[1]);
	fds[1] = fd;
	/* Nobody else was silent for long enough. */
	fd = connect_client();
	assert_non_null(strstr(hear(fd), "too many clients are connected"));
	close(fd);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		say(fds[i], QUERY_NAME);
		assert_string_equal(hear(fds[i]), NAME_REPLY);
		close(fds[i]);
	}
}

/* Who waits for the end of a reclaim run is not silent. */
static void who_waits_for_an_answer_keeps_its_place(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], fd;

	(void)state;
	fds[0] = connect_ready();
	say(fds[0], "{\"execute\": \"x-ebb-reclaim\"}\n");
	control_server_settle(&server);
	for (size_t i = 1; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = connect_ready();
	later_ns = 2 * CONTROL_IDLE_NS;
	for (size_t i = 1; i < CONTROL_CLIENTS_MAX; i++) {
		fd = connect_ready();
		assert_non_null(strstr(hear(fds[i]), "another client takes the place"));
		close(fds[i]);
		fds[i] = fd;
	}
	fd = connect_client();
	assert_non_null(strstr(hear(fd), "too many clients are connected"));
	close(fd);
	assert_true(control_server_end_run(&server, BALLOON_RUN_DONE));
	assert_non_null(strstr(hear(fds[0]), "X_EBB_RECLAIM_ENDED"));
	assert_non_null(strstr(hear(fds[0]), "\"return\""));
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
}

/* No descriptor for a client that waits: the loop does not turn in a circle, and the client is
 * served once there is one. */
static void a_client_waits_for_a_descriptor(void **state)
{
	unsigned int before;
	int fd;

	(void)state;
	accept_error = EMFILE;
	before = accepts;
	fd = connect_client();
	for (int i = 0; i < 20; i++) {
		control_server_settle(&server);
		usleep(10000);
	}
	assert_in_range(accepts - before, 1, 3);
	accept_error = 0;
	assert_memory_equal(hear(fd), "{\"QMP\": ", 8);
	close(fd);
	fd = connect_ready();
	close(fd);
}

static void events_reach_every_client_that_negotiated(void **state)
{
	int first = connect_ready(), second = connect_ready(), third = connect_client();

	(void)state;
	hear(third);
	control_server_tell(&server, VM_EVENT_STOP, 0);
	assert_non_null(strstr(hear(first), "\"event\": \"STOP\""));
	assert_non_null(strstr(hear(second), "\"event\": \"STOP\""));
	say(third, CAPABILITIES);
	assert_string_equal(hear(third), "{\"return\": {}}\n");
	/* A reset that a client asked for says so, the next one is the guest's. */
	say(first, "{\"execute\": \"system_reset\"}");
	assert_string_equal(hear(first), "{\"return\": {}}\n");
	control_server_tell(&server, VM_EVENT_RESET, 0);
	assert_non_null(strstr(hear(third), "\"host-qmp-system-reset\""));
	control_server_tell(&server, VM_EVENT_RESET, 0);
	assert_non_null(strstr(hear(third), "\"guest-reset\""));
	close(first);
	close(second);
	close(third);
}

/* The event's line without its timestamp; "" at the end of the stream. */
static const char *hear_event(int fd)
{
	const char *line = hear(fd), *event = strstr(line, "\"event\"");

	return event ? event : line;
}

struct sizes {
	uint64_t vm0_bytes, vm1_bytes;
	bool add;
};

static void change_sizes(void *ctx)
{
	const struct sizes *sizes = ctx;

	if (sizes->add) {
		control_guest_add_memory(&server.guest, "vm0");
		control_guest_add_memory(&server.guest, "vm1");
	}
	server.guest.memory_devices[0].status.plugged_bytes = sizes->vm0_bytes;
	server.guest.memory_devices[1].status.plugged_bytes = sizes->vm1_bytes;
}

static void change_memory(uint64_t vm0_bytes, uint64_t vm1_bytes, bool add)
{
	struct sizes sizes = { vm0_bytes, vm1_bytes, add };

	control_server_call(&server, change_sizes, &sizes);
	control_server_tell(&server, VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, 0);
}

#define SIZE_CHANGE(id, size) \
	"\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"id\": \"" id "\", \"size\": " size \
	", \"qom-path\": \"/machine/peripheral/" id "\"}}\n"

static void memory_devices_are_told_of_once_a_second_each(void **state)
{
	int fd = connect_ready();

	(void)state;
	change_memory(2 * MIB, 0, true);
	assert_string_equal(hear_event(fd), SIZE_CHANGE("vm0", "2097152"));
	/* Nothing is new. */
	change_memory(2 * MIB, 0, false);
	/* In the second that follows: the last of each, and only what changed. */
	change_memory(4 * MIB, 2 * MIB, false);
	change_memory(6 * MIB, 8 * MIB, false);
	assert_string_equal(hear_event(fd), SIZE_CHANGE("vm0", "6291456"));
	assert_string_equal(hear_event(fd), SIZE_CHANGE("vm1", "8388608"));
	change_memory(8 * MIB, 6 * MIB, false);
	change_memory(6 * MIB, 6 * MIB, false);
	/* What still waits is told at the end. */
	control_server_end(&server);
	assert_string_equal(hear_event(fd), SIZE_CHANGE("vm1", "6291456"));
	hear_the_end(fd);
	close(fd);
}

static void an_end_says_goodbye(void **state)
{
	int fd = connect_ready();
	char path[CONTROL_PATH_MAX];

	(void)state;
	strcpy(path, control_name_socket_path(server.name));
	control_server_tell(&server, VM_EVENT_SHUTDOWN, VM_END_POWEROFF);
	control_server_end(&server);
	assert_non_null(strstr(hear(fd), "\"event\": \"SHUTDOWN\""));
	hear_the_end(fd);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);
}

static void a_stale_socket_is_taken_over(void **state)
{
	struct control_name *name;
	struct control *control;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct vm vm = server.guest.vm;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(control_name_acquire("stale", &name, NULL), 0);
	strcpy(address.sun_path, control_name_socket_path(name));
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(access(address.sun_path, F_OK), 0);
	assert_int_equal(control_create(&vm, name, &control, NULL), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	control_server_settle(&server);
	control_destroy(control);
	control_name_release(name);
	assert_int_equal(access(address.sun_path, F_OK), -1);
}

static void a_folder_that_is_gone_is_an_error(void **state)
{
	struct control_name *name;
	struct control *control = NULL;
	struct error err = ERROR_INIT;
	char folder[64], moved[64];

	(void)state;
	assert_int_equal(control_name_acquire("lost", &name, NULL), 0);
	snprintf(folder, sizeof(folder), "%s/ebb", server.folder);
	snprintf(moved, sizeof(moved), "%s/moved", server.folder);
	assert_int_equal(rename(folder, moved), 0);
	assert_int_equal(control_create(&server.guest.vm, name, &control, &err), -ENOENT);
	assert_non_null(strstr(err.message, "lost.sock: No such file or directory"));
	assert_null(control);
	assert_int_equal(rename(moved, folder), 0);
	control_name_release(name);
}

/* The first descriptor that is not open: with a limit of n, n - this many can be opened. */
static rlim_t next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return (rlim_t)fd;
}

static void a_start_that_runs_out_of_descriptors_leaves_nothing(void **state)
{
	struct rlimit limit, few;
	bool done = false;
	unsigned int failures = 0;
	size_t fds_at_first = open_fd_count();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (rlim_t more = 0; !done; more++) {
		struct control_name *name = NULL;
		struct control *control = NULL;
		struct error err = ERROR_INIT;
		char path[64];

		few = limit;
		few.rlim_cur = next_fd() + more;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		if (control_name_acquire("few", &name, &err) == 0)
			done = control_create(&server.guest.vm, name, &control, &err) == 0;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		assert_true(done || err.code < 0);
		assert_true(done == (control != NULL));
		failures += !done;
		control_destroy(control);
		control_name_release(name);
		assert_int_equal(open_fd_count(), fds_at_first);
		snprintf(path, sizeof(path), "%s/ebb/few.sock", server.folder);
		assert_int_equal(access(path, F_OK), -1);
	}
	/* The folder, the lock, the socket: at the least. */
	assert_true(failures >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_socket_is_this_users_alone),
		TEST(other_users_are_turned_away),
		TEST(a_client_is_served),
		TEST(a_client_that_ends_its_input_is_answered_first),
		TEST(a_client_that_hangs_up_harms_nobody),
		TEST(garbage_gets_an_error_and_the_conversation_goes_on),
		TEST(a_line_without_end_ends_the_connection),
		TEST(a_client_that_never_reads_is_not_heard_and_at_last_dropped),
		TEST(a_slow_reader_gets_every_answer),
		TEST(clients_have_a_limit),
		TEST(a_silent_client_makes_room),
		TEST(who_waits_for_an_answer_keeps_its_place),
		TEST(a_client_waits_for_a_descriptor),
		TEST(events_reach_every_client_that_negotiated),
		TEST(memory_devices_are_told_of_once_a_second_each),
		TEST(an_end_says_goodbye),
		TEST(a_stale_socket_is_taken_over),
		TEST(a_folder_that_is_gone_is_an_error),
		TEST(a_start_that_runs_out_of_descriptors_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
