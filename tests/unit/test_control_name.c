/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: user_folder fake_device_table */
/* Who holds a guest's name, and where. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/control_private.h"
#include "user_folder.h"

static const char *folder;

/* What happens between a starter's open of the lock file and its flock: an ebb that ends. Behind
 * the flock: one that had the name for a moment. */
static struct control_name *ends_before_flock, *ends_behind_flock;

int flock(int fd, int operation)
{
	struct control_name *name = ends_before_flock;
	int ret, failure;

	ends_before_flock = NULL;
	control_name_release(name);
	ret = (int)syscall(SYS_flock, fd, operation);
	failure = errno;
	if (ends_behind_flock) {
		name = ends_behind_flock;
		ends_behind_flock = NULL;
		control_name_release(name);
	}
	errno = failure;
	return ret;
}

static int set_up(void **state)
{
	(void)state;
	folder = user_folder_enter();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	user_folder_leave();
	return 0;
}

/* A path in the runtime folder; the last four stay valid. */
static const char *in_folder(const char *path)
{
	static char paths[4][128];
	static unsigned int next;
	char *text = paths[next++ % 4];

	snprintf(text, sizeof(paths[0]), "%s/%s", folder, path);
	return text;
}

static bool exists(const char *path)
{
	return access(in_folder(path), F_OK) == 0;
}

static void a_name_is_held_until_it_is_released(void **state)
{
	struct control_name *first = NULL, *second = NULL;
	struct error err = ERROR_INIT;
	struct stat status;

	(void)state;
	assert_int_equal(control_name_acquire("vm1", &first, &err), 0);
	assert_string_equal(control_name_socket_path(first), in_folder("ebb/vm1.sock"));
	assert_int_equal(stat(in_folder("ebb"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(stat(in_folder("ebb/vm1.lock"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	assert_int_equal(control_name_acquire("vm1", &second, &err), -EEXIST);
	assert_string_equal(err.message, "--name vm1: a guest of that name is running (choose "
	                                 "another name, or end it with ebb stop vm1)");
	assert_null(second);
	assert_int_equal(control_name_acquire("vm2", &second, NULL), 0);
	control_name_release(second);

	control_name_release(first);
	assert_false(exists("ebb/vm1.lock"));
	assert_int_equal(control_name_acquire("vm1", &first, NULL), 0);
	control_name_release(first);
	control_name_release(NULL);
}

static void a_killed_holder_leaves_nothing_in_the_way(void **state)
{
	struct control_name *name = NULL;
	char byte;
	int pipe_fds[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	if (child == 0) {
		bool held = control_name_acquire("vm1", &name, NULL) == 0;

		close(open(in_folder("ebb/vm1.sock"), O_CREAT | O_WRONLY, 0600));
		(void)!write(pipe_fds[1], held ? "y" : "n", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	assert_int_equal(control_name_acquire("vm1", &name, NULL), -EEXIST);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(exists("ebb/vm1.lock"));
	assert_true(exists("ebb/vm1.sock"));
	assert_int_equal(control_name_acquire("vm1", &name, NULL), 0);
	control_name_release(name);
	assert_false(exists("ebb/vm1.sock"));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void a_lock_on_a_file_that_lost_its_name_is_none(void **state)
{
	struct control_name *first = NULL, *second = NULL, *third = NULL;

	(void)state;
	assert_int_equal(control_name_acquire("vm1", &first, NULL), 0);
	ends_before_flock = first;
	assert_int_equal(control_name_acquire("vm1", &second, NULL), 0);
	assert_true(exists("ebb/vm1.lock"));
	assert_int_equal(control_name_acquire("vm1", &third, NULL), -EEXIST);
	control_name_release(second);
}

static void who_cleans_up_is_not_in_a_starter_s_way(void **state)
{
	struct control_name *name = NULL, *cleaner = NULL;

	(void)state;
	assert_int_equal(control_name_acquire("vm1", &cleaner, NULL), 0);
	ends_behind_flock = cleaner;
	assert_int_equal(control_name_acquire("vm1", &name, NULL), 0);
	control_name_clean("vm1"); /* not while one has it */
	assert_true(exists("ebb/vm1.lock"));
	assert_int_equal(control_name_acquire("vm1", &cleaner, NULL), -EEXIST);
	control_name_release(name);
	assert_false(exists("ebb/vm1.lock"));
}

static void only_one_of_many_starters_gets_a_name(void **state)
{
	int pipe_fds[2], status;
	char bytes[64];
	ssize_t got = 0, holders = 0;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	/* Each takes the name again and again and says when it held it alone. */
	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			struct control_name *name;
			bool alone = true;

			for (int round = 0; round < 200; round++) {
				int fd;

				if (control_name_acquire("vm1", &name, NULL))
					continue;
				fd = open(in_folder("held"), O_CREAT | O_EXCL | O_WRONLY, 0600);
				alone &= fd >= 0;
				close(fd);
				unlink(in_folder("held"));
				control_name_release(name);
			}
			(void)!write(pipe_fds[1], alone ? "y" : "n", 1);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		assert_true(wait(&status) > 0);
	got = read(pipe_fds[0], bytes, sizeof(bytes));
	for (ssize_t i = 0; i < got; i++)
		holders += bytes[i] == 'y';
	assert_int_equal(holders, 4);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void a_folder_that_others_reach_is_refused(void **state)
{
	struct control_name *name = NULL;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(mkdir(in_folder("ebb"), 0700), 0);
	assert_int_equal(chmod(in_folder("ebb"), 0755), 0);
	assert_int_equal(control_name_acquire("vm1", &name, &err), -EPERM);
	assert_non_null(strstr(err.message, "/ebb: mode 0755 lets others in (chmod 700 it)"));
	assert_false(exists("ebb/vm1.lock"));

	/* A link to a folder that would do. */
	assert_int_equal(rename(in_folder("ebb"), in_folder("other")), 0);
	assert_int_equal(chmod(in_folder("other"), 0700), 0);
	assert_int_equal(symlink(in_folder("other"), in_folder("ebb")), 0);
	assert_int_equal(control_name_acquire("vm1", &name, &err), -ENOTDIR);
	assert_non_null(strstr(err.message, "/ebb: not a folder, which control sockets need"));
	assert_false(exists("other/vm1.lock"));
	unlink(in_folder("ebb"));

	setenv("XDG_RUNTIME_DIR", in_folder("missing"), 1);
	assert_int_equal(control_name_acquire("vm1", &name, &err), -ENOENT);
	assert_non_null(strstr(err.message, "the folder above it is not there (create that, or "));
	/* A folder of somebody else. */
	setenv("XDG_RUNTIME_DIR", "/", 1);
	assert_true(control_name_acquire("vm1", &name, &err) < 0);
	assert_null(name);
}

/* Root's folder is a fixed one: a variable that ebb does not look at is no advice. */
static void root_is_not_told_of_a_variable(void **state)
{
	uid_t user = geteuid();
	struct error errors[3] = { ERROR_INIT, ERROR_INIT, ERROR_INIT };
	int answers[3];

	(void)state;
	assert_int_equal(mkdir(in_folder("others"), 0700), 0);
	assert_int_equal(symlink(in_folder("others"), in_folder("link")), 0);
	if (seteuid(0))
		skip(); /* the tests are not run by root */
	answers[0] = control_open_folder(in_folder("link"), &errors[0]);
	answers[1] = control_open_folder(in_folder("missing/ebb"), &errors[1]);
	answers[2] = control_open_folder(in_folder("others"), &errors[2]);
	assert_int_equal(seteuid(user), 0);
	assert_int_equal(answers[0], -ENOTDIR);
	assert_int_equal(answers[1], -ENOENT);
	assert_int_equal(answers[2], -EPERM);
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		assert_null(strstr(errors[i].message, "XDG_RUNTIME_DIR"));
	assert_non_null(strstr(errors[0].message, "is in its place: remove it)"));
	assert_non_null(strstr(errors[2].message, "not to you (remove it)"));
}

/* What clients ask before they believe a socket: nothing is made, and another user's is refused. */
static void clients_believe_their_own_folder_alone(void **state)
{
	const uid_t user = geteuid();
	struct error err = ERROR_INIT;
	int answer;

	(void)state;
	assert_int_equal(control_check_folder(in_folder("ebb"), &err), 0);
	assert_false(exists("ebb"));
	assert_int_equal(mkdir(in_folder("ebb"), 0700), 0);
	assert_int_equal(control_check_folder(in_folder("ebb"), &err), 0);
	assert_int_equal(chmod(in_folder("ebb"), 0770), 0);
	assert_int_equal(control_check_folder(in_folder("ebb"), &err), -EPERM);
	assert_int_equal(symlink(in_folder("ebb"), in_folder("link")), 0);
	assert_int_equal(control_check_folder(in_folder("link"), &err), -ENOTDIR);
	if (seteuid(0))
		skip(); /* the tests are not run by root */
	assert_int_equal(mkdir(in_folder("root's"), 0755), 0);
	assert_int_equal(seteuid(user), 0);
	answer = control_check_folder(in_folder("root's"), &err);
	assert_int_equal(answer, -EPERM);
	assert_non_null(strstr(err.message, "it belongs to user 0, not to you"));
}

static void a_link_in_place_of_the_lock_is_refused(void **state)
{
	struct control_name *name = NULL;

	(void)state;
	assert_int_equal(mkdir(in_folder("ebb"), 0700), 0);
	assert_int_equal(symlink(in_folder("target"), in_folder("ebb/vm1.lock")), 0);
	assert_int_equal(control_name_acquire("vm1", &name, NULL), -ELOOP);
	assert_false(exists("target"));
}

static void a_path_that_fits_no_socket_is_refused(void **state)
{
	char long_folder[200] = "/tmp/", path[CONTROL_PATH_MAX];
	struct error err = ERROR_INIT;

	(void)state;
	memset(long_folder + 5, 'x', 110);
	setenv("XDG_RUNTIME_DIR", long_folder, 1);
	assert_int_equal(control_socket_path("vm1", path, &err), -ENAMETOOLONG);
	assert_non_null(
		strstr(err.message, "too long for a socket's path (the limit is 107 bytes"));
	/* The folder fits, the socket does not. */
	long_folder[100] = '\0';
	setenv("XDG_RUNTIME_DIR", long_folder, 1);
	assert_int_equal(control_folder(path, &err), 0);
	assert_int_equal(control_socket_path("vm1", path, &err), -ENAMETOOLONG);
	long_folder[94] = '\0';
	setenv("XDG_RUNTIME_DIR", long_folder, 1);
	assert_int_equal(control_socket_path("vm1", path, &err), 0);
	assert_int_equal(strlen(path), CONTROL_PATH_MAX - 1);
}

static void a_user_without_a_session_has_a_folder_in_tmp(void **state)
{
	char path[CONTROL_PATH_MAX], expected[CONTROL_PATH_MAX];
	struct error err = ERROR_INIT;
	struct stat status;

	(void)state;
	snprintf(expected, sizeof(expected), "/run/user/%u", (unsigned int)geteuid());
	if (stat(expected, &status) == 0)
		strcat(expected, "/ebb");
	else
		snprintf(expected, sizeof(expected), "/tmp/ebb-%u", (unsigned int)geteuid());
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(control_folder(path, &err), 0);
	assert_string_equal(path, expected);
	/* What is no path from the root on is not looked at. */
	setenv("XDG_RUNTIME_DIR", "here", 1);
	assert_int_equal(control_folder(path, &err), 0);
	assert_string_equal(path, expected);
	setenv("XDG_RUNTIME_DIR", "", 1);
	assert_int_equal(control_folder(path, &err), 0);
	assert_string_equal(path, expected);
}

static void a_name_that_is_none_is_refused(void **state)
{
	struct control_name *name = NULL;

	(void)state;
	assert_int_equal(control_name_acquire("../vm1", &name, NULL), -EINVAL);
	assert_false(exists("ebb"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_name_is_held_until_it_is_released),
		TEST(a_killed_holder_leaves_nothing_in_the_way),
		TEST(a_lock_on_a_file_that_lost_its_name_is_none),
		TEST(who_cleans_up_is_not_in_a_starter_s_way),
		TEST(only_one_of_many_starters_gets_a_name),
		TEST(a_folder_that_others_reach_is_refused),
		TEST(root_is_not_told_of_a_variable),
		TEST(clients_believe_their_own_folder_alone),
		TEST(a_link_in_place_of_the_lock_is_refused),
		TEST(a_path_that_fits_no_socket_is_refused),
		TEST(a_user_without_a_session_has_a_folder_in_tmp),
		TEST(a_name_that_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
