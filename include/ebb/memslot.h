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

#endif
