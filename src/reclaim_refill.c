/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Released memory that reads back as a value other than 0: filled again when it is first touched.
 *
 * DOC: a guest that poisons its free pages (VIRTIO_BALLOON_F_PAGE_POISON, value not 0) looks for
 * the poison when it takes a page into use, and a device must not change a reported page to
 * anything else (VIRTIO 1.2, 5.5.6.7). Free page hints are kept to the same. Inflated pages need
 * none of it: the driver must initialise what it deflates (5.5.6.6), and Linux does, for it frees
 * them, and freeing poisons.
 *
 *	       guard, then release               first touch
 *	filled ------------------> guarded ------------------------> filled
 *	       (userfaultfd register)       (fill whole, unregister)
 *
 * The unit is a 2 MiB block. It is registered with a userfaultfd for missing pages before it is
 * released, so that no access can see zeroes. Whoever touches it (a vCPU in KVM, vhost, ebb's own
 * threads) waits; the refill thread puts all 2 MiB in place and unregisters the block, which wakes
 * the waiting. Blocks keep the value they were guarded with: another driver, or none, in the same
 * machine does not change what lies there. A plain release of whole blocks ends their guard.
 *
 * Filling. UFFDIO_MOVE (Linux 6.8) puts a huge page in place that was filled beforehand: the thread
 * keeps a stock of them, made while nothing else is to do and given back after a second without
 * faults. Where a move fails or is not known, UFFDIO_COPY puts 512 small pages. Where a block is
 * not missing as a whole (a release failed halfway), or lies in more than one mapping for a moment,
 * page by page. If the host has no memory for it the access waits on, for as long as it takes:
 * there is nothing right that it could read.
 *
 * The map of guarded blocks holds whatever the kernel has registered, and may hold more, where a
 * registration failed halfway and could not be undone: harmless, since filling passes over what is
 * not registered.
 *
 * Limits: a guard splits mappings, of which a process has vm.max_map_count, so the runs of guarded
 * blocks are bounded. A release beyond is refused. A block that was filled and whose unregistration
 * would make a run too many stays registered, which costs it nothing.
 *
 * Threads: the lock is a leaf, held from guard to release and while a block is filled. Its holders
 * touch no guest memory, and the refill thread takes no other lock: it cannot wait for itself. The
 * stock is its own.
 *
 * The descriptor is a high one: when the process is killed, the kernel closes high descriptors
 * first, and KVM's end may wait for a fault of its own that only the end of this one lets go.
 *
 * Syscalls: main,reclaim: eventfd fcntl madvise nanosleep poll pthread_create
 */
#include "reclaim_refill.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "reclaim_refill_host.h"

#define STOCK_BLOCKS      4
#define STOCK_MAX_IDLE_MS 1000
#define RETRY_NS          NS_PER_MS
#define HIGH_FD           512
#define AREAS_FIRST       4

struct area { /* a region with guarded blocks, once */
	struct refill_memory memory;
	size_t block_count; /* whole blocks in it */
	uint8_t *first_block;
	uint64_t *guarded; /* a bit a block */
	uint32_t *values;
};

struct stock { /* the refill thread's */
	void *mapping;
	uint8_t *blocks;
	size_t filled;   /* blocks[0..filled) hold value */
	bool has_memory; /* since it was last given back */
	uint32_t value;
	uint32_t page[PAGE_4K_BYTES / sizeof(uint32_t)];
};

struct refill {
	int fd, stop_fd;
	bool can_move, can_share;
	pthread_t thread;
	struct stock stock;
	pthread_mutex_t lock; /* what follows */
	struct area *areas;
	size_t area_count, areas_max, run_count;
	struct reclaim_refill_stats stats;
};

/* --- areas and their runs; under the lock --- */

static struct area *area_of(struct refill *refill, uintptr_t hva)
{
	for (size_t i = 0; i < refill->area_count; i++) {
		const struct refill_memory *memory = &refill->areas[i].memory;

		if (range_contains((uintptr_t)memory->hva, memory->size_bytes, hva, 1))
			return &refill->areas[i];
	}
	return NULL;
}

static int make_room(struct refill *refill)
{
	size_t max = refill->areas_max ? 2 * refill->areas_max : AREAS_FIRST;
	struct area *areas;

	if (refill->area_count < refill->areas_max)
		return 0;
	areas = reallocarray(refill->areas, max, sizeof(*areas));
	if (!areas)
		return -ENOMEM;
	refill->areas = areas;
	refill->areas_max = max;
	return 0;
}

static int add_area(struct refill *refill, const struct refill_memory *memory,
                    struct area **ret_area)
{
	struct area area = { .memory = *memory };
	uint64_t head_bytes = -(uintptr_t)memory->hva & (REFILL_BLOCK_BYTES - 1);

	if (make_room(refill) < 0)
		return -ENOMEM;
	area.first_block = memory->hva + head_bytes;
	if (memory->size_bytes > head_bytes)
		area.block_count = (memory->size_bytes - head_bytes) / REFILL_BLOCK_BYTES;
	area.guarded = calloc(BITMAP_WORDS(area.block_count), sizeof(uint64_t));
	area.values = calloc(area.block_count, sizeof(uint32_t));
	if (!area.guarded || !area.values) {
		free(area.guarded);
		free(area.values);
		return -ENOMEM;
	}
	*ret_area = &refill->areas[refill->area_count++];
	**ret_area = area;
	return 0;
}

static uint8_t *block_hva(const struct area *area, size_t block)
{
	return area->first_block + block * REFILL_BLOCK_BYTES;
}

/* How many runs begin in [first, first + count]: all that a change of [first, first + count) can
 * make or end. */
static size_t count_run_starts(const struct area *area, size_t first, size_t count)
{
	size_t starts = 0;

	for (size_t i = first; i <= first + count && i < area->block_count; i++)
		starts += bitmap_test(area->guarded, i) &&
		          (i == 0 || !bitmap_test(area->guarded, i - 1));
	return starts;
}

static void mark(struct refill *refill, struct area *area, size_t first, size_t count, bool guarded)
{
	refill->run_count -= count_run_starts(area, first, count);
	if (guarded)
		bitmap_set_range(area->guarded, first, count);
	else
		bitmap_clear_range(area->guarded, first, count);
	refill->run_count += count_run_starts(area, first, count);
}

/* The blocks that lie whole in a range that lies in the area. */
static size_t whole_blocks(const struct area *area, const uint8_t *hva, uint64_t size_bytes,
                           size_t *ret_first)
{
	uintptr_t start = max_u64((uintptr_t)hva, (uintptr_t)area->first_block);
	uintptr_t end = align_down((uintptr_t)hva + size_bytes, REFILL_BLOCK_BYTES);

	start = align_up(start, REFILL_BLOCK_BYTES);
	*ret_first = (start - (uintptr_t)area->first_block) / REFILL_BLOCK_BYTES;
	return start < end ? (end - start) / REFILL_BLOCK_BYTES : 0;
}

/* A registration failed, perhaps halfway: what was not guarded before is so no more. */
static void undo_register(struct refill *refill, struct area *area, size_t first, size_t count)
{
	size_t end = first + count;

	for (size_t next; (first = bitmap_find_clear(area->guarded, end, first)) < end;
	     first = next) {
		next = bitmap_find_set(area->guarded, end, first);
		if (refill_host_unregister(refill->fd, block_hva(area, first),
		                           (next - first) * REFILL_BLOCK_BYTES) < 0)
			mark(refill, area, first, next - first, true);
	}
}

int refill_guard(struct refill *refill, const struct refill_memory *memory, uint8_t *hva,
                 uint64_t size_bytes, uint32_t value)
{
	struct area *area = area_of(refill, (uintptr_t)memory->hva);
	size_t first, count, runs;
	int r = 0;

	if (memory->shared && !refill->can_share)
		return -EOPNOTSUPP;
	if (!area)
		r = add_area(refill, memory, &area);
	if (r < 0)
		return r;
	count = whole_blocks(area, hva, size_bytes, &first);
	if (!count)
		return 0;
	runs = refill->run_count - count_run_starts(area, first, count);
	runs += first == 0 || !bitmap_test(area->guarded, first - 1);
	if (runs > REFILL_RUNS_MAX)
		return -ENOSPC;
	r = refill_host_register(refill->fd, block_hva(area, first), count * REFILL_BLOCK_BYTES);
	if (r < 0) {
		undo_register(refill, area, first, count);
		return r;
	}
	mark(refill, area, first, count, true);
	for (size_t i = first; i < first + count; i++)
		area->values[i] = value;
	return 0;
}

void refill_unguard(struct refill *refill, uint8_t *hva, uint64_t size_bytes)
{
	struct area *area = area_of(refill, (uintptr_t)hva);
	size_t first, count;

	if (!area)
		return;
	count = whole_blocks(area, hva, size_bytes, &first);
	if (!bitmap_count_range(area->guarded, first, count))
		return;
	if (refill_host_unregister(refill->fd, block_hva(area, first),
	                           count * REFILL_BLOCK_BYTES) == 0)
		mark(refill, area, first, count, false);
	else
		memset(&area->values[first], 0, count * sizeof(area->values[0]));
}

void refill_forget(struct refill *refill, const uint8_t *hva)
{
	struct area *area;

	refill_lock(refill);
	area = area_of(refill, (uintptr_t)hva);
	if (area) {
		/* What cannot be unregistered goes with the mapping. */
		(void)!refill_host_unregister(refill->fd, area->first_block,
		                              area->block_count * REFILL_BLOCK_BYTES);
		mark(refill, area, 0, area->block_count, false);
		free(area->guarded);
		free(area->values);
		*area = refill->areas[--refill->area_count];
	}
	refill_unlock(refill);
}

void refill_lock(struct refill *refill)
{
	pthread_mutex_lock(&refill->lock);
}

void refill_unlock(struct refill *refill)
{
	pthread_mutex_unlock(&refill->lock);
}

void refill_query(struct refill *refill, struct reclaim_refill_stats *ret_stats)
{
	refill_lock(refill);
	*ret_stats = refill->stats;
	for (size_t i = 0; i < refill->area_count; i++) {
		const struct area *area = &refill->areas[i];

		ret_stats->guarded_bytes +=
			bitmap_count_range(area->guarded, 0, area->block_count) *
			REFILL_BLOCK_BYTES;
	}
	refill_unlock(refill);
}

/* --- the stock; on the refill thread --- */

static int stock_init(struct stock *stock)
{
	const size_t size_bytes = (STOCK_BLOCKS + 1) * REFILL_BLOCK_BYTES;
	void *mapping = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
	                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapping == MAP_FAILED)
		return -errno;
	stock->mapping = mapping;
	stock->blocks = (uint8_t *)mapping + (-(uintptr_t)mapping & (REFILL_BLOCK_BYTES - 1));
	madvise(stock->blocks, STOCK_BLOCKS * REFILL_BLOCK_BYTES, MADV_HUGEPAGE);
	return 0;
}

static void stock_fini(struct stock *stock)
{
	munmap(stock->mapping, (STOCK_BLOCKS + 1) * REFILL_BLOCK_BYTES);
}

static void stock_give_back(struct stock *stock)
{
	madvise(stock->blocks, STOCK_BLOCKS * REFILL_BLOCK_BYTES, MADV_DONTNEED);
	stock->filled = 0;
	stock->has_memory = false;
}

static void stock_add_block(struct stock *stock)
{
	uint8_t *block = stock->blocks + stock->filled * REFILL_BLOCK_BYTES;

	for (size_t offset = 0; offset < REFILL_BLOCK_BYTES; offset += sizeof(stock->page))
		memcpy(block + offset, stock->page, sizeof(stock->page));
	stock->filled++;
	stock->has_memory = true;
}

static void stock_set_value(struct stock *stock, uint32_t value)
{
	if (stock->value == value)
		return;
	stock->value = value;
	stock->filled = 0;
	for (size_t i = 0; i < ARRAY_SIZE(stock->page); i++)
		stock->page[i] = value;
}

/* The newest of its blocks, which the caller may take away. */
static uint8_t *stock_block(struct stock *stock)
{
	if (!stock->filled)
		stock_add_block(stock);
	return stock->blocks + (stock->filled - 1) * REFILL_BLOCK_BYTES;
}

static bool stock_wants_more(const struct refill *refill)
{
	return refill->can_move && refill->stock.has_memory && refill->stock.filled < STOCK_BLOCKS;
}

/* --- filling; on the refill thread, under the lock --- */

static bool move_block(struct refill *refill, uint8_t *block)
{
	struct stock *stock = &refill->stock;
	ssize_t done = refill_host_move(refill->fd, block, stock_block(stock), REFILL_BLOCK_BYTES);

	/* What it left of the source, if anything, is written anew before it is used again. */
	stock->filled--;
	if (done == -EINVAL)
		refill->can_move = false; /* not between mappings like these */
	if (done != (ssize_t)REFILL_BLOCK_BYTES)
		return false;
	refill->stats.blocks_moved++;
	refill->stats.bytes += REFILL_BLOCK_BYTES;
	return true;
}

/* What is there already, or not guarded any more, is left as it is. */
static int copy_pages(struct refill *refill, uint8_t *block)
{
	ssize_t done;

	for (size_t offset = 0; offset < REFILL_BLOCK_BYTES; offset += PAGE_4K_BYTES) {
		done = refill_host_copy(refill->fd, block + offset, refill->stock.page,
		                        PAGE_4K_BYTES);
		if (done > 0)
			refill->stats.bytes += PAGE_4K_BYTES;
		else if (done != -EEXIST && done != -ENOENT)
			return (int)done;
	}
	return 0;
}

static int copy_block(struct refill *refill, uint8_t *block)
{
	ssize_t done = refill_host_copy(refill->fd, block, stock_block(&refill->stock),
	                                REFILL_BLOCK_BYTES);
	int r = 0;

	if (done > 0)
		refill->stats.bytes += (uint64_t)done;
	if (done != (ssize_t)REFILL_BLOCK_BYTES)
		r = copy_pages(refill, block);
	refill->stats.blocks_copied += r == 0;
	return r;
}

static int fill_block(struct refill *refill, const struct area *area, size_t block)
{
	uint8_t *hva = block_hva(area, block);

	stock_set_value(&refill->stock, area->values[block]);
	if (refill->can_move && !area->memory.shared && move_block(refill, hva))
		return 0;
	return copy_block(refill, hva);
}

/* Filled: the guard ends, unless that would make a run too many. */
static void end_guard(struct refill *refill, struct area *area, size_t block)
{
	bool splits = block > 0 && bitmap_test(area->guarded, block - 1) &&
	              block + 1 < area->block_count && bitmap_test(area->guarded, block + 1);

	if (splits && refill->run_count >= REFILL_RUNS_MAX)
		return;
	if (refill_host_unregister(refill->fd, block_hva(area, block), REFILL_BLOCK_BYTES) == 0)
		mark(refill, area, block, 1, false);
}

static int serve_fault(struct refill *refill, uintptr_t hva)
{
	struct area *area = area_of(refill, hva);
	size_t block;
	int r;

	refill->stats.faults++;
	/* Behind the whole blocks, nothing is ever guarded. */
	if (!area || hva < (uintptr_t)area->first_block)
		return 0;
	block = (hva - (uintptr_t)area->first_block) / REFILL_BLOCK_BYTES;
	if (block >= area->block_count || !bitmap_test(area->guarded, block))
		return 0;
	r = fill_block(refill, area, block);
	if (r < 0) {
		refill->stats.errors++;
		return r;
	}
	end_guard(refill, area, block);
	return 0;
}

/* --- the refill thread --- */

static void serve_faults(struct refill *refill)
{
	const struct timespec retry = { .tv_nsec = RETRY_NS };
	uintptr_t hva;
	int r;

	while (refill_host_next(refill->fd, &hva) > 0) {
		refill_lock(refill);
		r = serve_fault(refill, hva);
		refill_unlock(refill);
		/* Not filled: those who wait touch it again, and ask again, after a while. */
		if (r < 0)
			nanosleep(&retry, NULL);
		(void)!refill_host_wake(refill->fd, (void *)align_down(hva, REFILL_BLOCK_BYTES),
		                        REFILL_BLOCK_BYTES);
	}
}

static void *refill_main(void *ctx)
{
	struct refill *refill = ctx;
	struct pollfd fds[] = {
		{ .fd = refill->fd, .events = POLLIN },
		{ .fd = refill->stop_fd, .events = POLLIN },
	};

	pthread_setname_np(pthread_self(), "refill");
	while (!(fds[1].revents & POLLIN)) {
		int timeout_ms = stock_wants_more(refill)   ? 0
		                 : refill->stock.has_memory ? STOCK_MAX_IDLE_MS
		                                            : -1;
		int ready = poll(fds, ARRAY_SIZE(fds), timeout_ms);

		if (ready > 0 && fds[0].revents)
			serve_faults(refill);
		else if (ready == 0 && timeout_ms == 0)
			stock_add_block(&refill->stock);
		else if (ready == 0)
			stock_give_back(&refill->stock);
	}
	return NULL;
}

/* --- life --- */

static int explain(int reason, struct error *err)
{
	if (reason == -EPERM || reason == -EACCES)
		return error_set(err, -EPERM,
		                 "the host does not let ebb serve KVM's page faults (allow it with "
		                 "`sysctl vm.unprivileged_userfaultfd=1`, let its user open "
		                 "/dev/userfaultfd, or give it CAP_SYS_PTRACE)");
	if (reason == -ENOSYS)
		return error_set(err, -ENOSYS,
		                 "the host's kernel has no userfaultfd (it needs "
		                 "CONFIG_USERFAULTFD)");
	return error_set_errno(err, reason, "no userfaultfd");
}

/* The device first: who may open it may use it. A user without it may still have the system call.
 */
struct refill_opened refill_open(void)
{
	struct refill_opened opened = { .fd = refill_host_open_device() };

	opened.is_device = opened.fd >= 0;
	if (!opened.is_device)
		opened.fd = refill_host_open_syscall();
	return opened;
}

/* The userfaultfd, or -errno. */
static int take_opened(struct refill_opened opened)
{
	int fd;

	if (!opened.is_device)
		return opened.fd;
	fd = refill_host_new(opened.fd);
	close(opened.fd);
	/* Who may open it may use it; it is something else that lies there, then. */
	return fd == -ENOTTY ? -EPERM : fd;
}

static int set_descriptor(struct refill *refill, struct refill_opened opened, struct error *err)
{
	int fd = take_opened(opened), high_fd, r;
	uint64_t features = 0;

	if (fd < 0)
		return explain(fd, err);
	high_fd = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high_fd >= 0) {
		close(fd);
		fd = high_fd;
	}
	r = refill_host_handshake(fd, &features);
	if (r < 0) {
		close(fd);
		return error_set_errno(err, r, "the host's userfaultfd does not shake hands");
	}
	refill->fd = fd;
	refill->can_move = features & REFILL_HOST_MOVE;
	refill->can_share = features & REFILL_HOST_SHARED;
	return 0;
}

static int start_thread(struct refill *refill)
{
	pthread_attr_t attributes;
	sigset_t all;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &all);
	r = -pthread_create(&refill->thread, &attributes, refill_main, refill);
	pthread_attr_destroy(&attributes);
	return r;
}

int refill_create(struct refill **ret_refill, struct error *err)
{
	return refill_create_opened(refill_open(), ret_refill, err);
}

int refill_create_opened(struct refill_opened opened, struct refill **ret_refill, struct error *err)
{
	struct refill *refill = calloc(1, sizeof(*refill));
	int r;

	if (!refill) {
		if (opened.fd >= 0)
			close(opened.fd);
		return error_set_errno(err, -ENOMEM, "refilling memory");
	}
	pthread_mutex_init(&refill->lock, NULL);
	r = set_descriptor(refill, opened, err);
	if (r < 0)
		goto free_refill;
	r = stock_init(&refill->stock);
	if (r < 0)
		goto close_descriptor;
	r = refill->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r < 0) {
		r = -errno;
		goto free_stock;
	}
	r = start_thread(refill);
	if (r < 0)
		goto close_stop;
	*ret_refill = refill;
	return 0;

close_stop:
	close(refill->stop_fd);
free_stock:
	stock_fini(&refill->stock);
close_descriptor:
	close(refill->fd);
	error_set_errno(err, r, "refilling memory");
free_refill:
	pthread_mutex_destroy(&refill->lock);
	free(refill);
	return r;
}

void refill_destroy(struct refill *refill)
{
	if (!refill)
		return;
	eventfd_write(refill->stop_fd, 1);
	pthread_join(refill->thread, NULL);
	close(refill->stop_fd);
	close(refill->fd); /* which unregisters what is left */
	stock_fini(&refill->stock);
	for (size_t i = 0; i < refill->area_count; i++) {
		free(refill->areas[i].guarded);
		free(refill->areas[i].values);
	}
	free(refill->areas);
	pthread_mutex_destroy(&refill->lock);
	free(refill);
}
