/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/reclaim_trace_file.c: see fake_reclaim_trace_file.h. */
#include "fake_reclaim_trace_file.h"

#include <errno.h>
#include <string.h>

struct fake_reclaim_trace_file fake_reclaim_trace_file = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
};

void fake_reclaim_trace_file_reset(void)
{
	struct fake_reclaim_trace_file *fake = &fake_reclaim_trace_file;

	fake->row_count = fake->text_bytes = 0;
	fake->writes = fake->cuts = fake->closes = 0;
	fake->room_bytes = SIZE_MAX;
	fake->hangs = false;
}

int reclaim_trace_file_open(const char *path, bool overwrite, struct reclaim_trace_file *ret_file,
                            struct error *err)
{
	(void)path;
	(void)overwrite;
	(void)err;
	*ret_file = (struct reclaim_trace_file){ .fd = -1 };
	return 0;
}

int reclaim_trace_file_take(int fd, bool json, struct reclaim_trace_file *ret_file,
                            struct error *err)
{
	(void)fd;
	(void)json;
	return reclaim_trace_file_open("", false, ret_file, err);
}

void reclaim_trace_file_close(struct reclaim_trace_file *file)
{
	(void)file;
	pthread_mutex_lock(&fake_reclaim_trace_file.lock);
	fake_reclaim_trace_file.closes++;
	pthread_cond_broadcast(&fake_reclaim_trace_file.changed);
	pthread_mutex_unlock(&fake_reclaim_trace_file.lock);
}

size_t reclaim_trace_file_format(const struct reclaim_trace_file *file,
                                 const struct reclaim_trace_row *row,
                                 char line[RECLAIM_TRACE_ROW_MAX_BYTES])
{
	(void)file;
	memcpy(line, row, sizeof(*row));
	return sizeof(*row);
}

ssize_t reclaim_trace_file_write(struct reclaim_trace_file *file, const char *text,
                                 size_t size_bytes)
{
	struct fake_reclaim_trace_file *fake = &fake_reclaim_trace_file;
	ssize_t ret = -ENOSPC;

	(void)file;
	pthread_mutex_lock(&fake->lock);
	fake->writes++;
	pthread_cond_broadcast(&fake->changed);
	while (fake->hangs)
		pthread_cond_wait(&fake->changed, &fake->lock);
	if (fake->text_bytes < fake->room_bytes) {
		size_bytes = min_u64(size_bytes, fake->room_bytes - fake->text_bytes);
		memcpy((char *)fake->rows + fake->text_bytes, text, size_bytes);
		fake->text_bytes += size_bytes;
		fake->row_count = fake->text_bytes / sizeof(fake->rows[0]);
		ret = (ssize_t)size_bytes;
	}
	pthread_mutex_unlock(&fake->lock);
	return ret;
}

void reclaim_trace_file_mark(struct reclaim_trace_file *file, uint64_t size_bytes)
{
	file->whole_bytes += size_bytes;
}

void reclaim_trace_file_cut(struct reclaim_trace_file *file)
{
	fake_reclaim_trace_file.cuts++;
	fake_reclaim_trace_file.text_bytes = file->whole_bytes;
	fake_reclaim_trace_file.row_count =
		file->whole_bytes / sizeof(fake_reclaim_trace_file.rows[0]);
}
