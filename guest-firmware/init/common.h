/* SPDX-License-Identifier: Apache-2.0 */
/* What a program without a C library needs of Linux: system calls by their names, a word on the
 * console, files and words of bounded length. */
#ifndef INIT_COMMON_H
#define INIT_COMMON_H

#include <stdbool.h>

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>

#include "string.h"
#include "user/syscall.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* The result, or -errno. */
#define CALL5(name, a, b, c, d, e) \
	system_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define CALL4(name, a, b, c, d) CALL5(name, a, b, c, d, 0)
#define CALL3(name, a, b, c)    CALL5(name, a, b, c, 0, 0)
#define CALL2(name, a, b)       CALL5(name, a, b, 0, 0, 0)
#define CALL1(name, a)          CALL5(name, a, 0, 0, 0, 0)

int open_file(const char *path, int flags);

/* Below a second. */
void wait_ns(long ns);

/* One line of all the words, which end with NULL; what is too long is cut. */
void say(const char *first, ...);
const char *error_text(long result);

void power_off(void) __attribute__((noreturn));

#define DIE(...) \
	do { \
		say(__VA_ARGS__, NULL); \
		power_off(); \
	} while (0)

/* A file's beginning as a string; "" when it cannot be read. */
void read_text(const char *path, char *text, size_t size_bytes);

/*
 * The last word that begins with key ("init="), without that; value stays as it was where there is
 * none. As on a kernel's command line blanks in '"' do not part words, and behind "--" nothing is
 * looked for. What is too long is cut.
 */
bool find_word(const char *text, const char *key, char *value, size_t size_bytes);

#endif
