/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about what is in files and folders, and what is known of them.
 *
 * DOC: opening puts a descriptor that reads or writes in the place of the fid's O_PATH one; all
 * that wants no access goes by either. Folders are read by the host's own positions (d_off), so
 * that a client can go on where it was with nothing kept for it.
 *
 * Writes go where the client says, also to a file it opened with O_APPEND: Linux writes back pages
 * by any descriptor that writes, and with the host's O_APPEND those would land at the end. O_DIRECT
 * is the guest's wish about its own cache.
 *
 * Locks hold within a guest, whose kernel keeps them: here they are always granted.
 *
 * Syscalls: share: openat close pread64 pwrite64 getdents64 lseek fsync fdatasync fstatfs statx
 * Syscalls: share: fchmodat fchownat utimensat ftruncate
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ebb/bytes.h"
#include "share_private.h"

#define MODE_MASK 07777

/* Linux's numbers of the architectures that agree on them, which are the wire's. */
enum {
	WIRE_ACCESS = 03,
	WIRE_CREATE = 0100,
	WIRE_EXCL = 0200,
	WIRE_TRUNC = 01000,
	WIRE_DSYNC = 010000,
	WIRE_DIRECTORY = 0200000,
	WIRE_SYNC = 04000000,
};

enum { LOCK_GRANTED = 0, LOCK_NONE = 2 };

int share_open_flags(uint32_t wire_flags)
{
	static const int access[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };
	int flags = access[wire_flags & WIRE_ACCESS];

	if (wire_flags & WIRE_EXCL)
		flags |= O_EXCL;
	if (wire_flags & WIRE_TRUNC)
		flags |= O_TRUNC;
	if (wire_flags & WIRE_DSYNC)
		flags |= O_DSYNC;
	if (wire_flags & WIRE_DIRECTORY)
		flags |= O_DIRECTORY;
	if ((wire_flags & WIRE_SYNC) == WIRE_SYNC)
		flags |= O_SYNC;
	return flags;
}

bool share_flags_change(uint32_t wire_flags)
{
	return (wire_flags & WIRE_ACCESS) != 0 || (wire_flags & (WIRE_TRUNC | WIRE_CREATE)) != 0;
}

void share_set_open(struct share_fid *fid, int fd, int flags)
{
	close(fid->fd);
	fid->fd = fd;
	fid->is_open = true;
	fid->readable = (flags & O_ACCMODE) != O_WRONLY;
	fid->writable = (flags & O_ACCMODE) != O_RDONLY;
	fid->position = fid->type == S_IFDIR ? 0 : SHARE_POSITION_UNSET;
}

int share_lopen(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply)
{
	const int flags = share_open_flags(request->flags) & ~O_EXCL;
	struct share_fid *fid;
	struct statx statx;
	struct p9_qid qid;
	int fd, ret;

	fid = share_find(server, request->fid, &ret);
	if (!fid)
		return ret;
	if (fid->is_open)
		return -EINVAL;
	fd = share_reopen(server, fid, flags);
	if (fd < 0)
		return fd;
	ret = share_statx(fd, &statx);
	if (ret) {
		close(fd);
		return ret;
	}
	share_qid(server, &statx, &qid);
	share_set_open(fid, fd, flags);
	p9_put_qid(reply, &qid);
	p9_put_u32(reply, 0); /* as much at a time as a message holds */
	return 0;
}

/* --- what is in a file --- */

int share_read(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply)
{
	size_t count = request->count;
	ssize_t got;
	uint8_t *head;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	if (!fid->readable)
		return -EBADF;
	if (fid->type == S_IFDIR)
		return -EISDIR;
	if (request->offset > INT64_MAX)
		return -EINVAL;
	head = p9_put_room(reply, sizeof(uint32_t));
	if (!head)
		return -EMSGSIZE;
	count = min_u64(count, p9_room_bytes(reply));
	got = pread(fid->fd, head + sizeof(uint32_t), count, (off_t)request->offset);
	if (got < 0)
		return -errno;
	(void)p9_put_room(reply, (size_t)got);
	store_le32(head, (uint32_t)got);
	return 0;
}

int share_write(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply)
{
	ssize_t done;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	if (!fid->writable)
		return -EBADF;
	if (request->offset > INT64_MAX)
		return -EINVAL;
	done = pwrite(fid->fd, request->data, request->count, (off_t)request->offset);
	if (done < 0)
		return -errno;
	p9_put_u32(reply, (uint32_t)done);
	return 0;
}

int share_fsync(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply)
{
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	(void)reply;
	if (!fid)
		return ret;
	if (!fid->is_open)
		return -EBADF;
	return (request->flags ? fdatasync(fid->fd) : fsync(fid->fd)) ? -errno : 0;
}

/* --- what is in a folder --- */

struct host_dirent { /* as getdents64 writes it */
	uint64_t inode;
	int64_t position; /* of what comes next */
	uint16_t size_bytes;
	uint8_t type;
	char name[];
} __attribute__((packed));

/* Whether it fits. */
static bool put_entry(struct share_server *server, const struct share_fid *fid,
                      const struct host_dirent *entry, struct p9_reply *reply)
{
	const size_t length = strlen(entry->name);
	struct p9_qid qid;

	if (p9_room_bytes(reply) < P9_DIRENT_BYTES + length)
		return false;
	qid = share_qid_of_entry(server, fid->dev, entry->inode, entry->type);
	/* What is above the share is the share. */
	if (fid->is_root && !strcmp(entry->name, ".."))
		qid.path = server->root.st_ino;
	p9_put_qid(reply, &qid);
	p9_put_u64(reply, (uint64_t)entry->position);
	p9_put_u8(reply, entry->type);
	p9_put_string(reply, entry->name, length);
	return true;
}

/* Entries from fid->position on, until the reply is full or the host has no more at hand. */
static int put_entries(struct share_server *server, struct share_fid *fid, struct p9_reply *reply)
{
	const size_t room_bytes = p9_room_bytes(reply);
	long got = syscall(SYS_getdents64, fid->fd, server->dirents,
	                   min_u64(room_bytes, sizeof(server->dirents)));

	if (got < 0)
		return -errno;
	for (long at = 0; at < got;) {
		const struct host_dirent *entry =
			(const struct host_dirent *)(const void *)(server->dirents + at);

		if (!put_entry(server, fid, entry, reply)) {
			/* The host is further than the client: back, the next time. */
			fid->position = SHARE_POSITION_UNSET;
			return p9_room_bytes(reply) == room_bytes ? -EINVAL : 0;
		}
		fid->position = entry->position;
		at += entry->size_bytes;
	}
	return 0;
}

/* Of a file system that is not shown there are "." and "..". */
static void put_hidden_entries(struct share_server *server, const struct share_fid *fid,
                               uint64_t position, struct p9_reply *reply)
{
	static const char *const names[] = { ".", ".." };
	struct p9_qid qid = share_qid_of_entry(server, fid->dev, 1, DT_DIR);

	for (; position < ARRAY_SIZE(names); position++) {
		if (p9_room_bytes(reply) < P9_DIRENT_BYTES + strlen(names[position]))
			return;
		p9_put_qid(reply, &qid);
		p9_put_u64(reply, position + 1);
		p9_put_u8(reply, DT_DIR);
		p9_put_string(reply, names[position], strlen(names[position]));
	}
}

static int read_entries(struct share_server *server, struct share_fid *fid, uint64_t position,
                        struct p9_reply *reply)
{
	if (fid->hidden) {
		put_hidden_entries(server, fid, position, reply);
		return 0;
	}
	if ((uint64_t)fid->position != position) {
		fid->position = SHARE_POSITION_UNSET;
		if (position > INT64_MAX)
			return -EINVAL;
		if (lseek(fid->fd, (off_t)position, SEEK_SET) < 0)
			return -errno;
		fid->position = (int64_t)position;
	}
	return put_entries(server, fid, reply);
}

int share_readdir(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	struct p9_reply entries = *reply; /* the same, but that it ends where the client says */
	uint8_t *head;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	if (fid->type != S_IFDIR)
		return -ENOTDIR;
	if (!fid->readable)
		return -EBADF;
	head = p9_put_room(&entries, sizeof(uint32_t));
	if (!head)
		return -EMSGSIZE;
	entries.size_max_bytes =
		entries.size_bytes + min_u64(request->count, p9_room_bytes(&entries));
	ret = read_entries(server, fid, request->offset, &entries);
	if (ret)
		return ret;
	store_le32(head, (uint32_t)(reply->bytes + entries.size_bytes - head - sizeof(uint32_t)));
	reply->size_bytes = entries.size_bytes;
	return 0;
}

/* --- what is known of them --- */

int share_statfs(struct share_server *server, const struct p9_request *request,
                 struct p9_reply *reply)
{
	struct statfs statfs;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	if (fstatfs(fid->fd, &statfs))
		return -errno;
	p9_put_u32(reply, (uint32_t)statfs.f_type);
	p9_put_u32(reply, (uint32_t)statfs.f_bsize);
	p9_put_u64(reply, statfs.f_blocks);
	p9_put_u64(reply, statfs.f_bfree);
	p9_put_u64(reply, statfs.f_bavail);
	p9_put_u64(reply, statfs.f_files);
	p9_put_u64(reply, statfs.f_ffree);
	p9_put_u64(reply, load_le64(&statfs.f_fsid));
	p9_put_u32(reply, SHARE_NAME_MAX);
	return 0;
}

static void put_time(struct p9_reply *reply, const struct statx_timestamp *timestamp)
{
	p9_put_u64(reply, (uint64_t)timestamp->tv_sec);
	p9_put_u64(reply, timestamp->tv_nsec);
}

int share_getattr(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	struct statx statx;
	struct p9_qid qid;
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	if (!fid)
		return ret;
	ret = share_statx(fid->fd, &statx);
	if (ret)
		return ret;
	share_qid(server, &statx, &qid);
	p9_put_u64(reply, P9_GETATTR_BASIC | (statx.stx_mask & STATX_BTIME ? P9_GETATTR_BTIME : 0));
	p9_put_qid(reply, &qid);
	p9_put_u32(reply, statx.stx_mode);
	p9_put_u32(reply, statx.stx_uid);
	p9_put_u32(reply, statx.stx_gid);
	p9_put_u64(reply, statx.stx_nlink);
	/* The client takes it apart as Linux does in 32 bits. */
	p9_put_u64(reply, (statx.stx_rdev_minor & 0xff) | (statx.stx_rdev_major & 0xfff) << 8 |
	                          (uint64_t)(statx.stx_rdev_minor & ~0xffu) << 12);
	p9_put_u64(reply, statx.stx_size);
	p9_put_u64(reply, statx.stx_blksize);
	p9_put_u64(reply, statx.stx_blocks);
	put_time(reply, &statx.stx_atime);
	put_time(reply, &statx.stx_mtime);
	put_time(reply, &statx.stx_ctime);
	put_time(reply, &statx.stx_btime);
	p9_put_u64(reply, 0); /* generation and data version: reserved */
	p9_put_u64(reply, 0);
	return 0;
}

static int set_owner(const struct share_fid *fid, const struct p9_request *request)
{
	const uid_t uid = request->valid & P9_SETATTR_UID ? request->uid : (uid_t)-1;
	const gid_t gid = request->valid & P9_SETATTR_GID ? request->gid : (gid_t)-1;

	/* With neither, it brings the time of change up to now. */
	if (!(request->valid & (P9_SETATTR_UID | P9_SETATTR_GID | P9_SETATTR_CTIME)))
		return 0;
	return fchownat(fid->fd, "", uid, gid, AT_EMPTY_PATH) ? -errno : 0;
}

static int set_mode(const struct share_server *server, const struct share_fid *fid,
                    const struct p9_request *request)
{
	char name[16];

	if (!(request->valid & P9_SETATTR_MODE))
		return 0;
	if (fid->type == S_IFLNK)
		return -EOPNOTSUPP;
	snprintf(name, sizeof(name), "%d", fid->fd);
	return fchmodat(server->links_fd, name, request->mode & MODE_MASK, 0) ? -errno : 0;
}

static int set_size(const struct share_server *server, const struct share_fid *fid,
                    const struct p9_request *request)
{
	int fd, ret;

	if (!(request->valid & P9_SETATTR_SIZE))
		return 0;
	if (request->size > INT64_MAX)
		return -EINVAL;
	if (fid->writable)
		return ftruncate(fid->fd, (off_t)request->size) ? -errno : 0;
	fd = share_reopen(server, fid, O_WRONLY);
	if (fd < 0)
		return fd;
	ret = ftruncate(fd, (off_t)request->size) ? -errno : 0;
	close(fd);
	return ret;
}

static int set_times(const struct share_fid *fid, const struct p9_request *request)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (!(request->valid & (P9_SETATTR_ATIME | P9_SETATTR_MTIME)))
		return 0;
	if (request->atime_ns >= NS_PER_S || request->mtime_ns >= NS_PER_S)
		return -EINVAL;
	if (request->valid & P9_SETATTR_ATIME)
		times[0].tv_nsec = UTIME_NOW;
	if (request->valid & P9_SETATTR_ATIME_SET)
		times[0] = (struct timespec){ .tv_sec = (time_t)request->atime_s,
			                      .tv_nsec = (long)request->atime_ns };
	if (request->valid & P9_SETATTR_MTIME)
		times[1].tv_nsec = UTIME_NOW;
	if (request->valid & P9_SETATTR_MTIME_SET)
		times[1] = (struct timespec){ .tv_sec = (time_t)request->mtime_s,
			                      .tv_nsec = (long)request->mtime_ns };
	return utimensat(fid->fd, "", times, AT_EMPTY_PATH) ? -errno : 0;
}

/* An owner before the mode, since a chown takes the bits of set-user-ID; times last, since a new
 * size sets them. */
int share_setattr(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	int ret;
	struct share_fid *fid = share_find(server, request->fid, &ret);

	(void)reply;
	if (!ret && fid->hidden)
		ret = -EPERM;
	if (!ret)
		ret = set_owner(fid, request);
	if (!ret)
		ret = set_mode(server, fid, request);
	if (!ret)
		ret = set_size(server, fid, request);
	return ret ? ret : set_times(fid, request);
}

/* --- locks --- */

int share_lock(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply)
{
	int ret;

	if (share_find(server, request->fid, &ret))
		p9_put_u8(reply, LOCK_GRANTED);
	return ret;
}

int share_getlock(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply)
{
	int ret;

	if (!share_find(server, request->fid, &ret))
		return ret;
	p9_put_u8(reply, LOCK_NONE);
	p9_put_u64(reply, request->lock_start);
	p9_put_u64(reply, request->lock_length);
	p9_put_u32(reply, request->lock_process);
	p9_put_string(reply, request->names[0].bytes, request->names[0].length);
	return 0;
}
