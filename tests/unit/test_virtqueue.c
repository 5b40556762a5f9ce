/* SPDX-License-Identifier: Apache-2.0 */
/* The device side of split virtqueues against VIRTIO 1.2, 2.7. */
/* fakes: test_driver hostile_chains */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/virtqueue.h"
#include "hostile_chains.h"
#include "virtqueue_fixture.h"

#define FAR_GPA   (8 * GIB)
#define FAR_BYTES (4 * GIB)

/* --- enabling --- */

static void enable_judges_configuration(void **state)
{
	static const struct {
		const char *what;
		struct virtqueue_config config;
		int ret;
	} rows[] = {
		{ "2.7: a power of two", { 24, 0, 0x1000, 0x2000, false, false }, -EINVAL },
		{ "no entries", { 0, 0, 0x1000, 0x2000, false, false }, -EINVAL },
		{ "larger than offered", { 128, 0, 0x1000, 0x2000, false, false }, -EINVAL },
		{ "descriptors at 8", { 16, 8, 0x1000, 0x2000, false, false }, -EINVAL },
		{ "available ring at 1", { 16, 0, 0x1001, 0x2000, false, false }, -EINVAL },
		{ "used ring at 2", { 16, 0, 0x1000, 0x2002, false, false }, -EINVAL },
		{ "alignments as in 2.7", { 16, 16, 0x1002, 0x2004, false, false }, 0 },
		{ "one entry", { 1, 0, 0x1000, 0x2000, false, false }, 0 },
		{ "descriptors outside", { 16, END_GPA, 0x1000, 0x2000, false, false }, -EFAULT },
		{ "available outside", { 16, 0, END_GPA, 0x2000, false, false }, -EFAULT },
		{ "used outside", { 16, 0, 0x1000, END_GPA, false, false }, -EFAULT },
		{ "descriptors wrap",
		  { 16, UINT64_MAX - 15, 0x1000, 0x2000, false, false },
		  -EFAULT },
		{ "descriptors to the last byte",
		  { 16, END_GPA - 256, 0x1000, 0x2000, false, false },
		  0 },
		{ "descriptors one too far",
		  { 16, END_GPA - 240, 0x1000, 0x2000, false, false },
		  -EFAULT },
		{ "available to the last byte",
		  { 16, 0, END_GPA - 4 - 32, 0x2000, false, false },
		  0 },
		{ "no room for used_event",
		  { 16, 0, END_GPA - 4 - 32, 0x2000, false, true },
		  -EFAULT },
		{ "room for used_event", { 16, 0, END_GPA - 6 - 32, 0x2000, false, true }, 0 },
		{ "used to the last byte", { 16, 0, 0x1000, END_GPA - 4 - 128, false, false }, 0 },
		{ "no room for avail_event",
		  { 16, 0, 0x1000, END_GPA - 4 - 128, false, true },
		  -EFAULT },
	};
	struct fixture f;

	(void)state;
	set_up(&f, false, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		virtqueue_disable(f.vq);
		if (virtqueue_enable(f.vq, &rows[i].config) != rows[i].ret)
			fail_msg("%s", rows[i].what);
		assert_int_equal(virtqueue_is_enabled(f.vq), rows[i].ret == 0);
	}
	tear_down(&f);
}

static void nothing_happens_on_a_disabled_queue(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	offer(&f);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	virtqueue_disable(f.vq);
	virtqueue_push(f.vq, &chain);
	virtqueue_flush(f.vq);
	assert_false(virtqueue_should_notify(f.vq));
	assert_false(virtqueue_enable_notification(f.vq));
	virtqueue_disable_notification(f.vq);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
	assert_int_equal(test_ring_used_index(&f.ring), 0);
	tear_down(&f);
}

/* --- chains --- */

static void chain_is_read_and_written_in_pieces(void **state)
{
	struct fixture f;
	struct test_descriptor descriptors[] = {
		{ SCRATCH_GPA, 3, 0, 0 },
		{ SCRATCH_GPA + 0x100, 0, 0, 0 },
		{ SCRATCH_GPA + 0x200, 5, 0, 0 },
		{ SCRATCH_GPA + 0x300, 2, VRING_DESC_F_WRITE, 0 },
		{ SCRATCH_GPA + 0x400, 6, VRING_DESC_F_WRITE, 0 },
	};
	struct virtq_chain chain;
	uint8_t bytes[8] = { 0 };
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f, false, false);
	assert_int_equal(gmem_write(f.memory, SCRATCH_GPA, "abc", 3), 0);
	assert_int_equal(gmem_write(f.memory, SCRATCH_GPA + 0x200, "defgh", 5), 0);
	f.ring.next_descriptor = 6; /* the chain goes round the table's end */
	test_ring_offer(&f.ring, test_ring_chain(&f.ring, descriptors, 5));
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(chain.head_index, 6);
	assert_int_equal(chain.readable_count, 2);
	assert_int_equal(chain.writable_count, 2);
	assert_int_equal(chain.segment_gpas[3], SCRATCH_GPA + 0x400);
	assert_int_equal(virtq_chain_readable_bytes(&chain), 8);
	assert_int_equal(virtq_chain_writable_bytes(&chain), 8);

	assert_int_equal(virtq_chain_read(&chain, bytes, 9), -EMSGSIZE);
	assert_int_equal(virtq_chain_read(&chain, bytes, 2), 0);
	assert_memory_equal(bytes, "ab", 2);
	assert_int_equal(virtq_chain_read(&chain, bytes, 6), 0);
	assert_memory_equal(bytes, "cdefgh", 6);
	assert_int_equal(virtq_chain_read(&chain, bytes, 1), -EMSGSIZE);
	assert_int_equal(virtq_chain_read(&chain, bytes, 0), 0);

	assert_int_equal(virtq_chain_write(&chain, "123456789", 9), -EMSGSIZE);
	assert_int_equal(gmem_read(f.memory, SCRATCH_GPA + 0x300, bytes, 2), 0);
	assert_memory_equal(bytes, "\0\0", 2);
	assert_int_equal(virtq_chain_write(&chain, "1", 1), 0);
	assert_int_equal(virtq_chain_write(&chain, "2345", 4), 0);
	assert_int_equal(gmem_read(f.memory, SCRATCH_GPA + 0x300, bytes, 2), 0);
	assert_memory_equal(bytes, "12", 2);
	assert_int_equal(gmem_read(f.memory, SCRATCH_GPA + 0x400, bytes, 6), 0);
	assert_memory_equal(bytes, "345\0\0\0", 6);

	virtqueue_push(f.vq, &chain);
	assert_int_equal(test_ring_used_index(&f.ring), 0); /* not before the flush */
	virtqueue_flush(f.vq);
	assert_true(test_ring_take_used(&f.ring, &head, &size_bytes));
	assert_int_equal(head, 6);
	assert_int_equal(size_bytes, 5); /* 2.7.8: what was written */
	tear_down(&f);
}

static void writable_segments_are_lent(void **state)
{
	struct fixture f;
	struct test_descriptor descriptors[] = {
		{ SCRATCH_GPA, 4, 0, 0 },
		{ SCRATCH_GPA + 0x100, 4, VRING_DESC_F_WRITE, 0 },
		{ SCRATCH_GPA + 0x200, 4, VRING_DESC_F_WRITE, 0 },
	};
	struct virtq_chain chain;
	struct iovec *segments;
	unsigned int count;
	uint8_t byte;

	(void)state;
	set_up(&f, false, false);
	test_ring_offer(&f.ring, test_ring_chain(&f.ring, descriptors, 3));
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	segments = virtq_chain_writable_segments(&chain, &count);
	assert_int_equal(count, 2);
	assert_ptr_equal(segments[1].iov_base, gmem_span(f.memory, SCRATCH_GPA + 0x200, 4));
	virtq_chain_note_written(&chain, 5);
	assert_int_equal(virtq_chain_writable_bytes(&chain), 3);
	assert_int_equal(virtq_chain_write(&chain, "x", 1), 0);
	assert_int_equal(gmem_read(f.memory, SCRATCH_GPA + 0x201, &byte, 1), 0);
	assert_int_equal(byte, 'x');
	tear_down(&f);
}

static void buffer_in_two_regions_has_two_segments(void **state)
{
	struct fixture f;
	struct virtq_chain chain;
	uint8_t bytes[8];

	(void)state;
	set_up(&f, false, false);
	test_ring_offer_buffer(&f.ring, HIGH_GPA - 3, 8, true);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(chain.writable_count, 2);
	assert_int_equal(chain.segments[0].iov_len, 3);
	assert_int_equal(chain.segment_gpas[1], HIGH_GPA);
	assert_int_equal(chain.segments[1].iov_len, 5);
	assert_int_equal(virtq_chain_write(&chain, "spanning", 8), 0);
	assert_int_equal(gmem_read(f.memory, HIGH_GPA - 3, bytes, 8), 0);
	assert_memory_equal(bytes, "spanning", 8);
	tear_down(&f);
}

/* 2.7.5.3.2: any number of plain descriptors, then at most one table. */
static void indirect_table_follows_plain_descriptors(void **state)
{
	struct fixture f;
	gpa_t table_gpa = SCRATCH_GPA + 0x1000;
	struct test_descriptor descriptors[] = {
		{ SCRATCH_GPA, 1, 0, 0 },
		{ SCRATCH_GPA + 0x10, 2, 0, 0 },
		{ table_gpa, 3 * 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0 },
	};
	struct virtq_chain chain;

	(void)state;
	set_up(&f, true, false);
	/* Its entries are linked by next, not by place. */
	test_write_descriptor(f.memory, table_gpa, 0,
	                      (struct test_descriptor){ SCRATCH_GPA, 4, VRING_DESC_F_NEXT, 2 });
	test_write_descriptor(f.memory, table_gpa, 1,
	                      (struct test_descriptor){ SCRATCH_GPA, 16, VRING_DESC_F_WRITE, 0 });
	test_write_descriptor(f.memory, table_gpa, 2,
	                      (struct test_descriptor){
				      SCRATCH_GPA, 8, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1 });
	test_ring_offer(&f.ring, test_ring_chain(&f.ring, descriptors, 3));
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(chain.readable_count, 3);
	assert_int_equal(virtq_chain_readable_bytes(&chain), 7);
	assert_int_equal(chain.writable_count, 2);
	assert_int_equal(virtq_chain_writable_bytes(&chain), 24);
	tear_down(&f);
}

/* 2.7.5.3.1: not without the feature. */
static void indirect_needs_its_feature(void **state)
{
	struct fixture f;
	struct test_descriptor descriptor = { SCRATCH_GPA, 16, VRING_DESC_F_INDIRECT, 0 };
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	test_ring_offer(&f.ring, test_ring_chain(&f.ring, &descriptor, 1));
	assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
	tear_down(&f);
}

/* 2.7.5.2: no more than 2^32 bytes, whatever memory there is. */
static void chain_of_4_gib_is_the_longest(void **state)
{
	static const struct {
		uint32_t last_bytes;
		int ret;
	} rows[] = { { 2, 1 }, { 3, -EPROTO } };
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct test_descriptor descriptors[] = {
			{ FAR_GPA, UINT32_MAX - 1, 0, 0 },
			{ FAR_GPA, rows[i].last_bytes, VRING_DESC_F_WRITE, 0 },
		};
		struct virtq_chain chain;

		set_up(&f, false, false);
		gmem_unlock_shared(f.memory);
		assert_int_equal(gmem_add_region(f.memory, FAR_GPA, FAR_BYTES, NULL, NULL), 0);
		gmem_lock_shared(f.memory);
		test_ring_offer(&f.ring, test_ring_chain(&f.ring, descriptors, 2));
		assert_int_equal(virtqueue_pop(f.vq, &chain), rows[i].ret);
		tear_down(&f);
	}
}

static void hostile_chains_break_the_queue_alone(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, true, false);
	for (size_t i = 0; i < hostile_chain_count; i++) {
		struct hostile_queue queue = { .scratch_gpa = SCRATCH_GPA, .outside_gpa = END_GPA };
		struct virtqueue_config config = test_ring_config(&f.ring, true, false);
		int expected = hostile_chains[i].is_broken ? -EPROTO : 1;

		test_ring_init(&queue.ring, f.memory, RING_GPA, QUEUE_SIZE);
		assert_int_equal(virtqueue_enable(f.vq, &config), 0);
		hostile_chains[i].build(&queue);
		if (virtqueue_pop(f.vq, &chain) != expected)
			fail_msg("%s", hostile_chains[i].name);
		if (expected > 0)
			continue;
		/* Nothing mends it but a reset. */
		test_ring_init(&f.ring, f.memory, RING_GPA, QUEUE_SIZE);
		offer(&f);
		assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
		virtqueue_disable(f.vq);
		assert_int_equal(virtqueue_enable(f.vq, &config), 0);
		assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	}
	tear_down(&f);
}

/* --- rings --- */

static void chains_are_out_together_and_pushed_in_any_order(void **state)
{
	static const unsigned int order[QUEUE_SIZE] = { 3, 0, 7, 1, 6, 2, 5, 4 };
	struct fixture f;
	struct virtq_chain chains[QUEUE_SIZE], extra;
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f, false, false);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		offer(&f);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		assert_int_equal(virtqueue_pop(f.vq, &chains[i]), 1);
	assert_int_equal(virtqueue_pop(f.vq, &extra), 0);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		chains[order[i]].written_bytes = order[i];
		virtqueue_push(f.vq, &chains[order[i]]);
	}
	virtqueue_flush(f.vq);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		assert_true(test_ring_take_used(&f.ring, &head, &size_bytes));
		assert_int_equal(head, order[i]);
		assert_int_equal(size_bytes, order[i]);
	}
	assert_false(test_ring_take_used(&f.ring, &head, &size_bytes));
	tear_down(&f);
}

/* More chains out than there are descriptors: heads were offered twice. */
static void no_more_chains_out_than_the_queue_has(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	for (unsigned int i = 0; i <= QUEUE_SIZE; i++) {
		offer(&f);
		assert_int_equal(virtqueue_pop(f.vq, &chain), i < QUEUE_SIZE ? 1 : -EPROTO);
	}
	tear_down(&f);
}

static void indexes_wrap(void **state)
{
	struct fixture f;
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f, false, true);
	for (unsigned int i = 0; i < 70000; i++) {
		uint32_t offered = offer(&f);

		pass_one(&f);
		assert_true(test_ring_take_used(&f.ring, &head, &size_bytes));
		assert_int_equal(head, offered);
	}
	assert_int_equal(test_ring_used_index(&f.ring), (uint16_t)70000);
	tear_down(&f);
}

/* A whole queue's worth of new buffers is not a jump. */
static void full_ring_is_no_jump(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		test_ring_offer(&f.ring, 0);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	tear_down(&f);
}

/* --- notifications --- */

/* Passes buffers until the used index is `index`. */
static void advance_to(struct fixture *f, uint16_t index)
{
	while (test_ring_used_index(&f->ring) != index) {
		offer(f);
		pass_one(f);
		virtqueue_should_notify(f->vq);
	}
}

/* 2.7.7.2: notify when an entry was written at used_event, that is when it lies in [old, new). */
static void event_index_tells_when_to_notify(void **state)
{
	static const struct {
		uint16_t old_index, count, used_event;
		bool notify;
	} rows[] = {
		{ 0, 1, 0, true },         { 0, 1, 1, false },     { 0, 1, UINT16_MAX, false },
		{ 0, 3, 2, true },         { 0, 3, 3, false },     { 5, 1, 4, false },
		{ 5, 1, 5, true },         { 5, 4, 8, true },      { 5, 4, 9, false },
		{ 65535, 1, 65535, true }, { 65535, 1, 0, false }, { 65534, 4, 0, true },
		{ 65534, 4, 1, true },     { 65534, 4, 2, false }, { 65534, 4, 65533, false },
		{ 0, 0, 0, false },
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_up(&f, false, true);
		advance_to(&f, rows[i].old_index);
		test_ring_set_used_event(&f.ring, rows[i].used_event);
		test_ring_set_avail_flags(&f.ring, VRING_AVAIL_F_NO_INTERRUPT); /* ignored */
		for (unsigned int n = 0; n < rows[i].count; n++) {
			offer(&f);
			pass_one(&f);
		}
		if (virtqueue_should_notify(f.vq) != rows[i].notify)
			fail_msg("row %zu", i);
		assert_false(virtqueue_should_notify(f.vq)); /* nothing new since */
		tear_down(&f);
	}
}

/* 2.7.7.2, without the event index. */
static void flag_tells_whether_to_notify(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f, false, false);
	assert_false(virtqueue_should_notify(f.vq));
	offer(&f);
	pass_one(&f);
	assert_true(virtqueue_should_notify(f.vq));
	assert_false(virtqueue_should_notify(f.vq));
	test_ring_set_avail_flags(&f.ring, VRING_AVAIL_F_NO_INTERRUPT);
	offer(&f);
	pass_one(&f);
	assert_false(virtqueue_should_notify(f.vq));
	tear_down(&f);
}

/* 2.7.10: an empty pop leaves avail_event where the next buffer comes. */
static void driver_is_asked_to_notify_when_empty(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, true);
	offer(&f);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(test_ring_avail_event(&f.ring), 0);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
	assert_int_equal(test_ring_avail_event(&f.ring), 2);
	tear_down(&f);
}

static void device_declines_notifications(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, true);
	offer(&f);
	virtqueue_disable_notification(f.vq);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
	assert_int_equal(test_ring_avail_event(&f.ring), 0); /* left behind */
	offer(&f);
	assert_true(virtqueue_enable_notification(f.vq)); /* of that one it will not hear */
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_false(virtqueue_enable_notification(f.vq));
	assert_int_equal(test_ring_avail_event(&f.ring), 2);
	tear_down(&f);

	set_up(&f, false, false);
	virtqueue_disable_notification(f.vq);
	assert_int_equal(test_ring_used_flags(&f.ring), VRING_USED_F_NO_NOTIFY);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
	assert_int_equal(test_ring_used_flags(&f.ring), VRING_USED_F_NO_NOTIFY);
	assert_false(virtqueue_enable_notification(f.vq));
	assert_int_equal(test_ring_used_flags(&f.ring), 0);
	tear_down(&f);
}

/* --- memory that changes --- */

static void replace_low_region(struct fixture *f)
{
	gmem_unlock_shared(f->memory);
	assert_int_equal(gmem_remove_region(f->memory, 0), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, LOW_BYTES, NULL, NULL), 0);
	gmem_lock_shared(f->memory);
}

static void rings_follow_memory(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	offer(&f);
	pass_one(&f);
	/* The same addresses, other memory: ASan and the used index would tell. */
	replace_low_region(&f);
	test_ring_init(&f.ring, f.memory, RING_GPA, QUEUE_SIZE);
	test_ring_set_avail_index(&f.ring, 1);
	offer(&f);
	pass_one(&f);
	assert_int_equal(test_ring_used_index(&f.ring), 2);

	gmem_unlock_shared(f.memory);
	assert_int_equal(gmem_remove_region(f.memory, 0), 0);
	gmem_lock_shared(f.memory);
	assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
	tear_down(&f);
}

static void push_survives_the_loss_of_its_ring(void **state)
{
	struct fixture f;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, true);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	gmem_unlock_shared(f.memory);
	assert_int_equal(gmem_remove_region(f.memory, 0), 0);
	gmem_lock_shared(f.memory);
	virtqueue_push(f.vq, &chain);
	virtqueue_flush(f.vq);
	assert_false(virtqueue_should_notify(f.vq));
	assert_false(virtqueue_enable_notification(f.vq));
	virtqueue_disable_notification(f.vq);
	assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
	tear_down(&f);
}

/* --- what the device writes is told to who watches --- */

struct heard {
	struct gmem_watcher watcher;
	uint64_t ring_writes, others;
	gpa_t gpa;
	uint64_t size_bytes;
};

static void hear(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	struct heard *heard = container_of(watcher, struct heard, watcher);

	if (gpa >= RING_GPA && gpa < SCRATCH_GPA) {
		heard->ring_writes++;
		return;
	}
	heard->others++;
	heard->gpa = gpa;
	heard->size_bytes = size_bytes;
}

static void writes_are_told(void **state)
{
	struct heard heard = { .watcher.written = hear };
	uint64_t word = 0, ring_writes;
	struct virtq_chain chain;
	struct fixture f;

	(void)state;
	set_up(&f, false, false);
	gmem_unlock_shared(f.memory);
	assert_int_equal(gmem_watch_writes(f.memory, &heard.watcher), 0);
	gmem_lock_shared(f.memory);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(heard.others, 0); /* being lent a buffer is not writing to it */
	assert_int_equal(virtq_chain_write(&chain, &word, 3), 0);
	assert_int_equal(heard.gpa, SCRATCH_GPA);
	assert_int_equal(heard.size_bytes, 3);
	virtq_chain_note_written(&chain, 5); /* written through an iovec */
	assert_int_equal(heard.gpa, SCRATCH_GPA + 3);
	assert_int_equal(heard.size_bytes, 5);
	assert_int_equal(heard.others, 2);
	ring_writes = heard.ring_writes;
	virtqueue_push(f.vq, &chain);
	assert_int_equal(heard.ring_writes, ring_writes + 1);
	virtqueue_flush(f.vq);
	assert_int_equal(heard.ring_writes, ring_writes + 2);
	virtqueue_disable_notification(f.vq);
	assert_int_equal(heard.ring_writes, ring_writes + 3);
	virtqueue_enable_notification(f.vq);
	assert_int_equal(heard.ring_writes, ring_writes + 4);
	/* Reading is not writing. */
	test_ring_offer_buffer(&f.ring, SCRATCH_GPA, 16, false);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(virtq_chain_read(&chain, &word, 8), 0);
	assert_int_equal(heard.others, 2);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enable_judges_configuration),
		cmocka_unit_test(nothing_happens_on_a_disabled_queue),
		cmocka_unit_test(chain_is_read_and_written_in_pieces),
		cmocka_unit_test(writable_segments_are_lent),
		cmocka_unit_test(buffer_in_two_regions_has_two_segments),
		cmocka_unit_test(indirect_table_follows_plain_descriptors),
		cmocka_unit_test(indirect_needs_its_feature),
		cmocka_unit_test(chain_of_4_gib_is_the_longest),
		cmocka_unit_test(hostile_chains_break_the_queue_alone),
		cmocka_unit_test(chains_are_out_together_and_pushed_in_any_order),
		cmocka_unit_test(no_more_chains_out_than_the_queue_has),
		cmocka_unit_test(indexes_wrap),
		cmocka_unit_test(full_ring_is_no_jump),
		cmocka_unit_test(event_index_tells_when_to_notify),
		cmocka_unit_test(flag_tells_whether_to_notify),
		cmocka_unit_test(driver_is_asked_to_notify_when_empty),
		cmocka_unit_test(device_declines_notifications),
		cmocka_unit_test(rings_follow_memory),
		cmocka_unit_test(push_survives_the_loss_of_its_ring),
		cmocka_unit_test(writes_are_told),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
