/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server under a client that says anything, on a folder of the fuzzer's own with links out
 * of it: nothing outside is read, made or changed.
 *
 * An input is messages: a type, a length, and as many bytes. Run by root, the server's file system
 * calls are those of nobody, should it be wrong.
 */
/* fakes: share_client */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ebb/bytes.h"
#include "share_client.h"

#define SECRET_BYTES 32
#define NOBODY       65534
#define FILE_MAX     (1 << 20)
#define RUNS_OF_ONE  256 /* what clients made is removed then */
#define MESSAGES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct share_client client;
	char secret[SECRET_BYTES]; /* of this process alone, so that no input can hold it */
	unsigned int runs;
	bool is_there;
};

static const uint8_t types[] = {
	P9_STATFS,  P9_LOPEN,   P9_LCREATE,   P9_SYMLINK,     P9_MKNOD,    P9_RENAME,  P9_READLINK,
	P9_GETATTR, P9_SETATTR, P9_XATTRWALK, P9_XATTRCREATE, P9_READDIR,  P9_FSYNC,   P9_LOCK,
	P9_GETLOCK, P9_LINK,    P9_MKDIR,     P9_RENAMEAT,    P9_UNLINKAT, P9_VERSION, P9_AUTH,
	P9_ATTACH,  P9_FLUSH,   P9_WALK,      P9_READ,        P9_WRITE,    P9_CLUNK,   P9_REMOVE,
};

static void must(bool done)
{
	if (!done) {
		perror("fuzz_share");
		abort();
	}
}

static void write_secret(struct target *target)
{
	struct share_client *client = &target->client;
	char path[64];
	int fd;

	must(getrandom(target->secret, SECRET_BYTES, 0) == SECRET_BYTES);
	snprintf(path, sizeof(path), "%s/secret", client->outside);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	must(fd >= 0 && write(fd, target->secret, SECRET_BYTES) == SECRET_BYTES);
	close(fd);
	/* Anybody may, so that only the server stands before it. */
	must(chmod(path, 0666) == 0 && chmod(client->outside, 0777) == 0);
}

/* By hand: of memmem's words the fuzzer would learn the secret. */
static bool tells_secret(const struct target *target, const uint8_t *bytes, size_t size_bytes)
{
	unsigned int same = 0;

	for (size_t i = 0; i < size_bytes && same < SECRET_BYTES; i++)
		same = bytes[i] == (uint8_t)target->secret[same] ? same + 1 : 0;
	return same == SECRET_BYTES;
}

static void fill_folder(struct share_client *client)
{
	int fd = client->folder_fd;

	share_host_file(client, "a", "content");
	must(mkdirat(fd, "d", 0777) == 0);
	share_host_file(client, "d/b", "more");
	must(symlinkat("../secret", fd, "l") == 0 && symlinkat("..", fd, "u") == 0);
	must(mkfifoat(fd, "f", 0666) == 0);
	must(fchmod(fd, 0777) == 0 && fchmodat(fd, "a", 0666, 0) == 0);
	must(fchmodat(fd, "d", 0777, 0) == 0);
}

static void end(struct target *target)
{
	if (target->is_there)
		share_client_end(&target->client);
	target->is_there = false;
}

static void begin(struct target *target)
{
	if (target->is_there && ++target->runs % RUNS_OF_ONE)
		return;
	end(target);
	share_client_begin(&target->client, false);
	write_secret(target);
	fill_folder(&target->client);
	target->is_there = true;
}

/* The secret is as it was, and alone beside the shared folder. */
static void check_outside(struct target *target)
{
	struct share_client *client = &target->client;
	DIR *folder = opendir(client->outside);
	uint8_t text[SECRET_BYTES + 1];
	char path[64];
	unsigned int entries = 0;
	int fd;

	must(folder != NULL);
	while (readdir(folder))
		entries++;
	closedir(folder);
	assert(entries == 4);
	snprintf(path, sizeof(path), "%s/secret", client->outside);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0);
	assert(read(fd, text, sizeof(text)) == SECRET_BYTES);
	close(fd);
	assert(tells_secret(target, text, SECRET_BYTES));
}

/* One message; how much of the input it was. */
static size_t say(struct target *target, const uint8_t *data, size_t size_bytes)
{
	struct share_client *client = &target->client;
	size_t body_bytes = min_u64(data[1], size_bytes - 2);
	uint8_t type = data[0] < 128 ? types[data[0] % ARRAY_SIZE(types)] : data[0];
	size_t reply_bytes;
	uint8_t *request;

	client->request_bytes = P9_HEADER_BYTES + body_bytes;
	request = malloc(client->request_bytes);
	store_le32(request, (uint32_t)client->request_bytes);
	request[4] = type;
	store_le16(request + 5, 7);
	memcpy(request + P9_HEADER_BYTES, data + 2, body_bytes);
	setfsuid(NOBODY);
	reply_bytes =
		share_server_answer(client->server, request, client->request_bytes, client->reply);
	setfsuid(0);
	assert(reply_bytes >= P9_HEADER_BYTES && reply_bytes <= sizeof(client->reply));
	assert(load_le32(client->reply) == reply_bytes && load_le16(client->reply + 5) == 7);
	assert(client->reply[4] == type + 1 || client->reply[4] == P9_LERROR + 1);
	assert(!tells_secret(target, client->reply, reply_bytes));
	free(request);
	return 2 + body_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target target;
	static const struct rlimit limit = { FILE_MAX, RLIM_INFINITY };
	struct share_client *client = &target.client;

	if (!target.is_there) {
		(void)signal(SIGXFSZ, SIG_IGN);
		must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		must(geteuid() != 0 || setgroups(0, NULL) == 0);
	}
	begin(&target);
	must(!share_call(client, P9_VERSION, "ds", 8192u, "9P2000.L"));
	must(!share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u));
	for (unsigned int i = 0; i < MESSAGES_MAX && size_bytes >= 2; i++) {
		size_t used = say(&target, data, size_bytes);

		data += used;
		size_bytes -= used;
	}
	check_outside(&target);
	return 0;
}
