/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Areas: guest-physical addresses whose memory comes and goes in blocks.
 *
 * DOC: An area is one reservation of address space and a bit a block.
 *
 *	area    |-----------|-----------|-----------|-----------|
 *	chunks              |===========|===========|             regions in the table
 *	blocks               ####    ##   #                       plugged: readable and writable
 *
 * The host's mapping is what enforces: where no block is plugged there are no rights (PROT_NONE),
 * so that neither a vCPU nor ebb brings memory there, whatever the memslots say. The bits say the
 * same to those who translate. An area costs the host nothing until something is plugged: the bits
 * of 512 GiB in blocks of 2 MiB are 96 KiB that nobody has touched.
 *
 *	           plug                        unplug                      trim
 *	vacant ------------> plugged ----------------------------> stale -------> vacant
 *	           ^------- plug, as new ----------------------------|
 *	                     plugged <--- plug again, as it was ------'
 *
 * Nobody translates to stale blocks, but their pages may be there still, for whoever unplugs to
 * release (reclaim.h) or to give back; a vCPU may even touch them until they are vacant, which
 * takes away what it brought. The order on unplugging: the bits (readers are out when the table
 * lock is had), then the rights; on plugging the other way round.
 *
 * Chunks are what listeners hear of, so that plugging a block changes no memslot but for the first
 * and the last of a chunk. They are of a GiB, or of what makes at most CHUNKS_MAX of them; of a
 * small area, of less.
 *
 * Limits: runs of plugged blocks cost the host mappings (and memslots, when a guest touches what is
 * not plugged), which are bounded: see gmem_limit_runs. So do seams within a run (follow_seams).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "guest_memory_table.h"

#define CHUNKS_MAX      256
#define CHUNK_BYTES     GIB
#define CHUNK_MIN_BYTES (128 * MIB) /* of an area that is smaller than that */

#define MAPPINGS_MAX 32768 /* half of the 65530 that vm.max_map_count grants */

/* --- blocks --- */

struct blocks {
	size_t first, count;
};

static bool to_blocks(const struct gmem_area *area, gpa_t gpa, uint64_t size_bytes,
                      struct blocks *ret_blocks)
{
	const struct gmem_region *whole = &area->whole;

	if (!size_bytes || !range_contains(whole->gpa, whole->size_bytes, gpa, size_bytes) ||
	    !is_aligned((gpa - whole->gpa) | size_bytes, whole->block_bytes))
		return false;
	ret_blocks->first = (gpa - whole->gpa) / whole->block_bytes;
	ret_blocks->count = size_bytes / whole->block_bytes;
	return true;
}

static uint64_t offset_of(const struct gmem_area *area, const struct blocks *blocks)
{
	return blocks->first * area->whole.block_bytes;
}

static uint64_t size_of(const struct gmem_area *area, const struct blocks *blocks)
{
	return blocks->count * area->whole.block_bytes;
}

static bool all_plugged(const struct gmem_area *area, const struct blocks *blocks)
{
	size_t end = blocks->first + blocks->count;

	return bitmap_find_clear(area->plugged, end, blocks->first) == end;
}

static bool none_plugged(const struct gmem_area *area, const struct blocks *blocks)
{
	size_t end = blocks->first + blocks->count;

	return bitmap_find_set(area->plugged, end, blocks->first) == end;
}

/* How many runs more there are with the blocks plugged than without; -1 to their number. */
static int64_t count_runs(const struct gmem_area *area, const struct blocks *blocks)
{
	size_t chunk_blocks = area->chunk_bytes / area->whole.block_bytes;
	size_t end = blocks->first + blocks->count;
	size_t first_chunk = blocks->first / chunk_blocks, last_chunk = (end - 1) / chunk_blocks;
	bool joins_before =
		blocks->first % chunk_blocks && bitmap_test(area->plugged, blocks->first - 1);
	bool joins_behind =
		end < area->block_count && end % chunk_blocks && bitmap_test(area->plugged, end);

	return (int64_t)(last_chunk - first_chunk + 1) - joins_before - joins_behind;
}

/* Whether there may be so many runs more: memslots and, at two a run, mappings bound them. */
static bool runs_fit(const struct gmem_area *area, int64_t more)
{
	const struct guest_memory *memory = area->memory;
	uint64_t runs = memory->run_count + (uint64_t)more;

	return more <= 0 ||
	       (runs <= memory->runs_max && 2 * runs + memory->seam_count <= MAPPINGS_MAX);
}

/*
 * The kernel joins no two private mappings that were both touched: where a gap between two is
 * filled, it ends where the second begins.
 */
static void follow_seams(struct gmem_area *area, const struct blocks *blocks, bool plugged)
{
	struct guest_memory *memory = area->memory;
	size_t end = blocks->first + blocks->count;
	size_t last = (size_t)min_u64(end + 1, area->block_count);

	memory->seam_count -= bitmap_count_range(area->seams, blocks->first, last - blocks->first);
	bitmap_clear_range(area->seams, blocks->first, last - blocks->first);
	if (!plugged || area->file || end == area->block_count || !bitmap_test(area->plugged, end))
		return;
	bitmap_set(area->seams, end);
	memory->seam_count++;
}

/* Takes the table lock: on return nobody looks at what was there before. */
static void mark(struct gmem_area *area, const struct blocks *blocks, bool plugged)
{
	struct guest_memory *memory = area->memory;
	int64_t runs = count_runs(area, blocks);

	pthread_rwlock_wrlock(&memory->table_lock);
	if (plugged)
		bitmap_set_range(area->plugged, blocks->first, blocks->count);
	else
		bitmap_clear_range(area->plugged, blocks->first, blocks->count);
	follow_seams(area, blocks, plugged);
	memory->run_count += (size_t)(plugged ? runs : -runs);
	area->plugged_bytes += plugged ? size_of(area, blocks) : -size_of(area, blocks);
	metric_increment(&memory->generation);
	pthread_rwlock_unlock(&memory->table_lock);
}

/* --- stale blocks --- */

static void mark_stale(struct gmem_area *area, const struct blocks *blocks)
{
	size_t end = blocks->first + blocks->count;

	if (area->stale_begin == area->stale_end)
		area->stale_begin = area->stale_end = blocks->first;
	area->stale_begin = (size_t)min_u64(area->stale_begin, blocks->first);
	area->stale_end = (size_t)max_u64(area->stale_end, end);
	bitmap_set_range(area->stale, blocks->first, blocks->count);
}

/*
 * All that is not plugged around a block, in its chunk. Vacated together it is one mapping again:
 * what lies between blocks that were touched belongs to theirs, and two of those never join.
 */
static struct blocks gap_around(const struct gmem_area *area, size_t block)
{
	size_t chunk_blocks = area->chunk_bytes / area->whole.block_bytes;
	size_t begin = block - block % chunk_blocks;
	size_t end = (size_t)min_u64(begin + chunk_blocks, area->block_count);
	struct blocks gap = { .first = block };

	while (gap.first > begin && !bitmap_test(area->plugged, gap.first - 1))
		gap.first--;
	gap.count = bitmap_find_set(area->plugged, end, block) - gap.first;
	return gap;
}

static bool vacate_blocks(struct gmem_area *area, const struct blocks *blocks)
{
	if (backing_vacate(&area->whole, offset_of(area, blocks), size_of(area, blocks)) < 0)
		return false;
	bitmap_clear_range(area->stale, blocks->first, blocks->count);
	return true;
}

/* Those of the blocks that are stale. What cannot be vacated stays so. */
static int vacate(struct gmem_area *area, const struct blocks *blocks)
{
	size_t next = (size_t)max_u64(blocks->first, area->stale_begin);
	size_t end = (size_t)min_u64(blocks->first + blocks->count, area->stale_end);
	int result = 0;

	while (next < end && (next = bitmap_find_set(area->stale, end, next)) < end) {
		struct blocks gap = gap_around(area, next);
		struct blocks run = { .first = next };

		run.count = bitmap_find_clear(area->stale, gap.first + gap.count, next) - next;
		next = gap.first + gap.count;
		if (vacate_blocks(area, &gap))
			continue;
		/* The gap may end within a mapping, and the host have none to give; those of what
		 * was unplugged are its own. */
		next = run.first + run.count;
		if (!vacate_blocks(area, &run))
			result = -ENOMEM;
	}
	return result;
}

/* --- chunks --- */

static struct slot chunk_of(const struct gmem_area *area, uint64_t offset_bytes)
{
	struct slot slot = { .region = area->whole, .area = area };

	offset_bytes = align_down(offset_bytes, area->chunk_bytes);
	slot.region.gpa += offset_bytes;
	slot.region.hva += offset_bytes;
	slot.region.file_offset += offset_bytes;
	slot.region.size_bytes = min_u64(area->chunk_bytes, area->whole.size_bytes - offset_bytes);
	return slot;
}

static bool is_empty(const struct gmem_area *area, const struct gmem_region *chunk)
{
	const struct blocks blocks = {
		.first = (chunk->gpa - area->whole.gpa) / area->whole.block_bytes,
		.count = chunk->size_bytes / area->whole.block_bytes,
	};

	return none_plugged(area, &blocks);
}

/* Those of [begin, end) that are in the table with nothing plugged leave it. */
static void drop_empty_chunks(struct gmem_area *area, uint64_t begin, uint64_t end)
{
	for (uint64_t offset = begin; offset < end;) {
		struct slot chunk = chunk_of(area, offset), unused;

		offset = chunk.region.gpa - area->whole.gpa + chunk.region.size_bytes;
		if (is_empty(area, &chunk.region))
			(void)table_remove(area->memory, chunk.region.gpa, &unused);
	}
}

static int add_chunks(struct gmem_area *area, uint64_t begin, uint64_t end)
{
	struct guest_memory *memory = area->memory;

	for (uint64_t offset = begin; offset < end;) {
		struct slot chunk = chunk_of(area, offset);
		int result = 0;

		offset = chunk.region.gpa - area->whole.gpa + chunk.region.size_bytes;
		if (!table_find(memory, chunk.region.gpa)) {
			result = table_make_room(memory);
			if (!result)
				result = table_add(memory, &chunk);
		}
		if (result < 0)
			return result;
	}
	return 0;
}

/* Each listener, of each chunk's part. */
static int tell_plugged(struct gmem_area *area, uint64_t begin, uint64_t end)
{
	for (uint64_t offset = begin, next; offset < end; offset = next) {
		struct slot chunk = chunk_of(area, offset);
		gpa_t gpa = area->whole.gpa + offset;

		next = min_u64(end, align_down(offset, area->chunk_bytes) + area->chunk_bytes);
		list_for_each (node, &area->memory->listeners) {
			struct gmem_listener *listener =
				container_of(node, struct gmem_listener, node);
			int result = 0;

			if (listener->blocks_plugged)
				result = listener->blocks_plugged(listener, &chunk.region, gpa,
				                                  next - offset);
			if (result < 0)
				return result;
		}
	}
	return 0;
}

/* --- plugging; change_lock held --- */

static int plug(struct gmem_area *area, const struct blocks *blocks, bool again)
{
	uint64_t offset = offset_of(area, blocks), size_bytes = size_of(area, blocks);
	uint64_t end = offset + size_bytes;
	int result;

	result = add_chunks(area, offset, end);
	if (result < 0)
		goto drop_chunks;
	result = again ? backing_plug_again(&area->whole, offset, size_bytes)
	               : backing_plug(&area->whole, offset, size_bytes, area->prealloc);
	if (result < 0)
		goto keep_chunks;
	result = tell_plugged(area, offset, end);
	if (result < 0)
		goto unplug;
	mark(area, blocks, true);
	return 0;

unplug:
	(void)!(again ? backing_unplug(&area->whole, offset, size_bytes)
	              : backing_vacate(&area->whole, offset, size_bytes));
keep_chunks:
	/* What a file has got by now is for the reclaim engine to take, until the next trim. */
	if (area->file) {
		mark_stale(area, blocks);
		return result;
	}
drop_chunks:
	drop_empty_chunks(area, offset, end);
	return result;
}

int gmem_plug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	struct blocks blocks;
	int result = -EINVAL;

	pthread_mutex_lock(&area->memory->change_lock);
	if (to_blocks(area, gpa, size_bytes, &blocks) && none_plugged(area, &blocks)) {
		result = -ENOSPC;
		if (runs_fit(area, count_runs(area, &blocks)))
			result = vacate(area, &blocks);
		if (!result)
			result = plug(area, &blocks, false);
	}
	pthread_mutex_unlock(&area->memory->change_lock);
	return result;
}

static bool all_stale(const struct gmem_area *area, const struct blocks *blocks)
{
	size_t end = blocks->first + blocks->count;

	return bitmap_find_clear(area->stale, end, blocks->first) == end;
}

int gmem_plug_again(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	struct blocks blocks;
	int result = -EINVAL;

	pthread_mutex_lock(&area->memory->change_lock);
	if (to_blocks(area, gpa, size_bytes, &blocks) && all_stale(area, &blocks)) {
		result = plug(area, &blocks, true);
		if (!result)
			bitmap_clear_range(area->stale, blocks.first, blocks.count);
	}
	pthread_mutex_unlock(&area->memory->change_lock);
	return result;
}

/* --- unplugging --- */

static int unplug(struct gmem_area *area, const struct blocks *blocks)
{
	int result;

	mark(area, blocks, false);
	result = backing_unplug(&area->whole, offset_of(area, blocks), size_of(area, blocks));
	if (result < 0)
		mark(area, blocks, true);
	else
		mark_stale(area, blocks);
	return result;
}

int gmem_unplug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes)
{
	struct blocks blocks;
	int result = -EINVAL;

	pthread_mutex_lock(&area->memory->change_lock);
	if (to_blocks(area, gpa, size_bytes, &blocks) && all_plugged(area, &blocks)) {
		result = -ENOMEM;
		/* With the blocks plugged, what they join to is what they split. */
		if (runs_fit(area, -count_runs(area, &blocks)))
			result = unplug(area, &blocks);
	}
	pthread_mutex_unlock(&area->memory->change_lock);
	return result;
}

/* change_lock held. */
static void trim(struct gmem_area *area)
{
	const struct blocks stale = { area->stale_begin, area->stale_end - area->stale_begin };

	drop_empty_chunks(area, offset_of(area, &stale),
	                  offset_of(area, &stale) + size_of(area, &stale));
	if (vacate(area, &stale) == 0)
		area->stale_begin = area->stale_end = 0;
}

void gmem_trim(struct gmem_area *area)
{
	pthread_mutex_lock(&area->memory->change_lock);
	trim(area);
	pthread_mutex_unlock(&area->memory->change_lock);
}

/* --- asking --- */

uint64_t table_area_run(const struct gmem_area *area, gpa_t gpa, uint64_t size_bytes,
                        bool *ret_plugged)
{
	const uint64_t block_bytes = area->whole.block_bytes, offset = gpa - area->whole.gpa;
	size_t first = offset / block_bytes, next;
	size_t end = (offset + size_bytes + block_bytes - 1) / block_bytes;

	if (!size_bytes)
		return 0;
	*ret_plugged = bitmap_test(area->plugged, first);
	next = *ret_plugged ? bitmap_find_clear(area->plugged, end, first)
	                    : bitmap_find_set(area->plugged, end, first);
	return min_u64(size_bytes, next * block_bytes - offset);
}

uint64_t gmem_area_run(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes, bool *ret_plugged)
{
	const struct gmem_region *whole = &area->whole;
	uint64_t run_bytes = 0;

	if (!range_contains(whole->gpa, whole->size_bytes, gpa, 1))
		return 0;
	size_bytes = min_u64(size_bytes, whole->size_bytes - (gpa - whole->gpa));
	gmem_lock_shared(area->memory);
	run_bytes = table_area_run(area, gpa, size_bytes, ret_plugged);
	gmem_unlock_shared(area->memory);
	return run_bytes;
}

uint64_t gmem_area_plugged_bytes(struct gmem_area *area)
{
	uint64_t plugged_bytes;

	gmem_lock_shared(area->memory);
	plugged_bytes = area->plugged_bytes;
	gmem_unlock_shared(area->memory);
	return plugged_bytes;
}

/* --- life --- */

static int check_area(const struct guest_memory *memory, const struct gmem_region *whole,
                      const struct gmem_backing *backing)
{
	if (whole->block_bytes < PAGE_2M_BYTES || !is_power_of_two(whole->block_bytes) ||
	    !whole->size_bytes || !is_aligned(whole->gpa | whole->size_bytes, whole->block_bytes) ||
	    whole->gpa + (whole->size_bytes - 1) < whole->gpa || backing->kind == GMEM_FILE ||
	    (backing->kind == GMEM_HUGETLB && backing->page_bytes > whole->block_bytes))
		return -EINVAL;
	return table_overlaps(memory, whole->gpa, whole->size_bytes) ? -EEXIST : 0;
}

static size_t maps_bytes(const struct gmem_area *area)
{
	return 3 * BITMAP_WORDS(area->block_count) * sizeof(uint64_t);
}

/* The maps, of which the host gives what is written. */
static int make_maps(struct gmem_area *area)
{
	void *maps = mmap(NULL, maps_bytes(area), PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (maps == MAP_FAILED)
		return -ENOMEM;
	area->plugged = maps;
	area->stale = area->plugged + BITMAP_WORDS(area->block_count);
	area->seams = area->stale + BITMAP_WORDS(area->block_count);
	return 0;
}

void area_destroy(struct gmem_area *area)
{
	if (area->reservation)
		munmap(area->reservation, area->reservation_bytes);
	backing_file_put(area->file);
	if (area->plugged)
		munmap(area->plugged, maps_bytes(area));
	free(area);
}

/* Into *area, which area_destroy accepts half made. */
static int make_area(struct gmem_area *area, const struct gmem_backing *backing, struct error *err)
{
	struct slot slot = { .region = area->whole };
	int result;

	area->prealloc = backing->prealloc;
	area->block_count = area->whole.size_bytes / area->whole.block_bytes;
	area->chunk_bytes = area->whole.size_bytes < CHUNK_BYTES ? CHUNK_MIN_BYTES : CHUNK_BYTES;
	area->chunk_bytes = max_u64(area->chunk_bytes, area->whole.block_bytes);
	while (area->whole.size_bytes / area->chunk_bytes > CHUNKS_MAX)
		area->chunk_bytes *= 2;
	if (make_maps(area) < 0)
		return error_set_errno(err, -ENOMEM, "guest memory");
	result = table_choose_backing(&area->files, backing, &slot, err);
	if (result < 0)
		return result;
	area->file = slot.file;
	result = table_reserve(&slot, err);
	if (result < 0)
		return result;
	area->reservation = slot.reservation;
	area->reservation_bytes = slot.reservation_bytes;
	area->whole = slot.region;
	result = backing_area_map(&area->whole);
	return result < 0 ? error_set_errno(err, result, "guest memory: an area of %llu MiB",
	                                    (unsigned long long)(area->whole.size_bytes / MIB))
	                  : 0;
}

static int add_area(struct guest_memory *memory, const struct gmem_region *whole,
                    const struct gmem_backing *backing, struct gmem_area **ret_area,
                    struct error *err)
{
	struct gmem_backing own = *backing;
	struct gmem_area *area;
	int result = check_area(memory, whole, backing);

	if (result < 0)
		return error_set_errno(err, result, "guest memory: area of 0x%llx bytes at 0x%llx",
		                       (unsigned long long)whole->size_bytes,
		                       (unsigned long long)whole->gpa);
	area = calloc(1, sizeof(*area));
	if (!area)
		return error_set_errno(err, -ENOMEM, "guest memory");
	area->memory = memory;
	area->whole = *whole;
	list_init(&area->files);
	own.file_bytes = whole->size_bytes;
	result = make_area(area, &own, err);
	if (result < 0) {
		area_destroy(area);
		return result;
	}
	pthread_rwlock_wrlock(&memory->table_lock);
	list_append(&memory->areas, &area->node);
	pthread_rwlock_unlock(&memory->table_lock);
	*ret_area = area;
	return 0;
}

int gmem_add_area(struct guest_memory *memory, const struct gmem_extent *extent,
                  const struct gmem_backing *backing, struct gmem_area **ret_area,
                  struct error *err)
{
	static const struct gmem_backing anonymous = { .kind = GMEM_ANON };
	const struct gmem_region whole = { .gpa = extent->gpa,
		                           .size_bytes = extent->size_bytes,
		                           .block_bytes = extent->block_bytes };
	int result;

	pthread_mutex_lock(&memory->change_lock);
	result = add_area(memory, &whole, backing ? backing : &anonymous, ret_area, err);
	pthread_mutex_unlock(&memory->change_lock);
	return result;
}

void gmem_remove_area(struct gmem_area *area)
{
	struct guest_memory *memory;
	bool plugged;
	uint64_t run_bytes;

	if (!area)
		return;
	memory = area->memory;
	pthread_mutex_lock(&memory->change_lock);
	for (uint64_t offset = 0; offset < area->whole.size_bytes; offset += run_bytes) {
		run_bytes = table_area_run(area, area->whole.gpa + offset,
		                           area->whole.size_bytes - offset, &plugged);
		if (plugged) {
			const struct blocks blocks = { offset / area->whole.block_bytes,
				                       run_bytes / area->whole.block_bytes };

			mark(area, &blocks, false);
		}
	}
	drop_empty_chunks(area, 0, area->whole.size_bytes);
	pthread_rwlock_wrlock(&memory->table_lock);
	list_remove(&area->node);
	pthread_rwlock_unlock(&memory->table_lock);
	pthread_mutex_unlock(&memory->change_lock);
	area_destroy(area);
}
