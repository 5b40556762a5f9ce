/* SPDX-License-Identifier: Apache-2.0 */
/* Guest writes that KVM turns into an eventfd signal, so that no vCPU leaves the kernel for a
 * notification. */
#ifndef EBB_IOEVENTFD_H
#define EBB_IOEVENTFD_H

#include "ebb/types.h"

struct vm;

struct ioeventfd {
	bool pio;                /* a port, else guest-physical */
	uint64_t gpa;            /* or port number */
	unsigned int size_bytes; /* 1, 2, 4, 8; 0: a write of any size (MMIO only) */
	bool match;              /* only writes of value */
	uint64_t value;
	int fd; /* borrowed until unassigned */
};

/* -errno of KVM (-EEXIST when the same is there). Any thread. A host that refuses costs speed
 * alone: the write reaches the bus. */
EBB_MUST_CHECK int ioeventfd_assign(struct vm *vm, const struct ioeventfd *ioeventfd);
void ioeventfd_unassign(struct vm *vm, const struct ioeventfd *ioeventfd);

#endif
