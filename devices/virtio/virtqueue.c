/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device side of split virtqueues.
 *
 * DOC: virtqueue
 *
 * Owns every access to descriptor tables and rings, and with them every memory barrier of the data
 * path. The guest may change any of that memory at any time, so each value is loaded once, into a
 * local, and judged there.
 *
 *	driver: avail->idx  ------>  avail_index   next_avail ... what pop takes next
 *	                             (loaded)      in_flight .... popped, not yet pushed
 *	driver: used->idx   <------  published     next_used .... what push fills next
 *
 * Host pointers to the three areas are good for one generation of guest memory; every entry point
 * translates them again when the generation moved on, and a ring that is gone breaks the queue.
 *
 * A broken queue (its driver left the rules of VIRTIO 1.2, 2.7) pops nothing more until it is
 * disabled. Limits: a chain has at most queue-size descriptors, those of its indirect table
 * included (2.7.5.3.1), an indirect table as many entries, a chain 2^32 bytes (2.7.5.2), and a
 * queue queue-size chains in flight. A descriptor of length 0 is allowed, as nothing forbids it: it
 * counts as a descriptor and adds no segment.
 *
 * A ring that is lent is the kernel's alone: nothing here touches it until it comes back. Then the
 * available index is what the borrower says, and the used index what the ring holds, which counts
 * only if no more than queue-size chains lie between the two. Chains that the borrower took and
 * never gave back stay out, as ours would.
 *
 * Threads: the caller's; see the header.
 */
#include "ebb/virtqueue.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_BYTES_MAX (UINT64_C(1) << 32)

/* Borders of regions may split a descriptor: so many in a chain of 4 GiB, in chunks of at least 128
 * MiB and some regions more. */
#define SPLITS_MAX 64

struct virtqueue {
	struct guest_memory *memory;
	uint16_t size_max;
	bool enabled, broken, lent;
	bool notification; /* the device wants to hear of available buffers */
	struct virtqueue_config config;
	uint64_t generation; /* of guest memory, that these belong to; 0: none */
	struct vring_desc *descriptors;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t next_avail, avail_index;
	uint16_t next_used, published, notified; /* published when should_notify was last asked */
	uint16_t in_flight;
	unsigned int segments_max;
	struct iovec *segments;
	gpa_t *segment_gpas;
	struct vring_desc *indirect; /* snapshot of one table, size_max entries */
};

/* The event words lie behind the rings (2.7.6, 2.7.8). */
static uint16_t *used_event(struct virtqueue *vq)
{
	return &vq->avail->ring[vq->config.size];
}

static uint16_t *avail_event(struct virtqueue *vq)
{
	return (uint16_t *)(void *)&vq->used->ring[vq->config.size];
}

static uint16_t load_u16(const uint16_t *from)
{
	return le16toh(__atomic_load_n(from, __ATOMIC_RELAXED));
}

static void store_u16(uint16_t *to, uint16_t value)
{
	__atomic_store_n(to, htole16(value), __ATOMIC_RELAXED);
}

/* Of the used ring, event word and all, something was written. */
static void note_used_written(struct virtqueue *vq)
{
	gmem_note_write(vq->memory, vq->config.device_gpa,
	                offsetof(struct vring_used, ring) +
	                        sizeof(struct vring_used_elem) * vq->config.size +
	                        sizeof(uint16_t));
}

/* Everything the driver wrote before it moved its index is visible after this. */
static uint16_t load_avail_index(const struct virtqueue *vq)
{
	return le16toh(__atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE));
}

int virtqueue_create(struct guest_memory *memory, uint16_t size_max, struct virtqueue **ret_queue)
{
	struct virtqueue *vq;

	assert(is_power_of_two(size_max) && size_max <= VIRTQUEUE_SIZE_MAX);
	vq = calloc(1, sizeof(*vq));
	if (!vq)
		return -ENOMEM;
	vq->memory = memory;
	vq->size_max = size_max;
	vq->segments_max = size_max + SPLITS_MAX;
	vq->segments = calloc(vq->segments_max, sizeof(*vq->segments));
	vq->segment_gpas = calloc(vq->segments_max, sizeof(*vq->segment_gpas));
	vq->indirect = calloc(size_max, sizeof(*vq->indirect));
	if (!vq->segments || !vq->segment_gpas || !vq->indirect) {
		virtqueue_destroy(vq);
		return -ENOMEM;
	}
	*ret_queue = vq;
	return 0;
}

void virtqueue_destroy(struct virtqueue *vq)
{
	if (!vq)
		return;
	free(vq->segments);
	free(vq->segment_gpas);
	free(vq->indirect);
	free(vq);
}

uint16_t virtqueue_size_max(const struct virtqueue *vq)
{
	return vq->size_max;
}

/* What the three areas take (2.7). */
static size_t descriptor_bytes(const struct virtqueue *vq)
{
	return sizeof(struct vring_desc) * vq->config.size;
}

static size_t driver_bytes(const struct virtqueue *vq)
{
	return offsetof(struct vring_avail, ring) + sizeof(uint16_t) * vq->config.size +
	       (vq->config.event_index ? sizeof(uint16_t) : 0);
}

static size_t device_bytes(const struct virtqueue *vq)
{
	return offsetof(struct vring_used, ring) +
	       sizeof(struct vring_used_elem) * vq->config.size +
	       (vq->config.event_index ? sizeof(uint16_t) : 0);
}

/* Has pointers to the areas that are good now. -EFAULT. */
static int map_rings(struct virtqueue *vq)
{
	const struct virtqueue_config *config = &vq->config;
	uint64_t generation = gmem_generation(vq->memory);

	if (vq->generation == generation)
		return 0;
	vq->generation = 0;
	vq->descriptors = gmem_span(vq->memory, config->descriptor_gpa, descriptor_bytes(vq));
	vq->avail = gmem_span(vq->memory, config->driver_gpa, driver_bytes(vq));
	vq->used = gmem_span(vq->memory, config->device_gpa, device_bytes(vq));
	if (!vq->descriptors || !vq->avail || !vq->used)
		return -EFAULT;
	vq->generation = generation;
	return 0;
}

/* Whether the rings may be touched at all. */
static bool is_usable(struct virtqueue *vq)
{
	if (!vq->enabled || vq->lent)
		return false;
	if (map_rings(vq)) {
		vq->broken = true;
		return false;
	}
	return true;
}

int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config)
{
	int err;

	if (!is_power_of_two(config->size) || config->size > vq->size_max ||
	    !is_aligned(config->descriptor_gpa, VRING_DESC_ALIGN_SIZE) ||
	    !is_aligned(config->driver_gpa, VRING_AVAIL_ALIGN_SIZE) ||
	    !is_aligned(config->device_gpa, VRING_USED_ALIGN_SIZE))
		return -EINVAL;
	virtqueue_disable(vq);
	vq->config = *config;
	gmem_lock_shared(vq->memory);
	err = map_rings(vq);
	gmem_unlock_shared(vq->memory);
	if (err)
		return err;
	vq->enabled = true;
	vq->notification = true;
	return 0;
}

void virtqueue_disable(struct virtqueue *vq)
{
	vq->enabled = false;
	vq->broken = false;
	vq->lent = false;
	vq->generation = 0;
	vq->descriptors = NULL;
	vq->avail = NULL;
	vq->used = NULL;
	vq->next_avail = vq->avail_index = 0;
	vq->next_used = vq->published = vq->notified = 0;
	vq->in_flight = 0;
}

bool virtqueue_is_enabled(const struct virtqueue *vq)
{
	return vq->enabled;
}

/* One descriptor, read once, in the host's byte order. */
static struct vring_desc load_descriptor(const struct vring_desc *from)
{
	const uint64_t *words = (const uint64_t *)(const void *)from;
	uint64_t raw[2] = { __atomic_load_n(&words[0], __ATOMIC_RELAXED),
		            __atomic_load_n(&words[1], __ATOMIC_RELAXED) };
	struct vring_desc descriptor;

	memcpy(&descriptor, raw, sizeof(descriptor));
	descriptor.addr = le64toh(descriptor.addr);
	descriptor.len = le32toh(descriptor.len);
	descriptor.flags = le16toh(descriptor.flags);
	descriptor.next = le16toh(descriptor.next);
	return descriptor;
}

/* Adds a buffer to the chain, a segment for each region that it lies in. */
static int add_buffer(struct virtqueue *vq, struct virtq_chain *chain,
                      const struct vring_desc *descriptor)
{
	bool writable = descriptor->flags & VRING_DESC_F_WRITE;
	uint64_t left_bytes = descriptor->len;
	gpa_t gpa = descriptor->addr;

	if (chain->readable_bytes + chain->writable_bytes + left_bytes > CHAIN_BYTES_MAX)
		return -EPROTO;
	if (!writable && chain->writable_count)
		return -EPROTO; /* 2.7.4.2: readable ones come first */
	while (left_bytes) {
		unsigned int index = chain->readable_count + chain->writable_count;
		uint64_t part_bytes = left_bytes;
		void *hva = gmem_span_prefix(vq->memory, gpa, &part_bytes);

		if (!hva || index == vq->segments_max)
			return -EPROTO;
		vq->segments[index] = (struct iovec){ .iov_base = hva, .iov_len = part_bytes };
		vq->segment_gpas[index] = gpa;
		*(writable ? &chain->writable_count : &chain->readable_count) += 1;
		*(writable ? &chain->writable_bytes : &chain->readable_bytes) += part_bytes;
		gpa += part_bytes;
		left_bytes -= part_bytes;
	}
	return 0;
}

/* Copies the indirect table that a descriptor refers to; returns its number of entries (2.7.5.3).
 */
static int load_indirect_table(struct virtqueue *vq, const struct vring_desc *descriptor)
{
	uint32_t entries = descriptor->len / sizeof(*vq->indirect);

	if (!vq->config.indirect || (descriptor->flags & VRING_DESC_F_NEXT) || !entries ||
	    descriptor->len % sizeof(*vq->indirect) || entries > vq->config.size ||
	    gmem_read(vq->memory, descriptor->addr, vq->indirect, descriptor->len))
		return -EPROTO;
	return (int)entries;
}

static int load_chain(struct virtqueue *vq, struct virtq_chain *chain)
{
	const struct vring_desc *table = vq->descriptors;
	unsigned int table_size = vq->config.size, index = chain->head_index, length = 0;

	for (;;) {
		struct vring_desc descriptor;

		if (index >= table_size || length == vq->config.size)
			return -EPROTO;
		descriptor = load_descriptor(&table[index]);
		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			int entries = table == vq->indirect ? -EPROTO
			                                    : load_indirect_table(vq, &descriptor);
			if (entries < 0)
				return entries;
			table = vq->indirect;
			table_size = (unsigned int)entries;
			index = 0;
			continue;
		}
		length++;
		if (add_buffer(vq, chain, &descriptor))
			return -EPROTO;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			break;
		index = descriptor.next;
	}
	chain->writer.segment = chain->readable_count;
	return 0;
}

/* Whether there is a chain that was not taken: 1, 0, or -EPROTO. */
static int poll_avail(struct virtqueue *vq)
{
	if (vq->next_avail == vq->avail_index) {
		vq->avail_index = load_avail_index(vq);
		if ((uint16_t)(vq->avail_index - vq->next_avail) > vq->config.size)
			return -EPROTO;
	}
	return vq->next_avail != vq->avail_index;
}

static int take_chain(struct virtqueue *vq, struct virtq_chain *ret_chain)
{
	int got = poll_avail(vq);
	struct virtq_chain chain = { .segments = vq->segments,
		                     .segment_gpas = vq->segment_gpas,
		                     .generation = vq->generation,
		                     .memory = vq->memory };
	uint16_t head_index;

	/* Asking for notifications and looking again closes the gap between "empty" and "asked". */
	if (got == 0 && vq->notification && virtqueue_enable_notification(vq))
		got = poll_avail(vq);
	if (got <= 0)
		return got;
	head_index = load_u16(&vq->avail->ring[vq->next_avail & (vq->config.size - 1)]);
	if (vq->in_flight == vq->config.size)
		return -EPROTO;
	chain.head_index = head_index;
	if (load_chain(vq, &chain))
		return -EPROTO;
	vq->next_avail++;
	vq->in_flight++;
	*ret_chain = chain;
	return 1;
}

int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *ret_chain)
{
	int got;

	if (!vq->enabled || vq->lent)
		return 0;
	if (vq->broken || !is_usable(vq))
		return -EPROTO;
	got = take_chain(vq, ret_chain);
	vq->broken = got < 0;
	return got;
}

/* Moves forward through segments, copying if buf is not NULL; the caller has checked the length.
 * What the device writes, or wrote, is told to who watches. */
static void advance(const struct virtq_chain *chain, struct virtq_cursor *cursor, uint8_t *buf,
                    size_t size_bytes, bool to_guest)
{
	while (size_bytes) {
		const struct iovec *segment = &chain->segments[cursor->segment];
		uint8_t *hva = (uint8_t *)segment->iov_base + cursor->offset_bytes;
		size_t part_bytes = min_u64(size_bytes, segment->iov_len - cursor->offset_bytes);

		if (to_guest)
			gmem_note_write(chain->memory,
			                chain->segment_gpas[cursor->segment] + cursor->offset_bytes,
			                part_bytes);
		if (buf) {
			memcpy(to_guest ? hva : buf, to_guest ? buf : hva, part_bytes);
			buf += part_bytes;
		}
		size_bytes -= part_bytes;
		cursor->offset_bytes += part_bytes;
		if (cursor->offset_bytes == segment->iov_len) {
			cursor->segment++;
			cursor->offset_bytes = 0;
		}
	}
}

int virtq_chain_locate(struct virtq_chain *chain)
{
	const unsigned int end = chain->readable_count + chain->writable_count;
	uint64_t generation = gmem_generation(chain->memory);

	if (chain->generation == generation)
		return 0;
	for (unsigned int i = chain->reader.segment; i < end; i++) {
		struct iovec *segment = &chain->segments[i];

		segment->iov_base =
			gmem_span(chain->memory, chain->segment_gpas[i], segment->iov_len);
		if (!segment->iov_base)
			return -EFAULT;
	}
	chain->generation = generation;
	return 0;
}

int virtq_chain_read(struct virtq_chain *chain, void *buf, size_t size_bytes)
{
	if (size_bytes > virtq_chain_readable_bytes(chain))
		return -EMSGSIZE;
	advance(chain, &chain->reader, buf, size_bytes, false);
	chain->read_bytes += size_bytes;
	return 0;
}

int virtq_chain_write(struct virtq_chain *chain, const void *buf, size_t size_bytes)
{
	if (size_bytes > virtq_chain_writable_bytes(chain))
		return -EMSGSIZE;
	advance(chain, &chain->writer, (uint8_t *)(uintptr_t)buf, size_bytes, true);
	chain->written_bytes += size_bytes;
	return 0;
}

struct iovec *virtq_chain_writable_segments(struct virtq_chain *chain, unsigned int *ret_count)
{
	*ret_count = chain->writable_count;
	return chain->segments + chain->readable_count;
}

void virtq_chain_note_written(struct virtq_chain *chain, size_t size_bytes)
{
	assert(size_bytes <= virtq_chain_writable_bytes(chain));
	advance(chain, &chain->writer, NULL, size_bytes, true);
	chain->written_bytes += size_bytes;
}

void virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain)
{
	struct vring_used_elem *element;

	if (!vq->in_flight || !is_usable(vq))
		return;
	element = &vq->used->ring[vq->next_used & (vq->config.size - 1)];
	element->id = htole32(chain->head_index);
	element->len = htole32((uint32_t)chain->written_bytes);
	note_used_written(vq);
	vq->next_used++;
	vq->in_flight--;
}

void virtqueue_flush(struct virtqueue *vq)
{
	if (vq->published == vq->next_used || !is_usable(vq))
		return;
	/* 2.7.8.2: elements, and what they tell of, before the index. */
	__atomic_store_n(&vq->used->idx, htole16(vq->next_used), __ATOMIC_RELEASE);
	note_used_written(vq);
	vq->published = vq->next_used;
}

bool virtqueue_should_notify(struct virtqueue *vq)
{
	uint16_t before = vq->notified;

	if (vq->published == before || !is_usable(vq))
		return false;
	vq->notified = vq->published;
	/* The driver writes its wish and then looks at the used index; we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->config.event_index)
		return !(load_u16(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(load_u16(used_event(vq)), vq->published, before);
}

bool virtqueue_enable_notification(struct virtqueue *vq)
{
	if (!is_usable(vq))
		return false;
	vq->notification = true;
	if (vq->config.event_index)
		store_u16(avail_event(vq), vq->next_avail);
	else if (load_u16(&vq->used->flags))
		store_u16(&vq->used->flags, 0);
	note_used_written(vq);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load_avail_index(vq) != vq->next_avail;
}

void virtqueue_disable_notification(struct virtqueue *vq)
{
	vq->notification = false;
	/* With the event index, leaving avail_event behind is enough. */
	if (!is_usable(vq) || vq->config.event_index)
		return;
	store_u16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
	note_used_written(vq);
}

/* --- lending --- */

int virtqueue_lend(struct virtqueue *vq, struct virtqueue_loan *ret_loan)
{
	int result;

	if (!vq->enabled)
		return -ENOTCONN;
	if (vq->lent)
		return -EALREADY;
	if (vq->broken)
		return -EPROTO;
	if (vq->in_flight || vq->published != vq->next_used)
		return -EBUSY;
	gmem_lock_shared(vq->memory);
	result = map_rings(vq);
	gmem_unlock_shared(vq->memory);
	if (result < 0)
		return result;
	vq->lent = true;
	*ret_loan = (struct virtqueue_loan){
		.descriptors = vq->descriptors,
		.driver_area = vq->avail,
		.device_area = vq->used,
		.descriptor_bytes = descriptor_bytes(vq),
		.driver_bytes = driver_bytes(vq),
		.device_bytes = device_bytes(vq),
		.size = vq->config.size,
		.next_avail = vq->next_avail,
	};
	return 0;
}

/* Shared lock held. */
static int read_back(struct virtqueue *vq, uint16_t next_avail)
{
	uint16_t used_index;

	if (map_rings(vq))
		return -EFAULT;
	used_index = load_u16(&vq->used->idx);
	if ((uint16_t)(next_avail - used_index) > vq->config.size)
		return -EPROTO;
	vq->next_avail = vq->avail_index = next_avail;
	vq->next_used = vq->published = vq->notified = used_index;
	vq->in_flight = (uint16_t)(next_avail - used_index);
	return 0;
}

int virtqueue_take_back(struct virtqueue *vq, uint16_t next_avail)
{
	int result;

	if (!vq->lent)
		return 0;
	vq->lent = false;
	gmem_lock_shared(vq->memory);
	result = read_back(vq, next_avail);
	gmem_unlock_shared(vq->memory);
	vq->broken = result < 0;
	return result;
}

bool virtqueue_is_lent(const struct virtqueue *vq)
{
	return vq->lent;
}
