/* SPDX-License-Identifier: Apache-2.0 */
/* For tests/bench/test: what the bench's programs see as a VMM, with figures that are known. */
/*
 * test_vmm guest          speaks the guest's protocol on stdout and stdin: 64 MiB of "guest RAM", a
 *                         vCPU's thread that works for 200 ms of CPU time, releases of memory, and
 *                         calls that are none or that its own filter refuses
 * test_vmm run CALLS      CALLS system calls, then KVM_RUN
 * test_vmm ends           nothing
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MIB       (1 << 20)
#define RAM_BYTES (64 * MIB)
#define PAGE      4096

static void say_line(const char *line)
{
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(1);
}

static void ask(const char *name)
{
	char text[64] = "";

	snprintf(text, sizeof(text), "bench: ask %s\r\n", name);
	say_line(text);
	if (read(STDIN_FILENO, text, sizeof(text)) != 3 || memcmp(text, "go\n", 3))
		_exit(2);
}

static void *vcpu(void *ram)
{
	struct timespec used = { 0 };

	pthread_setname_np(pthread_self(), "vcpu/0");
	while (used.tv_sec == 0 && used.tv_nsec < 200000000)
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	madvise(ram, PAGE, MADV_FREE);
	say_line("bench: mark worked\n");
	pause();
	return NULL;
}

/* As a VMM's sandbox: fallocate that does not punch is refused. */
static int refuse_fallocate(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fallocate, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(*filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) ? -errno : 0;
}

/* Five calls of 3 MiB, 12 KiB and 64 KiB; false where one does not do what it should. */
static int release(char *ram, int file_fd)
{
	struct iovec ranges[] = { { ram + 8 * MIB, PAGE }, { ram + 9 * MIB, 2 * PAGE } };
	int self_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	for (int i = 1; i <= 3; i++)
		if (madvise(ram + i * MIB, MIB, MADV_DONTNEED) || ram[i * MIB])
			return 3;
	/* Linux before 6.13 refuses it; it was asked for. */
	syscall(SYS_process_madvise, self_fd, ranges, 2, MADV_DONTNEED, 0);
	if (fallocate(file_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 16 * PAGE))
		return 4;
	madvise(ram, RAM_BYTES, MADV_NOHUGEPAGE);
	madvise(ram, RAM_BYTES, MADV_WILLNEED);
	if (fallocate(file_fd, 0, 0, PAGE) == 0 || errno != EPERM)
		return 5;
	return 0;
}

static int guest(void)
{
	char *ram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file_fd = memfd_create("file", MFD_CLOEXEC), status;
	char long_line[900];
	pthread_t thread;

	if (ram == MAP_FAILED || ftruncate(file_fd, MIB) || refuse_fallocate())
		return 6;
	memset(long_line, 'x', sizeof(long_line));
	long_line[sizeof(long_line) - 2] = '\n';
	long_line[sizeof(long_line) - 1] = 0;
	say_line("firmware \033[2J\001\377\r\nbench: mark no name\nbench: mark /\nbench: what\n");
	say_line("bench: mark ");
	say_line(long_line);
	memset(ram, 1, RAM_BYTES);
	ask("ready");
	say_line("\033[Hbench: mark touched\r\n");
	if (pthread_create(&thread, NULL, vcpu, ram))
		return 7;
	ask("wait");
	status = release(ram, file_fd);
	if (status)
		return status;
	ask("released");
	madvise(ram + RAM_BYTES / 2, RAM_BYTES / 2, MADV_DONTNEED);
	ask("freed");
	say_line("bench: result churn seconds=1.5 \002wrong=0\r\n");
	ask("command");
	say_line("bench: over\n");
	usleep(100000);
	return 0;
}

static int run(int calls)
{
	int pipes[2];

	for (int i = 0; i < calls; i++)
		syscall(SYS_getppid);
	if (pipe(pipes))
		return 1;
	ioctl(pipes[0], KVM_RUN, 0);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "guest"))
		return guest();
	if (argc == 3 && !strcmp(argv[1], "run"))
		return run(atoi(argv[2]));
	return argc == 2 && !strcmp(argv[1], "ends") ? 9 : 64;
}
