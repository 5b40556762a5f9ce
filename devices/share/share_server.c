/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server: a request in, a reply out.
 *
 * DOC: a table has a row for every type: its handler, and whether it changes anything. A share that
 * is read-only refuses those with EROFS here, before a handler sees them, and with them an open
 * that writes or truncates: there is no other place where it is decided.
 *
 * The client begins with Tversion, which forgets every fid, and Tattach. One attach a user: its
 * fids, and what is walked to from them, make files that belong to that user. Requests are carried
 * out one after the other, so a Tflush comes when what it wants to stop is through.
 *
 * What it keeps is bounded when it starts: fids and their descriptors, one buffer for reading
 * folders. What a request can cost is a message's worth of data and up to 16 names.
 *
 * Not done: extended attributes (EOPNOTSUPP, also Tremove and Trename, see share_names.c), access
 * checks of its own (the guest's kernel does them for its users; the host's for who runs ebb).
 *
 * Syscalls: share: close
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "share_private.h"

#define VERSION "9P2000.L"

struct row {
	uint8_t type;
	bool changes;
	share_handler handle;
};

static int version(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply)
{
	static const char unknown[] = "unknown";
	const struct p9_string *name = &request->names[0];
	const bool known = name->length == strlen(VERSION) && !memcmp(name->bytes, VERSION, 8);

	if (request->count < P9_MESSAGE_MIN_BYTES)
		return -EMSGSIZE;
	share_fids_clear(server->fids);
	server->message_max_bytes =
		known ? (uint32_t)min_u64(request->count, SHARE_MESSAGE_MAX_BYTES) : 0;
	p9_put_u32(reply, (uint32_t)min_u64(request->count, SHARE_MESSAGE_MAX_BYTES));
	if (known)
		p9_put_string(reply, VERSION, strlen(VERSION));
	else
		p9_put_string(reply, unknown, strlen(unknown));
	return 0;
}

static int attach(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	struct share_fid root = { .fd = server->root_fd };
	struct share_fid *fid;
	struct p9_qid qid;
	int ret, fd;

	if (request->new_fid != P9_NO_FID)
		return -EINVAL; /* there is no authentication that it could come from */
	ret = share_look(&root, server->root.st_dev, &qid, server);
	if (ret)
		return ret;
	fd = fcntl(server->root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = share_fids_add(server->fids, request->fid, fd, &fid);
	if (ret) {
		close(fd);
		return ret == -EEXIST ? -EINVAL : ret;
	}
	fid->uid = request->uid == P9_NO_UID ? 0 : request->uid;
	fid->type = root.type;
	fid->dev = root.dev;
	fid->is_root = true;
	p9_put_qid(reply, &qid);
	return 0;
}

static int flush(struct share_server *server, const struct p9_request *request,
                 struct p9_reply *reply)
{
	(void)server;
	(void)request;
	(void)reply;
	return 0;
}

static int clunk(struct share_server *server, const struct p9_request *request,
                 struct p9_reply *reply)
{
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	(void)reply;
	if (fid)
		share_fids_remove(server->fids, fid);
	return ret;
}

static int not_supported(struct share_server *server, const struct p9_request *request,
                         struct p9_reply *reply)
{
	(void)server;
	(void)request;
	(void)reply;
	return -EOPNOTSUPP;
}

/* The fid is gone, whatever comes of it. */
static int remove_clunks(struct share_server *server, const struct p9_request *request,
                         struct p9_reply *reply)
{
	int ret = clunk(server, request, reply);

	return ret ? ret : -EOPNOTSUPP;
}

static const struct row rows[] = {
	{ P9_STATFS, false, share_statfs },
	{ P9_LOPEN, false, share_lopen }, /* by its flags, see changes() */
	{ P9_LCREATE, true, share_lcreate },
	{ P9_SYMLINK, true, share_symlink },
	{ P9_MKNOD, true, share_mknod },
	{ P9_RENAME, true, not_supported },
	{ P9_READLINK, false, share_readlink },
	{ P9_GETATTR, false, share_getattr },
	{ P9_SETATTR, true, share_setattr },
	{ P9_XATTRWALK, false, not_supported },
	{ P9_XATTRCREATE, true, not_supported },
	{ P9_READDIR, false, share_readdir },
	{ P9_FSYNC, false, share_fsync },
	{ P9_LOCK, false, share_lock },
	{ P9_GETLOCK, false, share_getlock },
	{ P9_LINK, true, share_link },
	{ P9_MKDIR, true, share_mkdir },
	{ P9_RENAMEAT, true, share_renameat },
	{ P9_UNLINKAT, true, share_unlinkat },
	{ P9_VERSION, false, version },
	{ P9_AUTH, false, not_supported },
	{ P9_ATTACH, false, attach },
	{ P9_FLUSH, false, flush },
	{ P9_WALK, false, share_walk },
	{ P9_READ, false, share_read },
	{ P9_WRITE, true, share_write },
	{ P9_CLUNK, false, clunk },
	{ P9_REMOVE, false, remove_clunks }, /* it changes nothing but the fid */
};

static const struct row *find_row(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

static bool changes(const struct row *row, const struct p9_request *request)
{
	return row->changes || (row->type == P9_LOPEN && share_flags_change(request->flags));
}

static int carry_out(struct share_server *server, const struct p9_request *request,
                     struct p9_reply *reply)
{
	const struct row *row = find_row(request->type);

	assert(row); /* the parser knows no other types */
	if (!server->message_max_bytes && row->type != P9_VERSION)
		return -EPROTO;
	if (server->readonly && changes(row, request))
		return -EROFS;
	return row->handle(server, request, reply);
}

size_t share_server_answer(struct share_server *server, const uint8_t *request, size_t size_bytes,
                           uint8_t *reply)
{
	struct p9_request parsed;
	struct p9_reply answer;
	int ret = p9_parse(request, size_bytes, &parsed);

	p9_reply_begin(&answer, reply,
	               server->message_max_bytes ? server->message_max_bytes
	                                         : P9_MESSAGE_MIN_BYTES);
	if (!ret)
		ret = carry_out(server, &parsed, &answer);
	return p9_reply_end(&answer, &parsed, ret);
}

static int look_at_root(struct share_server *server, struct error *err)
{
	if (fstat(server->root_fd, &server->root))
		return error_set_errno(err, -errno, "the folder");
	if (!S_ISDIR(server->root.st_mode))
		return error_set_errno(err, -ENOTDIR, "the folder");
	if (share_is_pseudo(server->root_fd))
		return error_set(err, -EPERM,
		                 "the folder is of a file system that the host's kernel makes up, "
		                 "which is not shared");
	server->links_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->links_fd < 0)
		return error_set_errno(err, -errno, "/proc/self/fd");
	return 0;
}

int share_server_create(const struct share_server_options *options,
                        struct share_server **ret_server, struct error *err)
{
	struct share_server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server) {
		close(options->folder_fd);
		return error_set_errno(err, -ENOMEM, "state");
	}
	server->root_fd = options->folder_fd;
	server->links_fd = -1;
	server->readonly = options->readonly;
	server->sets_owner = options->sets_owner;
	ret = look_at_root(server, err);
	if (!ret) {
		ret = share_fids_create(options->fids_max, &server->fids);
		if (ret)
			ret = error_set_errno(err, ret, "state");
	}
	if (ret) {
		share_server_destroy(server);
		return ret;
	}
	*ret_server = server;
	return 0;
}

void share_server_destroy(struct share_server *server)
{
	if (!server)
		return;
	share_fids_destroy(server->fids);
	if (server->links_fd >= 0)
		close(server->links_fd);
	close(server->root_fd);
	free(server);
}
