/* SPDX-License-Identifier: Apache-2.0 */
/* Linux without a C library. */
#include "common.h"

#include <stdarg.h>

#include <linux/reboot.h>

#define LINE_BYTES 512

int open_file(const char *path, int flags)
{
	return (int)CALL4(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

void wait_ns(long ns)
{
	struct {
		long seconds, ns;
	} time = { 0, ns };

	(void)CALL2(nanosleep, &time, 0);
}

void say(const char *first, ...)
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

void power_off(void)
{
	(void)CALL1(sync, 0);
	(void)CALL4(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF,
	            0);
	say("the kernel cannot switch the machine off", NULL);
	for (;;)
		wait_ns(999999999);
}

const char *error_text(long result)
{
	static const struct {
		int number;
		const char *text;
	} rows[] = {
		{ ENOENT, "not there" },       { EACCES, "permission denied" },
		{ EPERM, "not permitted" },    { ENOTDIR, "not a folder" },
		{ EROFS, "read-only" },        { ENOEXEC, "no program for this machine" },
		{ ENOMEM, "out of memory" },   { ENODEV, "the kernel does not have it" },
		{ EIO, "input/output error" }, { ENOSYS, "the kernel does not have it" },
		{ EINVAL, "not taken" },       { EOPNOTSUPP, "the kernel does not have it" },
	};
	static char number[] = "error 000";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (-result == rows[i].number)
			return rows[i].text;
	for (size_t i = 0, value = (size_t)-result; i < 3; i++, value /= 10)
		number[sizeof(number) - 2 - i] = (char)('0' + value % 10);
	return number;
}

void read_text(const char *path, char *text, size_t size_bytes)
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

bool find_word(const char *text, const char *key, char *value, size_t size_bytes)
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
