/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/pressure.c: the host is short of memory when a test says so. */
#include "fake_pressure.h"

#include <assert.h>
#include <errno.h>

struct fake_pressure fake_pressure;

void fake_pressure_clear(void)
{
	fake_pressure = (struct fake_pressure){ 0 };
}

void fake_pressure_rise(void)
{
	if (fake_pressure.fn)
		event_loop_call(fake_pressure.loop, fake_pressure.fn, fake_pressure.ctx);
}

int pressure_open(void)
{
	return -EOPNOTSUPP;
}

int pressure_watch_create(struct event_loop *loop, int fd, event_work_fn fn, void *ctx,
                          struct pressure_watch **ret_watch)
{
	(void)fd;
	if (fake_pressure.is_not_told)
		return -EOPNOTSUPP;
	assert(!fake_pressure.fn);
	fake_pressure.loop = loop;
	fake_pressure.fn = fn;
	fake_pressure.ctx = ctx;
	/* Nobody looks behind it. */
	*ret_watch = (struct pressure_watch *)(void *)&fake_pressure;
	return 0;
}

void pressure_watch_destroy(struct pressure_watch *watch)
{
	if (watch)
		fake_pressure_clear();
}
