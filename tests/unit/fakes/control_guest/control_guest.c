/* SPDX-License-Identifier: Apache-2.0 */
/* A guest for tests of the control socket: see control_guest.h. */
#include "control_guest.h"

#include <stdlib.h>
#include <string.h>

#include "ebb/guest_memory.h"

void control_guest_create(struct control_guest *guest)
{
	memset(guest, 0, sizeof(*guest));
	fake_vm_clear();
	strcpy(guest->config.name, "guest");
	guest->config.memory.size_bytes = CONTROL_GUEST_RAM_BYTES;
	guest->vm.config = &guest->config;
	if (guest_memory_create(&guest->vm.memory, NULL) ||
	    gmem_add_region(guest->vm.memory, 0, CONTROL_GUEST_RAM_BYTES, NULL, NULL))
		abort();
	guest->vm.reclaim = &guest->reclaim;
	guest->vm.balloon = &guest->balloon;
	guest->balloon.ram_bytes = CONTROL_GUEST_RAM_BYTES;
	guest->vm.vcpus = guest->vcpu_list;
	guest->vm.vcpu_count = 2;
	for (unsigned int i = 0; i < 2; i++) {
		guest->vcpus[i].vm = &guest->vm;
		guest->vcpus[i].index = i;
		guest->vcpu_list[i] = &guest->vcpus[i];
	}
	list_init(&guest->vm.devices);
	guest->device_class.name = "virtio-balloon";
	guest->device.class = &guest->device_class;
	guest->device.vm = &guest->vm;
	strcpy(guest->device.id, "virtio-balloon");
	guest->metrics[0].name = "requests";
	guest->metrics[1].name = "bytes_in";
	guest->device.metrics = guest->metrics;
	guest->device.metric_count = 2;
	list_append(&guest->vm.devices, &guest->device.node);
}

void control_guest_destroy(struct control_guest *guest)
{
	guest_memory_destroy(guest->vm.memory);
}
