/* SPDX-License-Identifier: Apache-2.0 */
/* The server's parts: its state, fids, the folder, handlers of requests. */
#ifndef SHARE_PRIVATE_H
#define SHARE_PRIVATE_H

#include <sys/stat.h>
#include <sys/types.h>

#include "ebb/error.h"
#include "ebb/share_server.h"
#include "ebb/types.h"
#include "p9_message.h"

#define SHARE_FIDS_MAX       524288 /* fewer where the host allows fewer descriptors */
#define SHARE_FIDS_MIN       64
#define SHARE_SPARE_FDS      32 /* beside those of fids */
#define SHARE_NAME_MAX       255
#define SHARE_DIRENTS_BYTES  (32 * 1024)
#define SHARE_POSITION_UNSET INT64_MIN

/* --- fids: share_fids.c --- */

struct share_fid {
	uint32_t number;
	int fd;       /* O_PATH until it is opened */
	uint32_t uid; /* who attached */
	mode_t type;  /* S_IFMT of its mode; never changes */
	uint64_t dev; /* of the file system it is on */
	bool is_root; /* the share itself */
	bool hidden;  /* a folder of a file system of the kernel's own: shown empty */
	bool is_open; /* for reading, writing or both: */
	bool readable, writable;
	int64_t position; /* where a folder is read on, or SHARE_POSITION_UNSET */
	int32_t next;     /* share_fids.c's */
};

struct share_fids;

/* -ENOMEM. All the memory it ever takes. */
EBB_MUST_CHECK int share_fids_create(unsigned int max, struct share_fids **ret_fids);
void share_fids_destroy(struct share_fids *fids); /* closes all. NULL is fine */

/* NULL: there is none. */
struct share_fid *share_fids_find(struct share_fids *fids, uint32_t number);

/* A new one, zero but for number and fd, which it owns from then on. -EMFILE: there are too many;
 * -EEXIST; -EINVAL: P9_NO_FID. fd stays the caller's then. */
EBB_MUST_CHECK int share_fids_add(struct share_fids *fids, uint32_t number, int fd,
                                  struct share_fid **ret_fid);
void share_fids_remove(struct share_fids *fids, struct share_fid *fid);
void share_fids_clear(struct share_fids *fids);
unsigned int share_fids_count(const struct share_fids *fids);

/* --- the server: share_server.c --- */

struct share_server {
	int root_fd;  /* O_PATH */
	int links_fd; /* /proc/self/fd: the way from an O_PATH descriptor to one that reads */
	bool readonly;
	bool sets_owner; /* what is made belongs to the guest's user */
	struct stat root;
	struct share_fids *fids;
	uint32_t message_max_bytes; /* agreed; 0: not yet */
	uint8_t dirents[SHARE_DIRENTS_BYTES] __attribute__((aligned(8)));
};

/*
 * folder_fd is taken over, also on failure. sets_owner: this process may act as any user
 * (CAP_SETUID, CAP_SETGID and SECBIT_NO_SETUID_FIXUP). -EPERM: a file system that is not shared;
 * -ENOTDIR; -errno of /proc.
 */
struct share_server_options {
	int folder_fd;
	bool readonly, sets_owner;
	unsigned int fids_max;
};
EBB_MUST_CHECK int share_server_create(const struct share_server_options *options,
                                       struct share_server **ret_server, struct error *err);
void share_server_destroy(struct share_server *server); /* NULL is fine */

/* Answers one request; the reply's size, at most SHARE_MESSAGE_MAX_BYTES, the size of reply. The
 * request is the caller's copy. */
size_t share_server_answer(struct share_server *server, const uint8_t *request, size_t size_bytes,
                           uint8_t *reply);

/* --- between ebb and the process: share_start.c, share_process.c --- */

#define SHARE_SETUP_MAGIC UINT32_C(0x65626239)

struct share_setup_message { /* ebb's first packet, with the folder's descriptor */
	uint32_t magic;
	uint32_t readonly, sandbox;
	uint32_t becomes_user, uid, gid;
};

struct share_ready_message { /* the answer: it serves, or why not */
	int32_t error;
	char text[ERROR_MESSAGE_MAX];
};

/* --- the folder: share_folder.c; all of these return 0 or more, or -errno --- */

/* What is called name in a folder, whatever it is, as an O_PATH descriptor. */
int share_open_child(const struct share_fid *folder, const char *name);

/* The same file once more; flags as for open, access mode and the like. Regular files and folders
 * only: -ENXIO, -ELOOP. */
int share_reopen(const struct share_server *server, const struct share_fid *fid, int flags);

/* A new O_PATH descriptor of it. */
int share_duplicate(const struct share_server *server, const struct share_fid *fid);

struct statx;
int share_statx(int fd, struct statx *ret_statx);

/* Fills type, dev and hidden from its descriptor; parent_dev: of the folder it was found in.
 * -EPERM: a file, not a folder, of a file system of the kernel's own. */
int share_look(struct share_fid *fid, uint64_t parent_dev, struct p9_qid *ret_qid,
               const struct share_server *server);
void share_qid(const struct share_server *server, const struct statx *statx,
               struct p9_qid *ret_qid);
struct p9_qid share_qid_of_entry(const struct share_server *server, uint64_t dev, uint64_t inode,
                                 uint8_t entry_type);
bool share_is_pseudo(int fd); /* on a file system of the kernel's own, as /proc */

/* name as a string with its end. -EINVAL: empty, a '/' or NUL, "." or ".."; -ENAMETOOLONG. */
int share_name(const struct p9_string *string, char ret_name[SHARE_NAME_MAX + 1]);

/* What is made until the end belongs to them. -EPERM: the host does not know them. */
int share_owner_begin(const struct share_server *server, uint32_t uid, uint32_t gid);
void share_owner_end(const struct share_server *server);

/* --- handlers: parse is done, a reply is begun; 0 or -errno --- */

typedef int (*share_handler)(struct share_server *server, const struct p9_request *request,
                             struct p9_reply *reply);

/* The fid that a request names first. */
struct share_fid *share_find(struct share_server *server, uint32_t number, int *ret_error);
/* It has to be a folder that is shown. */
struct share_fid *share_find_folder(struct share_server *server, uint32_t number, int *ret_error);

/* share_names.c */
int share_walk(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply);
int share_lcreate(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);
int share_mkdir(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply);
int share_mknod(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply);
int share_symlink(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);
int share_link(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply);
int share_readlink(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply);
int share_renameat(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply);
int share_unlinkat(struct share_server *server, const struct p9_request *request,
                   struct p9_reply *reply);

/* share_files.c */
int share_lopen(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply);
int share_read(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply);
int share_write(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply);
int share_readdir(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);
int share_fsync(struct share_server *server, const struct p9_request *request,
                struct p9_reply *reply);
int share_statfs(struct share_server *server, const struct p9_request *request,
                 struct p9_reply *reply);
int share_getattr(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);
int share_setattr(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);
int share_lock(struct share_server *server, const struct p9_request *request,
               struct p9_reply *reply);
int share_getlock(struct share_server *server, const struct p9_request *request,
                  struct p9_reply *reply);

/* Linux's flags on the wire, as the host's. */
int share_open_flags(uint32_t wire_flags);
/* Of those: whether they change anything. */
bool share_flags_change(uint32_t wire_flags);

/* It is open with flags from now on, by fd, which takes the place of its own. */
void share_set_open(struct share_fid *fid, int fd, int flags);

#endif
