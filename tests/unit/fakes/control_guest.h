/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for tests of the control socket: a struct vm of 64 MiB and two vCPUs, with a balloon,
 * over fake_vm, fake_balloon, fake_reclaim, fake_kvm and fake_arch. It has no main loop; who
 * needs one sets it.
 */
#ifndef CONTROL_GUEST_H
#define CONTROL_GUEST_H

#include "ebb/device.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"
#include "fake_balloon.h"
#include "fake_reclaim.h"
#include "fake_vm.h"

#define CONTROL_GUEST_RAM_BYTES (64 * MIB)

struct control_guest {
	struct vm vm;
	struct vm_config config;
	struct balloon balloon;
	struct reclaim reclaim;
	struct vcpu vcpus[2];
	struct vcpu *vcpu_list[2];
	struct device_class device_class;
	struct device device;
	struct metric metrics[2];
};

void control_guest_create(struct control_guest *guest);
void control_guest_destroy(struct control_guest *guest);

#endif
