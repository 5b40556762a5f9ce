/* SPDX-License-Identifier: Apache-2.0 */
/* The listener that keeps KVM's memslots the same as guest memory's regions. */
#ifndef EBB_MEMSLOT_H
#define EBB_MEMSLOT_H

#include "ebb/error.h"
#include "ebb/types.h"

struct memslots;
struct vm;

/*
 * Registers with vm->memory: regions that are there get their memslot in vm->kvm_vm now, later ones
 * as they come. Set-up, main thread. Errors: -ENOMEM, -errno of KVM, with a message that names the
 * region.
 */
EBB_MUST_CHECK int memslots_create(struct vm *vm, struct memslots **ret_memslots,
                                   struct error *err);

/* Stops following. Memslots that are left go with vm->kvm_vm, which is destroyed next. */
void memslots_destroy(struct memslots *memslots);

/*
 * A slot covers a region whole, also blocks of it that are not plugged: no memory comes there, as
 * the host's mapping refuses, and KVM_RUN ends with -EFAULT. Then this asks for a moment of quiet
 * in which the slots are cut down to what is plugged, so that the access exits as one to a hole.
 * True: run the vCPU again. False: no slot covers what is not plugged; the fault has another cause.
 * A vCPU's thread.
 */
bool memslots_narrow(struct memslots *memslots);

/* Slots in [gpa, gpa + size_bytes), now. Any thread. */
size_t memslots_count(struct memslots *memslots, gpa_t gpa, uint64_t size_bytes);

/* KVM's dirty log tells of every write and harms no guest, on every kernel that may be below.
 * Set-up; without it memslots_log_start answers -ENOTSUP. */
void memslots_allow_log(struct memslots *memslots);

/*
 * KVM's dirty log (KVM_MEM_LOG_DIRTY_PAGES) of all memslots, those that come too. From start's
 * return on each page is logged that a vCPU writes, or KVM for it; what ebb writes is not.
 * -ENOTSUP, or -errno of KVM with the log off. Any thread.
 */
EBB_MUST_CHECK int memslots_log_start(struct memslots *memslots);
void memslots_log_stop(struct memslots *memslots);

/*
 * A bit for each 4 KiB page of the region at gpa that was written since the last read, or since the
 * start, into words (whole words of 64 bits); those of blocks that no slot covers are left as they
 * are. Complete when no vCPU runs. -ENOENT: no such region, or no log, or slots were cut down since
 * the start; -errno of KVM.
 */
EBB_MUST_CHECK int memslots_log_read(struct memslots *memslots, gpa_t gpa, uint64_t *words);

#endif
