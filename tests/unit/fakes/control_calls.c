/* SPDX-License-Identifier: Apache-2.0 */
/* QMP commands in tests: see control_calls.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control_calls.h"

json_t *control_call(struct control_session *session, const char *name, const char *arguments,
                     struct control_failure *failure)
{
	json_t *parsed = json_loads(arguments, 0, NULL), *result = NULL;
	bool found = false;

	assert_non_null(parsed);
	*failure = (struct control_failure){ .error = ERROR_INIT };
	for (size_t i = 0; i < control_command_count; i++) {
		if (strcmp(control_commands[i].name, name) == 0) {
			found = true;
			result = control_commands[i].handler(session, parsed, failure);
		}
	}
	assert_true(found);
	json_decref(parsed);
	return result;
}

void assert_control_answers(struct control_session *session, const char *name,
                            const char *arguments, const char *expected)
{
	struct control_failure failure;
	json_t *result = control_call(session, name, arguments, &failure);
	char *text = json_dumps(result, JSON_ENCODE_ANY);

	if (!result)
		print_error("%s: %s\n", name, failure.error.message);
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
	json_decref(result);
}

void assert_control_fails(struct control_session *session, const char *name, const char *arguments,
                          const char *error_class, const char *message)
{
	struct control_failure failure;

	assert_null(control_call(session, name, arguments, &failure));
	assert_string_equal(failure.class ? failure.class : "GenericError", error_class);
	assert_string_equal(failure.error.message, message);
}
