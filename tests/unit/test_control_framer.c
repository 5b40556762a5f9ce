/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting a stream of bytes into JSON texts, however it arrives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/control_private.h"

/* Feeds all of input in steps; writes the texts, each in <>, and '!' for a lost stream. */
static void cut(const char *input, size_t input_bytes, size_t step_bytes, char *result)
{
	struct control_framer framer;
	enum control_frame frame = CONTROL_FRAME_NONE;
	const char *text;
	size_t size_bytes;

	*result = '\0';
	assert_int_equal(control_framer_init(&framer), 0);
	while (input_bytes && frame <= CONTROL_FRAME_COMPLETE) {
		size_t room_bytes, chunk_bytes;
		char *room = control_framer_space(&framer, &room_bytes);

		assert_true(room_bytes > 0);
		chunk_bytes = min_u64(min_u64(room_bytes, step_bytes), input_bytes);
		memcpy(room, input, chunk_bytes);
		control_framer_added(&framer, chunk_bytes);
		input += chunk_bytes;
		input_bytes -= chunk_bytes;
		while ((frame = control_framer_next(&framer, &text, &size_bytes)) ==
		       CONTROL_FRAME_COMPLETE)
			result += sprintf(result, "<%.*s>", (int)size_bytes, text);
	}
	if (frame > CONTROL_FRAME_COMPLETE)
		strcpy(result, frame == CONTROL_FRAME_TOO_LONG ? "!long" : "!deep");
	control_framer_fini(&framer);
}

static void streams_are_cut_at_their_brackets(void **state)
{
	static const struct {
		const char *input, *result;
	} rows[] = {
		{ "", "" },
		{ " \r\n\t ", "" },
		{ "{}", "<{}>" },
		{ "{}{}\n{}", "<{}><{}><{}>" },
		{ "{\n\"a\":\r\n{}\n}\n", "<{\n\"a\":\r\n{}\n}>" },
		{ "[1, {\"a\": [2]}] {}", "<[1, {\"a\": [2]}]><{}>" },
		{ "{\"a\": \"}\\\"{\"} {}", "<{\"a\": \"}\\\"{\"}><{}>" },
		{ "{\"a\": \"\\\\\"}{}", "<{\"a\": \"\\\\\"}><{}>" },
		/* Brackets that do not match are the parser's to refuse. */
		{ "{]{}", "<{]><{}>" },
		/* What starts no text is one up to the line's end. */
		{ "nonsense {}\n{}", "<nonsense {}><{}>" },
		{ "}\n{}", "<}><{}>" },
		{ "\"{}\"\n{}", "<\"{}\"><{}>" },
		{ "1\n\n2\n", "<1><2>" },
		{ "\xff\xfe\n{}", "<\xff\xfe><{}>" },
		/* A string does not go over a line's end. */
		{ "{\"half\n{}", "<{\"half><{}>" },
		{ "{\"half\\\n{}", "<{\"half\\><{}>" },
		/* Half of anything is nothing yet. */
		{ "{\"a\": [1, 2", "" },
		{ "garbage", "" },
	};
	char result[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t step_bytes = 1; step_bytes < 8; step_bytes++) {
			cut(rows[i].input, strlen(rows[i].input), step_bytes, result);
			assert_string_equal(result, rows[i].result);
		}
	}
}

static void a_request_has_a_limit(void **state)
{
	static char input[2 * CONTROL_REQUEST_MAX_BYTES];
	static char result[4 * CONTROL_REQUEST_MAX_BYTES];

	(void)state;
	memset(input, 'x', sizeof(input));
	cut(input, sizeof(input), 1000, result);
	assert_string_equal(result, "!long");
	input[0] = '{';
	cut(input, sizeof(input), 4096, result);
	assert_string_equal(result, "!long");
	/* One of just that length is one too long; a byte less is a request. */
	input[CONTROL_REQUEST_MAX_BYTES - 1] = '}';
	cut(input, CONTROL_REQUEST_MAX_BYTES, 4096, result);
	assert_int_equal(strlen(result), CONTROL_REQUEST_MAX_BYTES + 2);
	/* Blanks between requests count for nothing. */
	memset(input, ' ', sizeof(input));
	memcpy(input + sizeof(input) - 2, "{}", 2);
	cut(input, sizeof(input), 4096, result);
	assert_string_equal(result, "<{}>");
}

static void nesting_has_a_limit(void **state)
{
	char input[2 * CONTROL_DEPTH_MAX + 3], result[256];

	(void)state;
	memset(input, '[', CONTROL_DEPTH_MAX);
	memset(input + CONTROL_DEPTH_MAX, ']', CONTROL_DEPTH_MAX);
	cut(input, 2 * CONTROL_DEPTH_MAX, 7, result);
	assert_int_equal(strlen(result), 2 * CONTROL_DEPTH_MAX + 2);
	memset(input, '[', CONTROL_DEPTH_MAX + 1);
	cut(input, CONTROL_DEPTH_MAX + 1, 7, result);
	assert_string_equal(result, "!deep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_cut_at_their_brackets),
		cmocka_unit_test(a_request_has_a_limit),
		cmocka_unit_test(nesting_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
