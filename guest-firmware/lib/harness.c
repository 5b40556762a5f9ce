/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation over the console. */
#include "harness.h"
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "string.h"

#define ANSWER_MS 60000

bool harness_listens(void)
{
	return option_present("harness");
}

/* The next line that is typed, without its end. */
static bool read_line(char *buf, size_t size_bytes)
{
	uint64_t end = clock_ns() + ANSWER_MS * 1000000ull;
	size_t length = 0;

	while (clock_ns() < end) {
		int c = platform_getc();

		if (c == '\n' || c == '\r') {
			buf[length] = 0;
			return true;
		}
		if (c >= ' ' && length < size_bytes - 1)
			buf[length++] = (char)c;
		else if (c < 0)
			cpu_relax();
	}
	return false;
}

uint64_t harness_ask(const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	string_vformat(line, sizeof(line), format, args);
	va_end(args);
	print("harness: %s;\n", line);
	if (!read_line(line, sizeof(line)) || line[0] < '0' || line[0] > '9')
		return HARNESS_NO_ANSWER;
	return string_to_u64(line);
}
