/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of 9P2000.L: what a request says, and how a reply is put together. Pure.
 *
 * The protocol has no standard; what Linux's client (net/9p, fs/9p) sends and takes is what counts.
 * All numbers are little-endian, a message begins with size[4] type[1] tag[2], a string is a length
 * of two bytes and as many bytes without an end.
 */
#ifndef SHARE_P9_MESSAGE_H
#define SHARE_P9_MESSAGE_H

#include "ebb/types.h"

/* A request's number; its reply has the next one. */
enum p9_type {
	P9_LERROR = 6,
	P9_STATFS = 8,
	P9_LOPEN = 12,
	P9_LCREATE = 14,
	P9_SYMLINK = 16,
	P9_MKNOD = 18,
	P9_RENAME = 20,
	P9_READLINK = 22,
	P9_GETATTR = 24,
	P9_SETATTR = 26,
	P9_XATTRWALK = 30,
	P9_XATTRCREATE = 32,
	P9_READDIR = 40,
	P9_FSYNC = 50,
	P9_LOCK = 52,
	P9_GETLOCK = 54,
	P9_LINK = 70,
	P9_MKDIR = 72,
	P9_RENAMEAT = 74,
	P9_UNLINKAT = 76,
	P9_VERSION = 100,
	P9_AUTH = 102,
	P9_ATTACH = 104,
	P9_FLUSH = 108,
	P9_WALK = 110,
	P9_READ = 116,
	P9_WRITE = 118,
	P9_CLUNK = 120,
	P9_REMOVE = 122,
};

#define P9_HEADER_BYTES 7
#define P9_ERROR_BYTES  (P9_HEADER_BYTES + 4)
#define P9_QID_BYTES    13
#define P9_DIRENT_BYTES (P9_QID_BYTES + 8 + 1 + 2) /* and the name */
#define P9_WALK_MAX     16
#define P9_NO_FID       UINT32_MAX
#define P9_NO_UID       UINT32_MAX
#define P9_NO_TAG       UINT16_MAX

/* A client that takes less has no use for us; the most is share_server.h's. */
#define P9_MESSAGE_MIN_BYTES 4096

enum { P9_QID_DIR = 0x80, P9_QID_SYMLINK = 0x02, P9_QID_FILE = 0x00 };

struct p9_qid {
	uint8_t type;
	uint32_t version;
	uint64_t path;
};

struct p9_string { /* in the request; any bytes, also NUL */
	const char *bytes;
	uint16_t length;
};

/* Tsetattr's valid */
enum {
	P9_SETATTR_MODE = 1 << 0,
	P9_SETATTR_UID = 1 << 1,
	P9_SETATTR_GID = 1 << 2,
	P9_SETATTR_SIZE = 1 << 3,
	P9_SETATTR_ATIME = 1 << 4,
	P9_SETATTR_MTIME = 1 << 5,
	P9_SETATTR_CTIME = 1 << 6,
	P9_SETATTR_ATIME_SET = 1 << 7,
	P9_SETATTR_MTIME_SET = 1 << 8,
};

#define P9_GETATTR_BASIC UINT64_C(0x7ff)
#define P9_GETATTR_BTIME UINT64_C(0x800)

/* Fields that a type does not have are 0. All guest-controlled. */
struct p9_request {
	uint8_t type;
	uint16_t tag;
	uint32_t fid;     /* the first that the message names */
	uint32_t new_fid; /* the second: newfid, afid, the other folder or file */
	struct p9_string names[P9_WALK_MAX];
	uint16_t name_count;
	uint64_t offset;
	uint32_t count; /* of bytes; Tversion: msize */
	const uint8_t *data;
	uint32_t flags, mode, uid, gid;
	uint32_t valid; /* Tsetattr */
	uint64_t size, atime_s, atime_ns, mtime_s, mtime_ns;
	uint64_t request_mask;
	uint32_t major, minor;
	uint8_t lock_type;
	uint64_t lock_start, lock_length;
	uint32_t lock_process;
};

/*
 * 0; -EPROTO: not a whole message of its type, with neither more nor less; -EOPNOTSUPP: a type that
 * is not in the table. type and tag are set in the latter case, and wherever there was a header.
 */
EBB_MUST_CHECK int p9_parse(const uint8_t *message, size_t size_bytes,
                            struct p9_request *ret_request);

/* A reply under way. What does not fit is left out, and overflowed says so. */
struct p9_reply {
	uint8_t *bytes;
	size_t size_max_bytes; /* P9_ERROR_BYTES at least */
	size_t size_bytes;
	bool overflowed;
};

void p9_reply_begin(struct p9_reply *reply, uint8_t *bytes, size_t size_max_bytes);
void p9_put_u8(struct p9_reply *reply, uint8_t value);
void p9_put_u16(struct p9_reply *reply, uint16_t value);
void p9_put_u32(struct p9_reply *reply, uint32_t value);
void p9_put_u64(struct p9_reply *reply, uint64_t value);
void p9_put_string(struct p9_reply *reply, const char *bytes, size_t length);
void p9_put_qid(struct p9_reply *reply, const struct p9_qid *qid);

/* Room for size_bytes, to be filled by the caller; NULL: there is none. */
uint8_t *p9_put_room(struct p9_reply *reply, size_t size_bytes);

/* What is left of the room. */
size_t p9_room_bytes(const struct p9_reply *reply);

/* Writes the header over the first bytes; error: 0, or -errno, and then that is all it says. The
 * size of the whole. */
size_t p9_reply_end(struct p9_reply *reply, const struct p9_request *request, int error);

#endif
