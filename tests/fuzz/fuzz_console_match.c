/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that prints anything, in pieces of any size, past the search for the user's pattern and
 * the panic line. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/console_match.h"

/* The first byte says how long the pieces are; what is found must not depend on it. */
static unsigned int search(const uint8_t *data, size_t size_bytes, size_t step)
{
	struct console_match match;
	struct error err = ERROR_INIT;
	unsigned int found = 0;
	int rc = console_match_init(&match, "log[io]n: $|^a.*z$", &err);

	assert(rc == 0);
	for (size_t i = 0; i < size_bytes; i += step)
		found |= console_match_feed(&match, data + i,
		                            size_bytes - i < step ? size_bytes - i : step);
	found |= console_match_pause(&match);
	assert(match.length < CONSOLE_LINE_MAX);
	console_match_fini(&match);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	unsigned int whole, pieces;

	if (size_bytes < 1)
		return 0;
	whole = search(data + 1, size_bytes - 1, size_bytes);
	pieces = search(data + 1, size_bytes - 1, data[0] % 37 + 1);
	assert(whole == pieces);
	return 0;
}
