/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for tests of the control socket: a struct vm of 64 MiB and two vCPUs, with a balloon,
 * over fake_vm, fake_balloon, fake_reclaim, fake_kvm and fake_arch. It has no main loop; who
 * needs one sets it. Its memory devices answer in memory (include/ebb/memory_device.h); at first
 * there are none.
 */
#ifndef CONTROL_GUEST_H
#define CONTROL_GUEST_H

#include "ebb/device.h"
#include "ebb/memory_device.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"
#include "fake_balloon.h"
#include "fake_reclaim.h"
#include "fake_vm.h"

#define CONTROL_GUEST_RAM_BYTES (64 * MIB)

#define CONTROL_GUEST_MEMORY_DEVICES_MAX 4

struct memory_device {
	struct memory_device_status status; /* what memory_device_query answers */
};

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
	struct memory_device memory_devices[CONTROL_GUEST_MEMORY_DEVICES_MAX];
	size_t memory_device_count;
};

void control_guest_create(struct control_guest *guest);

/* A memory device of 8 GiB in blocks of 2 MiB, each on a node of its own, with a driver. */
void control_guest_add_memory(struct control_guest *guest, const char *id);
void control_guest_destroy(struct control_guest *guest);

#endif
