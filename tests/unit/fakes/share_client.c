/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the file server, by hand. */
#include "share_client.h"

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/bytes.h"

#define TAG 0x1234

/* Its parts are the caller's; what fails here is the machine's fault. */
static void must(bool done, const char *what)
{
	if (!done) {
		perror(what);
		abort();
	}
}

void share_client_create(struct share_client *client, bool readonly, unsigned int fids_max)
{
	struct share_server_options options = { .readonly = readonly, .fids_max = fids_max };
	char path[128];

	memset(client, 0, sizeof(*client));
	strcpy(client->outside, "/tmp/ebb-share-XXXXXX");
	must(mkdtemp(client->outside) != NULL, "mkdtemp");
	must(chmod(client->outside, 0755) == 0, "chmod");
	snprintf(client->folder, sizeof(client->folder), "%s/shared", client->outside);
	must(mkdir(client->folder, 0755) == 0, "mkdir");
	snprintf(path, sizeof(path), "%s/secret", client->outside);
	must(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) == 0, "secret");
	client->folder_fd = open(client->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	options.folder_fd = open(client->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(client->folder_fd >= 0 && options.folder_fd >= 0, "open");
	must(share_server_create(&options, &client->server, NULL) == 0, "share_server_create");
}

void share_client_begin(struct share_client *client, bool readonly)
{
	share_client_create(client, readonly, 256);
	must(!share_call(client, P9_VERSION, "ds", 1u << 20, "9P2000.L"), "Tversion");
	must(!share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "user", "", 0u), "Tattach");
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

void share_client_end(struct share_client *client)
{
	share_server_destroy(client->server);
	close(client->folder_fd);
	(void)nftw(client->outside, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int share_client_set_up(void **state)
{
	struct share_client *client = malloc(sizeof(*client));

	must(client != NULL, "malloc");
	share_client_begin(client, false);
	*state = client;
	return 0;
}

int share_client_tear_down(void **state)
{
	share_client_end(*state);
	free(*state);
	return 0;
}

static void put(struct share_client *client, const void *bytes, size_t size_bytes)
{
	assert(size_bytes <= sizeof(client->request) - client->request_bytes);
	memcpy(client->request + client->request_bytes, bytes, size_bytes);
	client->request_bytes += size_bytes;
}

static void put_number(struct share_client *client, uint64_t value, size_t size_bytes)
{
	uint8_t bytes[8];

	store_le(bytes, value, size_bytes);
	put(client, bytes, size_bytes);
}

static void write_fields(struct share_client *client, uint8_t type, const char *fields,
                         va_list arguments)
{
	client->request_bytes = 0;
	put_number(client, 0, 4);
	put_number(client, type, 1);
	put_number(client, TAG, 2);
	for (; *fields; fields++) {
		const char *string;
		const void *raw;

		if (*fields == 's') {
			string = va_arg(arguments, const char *);
			put_number(client, strlen(string), 2);
			put(client, string, strlen(string));
		} else if (*fields == 'r') {
			raw = va_arg(arguments, const void *);
			put(client, raw, va_arg(arguments, size_t));
		} else if (*fields == 'q') {
			put_number(client, va_arg(arguments, uint64_t), 8);
		} else {
			put_number(client, va_arg(arguments, unsigned int),
			           *fields == 'd'   ? 4
			           : *fields == 'w' ? 2
			                            : 1);
		}
	}
	store_le32(client->request, (uint32_t)client->request_bytes);
}

void share_client_write(struct share_client *client, uint8_t type, const char *fields, ...)
{
	va_list arguments;

	va_start(arguments, fields);
	write_fields(client, type, fields, arguments);
	va_end(arguments);
}

uint64_t share_reply_number(struct share_client *client, size_t size_bytes)
{
	uint64_t value;

	assert(size_bytes <= client->reply_bytes - client->at);
	value = load_le(client->reply + client->at, size_bytes);
	client->at += size_bytes;
	return value;
}

int share_client_send(struct share_client *client)
{
	uint64_t type;

	client->reply_bytes = share_server_answer(client->server, client->request,
	                                          client->request_bytes, client->reply);
	client->at = 0;
	assert(share_reply_number(client, 4) == client->reply_bytes);
	type = share_reply_number(client, 1);
	assert(share_reply_number(client, 2) == TAG);
	if (type == P9_LERROR + 1) {
		assert(client->reply_bytes == P9_ERROR_BYTES);
		return -(int)share_reply_number(client, 4);
	}
	assert(type == client->request[4] + 1u);
	return 0;
}

int share_call(struct share_client *client, uint8_t type, const char *fields, ...)
{
	va_list arguments;

	va_start(arguments, fields);
	write_fields(client, type, fields, arguments);
	va_end(arguments);
	return share_client_send(client);
}

int share_walk_path(struct share_client *client, uint32_t new_fid, const char *path)
{
	unsigned int count = 0;
	int ret;

	share_client_write(client, P9_WALK, "ddw", 0u, new_fid, 0u);
	while (*path) {
		const char *end = strchrnul(path, '/');

		put_number(client, (uint64_t)(end - path), 2);
		put(client, path, (size_t)(end - path));
		count++;
		path = *end ? end + 1 : end;
	}
	store_le32(client->request, (uint32_t)client->request_bytes);
	store_le16(client->request + 15, (uint16_t)count);
	ret = share_client_send(client);
	if (ret)
		return ret;
	/* Part of the way is an error to who wants the end. */
	return share_reply_number(client, 2) == count ? 0 : -1;
}

int share_open_path(struct share_client *client, uint32_t new_fid, const char *path, uint32_t flags)
{
	int ret = share_walk_path(client, new_fid, path);

	return ret ? ret : share_call(client, P9_LOPEN, "dd", new_fid, flags);
}

void share_host_file(struct share_client *client, const char *path, const char *content)
{
	int fd = openat(client->folder_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content), path);
	close(fd);
}

bool share_host_has(struct share_client *client, const char *path)
{
	return faccessat(client->folder_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

struct stat share_host_stat(struct share_client *client, const char *path)
{
	struct stat stat;

	must(fstatat(client->folder_fd, path, &stat, AT_SYMLINK_NOFOLLOW) == 0, path);
	return stat;
}
