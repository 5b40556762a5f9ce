/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: placement, translation at the edges, copies across regions, listeners with
 * rollback. */
#include <errno.h>
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

static const struct gmem_backing huge_pages = { .kind = GMEM_ANON, .thp = true };

static struct guest_memory *new_memory(void)
{
	struct guest_memory *memory = NULL;

	assert_int_equal(guest_memory_create(&memory, NULL), 0);
	return memory;
}

static uint8_t *hva_of(struct guest_memory *memory, gpa_t gpa)
{
	uint8_t *hva;

	gmem_lock_shared(memory);
	hva = gmem_span(memory, gpa, 1);
	gmem_unlock_shared(memory);
	return hva;
}

static size_t resident_pages(void *hva, size_t size_bytes)
{
	size_t pages = size_bytes / PAGE_4K_BYTES, count = 0;
	unsigned char *vector = malloc(pages);

	assert_non_null(vector);
	assert_int_equal(mincore(hva, size_bytes, vector), 0);
	for (size_t i = 0; i < pages; i++)
		count += vector[i] & 1;
	free(vector);
	return count;
}

static void test_placement(void **state)
{
	static const gpa_t gpas[] = { 0, 3 * MIB, 4 * GIB, 5 * GIB + 12 * MIB + 0x5000 };
	struct guest_memory *memory = new_memory();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(gpas); i++) {
		uint8_t *hva;

		assert_int_equal(gmem_add_region(memory, gpas[i], 2 * MIB, &huge_pages, NULL), 0);
		hva = hva_of(memory, gpas[i]);
		assert_int_equal(((uintptr_t)hva - gpas[i]) % PAGE_1G_BYTES, 0);
		/* Not touched before the guest does. */
		assert_int_equal(resident_pages(hva, 2 * MIB), 0);
	}
	assert_int_equal(gmem_total_bytes(memory), 8 * MIB);
	guest_memory_destroy(memory);
	guest_memory_destroy(NULL);
}

/* A byte before and a byte behind a region is a guard. */
static void test_guards(void **state)
{
	struct guest_memory *memory = new_memory();
	uint8_t *hva;

	(void)state;
	assert_int_equal(gmem_add_region(memory, 0, 2 * MIB, NULL, NULL), 0);
	hva = hva_of(memory, 0);
	for (int side = 0; side < 2; side++) {
		uint8_t *outside = side ? hva + 2 * MIB : hva - PAGE_4K_BYTES;
		unsigned char resident;
		int fds[2];

		/* Mapped, and yet the kernel itself cannot read there. */
		assert_int_equal(mincore(outside, PAGE_4K_BYTES, &resident), 0);
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(write(fds[1], outside, 1), -1);
		assert_int_equal(errno, EFAULT);
		close(fds[0]);
		close(fds[1]);
	}
	guest_memory_destroy(memory);
}

static void test_bad_regions(void **state)
{
	struct guest_memory *memory = new_memory();
	struct error err = ERROR_INIT;
	uint64_t generation;

	(void)state;
	assert_true(gmem_generation(memory) != 0);
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), 0);
	generation = gmem_generation(memory);
	assert_int_equal(gmem_add_region(memory, 0, 0, NULL, &err), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_int_equal(gmem_add_region(memory, 0x1001, 0x1000, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_add_region(memory, 0x1000, 0x1001, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_add_region(memory, UINT64_MAX - 0xfff, 0x2000, NULL, NULL), -EINVAL);
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), -EEXIST);
	assert_int_equal(gmem_add_region(memory, 0, MIB + 0x1000, NULL, NULL), -EEXIST);
	assert_int_equal(gmem_add_region(memory, 2 * MIB - 0x1000, MIB, NULL, NULL), -EEXIST);
	assert_int_equal(gmem_add_region(memory, 0, 4 * MIB, NULL, NULL), -EEXIST);
	assert_int_equal(gmem_remove_region(memory, MIB + 0x1000), -ENOENT);
	/* More than any address space. */
	err = (struct error)ERROR_INIT;
	assert_int_equal(gmem_add_region(memory, 4 * GIB, UINT64_C(1) << 62, NULL, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "--mem"));
	assert_non_null(strstr(err.message, "MiB"));
	assert_true(gmem_generation(memory) == generation);
	assert_int_equal(gmem_total_bytes(memory), MIB);
	guest_memory_destroy(memory);
}

/* No address space; address space, and no leave to use it. Nothing stays behind. */
static void test_host_refuses(void **state)
{
	static const struct {
		int resource;
		const char *says;
	} table[] = {
		{ RLIMIT_AS, "no address space for the 64 MiB" },
		{ RLIMIT_DATA, "does not grant the 64 MiB" },
	};
	struct guest_memory *memory;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* its shadow memory needs what is withheld here */
#endif
	memory = new_memory();
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct rlimit before, limit;
		struct error err = ERROR_INIT;
		int result;

		assert_int_equal(getrlimit(table[i].resource, &before), 0);
		limit = before;
		limit.rlim_cur = MIB;
		assert_int_equal(setrlimit(table[i].resource, &limit), 0);
		result = gmem_add_region(memory, GIB, 64 * MIB, NULL, &err);
		assert_int_equal(setrlimit(table[i].resource, &before), 0);
		assert_int_equal(result, -ENOMEM);
		assert_non_null(strstr(err.message, "--mem: "));
		assert_non_null(strstr(err.message, table[i].says));
		assert_int_equal(gmem_add_region(memory, GIB, 64 * MIB, NULL, NULL), 0);
		assert_int_equal(gmem_remove_region(memory, GIB), 0);
	}
	guest_memory_destroy(memory);
}

static void test_many_regions(void **state)
{
	struct guest_memory *memory = new_memory();
	struct gmem_region regions[GMEM_REGIONS_MAX];
	uint64_t generation = gmem_generation(memory);

	(void)state;
	/* Odd ones downwards, then even ones upwards. */
	for (int i = GMEM_REGIONS_MAX - 1; i > 0; i -= 2)
		assert_int_equal(gmem_add_region(memory, (gpa_t)i * 0x2000, 0x1000, NULL, NULL), 0);
	for (int i = 0; i < GMEM_REGIONS_MAX; i += 2)
		assert_int_equal(gmem_add_region(memory, (gpa_t)i * 0x2000, 0x1000, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(memory, GIB, 0x1000, NULL, NULL), -ENOSPC);
	assert_true(gmem_generation(memory) == generation + GMEM_REGIONS_MAX);
	assert_int_equal(gmem_list_regions(memory, regions, GMEM_REGIONS_MAX), GMEM_REGIONS_MAX);
	for (gpa_t i = 0; i < GMEM_REGIONS_MAX; i++) {
		assert_int_equal(regions[i].gpa, i * 0x2000);
		assert_ptr_equal(hva_of(memory, i * 0x2000 + 0xfff), regions[i].hva + 0xfff);
		assert_null(hva_of(memory, i * 0x2000 + 0x1000));
	}
	assert_int_equal(gmem_remove_region(memory, 0x4000), 0);
	assert_null(hva_of(memory, 0x4000));
	assert_non_null(hva_of(memory, 0x6000));
	assert_int_equal(gmem_list_regions(memory, regions, 2), GMEM_REGIONS_MAX - 1);
	assert_int_equal(gmem_add_region(memory, GIB, 0x1000, NULL, NULL), 0);
	guest_memory_destroy(memory);
}

static void test_span(void **state)
{
	struct guest_memory *memory = new_memory();
	uint8_t *hva;

	(void)state;
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(memory, 2 * MIB, MIB, NULL, NULL), 0);
	hva = hva_of(memory, MIB);
	gmem_lock_shared(memory);
	gmem_lock_shared(memory); /* nests */
	assert_ptr_equal(gmem_span(memory, MIB, MIB), hva);
	assert_ptr_equal(gmem_span(memory, 2 * MIB - 1, 1), hva + MIB - 1);
	assert_null(gmem_span(memory, MIB, 0));
	assert_null(gmem_span(memory, MIB, MIB + 1)); /* contiguous, but two regions */
	assert_null(gmem_span(memory, MIB - 1, 2));
	assert_null(gmem_span(memory, 3 * MIB, 1));
	assert_null(gmem_span(memory, MIB + 1, UINT64_MAX));
	assert_null(gmem_span(memory, UINT64_MAX, 1));
	assert_null(gmem_span(memory, UINT64_MAX, UINT64_MAX));
	assert_null(gmem_span(memory, 0, UINT64_MAX));
	gmem_unlock_shared(memory);
	gmem_unlock_shared(memory);
	guest_memory_destroy(memory);
}

static void test_copies(void **state)
{
	struct guest_memory *memory = new_memory();
	uint8_t in[64], out[64];

	(void)state;
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(memory, 2 * MIB, MIB, NULL, NULL), 0);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i + 1);
	/* Across the border of two regions. */
	assert_int_equal(gmem_write(memory, 2 * MIB - 20, in, sizeof(in)), 0);
	assert_int_equal(gmem_read(memory, 2 * MIB - 20, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(*hva_of(memory, 2 * MIB - 1), 20);
	assert_int_equal(*hva_of(memory, 2 * MIB), 21);
	/* One byte too far: nothing at all is copied. */
	memset(out, 0xee, sizeof(out));
	assert_int_equal(gmem_read(memory, 3 * MIB - 63, out, 64), -EFAULT);
	assert_int_equal(out[0], 0xee);
	assert_int_equal(gmem_write(memory, 3 * MIB - 63, in, 64), -EFAULT);
	assert_int_equal(*hva_of(memory, 3 * MIB - 63), 0);
	assert_int_equal(gmem_read(memory, MIB - 1, out, 2), -EFAULT);
	assert_int_equal(gmem_read(memory, UINT64_MAX - 1, out, 4), -EFAULT);
	assert_int_equal(gmem_read(memory, 0, out, 0), 0);
	guest_memory_destroy(memory);
}

static void test_load_file(void **state)
{
	struct guest_memory *memory = new_memory();
	int fd = memfd_create("image", MFD_CLOEXEC);
	uint8_t byte = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0x3000), 0);
	assert_int_equal(pwrite(fd, "A", 1, 0x1000), 1);
	assert_int_equal(pwrite(fd, "Z", 1, 0x2fff), 1);
	assert_int_equal(gmem_add_region(memory, 0, 0x1000, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(memory, 0x1000, 0x1000, NULL, NULL), 0);
	assert_int_equal(gmem_load_file(memory, 0, fd, 0x1000, 0x2000), 0);
	assert_int_equal(gmem_read(memory, 0, &byte, 1), 0);
	assert_int_equal(byte, 'A');
	assert_int_equal(gmem_read(memory, 0x1fff, &byte, 1), 0);
	assert_int_equal(byte, 'Z');
	assert_int_equal(gmem_load_file(memory, 0, fd, 0x1001, 0x2000), -EIO);
	assert_int_equal(gmem_load_file(memory, 1, fd, 0, 0x2000), -EFAULT);
	assert_int_equal(gmem_load_file(memory, 0, fd, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(gmem_load_file(memory, 0, fd, 1, INT64_MAX), -EINVAL);
	assert_int_equal(gmem_load_file(memory, 0, fd, 0, 0), 0);
	close(fd);
	assert_int_equal(gmem_load_file(memory, 0, -1, 0, 1), -EBADF);
	guest_memory_destroy(memory);
}

static void test_flush_page(void **state)
{
	struct guest_memory *memory = new_memory();
	uint8_t byte = 'x';

	(void)state;
	assert_int_equal(gmem_add_region(memory, 0, 0x3000, NULL, NULL), 0);
	assert_int_equal(gmem_write(memory, 0x1234, &byte, 1), 0);
	assert_int_equal(gmem_flush_page(memory, 0x1fff), 0);
	byte = 0;
	assert_int_equal(gmem_read(memory, 0x1234, &byte, 1), 0);
	assert_int_equal(byte, 'x');
	assert_int_equal(gmem_flush_page(memory, 0x3000), -EFAULT);
	assert_int_equal(gmem_flush_page(memory, UINT64_MAX), -EFAULT);
	guest_memory_destroy(memory);
}

/* --- listeners --- */

struct watcher {
	struct gmem_listener listener;
	struct guest_memory *memory;
	char name;
	int answer;
	char *story; /* what all watchers saw, in order */
	bool translated_when_added, translated_when_removed;
	bool readable_when_removed;
};

static void tell(struct watcher *watcher, char what, gpa_t gpa)
{
	size_t used = strlen(watcher->story);

	snprintf(watcher->story + used, 256 - used, "%c%c%d ", what, watcher->name,
	         (int)(gpa / MIB));
}

static int watch_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct watcher *watcher = container_of(listener, struct watcher, listener);

	tell(watcher, '+', region->gpa);
	watcher->translated_when_added = hva_of(watcher->memory, region->gpa) != NULL;
	if (watcher->answer >= 0)
		region->hva[0] = 1; /* the mapping is there */
	return watcher->answer;
}

static void watch_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct watcher *watcher = container_of(listener, struct watcher, listener);

	tell(watcher, '-', region->gpa);
	watcher->translated_when_removed = hva_of(watcher->memory, region->gpa) != NULL;
	watcher->readable_when_removed = region->hva[0] == 1;
}

static void init_watcher(struct watcher *watcher, struct guest_memory *memory, char name,
                         char *story)
{
	*watcher = (struct watcher){
		.listener = { .region_added = watch_added, .region_removed = watch_removed },
		.memory = memory,
		.name = name,
		.story = story,
	};
}

static void test_listeners(void **state)
{
	struct guest_memory *memory = new_memory();
	char story[256] = "";
	struct watcher a, b, c;
	struct error err = ERROR_INIT;

	(void)state;
	init_watcher(&a, memory, 'a', story);
	init_watcher(&b, memory, 'b', story);
	init_watcher(&c, memory, 'c', story);
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), 0);
	/* A new one hears of what is there. */
	assert_int_equal(gmem_add_listener(memory, &a.listener), 0);
	assert_int_equal(gmem_add_listener(memory, &b.listener), 0);
	assert_string_equal(story, "+a1 +b1 ");
	story[0] = '\0';

	assert_int_equal(gmem_add_region(memory, 2 * MIB, MIB, NULL, NULL), 0);
	assert_string_equal(story, "+a2 +b2 ");
	assert_false(a.translated_when_added);
	story[0] = '\0';
	assert_int_equal(gmem_remove_region(memory, 2 * MIB), 0);
	assert_string_equal(story, "-b2 -a2 ");
	assert_false(a.translated_when_removed);
	assert_true(a.readable_when_removed);
	story[0] = '\0';

	/* The last one refuses: the others are told to forget it, in reverse, and it is not there.
	 */
	assert_int_equal(gmem_add_listener(memory, &c.listener), 0);
	story[0] = '\0';
	c.answer = -EPERM;
	assert_int_equal(gmem_add_region(memory, 4 * MIB, MIB, NULL, &err), -EPERM);
	assert_int_equal(err.code, -EPERM);
	assert_string_equal(story, "+a4 +b4 +c4 -b4 -a4 ");
	assert_null(hva_of(memory, 4 * MIB));
	story[0] = '\0';
	a.answer = -ENOMEM;
	assert_int_equal(gmem_add_region(memory, 4 * MIB, MIB, NULL, NULL), -ENOMEM);
	assert_string_equal(story, "+a4 ");
	a.answer = c.answer = 0;

	/* Removed ones hear nothing any more. */
	story[0] = '\0';
	gmem_remove_listener(memory, &a.listener);
	gmem_remove_listener(memory, &a.listener);
	assert_int_equal(gmem_add_region(memory, 4 * MIB, MIB, NULL, NULL), 0);
	assert_string_equal(story, "+b4 +c4 ");
	gmem_remove_listener(memory, &b.listener);
	gmem_remove_listener(memory, &c.listener);
	guest_memory_destroy(memory);
}

static int refuse_second(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct watcher *watcher = container_of(listener, struct watcher, listener);

	tell(watcher, '+', region->gpa);
	return region->gpa == 2 * MIB ? -EBUSY : 0;
}

static void test_listener_refuses_at_once(void **state)
{
	struct guest_memory *memory = new_memory();
	char story[256] = "";
	struct watcher a;

	(void)state;
	for (gpa_t i = 1; i <= 3; i++)
		assert_int_equal(gmem_add_region(memory, i * MIB, MIB, NULL, NULL), 0);
	init_watcher(&a, memory, 'a', story);
	a.listener.region_added = refuse_second;
	assert_int_equal(gmem_add_listener(memory, &a.listener), -EBUSY);
	assert_string_equal(story, "+a1 +a2 -a1 ");
	story[0] = '\0';
	assert_int_equal(gmem_add_region(memory, 8 * MIB, MIB, NULL, NULL), 0);
	assert_string_equal(story, "");
	guest_memory_destroy(memory);
}

/* --- threads --- */

/* --- who watches writes --- */

struct heard {
	struct gmem_watcher watcher;
	unsigned int calls;
	gpa_t gpa;
	uint64_t size_bytes;
};

static void hear(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	struct heard *heard = container_of(watcher, struct heard, watcher);

	heard->calls++;
	heard->gpa = gpa;
	heard->size_bytes = size_bytes;
}

static void test_watch_writes(void **state)
{
	struct heard first = { .watcher.written = hear }, second = first;
	struct guest_memory *memory = new_memory();
	uint64_t word = 1;

	(void)state;
	assert_int_equal(gmem_add_region(memory, MIB, MIB, NULL, NULL), 0);
	assert_int_equal(gmem_write(memory, MIB, &word, sizeof(word)), 0);
	assert_int_equal(gmem_watch_writes(memory, &first.watcher), 0);
	assert_int_equal(gmem_watch_writes(memory, &second.watcher), -EBUSY);
	gmem_unwatch_writes(memory, &second.watcher); /* is none */
	assert_int_equal(gmem_read(memory, MIB, &word, sizeof(word)), 0);
	assert_int_equal(gmem_write(memory, 3 * MIB, &word, sizeof(word)), -EFAULT);
	assert_int_equal(first.calls, 0);
	assert_int_equal(gmem_write(memory, MIB + 5, &word, sizeof(word)), 0);
	assert_int_equal(first.calls, 1);
	assert_int_equal(first.gpa, MIB + 5);
	assert_int_equal(first.size_bytes, sizeof(word));
	gmem_note_write(memory, MIB + 9, 3);
	assert_int_equal(first.gpa, MIB + 9);
	/* A file that ends early may have left something. */
	assert_int_equal(gmem_load_file(memory, MIB, -1, 0, 100), -EBADF);
	assert_int_equal(first.calls, 3);
	gmem_unwatch_writes(memory, &first.watcher);
	assert_int_equal(gmem_write(memory, MIB, &word, sizeof(word)), 0);
	assert_int_equal(first.calls, 3);
	assert_int_equal(gmem_watch_writes(memory, &second.watcher), 0);
	guest_memory_destroy(memory);
}

struct silent_writer {
	struct gmem_unseen_writer writer;
	unsigned int held, let_go;
};

static void be_held(struct gmem_unseen_writer *writer)
{
	container_of(writer, struct silent_writer, writer)->held++;
}

static void be_let_go(struct gmem_unseen_writer *writer)
{
	container_of(writer, struct silent_writer, writer)->let_go++;
}

static void ignore_write(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	(void)watcher;
	(void)gpa;
	(void)size_bytes;
}

/* A watcher knows that it missed something, also once that is over; the next one missed nothing. */
static void test_unseen_writers(void **state)
{
	struct guest_memory *memory = new_memory();
	struct silent_writer one = { .writer = { .hold = be_held, .let_go = be_let_go } };
	struct silent_writer two = one;
	struct gmem_watcher watcher = { .written = ignore_write };

	(void)state;
	assert_int_equal(gmem_watch_writes(memory, &watcher), 0);
	assert_false(gmem_missed_writes(memory, &watcher));
	gmem_lock_shared(memory); /* on a loop, in a queue's handler */
	gmem_add_unseen_writer(memory, &one.writer);
	gmem_unlock_shared(memory);
	assert_true(gmem_missed_writes(memory, &watcher));
	gmem_unwatch_writes(memory, &watcher);
	assert_int_equal(gmem_watch_writes(memory, &watcher), 0);
	assert_true(gmem_missed_writes(memory, &watcher));
	gmem_add_unseen_writer(memory, &two.writer);
	gmem_remove_unseen_writer(memory, &one.writer);
	gmem_hold_unseen_writers(memory);
	assert_int_equal(two.held, 1);
	assert_int_equal(two.let_go, 0);
	gmem_let_unseen_writers_go(memory);
	assert_int_equal(two.let_go, 1);
	assert_int_equal(one.held + one.let_go, 0);
	gmem_remove_unseen_writer(memory, &two.writer);
	assert_true(gmem_missed_writes(memory, &watcher));
	gmem_unwatch_writes(memory, &watcher);
	assert_int_equal(gmem_watch_writes(memory, &watcher), 0);
	assert_false(gmem_missed_writes(memory, &watcher));
	guest_memory_destroy(memory);
}

struct late_writer {
	struct gmem_late_writer writer;
	struct guest_memory *memory;
	unsigned int settled;
};

/* As a disk does: guest memory's lock is free to be taken. */
static void be_settled(struct gmem_late_writer *writer)
{
	struct late_writer *late = container_of(writer, struct late_writer, writer);
	const uint8_t byte = 1;

	late->settled++;
	assert_int_equal(gmem_write(late->memory, 0, &byte, 1), 0);
}

/* They tell what they wrote, and a watcher misses nothing. */
static void test_late_writers(void **state)
{
	struct guest_memory *memory = new_memory();
	struct late_writer one = { .writer = { .settle = be_settled }, .memory = memory };
	struct late_writer two = one;
	struct gmem_watcher watcher = { .written = ignore_write };

	(void)state;
	assert_int_equal(gmem_add_region(memory, 0, 2 * MIB, NULL, NULL), 0);
	gmem_add_late_writer(memory, &one.writer);
	gmem_add_late_writer(memory, &two.writer);
	assert_int_equal(gmem_watch_writes(memory, &watcher), 0);
	gmem_settle_late_writers(memory);
	gmem_remove_late_writer(&one.writer);
	gmem_settle_late_writers(memory);
	assert_int_equal(one.settled, 1);
	assert_int_equal(two.settled, 2);
	assert_false(gmem_missed_writes(memory, &watcher));
	gmem_remove_late_writer(&two.writer);
	guest_memory_destroy(memory);
}

struct worker {
	struct guest_memory *memory;
	bool changes;
};

static void *work(void *ctx)
{
	struct worker *worker = ctx;

	for (uint32_t i = 0; i < 300; i++) {
		uint32_t value = i, back;

		if (worker->changes) {
			assert_int_equal(gmem_add_region(worker->memory, 8 * MIB, MIB, NULL, NULL),
			                 0);
			assert_int_equal(gmem_remove_region(worker->memory, 8 * MIB), 0);
			continue;
		}
		(void)!gmem_write(worker->memory, 8 * MIB + 4, &value, sizeof(value));
		gmem_lock_shared(worker->memory);
		uint8_t *span = gmem_span(worker->memory, 8 * MIB, 4);

		if (span)
			back = span[0]; /* must not fault while we hold the lock */
		assert_int_equal(gmem_read(worker->memory, MIB, &back, sizeof(back)), 0);
		gmem_unlock_shared(worker->memory);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct worker reader = { .memory = new_memory() };
	struct worker changer = { .memory = reader.memory, .changes = true };
	pthread_t threads[2];

	(void)state;
	assert_int_equal(gmem_add_region(reader.memory, MIB, MIB, NULL, NULL), 0);
	pthread_create(&threads[0], NULL, work, &reader);
	pthread_create(&threads[1], NULL, work, &changer);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	guest_memory_destroy(reader.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_bad_regions),
		cmocka_unit_test(test_host_refuses),
		cmocka_unit_test(test_many_regions),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_load_file),
		cmocka_unit_test(test_flush_page),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_listener_refuses_at_once),
		cmocka_unit_test(test_watch_writes),
		cmocka_unit_test(test_unseen_writers),
		cmocka_unit_test(test_late_writers),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
