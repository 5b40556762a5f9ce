/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proof that guest pages were not written, or hold nothing.
 *
 * DOC: The specification lets a hinted page change only if the guest has not modified it since the
 * command id was issued (VIRTIO 1.2, 5.5.6.5, "Free Page Hinting"); a guest under pressure takes
 * hinted pages back without a word. Two things can be proven, page by page.
 *
 * It was not written. Who can write guest memory?
 *  - vCPUs, and the kernel for them (clocks, steal time): KVM's dirty log, on for all memslots
 *    before page_proof_start returns. With it KVM has write-protected every page, so the first
 *    write to each is logged (KVM_MEM_LOG_DIRTY_PAGES, KVM_GET_DIRTY_LOG).
 *  - Devices, into buffers that the guest gave them: the host writes through its own mapping, which
 *    the dirty log does not see. A page that the guest took back may be filled by a device and by
 *    nobody else. So guest memory tells a watcher of each write (gmem_watch_writes): gmem_write,
 *    gmem_load_file, and virtqueue.c for segments and rings, which is all that writes there.
 *  - reclaim, taking pages away or filling them with a poison value: the guest agreed to that, and
 *    it is no modification by the guest.
 *
 * It holds zeroes alone. Then a release changes nothing, since released memory reads as zeroes,
 * whoever wrote it and when. A guest that clears pages as it allocates them (init_on_alloc=1,
 * Debian's default) clears the very pages that it hints, after the command id: without this nothing
 * of what it hints could go. Only pages that are resident are looked at: looking must not bring any
 * in. A release that reads back as another value (poison) makes the caller leave zeroes out.
 *
 * Both hold only as long as nothing writes: page_proof_refresh and what follows from it happen in a
 * moment of quiet (vm_quiet, vm.h), when no vCPU runs, no handler of any loop does, the kernel's
 * vhost is held, and I/O of disks into guest memory, which runs without a handler and is told when
 * it ends, has come to its end (gmem_late_writer). A proof that begins while such I/O is in flight
 * hears of it like of any other: it ends before something is judged.
 *
 * vhost tells no watcher what it wrote. A proof during which it was at work, if only for a while,
 * takes every page for written (gmem_missed_writes), and what is left to prove is that it holds
 * zeroes. That is still most of what a guest that clears its pages hints. The kernel could log what
 * vhost writes, for live migration; it would make each packet dearer while a round of hints runs.
 *
 * Likewise where KVM's log cannot be trusted (memslots_allow_log) or does not work, every page
 * counts as written: less is proven, nothing wrongly. On RISC-V, Linux before 7.1 ends a guest that
 * writes to a huge page under a dirty log, and 7.0 misses writes to huge pages.
 *
 * Limits: a bit a page for the log and one for the watcher while a proof runs.
 *
 * Syscalls: main,reclaim: mincore
 */
#include "ebb/page_proof.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "ebb/memslot.h"
#include "ebb/page_map.h"
#include "ebb/vm.h"

struct page_proof {
	struct vm *vm;
	struct gmem_watcher watcher;
	uint64_t generation; /* of guest memory */
	bool logging;        /* KVM's log is on and was read each time; no write was missed */
	struct page_map *by_guest;
	pthread_mutex_t lock; /* by_host: any thread writes */
	struct page_map *by_host;
};

static void on_write(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	struct page_proof *proof = container_of(watcher, struct page_proof, watcher);

	pthread_mutex_lock(&proof->lock);
	page_map_add(proof->by_host, gpa, size_bytes);
	pthread_mutex_unlock(&proof->lock);
}

int page_proof_start(struct vm *vm, struct page_proof **ret_proof)
{
	struct page_proof *proof = calloc(1, sizeof(*proof));
	int result = -ENOMEM;

	if (!proof)
		return -ENOMEM;
	proof->vm = vm;
	proof->watcher.written = on_write;
	proof->generation = gmem_generation(vm->memory);
	pthread_mutex_init(&proof->lock, NULL);
	if (page_map_create(vm->memory, &proof->by_guest) ||
	    page_map_create(vm->memory, &proof->by_host))
		goto destroy_maps;
	result = gmem_watch_writes(vm->memory, &proof->watcher);
	if (result < 0)
		goto destroy_maps;
	proof->logging = vm->memslots && !gmem_missed_writes(vm->memory, &proof->watcher) &&
	                 memslots_log_start(vm->memslots) == 0;
	*ret_proof = proof;
	return 0;

destroy_maps:
	page_map_destroy(proof->by_host);
	page_map_destroy(proof->by_guest);
	pthread_mutex_destroy(&proof->lock);
	free(proof);
	return result;
}

void page_proof_stop(struct page_proof *proof)
{
	if (!proof)
		return;
	if (proof->vm->memslots)
		memslots_log_stop(proof->vm->memslots);
	gmem_unwatch_writes(proof->vm->memory, &proof->watcher);
	page_map_destroy(proof->by_host);
	page_map_destroy(proof->by_guest);
	pthread_mutex_destroy(&proof->lock);
	free(proof);
}

bool page_proof_sees_writes(const struct page_proof *proof)
{
	return proof->logging;
}

/* Reading a log empties it, so what it says is added to what was read before. */
static int read_log(struct page_proof *proof, size_t index)
{
	uint64_t *words = page_map_words(proof->by_guest, index), *fresh;
	uint64_t size_bytes;
	size_t count;
	gpa_t gpa;
	int result;

	page_map_region(proof->by_guest, index, &gpa, &size_bytes);
	count = BITMAP_WORDS(size_bytes / PAGE_4K_BYTES);
	fresh = calloc(count, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	result = memslots_log_read(proof->vm->memslots, gpa, fresh);
	for (size_t i = 0; !result && i < count; i++)
		words[i] |= fresh[i];
	free(fresh);
	return result;
}

int page_proof_refresh(struct page_proof *proof)
{
	if (gmem_generation(proof->vm->memory) != proof->generation)
		return -ESTALE;
	for (size_t i = 0; proof->logging && i < page_map_region_count(proof->by_guest); i++)
		proof->logging = read_log(proof, i) == 0;
	if (gmem_missed_writes(proof->vm->memory, &proof->watcher))
		proof->logging = false;
	return 0;
}

static bool is_written(const struct page_proof *proof, gpa_t gpa, uint64_t size_bytes)
{
	return !proof->logging || page_map_count_bytes(proof->by_guest, gpa, size_bytes) ||
	       page_map_count_bytes(proof->by_host, gpa, size_bytes);
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && memcmp(page, page + 1, PAGE_4K_BYTES - 1) == 0;
}

/* Of one 2 MiB block or a part of it. resident is its pages' answer of mincore. */
static void judge_pages(struct page_proof *proof, gpa_t gpa, size_t page_count, const uint8_t *hva,
                        const unsigned char *resident, struct page_proof_tally *tally)
{
	for (size_t i = 0; i < page_count; i++) {
		uint64_t offset = i * PAGE_4K_BYTES;

		if (!is_written(proof, gpa + offset, PAGE_4K_BYTES))
			tally->untouched_bytes += PAGE_4K_BYTES;
		else if ((resident[i] & 1) && is_zero(hva + offset))
			tally->zero_bytes += PAGE_4K_BYTES;
		else
			tally->touched_bytes += PAGE_4K_BYTES;
	}
}

/* Lock of guest memory held. */
static void judge_block(struct page_proof *proof, gpa_t gpa, uint64_t size_bytes, bool zeroes_count,
                        struct page_proof_tally *tally)
{
	unsigned char resident[PAGE_2M_BYTES / PAGE_4K_BYTES] = { 0 };
	uint8_t *hva = gmem_span(proof->vm->memory, gpa, size_bytes);

	if (!is_written(proof, gpa, size_bytes)) {
		tally->untouched_bytes += size_bytes;
		return;
	}
	/* Without an answer none is. */
	if (!zeroes_count || !hva || mincore(hva, size_bytes, resident) < 0)
		memset(resident, 0, sizeof(resident));
	judge_pages(proof, gpa, size_bytes / PAGE_4K_BYTES, hva, resident, tally);
}

bool page_proof_judge(struct page_proof *proof, gpa_t gpa, uint64_t size_bytes, bool zeroes_count,
                      struct page_proof_tally *tally)
{
	const uint64_t touched_before = tally->touched_bytes;

	gmem_lock_shared(proof->vm->memory);
	while (size_bytes) {
		uint64_t part_bytes = min_u64(size_bytes, PAGE_2M_BYTES);

		judge_block(proof, gpa, part_bytes, zeroes_count, tally);
		gpa += part_bytes;
		size_bytes -= part_bytes;
	}
	gmem_unlock_shared(proof->vm->memory);
	return tally->touched_bytes == touched_before;
}
