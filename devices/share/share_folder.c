/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder that is shared: every way from a name to a file of the host's goes through here.
 *
 * DOC: names are looked up one at a time, in a folder that is open already, by openat2 with
 * RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS: a symlink is an object to be read
 * and never followed, ".." and '/' are in no name. So there is no path that anybody could change
 * under way: what a rename beside us can do is make a name mean another file beneath the folder it
 * is looked up in. A folder that somebody on the host moves out of the share stays reachable to who
 * had a fid of it, as an open file would.
 *
 * What is found is an O_PATH descriptor: nothing was opened, whatever it is. To read or write,
 * regular files and folders, and only they, are opened anew by /proc/self/fd/N, which is that very
 * inode, so its type, looked at once, holds; a FIFO, socket or device of the host is never opened.
 * O_NONBLOCK keeps a lease of somebody else's from making us wait.
 *
 * Mounts in the folder are crossed: a user's /home is one. File systems of the kernel's own (/proc,
 * /sys and their like) are not: their files are interfaces of the host, /proc/self would be this
 * process. Where one is mounted the guest sees an empty folder. They are told by their magic
 * numbers, looked at where the device number changes.
 *
 * Syscalls: share: openat2 openat fcntl statx fstatfs setfsuid setfsgid
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "share_private.h"

/* Those that <linux/magic.h> has no name for. */
#define FUSE_CONTROL_MAGIC 0x65735543
#define CONFIGFS_MAGIC     0x62656570
#define MQUEUE_MAGIC       0x19800202
#define RPC_PIPEFS_MAGIC   0x67596969
#define XENFS_MAGIC        0xabba1974
#define NFSD_MAGIC         0x6e667364
#define RESCTRL_MAGIC      0x7655821

static const uint32_t pseudo_magics[] = {
	PROC_SUPER_MAGIC, SYSFS_MAGIC,      DEVPTS_SUPER_MAGIC,  DEBUGFS_MAGIC,
	TRACEFS_MAGIC,    SECURITYFS_MAGIC, CGROUP_SUPER_MAGIC,  CGROUP2_SUPER_MAGIC,
	BPF_FS_MAGIC,     PSTOREFS_MAGIC,   EFIVARFS_MAGIC,      SELINUX_MAGIC,
	SMACK_MAGIC,      BINFMTFS_MAGIC,   AUTOFS_SUPER_MAGIC,  NSFS_MAGIC,
	SOCKFS_MAGIC,     PIPEFS_MAGIC,     ANON_INODE_FS_MAGIC, FUSE_CONTROL_MAGIC,
	CONFIGFS_MAGIC,   MQUEUE_MAGIC,     RPC_PIPEFS_MAGIC,    XENFS_MAGIC,
	NFSD_MAGIC,       RESCTRL_MAGIC,    AAFS_MAGIC,          BINDERFS_SUPER_MAGIC,
};

int share_name(const struct p9_string *string, char ret_name[SHARE_NAME_MAX + 1])
{
	if (string->length > SHARE_NAME_MAX)
		return -ENAMETOOLONG;
	if (!string->length || memchr(string->bytes, '/', string->length) ||
	    memchr(string->bytes, 0, string->length))
		return -EINVAL;
	memcpy(ret_name, string->bytes, string->length);
	ret_name[string->length] = 0;
	return strcmp(ret_name, ".") && strcmp(ret_name, "..") ? 0 : -EINVAL;
}

int share_open_child(const struct share_fid *folder, const char *name)
{
	const struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, folder->fd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int open_by_link(const struct share_server *server, int fd, int flags)
{
	char name[16];
	int opened;

	snprintf(name, sizeof(name), "%d", fd);
	opened = openat(server->links_fd, name, flags | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

int share_reopen(const struct share_server *server, const struct share_fid *fid, int flags)
{
	if (fid->type == S_IFLNK)
		return -ELOOP;
	if (fid->type != S_IFREG && fid->type != S_IFDIR)
		return -ENXIO;
	return open_by_link(server, fid->fd, flags | O_NONBLOCK | O_NOCTTY);
}

int share_duplicate(const struct share_server *server, const struct share_fid *fid)
{
	int fd;

	if (fid->is_open)
		return open_by_link(server, fid->fd, O_PATH);
	fd = fcntl(fid->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int share_statx(int fd, struct statx *ret_statx)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME,
	             ret_statx)
	               ? -errno
	               : 0;
}

bool share_is_pseudo(int fd)
{
	struct statfs statfs;

	if (fstatfs(fd, &statfs))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(pseudo_magics); i++)
		if ((uint32_t)statfs.f_type == pseudo_magics[i])
			return true;
	return false;
}

/* Spreads the bits of a device number over an inode's (the finaliser of splitmix64). */
static uint64_t mixed(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

/* The inode's number where the share is on one file system, so that a guest sees the host's. */
static uint64_t qid_path(const struct share_server *server, uint64_t dev, uint64_t inode)
{
	return dev == server->root.st_dev ? inode : inode ^ mixed(dev);
}

void share_qid(const struct share_server *server, const struct statx *statx, struct p9_qid *ret_qid)
{
	uint64_t version =
		mixed((uint64_t)statx->stx_mtime.tv_sec * 1000000000 + statx->stx_mtime.tv_nsec) ^
		statx->stx_size;

	*ret_qid = (struct p9_qid){
		.type = S_ISDIR(statx->stx_mode)   ? P9_QID_DIR
		        : S_ISLNK(statx->stx_mode) ? P9_QID_SYMLINK
		                                   : P9_QID_FILE,
		/* To Linux 0 says that there is nothing to be cached. */
		.version = (uint32_t)version ? (uint32_t)version : 1,
		.path = qid_path(server, makedev(statx->stx_dev_major, statx->stx_dev_minor),
		                 statx->stx_ino),
	};
}

struct p9_qid share_qid_of_entry(const struct share_server *server, uint64_t dev, uint64_t inode,
                                 uint8_t entry_type)
{
	return (struct p9_qid){
		.type = entry_type == DT_DIR   ? P9_QID_DIR
		        : entry_type == DT_LNK ? P9_QID_SYMLINK
		                               : P9_QID_FILE,
		.path = qid_path(server, dev, inode),
	};
}

int share_look(struct share_fid *fid, uint64_t parent_dev, struct p9_qid *ret_qid,
               const struct share_server *server)
{
	struct statx statx;
	int ret = share_statx(fid->fd, &statx);

	if (ret)
		return ret;
	fid->type = statx.stx_mode & S_IFMT;
	fid->dev = makedev(statx.stx_dev_major, statx.stx_dev_minor);
	fid->hidden = fid->dev != parent_dev && share_is_pseudo(fid->fd);
	if (fid->hidden && fid->type != S_IFDIR)
		return -EPERM;
	share_qid(server, &statx, ret_qid);
	return 0;
}

/* The calls say who it was before, not whether they did it. */
int share_owner_begin(const struct share_server *server, uint32_t uid, uint32_t gid)
{
	if (!server->sets_owner)
		return 0;
	setfsgid(gid);
	setfsuid(uid);
	if ((uint32_t)setfsgid((gid_t)-1) == gid && (uint32_t)setfsuid((uid_t)-1) == uid)
		return 0;
	share_owner_end(server);
	return -EPERM;
}

void share_owner_end(const struct share_server *server)
{
	if (!server->sets_owner)
		return;
	setfsuid(0);
	setfsgid(0);
}
