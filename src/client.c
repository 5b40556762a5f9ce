/* SPDX-License-Identifier: Apache-2.0 */
/* The client commands that are one request each, and the raw protocol. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_private.h"
#include "ebb/send_fd.h"

/* How long `ebb stop` waits for the guest's ebb to be gone. */
#define STOP_TIMEOUT_MS 10000

#define RELAY_BYTES        (16 * KIB)
#define PROGRESS_BAR_WIDTH 40

/* What a command's name is made of: anything else is taken for JSON. */
#define COMMAND_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

/* --- shared by all client commands --- */

int client_take_word(void *target, size_t index, const char *value, struct error *err)
{
	struct client_arguments *arguments = target;

	(void)err;
	if (index == 0)
		arguments->name = value;
	else if (index == 1)
		arguments->word = value;
	else
		arguments->value = value;
	return 0;
}

int client_take_json(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err)
{
	(void)option;
	(void)value;
	(void)err;
	((struct client_arguments *)target)->json = true;
	return 0;
}

bool client_parse(const struct cmdline_command *command, int argc, char **argv,
                  struct client_arguments *ret_arguments, int *ret_status, struct error *err)
{
	int ret;

	*ret_arguments = (struct client_arguments){ 0 };
	ret = cmdline_parse(command, argc, argv, ret_arguments, err);
	if (ret > 0)
		cmdline_print_help(stdout, command);
	*ret_status = ret < 0 ? EXIT_STATUS_USAGE : 0;
	return ret == 0;
}

int client_status(int ret)
{
	if (!ret)
		return 0;
	if (ret == -EINVAL)
		return EXIT_STATUS_USAGE;
	if (ret == -ECANCELED)
		return EXIT_STATUS_INTERRUPTED;
	return ret == -EREMOTEIO ? EXIT_STATUS_REFUSED : EXIT_STATUS_FAILURE;
}

int client_end(struct client_connection *connection, const char *name, int ret, struct error *err)
{
	if (ret)
		error_prefix(err, "%s", name);
	client_disconnect(connection);
	return client_status(ret);
}

void client_show_bar(uint64_t part_bytes, uint64_t whole_bytes, const char *text)
{
	char bar[PROGRESS_BAR_WIDTH + 1];
	size_t filled = PROGRESS_BAR_WIDTH;

	if (whole_bytes)
		filled = (size_t)(min_u64(part_bytes, whole_bytes) * PROGRESS_BAR_WIDTH /
		                  whole_bytes);
	memset(bar, '#', filled);
	memset(bar + filled, '.', PROGRESS_BAR_WIDTH - filled);
	bar[PROGRESS_BAR_WIDTH] = '\0';
	printf("\r[%s] %s\033[K", bar, text);
	fflush(stdout);
}

/* --- one request --- */

static int run_simple(const struct cmdline_command *command, int argc, char **argv,
                      struct error *err)
{
	static const char *const requests[][2] = {
		{ "pause", "stop" },         { "resume", "cont" },
		{ "reset", "system_reset" }, { "powerdown", "system_powerdown" },
		{ "stop", "quit" },
	};
	struct client_arguments arguments;
	struct client_connection connection;
	const char *request = NULL;
	json_t *result;
	int status, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (strcmp(requests[i][0], command->name) == 0)
			request = requests[i][1];
	}
	ret = client_connect(arguments.name, &connection, err);
	if (ret)
		return client_status(ret);
	ret = client_command(&connection, request, NULL, &result, err);
	if (!ret)
		json_decref(result);
	if (!ret && strcmp(command->name, "stop") == 0) {
		ret = client_wait_end(&connection, STOP_TIMEOUT_MS);
		if (ret)
			error_set(err, ret, "stop: its ebb is still there after %d s",
			          STOP_TIMEOUT_MS / 1000);
	}
	return client_end(&connection, arguments.name, ret, err);
}

/* clang-format off */
#define SIMPLE_COMMAND(command_name, command_help)                                         \
	{                                                                                  \
		.name = command_name, .arguments = "NAME", .help = command_help,           \
		.positional_min = 1, .positional_max = 1, .positional = client_take_word,  \
		.run = run_simple,                                                         \
	}
/* clang-format on */

const struct cmdline_command client_pause_command = SIMPLE_COMMAND("pause", "hold a guest's vCPUs");
const struct cmdline_command client_resume_command = SIMPLE_COMMAND("resume", "let them go on");
const struct cmdline_command client_reset_command =
	SIMPLE_COMMAND("reset", "reset a guest, as its reset button would");
const struct cmdline_command client_powerdown_command =
	SIMPLE_COMMAND("powerdown", "press a guest's power button");
const struct cmdline_command client_stop_command =
	SIMPLE_COMMAND("stop", "end a guest at once, and wait until it is gone");

/* --- the raw protocol --- */

/* Copies what is there from one descriptor to the other. > 0, 0 at the end, -errno; *ret_writing
 * says which of the two failed. */
static ssize_t relay(int from_fd, int to_fd, bool *ret_writing)
{
	char buffer[RELAY_BYTES];
	ssize_t size_bytes = read(from_fd, buffer, sizeof(buffer)), written = 0;

	*ret_writing = size_bytes > 0;
	if (size_bytes < 0)
		return errno == EINTR ? 1 : -errno;
	while (written < size_bytes) {
		ssize_t ret = write(to_fd, buffer + written, (size_t)(size_bytes - written));

		if (ret < 0 && errno != EINTR)
			return -errno;
		if (ret > 0)
			written += ret;
	}
	return size_bytes;
}

/* stdin to the socket and the socket to stdout, until the guest's ebb hangs up. After the end of
 * stdin it answers what was asked, then hangs up. */
static int run_session(int fd, struct error *err)
{
	struct pollfd poll_fds[] = { { .fd = fd, .events = POLLIN },
		                     { .fd = STDIN_FILENO, .events = POLLIN } };

	for (;;) {
		bool writing;
		ssize_t ret;

		if (poll(poll_fds, ARRAY_SIZE(poll_fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_set_errno(err, -errno, "the control socket");
		}
		if (poll_fds[0].revents) {
			ret = relay(fd, STDOUT_FILENO, &writing);
			if (ret == 0 || (ret == -ECONNRESET && !writing))
				return 0;
			if (ret < 0)
				return error_set_errno(err, (int)ret, "%s",
				                       writing ? "stdout" : "the control socket");
		}
		if (poll_fds[1].revents) {
			ret = relay(STDIN_FILENO, fd, &writing);
			if (ret <= 0) {
				shutdown(fd, SHUT_WR);
				poll_fds[1].fd = -1;
			}
		}
	}
}

/* JSON, or the bare name of a command that takes no arguments. NULL with err set. */
static json_t *make_request(const char *word, struct error *err)
{
	json_error_t json_err;
	json_t *request;

	if (*word && !word[strspn(word, COMMAND_CHARACTERS)])
		return json_pack("{s:s}", "execute", word);
	request = json_loads(word, JSON_REJECT_DUPLICATES, &json_err);
	if (!request)
		error_set(err, -EINVAL, "qmp %s: not JSON: %s", word, json_err.text);
	return request;
}

/* A new file of the user's, for the request that follows: its fdname is "file". */
static int pass_file(struct client_connection *connection, const char *path, struct error *err)
{
	static const char request[] =
		"{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"file\"}}\n";
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC, 0644), ret;
	json_t *reply, *result;

	if (fd < 0)
		return error_set_errno(err, -errno, "%s: cannot be made", path);
	ret = send_with_fd(connection->fd, request, sizeof(request) - 1, fd);
	close(fd);
	if (ret)
		return error_set_errno(err, ret, "the control socket");
	ret = client_wait_reply(connection, CLIENT_REPLY_TIMEOUT_MS, &reply, err);
	if (!ret)
		ret = client_take_result(reply, &result, err);
	if (!ret)
		json_decref(result);
	return ret;
}

static int run_one_request(const struct client_arguments *arguments, struct error *err)
{
	struct client_connection connection;
	json_t *request = make_request(arguments->word, err), *reply;
	int ret;

	if (!request)
		return EXIT_STATUS_USAGE;
	ret = client_connect(arguments->name, &connection, err);
	if (ret) {
		json_decref(request);
		return client_status(ret);
	}
	ret = arguments->value ? pass_file(&connection, arguments->value, err) : 0;
	if (ret)
		json_decref(request);
	else
		ret = client_request(&connection, request, &reply, err);
	client_disconnect(&connection);
	if (ret) {
		error_prefix(err, "%s", arguments->name);
		return client_status(ret);
	}
	json_dumpf(reply, stdout, 0);
	putchar('\n');
	ret = json_object_get(reply, "error") ? EXIT_STATUS_REFUSED : 0;
	json_decref(reply);
	return ret;
}

static int run_qmp(const struct cmdline_command *command, int argc, char **argv, struct error *err)
{
	struct client_arguments arguments;
	int status, fd, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	if (arguments.word)
		return run_one_request(&arguments, err);
	ret = client_open_socket(arguments.name, &fd, err);
	if (ret)
		return client_status(ret);
	ret = run_session(fd, err);
	close(fd);
	return client_status(ret);
}

const struct cmdline_command client_qmp_command = {
	.name = "qmp",
	.arguments = "NAME [JSON [FILE]]",
	.help = "the raw control protocol: one command, or a session on stdin",
	.details = "JSON is a request such as '{\"execute\": \"query-status\"}', or just a "
		   "command's name; the\nanswer is printed, and an error reply is status 1. With "
		   "none, stdin and stdout are the\nconnection, from the greeting on. FILE is "
		   "made, and passed on before JSON (getfd) as\nthe descriptor named file.\n",
	.positional_min = 1,
	.positional_max = 3,
	.positional = client_take_word,
	.run = run_qmp,
};
