/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be said of guest pages since a moment: whether anything wrote to them, and whether
 * taking them away would change what they hold. DOC in src/page_proof.c.
 *
 * One proof at a time; its functions on one thread, none with the lock of guest memory held.
 */
#ifndef EBB_PAGE_PROOF_H
#define EBB_PAGE_PROOF_H

#include "ebb/error.h"
#include "ebb/types.h"

struct page_proof;
struct vm;

struct page_proof_tally {         /* page_proof_judge adds to it */
	uint64_t untouched_bytes; /* nobody wrote to them since the start */
	uint64_t zero_bytes;      /* written, and hold zeroes alone */
	uint64_t touched_bytes;   /* written, and hold something, or are not there to look at */
};

/* From its return on, every write is seen, or known not to have been (vhost's). -ENOMEM, -EBUSY:
 * there is a proof already. */
EBB_MUST_CHECK int page_proof_start(struct vm *vm, struct page_proof **ret_proof);
void page_proof_stop(struct page_proof *proof);

/* Whether vCPUs' writes are seen one by one. If not, every page counts as written, and what is left
 * to prove is that it holds zeroes. */
bool page_proof_sees_writes(const struct page_proof *proof);

/*
 * Takes in what was written so far. In a moment of quiet (vm.h); what page_proof_judge then says is
 * true until that is over. -ESTALE: guest memory's regions are others than at the start, and
 * nothing can be said.
 */
EBB_MUST_CHECK int page_proof_refresh(struct page_proof *proof);

/* Judges whole 4 KiB pages of guest memory. Whether none of them is touched, where those of zeroes
 * are not if zeroes_count. */
bool page_proof_judge(struct page_proof *proof, gpa_t gpa, uint64_t size_bytes, bool zeroes_count,
                      struct page_proof_tally *tally);

#endif
