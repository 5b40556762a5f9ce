/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm x86_kvm */
/* The registers in the log, and nothing but a line when KVM does not tell them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"
#include "ebb/log.h"

#include "../../arch/x86/x86.h"

#include "x86_kvm.h"

static struct vm vm;
static struct vcpu vcpu;
static struct x86_kvm *x86;
static int log_pipe[2];

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	x86 = x86_kvm_reset();
	memset(&vm, 0, sizeof(vm));
	assert_int_equal(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(log_pipe[1], LOG_DEBUG, &vm.log), 0);
	vm.kvm = fake_kvm_open();
	vm.kvm_vm = fake_kvm_vm(vm.kvm);
	assert_int_equal(guest_memory_create(&vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(vm.memory, 0, MIB, false, NULL), 0);
	vcpu = (struct vcpu){ .vm = &vm, .index = 7 };
	assert_int_equal(kvm_vcpu_create(vm.kvm_vm, 7, &vcpu.kvm, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kvm_vcpu_destroy(vcpu.kvm);
	guest_memory_destroy(vm.memory);
	kvm_vm_destroy(vm.kvm_vm);
	kvm_close(vm.kvm);
	log_destroy(vm.log);
	close(log_pipe[0]);
	close(log_pipe[1]);
	return 0;
}

static void dump(char *text, size_t max)
{
	ssize_t got;

	x86_vcpu_dump(&vcpu);
	got = read(log_pipe[0], text, max - 1);
	assert_true(got > 0);
	text[got] = 0;
}

static void test_registers_and_code(void **state)
{
	char text[4096];

	(void)state;
	x86->regs.rip = 0x1234;
	x86->regs.r15 = 0xfeedface;
	x86->sregs.cr3 = 0x97000;
	assert_int_equal(gmem_write(vm.memory, 0x1234, "\x0f\x0b\xf4", 3), 0);
	dump(text, sizeof(text));
	assert_non_null(strstr(text, "vCPU 7: rip 0000000000001234"));
	assert_non_null(strstr(text, "r15 00000000feedface"));
	assert_non_null(strstr(text, "cr3 97000"));
	assert_non_null(strstr(text, "vCPU 7: code 0f 0b f4 00"));
	/* Code that is not in memory is left out. */
	x86->regs.rip = 0x40000000;
	dump(text, sizeof(text));
	assert_non_null(strstr(text, "rip 0000000040000000"));
	assert_null(strstr(text, "code"));
}

static void test_kvm_refuses(void **state)
{
	char text[4096];

	(void)state;
	fake_kvm_fail_nth(0, -EIO);
	dump(text, sizeof(text));
	assert_non_null(strstr(text, "vCPU 7: registers cannot be read"));
	fake_kvm_fail_nth(2, -EIO); /* KVM_TRANSLATE */
	dump(text, sizeof(text));
	assert_null(strstr(text, "code"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers_and_code, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kvm_refuses, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
