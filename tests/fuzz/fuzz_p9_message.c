/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of 9P2000.L that are anything: what is taken says nothing that is not in the message,
 * and a reply stays within its room, whatever is put into it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/share/p9_message.h"
#include "ebb/bytes.h"

#define ROOM_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check_request(const struct p9_request *request, const uint8_t *message,
                          size_t size_bytes)
{
	const uint8_t *end = message + size_bytes;
	size_t named_bytes = P9_HEADER_BYTES;

	assert(request->name_count <= P9_WALK_MAX);
	for (unsigned int i = 0; i < request->name_count; i++) {
		const uint8_t *name = (const uint8_t *)request->names[i].bytes;

		assert(name >= message && name + request->names[i].length <= end);
		named_bytes += 2 + request->names[i].length;
	}
	if (request->data) {
		assert(request->data >= message && request->data + request->count <= end);
		named_bytes += request->count;
	}
	assert(named_bytes <= size_bytes);
	assert(load_le32(message) == size_bytes);
}

/* Fields as the bytes say, in a room of a size that they say. */
static void build_reply(const struct p9_request *request, const uint8_t *data, size_t size_bytes)
{
	const size_t room_bytes = P9_ERROR_BYTES + (size_bytes ? data[0] % (ROOM_MAX - 16) : 0);
	uint8_t *room = malloc(room_bytes);
	const struct p9_qid qid = { .type = 1, .path = 2 };
	struct p9_reply reply;
	size_t whole_bytes;

	p9_reply_begin(&reply, room, room_bytes);
	for (size_t i = 1; i < size_bytes; i++) {
		if (data[i] % 5 == 0)
			p9_put_qid(&reply, &qid);
		else if (data[i] % 5 == 1)
			p9_put_string(&reply, (const char *)data, min_u64(size_bytes, data[i]));
		else if (data[i] % 5 == 2)
			p9_put_u64(&reply, i);
		else if (data[i] % 5 == 3)
			p9_put_u16(&reply, 1);
		else
			p9_put_u8(&reply, 1);
		assert(p9_room_bytes(&reply) <= room_bytes);
	}
	whole_bytes = p9_reply_end(&reply, request, 0);
	assert(whole_bytes <= room_bytes && load_le32(room) == whole_bytes);
	assert(load_le16(room + 5) == request->tag);
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	/* Of just its size, for what reads behind the end; sized right half of the time. */
	uint8_t *message = malloc(size_bytes ? size_bytes : 1);
	struct p9_request request;
	int ret;

	memcpy(message, data, size_bytes);
	if (size_bytes >= P9_HEADER_BYTES && message[3])
		store_le32(message, (uint32_t)size_bytes);
	ret = p9_parse(message, size_bytes, &request);
	assert(ret == 0 || ret == -EPROTO || ret == -EOPNOTSUPP);
	if (!ret)
		check_request(&request, message, size_bytes);
	build_reply(&request, data, size_bytes);
	free(message);
	return 0;
}
