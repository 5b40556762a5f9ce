/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console over pipes, with a device in memory behind it: for the tests of console*.c
 * (`fakes: console_fixture`).
 */
#ifndef CONSOLE_FIXTURE_H
#define CONSOLE_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "ebb/console.h"
#include "ebb/log.h"

#define PATIENCE_MS 10000

#define PATTERN_BYTE(i) ((char)('a' + (i) % 23))

struct fixture {
	struct event_loop *loop;
	struct log *log; /* NULL: none */
	struct console *console;
	int input_fd, output_fd;   /* the console's ends */
	int typing_fd, screen_fd;  /* ours; -1: none */
	unsigned int stall_max_ms; /* 0: 200 */
	atomic_uint quits, matches, panics;
	/* The guest's device. */
	pthread_mutex_t lock;
	size_t room;
	char typed[8192];
	size_t typed_bytes;
	atomic_uint resizes, output_rooms;
	int started;
};

/* cmocka's; *state is a struct fixture whose console is not started. */
int set_up(void **state);
int tear_down(void **state);
#define with_pipes(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* pattern: --expect's, or NULL. */
void start(struct fixture *fixture, const char *pattern);

/* Takes the console down; pipes stay, so that what it flushed can be read. */
void stop(struct fixture *fixture);

void close_fd(int *fd);

/* One write of the console's, which must come. */
void expect_screen(struct fixture *fixture, const char *expected);
void wait_for(const atomic_uint *counter, unsigned int value);

/* All that the device has been given so far. */
void expect_typed(struct fixture *fixture, const char *text, size_t size_bytes);
void type(struct fixture *fixture, const char *text, size_t size_bytes);

/* The device has room for so much more, and says so. */
void make_room(struct fixture *fixture, size_t room);

/* Waits; whoever spins meanwhile is found out. */
void assert_idle(void);

/* console_resized, on the console's loop. */
void resize(struct fixture *fixture);

#endif
