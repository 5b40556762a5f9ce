/* SPDX-License-Identifier: Apache-2.0 */
/* A VM by hand with one virtio-blk device. */
#include "blk_machine.h"

#include <assert.h>
#include <string.h>

#include "ebb/bytes.h"

static void must(bool done)
{
	assert(done);
	(void)done;
}

void blk_machine_begin(struct blk_machine *machine)
{
	memset(machine, 0, sizeof(*machine));
	fake_disk_clear();
	strcpy(machine->vm_config.name, "guest");
	machine->vm_config.cpu_count = 2;
	fake_driver_vm_create(&machine->vm, &machine->vm_config, BLK_RAM_BYTES);
	machine->config.class = &virtio_blk_class;
	strcpy(machine->config.id, "disk0");
	device_config_set_string(&machine->config, "path", "disk.img");
}

int blk_machine_create(struct blk_machine *machine, struct error *err)
{
	int ret = virtio_blk_class.create(&machine->vm, &machine->config, &machine->device, err);

	if (!ret)
		fake_driver_init(&machine->driver, &machine->vm, machine->device, BLK_RINGS_GPA);
	return ret;
}

void blk_machine_end(struct blk_machine *machine)
{
	virtio_blk_class.destroy(machine->device);
	must(!fake_disk.open_count);
	fake_driver_vm_destroy(&machine->vm);
}

uint8_t *blk_machine_memory(struct blk_machine *machine, gpa_t gpa)
{
	uint8_t *bytes = gmem_span(machine->vm.memory, gpa, 1);

	must(bytes);
	return bytes;
}

static gpa_t header_gpa(unsigned int n)
{
	return BLK_HEADER_GPA + (gpa_t)n * BLK_REQUEST_STEP;
}

static gpa_t status_gpa(unsigned int n)
{
	return header_gpa(n) + BLK_REQUEST_STEP - 1;
}

void blk_machine_add(struct blk_machine *machine, unsigned int queue, unsigned int n,
                     const struct blk_ask *ask)
{
	struct fake_driver_buffer buffers[3] = { { header_gpa(n), BLK_HEADER_BYTES, false } };
	uint8_t *header = blk_machine_memory(machine, header_gpa(n));
	unsigned int count = 1;

	store_le32(header, ask->type);
	store_le32(header + 4, 0x12345678); /* ignored */
	store_le64(header + 8, ask->sector);
	if (ask->data_bytes)
		buffers[count++] = (struct fake_driver_buffer){ ask->data_gpa, ask->data_bytes,
			                                        ask->data_writable };
	buffers[count++] = (struct fake_driver_buffer){ status_gpa(n), 1, true };
	*blk_machine_memory(machine, status_gpa(n)) = BLK_NO_STATUS;
	fake_driver_add(&machine->driver, queue, buffers, count);
}

uint8_t blk_machine_status(struct blk_machine *machine, unsigned int n)
{
	return *blk_machine_memory(machine, status_gpa(n));
}

uint8_t blk_machine_ask(struct blk_machine *machine, const struct blk_ask *ask,
                        uint32_t *ret_used_bytes)
{
	uint32_t head, used_bytes;

	blk_machine_add(machine, 0, 0, ask);
	fake_driver_kick(&machine->driver, 0);
	if (!fake_driver_take_used(&machine->driver, 0, &head, &used_bytes))
		return BLK_NO_STATUS;
	if (ret_used_bytes)
		*ret_used_bytes = used_bytes;
	return blk_machine_status(machine, 0);
}

struct disk *blk_machine_disk(struct blk_machine *machine)
{
	return container_of(machine->driver.vdev, struct virtio_blk, vdev)->disk;
}

uint64_t blk_machine_metric(const struct blk_machine *machine, const char *name)
{
	for (size_t i = 0; i < machine->device->metric_count; i++)
		if (!strcmp(machine->device->metrics[i].name, name))
			return metric_read(&machine->device->metrics[i].counter);
	must(false);
	return 0;
}
