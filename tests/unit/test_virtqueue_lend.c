/* SPDX-License-Identifier: Apache-2.0 */
/* A virtqueue's ring that is lent, as to vhost, and comes back. */
/* fakes: test_driver */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "virtqueue_fixture.h"

/* What the kernel does with a ring: takes, gives back, all by host addresses. */
static void borrower_serves(const struct virtqueue_loan *loan, uint16_t *next_avail,
                            unsigned int count)
{
	struct vring_avail *avail = loan->driver_area;
	struct vring_used *used = loan->device_area;

	for (; count; count--) {
		uint16_t slot = *next_avail % loan->size;

		used->ring[slot] = (struct vring_used_elem){ .id = avail->ring[slot], .len = 7 };
		used->idx++;
		*next_avail += 1;
	}
}

/* It comes back where the borrower left off, and what was not served is served here. */
static void lent_ring_goes_on_where_it_was(void **state)
{
	struct fixture f;
	struct virtqueue_loan loan;
	struct virtq_chain chain;
	uint32_t head, size_bytes;

	(void)state;
	set_up(&f, false, false);
	for (unsigned int round = 0; round < 20; round++) { /* indexes wrap around the ring */
		uint16_t next_avail;

		offer(&f);
		pass_one(&f);
		for (unsigned int i = 0; i < 5; i++)
			offer(&f);
		assert_int_equal(virtqueue_lend(f.vq, &loan), 0);
		next_avail = loan.next_avail;
		assert_int_equal(next_avail, 6 * round + 1);
		borrower_serves(&loan, &next_avail, 4);
		assert_int_equal(virtqueue_take_back(f.vq, next_avail), 0);
		pass_one(&f);
		assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
		for (unsigned int i = 0; i < 6; i++) {
			assert_true(test_ring_take_used(&f.ring, &head, &size_bytes));
			assert_int_equal(size_bytes, i && i < 5 ? 7 : 0);
		}
	}
	tear_down(&f);
}

static void lent_ring_is_left_alone(void **state)
{
	struct fixture f;
	struct virtqueue_loan loan;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, true);
	assert_false(virtqueue_is_lent(f.vq));
	assert_int_equal(virtqueue_lend(f.vq, &loan), 0);
	assert_int_equal(loan.size, QUEUE_SIZE);
	assert_ptr_equal(loan.descriptors, gmem_span(f.memory, f.ring.descriptor_gpa, 1));
	assert_ptr_equal(loan.driver_area, gmem_span(f.memory, f.ring.driver_gpa, 1));
	assert_ptr_equal(loan.device_area, gmem_span(f.memory, f.ring.device_gpa, 1));
	assert_int_equal(loan.descriptor_bytes, 16 * QUEUE_SIZE);
	assert_int_equal(loan.driver_bytes, 4 + 2 * QUEUE_SIZE + 2);
	assert_int_equal(loan.device_bytes, 4 + 8 * QUEUE_SIZE + 2);
	assert_true(virtqueue_is_lent(f.vq));
	assert_int_equal(virtqueue_lend(f.vq, &loan), -EALREADY);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 0);
	assert_false(virtqueue_enable_notification(f.vq));
	virtqueue_disable_notification(f.vq);
	virtqueue_flush(f.vq);
	assert_false(virtqueue_should_notify(f.vq));
	assert_int_equal(test_ring_avail_event(&f.ring), 0);
	virtqueue_disable(f.vq); /* a reset ends the loan */
	assert_false(virtqueue_is_lent(f.vq));
	assert_int_equal(virtqueue_take_back(f.vq, 3), 0);
	assert_int_equal(virtqueue_lend(f.vq, &loan), -ENOTCONN);
	tear_down(&f);
}

static void only_a_ring_at_rest_is_lent(void **state)
{
	struct fixture f;
	struct virtqueue_loan loan;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	offer(&f);
	assert_int_equal(virtqueue_pop(f.vq, &chain), 1);
	assert_int_equal(virtqueue_lend(f.vq, &loan), -EBUSY);
	virtqueue_push(f.vq, &chain);
	assert_int_equal(virtqueue_lend(f.vq, &loan), -EBUSY);
	virtqueue_flush(f.vq);
	assert_int_equal(virtqueue_lend(f.vq, &loan), 0);
	assert_int_equal(virtqueue_take_back(f.vq, loan.next_avail), 0);
	test_ring_set_avail_index(&f.ring, QUEUE_SIZE + 2);
	assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
	assert_int_equal(virtqueue_lend(f.vq, &loan), -EPROTO);
	tear_down(&f);
}

/* The used index is the guest's to scribble on. */
static void used_index_of_a_returned_ring_is_judged(void **state)
{
	static const struct {
		uint16_t next_avail, used_index;
		int result;
	} rows[] = {
		{ 0, 0, 0 },
		{ 5, 5, 0 },
		{ 5, 2, 0 }, /* three chains that never came back */
		{ QUEUE_SIZE, 0, 0 },
		{ QUEUE_SIZE + 1, 0, -EPROTO },
		{ 0, 1, -EPROTO },
		{ 5, 6, -EPROTO },
		{ 3, UINT16_MAX - 1, 0 },
		{ UINT16_MAX, 0, -EPROTO },
		{ 100, 40000, -EPROTO },
	};
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct virtqueue_loan loan;
		struct virtq_chain chain;

		set_up(&f, false, false);
		assert_int_equal(virtqueue_lend(f.vq, &loan), 0);
		((struct vring_used *)loan.device_area)->idx = rows[i].used_index;
		if (virtqueue_take_back(f.vq, rows[i].next_avail) != rows[i].result)
			fail_msg("row %zu", i);
		assert_false(virtqueue_is_lent(f.vq));
		test_ring_set_avail_index(&f.ring, rows[i].next_avail);
		assert_int_equal(virtqueue_pop(f.vq, &chain), rows[i].result);
		tear_down(&f);
	}
}

static void returned_ring_may_be_gone(void **state)
{
	struct fixture f;
	struct virtqueue_loan loan;
	struct virtq_chain chain;

	(void)state;
	set_up(&f, false, false);
	assert_int_equal(virtqueue_lend(f.vq, &loan), 0);
	gmem_unlock_shared(f.memory);
	assert_int_equal(gmem_remove_region(f.memory, 0), 0);
	gmem_lock_shared(f.memory);
	assert_int_equal(virtqueue_take_back(f.vq, 0), -EFAULT);
	assert_int_equal(virtqueue_pop(f.vq, &chain), -EPROTO);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lent_ring_goes_on_where_it_was),
		cmocka_unit_test(lent_ring_is_left_alone),
		cmocka_unit_test(only_a_ring_at_rest_is_lent),
		cmocka_unit_test(used_index_of_a_returned_ring_is_judged),
		cmocka_unit_test(returned_ring_may_be_gone),
	};

	return cmocka_run_group_tests_name("virtqueue_lend", tests, NULL, NULL);
}
