/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_vm */
/* What counts as written, by whom, and as zeroes; what happens where KVM's log fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "ebb/memslot.h"
#include "ebb/page_proof.h"
#include "ebb/vm.h"

#include "fake_kvm.h"

#define RAM_BYTES (8 * MIB)
#define PAGE      PAGE_4K_BYTES
#define BLOCK     PAGE_2M_BYTES

static struct fixture {
	struct vm vm;
	struct page_proof *proof;
	struct page_proof_tally tally;
	uint64_t log[BITMAP_WORDS(RAM_BYTES / PAGE_4K_BYTES)]; /* what KVM has seen */
	unsigned int log_reads;
	int log_answer;
} f;

static int read_log(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                    void *arg)
{
	struct kvm_dirty_log *log = arg;

	(void)vcpu_id;
	if (scope != FAKE_KVM_VM || request != KVM_GET_DIRTY_LOG)
		return 0;
	f.log_reads++;
	if (f.log_answer)
		return f.log_answer;
	assert_int_equal(fake_kvm_memslot(0)->slot, log->slot);
	assert_int_equal(fake_kvm_memslot(0)->flags, KVM_MEM_LOG_DIRTY_PAGES);
	memcpy(log->dirty_bitmap, f.log, sizeof(f.log));
	memset(f.log, 0, sizeof(f.log));
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	memset(&f, 0, sizeof(f));
	f.vm.kvm = fake_kvm_open();
	f.vm.kvm_vm = fake_kvm_vm(f.vm.kvm);
	fake_kvm_set_ioctl_hook(read_log);
	assert_int_equal(guest_memory_create(&f.vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(f.vm.memory, 0, RAM_BYTES, NULL, NULL), 0);
	assert_int_equal(memslots_create(&f.vm, &f.vm.memslots, NULL), 0);
	memslots_allow_log(f.vm.memslots);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	page_proof_stop(f.proof);
	if (fake_kvm_memslot(0))
		assert_int_equal(fake_kvm_memslot(0)->flags, 0);
	memslots_destroy(f.vm.memslots);
	guest_memory_destroy(f.vm.memory);
	kvm_vm_destroy(f.vm.kvm_vm);
	kvm_close(f.vm.kvm);
	return 0;
}

/* As a vCPU does: behind ebb's back. */
static void guest_writes(gpa_t gpa, uint8_t value)
{
	uint8_t *hva;

	gmem_lock_shared(f.vm.memory);
	hva = gmem_span(f.vm.memory, gpa, PAGE);
	memset(hva, value, PAGE);
	gmem_unlock_shared(f.vm.memory);
	bitmap_set(f.log, gpa / PAGE);
}

static bool judge(gpa_t gpa, uint64_t size_bytes, bool zeroes_count)
{
	memset(&f.tally, 0, sizeof(f.tally));
	return page_proof_judge(f.proof, gpa, size_bytes, zeroes_count, &f.tally);
}

static void check_tally(uint64_t untouched, uint64_t zero, uint64_t touched)
{
	assert_int_equal(f.tally.untouched_bytes, untouched * PAGE);
	assert_int_equal(f.tally.zero_bytes, zero * PAGE);
	assert_int_equal(f.tally.touched_bytes, touched * PAGE);
}

static void test_writes_are_seen(void **state)
{
	const uint8_t byte = 7;

	(void)state;
	guest_writes(0, 1); /* before: does not count */
	memset(f.log, 0, sizeof(f.log));
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	assert_true(page_proof_sees_writes(f.proof));
	guest_writes(BLOCK + 5 * PAGE, 1);
	assert_int_equal(page_proof_refresh(f.proof), 0);
	assert_true(judge(0, BLOCK, true));
	check_tally(512, 0, 0);
	assert_false(judge(BLOCK, BLOCK, true));
	check_tally(511, 0, 1);
	/* Over block borders. */
	assert_false(judge(0, 2 * BLOCK + PAGE, true));
	check_tally(1024, 0, 1);
	/* What was seen stays seen when the log is read again, and ebb's own writes are. */
	assert_int_equal(gmem_write(f.vm.memory, 2 * PAGE - 1, &byte, 1), 0);
	guest_writes(6 * PAGE, 0);
	assert_int_equal(page_proof_refresh(f.proof), 0);
	assert_false(judge(BLOCK, BLOCK, true));
	assert_false(judge(0, BLOCK, true));
	check_tally(510, 1, 1);
	/* Zeroes that do not count are something. */
	assert_false(judge(6 * PAGE, PAGE, false));
	check_tally(0, 0, 1);
	assert_true(judge(6 * PAGE, PAGE, true));
	assert_int_equal(f.log_reads, 2);
}

static void test_one_at_a_time(void **state)
{
	struct page_proof *second = NULL;

	(void)state;
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	assert_int_equal(page_proof_start(&f.vm, &second), -EBUSY);
	assert_null(second);
	page_proof_stop(f.proof);
	/* The next one begins anew. */
	guest_writes(0, 1);
	memset(f.log, 0, sizeof(f.log));
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	assert_int_equal(page_proof_refresh(f.proof), 0);
	assert_true(judge(0, RAM_BYTES, false));
}

/* Then everything counts as written, and only zeroes that are there can be told. */
static void check_without_log(void)
{
	assert_false(page_proof_sees_writes(f.proof));
	guest_writes(0, 0);
	guest_writes(PAGE, 1);
	assert_int_equal(page_proof_refresh(f.proof), 0);
	assert_true(judge(0, PAGE, true));
	check_tally(0, 1, 0);
	assert_false(judge(0, 2 * PAGE, true));
	check_tally(0, 1, 1);
	assert_false(judge(3 * PAGE, PAGE, true)); /* was never there */
	check_tally(0, 0, 1);
}

static void test_log_is_refused(void **state)
{
	(void)state;
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	check_without_log();
	assert_int_equal(f.log_reads, 0);
}

static void test_log_cannot_be_read(void **state)
{
	(void)state;
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	f.log_answer = -EFAULT;
	assert_int_equal(page_proof_refresh(f.proof), 0);
	f.log_answer = 0; /* a log with a gap is none */
	check_without_log();
}

static void nothing(struct gmem_unseen_writer *writer)
{
	(void)writer;
}

/* vhost at work when the proof starts, or for a while of it: what it wrote nobody knows. */
static void test_unseen_writer(void **state)
{
	struct gmem_unseen_writer writer = { .hold = nothing, .let_go = nothing };

	(void)state;
	gmem_add_unseen_writer(f.vm.memory, &writer);
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	check_without_log();
	gmem_remove_unseen_writer(f.vm.memory, &writer);
	check_without_log();
	page_proof_stop(f.proof);
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	assert_true(page_proof_sees_writes(f.proof));
	gmem_add_unseen_writer(f.vm.memory, &writer);
	gmem_remove_unseen_writer(f.vm.memory, &writer);
	assert_int_equal(page_proof_refresh(f.proof), 0);
	check_without_log();
}

static void test_memory_changes(void **state)
{
	(void)state;
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	assert_int_equal(gmem_add_region(f.vm.memory, GIB, BLOCK, NULL, NULL), 0);
	assert_int_equal(fake_kvm_memslot(1)->flags, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(page_proof_refresh(f.proof), -ESTALE);
	assert_int_equal(gmem_remove_region(f.vm.memory, GIB), 0);
	assert_int_equal(page_proof_refresh(f.proof), -ESTALE);
}

/* A byte at the very end, or the first, is enough. */
static void test_zeroes_to_the_last_byte(void **state)
{
	static const size_t offsets[] = { 0, 1, 7, 8, PAGE / 2, PAGE - 1 };

	(void)state;
	assert_int_equal(page_proof_start(&f.vm, &f.proof), 0);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		guest_writes(0, 0);
		gmem_lock_shared(f.vm.memory);
		*(uint8_t *)gmem_span(f.vm.memory, offsets[i], 1) = 1;
		gmem_unlock_shared(f.vm.memory);
		assert_int_equal(page_proof_refresh(f.proof), 0);
		assert_false(judge(0, PAGE, true));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes_are_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_log_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_log_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unseen_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_zeroes_to_the_last_byte, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
