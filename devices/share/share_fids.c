/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fids: the client's numbers of files, each with one descriptor of the host's.
 *
 * DOC: an array made at start, of which memory is taken as it is used the first time, a hash of
 * chains through it by number, and a chain of those that became free. A guest that picks numbers
 * which share a chain walks along it at its own cost, and no further than the array is long.
 *
 * There are many: Linux keeps a fid for each name in its cache, and an overlay on a share keeps
 * them as long as its own names. What one costs the host beside this array is a descriptor and a
 * file in its cache that cannot leave it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "share_private.h"

#define BUCKET_BITS 16
#define BUCKETS     (1 << BUCKET_BITS)
#define NONE        (-1)

struct share_fids {
	unsigned int max, count;
	unsigned int touched; /* those behind were never used */
	int32_t free;
	int32_t buckets[BUCKETS];
	struct share_fid fids[];
};

/* Linux counts up from 0; what others do, as every 65536th, spreads by the multiplication
 * (Knuth's), in whose upper bits all of the number is. */
static unsigned int bucket_of(uint32_t number)
{
	return (uint32_t)(number * UINT32_C(2654435761)) >> (32 - BUCKET_BITS);
}

static void make_empty(struct share_fids *fids)
{
	for (unsigned int i = 0; i < BUCKETS; i++)
		fids->buckets[i] = NONE;
	fids->free = NONE;
	fids->touched = fids->count = 0;
}

int share_fids_create(unsigned int max, struct share_fids **ret_fids)
{
	struct share_fids *fids = calloc(1, sizeof(*fids) + max * sizeof(fids->fids[0]));

	if (!fids)
		return -ENOMEM;
	fids->max = max;
	make_empty(fids);
	*ret_fids = fids;
	return 0;
}

void share_fids_clear(struct share_fids *fids)
{
	for (unsigned int i = 0; i < fids->touched; i++)
		if (fids->fids[i].fd >= 0)
			close(fids->fids[i].fd);
	make_empty(fids);
}

void share_fids_destroy(struct share_fids *fids)
{
	if (!fids)
		return;
	share_fids_clear(fids);
	free(fids);
}

struct share_fid *share_fids_find(struct share_fids *fids, uint32_t number)
{
	int32_t at = fids->buckets[bucket_of(number)];

	while (at != NONE && fids->fids[at].number != number)
		at = fids->fids[at].next;
	return at == NONE ? NULL : &fids->fids[at];
}

/* A place in the array; NONE: all are taken. */
static int32_t take_place(struct share_fids *fids)
{
	const int32_t at = fids->free;

	if (at != NONE)
		fids->free = fids->fids[at].next;
	else if (fids->touched < fids->max)
		return (int32_t)fids->touched++;
	return at;
}

int share_fids_add(struct share_fids *fids, uint32_t number, int fd, struct share_fid **ret_fid)
{
	int32_t at, *bucket = &fids->buckets[bucket_of(number)];

	if (number == P9_NO_FID)
		return -EINVAL;
	if (share_fids_find(fids, number))
		return -EEXIST;
	at = take_place(fids);
	if (at == NONE)
		return -EMFILE;
	fids->fids[at] = (struct share_fid){
		.number = number, .fd = fd, .next = *bucket, .position = SHARE_POSITION_UNSET
	};
	*bucket = at;
	fids->count++;
	*ret_fid = &fids->fids[at];
	return 0;
}

void share_fids_remove(struct share_fids *fids, struct share_fid *fid)
{
	const int32_t at = (int32_t)(fid - fids->fids);
	int32_t *link = &fids->buckets[bucket_of(fid->number)];

	while (*link != at)
		link = &fids->fids[*link].next;
	*link = fid->next;
	close(fid->fd);
	fid->fd = -1;
	fid->next = fids->free;
	fids->free = at;
	fids->count--;
}

unsigned int share_fids_count(const struct share_fids *fids)
{
	return fids->count;
}
