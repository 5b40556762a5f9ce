/* SPDX-License-Identifier: Apache-2.0 */
/* The error that set-up and control functions hand to their callers. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ebb/error.h"

int error_set(struct error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	return code;
}

int error_set_errno(struct error *err, int code, const char *format, ...)
{
	char text[128];
	va_list args;
	int length;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	length = vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(err->message))
		return code;
	snprintf(err->message + length, sizeof(err->message) - (size_t)length, ": %s",
	         strerror_r(-code, text, sizeof(text)));
	return code;
}

void error_prefix(struct error *err, const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX];
	va_list args;
	size_t used;
	int length;

	if (!err || !err->code)
		return;
	memcpy(message, err->message, sizeof(message));
	va_start(args, format);
	length = vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	if (length < 0)
		return;
	used = strlen(err->message);
	for (const char *from = ": "; *from && used < sizeof(err->message) - 1; from++)
		err->message[used++] = *from;
	for (const char *from = message; *from && used < sizeof(err->message) - 1; from++)
		err->message[used++] = *from;
	err->message[used] = '\0';
}
