/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about names: walk, make, link, rename, unlink.
 *
 * DOC: each works on a name in a folder that a fid stands for, by the calls whose names end in
 * "at", none of which follows a symlink in that place. What is made belongs to the guest's user
 * from the first moment where this process may do that (share_owner_begin), else to who runs ebb:
 * there is no chown behind it, that a rename could lead astray.
 *
 * A fid keeps no name: Tremove and Trename, which would want one, are answered EOPNOTSUPP, and
 * Linux takes Tunlinkat and Trenameat anyway.
 *
 * Syscalls: share: openat2 close mkdirat mknodat symlinkat linkat readlinkat renameat
 * Syscalls: share: renameat2 unlinkat
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "share_private.h"

#define UNLINK_FOLDER 0x200 /* AT_REMOVEDIR on the wire */
#define MODE_MASK     07777

struct share_fid *share_find(struct share_server *server, uint32_t number, int *ret_error)
{
	struct share_fid *fid = share_fids_find(server->fids, number);

	*ret_error = fid ? 0 : -EBADF;
	return fid;
}

struct share_fid *share_find_folder(struct share_server *server, uint32_t number, int *ret_error)
{
	struct share_fid *fid = share_find(server, number, ret_error);

	if (!fid)
		return NULL;
	if (fid->type != S_IFDIR)
		*ret_error = -ENOTDIR;
	else if (fid->hidden)
		*ret_error = -EACCES;
	return *ret_error ? NULL : fid;
}

/* --- walking --- */

/* From *at to its child; at->fd stays open. */
static int step(const struct share_server *server, const struct share_fid *at,
                const struct p9_string *string, struct share_fid *ret_child, struct p9_qid *ret_qid)
{
	char name[SHARE_NAME_MAX + 1];
	struct share_fid child = { .uid = at->uid, .position = SHARE_POSITION_UNSET };
	int ret;

	if (at->type != S_IFDIR)
		return -ENOTDIR;
	/* What is above the share is the share. */
	if (at->is_root && string->length == 2 && !memcmp(string->bytes, "..", 2)) {
		child.is_root = true;
		child.fd = share_duplicate(server, at);
	} else {
		ret = share_name(string, name);
		if (ret)
			return ret;
		child.fd = at->hidden ? -ENOENT : share_open_child(at, name);
	}
	if (child.fd < 0)
		return child.fd;
	ret = share_look(&child, at->dev, ret_qid, server);
	if (ret) {
		close(child.fd);
		return ret;
	}
	*ret_child = child;
	return 0;
}

/* As far as it goes: *ret_count steps, and *ret_end with a descriptor of its own if those are all;
 * -errno if there is not one. */
static int walk_names(struct share_server *server, const struct share_fid *start,
                      const struct p9_request *request, struct p9_qid *ret_qids,
                      struct share_fid *ret_end)
{
	struct share_fid at = *start, next;
	uint16_t count;
	int ret = 0;

	for (count = 0; count < request->name_count; count++) {
		ret = step(server, &at, &request->names[count], &next, &ret_qids[count]);
		if (ret)
			break;
		if (count)
			close(at.fd);
		at = next;
	}
	if (!ret) {
		*ret_end = at;
		return count;
	}
	if (count)
		close(at.fd);
	return count ? count : ret;
}

/* end is the walk's; its descriptor is the fid's from here on, or closed. */
static int put_fid(struct share_server *server, struct share_fid *fid, uint32_t number,
                   const struct share_fid *end)
{
	struct share_fid *added;
	int ret;

	if (number == fid->number)
		share_fids_remove(server->fids, fid);
	ret = share_fids_add(server->fids, number, end->fd, &added);
	if (ret) {
		close(end->fd);
		return ret;
	}
	added->uid = end->uid;
	added->type = end->type;
	added->dev = end->dev;
	added->hidden = end->hidden;
	added->is_root = end->is_root;
	return 0;
}

int share_walk(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply)
{
	struct p9_qid qids[P9_WALK_MAX];
	struct share_fid *fid, end = { .fd = -1 };
	int ret, count = 0;

	fid = share_find(server, request->fid, &ret);
	if (!fid)
		return ret;
	if (request->new_fid == request->fid ? fid->is_open
	                                     : !!share_fids_find(server->fids, request->new_fid))
		return -EINVAL;
	if (request->name_count) {
		count = walk_names(server, fid, request, qids, &end);
		if (count < 0)
			return count;
	} else {
		end = *fid;
		end.fd = share_duplicate(server, fid);
		if (end.fd < 0)
			return end.fd;
	}
	if (count == request->name_count)
		ret = put_fid(server, fid, request->new_fid, &end);
	if (ret)
		return ret;
	p9_put_u16(reply, (uint16_t)count);
	for (int i = 0; i < count; i++)
		p9_put_qid(reply, &qids[i]);
	return 0;
}

/* --- making --- */

/* What every request that makes a name begins with. */
static struct share_fid *begin_name(struct share_server *server, const struct p9_request *request,
                                    char ret_name[SHARE_NAME_MAX + 1], int *ret_error)
{
	struct share_fid *folder = share_find_folder(server, request->fid, ret_error);

	if (!folder)
		return NULL;
	*ret_error = share_name(&request->names[0], ret_name);
	return *ret_error ? NULL : folder;
}

/* Answers with what is called that now. */
static int put_made(struct share_server *server, const struct share_fid *folder, const char *name,
                    struct p9_reply *reply)
{
	struct share_fid made = { .fd = share_open_child(folder, name) };
	struct p9_qid qid;
	int ret;

	if (made.fd < 0)
		return made.fd;
	ret = share_look(&made, folder->dev, &qid, server);
	close(made.fd);
	if (!ret)
		p9_put_qid(reply, &qid);
	return ret;
}

static int create_new(struct share_server *server, const struct share_fid *folder, const char *name,
                      const struct p9_request *request)
{
	const struct open_how how = {
		.flags = (uint64_t)(share_open_flags(request->flags) | O_CREAT | O_EXCL |
		                    O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		.mode = request->mode & MODE_MASK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int ret = share_owner_begin(server, folder->uid, request->gid);
	long fd;

	if (ret)
		return ret;
	fd = syscall(SYS_openat2, folder->fd, name, &how, sizeof(how));
	ret = fd < 0 ? -errno : (int)fd;
	share_owner_end(server);
	return ret;
}

/* It is there already, which a client that did not ask for O_EXCL may have. */
static int open_existing(struct share_server *server, const struct share_fid *folder,
                         const char *name, uint32_t wire_flags)
{
	struct share_fid found = { .fd = share_open_child(folder, name) };
	struct p9_qid qid;
	int ret;

	if (found.fd < 0)
		return found.fd;
	ret = share_look(&found, folder->dev, &qid, server);
	if (!ret)
		ret = found.type == S_IFDIR
		              ? -EISDIR
		              : share_reopen(server, &found, share_open_flags(wire_flags));
	close(found.fd);
	return ret;
}

/* The folder's fid becomes the file's. */
int share_lcreate(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	char name[SHARE_NAME_MAX + 1];
	struct p9_qid qid;
	int fd, ret;
	struct share_fid file, *folder = begin_name(server, request, name, &ret);

	if (!folder)
		return ret;
	if (folder->is_open)
		return -EINVAL;
	fd = create_new(server, folder, name, request);
	if (fd == -EEXIST && !(share_open_flags(request->flags) & O_EXCL))
		fd = open_existing(server, folder, name, request->flags);
	if (fd < 0)
		return fd;
	file = *folder;
	file.fd = fd;
	ret = share_look(&file, folder->dev, &qid, server);
	if (ret) {
		close(fd);
		return ret;
	}
	folder->type = file.type;
	folder->dev = file.dev;
	folder->hidden = folder->is_root = false;
	share_set_open(folder, fd, share_open_flags(request->flags));
	p9_put_qid(reply, &qid);
	p9_put_u32(reply, 0);
	return 0;
}

/* The end of those that make a name by one call. */
static int finish_made(struct share_server *server, const struct share_fid *folder,
                       const char *name, int error, struct p9_reply *reply)
{
	share_owner_end(server);
	return error ? error : put_made(server, folder, name, reply);
}

int share_mkdir(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply)
{
	char name[SHARE_NAME_MAX + 1];
	int ret;
	struct share_fid *folder = begin_name(server, request, name, &ret);

	if (!ret)
		ret = share_owner_begin(server, folder->uid, request->gid);
	if (ret)
		return ret;
	ret = mkdirat(folder->fd, name, request->mode & MODE_MASK) ? -errno : 0;
	return finish_made(server, folder, name, ret, reply);
}

/* Files, FIFOs and sockets are harmless as long as nobody opens the latter two, which is so here. A
 * device is the host's own. */
int share_mknod(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply)
{
	const mode_t type = request->mode & S_IFMT;
	char name[SHARE_NAME_MAX + 1];
	int ret;
	struct share_fid *folder = begin_name(server, request, name, &ret);

	if (!ret && type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		ret = -EPERM;
	if (!ret)
		ret = share_owner_begin(server, folder->uid, request->gid);
	if (ret)
		return ret;
	ret = mknodat(folder->fd, name, type | (request->mode & MODE_MASK), 0) ? -errno : 0;
	return finish_made(server, folder, name, ret, reply);
}

/* Where it points to is the guest's business: nobody here follows it. */
int share_symlink(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	const struct p9_string *string = &request->names[1];
	char name[SHARE_NAME_MAX + 1], target[PATH_MAX];
	int ret;
	struct share_fid *folder = begin_name(server, request, name, &ret);

	if (!ret && string->length >= sizeof(target))
		ret = -ENAMETOOLONG;
	if (!ret && (!string->length || memchr(string->bytes, 0, string->length)))
		ret = -EINVAL;
	if (!ret)
		ret = share_owner_begin(server, folder->uid, request->gid);
	if (ret)
		return ret;
	memcpy(target, string->bytes, string->length);
	target[string->length] = 0;
	ret = symlinkat(target, folder->fd, name) ? -errno : 0;
	return finish_made(server, folder, name, ret, reply);
}

int share_readlink(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply)
{
	char target[PATH_MAX];
	ssize_t length;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	if (fid->type != S_IFLNK)
		return -EINVAL;
	length = readlinkat(fid->fd, "", target, sizeof(target));
	if (length < 0)
		return -errno;
	p9_put_string(reply, target, (size_t)length);
	return 0;
}

int share_link(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply)
{
	char name[SHARE_NAME_MAX + 1], source[16];
	struct share_fid *folder, *fid;
	int ret;

	(void)reply;
	folder = share_find_folder(server, request->new_fid, &ret);
	if (!folder)
		return ret;
	fid = share_find(server, request->fid, &ret);
	if (!fid)
		return ret;
	ret = share_name(&request->names[0], name);
	if (ret)
		return ret;
	snprintf(source, sizeof(source), "%d", fid->fd);
	return linkat(server->links_fd, source, folder->fd, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

int share_renameat(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply)
{
	char name[SHARE_NAME_MAX + 1], new_name[SHARE_NAME_MAX + 1];
	struct share_fid *folder, *new_folder;
	int ret;

	(void)reply;
	folder = begin_name(server, request, name, &ret);
	if (!folder)
		return ret;
	new_folder = share_find_folder(server, request->new_fid, &ret);
	if (!new_folder)
		return ret;
	ret = share_name(&request->names[1], new_name);
	if (ret)
		return ret;
	return renameat(folder->fd, name, new_folder->fd, new_name) ? -errno : 0;
}

int share_unlinkat(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply)
{
	char name[SHARE_NAME_MAX + 1];
	int ret;
	struct share_fid *folder = begin_name(server, request, name, &ret);

	(void)reply;
	if (!folder)
		return ret;
	return unlinkat(folder->fd, name, request->flags & UNLINK_FOLDER ? AT_REMOVEDIR : 0)
	               ? -errno
	               : 0;
}
