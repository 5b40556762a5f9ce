/* SPDX-License-Identifier: Apache-2.0 */
/* A trace's rows as text, in real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../src/reclaim_trace_file.h"

#define HEAD \
	"time_ns,source,ranges_in,ranges_released,bytes_in,bytes_released,bytes_absent," \
	"bytes_refused,syscalls,latency_ns,errors,batches,resident_bytes,bytes_lazy," \
	"refused_outside,refused_unaligned,refused_locked,refused_inhibited,refused_poison," \
	"refused_paused,refused_limit,refused_host\n"
#define SAMPLE "13,sample,0,0,0,0,0,0,0,0,0,0,14,0,0,0,0,0,0,0,0,0\n"

static const struct reclaim_trace_row batch = {
	.time_ns = 1,
	.source = RECLAIM_REPORT,
	.batches = 12,
	.ranges_in = 2,
	.bytes_in = UINT64_MAX,
	.outcome = { .ranges_released = 3,
	             .bytes_released = 5,
	             .bytes_absent = 6,
	             .bytes_refused = 7,
	             .bytes_lazy = 11,
	             .refused = { 15, 16, 17, 18, 19, 20, 21, 22 },
	             .syscalls = 8 },
	.errors = 10,
	.latency_ns = 9,
};
static const struct reclaim_trace_row sample = { .time_ns = 13, .resident_bytes = 14 };

static char folder[64], path[96];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ebb-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/trace.csv", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void put(struct reclaim_trace_file *file, const struct reclaim_trace_row *row)
{
	char line[RECLAIM_TRACE_ROW_MAX_BYTES];
	size_t length = reclaim_trace_file_format(file, row, line);

	assert_true(length < sizeof(line));
	assert_int_equal(line[length - 1], '\n');
	assert_int_equal(reclaim_trace_file_write(file, line, length), length);
}

static void file_is(const char *expected)
{
	char text[4096] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	assert_string_equal(text, expected);
}

static void csv(void **state)
{
	struct reclaim_trace_file file;

	(void)state;
	assert_int_equal(reclaim_trace_file_open(path, false, &file, NULL), 0);
	assert_int_equal(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	put(&file, &batch);
	put(&file, &sample);
	reclaim_trace_file_close(&file);
	file_is(HEAD "1,report,2,3,18446744073709551615,5,6,7,8,9,10,12,,11,15,16,17,18,19,20,21,"
	             "22\n" SAMPLE);
}

static void json_lines(void **state)
{
	struct reclaim_trace_file file;

	(void)state;
	snprintf(path, sizeof(path), "%s/trace.jsonl", folder);
	assert_int_equal(reclaim_trace_file_open(path, false, &file, NULL), 0);
	put(&file, &batch);
	put(&file, &sample);
	reclaim_trace_file_close(&file);
	file_is("{\"time_ns\": 1, \"source\": \"report\", \"ranges_in\": 2, \"ranges_released\": 3,"
	        " \"bytes_in\": 18446744073709551615, \"bytes_released\": 5, \"bytes_absent\": 6,"
	        " \"bytes_refused\": 7, \"syscalls\": 8, \"latency_ns\": 9, \"errors\": 10,"
	        " \"batches\": 12, \"bytes_lazy\": 11, \"refused_outside\": 15,"
	        " \"refused_unaligned\": 16, \"refused_locked\": 17, \"refused_inhibited\": 18,"
	        " \"refused_poison\": 19, \"refused_paused\": 20, \"refused_limit\": 21,"
	        " \"refused_host\": 22}\n"
	        "{\"time_ns\": 13, \"source\": \"sample\", \"ranges_in\": 0, \"ranges_released\": "
	        "0,"
	        " \"bytes_in\": 0, \"bytes_released\": 0, \"bytes_absent\": 0,"
	        " \"bytes_refused\": 0, \"syscalls\": 0, \"latency_ns\": 0, \"errors\": 0,"
	        " \"batches\": 0, \"resident_bytes\": 14, \"bytes_lazy\": 0, \"refused_outside\": "
	        "0,"
	        " \"refused_unaligned\": 0, \"refused_locked\": 0, \"refused_inhibited\": 0,"
	        " \"refused_poison\": 0, \"refused_paused\": 0, \"refused_limit\": 0,"
	        " \"refused_host\": 0}\n");
}

/* The longest row there can be has room. */
static void the_longest_row_fits(void **state)
{
	struct reclaim_trace_file file = { .json = true };
	struct reclaim_trace_row row;
	char line[RECLAIM_TRACE_ROW_MAX_BYTES];

	(void)state;
	memset(&row, 0xff, sizeof(row));
	row.source = RECLAIM_INFLATE;
	row.time_ns = INT64_MIN;
	row.at_limit = false;
	assert_true(reclaim_trace_file_format(&file, &row, line) < sizeof(line));
	row.batches = 0;
	assert_true(reclaim_trace_file_format(&file, &row, line) < sizeof(line));
}

static void the_last_row_of_a_file_at_its_limit(void **state)
{
	const struct reclaim_trace_row row = { .time_ns = 13,
		                               .resident_bytes = 14,
		                               .at_limit = true };
	struct reclaim_trace_file file = { .json = false };
	char line[RECLAIM_TRACE_ROW_MAX_BYTES];

	(void)state;
	reclaim_trace_file_format(&file, &row, line);
	assert_string_equal(line, "13,limit,0,0,0,0,0,0,0,0,0,0,14,0,0,0,0,0,0,0,0,0\n");
	file.json = true;
	reclaim_trace_file_format(&file, &row, line);
	assert_memory_equal(line, "{\"time_ns\": 13, \"source\": \"limit\", ", 35);
}

static void a_file_that_is_there_is_emptied_only_when_asked(void **state)
{
	struct reclaim_trace_file file;
	struct error err = ERROR_INIT;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_int_equal(reclaim_trace_file_open(path, false, &file, &err), -EEXIST);
	assert_non_null(strstr(err.message, path));
	assert_non_null(strstr(err.message, "is there already (give a new file)"));
	file_is("precious");
	assert_int_equal(reclaim_trace_file_open(path, true, &file, NULL), 0);
	reclaim_trace_file_close(&file);
	file_is(HEAD);
}

/* Nor through a link that leads to it, or to nowhere. */
static void a_link_is_no_new_file(void **state)
{
	struct reclaim_trace_file file;
	char target[128];

	(void)state;
	snprintf(target, sizeof(target), "%s/elsewhere", folder);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(reclaim_trace_file_open(path, false, &file, NULL), -EEXIST);
	assert_int_equal(access(target, F_OK), -1);
}

static void what_cannot_be_written_is_told_at_once(void **state)
{
	struct reclaim_trace_file file;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(reclaim_trace_file_open("/nowhere/at/all", true, &file, &err), -ENOENT);
	assert_non_null(strstr(err.message, "/nowhere/at/all"));
	assert_int_equal(reclaim_trace_file_open(folder, true, &file, &err), -EISDIR);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(reclaim_trace_file_open(path, true, &file, &err), -ENXIO);
	assert_non_null(strstr(err.message, "without a reader"));
}

/* No device is even opened. */
static void only_files_and_pipes_take_a_trace(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct reclaim_trace_file file;
	struct error err = ERROR_INIT;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(reclaim_trace_file_open("/dev/null", true, &file, &err), -EINVAL);
	assert_string_equal(err.message, "reclaim trace /dev/null: is neither a file nor a pipe");
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(reclaim_trace_file_open(path, true, &file, &err), -EINVAL);
	close(fd);
}

/* The disk does not even take the head: no descriptor stays behind, and nothing of it. */
static void a_head_that_does_not_fit(void **state)
{
	struct rlimit limit, small;
	struct reclaim_trace_file file;
	struct error err = ERROR_INIT;
	int before, after;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = (struct rlimit){ .rlim_cur = 10, .rlim_max = limit.rlim_max };
	before = dup(0);
	close(before);
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(reclaim_trace_file_open(path, true, &file, &err), -ENOSPC);
	setrlimit(RLIMIT_FSIZE, &limit);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	file_is("");
}

/* A reader that does not read gets no more, and holds nobody. */
static void a_full_pipe_is_no_wait(void **state)
{
	char text[4096] = "";
	struct reclaim_trace_file file;
	ssize_t written = 1;
	int reader;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(reader >= 0);
	assert_int_equal(reclaim_trace_file_open(path, true, &file, NULL), 0);
	for (int i = 0; i < 1000 && written > 0; i++)
		written = reclaim_trace_file_write(&file, text, sizeof(text));
	assert_int_equal(written, -EAGAIN);
	reclaim_trace_file_cut(&file); /* has no effect here */
	reclaim_trace_file_close(&file);
	close(reader);
}

static void a_torn_row_is_cut_off(void **state)
{
	struct reclaim_trace_file file;

	(void)state;
	assert_int_equal(reclaim_trace_file_open(path, false, &file, NULL), 0);
	put(&file, &sample);
	reclaim_trace_file_mark(&file, strlen(SAMPLE));
	assert_int_equal(reclaim_trace_file_write(&file, "15,sam", 6), 6);
	reclaim_trace_file_cut(&file);
	reclaim_trace_file_close(&file);
	file_is(HEAD SAMPLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(csv),
		TEST(json_lines),
		TEST(the_longest_row_fits),
		TEST(the_last_row_of_a_file_at_its_limit),
		TEST(a_file_that_is_there_is_emptied_only_when_asked),
		TEST(a_link_is_no_new_file),
		TEST(what_cannot_be_written_is_told_at_once),
		TEST(only_files_and_pipes_take_a_trace),
		TEST(a_head_that_does_not_fit),
		TEST(a_full_pipe_is_no_wait),
		TEST(a_torn_row_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
