/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: regions of guest-physical addresses and the host mappings behind them.
 *
 * A region's host address is congruent to its guest-physical address modulo 1 GiB where the host
 * has the room and always modulo 2 MiB, so that host and guest huge pages line up. What is behind
 * it says struct gmem_backing; regions with the same backing share one file, one behind the other.
 *
 * Locking. The region table has a reader-writer lock. gmem_read, gmem_write and the queries take it
 * for themselves. A pointer from gmem_span is valid while the caller holds gmem_lock_shared
 * (recursive), and no longer. Adding and removing regions takes it exclusively; never call them
 * with the shared lock held. Any thread may call anything unless it says otherwise.
 *
 * Changes travel by listeners: region_added is called after the mapping exists and before any
 * translation finds it, in the order of registration; if one fails, those already told get
 * region_removed in reverse and the change fails. region_removed is called after translation
 * stopped finding it and before the mapping goes.
 */
#ifndef EBB_GUEST_MEMORY_H
#define EBB_GUEST_MEMORY_H

#include "ebb/error.h"
#include "ebb/list.h"
#include "ebb/types.h"

struct guest_memory;

#define GMEM_REGIONS_MAX 4096 /* chunks of areas among them */

enum gmem_kind {
	GMEM_ANON,    /* private anonymous, MAP_NORESERVE */
	GMEM_MEMFD,   /* shared memory without a name */
	GMEM_HUGETLB, /* the same of huge pages, reserved in their pool from the start */
	GMEM_FILE,    /* a file, block device or file of hugetlbfs of the user's, shared */
};

struct gmem_backing {
	enum gmem_kind kind;
	uint64_t page_bytes; /* GMEM_HUGETLB: PAGE_2M_BYTES or PAGE_1G_BYTES; the others: 0 */
	bool thp;            /* advise huge pages (GMEM_ANON, GMEM_MEMFD) */
	bool lock;           /* mlock; pages the guest did not touch yet only with prealloc */
	bool prealloc;       /* all there from the start */
	const char *path;    /* GMEM_FILE; borrowed while regions are added */
	uint64_t file_bytes; /* all regions of the file together; 0: it has one. Not GMEM_ANON */
	/* What is plugged of an area comes from that node of the host's alone. Regions of their own
	 * are bound in parts, see numa.h. */
	bool has_host_node;
	uint32_t host_node;
};

struct gmem_region {
	gpa_t gpa;           /* aligned to page_bytes */
	uint64_t size_bytes; /* a multiple of page_bytes, not 0; gpa + size_bytes does not wrap */
	uint8_t *hva;
	enum gmem_kind kind;
	uint64_t page_bytes; /* what the host allocates and frees at least: 4 KiB, 2 MiB, 1 GiB */
	bool thp, locked;
	bool has_host_node; /* of an area; as in its backing */
	uint32_t host_node;
	int fd;               /* owned by guest memory; -1: GMEM_ANON */
	uint64_t file_offset; /* of hva, in fd */
	uint64_t block_bytes; /* a chunk of an area; 0: all of the region is there */
};

struct gmem_area;

struct gmem_extent {
	gpa_t gpa;
	uint64_t size_bytes, block_bytes;
};

struct gmem_listener { /* owned by the listener, linked while registered */
	struct list node;
	int (*region_added)(struct gmem_listener *listener, const struct gmem_region *region);
	void (*region_removed)(struct gmem_listener *listener, const struct gmem_region *region);
	/* NULL: not of interest. Blocks of a chunk become memory; as region_added, but for the way
	 * back: a plug that fails later is not told. */
	int (*blocks_plugged)(struct gmem_listener *listener, const struct gmem_region *chunk,
	                      gpa_t gpa, uint64_t size_bytes);
};

EBB_MUST_CHECK int guest_memory_create(struct guest_memory **ret_memory, struct error *err);

/* Unmaps every region without telling listeners: they are gone by then. */
void guest_memory_destroy(struct guest_memory *memory);

/*
 * A backing of NULL is private anonymous memory without huge pages. Errors: -EINVAL (alignment,
 * wrap, a file that does not do), -EEXIST (overlap), -ENOSPC (GMEM_REGIONS_MAX), -ENOMEM (address
 * space, the pool of huge pages, what prealloc asks for), -EPERM (locking), a listener's.
 */
EBB_MUST_CHECK int gmem_add_region(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes,
                                   const struct gmem_backing *backing, struct error *err);
EBB_MUST_CHECK int gmem_remove_region(struct guest_memory *memory, gpa_t gpa);

/*
 * An area: addresses whose memory comes and goes in blocks (virtio-mem). Until something is plugged
 * it costs address space and a few bits a block. What is plugged lies in regions: chunks of the
 * area, aligned and all of one size that is chosen for it (the last may be smaller), in the table
 * from the first plugged block of theirs until gmem_trim finds none; listeners hear of chunks.
 *
 * In a region with block_bytes, a block that is not plugged is not there: copies and spans fail on
 * it, and no access of KVM's or the host's can bring memory (PROT_NONE).
 *
 * block_bytes: a power of two from 2 MiB on, a multiple of the backing's page; gpa and size_bytes
 * are multiples of it. -EINVAL (also GMEM_FILE), -EEXIST, -ENOMEM. Set-up and teardown; removing
 * takes what is plugged along, after gmem_unplug.
 */
EBB_MUST_CHECK int gmem_add_area(struct guest_memory *memory, const struct gmem_extent *extent,
                                 const struct gmem_backing *backing, struct gmem_area **ret_area,
                                 struct error *err);
void gmem_remove_area(struct gmem_area *area);

/*
 * Whole blocks, none of them plugged, that read as zeroes then. All or nothing: -EINVAL (not
 * those), -ENOSPC and -ENOMEM (the host has not got them: the pool of huge pages, what prealloc and
 * lock ask for, mappings), -errno of a listener. Of a file, what the host gave before it failed
 * goes by reclaim_release(RECLAIM_UNPLUG). Any thread, without the shared lock.
 */
EBB_MUST_CHECK int gmem_plug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);

/*
 * Whole blocks, all of them plugged. On return no translation finds them. Next their pages are the
 * host's again by reclaim_release(RECLAIM_UNPLUG), which takes no other; until then gmem_plug_again
 * gives the blocks back as they were. At last comes gmem_trim: from its return on nothing reaches
 * them, vCPUs included, and what a vCPU brought back meanwhile is gone. All or nothing: -EINVAL,
 * -ENOMEM. As gmem_plug.
 */
EBB_MUST_CHECK int gmem_unplug(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);
EBB_MUST_CHECK int gmem_plug_again(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes);

/* Takes chunks with nothing plugged out of the table and makes the place of unplugged blocks as
 * new, after the release; gmem_plug_again has nothing to give back then. As gmem_plug. */
void gmem_trim(struct gmem_area *area);

/* Of [gpa, gpa + size_bytes): the bytes from gpa on that are all plugged, or all not; *ret_plugged
 * says which. Outside of the area: 0. */
uint64_t gmem_area_run(struct gmem_area *area, gpa_t gpa, uint64_t size_bytes, bool *ret_plugged);
uint64_t gmem_area_plugged_bytes(struct gmem_area *area);

/* Of [gpa, gpa + size_bytes): the bytes from gpa on that are all memory, or all not; it may end
 * where a region does. */
uint64_t gmem_run(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes, bool *ret_there);

/* While held, nothing is added, removed, plugged or unplugged; taken before the table's lock. A
 * listener is called with it held. */
void gmem_hold_changes(struct guest_memory *memory);
void gmem_allow_changes(struct guest_memory *memory);

/* At most so many runs of plugged blocks, counted in each chunk, of all areas together: -ENOSPC and
 * -ENOMEM of gmem_plug and gmem_unplug. Only ever less. While changes are held. */
void gmem_limit_runs(struct guest_memory *memory, size_t max);

/*
 * Huge pages that were released left their reservation in the host's pool: reserves all of guest
 * memory once more, as adding a region does. 0, or -ENOMEM when the pool has not got them, with
 * those of some regions reserved. Other backings have nothing to reserve.
 */
EBB_MUST_CHECK int gmem_reserve(struct guest_memory *memory);

/* Set-up only. A new listener is told of the regions that are there already; -errno is the
 * listener's own. */
EBB_MUST_CHECK int gmem_add_listener(struct guest_memory *memory, struct gmem_listener *listener);
void gmem_remove_listener(struct guest_memory *memory, struct gmem_listener *listener);

void gmem_lock_shared(struct guest_memory *memory);
void gmem_unlock_shared(struct guest_memory *memory);

/* Changes with every region added or removed and every block plugged or unplugged; never 0. Cached
 * spans are stale when it differs. */
uint64_t gmem_generation(const struct guest_memory *memory);

/* Copies across neighbouring regions. -EFAULT, with nothing copied, when any byte is outside. */
EBB_MUST_CHECK int gmem_read(struct guest_memory *memory, gpa_t gpa, void *buf, size_t size_bytes);
EBB_MUST_CHECK int gmem_write(struct guest_memory *memory, gpa_t gpa, const void *buf,
                              size_t size_bytes);

/* Reads from a file straight into guest memory (loaders). -EFAULT, -EIO when the file ends early,
 * -errno of pread. */
EBB_MUST_CHECK int gmem_load_file(struct guest_memory *memory, gpa_t gpa, int fd,
                                  uint64_t file_offset, uint64_t size_bytes);

/*
 * For loaders, before the guest runs: makes the range read as zeroes where it may not (a file, and
 * locked memory at a reset, keep what was there). Memory that is empty then is not touched; what is
 * outside is passed over.
 */
void gmem_clear(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes);

/* A host pointer to the whole range if one region holds it, else NULL. size_bytes may be 0 (NULL
 * then). */
void *gmem_span(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes);

/* The same of the part from gpa on that one region holds: *size_bytes, in and out. NULL: none. */
void *gmem_span_prefix(struct guest_memory *memory, gpa_t gpa, uint64_t *size_bytes);

/*
 * One watcher hears of each write to guest memory by ebb (vCPUs' are KVM's to see), under the
 * shared lock, on the writer's thread, before that is given back. Who writes through gmem_span or
 * an iovec says so with gmem_note_write. -EBUSY: there is a watcher. Watching and unwatching take
 * the lock exclusively.
 */
struct gmem_watcher { /* owned by the watcher */
	void (*written)(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes);
	bool missed; /* guest memory's own; see gmem_missed_writes */
};

EBB_MUST_CHECK int gmem_watch_writes(struct guest_memory *memory, struct gmem_watcher *watcher);
void gmem_unwatch_writes(struct guest_memory *memory, struct gmem_watcher *watcher);
void gmem_note_write(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes);

/*
 * Who writes guest memory and cannot say so (the host's kernel, for vhost) is registered for as
 * long as it may: a watcher then misses writes, and knows it. What was missed is not made up for
 * when the writer goes. In a moment of quiet (vm.h) each is held: between hold's return and
 * let_go it writes nothing. Both run on the thread that holds, and no writer comes or goes between
 * them. Any thread; no lock of guest memory is taken but one of their own, behind all others.
 */
struct gmem_unseen_writer { /* owned by the writer, linked while registered */
	struct list node;
	void (*hold)(struct gmem_unseen_writer *writer);
	void (*let_go)(struct gmem_unseen_writer *writer);
};

void gmem_add_unseen_writer(struct guest_memory *memory, struct gmem_unseen_writer *writer);
void gmem_remove_unseen_writer(struct guest_memory *memory, struct gmem_unseen_writer *writer);

/* Whether there was such a writer since the watcher began to watch. */
bool gmem_missed_writes(struct guest_memory *memory, const struct gmem_watcher *watcher);

/* For moments of quiet. */
void gmem_hold_unseen_writers(struct guest_memory *memory);
void gmem_let_unseen_writers_go(struct guest_memory *memory);

/*
 * Who writes guest memory while none of its handlers runs, and says so when it is done (I/O in
 * flight), is registered for as long as it may. In a moment of quiet (vm.h), before all else, each
 * is settled: on settle's return nothing is under way, and all that was written is noted. The io
 * loop's thread alone, without locks; settle may take guest memory's.
 */
struct gmem_late_writer { /* owned by the writer, linked while registered */
	struct list node;
	void (*settle)(struct gmem_late_writer *writer);
};

void gmem_add_late_writer(struct guest_memory *memory, struct gmem_late_writer *writer);
void gmem_remove_late_writer(struct gmem_late_writer *writer);

/* For moments of quiet. */
void gmem_settle_late_writers(struct guest_memory *memory);

/*
 * Makes the guest's next access to the backing's page that holds gpa fault in the host anew,
 * content kept (for test devices). -EFAULT: no RAM there; -errno of mprotect (-EACCES: a file whose
 * file system is mounted noexec).
 */
EBB_MUST_CHECK int gmem_flush_page(struct guest_memory *memory, gpa_t gpa);

/* Copies the regions, in ascending gpa, to regions[0..max); returns how many there are in all.
 * Chunks are among them, with block_bytes: what of them is there says gmem_run. */
size_t gmem_list_regions(struct guest_memory *memory, struct gmem_region *regions, size_t max);

/* Regions whole, and of areas what is plugged. */
uint64_t gmem_total_bytes(struct guest_memory *memory);

#endif
