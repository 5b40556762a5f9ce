/* SPDX-License-Identifier: Apache-2.0 */
/* A VM by hand with one virtio-net device. */
#include "net_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../../devices/device_table.h"
#include "fake_vm.h"

#define COMMAND_GPA (NET_RINGS_GPA - 64 * KIB)
#define ANSWER_GPA  (NET_RINGS_GPA - 4 * KIB)

static void must(bool done)
{
	assert(done);
	(void)done;
}

void net_machine_begin(struct net_machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	fake_net_clear();
	fake_net_vhost_clear();
	fake_vm_clear();
	strcpy(machine->vm_config.name, "guest");
	fake_driver_vm_create(&machine->vm, &machine->vm_config, NET_RAM_BYTES);
	machine->config.class = &virtio_net_class;
	strcpy(machine->config.id, "net0");
	device_config_set_string(&machine->config, "kind", "tap");
}

int net_machine_create(struct net_machine *machine, struct error *err)
{
	int ret = virtio_net_class.create(&machine->vm, &machine->config, &machine->device, err);

	if (!ret)
		fake_driver_init(&machine->driver, &machine->vm, machine->device, NET_RINGS_GPA);
	return ret;
}

void net_machine_end(struct net_machine *machine)
{
	virtio_net_class.destroy(machine->device);
	must(!fake_net.open_count && !fake_net_vhost.open_count && !fake_vm_has_listeners());
	fake_driver_vm_destroy(&machine->vm);
}

int net_machine_set_up(void **state, unsigned int pairs)
{
	struct net_machine *machine = calloc(1, sizeof(*machine));

	must(machine);
	net_machine_begin(machine);
	fake_net.features = NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS;
	fake_net.queue_pairs = pairs;
	must(net_machine_create(machine, NULL) == 0);
	*state = machine;
	return 0;
}

int net_machine_tear_down(void **state)
{
	net_machine_end(*state);
	free(*state);
	return 0;
}

uint64_t net_machine_metric(const struct net_machine *machine, const char *name)
{
	for (size_t i = 0; i < machine->device->metric_count; i++)
		if (!strcmp(machine->device->metrics[i].name, name))
			return metric_read(&machine->device->metrics[i].counter);
	must(false);
	return 0;
}

uint8_t net_machine_command(struct net_machine *machine, unsigned int queue_index,
                            const void *bytes, size_t size_bytes)
{
	const uint32_t header_bytes = (uint32_t)min_u64(size_bytes, 2);
	const struct fake_driver_buffer buffers[] = {
		{ COMMAND_GPA, header_bytes, false },
		{ COMMAND_GPA + header_bytes, (uint32_t)size_bytes - header_bytes, false },
		{ ANSWER_GPA, 1, true },
	};
	uint8_t *answer = gmem_span(machine->vm.memory, ANSWER_GPA, 1);
	uint32_t head, used_bytes;

	*answer = 0xff;
	must(gmem_write(machine->vm.memory, COMMAND_GPA, bytes, size_bytes) == 0);
	fake_driver_add(&machine->driver, queue_index, buffers, ARRAY_SIZE(buffers));
	fake_driver_kick(&machine->driver, queue_index);
	if (!fake_driver_take_used(&machine->driver, queue_index, &head, &used_bytes))
		return 0xff;
	must(used_bytes == 1);
	return *answer;
}
