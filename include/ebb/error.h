/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error a set-up or control function hands to its caller.
 *
 * Caller-owned, no heap: `struct error err = ERROR_INIT;`. The message is one phrase "what: why
 * (what to do)", names the offending value and the limit, and has no newline. Every function here
 * accepts err == NULL. A constructor that fails has set err and left its ret_* parameters
 * untouched.
 */
#ifndef EBB_ERROR_H
#define EBB_ERROR_H

#include "ebb/types.h"

#define ERROR_MESSAGE_MAX 512

struct error {
	int code; /* the -errno that goes with the message; 0 when none is set */
	char message[ERROR_MESSAGE_MAX];
};

#define ERROR_INIT \
	{ \
		.code = 0, .message = "" \
	}

/* Sets code (a negative errno) and message, truncating a long one. Returns code: `return
 * error_set(err, -EINVAL, …)`. */
int error_set(struct error *err, int code, const char *format, ...) EBB_PRINTF(3, 4);

/* As error_set, with ": " and the text of -code behind the message. Returns code. */
int error_set_errno(struct error *err, int code, const char *format, ...) EBB_PRINTF(3, 4);

/* Puts "prefix: " before a message that is set. */
void error_prefix(struct error *err, const char *format, ...) EBB_PRINTF(2, 3);

#endif
