/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/console.c: keeps the output, types what it is told. */
#include "fake_console.h"

#include <string.h>

struct fake_console fake_console;

void fake_console_clear(void)
{
	memset((void *)&fake_console, 0, sizeof(fake_console));
}

size_t fake_console_type(const char *text, size_t size_bytes)
{
	size_t typed = 0;

	while (typed < size_bytes) {
		const struct console_input_ops *ops = fake_console.ops;
		void *ctx = fake_console.ctx;
		size_t room = ops ? ops->room(ctx) : 0, part;

		if (!room && fake_console.polled_ops) {
			ops = fake_console.polled_ops;
			ctx = fake_console.polled_ctx;
			room = ops->room(ctx);
		}
		if (!room)
			break;
		part = size_bytes - typed < room ? size_bytes - typed : room;
		ops->input(ctx, text + typed, part);
		typed += part;
	}
	return typed;
}

int console_create(const struct console_config *config, const struct console_events *events,
                   struct event_loop *main_loop, struct log *log, struct console **ret_console,
                   struct error *err)
{
	(void)config;
	(void)events;
	(void)main_loop;
	(void)log;
	(void)err;
	/* Nobody looks behind it. */
	*ret_console = (struct console *)(void *)&fake_console;
	return 0;
}

void console_destroy(struct console *console)
{
	(void)console;
}

int console_start(struct console *console, struct error *err)
{
	(void)console;
	(void)err;
	return 0;
}

void console_resized(struct console *console)
{
	(void)console;
	if (fake_console.ops && fake_console.ops->resized)
		fake_console.ops->resized(fake_console.ctx, fake_console.columns,
		                          fake_console.rows);
}

void console_write(struct console *console, const void *data, size_t size_bytes)
{
	size_t left = fake_console.output_bytes < FAKE_CONSOLE_OUTPUT_MAX
	                      ? FAKE_CONSOLE_OUTPUT_MAX - fake_console.output_bytes
	                      : 0;

	(void)console;
	if (left)
		memcpy(fake_console.output + fake_console.output_bytes, data,
		       size_bytes < left ? size_bytes : left);
	fake_console.output_bytes += size_bytes;
	if (fake_console.during_write)
		fake_console.during_write(fake_console.during_write_ctx);
}

size_t console_offer(struct console *console, const void *data, size_t size_bytes)
{
	size_t taken_bytes = size_bytes;

	if (fake_console.is_slow && taken_bytes > fake_console.room_bytes)
		taken_bytes = fake_console.room_bytes;
	fake_console.room_bytes -= fake_console.is_slow ? taken_bytes : 0;
	console_write(console, data, taken_bytes);
	return taken_bytes;
}

void fake_console_make_room(size_t room_bytes)
{
	fake_console.room_bytes = room_bytes;
	if (fake_console.ops && fake_console.ops->output_room)
		fake_console.ops->output_room(fake_console.ctx);
}

void console_flush(struct console *console)
{
	(void)console;
}

uint64_t console_dropped_bytes(const struct console *console)
{
	(void)console;
	return 0;
}

void console_attach(struct console *console, const struct console_input_ops *ops, void *ctx)
{
	(void)console;
	fake_console.ops = ops;
	fake_console.ctx = ctx;
}

void console_attach_polled(struct console *console, const struct console_input_ops *ops, void *ctx)
{
	(void)console;
	fake_console.polled_ops = ops;
	fake_console.polled_ctx = ctx;
}

void console_input_ready(struct console *console)
{
	(void)console;
	fake_console.ready_count++;
}

void console_size(struct console *console, uint16_t *ret_columns, uint16_t *ret_rows)
{
	(void)console;
	*ret_columns = fake_console.columns;
	*ret_rows = fake_console.rows;
}
