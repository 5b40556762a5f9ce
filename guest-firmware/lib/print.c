/* SPDX-License-Identifier: Apache-2.0 */
/* A small printf. */
#include "print.h"
#include "platform.h"
#include "string.h"

struct sink {
	char *buf;
	size_t size_bytes;
	size_t length;
};

struct spec {
	unsigned int width;
	bool zero, left;
	unsigned int longs;
};

static void emit(struct sink *sink, char c)
{
	if (sink->length + 1 < sink->size_bytes)
		sink->buf[sink->length] = c;
	sink->length++;
}

static void emit_field(struct sink *sink, const char *text, size_t length, const struct spec *spec)
{
	size_t padding = spec->width > length ? spec->width - length : 0;

	if (!spec->left)
		for (; padding; padding--)
			emit(sink, spec->zero ? '0' : ' ');
	for (; length; length--)
		emit(sink, *text++);
	for (; padding; padding--)
		emit(sink, ' ');
}

static void emit_number(struct sink *sink, uint64_t value, unsigned int base, bool negative,
                        struct spec *spec)
{
	char digits[24];
	unsigned int at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative)
		digits[--at] = '-';
	emit_field(sink, digits + at, sizeof(digits) - at, spec);
}

static const char *parse_spec(const char *format, struct spec *spec)
{
	*spec = (struct spec){ 0 };
	for (;; format++) {
		if (*format == '0')
			spec->zero = true;
		else if (*format == '-')
			spec->left = true;
		else
			break;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		spec->width = spec->width * 10 + (unsigned int)(*format - '0');
	for (; *format == 'l' || *format == 'z'; format++)
		spec->longs++;
	return format;
}

int string_vformat(char *buf, size_t size_bytes, const char *format, va_list args)
{
	struct sink sink = { buf, size_bytes, 0 };
	struct spec spec;

	for (; *format; format++) {
		if (*format != '%') {
			emit(&sink, *format);
			continue;
		}
		format = parse_spec(format + 1, &spec);
		if (*format == 'd' || *format == 'i') {
			int64_t value = spec.longs ? va_arg(args, long) : va_arg(args, int);

			emit_number(&sink, value < 0 ? -(uint64_t)value : (uint64_t)value, 10,
			            value < 0, &spec);
		} else if (*format == 'u' || *format == 'x' || *format == 'X') {
			uint64_t value = spec.longs ? va_arg(args, unsigned long)
			                            : va_arg(args, unsigned int);

			emit_number(&sink, value, *format == 'u' ? 10 : 16, false, &spec);
		} else if (*format == 'p') {
			emit_number(&sink, (uintptr_t)va_arg(args, void *), 16, false, &spec);
		} else if (*format == 'c') {
			char c = (char)va_arg(args, int);

			emit_field(&sink, &c, 1, &spec);
		} else if (*format == 's') {
			const char *s = va_arg(args, const char *);

			emit_field(&sink, s, strlen(s), &spec);
		} else if (*format) {
			emit(&sink, *format);
		} else {
			break;
		}
	}
	if (size_bytes)
		buf[sink.length < size_bytes ? sink.length : size_bytes - 1] = 0;
	return (int)sink.length;
}

int string_format(char *buf, size_t size_bytes, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = string_vformat(buf, size_bytes, format, args);
	va_end(args);
	return length;
}

void vprint(const char *format, va_list args)
{
	char text[256];
	const char *at;

	string_vformat(text, sizeof(text), format, args);
	for (at = text; *at; at++)
		platform_putc(*at);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}
