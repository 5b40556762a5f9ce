/* SPDX-License-Identifier: Apache-2.0 */
/* wraps: mprotect mmap madvise mlock2 */
/* Areas: blocks that come and go, what of them is there and what is not, and nothing left behind by
 * a change that failed. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"

#define BLOCK       (2 * MIB)
#define CHUNK       (128 * MIB)
#define AREA_GPA    (4 * GIB)
#define AREA_BYTES  (2 * CHUNK + 64 * MIB)
#define AREA_BLOCKS (AREA_BYTES / BLOCK)

/* --- the host fails --- */

static unsigned int fail_in; /* the nth call from now that can; 0: none */
static bool mmap_fails;      /* always */

static bool fails(int code)
{
	if (!fail_in || --fail_in)
		return false;
	errno = code;
	return true;
}

int __real_mprotect(void *hva, size_t size_bytes, int protection);
int __wrap_mprotect(void *hva, size_t size_bytes, int protection);
int __wrap_mprotect(void *hva, size_t size_bytes, int protection)
{
	return fails(ENOMEM) ? -1 : __real_mprotect(hva, size_bytes, protection);
}

void *__real_mmap(void *hva, size_t size_bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *hva, size_t size_bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *hva, size_t size_bytes, int protection, int flags, int fd, off_t offset)
{
	return fails(ENOMEM) || mmap_fails
	               ? MAP_FAILED
	               : __real_mmap(hva, size_bytes, protection, flags, fd, offset);
}

int __real_madvise(void *hva, size_t size_bytes, int advice);
int __wrap_madvise(void *hva, size_t size_bytes, int advice);
int __wrap_madvise(void *hva, size_t size_bytes, int advice)
{
	return fails(EFAULT) ? -1 : __real_madvise(hva, size_bytes, advice);
}

int __real_mlock2(const void *hva, size_t size_bytes, unsigned int flags);
int __wrap_mlock2(const void *hva, size_t size_bytes, unsigned int flags);
int __wrap_mlock2(const void *hva, size_t size_bytes, unsigned int flags)
{
	return fails(EAGAIN) ? -1 : __real_mlock2(hva, size_bytes, flags);
}

struct fixture {
	struct guest_memory *memory;
	struct gmem_area *area;
};

static void add_area(struct fixture *f, const struct gmem_backing *backing)
{
	assert_int_equal(gmem_add_area(f->memory,
	                               &(struct gmem_extent){ AREA_GPA, AREA_BYTES, BLOCK },
	                               backing, &f->area, NULL),
	                 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, 4 * MIB, NULL, NULL), 0);
	*state = f;
	return 0;
}

static int set_up_area(void **state)
{
	set_up(state);
	add_area(*state, NULL);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	gmem_remove_area(f->area);
	guest_memory_destroy(f->memory);
	free(f);
	return 0;
}

static uint8_t *span(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t *hva;

	gmem_lock_shared(f->memory);
	hva = gmem_span(f->memory, gpa, size_bytes);
	gmem_unlock_shared(f->memory);
	return hva;
}

/* Whether the kernel lets this process read there, or write. */
static bool is_accessible(const uint8_t *hva, bool to_write)
{
	uint8_t byte = 0;
	bool result;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	if (to_write) {
		assert_int_equal(write(fds[1], &byte, 1), 1);
		result = read(fds[0], (void *)(uintptr_t)hva, 1) == 1;
	} else {
		result = write(fds[1], hva, 1) == 1;
	}
	close(fds[0]);
	close(fds[1]);
	return result;
}

/* What is said of each block, by all who say something. */
static void assert_blocks(struct fixture *f, const bool *plugged)
{
	uint64_t plugged_bytes = 0;

	for (size_t i = 0; i < AREA_BLOCKS; i++) {
		gpa_t gpa = AREA_GPA + i * BLOCK;
		bool area_says, memory_says;
		uint8_t byte;

		plugged_bytes += plugged[i] ? BLOCK : 0;
		assert_true(gmem_area_run(f->area, gpa, BLOCK, &area_says) == BLOCK);
		assert_true(gmem_run(f->memory, gpa, BLOCK, &memory_says) == BLOCK);
		assert_int_equal(area_says, plugged[i]);
		assert_int_equal(memory_says, plugged[i]);
		assert_int_equal(span(f, gpa, BLOCK) != NULL, plugged[i]);
		assert_int_equal(gmem_read(f->memory, gpa + BLOCK - 1, &byte, 1),
		                 plugged[i] ? 0 : -EFAULT);
	}
	assert_true(gmem_area_plugged_bytes(f->area) == plugged_bytes);
	assert_true(gmem_total_bytes(f->memory) == 4 * MIB + plugged_bytes);
}

static size_t region_count(struct fixture *f)
{
	return gmem_list_regions(f->memory, NULL, 0);
}

static void test_plug_and_unplug(void **state)
{
	static const uint8_t byte = 0x5a;
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	uint64_t generation = gmem_generation(f->memory);
	struct gmem_region regions[3];
	uint8_t *hva, got;

	assert_blocks(f, plugged);
	assert_int_equal(region_count(f), 1);
	/* Two blocks on both sides of a border between chunks. */
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK - BLOCK, 2 * BLOCK), 0);
	plugged[CHUNK / BLOCK - 1] = plugged[CHUNK / BLOCK] = true;
	assert_blocks(f, plugged);
	assert_true(gmem_generation(f->memory) != generation);
	assert_int_equal(gmem_list_regions(f->memory, regions, 3), 3);
	for (size_t i = 1; i < 3; i++) {
		assert_true(regions[i].gpa == AREA_GPA + (i - 1) * CHUNK);
		assert_true(regions[i].size_bytes == CHUNK);
		assert_true(regions[i].block_bytes == BLOCK);
		assert_int_equal(((uintptr_t)regions[i].hva - regions[i].gpa) % PAGE_1G_BYTES, 0);
	}
	/* The rights are the blocks', no less and no more. */
	hva = regions[2].hva;
	assert_true(is_accessible(hva, true) && is_accessible(hva - BLOCK, true));
	assert_false(is_accessible(hva + BLOCK, false) || is_accessible(hva + BLOCK, true));
	assert_false(is_accessible(hva - BLOCK - 1, false) || is_accessible(hva - BLOCK - 1, true));
	/* Copies cross chunks, and nothing else. */
	assert_int_equal(gmem_write(f->memory, AREA_GPA + CHUNK + BLOCK - 1, &byte, 1), 0);
	assert_int_equal(gmem_write(f->memory, AREA_GPA + CHUNK + BLOCK, &byte, 1), -EFAULT);
	assert_null(span(f, AREA_GPA + CHUNK + BLOCK - 1, 2));

	generation = gmem_generation(f->memory);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + CHUNK, BLOCK), 0);
	plugged[CHUNK / BLOCK] = false;
	assert_blocks(f, plugged);
	assert_true(gmem_generation(f->memory) != generation);
	/* Given back as it was. */
	assert_int_equal(gmem_plug_again(f->area, AREA_GPA + CHUNK, BLOCK), 0);
	assert_int_equal(gmem_read(f->memory, AREA_GPA + CHUNK + BLOCK - 1, &got, 1), 0);
	assert_int_equal(got, byte);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + CHUNK, BLOCK), 0);
	assert_int_equal(region_count(f), 3);
	gmem_trim(f->area);
	assert_false(is_accessible(hva, false) || is_accessible(hva, true));
	assert_true(is_accessible(hva - BLOCK, true));
	assert_int_equal(region_count(f), 2);
	/* There is nothing to give back any more, and what is plugged anew is zero. */
	assert_int_equal(gmem_plug_again(f->area, AREA_GPA + CHUNK, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK, BLOCK), 0);
	assert_int_equal(gmem_read(f->memory, AREA_GPA + CHUNK + BLOCK - 1, &got, 1), 0);
	assert_int_equal(got, 0);
}

/* Whether the mapping there is left out of core files. */
static bool is_kept_from_core_files(const uint8_t *hva)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool here = false, kept = false;
	uint64_t first, end;
	char line[512];

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &first, &end) == 2)
			here = (uintptr_t)hva >= first && (uintptr_t)hva < end;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			kept = strstr(line, " dd");
	}
	fclose(smaps);
	return kept;
}

/* From boot on and plugged, given back and plugged again; ebb's own memory is in them. */
static void test_core_files(void **state)
{
	struct fixture *f = *state;

	assert_true(is_kept_from_core_files(span(f, 0, 1)));
	assert_true(is_kept_from_core_files(span(f, 4 * MIB - 1, 1)));
	assert_false(is_kept_from_core_files((const uint8_t *)f));
	assert_int_equal(gmem_plug(f->area, AREA_GPA, 2 * BLOCK), 0);
	assert_true(is_kept_from_core_files(span(f, AREA_GPA, 1)));
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_int_equal(gmem_plug_again(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_true(is_kept_from_core_files(span(f, AREA_GPA + BLOCK, 1)));
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	gmem_trim(f->area);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_true(is_kept_from_core_files(span(f, AREA_GPA + BLOCK, 1)));
}

/* Also where nobody released it or trimmed. */
static void test_new_blocks_are_zero(void **state)
{
	static const uint8_t byte = 0x5a;
	struct fixture *f = *state;
	uint8_t got = 1;

	assert_int_equal(gmem_plug(f->area, AREA_GPA, 2 * BLOCK), 0);
	assert_int_equal(gmem_write(f->memory, AREA_GPA + BLOCK, &byte, 1), 0);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, 2 * BLOCK), 0);
	assert_int_equal(gmem_read(f->memory, AREA_GPA + BLOCK, &got, 1), 0);
	assert_int_equal(got, 0);
}

static void test_refusals(void **state)
{
	static const struct gmem_backing file = { .kind = GMEM_FILE, .path = "/dev/null" };
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	struct gmem_area *area = NULL;
	struct error err = ERROR_INIT;
	const gpa_t far = 64 * GIB;

	assert_int_equal(gmem_plug(f->area, AREA_GPA + 4 * BLOCK, BLOCK), 0);
	plugged[4] = true;
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 4 * BLOCK, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 3 * BLOCK, 3 * BLOCK), -EINVAL);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + 3 * BLOCK, 2 * BLOCK), -EINVAL);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA, 0), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA, BLOCK / 2), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK / 2, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA - BLOCK, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + AREA_BYTES, BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + AREA_BYTES - BLOCK, 2 * BLOCK), -EINVAL);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, -BLOCK), -EINVAL);
	assert_int_equal(gmem_plug_again(f->area, AREA_GPA, BLOCK), -EINVAL);
	assert_int_equal(gmem_remove_region(f->memory, AREA_GPA), -ENOENT);
	assert_int_equal(gmem_add_region(f->memory, AREA_GPA + CHUNK, MIB, NULL, NULL), -EEXIST);
	assert_blocks(f, plugged);

	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ AREA_GPA, BLOCK, BLOCK },
	                               NULL, &area, &err),
	                 -EEXIST);
	assert_int_equal(err.code, -EEXIST);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ 0, BLOCK, BLOCK }, NULL,
	                               &area, NULL),
	                 -EEXIST);
	assert_int_equal(
		gmem_add_area(f->memory, &(struct gmem_extent){ far, 0, BLOCK }, NULL, &area, NULL),
		-EINVAL);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ far, BLOCK, MIB }, NULL,
	                               &area, NULL),
	                 -EINVAL);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ far, 6 * MIB, 3 * BLOCK },
	                               NULL, &area, NULL),
	                 -EINVAL);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ far + MIB, BLOCK, BLOCK },
	                               NULL, &area, NULL),
	                 -EINVAL);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ far, BLOCK, BLOCK }, &file,
	                               &area, NULL),
	                 -EINVAL);
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ -BLOCK, 2 * BLOCK, BLOCK },
	                               NULL, &area, NULL),
	                 -EINVAL);
	assert_null(area);
	gmem_remove_area(NULL);
}

/* --- listeners --- */

struct watcher {
	struct gmem_listener listener;
	char name;
	char *story;
	int added, plugged; /* their answers */
};

static void tell(struct watcher *watcher, char what, gpa_t gpa)
{
	sprintf(watcher->story + strlen(watcher->story), "%c%c%u ", what, watcher->name,
	        (unsigned int)((gpa - AREA_GPA) / BLOCK));
}

static int watch_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct watcher *watcher = container_of(listener, struct watcher, listener);

	if (region->gpa < AREA_GPA)
		return 0;
	tell(watcher, '+', region->gpa);
	return watcher->added;
}

static void watch_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	tell(container_of(listener, struct watcher, listener), '-', region->gpa);
}

static int watch_plugged(struct gmem_listener *listener, const struct gmem_region *chunk, gpa_t gpa,
                         uint64_t size_bytes)
{
	struct watcher *watcher = container_of(listener, struct watcher, listener);

	assert_true(range_contains(chunk->gpa, chunk->size_bytes, gpa, size_bytes));
	assert_true(is_accessible(chunk->hva + (gpa - chunk->gpa), true));
	tell(watcher, 'p', gpa);
	return watcher->plugged;
}

static void test_listeners(void **state)
{
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	char story[256] = "";
	struct watcher a = { .listener = { .region_added = watch_added,
		                           .region_removed = watch_removed,
		                           .blocks_plugged = watch_plugged },
		             .name = 'a',
		             .story = story };
	struct watcher b = a;

	b.name = 'b';
	b.listener.blocks_plugged = NULL;
	assert_int_equal(gmem_add_listener(f->memory, &a.listener), 0);
	assert_int_equal(gmem_add_listener(f->memory, &b.listener), 0);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 63 * BLOCK, 2 * BLOCK), 0);
	assert_string_equal(story, "+a0 +b0 +a64 +b64 pa63 pa64 ");
	story[0] = '\0';
	assert_int_equal(gmem_plug(f->area, AREA_GPA, BLOCK), 0);
	assert_string_equal(story, "pa0 ");
	story[0] = '\0';
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + 63 * BLOCK, 2 * BLOCK), 0);
	assert_string_equal(story, "");
	gmem_trim(f->area);
	assert_string_equal(story, "-b64 -a64 ");
	plugged[0] = true;
	assert_blocks(f, plugged);

	/* Whoever refuses: as before. */
	story[0] = '\0';
	b.added = -EPERM;
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 63 * BLOCK, 2 * BLOCK), -EPERM);
	assert_string_equal(story, "+a64 +b64 -a64 ");
	b.added = 0;
	a.plugged = -ENOSPC;
	story[0] = '\0';
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 63 * BLOCK, 2 * BLOCK), -ENOSPC);
	assert_string_equal(story, "+a64 +b64 pa63 -b64 -a64 ");
	assert_blocks(f, plugged);
	a.plugged = 0;
	story[0] = '\0';
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 63 * BLOCK, 2 * BLOCK), 0);
	story[0] = '\0';
	gmem_remove_area(f->area);
	f->area = NULL;
	assert_string_equal(story, "-b0 -a0 -b64 -a64 ");
	gmem_remove_listener(f->memory, &a.listener);
	gmem_remove_listener(f->memory, &b.listener);
}

/* --- the host fails --- */

static void test_host_fails(void **state)
{
	static const struct gmem_backing backings[] = {
		{ .kind = GMEM_ANON, .prealloc = true },
		{ .kind = GMEM_ANON, .lock = true },
		{ .kind = GMEM_MEMFD, .lock = true, .prealloc = true },
	};
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	unsigned int failures = 0;
	int result;

	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		add_area(f, &backings[i]);
		plugged[1] = false;
		for (unsigned int n = 1; n; n++) {
			fail_in = n;
			result = gmem_plug(f->area, AREA_GPA + BLOCK, BLOCK);
			n = fail_in ? UINT32_MAX : n; /* that call did not come */
			fail_in = 0;
			assert_true(result == 0 || result == -ENOMEM);
			failures += result != 0;
			plugged[1] = result == 0;
			assert_blocks(f, plugged);
			if (!result && n != UINT32_MAX)
				assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
			plugged[1] = n == UINT32_MAX;
			gmem_trim(f->area);
		}
		assert_true(plugged[1]);
		fail_in = 1;
		assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), -ENOMEM);
		assert_blocks(f, plugged);
		assert_true(is_accessible(span(f, AREA_GPA + BLOCK, BLOCK), true));
		assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
		fail_in = 1;
		assert_int_equal(gmem_plug_again(f->area, AREA_GPA + BLOCK, BLOCK), -ENOMEM);
		plugged[1] = false;
		assert_blocks(f, plugged);
		gmem_trim(f->area);
		gmem_remove_area(f->area);
		f->area = NULL;
	}
	assert_true(failures >= 6);
}

/* --- what it costs --- */

static uint64_t status_kib(const char *key)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoull(line + strlen(key), NULL, 10);
	fclose(file);
	return kib;
}

static size_t mapping_count(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	size_t lines = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

/* What cannot be made as new is out of reach all the same, until it can. */
static void test_no_mapping_to_be_had(void **state)
{
	struct fixture *f = *state;
	uint8_t *hva;

	assert_int_equal(gmem_plug(f->area, AREA_GPA, 3 * BLOCK), 0);
	hva = span(f, AREA_GPA + BLOCK, BLOCK);
	memset(hva, 1, PAGE_4K_BYTES);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	mmap_fails = true;
	gmem_trim(f->area);
	assert_false(is_accessible(hva, false) || is_accessible(hva + BLOCK - 1, true));
	assert_true(is_accessible(hva - 1, true) && is_accessible(hva + BLOCK, true));
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, BLOCK), -ENOMEM);
	mmap_fails = false;
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_int_equal(*hva, 0);
}

static void test_large_area(void **state)
{
	struct fixture *f = *state;
	const gpa_t gpa = 1024 * GIB;
	const uint64_t size_bytes = 512 * GIB;
	uint64_t before_kib, run_bytes;
	struct gmem_area *area;
	bool plugged;

	before_kib = status_kib("RssAnon:");
	assert_int_equal(gmem_add_area(f->memory, &(struct gmem_extent){ gpa, size_bytes, BLOCK },
	                               NULL, &area, NULL),
	                 0);
	assert_int_equal(gmem_plug(area, gpa + 5 * GIB, GIB), 0);
	assert_true(status_kib("RssAnon:") - before_kib < 512); /* of ASan's, too */
	assert_true(region_count(f) <= 3);
	run_bytes = gmem_area_run(area, gpa, size_bytes, &plugged);
	assert_true(run_bytes == 5 * GIB && !plugged);
	run_bytes = gmem_area_run(area, gpa + 5 * GIB, size_bytes, &plugged);
	assert_true(run_bytes == GIB && plugged);
	/* All of it is a few hundred regions. */
	assert_int_equal(gmem_unplug(area, gpa + 5 * GIB, GIB), 0);
	gmem_trim(area);
	assert_int_equal(gmem_plug(area, gpa, size_bytes), 0);
	assert_true(region_count(f) > 128 && region_count(f) <= 257);
	gmem_remove_area(area);
	assert_int_equal(region_count(f), 1);
}

/* However a guest plugs, touches and unplugs, mappings follow what is plugged. */
static void test_mappings_join_again(void **state)
{
	struct fixture *f = *state;
	size_t before = mapping_count();

	for (size_t start = 0; start < 2; start++) {
		for (size_t i = start; i < 32; i += 2) {
			assert_int_equal(gmem_plug(f->area, AREA_GPA + i * BLOCK, BLOCK), 0);
			*span(f, AREA_GPA + i * BLOCK, BLOCK) = 1;
		}
		for (size_t i = start; i < 32; i += 2)
			assert_int_equal(gmem_unplug(f->area, AREA_GPA + i * BLOCK, BLOCK), 0);
		gmem_trim(f->area);
	}
	assert_true(mapping_count() <= before + 1);
}

static void test_runs_are_bounded(void **state)
{
	struct fixture *f = *state;

	gmem_hold_changes(f->memory);
	gmem_limit_runs(f->memory, 3);
	gmem_limit_runs(f->memory, 300);
	gmem_allow_changes(f->memory);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(gmem_plug(f->area, AREA_GPA + 2 * i * BLOCK, BLOCK), 0);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 6 * BLOCK, BLOCK), -ENOSPC);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK, BLOCK), -ENOSPC);
	/* One that joins two makes room for one. */
	assert_int_equal(gmem_plug(f->area, AREA_GPA + BLOCK, BLOCK), 0);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + 6 * BLOCK, BLOCK), 0);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + BLOCK, BLOCK), -ENOMEM);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + 2 * BLOCK, BLOCK), 0);
	/* A border between chunks parts a run. */
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK - BLOCK, 2 * BLOCK), -ENOSPC);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + 4 * BLOCK, BLOCK), 0);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA, 2 * BLOCK), 0);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK - BLOCK, 2 * BLOCK), 0);
}

/* Private blocks that were touched before the gap between them was filled do not join. */
static void test_mappings_are_bounded(void **state)
{
	const struct gmem_extent extent = { 1024 * GIB, 256 * GIB, BLOCK };
	struct fixture *f = *state;
	const size_t before = mapping_count();
	struct gmem_area *area;
	size_t most = 0;

	assert_int_equal(gmem_add_area(f->memory, &extent, NULL, &area, NULL), 0);
	/* 16000 blocks with gaps, then the gaps, and again behind those. */
	for (gpa_t gpa = extent.gpa; gpa < extent.gpa + extent.size_bytes; gpa += 64000 * MIB) {
		for (gpa_t at = gpa; at < gpa + 64000 * MIB && !gmem_plug(area, at, BLOCK);
		     at += 2 * BLOCK)
			*span(f, at, 1) = 1;
		most = (size_t)max_u64(most, mapping_count() - before);
		for (gpa_t at = gpa + BLOCK; at < gpa + 64000 * MIB; at += 2 * BLOCK)
			(void)!gmem_plug(area, at, BLOCK);
	}
	assert_true(most > 32000 && mapping_count() - before < 33000 && most < 33000);
	/* What is unplugged frees them. */
	assert_int_equal(gmem_unplug(area, extent.gpa, 32000 * BLOCK), 0);
	gmem_trim(area);
	assert_true(mapping_count() - before < most - 10000);
	for (gpa_t at = extent.gpa; at < extent.gpa + 64 * MIB; at += 2 * BLOCK)
		assert_int_equal(gmem_plug(area, at, BLOCK), 0);
	gmem_remove_area(area);
}

static void test_shared(void **state)
{
	static const struct gmem_backing memfd = { .kind = GMEM_MEMFD };
	static const uint8_t byte = 0x5a;
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	struct gmem_region regions[3];
	uint8_t got = 0;

	add_area(f, &memfd);
	assert_int_equal(gmem_plug(f->area, AREA_GPA + CHUNK - BLOCK, 2 * BLOCK), 0);
	plugged[63] = plugged[64] = true;
	assert_blocks(f, plugged);
	assert_int_equal(gmem_list_regions(f->memory, regions, 3), 3);
	/* One file, and a place in it for each chunk. */
	assert_true(regions[1].fd >= 0 && regions[1].fd == regions[2].fd);
	assert_true(regions[2].file_offset - regions[1].file_offset == CHUNK);
	assert_int_equal(gmem_write(f->memory, AREA_GPA + CHUNK, &byte, 1), 0);
	assert_int_equal(pread(regions[2].fd, &got, 1, (off_t)regions[2].file_offset), 1);
	assert_int_equal(got, byte);
	assert_int_equal(gmem_unplug(f->area, AREA_GPA + CHUNK, BLOCK), 0);
	plugged[64] = false;
	assert_blocks(f, plugged);
	assert_false(is_accessible(regions[2].hva, false));
	gmem_trim(f->area);
	assert_false(is_accessible(regions[2].hva, false));
}

/* An empty pool is an answer, never a SIGBUS: what is plugged is there. */
static void test_huge_pages(void **state)
{
	static const struct gmem_backing huge = { .kind = GMEM_HUGETLB,
		                                  .page_bytes = PAGE_2M_BYTES };
	const struct gmem_extent extent = { AREA_GPA, AREA_BYTES, BLOCK };
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	size_t count = 0;
	int result;

	if (gmem_add_area(f->memory, &extent, &huge, &f->area, NULL) == -ENODEV) {
		print_message("SKIP the host has no huge pages of 2 MiB\n");
		skip();
	}
	while ((result = gmem_plug(f->area, AREA_GPA + count * BLOCK, BLOCK)) == 0) {
		memset(span(f, AREA_GPA + count * BLOCK, BLOCK), 0x5a, BLOCK);
		plugged[count++] = true;
		if (count == AREA_BLOCKS)
			break;
	}
	assert_true(result == 0 || result == -ENOMEM);
	assert_blocks(f, plugged);
	if (count < AREA_BLOCKS) {
		/* All or nothing. */
		assert_int_equal(
			gmem_plug(f->area, AREA_GPA + count * BLOCK, AREA_BYTES - count * BLOCK),
			-ENOMEM);
		assert_blocks(f, plugged);
	}
}

/* --- a model, with readers beside it --- */

struct reader {
	struct fixture *f;
	bool stop;
	unsigned int seed;
	uint64_t found;
};

static uint32_t random_number(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

static void *read_all_the_time(void *ctx)
{
	struct reader *reader = ctx;

	while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED)) {
		gpa_t gpa = AREA_GPA + random_number(&reader->seed) % AREA_BLOCKS * BLOCK;
		uint64_t size_bytes = 3 * BLOCK;
		uint8_t *hva, byte;

		gmem_lock_shared(reader->f->memory);
		hva = gmem_span_prefix(reader->f->memory, gpa, &size_bytes);
		for (uint64_t offset = 0; hva && offset < size_bytes; offset += BLOCK / 2)
			if (*(volatile uint8_t *)(hva + offset) <= 1)
				__atomic_fetch_add(&reader->found, 1, __ATOMIC_RELAXED);
		gmem_unlock_shared(reader->f->memory);
		(void)!gmem_read(reader->f->memory, gpa + BLOCK - 1, &byte, 1);
		(void)!gmem_area_plugged_bytes(reader->f->area);
	}
	return NULL;
}

static bool have_all_found(const struct reader *readers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!__atomic_load_n(&readers[i].found, __ATOMIC_RELAXED))
			return false;
	return true;
}

/* On a busy machine a reader may not have had its turn by then: more rounds, until it has. */
static void test_model(void **state)
{
	bool plugged[AREA_BLOCKS] = { false };
	struct fixture *f = *state;
	struct reader readers[2] = { { .f = f, .seed = 1 }, { .f = f, .seed = 2 } };
	pthread_t threads[2];
	unsigned int seed = 42;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all_the_time, &readers[i]),
		                 0);
	for (unsigned int round = 0;
	     round < 3000 || (round < 1000000 && !have_all_found(readers, 2)); round++) {
		size_t first = random_number(&seed) % AREA_BLOCKS;
		size_t count = 1 + random_number(&seed) % (round % 16 ? 4 : 90), same = 0;
		bool plug = random_number(&seed) % 2, ok;
		gpa_t gpa = AREA_GPA + first * BLOCK;
		int result;

		for (size_t i = first; i < first + count && i < AREA_BLOCKS; i++)
			same += plugged[i] != plug;
		ok = same == count;
		result = plug ? gmem_plug(f->area, gpa, count * BLOCK)
		              : gmem_unplug(f->area, gpa, count * BLOCK);
		assert_int_equal(result, ok ? 0 : -EINVAL);
		for (size_t i = first; ok && i < first + count; i++)
			plugged[i] = plug;
		if (ok && !plug && random_number(&seed) % 4 == 0) {
			assert_int_equal(gmem_plug_again(f->area, gpa, count * BLOCK), 0);
			for (size_t i = first; i < first + count; i++)
				plugged[i] = true;
		}
		if (random_number(&seed) % 3 == 0)
			gmem_trim(f->area);
		if (round % 64 == 0)
			assert_blocks(f, plugged);
	}
	for (size_t i = 0; i < 2; i++) {
		__atomic_store_n(&readers[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(threads[i], NULL);
		assert_true(readers[i].found > 0);
	}
	assert_blocks(f, plugged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plug_and_unplug, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_core_files, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_new_blocks_are_zero, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_listeners, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_host_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_mapping_to_be_had, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_large_area, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mappings_join_again, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_runs_are_bounded, set_up_area, tear_down),
		cmocka_unit_test_setup_teardown(test_mappings_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_shared, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_huge_pages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_model, set_up_area, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
