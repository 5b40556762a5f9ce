/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_vm */
/* Memslots follow guest memory, whatever KVM refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "ebb/memslot.h"
#include "ebb/vm.h"

#include "fake_kvm.h"
#include "fake_vm.h"

#define BLOCK       (2 * MIB)
#define CHUNK       (128 * MIB)
#define AREA_GPA    (4 * GIB)
#define AREA_BYTES  (2 * CHUNK + 64 * MIB)
#define AREA_BLOCKS (AREA_BYTES / BLOCK)

struct fixture {
	struct vm vm;
	struct gmem_area *area;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fake_kvm_reset();
	fake_vm_clear();
	memset(&fixture, 0, sizeof(fixture));
	fixture.vm.kvm = fake_kvm_open();
	fixture.vm.kvm_vm = fake_kvm_vm(fixture.vm.kvm);
	assert_int_equal(guest_memory_create(&fixture.vm.memory, NULL), 0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	memslots_destroy(fixture->vm.memslots);
	gmem_remove_area(fixture->area);
	event_loop_destroy(fixture->vm.reclaim_loop);
	guest_memory_destroy(fixture->vm.memory);
	kvm_vm_destroy(fixture->vm.kvm_vm);
	kvm_close(fixture->vm.kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return 0;
}

static void test_follows(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->vm;
	struct gmem_region regions[2];

	assert_int_equal(gmem_add_region(vm->memory, 0, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(vm->memory, 4 * GIB, 4 * MIB, NULL, NULL), 0);
	assert_int_equal(memslots_create(vm, &vm->memslots, NULL), 0);
	assert_int_equal(gmem_list_regions(vm->memory, regions, 2), 2);
	assert_int_equal(fake_kvm_memslot_count(), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fake_kvm_memslot(i)->slot, i);
		assert_int_equal(fake_kvm_memslot(i)->gpa, regions[i].gpa);
		assert_int_equal(fake_kvm_memslot(i)->size_bytes, regions[i].size_bytes);
		assert_ptr_equal(fake_kvm_memslot(i)->hva, regions[i].hva);
		assert_int_equal(fake_kvm_memslot(i)->flags, 0);
	}
	/* One system call a region. */
	assert_int_equal(fake_kvm_call_count(), 2);

	/* The number of a slot that went is used again. */
	assert_int_equal(gmem_remove_region(vm->memory, 0), 0);
	assert_int_equal(fake_kvm_memslot_count(), 1);
	assert_int_equal(fake_kvm_memslot(0)->gpa, 4 * GIB);
	assert_int_equal(gmem_add_region(vm->memory, 8 * GIB, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(fake_kvm_memslot(0)->gpa, 8 * GIB);
	assert_int_equal(fake_kvm_memslot(0)->slot, 0);
}

/* User-mode emulation pays for address space, a GiB a region. */
#define MANY_REGIONS 200

static void test_many_slots(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->vm;

	assert_int_equal(memslots_create(vm, &vm->memslots, NULL), 0);
	for (gpa_t i = 0; i < MANY_REGIONS; i++)
		assert_int_equal(gmem_add_region(vm->memory, i * MIB, MIB, NULL, NULL), 0);
	assert_int_equal(fake_kvm_memslot_count(), MANY_REGIONS);
}

static void test_kvm_refuses(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->vm;
	struct error err = ERROR_INIT;

	/* At set-up, the first and the second region. */
	assert_int_equal(gmem_add_region(vm->memory, 0, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(vm->memory, 4 * GIB, 4 * MIB, NULL, NULL), 0);
	for (unsigned int n = 0; n < 2; n++) {
		fake_kvm_fail_nth(n, -ENOMEM);
		err = (struct error)ERROR_INIT;
		assert_int_equal(memslots_create(vm, &vm->memslots, &err), -ENOMEM);
		assert_null(vm->memslots);
		assert_int_equal(err.code, -ENOMEM);
		assert_non_null(strstr(err.message, n ? "4 MiB" : "2 MiB"));
		assert_int_equal(fake_kvm_memslot_count(), 0);
	}
	/* More pages than a slot may have: what to do about it. */
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(memslots_create(vm, &vm->memslots, &err), -EINVAL);
	assert_string_equal(err.message, "--mem: KVM does not take 2 MiB at guest-physical 0x0 "
	                                 "(give less than 8T)");
	/* Later: the region is not there then. */
	assert_int_equal(memslots_create(vm, &vm->memslots, NULL), 0);
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(gmem_add_region(vm->memory, GIB, MIB, NULL, NULL), -EINVAL);
	assert_int_equal(fake_kvm_memslot_count(), 2);
	assert_int_equal(gmem_total_bytes(vm->memory), 6 * MIB);
	/* A slot that cannot be deleted is not used for another region. */
	fake_kvm_fail_nth(0, -EINVAL);
	assert_int_equal(gmem_remove_region(vm->memory, 0), 0);
	assert_int_equal(gmem_add_region(vm->memory, GIB, MIB, NULL, NULL), 0);
	assert_int_equal(fake_kvm_memslot(2)->gpa, GIB);
}

/* --- the dirty log --- */

static unsigned int logged(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < fake_kvm_memslot_count(); i++)
		count += fake_kvm_memslot(i)->flags == KVM_MEM_LOG_DIRTY_PAGES;
	return count;
}

static int answer_slot(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                       void *arg)
{
	struct kvm_dirty_log *log = arg;

	(void)vcpu_id;
	assert_int_equal(scope, FAKE_KVM_VM);
	assert_int_equal(request, KVM_GET_DIRTY_LOG);
	*(uint64_t *)log->dirty_bitmap = 100 + log->slot;
	return 0;
}

static void test_dirty_log(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->vm;
	uint64_t words[8] = { 0 };

	assert_int_equal(gmem_add_region(vm->memory, 0, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(vm->memory, 4 * GIB, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(memslots_create(vm, &vm->memslots, NULL), 0);
	fake_kvm_set_ioctl_hook(answer_slot);
	assert_int_equal(memslots_log_start(vm->memslots), -ENOTSUP); /* nobody allowed it */
	assert_int_equal(logged(), 0);
	memslots_allow_log(vm->memslots);
	assert_int_equal(memslots_log_read(vm->memslots, 0, words), -ENOENT);
	/* All slots or none. */
	for (unsigned int n = 0; n < 2; n++) {
		fake_kvm_fail_nth(n, -ENOMEM);
		assert_int_equal(memslots_log_start(vm->memslots), -ENOMEM);
		assert_int_equal(logged(), 0);
		assert_int_equal(memslots_log_read(vm->memslots, 0, words), -ENOENT);
	}
	assert_int_equal(memslots_log_start(vm->memslots), 0);
	assert_int_equal(logged(), 2);
	assert_int_equal(fake_kvm_memslot(1)->size_bytes, 2 * MIB);
	assert_int_equal(fake_kvm_memslot(1)->gpa, 4 * GIB);
	/* Those that come too. */
	assert_int_equal(gmem_add_region(vm->memory, GIB, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(logged(), 3);
	assert_int_equal(memslots_log_read(vm->memslots, GIB, words), 0);
	assert_int_equal(words[0], 102);
	assert_int_equal(gmem_remove_region(vm->memory, GIB), 0);
	assert_int_equal(memslots_log_read(vm->memslots, GIB, words), -ENOENT);
	memslots_log_stop(vm->memslots);
	memslots_log_stop(vm->memslots);
	assert_int_equal(logged(), 0);
	assert_int_equal(gmem_add_region(vm->memory, GIB, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(logged(), 0);
}

/* --- areas --- */

static int set_up_area(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	fake_kvm_set_extension(KVM_CAP_NR_MEMSLOTS, 509);
	assert_int_equal(event_loop_create("reclaim", &f->vm.reclaim_loop, NULL), 0);
	assert_int_equal(gmem_add_region(f->vm.memory, 0, 4 * MIB, NULL, NULL), 0);
	assert_int_equal(memslots_create(&f->vm, &f->vm.memslots, NULL), 0);
	assert_int_equal(gmem_add_area(f->vm.memory,
	                               &(struct gmem_extent){ AREA_GPA, AREA_BYTES, BLOCK }, NULL,
	                               &f->area, NULL),
	                 0);
	return 0;
}

static int plug(struct fixture *f, size_t first, size_t count)
{
	return gmem_plug(f->area, AREA_GPA + first * BLOCK, count * BLOCK);
}

static int unplug(struct fixture *f, size_t first, size_t count)
{
	return gmem_unplug(f->area, AREA_GPA + first * BLOCK, count * BLOCK);
}

static size_t area_slots(struct fixture *f)
{
	size_t count = memslots_count(f->vm.memslots, AREA_GPA, AREA_BYTES), found = 0;
	const struct fake_memslot *slot;

	for (size_t i = 0; (slot = fake_kvm_memslot(i)); i++)
		found += slot->gpa >= AREA_GPA;
	assert_int_equal(count, found);
	return count;
}

/* What KVM has of the area, each place where guest memory has it. */
static void find_covered(struct fixture *f, bool *ret_covered)
{
	const struct fake_memslot *slot;
	struct gmem_region regions[4];
	size_t count = gmem_list_regions(f->vm.memory, regions, 4);

	memset(ret_covered, 0, AREA_BLOCKS * sizeof(*ret_covered));
	for (size_t i = 0; (slot = fake_kvm_memslot(i)); i++) {
		bool found = false;

		for (size_t j = 0; j < count; j++)
			found |= range_contains(regions[j].gpa, regions[j].size_bytes, slot->gpa,
			                        slot->size_bytes) &&
			         regions[j].hva + (slot->gpa - regions[j].gpa) == slot->hva;
		assert_true(found);
		for (gpa_t gpa = slot->gpa; gpa < slot->gpa + slot->size_bytes; gpa += BLOCK)
			if (gpa >= AREA_GPA)
				ret_covered[(gpa - AREA_GPA) / BLOCK] = true;
	}
}

/* Who owns a block never meets a hole; exactly: nobody else has a slot either. */
static void assert_covers(struct fixture *f, bool exactly)
{
	bool covered[AREA_BLOCKS], plugged;

	find_covered(f, covered);
	for (size_t i = 0; i < AREA_BLOCKS; i++) {
		gmem_area_run(f->area, AREA_GPA + i * BLOCK, BLOCK, &plugged);
		assert_true(covered[i] || !plugged);
		assert_true(!exactly || covered[i] == plugged);
	}
}

static bool narrow(struct fixture *f)
{
	bool result = memslots_narrow(f->vm.memslots);

	assert_int_equal(fake_vm_run_quiet(), result);
	return result;
}

/* A driver that keeps to the rules costs a slot a chunk, and no change but for those. */
static void test_slots_are_chunks(void **state)
{
	struct fixture *f = *state;
	unsigned int calls;

	assert_int_equal(area_slots(f), 0);
	assert_int_equal(plug(f, 0, 1), 0);
	assert_int_equal(area_slots(f), 1);
	assert_true(fake_kvm_memslot(1)->size_bytes == CHUNK);
	calls = fake_kvm_call_count();
	assert_int_equal(plug(f, 4, 50), 0);
	assert_int_equal(unplug(f, 10, 10), 0);
	gmem_trim(f->area);
	assert_int_equal(plug(f, 10, 2), 0);
	assert_int_equal(fake_kvm_call_count(), calls);
	assert_covers(f, false);
	/* Three chunks at once, and back. */
	assert_int_equal(plug(f, 60, 90), 0);
	assert_int_equal(fake_kvm_call_count(), calls + 2);
	assert_int_equal(area_slots(f), 3);
	assert_int_equal(unplug(f, 60, 90), 0);
	assert_int_equal(area_slots(f), 3);
	gmem_trim(f->area);
	assert_int_equal(area_slots(f), 1);
	assert_int_equal(fake_kvm_call_count(), calls + 4);
}

/* KVM on RISC-V takes a slot only where all may be written then. */
static void test_no_slot_without_rights(void **state)
{
	struct fixture *f = *state;

	fake_kvm_fail_nth(0, -EPERM);
	assert_int_equal(plug(f, 60, 8), 0);
	assert_true(fake_kvm_has_failed());
	assert_int_equal(area_slots(f), 2); /* one a chunk */
	assert_covers(f, true);
	assert_int_equal(plug(f, 10, 2), 0);
	assert_covers(f, true);
	assert_int_equal(area_slots(f), 3);
	/* What went and comes again is covered still. */
	assert_int_equal(unplug(f, 60, 2), 0);
	assert_int_equal(area_slots(f), 3);
	assert_int_equal(plug(f, 60, 1), 0);
	assert_int_equal(area_slots(f), 3);
	assert_true(narrow(f));
	assert_covers(f, true);
	/* A chunk that ends takes its slots along. */
	assert_int_equal(unplug(f, 10, 2), 0);
	assert_int_equal(unplug(f, 60, 1), 0);
	assert_int_equal(unplug(f, 62, 2), 0);
	gmem_trim(f->area);
	assert_int_equal(area_slots(f), 1);
	assert_int_equal(unplug(f, 64, 4), 0);
	gmem_trim(f->area);
	assert_int_equal(area_slots(f), 0);
	/* It is not asked again; and another answer is one. */
	assert_int_equal(plug(f, 0, 1), 0);
	assert_int_equal(area_slots(f), 1);
	fake_kvm_fail_nth(0, -EPERM);
	assert_int_equal(plug(f, 5, 1), -EPERM);
	assert_covers(f, true);
}

static void test_cut_down(void **state)
{
	struct fixture *f = *state;

	/* Nothing to cut where nothing is, or all. */
	assert_false(narrow(f));
	assert_int_equal(plug(f, 0, CHUNK / BLOCK), 0);
	assert_false(narrow(f));
	assert_int_equal(plug(f, 70, 2), 0);
	assert_int_equal(plug(f, 80, 3), 0);
	assert_true(narrow(f));
	assert_covers(f, true);
	assert_int_equal(area_slots(f), 3);
	assert_false(narrow(f));
	/* What comes gets a slot, and no other changes; what goes changes none. */
	assert_int_equal(plug(f, 69, 1), 0);
	assert_int_equal(plug(f, 72, 4), 0);
	assert_covers(f, true);
	assert_int_equal(area_slots(f), 5);
	assert_int_equal(unplug(f, 70, 1), 0);
	assert_int_equal(area_slots(f), 5);
	assert_covers(f, false);
	/* The next cut joins what lies side by side. */
	assert_true(narrow(f));
	assert_covers(f, true);
	assert_int_equal(area_slots(f), 4);
	/* A slot is there again for a block that is given back. */
	assert_int_equal(unplug(f, 80, 3), 0);
	assert_true(narrow(f));
	assert_int_equal(gmem_plug_again(f->area, AREA_GPA + 80 * BLOCK, 3 * BLOCK), 0);
	assert_covers(f, true);
	/* A chunk that comes back is whole. */
	assert_int_equal(unplug(f, 71, 5), 0);
	assert_int_equal(unplug(f, 69, 1), 0);
	assert_int_equal(unplug(f, 80, 3), 0);
	gmem_trim(f->area);
	assert_int_equal(area_slots(f), 1);
	assert_int_equal(plug(f, 100, 1), 0);
	assert_true(fake_kvm_memslot(2)->size_bytes == CHUNK);
}

/* Each call in turn: the slots are what they were, or what they should be. */
static void test_cut_fails(void **state)
{
	bool before[AREA_BLOCKS], after[AREA_BLOCKS];
	struct fixture *f = *state;

	assert_int_equal(plug(f, 1, 1), 0);
	assert_int_equal(plug(f, 5, 2), 0);
	find_covered(f, before);
	/* To delete it, and each of two to add. */
	for (unsigned int n = 0; n < 2; n++) {
		assert_true(memslots_narrow(f->vm.memslots));
		fake_kvm_fail_nth(n + 1, -ENOMEM);
		assert_true(fake_vm_run_quiet());
		assert_true(fake_kvm_has_failed());
		find_covered(f, after);
		assert_memory_equal(before, after, sizeof(before));
		assert_int_equal(fake_vm.ends, 0);
	}
	/* Then it works, and what failed before is forgotten. */
	assert_true(narrow(f));
	assert_covers(f, true);
	assert_int_equal(unplug(f, 6, 1), 0);
	for (unsigned int n = 0; n < 3; n++) {
		assert_true(memslots_narrow(f->vm.memslots));
		fake_kvm_fail_nth(2, -ENOMEM);
		assert_true(fake_vm_run_quiet());
		assert_int_equal(fake_vm.ends, 0);
	}
	/* It does not get any better: the access has no other way out. */
	assert_false(memslots_narrow(f->vm.memslots));
}

/* A guest that makes the host fail again and again does not fill its log. */
static void test_failing_cuts_are_told_once(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct stat first, last;

	assert_int_equal(log_create(fd, LOG_ERROR, &f->vm.log), 0);
	assert_int_equal(plug(f, 1, 1), 0);
	for (unsigned int n = 0; n < 3; n++) {
		assert_true(memslots_narrow(f->vm.memslots));
		fake_kvm_fail_nth(1, -ENOMEM);
		assert_true(fake_vm_run_quiet());
		assert_int_equal(fstat(fd, n ? &last : &first), 0);
	}
	assert_true(first.st_size > 0 && last.st_size == first.st_size);
	log_destroy(f->vm.log);
	f->vm.log = NULL;
	close(fd);
}

/* A hole in memory that the guest owns is its end. */
static void test_cut_cannot_be_undone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(plug(f, 1, 1), 0);
	assert_int_equal(plug(f, 3, 1), 0);
	/* A slot that cannot be deleted is no hole. */
	assert_true(memslots_narrow(f->vm.memslots));
	fake_kvm_fail_from(0, -EINVAL);
	assert_true(fake_vm_run_quiet());
	assert_int_equal(fake_vm.ends, 0);
	assert_covers(f, false);
	fake_kvm_fail_never();
	/* Neither the second of two can be added, nor the first put back. */
	assert_true(memslots_narrow(f->vm.memslots));
	fake_kvm_fail_from(2, -ENOMEM);
	assert_true(fake_vm_run_quiet());
	assert_int_equal(fake_vm.ends, 1);
	assert_int_equal(fake_vm.end, VM_END_HOST_FAILURE);
}

static void test_plug_fails(void **state)
{
	struct fixture *f = *state;
	unsigned int failures = 0;

	assert_int_equal(plug(f, 1, 1), 0);
	assert_true(narrow(f));
	/* A slot for what lies behind, and for the next chunk. */
	for (unsigned int n = 0;; n++) {
		fake_kvm_fail_nth(n, -ENOMEM);
		if (plug(f, 60, 8) == 0)
			break;
		assert_true(fake_kvm_has_failed());
		failures++;
		assert_true(gmem_area_plugged_bytes(f->area) == BLOCK);
		assert_covers(f, false);
	}
	fake_kvm_fail_never();
	assert_int_equal(failures, 2);
	assert_true(gmem_area_plugged_bytes(f->area) == 9 * BLOCK);
	assert_covers(f, false);
}

/* KVM offers 32; half of them are for runs. */
static void test_numbers_run_out(void **state)
{
	struct fixture *f = *state;
	size_t i;

	fake_kvm_set_extension(KVM_CAP_NR_MEMSLOTS, 32);
	for (i = 0; plug(f, 2 * i, 1) == 0; i++)
		;
	assert_int_equal(i, 16);
	assert_int_equal(plug(f, 2 * i, 1), -ENOSPC);
	assert_true(narrow(f));
	assert_covers(f, true);
	/* Neighbours that come one by one have a slot each, until those join. */
	for (i = 1; plug(f, 30 + i, 1) == 0; i++)
		;
	assert_int_equal(i, 16);
	assert_int_equal(area_slots(f), 31);
	assert_true(fake_vm_run_quiet());
	assert_int_equal(area_slots(f), 16);
	assert_covers(f, true);
	assert_int_equal(plug(f, 30 + i, 1), 0);
}

/* Numbers that one chunk's cut needs may be those that another's joins. */
static void test_cut_waits_for_numbers(void **state)
{
	struct fixture *f = *state;
	size_t i;

	fake_kvm_set_extension(KVM_CAP_NR_MEMSLOTS, 32);
	assert_int_equal(plug(f, 64, 1), 0);
	assert_true(narrow(f));
	for (i = 1; i < 28; i++)
		assert_int_equal(plug(f, 64 + i, 1), 0);
	for (i = 0; i < 8; i++)
		assert_int_equal(plug(f, 2 * i, 1), 0);
	assert_int_equal(area_slots(f), 29);
	assert_true(narrow(f));
	assert_covers(f, true);
	assert_int_equal(area_slots(f), 9);
}

static int answer_log(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                      void *arg)
{
	struct kvm_dirty_log *log = arg;

	(void)scope;
	(void)vcpu_id;
	assert_int_equal(request, KVM_GET_DIRTY_LOG);
	*(uint64_t *)log->dirty_bitmap = 100 + log->slot;
	return 0;
}

static void test_log_of_areas(void **state)
{
	static uint64_t words[CHUNK / PAGE_4K_BYTES / 64];
	struct fixture *f = *state;

	assert_int_equal(plug(f, 1, 1), 0);
	assert_int_equal(plug(f, 5, 1), 0);
	assert_true(narrow(f));
	memslots_allow_log(f->vm.memslots);
	fake_kvm_set_ioctl_hook(answer_log);
	assert_int_equal(memslots_log_start(f->vm.memslots), 0);
	assert_int_equal(memslots_log_read(f->vm.memslots, AREA_GPA, words), 0);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_true(words[i] == (i == 1 * 8 ? 101 : i == 5 * 8 ? 102 : 0));
	/* A cut loses what was logged. */
	assert_int_equal(unplug(f, 5, 1), 0);
	assert_true(narrow(f));
	assert_int_equal(memslots_log_read(f->vm.memslots, AREA_GPA, words), -ENOENT);
	assert_int_equal(memslots_log_start(f->vm.memslots), 0);
	assert_int_equal(memslots_log_read(f->vm.memslots, AREA_GPA, words), 0);
}

static uint32_t random_number(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* Whatever comes in whatever order, and wherever KVM fails: no hole, and a cut leaves nothing else.
 */
static void test_random_changes(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 7;

	for (unsigned int round = 0; round < 4000; round++) {
		size_t first = random_number(&seed) % AREA_BLOCKS;
		size_t count = 1 + random_number(&seed) % (round % 8 ? 3 : 80);

		fake_kvm_fail_never();
		if (random_number(&seed) % 4 == 0)
			fake_kvm_fail_nth(random_number(&seed) % 4, -ENOMEM);
		if (random_number(&seed) % 2)
			(void)!plug(f, first, count);
		else if (unplug(f, first, count) == 0 && random_number(&seed) % 3 == 0)
			(void)!gmem_plug_again(f->area, AREA_GPA + first * BLOCK, count * BLOCK);
		fake_kvm_fail_never();
		if (random_number(&seed) % 4 == 0)
			gmem_trim(f->area);
		assert_covers(f, false);
		if (random_number(&seed) % 16)
			continue;
		(void)!narrow(f);
		assert_false(memslots_narrow(f->vm.memslots));
		assert_covers(f, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_follows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kvm_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dirty_log, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slots_are_chunks, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_no_slot_without_rights, set_up_area,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_cut_down, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_fails, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_failing_cuts_are_told_once, set_up_area,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_cut_cannot_be_undone, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_plug_fails, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_numbers_run_out, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_waits_for_numbers, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_log_of_areas, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_random_changes, set_up_area, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
