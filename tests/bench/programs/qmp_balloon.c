/* SPDX-License-Identifier: Apache-2.0 */
/* Sets a guest's balloon by QMP and waits until it is there: qmp_balloon SOCKET BYTES SECONDS */
/*
 * BYTES is what the guest is to have, as in QMP's "balloon". Asks query-balloon each 20 ms, and
 * prints "reached N ms" when it says that many bytes (to the page); else status 1 with a line that
 * says why. SECONDS bounds the whole. The asking is work for the VMM; it is the same for each.
 *
 * A JSON message is one line in what QEMU and ebb send, and of one all that is looked for is
 * "event", "error", "return" and "actual".
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

#define POLL_MS    20
#define GRACE_NS   (5 * NS_PER_S) /* of an answer, when time is up */
#define PAGE_SHIFT 12

struct session {
	int fd;
	uint64_t end_ns;
	char text[16384];
	size_t length;
};

static int connect_to(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(name.sun_path)) {
		complain("%s: the path is too long", path);
		return -ENAMETOOLONG;
	}
	strcpy(name.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name))) {
		int ret = -errno;

		complain("%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ret;
	}
	return fd;
}

/* The next line, ended by 0 in place of its newline; the one before is gone then. */
static char *next_line(struct session *session, size_t *used)
{
	char *newline;

	memmove(session->text, session->text + *used, session->length - *used);
	session->length -= *used;
	*used = 0;
	while (!(newline = memchr(session->text, '\n', session->length))) {
		struct pollfd fd = { .fd = session->fd, .events = POLLIN };
		uint64_t now = now_ns();
		ssize_t count;

		if (session->length == sizeof(session->text)) {
			complain("a message is too long");
			return NULL;
		}
		if (now >= session->end_ns + GRACE_NS ||
		    poll(&fd, 1, (int)((session->end_ns + GRACE_NS - now) / NS_PER_MS) + 1) == 0) {
			complain("no answer in the time allowed");
			return NULL;
		}
		count = read(session->fd, session->text + session->length,
		             sizeof(session->text) - session->length);
		if (count <= 0) {
			complain("the VMM hung up");
			return NULL;
		}
		session->length += (size_t)count;
	}
	*newline = 0;
	*used = (size_t)(newline - session->text) + 1;
	return session->text;
}

/* Sends a command, or nothing, and waits for the line with the key; events are passed over. NULL
 * after a complaint. */
static const char *ask(struct session *session, const char *command, const char *key, size_t *used)
{
	size_t length = command ? strlen(command) : 0;

	if (length && send(session->fd, command, length, MSG_NOSIGNAL) != (ssize_t)length) {
		complain("the VMM hung up");
		return NULL;
	}
	for (;;) {
		const char *line = next_line(session, used);

		if (!line || strstr(line, key))
			return line;
		if (strstr(line, "\"error\"") && !strstr(line, "\"event\"")) {
			complain("refused: %.300s", line);
			return NULL;
		}
	}
}

static bool query(struct session *session, size_t *used, uint64_t *ret_bytes)
{
	const char *line = ask(session, "{\"execute\":\"query-balloon\"}\n", "\"return\"", used);
	const char *at = line ? strstr(line, "\"actual\"") : NULL;

	if (!line)
		return false;
	at = at ? strpbrk(at, "0123456789") : NULL;
	if (!at) {
		complain("query-balloon says no size: %.300s", line);
		return false;
	}
	*ret_bytes = strtoull(at, NULL, 10);
	return true;
}

static int set_balloon(struct session *session, uint64_t target_bytes)
{
	uint64_t begin_ns, actual_bytes;
	char command[128];
	size_t used = 0;

	snprintf(command, sizeof(command),
	         "{\"execute\":\"balloon\",\"arguments\":{\"value\":%lu}}\n", target_bytes);
	if (!ask(session, NULL, "\"QMP\"", &used) ||
	    !ask(session, "{\"execute\":\"qmp_capabilities\"}\n", "\"return\"", &used))
		return -EPROTO;
	begin_ns = now_ns();
	if (!ask(session, command, "\"return\"", &used))
		return -EPROTO;
	for (;;) {
		if (!query(session, &used, &actual_bytes))
			return -EPROTO;
		if (actual_bytes >> PAGE_SHIFT == target_bytes >> PAGE_SHIFT)
			break;
		if (now_ns() >= session->end_ns) {
			complain("the balloon stands at %lu bytes, not %lu", actual_bytes,
			         target_bytes);
			return -ETIMEDOUT;
		}
		poll(NULL, 0, POLL_MS);
	}
	printf("reached %lu ms\n", (now_ns() - begin_ns) / NS_PER_MS);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t target_bytes, seconds;
	struct session session = { .fd = -1 };

	if (argc != 4 || !parse_number(argv[2], UINT64_MAX, &target_bytes) ||
	    !parse_number(argv[3], 86400, &seconds)) {
		complain("usage: qmp_balloon SOCKET BYTES SECONDS");
		return 64;
	}
	session.end_ns = now_ns() + seconds * NS_PER_S;
	session.fd = connect_to(argv[1]);
	if (session.fd < 0)
		return 1;
	return set_balloon(&session, target_bytes) ? 1 : 0;
}
