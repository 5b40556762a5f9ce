/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm */
/* Memslots follow guest memory, whatever KVM refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"
#include "ebb/memslot.h"
#include "ebb/vm.h"

#include "fake_kvm.h"

struct fixture {
	struct vm vm;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fake_kvm_reset();
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

static void test_all_slots(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->vm;

	assert_int_equal(memslots_create(vm, &vm->memslots, NULL), 0);
	for (gpa_t i = 0; i < GMEM_REGIONS_MAX; i++)
		assert_int_equal(gmem_add_region(vm->memory, i * MIB, MIB, NULL, NULL), 0);
	assert_int_equal(fake_kvm_memslot_count(), GMEM_REGIONS_MAX);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_follows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kvm_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dirty_log, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
