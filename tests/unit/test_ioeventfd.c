/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm */
/* ioeventfds: what reaches KVM, what a guest's write then signals, what KVM refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/ioeventfd.h"
#include "ebb/vm.h"

#include "fake_kvm.h"

static bool take(int fd)
{
	eventfd_t count;

	return !eventfd_read(fd, &count);
}

static void test_assign(void **state)
{
	struct vm vm = { .kvm = NULL };
	struct ioeventfd any = { .gpa = 0xd0000000, .fd = eventfd(0, EFD_NONBLOCK) };
	struct ioeventfd port = {
		.pio = true, .gpa = 0xc000, .size_bytes = 2, .fd = eventfd(0, EFD_NONBLOCK)
	};
	struct ioeventfd one = { .gpa = 0xd0001000,
		                 .size_bytes = 4,
		                 .match = true,
		                 .value = 1,
		                 .fd = eventfd(0, EFD_NONBLOCK) };
	struct ioeventfd two = one;

	(void)state;
	fake_kvm_reset();
	vm.kvm = fake_kvm_open();
	vm.kvm_vm = fake_kvm_vm(vm.kvm);
	two.value = 2;
	two.fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ioeventfd_assign(&vm, &any), 0);
	assert_int_equal(ioeventfd_assign(&vm, &any), -EEXIST);
	assert_int_equal(ioeventfd_assign(&vm, &port), 0);
	assert_int_equal(ioeventfd_assign(&vm, &one), 0);
	assert_int_equal(ioeventfd_assign(&vm, &two), 0);
	assert_int_equal(fake_kvm_ioeventfd_count(), 4);

	assert_true(fake_kvm_guest_write(false, 0xd0000000, 7, 2));
	assert_true(take(any.fd));
	assert_false(fake_kvm_guest_write(true, 0xd0000000, 7, 2));
	assert_true(fake_kvm_guest_write(true, 0xc000, 0, 2));
	assert_false(fake_kvm_guest_write(true, 0xc000, 0, 1));
	assert_true(take(port.fd));
	assert_true(fake_kvm_guest_write(false, 0xd0001000, 2, 4));
	assert_true(take(two.fd));
	assert_false(take(one.fd));
	assert_false(fake_kvm_guest_write(false, 0xd0001000, 3, 4));

	ioeventfd_unassign(&vm, &any);
	ioeventfd_unassign(&vm, &any); /* harmless */
	ioeventfd_unassign(&vm, &one);
	assert_false(fake_kvm_guest_write(false, 0xd0001000, 1, 4));
	assert_true(fake_kvm_guest_write(false, 0xd0001000, 2, 4));
	ioeventfd_unassign(&vm, &two);
	ioeventfd_unassign(&vm, &port);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);

	fake_kvm_fail_nth(0, -ENOSPC);
	assert_int_equal(ioeventfd_assign(&vm, &any), -ENOSPC);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	/* A size KVM cannot watch: its word, not ours. */
	any.size_bytes = 3;
	assert_int_equal(ioeventfd_assign(&vm, &any), -EINVAL);
	kvm_vm_destroy(vm.kvm_vm);
	kvm_close(vm.kvm);
	close(any.fd);
	close(port.fd);
	close(one.fd);
	close(two.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_assign) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
