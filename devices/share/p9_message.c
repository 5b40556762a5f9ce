/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 9P2000.L on the wire.
 *
 * DOC: each type of request is a row: its number and its fields, a letter each, in their order.
 * The parser knows letters, not types. It copies numbers and points into the message for strings
 * and data, whose lengths it has held against the message's; nothing behind the last field is
 * tolerated, so that a row that is wrong shows at once.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ebb/bytes.h"
#include "p9_message.h"

struct layout {
	uint8_t type;
	const char *fields;
};

/*
 *	f n        fid, new_fid                   s    a string, the next of names
 *	o          offset                         w    a count, and so many strings
 *	c          count                          d    count, and so many bytes
 *	l m u g v  flags mode uid gid valid       t    a tag, of no interest
 *	z A a B b  size, times                    k    request_mask
 *	M N        major, minor
 *	y S L p    a lock's type, start, length, process
 */
static const struct layout layouts[] = {
	{ P9_STATFS, "f" },      { P9_LOPEN, "fl" },         { P9_LCREATE, "fslmg" },
	{ P9_SYMLINK, "fssg" },  { P9_MKNOD, "fsmMNg" },     { P9_RENAME, "fns" },
	{ P9_READLINK, "f" },    { P9_GETATTR, "fk" },       { P9_SETATTR, "fvmugzAaBb" },
	{ P9_XATTRWALK, "fns" }, { P9_XATTRCREATE, "fszl" }, { P9_READDIR, "foc" },
	{ P9_FSYNC, "fl" },      { P9_LOCK, "fylSLps" },     { P9_GETLOCK, "fySLps" },
	{ P9_LINK, "nfs" },      { P9_MKDIR, "fsmg" },       { P9_RENAMEAT, "fsns" },
	{ P9_UNLINKAT, "fsl" },  { P9_VERSION, "cs" },       { P9_AUTH, "fssu" },
	{ P9_ATTACH, "fnssu" },  { P9_FLUSH, "t" },          { P9_WALK, "fnw" },
	{ P9_READ, "foc" },      { P9_WRITE, "fod" },        { P9_CLUNK, "f" },
	{ P9_REMOVE, "f" },
};

struct cursor {
	const uint8_t *bytes;
	size_t left_bytes;
	bool short_of; /* something did not fit */
};

static const uint8_t *take(struct cursor *cursor, size_t size_bytes)
{
	const uint8_t *bytes = cursor->bytes;

	if (size_bytes > cursor->left_bytes) {
		cursor->short_of = true;
		return NULL;
	}
	cursor->bytes += size_bytes;
	cursor->left_bytes -= size_bytes;
	return bytes;
}

static uint64_t take_number(struct cursor *cursor, size_t size_bytes)
{
	const uint8_t *bytes = take(cursor, size_bytes);

	return bytes ? load_le(bytes, size_bytes) : 0;
}

static void take_string(struct cursor *cursor, struct p9_request *request)
{
	uint16_t length = (uint16_t)take_number(cursor, 2);
	const uint8_t *bytes = take(cursor, length);
	struct p9_string *name;

	if (!bytes)
		return;
	assert(request->name_count < P9_WALK_MAX);
	name = &request->names[request->name_count++];
	name->bytes = (const char *)bytes;
	name->length = length;
}

static void take_walk(struct cursor *cursor, struct p9_request *request)
{
	uint64_t count = take_number(cursor, 2);

	if (count > P9_WALK_MAX)
		cursor->short_of = true;
	while (count-- && !cursor->short_of)
		take_string(cursor, request);
}

static void take_data(struct cursor *cursor, struct p9_request *request)
{
	request->count = (uint32_t)take_number(cursor, 4);
	request->data = take(cursor, request->count);
}

/* Where a field of 4 bytes goes; NULL: it is none of those. */
static uint32_t *field_of_4(struct p9_request *request, char field)
{
	switch (field) {
	case 'f':
		return &request->fid;
	case 'n':
		return &request->new_fid;
	case 'c':
		return &request->count;
	case 'l':
		return &request->flags;
	case 'm':
		return &request->mode;
	case 'u':
		return &request->uid;
	case 'g':
		return &request->gid;
	case 'v':
		return &request->valid;
	case 'M':
		return &request->major;
	case 'N':
		return &request->minor;
	case 'p':
		return &request->lock_process;
	default:
		return NULL;
	}
}

static uint64_t *field_of_8(struct p9_request *request, char field)
{
	switch (field) {
	case 'o':
		return &request->offset;
	case 'z':
		return &request->size;
	case 'A':
		return &request->atime_s;
	case 'a':
		return &request->atime_ns;
	case 'B':
		return &request->mtime_s;
	case 'b':
		return &request->mtime_ns;
	case 'k':
		return &request->request_mask;
	case 'S':
		return &request->lock_start;
	case 'L':
		return &request->lock_length;
	default:
		return NULL;
	}
}

static void take_field(struct cursor *cursor, struct p9_request *request, char field)
{
	uint32_t *of_4 = field_of_4(request, field);
	uint64_t *of_8 = field_of_8(request, field);

	if (of_4)
		*of_4 = (uint32_t)take_number(cursor, 4);
	else if (of_8)
		*of_8 = take_number(cursor, 8);
	else if (field == 's')
		take_string(cursor, request);
	else if (field == 'w')
		take_walk(cursor, request);
	else if (field == 'd')
		take_data(cursor, request);
	else if (field == 'y')
		request->lock_type = (uint8_t)take_number(cursor, 1);
	else
		(void)take(cursor, 2);
}

static const struct layout *find_layout(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		if (layouts[i].type == type)
			return &layouts[i];
	return NULL;
}

int p9_parse(const uint8_t *message, size_t size_bytes, struct p9_request *ret_request)
{
	struct cursor cursor = { .bytes = message, .left_bytes = size_bytes };
	const struct layout *layout;
	uint64_t size;

	memset(ret_request, 0, sizeof(*ret_request));
	ret_request->tag = P9_NO_TAG;
	if (size_bytes < P9_HEADER_BYTES)
		return -EPROTO;
	size = take_number(&cursor, 4);
	ret_request->type = (uint8_t)take_number(&cursor, 1);
	ret_request->tag = (uint16_t)take_number(&cursor, 2);
	if (size != size_bytes)
		return -EPROTO;
	layout = find_layout(ret_request->type);
	if (!layout)
		return -EOPNOTSUPP;
	for (const char *field = layout->fields; *field && !cursor.short_of; field++)
		take_field(&cursor, ret_request, *field);
	return cursor.short_of || cursor.left_bytes ? -EPROTO : 0;
}

/* --- replies --- */

void p9_reply_begin(struct p9_reply *reply, uint8_t *bytes, size_t size_max_bytes)
{
	assert(size_max_bytes >= P9_ERROR_BYTES);
	*reply = (struct p9_reply){ .bytes = bytes,
		                    .size_max_bytes = size_max_bytes,
		                    .size_bytes = P9_HEADER_BYTES };
}

size_t p9_room_bytes(const struct p9_reply *reply)
{
	return reply->size_max_bytes - reply->size_bytes;
}

uint8_t *p9_put_room(struct p9_reply *reply, size_t size_bytes)
{
	uint8_t *room = reply->bytes + reply->size_bytes;

	if (reply->overflowed || size_bytes > p9_room_bytes(reply)) {
		reply->overflowed = true;
		return NULL;
	}
	reply->size_bytes += size_bytes;
	return room;
}

static void put_number(struct p9_reply *reply, uint64_t value, size_t size_bytes)
{
	uint8_t *room = p9_put_room(reply, size_bytes);

	if (room)
		store_le(room, value, size_bytes);
}

void p9_put_u8(struct p9_reply *reply, uint8_t value)
{
	put_number(reply, value, 1);
}

void p9_put_u16(struct p9_reply *reply, uint16_t value)
{
	put_number(reply, value, 2);
}

void p9_put_u32(struct p9_reply *reply, uint32_t value)
{
	put_number(reply, value, 4);
}

void p9_put_u64(struct p9_reply *reply, uint64_t value)
{
	put_number(reply, value, 8);
}

void p9_put_string(struct p9_reply *reply, const char *bytes, size_t length)
{
	uint8_t *room = length > UINT16_MAX ? NULL : p9_put_room(reply, 2 + length);

	if (!room) {
		reply->overflowed = true;
		return;
	}
	store_le16(room, (uint16_t)length);
	memcpy(room + 2, bytes, length);
}

void p9_put_qid(struct p9_reply *reply, const struct p9_qid *qid)
{
	p9_put_u8(reply, qid->type);
	p9_put_u32(reply, qid->version);
	p9_put_u64(reply, qid->path);
}

static void put_header(uint8_t *bytes, size_t size_bytes, uint8_t type, uint16_t tag)
{
	store_le32(bytes, (uint32_t)size_bytes);
	bytes[4] = type;
	store_le16(bytes + 5, tag);
}

size_t p9_reply_end(struct p9_reply *reply, const struct p9_request *request, int error)
{
	if (!error && reply->overflowed)
		error = -EMSGSIZE;
	if (error) {
		put_header(reply->bytes, P9_ERROR_BYTES, P9_LERROR + 1, request->tag);
		store_le32(reply->bytes + P9_HEADER_BYTES, (uint32_t)-error);
		return P9_ERROR_BYTES;
	}
	put_header(reply->bytes, reply->size_bytes, (uint8_t)(request->type + 1), request->tag);
	return reply->size_bytes;
}
