/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a guest whose root is a folder of the host (`ebb run --root`): mounts it,
 * makes it the root, and runs a shell in it, or what init= on the kernel's command line names.
 *
 * It lies in the initramfs that ebb makes (src/root_initrd.c), whose /ebb/settings says what to do
 *and whose /ebb/modules are loaded first:
 *
 *	/            initramfs          /host     the folder, over 9P
 *	/memory      tmpfs: the overlay's upper layer
 *	/root        the overlay of the two, or the folder itself; becomes /
 *
 * Linux alone is beneath it, no C library. What cannot be done is said on the console in one line;
 * where there is no way on, the machine is switched off.
 */
#include <stdarg.h>
#include <stdbool.h>

#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/reboot.h>
#include <linux/sockios.h>

#include "string.h"
#include "user/syscall.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4 /* <linux/module.h>, Linux 5.17 */
#endif

#define PATH_BYTES     320
#define SETTING_BYTES  80
#define TEXT_BYTES     (16 * 1024) /* the command line has 4096 at most, the list of modules 13 KiB */
#define LINE_BYTES     512
#define ARGUMENTS_MAX  32
#define DEVICE_WAIT_NS 50000000 /* and so often: */
#define DEVICE_WAITS   60

#define SETTINGS_PATH  "/ebb/settings"
#define MODULES_FOLDER "/ebb/modules/"

#define ROOT_OPTIONS  "trans=virtio,version=9p2000.L,msize=262144,"
#define ROOT_OVERLAID ROOT_OPTIONS "access=any,cache=loose" /* the host does not change it now */
#define ROOT_ALONE    ROOT_OPTIONS "access=client,cache=mmap"

#define BUILT_IN_OR_MODULES \
	"build them in, or have its modules and their modules.dep in lib/modules of the folder"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

void user_main(long *stack) __attribute__((noreturn));

/* --- system calls by their names --- */

#define CALL5(name, a, b, c, d, e) \
	system_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define CALL4(name, a, b, c, d) CALL5(name, a, b, c, d, 0)
#define CALL3(name, a, b, c)    CALL5(name, a, b, c, 0, 0)
#define CALL2(name, a, b)       CALL5(name, a, b, 0, 0, 0)
#define CALL1(name, a)          CALL5(name, a, 0, 0, 0, 0)

static int open_file(const char *path, int flags)
{
	return (int)CALL4(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static void make_folder(const char *path)
{
	(void)CALL3(mkdirat, AT_FDCWD, path, 0755); /* what it is for says whether it is there */
}

static long mount(const char *source, const char *target, const char *kind, unsigned long flags,
                  const char *options)
{
	return CALL5(mount, source, target, kind, flags, options);
}

static void wait_ns(long ns)
{
	struct {
		long seconds, ns;
	} time = { 0, ns };

	(void)CALL2(nanosleep, &time, 0);
}

/* --- what is told --- */

/* One line of all the words, which end with NULL; what is too long is cut. */
static void say(const char *first, ...)
{
	char line[LINE_BYTES] = "ebb: ";
	size_t used = strlen(line);
	va_list words;

	va_start(words, first);
	for (const char *word = first; word; word = va_arg(words, const char *))
		while (*word && used < sizeof(line) - 2)
			line[used++] = *word++;
	va_end(words);
	line[used++] = '\n';
	(void)CALL3(write, 2, line, used);
}

static void __attribute__((noreturn)) power_off(void)
{
	(void)CALL1(sync, 0);
	(void)CALL4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF,
	            0);
	say("the kernel cannot switch the machine off", NULL);
	for (;;)
		wait_ns(999999999);
}

#define DIE(...) \
	do { \
		say(__VA_ARGS__, NULL); \
		power_off(); \
	} while (0)

static const char *error_text(long result)
{
	static const struct {
		int number;
		const char *text;
	} rows[] = {
		{ ENOENT, "not there" },
		{ EACCES, "permission denied" },
		{ EPERM, "not permitted" },
		{ ENOTDIR, "not a folder" },
		{ ENOEXEC, "no program for this machine" },
		{ EROFS, "read-only" },
		{ ENOMEM, "out of memory" },
		{ ENODEV, "the kernel does not have it" },
		{ ENOSYS, "the kernel does not have it" },
		{ EOPNOTSUPP, "the kernel does not have it" },
		{ EINVAL, "the kernel does not take it" },
		{ EIO, "input/output error" },
	};
	static char number[] = "error 000";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (-result == rows[i].number)
			return rows[i].text;
	for (size_t i = 0, value = (size_t)-result; i < 3; i++, value /= 10)
		number[sizeof(number) - 2 - i] = (char)('0' + value % 10);
	return number;
}

/* --- what is read: always bounded --- */

/* A file's beginning as a string; "" when it cannot be read. */
static void read_text(const char *path, char *text, size_t size_bytes)
{
	size_t used = 0;
	int fd = open_file(path, O_RDONLY);
	long got = fd;

	while (got >= 0 && used < size_bytes - 1) {
		got = CALL3(read, fd, text + used, size_bytes - 1 - used);
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	text[used] = 0;
	if (fd >= 0)
		(void)CALL1(close, fd);
}

/* The word behind "KEY " at a line's beginning; fallback where there is none. */
static void find_setting(const char *text, const char *key, char value[SETTING_BYTES],
                         const char *fallback)
{
	size_t length = strlen(key), used = 0;

	string_copy(value, fallback, SETTING_BYTES);
	while (*text) {
		if (!strncmp(text, key, length) && text[length] == ' ') {
			for (text += length + 1;
			     *text && *text != '\n' && used < SETTING_BYTES - 1;)
				value[used++] = *text++;
			value[used] = 0;
			return;
		}
		while (*text && *text++ != '\n')
			;
	}
}

/* The last KEYVALUE of a kernel's command line, where blanks in '"' do not part words. */
static bool find_parameter(const char *text, const char *key, char *value, size_t size_bytes)
{
	size_t length = strlen(key);
	bool found = false;

	while (*text) {
		const char *word = text;
		bool quoted = false;
		size_t used = 0;

		while (*text && (quoted || (*text != ' ' && *text != '\n')))
			quoted ^= *text++ == '"';
		if (text - word == 2 && !strncmp(word, "--", 2))
			break; /* what is behind it is init's */
		if ((size_t)(text - word) > length && !strncmp(word, key, length)) {
			for (word += length; word < text && used < size_bytes - 1; word++)
				if (*word != '"')
					value[used++] = *word;
			value[used] = 0;
			found = true;
		}
		while (*text == ' ' || *text == '\n')
			text++;
	}
	return found;
}

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
		make_folder("/root");
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

static void mount_root(bool writable, bool *ret_overlaid)
{
	*ret_overlaid = false;
	if (writable) {
		mount_folder("/root", 0, ROOT_ALONE);
		return;
	}
	mount_folder("/host", MS_RDONLY, ROOT_OVERLAID);
	*ret_overlaid = mount_overlay();
	if (!*ret_overlaid) {
		make_folder("/root");
		if (mount("/host", "/root", NULL, MS_BIND, NULL))
			DIE("the folder of --root cannot be bound");
	}
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

/* The terminal that /dev/console is: with its own name it can be a session's. */
static void open_terminal(void)
{
	char names[SETTING_BYTES], path[SETTING_BYTES + sizeof("/dev/")] = "/dev/";
	size_t end, begin;

	read_text("/sys/class/tty/console/active", names, sizeof(names));
	for (end = strlen(names); end && names[end - 1] <= ' '; end--)
		;
	names[end] = 0;
	for (begin = end; begin && names[begin - 1] > ' '; begin--)
		;
	string_copy(path + strlen(path), names + begin, SETTING_BYTES);
	if (begin == end || !open_streams(path))
		(void)open_streams("/dev/console");
	(void)CALL3(ioctl, 0, TIOCSCTTY, 0);
}

static void __attribute__((noreturn)) run_shell(const char *const *environment)
{
	static const char *const shells[] = { "/bin/bash", "/bin/sh" };
	long result = -ENOENT;

	(void)CALL1(setsid, 0);
	open_terminal();
	if (CALL1(chdir, "/root"))
		(void)CALL1(chdir, "/");
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		const char *const arguments[] = { shells[i], "-l", NULL };

		result = CALL3(execve, shells[i], arguments, environment);
	}
	say("no shell in the folder: /bin/sh: ", error_text(result),
	    " (have one there, or name a program: -p init=PROGRAM)", NULL);
	(void)CALL1(exit_group, 1);
	for (;;)
		;
}

/* The shell has a parent that buries the dead and switches off when it is over. */
static void __attribute__((noreturn)) serve_shell(const char *const *environment)
{
	long shell = CALL5(clone, SIGCHLD, 0, 0, 0, 0), ended;

	if (!shell)
		run_shell(environment);
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
static void run_init(const char *path, long *stack, const char *const *environment)
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
	static char text[TEXT_BYTES], command_line[TEXT_BYTES], init[PATH_BYTES];
	static char mode[SETTING_BYTES], hostname[SETTING_BYTES], term[5 + SETTING_BYTES] = "TERM=";
	static const char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"USER=root",
		"LOGNAME=root",
		term,
		NULL
	};
	bool overlaid, writable;
	long result = mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");

	if (!open_streams("/dev/console"))
		(void)open_streams("/dev/null");
	if (result)
		say("no /dev: the kernel has no CONFIG_DEVTMPFS", NULL);
	(void)mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	(void)mount("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	read_text("/proc/cmdline", command_line, sizeof(command_line));
	read_text(SETTINGS_PATH, text, sizeof(text));
	find_setting(text, "mode", mode, "overlay");
	find_setting(text, "hostname", hostname, "ebb");
	find_setting(text, "term", term + strlen(term), "linux");
	load_modules(text);
	writable = !strcmp(mode, "rw");
	mount_root(writable, &overlaid);
	enter_root(writable, overlaid);
	(void)CALL2(sethostname, hostname, strlen(hostname));
	if (find_parameter(command_line, "init=", init, sizeof(init)))
		run_init(init, stack, environment);
	loopback_up();
	serve_shell(environment);
}
