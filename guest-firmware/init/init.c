/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a guest whose root is a folder of the host (`ebb run --root`): mounts it,
 * makes it the root, and runs a shell in it, or what init= on the kernel's command line names.
 *
 * It lies in the initramfs that ebb makes (src/root_initrd.c), whose /ebb/settings says what to do
 * and whose /ebb/modules are loaded first:
 *
 *	/            initramfs          /host     the folder, over 9P
 *	/memory      tmpfs: the overlay's upper layer
 *	/root        the overlay of the two, or the folder itself; becomes /
 *
 * Linux alone is beneath it, no C library. What cannot be done is said on the console in one line;
 * where there is no way on, the machine is switched off.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/mount.h>
#include <linux/sockios.h>

#include "common.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4 /* <linux/module.h>, Linux 5.17 */
#endif

#define PATH_BYTES     320
#define WORD_BYTES     80
#define TEXT_BYTES     (16 * 1024) /* the command line has 4096 at most, the list of modules 13 KiB */
#define ARGUMENTS_MAX  32
#define DEVICE_WAIT_NS 50000000 /* and so often: */
#define DEVICE_WAITS   60

#define SETTINGS_PATH  "/ebb/settings"
#define MODULES_FOLDER "/ebb/modules/"

#define ROOT_OPTIONS  "trans=virtio,version=9p2000.L,msize=262144,access=client,cache="
#define ROOT_OVERLAID ROOT_OPTIONS "loose" /* the host does not change it now */
#define ROOT_ALONE    ROOT_OPTIONS "mmap"

#define BUILT_IN_OR_MODULES \
	"build them in, or have its modules and their modules.dep in lib/modules of the folder"

void user_main(long *stack) __attribute__((noreturn));

/* --- modules --- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

static void load_module(const char *name)
{
	char path[PATH_BYTES] = MODULES_FOLDER;
	bool is_packed = !ends_with(name, ".ko");
	long result;
	int fd;

	string_copy(path + strlen(path), name, sizeof(path) - strlen(path));
	fd = open_file(path, O_RDONLY);
	result = fd < 0 ? fd
	                : CALL3(finit_module, fd, "", is_packed ? MODULE_INIT_COMPRESSED_FILE : 0);
	if (fd >= 0)
		(void)CALL1(close, fd);
	(void)CALL3(unlinkat, AT_FDCWD, path, 0); /* its memory is the guest's */
	if (is_packed && (result == -EOPNOTSUPP || result == -EINVAL))
		say("module ", name,
		    ": the kernel cannot unpack it (unpack its modules in the folder and "
		    "run depmod, or build it with CONFIG_MODULE_DECOMPRESS=y)",
		    NULL);
	else if (result < 0 && result != -EEXIST)
		say("module ", name, ": ", error_text(result), NULL);
}

/* The list is a name a line. */
static void load_modules(char *list)
{
	read_text(MODULES_FOLDER "list", list, TEXT_BYTES);
	while (*list) {
		char *name = list;

		while (*list && *list != '\n')
			list++;
		if (*list)
			*list++ = 0;
		if (*name)
			load_module(name);
	}
}

/* --- the root --- */

static void make_folder(const char *path)
{
	(void)CALL3(mkdirat, AT_FDCWD, path, 0755); /* what it is for says whether it is there */
}

static long mount(const char *source, const char *target, const char *kind, unsigned long flags,
                  const char *options)
{
	return CALL5(mount, source, target, kind, flags, options);
}

static void __attribute__((noreturn)) die_without_root(long result)
{
	if (result == -ENODEV)
		DIE("the kernel has no 9P: CONFIG_NET_9P, CONFIG_NET_9P_VIRTIO, CONFIG_9P_FS "
		    "(" BUILT_IN_OR_MODULES ")");
	if (result == -EINVAL || result == -EPROTONOSUPPORT || result == -ESOCKTNOSUPPORT)
		DIE("the kernel has no 9P over virtio: CONFIG_NET_9P_VIRTIO (" BUILT_IN_OR_MODULES
		    ")");
	if (result == -ENOENT)
		DIE("the kernel does not find the device of --root: CONFIG_VIRTIO_PCI, or "
		    "CONFIG_VIRTIO_MMIO with --transport mmio (" BUILT_IN_OR_MODULES ")");
	DIE("the folder of --root cannot be mounted: ", error_text(result));
}

/* A device may come up a moment after its driver. */
static void mount_folder(const char *target, unsigned long flags, const char *options)
{
	long result = -ENOENT;

	make_folder(target);
	for (int i = 0; result == -ENOENT && i < DEVICE_WAITS; i++) {
		if (i)
			wait_ns(DEVICE_WAIT_NS);
		result = mount("root", target, "9p", flags, options);
	}
	if (result)
		die_without_root(result);
}

/* A tmpfs, or a line that says why not. */
static bool mount_memory(const char *target, const char *options)
{
	long result;

	make_folder(target);
	result = mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options);
	if (result)
		say(target, " cannot be memory: ", error_text(result), NULL);
	return !result;
}

/* Over the folder in /host, at /root. */
static bool mount_overlay(void)
{
	long result;

	make_folder("/memory");
	result = mount("tmpfs", "/memory", "tmpfs", 0, "mode=0755");
	if (!result) {
		make_folder("/memory/upper");
		make_folder("/memory/work");
		result = mount("overlay", "/root", "overlay", 0,
		               "lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work");
	}
	if (result)
		say("no overlay (", error_text(result),
		    "; it takes CONFIG_OVERLAY_FS and CONFIG_TMPFS): the root is read-only, /tmp, "
		    "/var/tmp and /run are memory",
		    NULL);
	return !result;
}

/* Whether an overlay is on it. */
static bool mount_root(bool writable)
{
	if (writable) {
		mount_folder("/root", 0, ROOT_ALONE);
		return false;
	}
	mount_folder("/host", MS_RDONLY, ROOT_OVERLAID);
	make_folder("/root");
	if (mount_overlay())
		return true;
	if (mount("/host", "/root", NULL, MS_BIND, NULL))
		DIE("the folder of --root cannot be bound");
	return false;
}

static void move_mount(const char *from, const char *to)
{
	long result;

	make_folder(to);
	result = mount(from, to, NULL, MS_MOVE, NULL);
	if (result)
		say("no ", from, " in the root: ", error_text(result), NULL);
}

/* /root becomes /, with the kernel's own file systems where they belong. */
static void enter_root(bool writable, bool overlaid)
{
	static const char *const links[][2] = { { "/proc/self/fd", "/dev/fd" },
		                                { "/proc/self/fd/0", "/dev/stdin" },
		                                { "/proc/self/fd/1", "/dev/stdout" },
		                                { "/proc/self/fd/2", "/dev/stderr" } };
	long result;

	move_mount("/dev", "/root/dev");
	move_mount("/proc", "/root/proc");
	move_mount("/sys", "/root/sys");
	result = CALL1(chdir, "/root");
	if (!result)
		result = mount(".", "/", NULL, MS_MOVE, NULL);
	if (!result)
		result = CALL1(chroot, ".");
	if (!result)
		result = CALL1(chdir, "/");
	if (result)
		DIE("the folder cannot become the root: ", error_text(result));
	make_folder("/dev/pts");
	(void)mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
	            "gid=5,mode=0620,ptmxmode=0666");
	mount_memory("/dev/shm", "mode=1777");
	mount_memory("/run", "mode=0755");
	if (!writable && !overlaid) {
		mount_memory("/tmp", "mode=1777");
		mount_memory("/var/tmp", "mode=1777");
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		(void)CALL3(symlinkat, links[i][0], AT_FDCWD, links[i][1]);
}

/* --- what runs in it --- */

static void loopback_up(void)
{
	struct { /* struct ifreq, whose header wants a C library's */
		char name[16];
		short flags;
		char rest[24];
	} request = { .name = "lo" };
	int fd = (int)CALL3(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */, 0);

	if (fd < 0)
		return;
	if (!CALL3(ioctl, fd, SIOCGIFFLAGS, &request)) {
		request.flags |= 1; /* IFF_UP */
		(void)CALL3(ioctl, fd, SIOCSIFFLAGS, &request);
	}
	(void)CALL1(close, fd);
}

/* Standard streams on path; the descriptors that are open already are replaced. */
static bool open_streams(const char *path)
{
	int fd = open_file(path, O_RDWR | O_NOCTTY);

	if (fd < 0)
		return false;
	for (int stream = 0; stream < 3; stream++)
		if (fd != stream)
			(void)CALL3(dup3, fd, stream, 0);
		else /* without O_CLOEXEC */
			(void)CALL3(fcntl, fd, F_SETFD, 0);
	if (fd > 2)
		(void)CALL1(close, fd);
	return true;
}

/* The terminal that /dev/console is: with its own name it can be a session's, and has its size. */
static void open_terminal(const char *settings)
{
	char names[WORD_BYTES], path[WORD_BYTES + sizeof("/dev/")] = "/dev/";
	char rows[WORD_BYTES] = "", columns[WORD_BYTES] = "";
	unsigned short size[4] = { 0 }; /* struct winsize */
	size_t end, begin;

	read_text("/sys/class/tty/console/active", names, sizeof(names));
	for (end = strlen(names); end && names[end - 1] <= ' '; end--)
		;
	names[end] = 0;
	for (begin = end; begin && names[begin - 1] > ' '; begin--)
		;
	string_copy(path + strlen(path), names + begin, WORD_BYTES);
	if (begin == end || !open_streams(path))
		(void)open_streams("/dev/console");
	(void)CALL3(ioctl, 0, TIOCSCTTY, 0);
	find_word(settings, "rows=", rows, sizeof(rows));
	find_word(settings, "columns=", columns, sizeof(columns));
	size[0] = (unsigned short)string_to_u64(rows);
	size[1] = (unsigned short)string_to_u64(columns);
	if (size[0] && size[1])
		(void)CALL3(ioctl, 0, TIOCSWINSZ, size);
}

static void __attribute__((noreturn))
run_shell(const char *settings, const char *const *environment)
{
	static const char *const shells[] = { "/bin/bash", "/bin/sh" };
	long result = -ENOENT;

	(void)CALL1(setsid, 0);
	open_terminal(settings);
	if (CALL1(chdir, "/root"))
		(void)CALL1(chdir, "/");
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		const char *const arguments[] = { shells[i], "-l", NULL };

		result = CALL3(execve, shells[i], arguments, environment);
	}
	say("no shell in the folder: /bin/sh: ", error_text(result),
	    " (have one there, or name a program: -p init=PROGRAM)", NULL);
	for (;;)
		(void)CALL1(exit_group, 1);
}

/* The shell has a parent that buries the dead and switches off when it is over. */
static void __attribute__((noreturn))
serve_shell(const char *settings, const char *const *environment)
{
	long shell = CALL5(clone, SIGCHLD, 0, 0, 0, 0), ended;

	if (!shell)
		run_shell(settings, environment);
	if (shell < 0)
		DIE("no process for the shell: ", error_text(shell));
	do
		ended = CALL4(wait4, -1, 0, 0, 0);
	while (ended != shell && (ended >= 0 || ended == -EINTR));
	(void)CALL2(kill, -1, SIGTERM);
	wait_ns(DEVICE_WAIT_NS);
	(void)CALL2(kill, -1, SIGKILL);
	power_off();
}

/* init= in our place, with the words of the command line that the kernel had no use for. */
static void __attribute__((noreturn))
run_init(const char *path, const long *stack, const char *const *environment)
{
	const char *arguments[ARGUMENTS_MAX + 1] = { path };
	long result;

	for (long i = 1; i < stack[0] && i < ARGUMENTS_MAX; i++)
		arguments[i] = (const char *)stack[i + 1];
	result = CALL3(execve, path, arguments, environment);
	DIE("init=", path, ": ", error_text(result));
}

void user_main(long *stack)
{
	static char settings[WORD_BYTES * 8], text[TEXT_BYTES], init[PATH_BYTES];
	static char mode[WORD_BYTES], hostname[WORD_BYTES] = "ebb", term[WORD_BYTES] = "TERM=linux";
	static const char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		term,
		NULL
	};
	bool overlaid, writable;
	long result = mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");

	if (!open_streams("/dev/console"))
		(void)open_streams("/dev/null");
	if (result)
		say("no /dev: the kernel has no CONFIG_DEVTMPFS", NULL);
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	(void)mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	read_text(SETTINGS_PATH, settings, sizeof(settings));
	find_word(settings, "mode=", mode, sizeof(mode));
	find_word(settings, "hostname=", hostname, sizeof(hostname));
	find_word(settings, "term=", term + 5, sizeof(term) - 5);
	load_modules(text);
	writable = !strcmp(mode, "rw");
	overlaid = mount_root(writable);
	enter_root(writable, overlaid);
	(void)CALL2(sethostname, hostname, strlen(hostname));
	read_text("/proc/cmdline", text, sizeof(text));
	if (find_word(text, "init=", init, sizeof(init)))
		run_init(init, stack, environment);
	loopback_up();
	serve_shell(settings, environment);
}
