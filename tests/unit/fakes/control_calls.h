/* SPDX-License-Identifier: Apache-2.0 */
/* QMP commands in tests: called by their names as a client's would be, and what comes of them. */
#ifndef CONTROL_CALLS_H
#define CONTROL_CALLS_H

#include <jansson.h>

#include "../../../src/control_private.h"

/* arguments: JSON. The result is the caller's; NULL: failure says why. */
json_t *control_call(struct control_session *session, const char *name, const char *arguments,
                     struct control_failure *failure);

/* It succeeds, with this as its result's JSON. */
void assert_control_answers(struct control_session *session, const char *name,
                            const char *arguments, const char *expected);

void assert_control_fails(struct control_session *session, const char *name, const char *arguments,
                          const char *error_class, const char *message);

#endif
