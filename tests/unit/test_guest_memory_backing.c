/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind guest memory: files and their places, seals, sizes, locking, filling, and what a
 * user is told who asks for what the host has not got. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"

struct fixture {
	struct guest_memory *memory;
	char path[64];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	strcpy(f->path, "/tmp/ebb-test-memory-XXXXXX");
	close(mkstemp(f->path));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(f->memory);
	unlink(f->path);
	free(f);
	return 0;
}

static struct gmem_region region_at(struct fixture *f, size_t index)
{
	struct gmem_region regions[4];

	assert_true(gmem_list_regions(f->memory, regions, 4) > index);
	return regions[index];
}

static uint64_t resident_bytes(const struct gmem_region *region)
{
	uint8_t *pages = malloc(region->size_bytes / PAGE_4K_BYTES);
	uint64_t bytes = 0;

	assert_int_equal(mincore(region->hva, region->size_bytes, pages), 0);
	for (size_t i = 0; i < region->size_bytes / PAGE_4K_BYTES; i++)
		bytes += (pages[i] & 1) * PAGE_4K_BYTES;
	free(pages);
	return bytes;
}

static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_anonymous(void **state)
{
	struct fixture *f = *state;
	struct gmem_region region;

	assert_int_equal(gmem_add_region(f->memory, GIB, MIB, NULL, NULL), 0);
	assert_int_equal(gmem_reserve(f->memory), 0);
	region = region_at(f, 0);
	assert_int_equal(region.kind, GMEM_ANON);
	assert_int_equal(region.page_bytes, PAGE_4K_BYTES);
	assert_int_equal(region.fd, -1);
	assert_false(region.thp || region.locked);
}

/* Below and above the hole: one memfd, one place behind the other, and nothing can cut it short. */
static void test_memfd(void **state)
{
	const struct gmem_backing backing = { .kind = GMEM_MEMFD, .file_bytes = 6 * MIB };
	struct fixture *f = *state;
	struct gmem_region low, high;
	int fds = count_fds();
	uint8_t bytes[2] = { 0 };
	struct stat status;

	assert_int_equal(gmem_add_region(f->memory, 0, 4 * MIB, &backing, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 4 * GIB, 2 * MIB, &backing, NULL), 0);
	assert_int_equal(count_fds(), fds + 1);
	low = region_at(f, 0);
	high = region_at(f, 1);
	assert_int_equal(low.fd, high.fd);
	assert_int_equal(low.file_offset, 0);
	assert_int_equal(high.file_offset, 4 * MIB);
	assert_int_equal(((uintptr_t)high.hva - high.gpa) % PAGE_1G_BYTES, 0);
	assert_int_equal(fcntl(low.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(low.fd, &status), 0);
	assert_int_equal(status.st_size, 6 * MIB);
	assert_int_equal(ftruncate(low.fd, MIB), -1);
	assert_int_equal(ftruncate(low.fd, 8 * MIB), -1);
	assert_int_equal(fcntl(low.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	/* It is the same memory. */
	low.hva[4 * MIB - 1] = 0x11;
	high.hva[0] = 0x22;
	assert_int_equal(pread(low.fd, bytes, 2, 4 * MIB - 1), 2);
	assert_int_equal(bytes[0], 0x11);
	assert_int_equal(bytes[1], 0x22);
	/* What is full takes no third: that is a file of its own, gone with its region. */
	assert_int_equal(gmem_add_region(f->memory, 8 * GIB, 2 * MIB, &backing, NULL), 0);
	assert_int_not_equal(region_at(f, 2).fd, low.fd);
	assert_int_equal(count_fds(), fds + 2);
	assert_int_equal(gmem_remove_region(f->memory, 8 * GIB), 0);
	assert_int_equal(count_fds(), fds + 1);
	assert_int_equal(gmem_remove_region(f->memory, 0), 0);
	assert_int_equal(high.hva[0], 0x22);
	assert_int_equal(gmem_remove_region(f->memory, 4 * GIB), 0);
	assert_int_equal(count_fds(), fds);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	const struct gmem_backing backing = {
		.kind = GMEM_FILE,
		.path = f->path,
		.file_bytes = 4 * MIB,
	};
	struct error err = ERROR_INIT;
	struct guest_memory *other;
	int fds = count_fds();
	uint8_t byte = 0;

	assert_int_equal(truncate(f->path, 4 * MIB), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, 3 * MIB, &backing, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 4 * GIB, MIB, &backing, NULL), 0);
	assert_int_equal(count_fds(), fds + 1);
	assert_int_equal(region_at(f, 1).file_offset, 3 * MIB);
	region_at(f, 1).hva[5] = 0x77;
	assert_int_equal(pread(region_at(f, 0).fd, &byte, 1, 3 * MIB + 5), 1);
	assert_int_equal(byte, 0x77);
	/* Not for two guests. */
	assert_int_equal(guest_memory_create(&other, NULL), 0);
	assert_int_equal(gmem_add_region(other, 0, 3 * MIB, &backing, &err), -EBUSY);
	assert_non_null(strstr(err.message, f->path));
	assert_non_null(strstr(err.message, "in use"));
	guest_memory_destroy(other);
}

static void test_files_that_do_not_do(void **state)
{
	struct fixture *f = *state;
	struct {
		const char *path, *says;
	} rows[] = {
		{ "/nowhere/at/all", "--mem path=/nowhere/at/all: no such file (truncate -s 5M " },
		{ f->path, "it holds 4 MiB and the guest takes 5 MiB (truncate -s 5M " },
		{ "/tmp", "cannot be opened for reading and writing: Is a directory (" },
		{ "/dev/null", "--mem path=/dev/null: neither a file nor a block device" },
	};
	int fds = count_fds();

	assert_int_equal(truncate(f->path, 4 * MIB), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct gmem_backing backing = {
			.kind = GMEM_FILE,
			.path = rows[i].path,
			.file_bytes = 5 * MIB,
		};
		struct error err = ERROR_INIT;

		assert_int_equal(gmem_add_region(f->memory, 0, 3 * MIB, &backing, &err), -EINVAL);
		if (!strstr(err.message, rows[i].says))
			fail_msg("%s", err.message);
		assert_int_equal(count_fds(), fds);
	}
	assert_int_equal(gmem_total_bytes(f->memory), 0);
}

/* More pages than any pool has; and, where the host has no such pages at all, that. */
static void test_pool_too_small(void **state)
{
	static const uint64_t page_sizes[] = { PAGE_2M_BYTES, PAGE_1G_BYTES };
	struct fixture *f = *state;
	int fds = count_fds();

	for (size_t i = 0; i < ARRAY_SIZE(page_sizes); i++) {
		const struct gmem_backing backing = {
			.kind = GMEM_HUGETLB,
			.page_bytes = page_sizes[i],
			.file_bytes = 2 * TIB,
		};
		struct error err = ERROR_INIT;
		char wanted[64];
		int r = gmem_add_region(f->memory, 4 * GIB, TIB, &backing, &err);

		snprintf(wanted, sizeof(wanted), "of %llu huge pages",
		         (unsigned long long)(2 * TIB / page_sizes[i]));
		if (r == -ENODEV) {
			assert_non_null(strstr(err.message, "--mem page-size="));
		} else {
			assert_int_equal(r, -ENOMEM);
			assert_non_null(strstr(err.message, wanted));
			assert_non_null(strstr(err.message, "are missing (write "));
			assert_non_null(strstr(err.message, "kB/nr_hugepages"));
		}
		assert_int_equal(count_fds(), fds);
	}
	assert_int_equal(gmem_total_bytes(f->memory), 0);
}

static void test_huge_pages_are_whole(void **state)
{
	const struct gmem_backing backing = { .kind = GMEM_HUGETLB, .page_bytes = PAGE_2M_BYTES };
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	int fds = count_fds();
	int r = gmem_add_region(f->memory, MIB, 2 * MIB, &backing, &err);

	/* -ENOMEM: no memfd with pages of a pool that is empty. */
	assert_true(r == -EINVAL || r == -ENOMEM || r == -ENODEV);
	if (r == -EINVAL)
		assert_non_null(strstr(err.message, "whole huge pages"));
	assert_int_equal(count_fds(), fds);
}

static long pool(const char *name)
{
	char path[96];
	long count = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", name);
	in = fopen(path, "r");
	if (!in || fscanf(in, "%ld", &count) != 1)
		count = 0;
	if (in)
		fclose(in);
	return count;
}

/* Released huge pages are anybody's, and the guest's again when they are reserved again. Only where
 * the pool has pages to give. */
static void test_huge_pages_are_reserved(void **state)
{
	const struct gmem_backing backing = { .kind = GMEM_HUGETLB, .page_bytes = PAGE_2M_BYTES };
	struct fixture *f = *state;
	struct gmem_region region;
	long reserved = pool("resv_hugepages");

	if (pool("free_hugepages") - reserved < 4) {
		print_message("the host's pool has no 4 huge pages of 2 MiB to give\n");
		skip();
	}
	assert_int_equal(gmem_add_region(f->memory, GIB, 8 * MIB, &backing, NULL), 0);
	assert_int_equal(pool("resv_hugepages"), reserved + 4);
	region = region_at(f, 0);
	memset(region.hva, 1, 8 * MIB);
	assert_int_equal(pool("resv_hugepages"), reserved);
	assert_int_equal(madvise(region.hva, 4 * MIB, MADV_REMOVE), 0);
	assert_int_equal(pool("resv_hugepages"), reserved);
	assert_int_equal(gmem_reserve(f->memory), 0);
	assert_int_equal(pool("resv_hugepages"), reserved + 2);
	assert_int_equal(gmem_remove_region(f->memory, GIB), 0);
	assert_int_equal(pool("resv_hugepages"), reserved);
}

static void test_prealloc(void **state)
{
	struct fixture *f = *state;
	struct gmem_backing backing = { .prealloc = true, .path = f->path };

	assert_int_equal(truncate(f->path, 2 * MIB), 0);
	for (int i = 0; i < 3; i++) {
		static const enum gmem_kind kinds[] = { GMEM_ANON, GMEM_MEMFD, GMEM_FILE };
		struct gmem_region region;

		backing.kind = kinds[i];
		assert_int_equal(gmem_add_region(f->memory, GIB, 2 * MIB, &backing, NULL), 0);
		region = region_at(f, 0);
		assert_int_equal(region.kind, kinds[i]);
		assert_int_equal(resident_bytes(&region), 2 * MIB);
		assert_int_equal(gmem_remove_region(f->memory, GIB), 0);
	}
}

static bool is_locked(const struct gmem_region *region)
{
	/* What is locked cannot be thrown away. */
	return madvise(region->hva, PAGE_4K_BYTES, MADV_DONTNEED) == -1 && errno == EINVAL;
}

static void test_lock(void **state)
{
	static const enum gmem_kind kinds[] = { GMEM_ANON, GMEM_MEMFD };
	struct fixture *f = *state;
	struct rlimit before, limit;
	struct error err = ERROR_INIT;

	for (int i = 0; i < 2; i++) {
		struct gmem_backing backing = { .kind = kinds[i], .lock = true };
		struct gmem_region region;

		assert_int_equal(gmem_add_region(f->memory, GIB, 64 * KIB, &backing, NULL), 0);
		region = region_at(f, 0);
		assert_true(region.locked && is_locked(&region));
		/* As it is touched, unless all of it is there. */
		assert_int_equal(resident_bytes(&region), 0);
		assert_int_equal(gmem_remove_region(f->memory, GIB), 0);
		backing.prealloc = true;
		assert_int_equal(gmem_add_region(f->memory, GIB, 64 * KIB, &backing, NULL), 0);
		region = region_at(f, 0);
		assert_true(is_locked(&region));
		assert_int_equal(resident_bytes(&region), 64 * KIB);
		assert_int_equal(gmem_remove_region(f->memory, GIB), 0);
	}
	if (geteuid() == 0)
		return; /* root has no limit */
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	limit = (struct rlimit){ 128 * KIB, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	assert_int_equal(
		gmem_add_region(f->memory, GIB, MIB, &(struct gmem_backing){ .lock = true }, &err),
		-ENOMEM);
	assert_non_null(strstr(err.message, "than this user may lock, 128 KiB (raise `ulimit -l`"));
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
}

/* A listener that refuses leaves no file. */
static int refuse(struct gmem_listener *listener, const struct gmem_region *region)
{
	(void)listener;
	(void)region;
	return -EPERM;
}

static void ignore(struct gmem_listener *listener, const struct gmem_region *region)
{
	(void)listener;
	(void)region;
}

static void test_refused_by_a_listener(void **state)
{
	struct gmem_listener listener = { .region_added = refuse, .region_removed = ignore };
	const struct gmem_backing backing = { .kind = GMEM_MEMFD };
	struct fixture *f = *state;
	int fds = count_fds();

	assert_int_equal(gmem_add_listener(f->memory, &listener), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, MIB, &backing, NULL), -EPERM);
	assert_int_equal(count_fds(), fds);
	gmem_remove_listener(f->memory, &listener);
}

/* What may hold something is cleared, to the byte; what is empty is not even touched. */
static void test_clear(void **state)
{
	const struct gmem_backing locked = { .lock = true }, memfd = { .kind = GMEM_MEMFD };
	struct fixture *f = *state;
	struct gmem_region low, high;

	assert_int_equal(gmem_add_region(f->memory, 0, MIB, &locked, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, GIB, MIB, &memfd, NULL), 0);
	low = region_at(f, 0);
	high = region_at(f, 1);
	memset(low.hva, 7, 3 * PAGE_4K_BYTES);
	gmem_clear(f->memory, 5, 2 * PAGE_4K_BYTES);
	assert_int_equal(low.hva[4], 7);
	for (size_t i = 5; i < 2 * PAGE_4K_BYTES + 5; i++)
		assert_int_equal(low.hva[i], 0);
	assert_int_equal(low.hva[2 * PAGE_4K_BYTES + 5], 7);
	gmem_clear(f->memory, GIB - PAGE_4K_BYTES, 2 * MIB);
	assert_int_equal(resident_bytes(&high), 0);
}

/* Content survives, and a page of another size is flushed whole. */
static void test_flush(void **state)
{
	const struct gmem_backing backing = { .kind = GMEM_MEMFD };
	struct fixture *f = *state;

	assert_int_equal(gmem_add_region(f->memory, 0, MIB, &backing, NULL), 0);
	region_at(f, 0).hva[PAGE_4K_BYTES] = 9;
	assert_int_equal(gmem_flush_page(f->memory, PAGE_4K_BYTES + 7), 0);
	assert_int_equal(region_at(f, 0).hva[PAGE_4K_BYTES], 9);
	assert_int_equal(gmem_flush_page(f->memory, MIB), -EFAULT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_anonymous),
		TEST(test_memfd),
		TEST(test_file),
		TEST(test_files_that_do_not_do),
		TEST(test_pool_too_small),
		TEST(test_huge_pages_are_whole),
		TEST(test_huge_pages_are_reserved),
		TEST(test_prealloc),
		TEST(test_lock),
		TEST(test_refused_by_a_listener),
		TEST(test_clear),
		TEST(test_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
