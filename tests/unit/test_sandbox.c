/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of system calls as the kernel would read them: run here, by hand, on calls with
 * arguments. And the users of /etc/passwd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "ebb/sandbox.h"

#define REFUSED         (SECCOMP_RET_ERRNO | EPERM)
#define KVM_RUN_REQUEST _IO(0xae, 0x80)

static uint32_t own_arch(void)
{
	struct utsname host;

	assert_int_equal(uname(&host), 0);
	return strcmp(host.machine, "x86_64") == 0 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_RISCV64;
}

/* What classic BPF does with it, as far as filters of libseccomp go. */
static uint32_t run(enum sandbox_thread kind, const struct seccomp_data *data)
{
	size_t count, at = 0;
	const struct sock_filter *filter = sandbox_filter(kind, &count);
	uint32_t a = 0;

	assert_non_null(filter);
	for (unsigned int steps = 0; steps < 4096; steps++) {
		const struct sock_filter *i = &filter[at++];

		assert_true(at <= count);
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + sizeof(a) <= sizeof(*data));
			memcpy(&a, (const uint8_t *)data + i->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			at += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			at += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			at += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			at += a > i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %#x", i->code);
		}
	}
	fail_msg("no end");
	return 0;
}

static uint32_t call(enum sandbox_thread kind, int number, uint64_t first, uint64_t second,
                     uint64_t third)
{
	const struct seccomp_data data = {
		.nr = number,
		.arch = own_arch(),
		.args = { first, second, third },
	};

	return run(kind, &data);
}

#define ALLOWED(...) assert_int_equal(call(__VA_ARGS__), SECCOMP_RET_ALLOW)
#define REFUSES(...) assert_int_equal(call(__VA_ARGS__), REFUSED)

static const enum sandbox_thread ebb_kinds[] = { SANDBOX_MAIN, SANDBOX_IO, SANDBOX_RECLAIM,
	                                         SANDBOX_VCPU, SANDBOX_TEST };

static void nobody_opens_executes_or_connects(void **state)
{
	static const int numbers[] = {
		SYS_openat,
		SYS_openat2,
		SYS_execve,
		SYS_execveat,
		SYS_connect,
		SYS_socket,
		SYS_ptrace,
		SYS_process_vm_readv,
		SYS_process_vm_writev,
		SYS_mount,
		SYS_setuid,
		SYS_setresuid,
		SYS_unshare,
		SYS_setns,
		SYS_bpf,
		SYS_perf_event_open,
		SYS_io_uring_setup,
		SYS_pidfd_open,
		SYS_open_by_handle_at,
		SYS_bind,
		SYS_listen,
		SYS_memfd_create,
		SYS_kexec_load,
		SYS_seccomp,
		SYS_userfaultfd,
		SYS_personality,
		SYS_shmat,
		SYS_chroot,
		SYS_mkdirat,
		SYS_linkat,
		SYS_symlinkat,
		SYS_capset,
		SYS_kill,
	};

	(void)state;
	for (size_t kind = 0; kind < ARRAY_SIZE(ebb_kinds); kind++)
		for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
			REFUSES(ebb_kinds[kind], numbers[i], 0, 0, 0);
	for (size_t i = 0; i < 16; i++)
		if (numbers[i] != SYS_openat && numbers[i] != SYS_openat2)
			REFUSES(SANDBOX_SHARE, numbers[i], 0, 0, 0);
}

static void each_kind_has_what_it_lives_by(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < ARRAY_SIZE(ebb_kinds); kind++) {
		ALLOWED(ebb_kinds[kind], SYS_futex, 0, 0, 0);
		ALLOWED(ebb_kinds[kind], SYS_write, 0, 0, 0);
		ALLOWED(ebb_kinds[kind], SYS_exit_group, 0, 0, 0);
		ALLOWED(ebb_kinds[kind], SYS_ioctl, 5, KVM_RUN_REQUEST, 0);
		assert_int_equal(call(ebb_kinds[kind], SYS_clone3, 0, 0, 0),
		                 SECCOMP_RET_ERRNO | ENOSYS);
	}
	ALLOWED(SANDBOX_SHARE, SYS_close, 0, 0, 0);
	ALLOWED(SANDBOX_SHARE, SYS_exit_group, 0, 0, 0);
	ALLOWED(SANDBOX_SHARE, SYS_openat2, 0, 0, 0);
	REFUSES(SANDBOX_SHARE, SYS_ioctl, 0, KVM_RUN_REQUEST, 0);
	ALLOWED(SANDBOX_MAIN, SYS_accept4, 0, 0, 0);
	ALLOWED(SANDBOX_MAIN, SYS_unlinkat, 0, 0, 0);
	ALLOWED(SANDBOX_IO, SYS_io_uring_enter, 0, 0, 0);
	ALLOWED(SANDBOX_RECLAIM, SYS_process_madvise, 0, 0, 0);
	REFUSES(SANDBOX_VCPU, SYS_accept4, 0, 0, 0);
	REFUSES(SANDBOX_IO, SYS_accept4, 0, 0, 0);
	REFUSES(SANDBOX_IO, SYS_unlinkat, 0, 0, 0);
	REFUSES(SANDBOX_VCPU, SYS_io_uring_enter, 0, 0, 0);
	REFUSES(SANDBOX_VCPU, SYS_process_madvise, 0, 0, 0);
}

static void a_thread_is_made_but_no_process(void **state)
{
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
	                        CLONE_SYSVSEM | CLONE_SETTLS;

	(void)state;
	ALLOWED(SANDBOX_MAIN, SYS_clone, thread, 0, 0);
	REFUSES(SANDBOX_MAIN, SYS_clone, SIGCHLD, 0, 0);
	REFUSES(SANDBOX_MAIN, SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0);
	ALLOWED(SANDBOX_MAIN, SYS_clone, thread | CLONE_DETACHED, 0, 0); /* musl */
	REFUSES(SANDBOX_MAIN, SYS_clone, thread | CLONE_NEWUSER, 0, 0);
	REFUSES(SANDBOX_MAIN, SYS_clone, thread | CLONE_NEWNET, 0, 0);
	REFUSES(SANDBOX_MAIN, SYS_clone, thread | CLONE_PTRACE, 0, 0);
	REFUSES(SANDBOX_VCPU, SYS_clone, thread, 0, 0);
}

static void memory_is_never_executable(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < ARRAY_SIZE(ebb_kinds); kind++) {
		ALLOWED(ebb_kinds[kind], SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE);
		REFUSES(ebb_kinds[kind], SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC);
		ALLOWED(ebb_kinds[kind], SYS_mprotect, 0, 4096, PROT_READ | PROT_WRITE);
		if (ebb_kinds[kind] != SANDBOX_TEST)
			REFUSES(ebb_kinds[kind], SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC);
	}
}

static void requests_are_of_the_thread_s_groups(void **state)
{
	(void)state;
	/* Whatever a C library makes of the request's upper half. */
	ALLOWED(SANDBOX_MAIN, SYS_ioctl, 0, 0x5401, 0);
	ALLOWED(SANDBOX_MAIN, SYS_ioctl, 0, UINT64_C(0xffffffff00005401), 0);
	ALLOWED(SANDBOX_MAIN, SYS_ioctl, 0, 0x5413, 0); /* TIOCGWINSZ */
	REFUSES(SANDBOX_VCPU, SYS_ioctl, 0, 0x5413, 0);
	for (size_t kind = 0; kind < ARRAY_SIZE(ebb_kinds); kind++) {
		REFUSES(ebb_kinds[kind], SYS_ioctl, 0, 0x5412, 0); /* TIOCSTI */
		REFUSES(ebb_kinds[kind], SYS_ioctl, 0, UINT64_C(0x100005412), 0);
		REFUSES(ebb_kinds[kind], SYS_ioctl, 0, 0x400454ca, 0); /* TUNSETIFF */
	}
	ALLOWED(SANDBOX_IO, SYS_ioctl, 0, VHOST_SET_VRING_KICK, 0);
	REFUSES(SANDBOX_VCPU, SYS_ioctl, 0, VHOST_SET_VRING_KICK, 0);
	ALLOWED(SANDBOX_RECLAIM, SYS_ioctl, 0, 0xc0606610, 0); /* PAGEMAP_SCAN */
}

static void arguments_are_narrow(void **state)
{
	(void)state;
	ALLOWED(SANDBOX_IO, SYS_prctl, PR_SET_NAME, 0, 0);
	REFUSES(SANDBOX_IO, SYS_prctl, PR_SET_DUMPABLE, 1, 0);
	REFUSES(SANDBOX_IO, SYS_prctl, PR_SET_MM, 0, 0);
	ALLOWED(SANDBOX_IO, SYS_prlimit64, 0, 3, 0);
	REFUSES(SANDBOX_IO, SYS_prlimit64, 0, 3, 0x1000);
	ALLOWED(SANDBOX_MAIN, SYS_pidfd_send_signal, 7, SIGTERM, 0);
	REFUSES(SANDBOX_MAIN, SYS_pidfd_send_signal, 7, SIGSTOP, 0);
	REFUSES(SANDBOX_VCPU, SYS_pidfd_send_signal, 7, SIGTERM, 0);
	for (size_t kind = 0; kind < SANDBOX_THREAD_COUNT; kind++)
		REFUSES((enum sandbox_thread)kind, SYS_tgkill, 1, 1, SIGKILL); /* another process */
	ALLOWED(SANDBOX_MAIN, SYS_fcntl, 3, F_SETFL, 0);
	REFUSES(SANDBOX_MAIN, SYS_fcntl, 3, F_SETOWN, 0);
}

static void another_architecture_s_calls_end_the_process(void **state)
{
	const struct seccomp_data data = { .nr = SYS_read, .arch = AUDIT_ARCH_I386 };

	(void)state;
	for (size_t kind = 0; kind < SANDBOX_THREAD_COUNT; kind++)
		assert_int_equal(run((enum sandbox_thread)kind, &data), SECCOMP_RET_KILL_PROCESS);
}

/* x32's numbers, which go with x86-64's own name of the architecture; and numbers of nobody. */
static void another_kind_of_numbers_is_no_way_round(void **state)
{
	struct seccomp_data data = { .nr = 0x40000000 | SYS_read, .arch = own_arch() };

	(void)state;
	for (size_t kind = 0; kind < SANDBOX_THREAD_COUNT; kind++) {
		data.nr = 0x40000000 | SYS_read;
		assert_int_not_equal(run((enum sandbox_thread)kind, &data), SECCOMP_RET_ALLOW);
		data.nr = 5000;
		assert_int_equal(run((enum sandbox_thread)kind, &data), REFUSED);
		data.nr = -1;
		assert_int_not_equal(run((enum sandbox_thread)kind, &data), SECCOMP_RET_ALLOW);
	}
}

static void users_are_found_by_name_and_number(void **state)
{
	struct error err = ERROR_INIT;
	struct sandbox_user by_name, by_number;

	(void)state;
	assert_int_equal(sandbox_find_user("daemon", &by_name, &err), 0);
	assert_int_equal(sandbox_find_user("1", &by_number, &err), 0);
	assert_int_equal(by_name.uid, 1);
	assert_int_equal(by_name.gid, by_number.gid);
	assert_int_equal(sandbox_find_user("root", &by_name, &err), -EINVAL);
	assert_int_equal(sandbox_find_user("0", &by_name, &err), -EINVAL);
	assert_int_equal(sandbox_find_user("", &by_name, &err), -ENOENT);
	assert_int_equal(sandbox_find_user("no such user", &by_name, &err), -ENOENT);
	assert_int_equal(sandbox_find_user("1x", &by_name, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_opens_executes_or_connects),
		cmocka_unit_test(each_kind_has_what_it_lives_by),
		cmocka_unit_test(a_thread_is_made_but_no_process),
		cmocka_unit_test(memory_is_never_executable),
		cmocka_unit_test(requests_are_of_the_thread_s_groups),
		cmocka_unit_test(arguments_are_narrow),
		cmocka_unit_test(another_architecture_s_calls_end_the_process),
		cmocka_unit_test(another_kind_of_numbers_is_no_way_round),
		cmocka_unit_test(users_are_found_by_name_and_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
