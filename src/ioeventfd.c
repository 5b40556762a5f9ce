/* SPDX-License-Identifier: Apache-2.0 */
/* Guest writes that KVM turns into an eventfd signal. */
#include "ebb/ioeventfd.h"

#include "ebb/kvm.h"
#include "ebb/vm.h"

static int change(struct vm *vm, const struct ioeventfd *ioeventfd, uint32_t flags)
{
	const struct kvm_ioeventfd request = {
		.addr = ioeventfd->gpa,
		.len = ioeventfd->size_bytes,
		.datamatch = ioeventfd->match ? ioeventfd->value : 0,
		.fd = ioeventfd->fd,
		.flags = flags | (ioeventfd->pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
		         (ioeventfd->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return kvm_vm_ioeventfd(vm->kvm_vm, &request);
}

int ioeventfd_assign(struct vm *vm, const struct ioeventfd *ioeventfd)
{
	return change(vm, ioeventfd, 0);
}

void ioeventfd_unassign(struct vm *vm, const struct ioeventfd *ioeventfd)
{
	/* Fails only where nothing is assigned: then there is nothing to do. */
	if (change(vm, ioeventfd, KVM_IOEVENTFD_FLAG_DEASSIGN))
		return;
}
