/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk's requests (VIRTIO 1.2, 5.2.6): what they say, and whether they may be carried out.
 *
 * DOC: pure. The header and the ranges were copied from the guest once, before they come here.
 *
 *	readable: header 16, data of WRITE, ranges of DISCARD and WRITE_ZEROES
 *	writable: data of READ and GET_ID, status 1
 *
 * How that lies in descriptors is the driver's own affair (2.7.4.2). What cannot be, is answered
 * with IOERR: data on the wrong side, no whole sectors, sectors behind the end, a write to what is
 * read-only. A kind or a flag that the device does not know, or the driver did not negotiate, with
 * UNSUPP, and that before all else of the same request.
 *
 * READ and WRITE of no bytes are answered with OK: nothing forbids them.
 */
#include "virtio_blk_private.h"

#include "ebb/bytes.h"

/* Byte offset and size, when all of it lies on the disk. */
static bool locate(const struct blk_limits *limits, uint64_t sector, uint64_t size_bytes,
                   uint64_t *ret_offset_bytes)
{
	if (sector > limits->size_bytes / BLK_SECTOR_BYTES)
		return false;
	*ret_offset_bytes = sector * BLK_SECTOR_BYTES;
	return size_bytes <= limits->size_bytes - *ret_offset_bytes;
}

static uint8_t parse_transfer(const struct blk_limits *limits, uint64_t sector, uint64_t size_bytes,
                              struct blk_request *request)
{
	if (size_bytes % BLK_SECTOR_BYTES || size_bytes > BLK_REQUEST_BYTES_MAX ||
	    !locate(limits, sector, size_bytes, &request->offset_bytes))
		return VIRTIO_BLK_S_IOERR;
	request->size_bytes = size_bytes;
	return VIRTIO_BLK_S_OK;
}

static uint8_t parse_range_count(const struct blk_limits *limits, const struct blk_shape *shape,
                                 struct blk_request *request)
{
	const size_t count = shape->readable_bytes / BLK_RANGE_BYTES;
	const size_t count_max = request->kind == BLK_DISCARD ? BLK_RANGES_MAX : 1;

	if (shape->writable_bytes || shape->readable_bytes % BLK_RANGE_BYTES || !count ||
	    count > count_max || limits->readonly)
		return VIRTIO_BLK_S_IOERR;
	request->range_count = (unsigned int)count;
	return VIRTIO_BLK_S_OK;
}

static bool find_kind(uint32_t type, uint64_t features, enum blk_kind *ret_kind)
{
	static const struct {
		uint32_t type;
		enum blk_kind kind;
		uint64_t feature; /* that it takes; 0: none */
	} kinds[] = {
		{ VIRTIO_BLK_T_IN, BLK_READ, 0 },
		{ VIRTIO_BLK_T_OUT, BLK_WRITE, 0 },
		{ VIRTIO_BLK_T_FLUSH, BLK_FLUSH, 0 }, /* of who did not ask: it does no harm */
		{ VIRTIO_BLK_T_GET_ID, BLK_GET_ID, 0 },
		{ VIRTIO_BLK_T_DISCARD, BLK_DISCARD, BLK_FEATURE(DISCARD) },
		{ VIRTIO_BLK_T_WRITE_ZEROES, BLK_WRITE_ZEROES, BLK_FEATURE(WRITE_ZEROES) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].type != type || (kinds[i].feature & ~features))
			continue;
		*ret_kind = kinds[i].kind;
		return true;
	}
	return false;
}

uint8_t blk_request_parse(const uint8_t header[BLK_HEADER_BYTES], const struct blk_shape *shape,
                          const struct blk_limits *limits, struct blk_request *ret_request)
{
	const uint64_t sector = load_le64(header + offsetof(struct virtio_blk_outhdr, sector));

	*ret_request = (struct blk_request){ .size_bytes = 0 };
	if (!find_kind(load_le32(header), limits->features, &ret_request->kind))
		return VIRTIO_BLK_S_UNSUPP;
	switch (ret_request->kind) {
	case BLK_READ:
		if (shape->readable_bytes)
			return VIRTIO_BLK_S_IOERR;
		return parse_transfer(limits, sector, shape->writable_bytes, ret_request);
	case BLK_WRITE:
		if (shape->writable_bytes || limits->readonly)
			return VIRTIO_BLK_S_IOERR;
		return parse_transfer(limits, sector, shape->readable_bytes, ret_request);
	case BLK_FLUSH:
		return shape->readable_bytes || shape->writable_bytes ? VIRTIO_BLK_S_IOERR
		                                                      : VIRTIO_BLK_S_OK;
	case BLK_GET_ID:
		return shape->readable_bytes || shape->writable_bytes != VIRTIO_BLK_ID_BYTES
		               ? VIRTIO_BLK_S_IOERR
		               : VIRTIO_BLK_S_OK;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		break;
	}
	return parse_range_count(limits, shape, ret_request);
}

static uint32_t range_flags(const uint8_t *bytes)
{
	return load_le32(bytes + offsetof(struct virtio_blk_discard_write_zeroes, flags));
}

static bool parse_range(const uint8_t *bytes, const struct blk_limits *limits, uint32_t sectors_max,
                        struct blk_range *range)
{
	const uint32_t sectors =
		load_le32(bytes + offsetof(struct virtio_blk_discard_write_zeroes, num_sectors));

	*range = (struct blk_range){
		.size_bytes = (uint64_t)sectors * BLK_SECTOR_BYTES,
		.unmap = range_flags(bytes) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
	};
	return sectors <= sectors_max &&
	       locate(limits, load_le64(bytes), range->size_bytes, &range->offset_bytes);
}

uint8_t blk_ranges_parse(const uint8_t *bytes, const struct blk_request *request,
                         const struct blk_limits *limits, struct blk_range *ranges,
                         unsigned int *ret_count)
{
	const bool zeroes = request->kind == BLK_WRITE_ZEROES;
	const uint32_t flags_known = zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
	const uint32_t sectors_max = zeroes ? BLK_ZEROES_SECTORS_MAX : BLK_DISCARD_SECTORS_MAX;
	unsigned int count = 0;

	for (unsigned int i = 0; i < request->range_count; i++)
		if (range_flags(bytes + (size_t)i * BLK_RANGE_BYTES) & ~flags_known)
			return VIRTIO_BLK_S_UNSUPP;
	for (unsigned int i = 0; i < request->range_count; i++) {
		if (!parse_range(bytes + (size_t)i * BLK_RANGE_BYTES, limits, sectors_max,
		                 &ranges[count]))
			return VIRTIO_BLK_S_IOERR;
		count += ranges[count].size_bytes != 0;
	}
	*ret_count = count;
	return VIRTIO_BLK_S_OK;
}
