/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of virtio over MMIO, and guest memory under its rings, written by a driver that
 * does anything. Behind each input the VM is reset, and the device must then come up for a proper
 * driver.
 */
/* fakes: virtio_machine fuzz_registers test_driver fake_kvm fake_arch */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "fuzz_registers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { AREA_REGISTERS, AREA_RINGS, AREA_COUNT };

static const struct fuzz_area areas[AREA_COUNT] = {
	[AREA_REGISTERS] = { .base = MACHINE_VIRTIO_GPA, .size_bytes = 0x200 },
	[AREA_RINGS] = { .base = 0, .size_bytes = 0x1000 },
};

static void out(struct virtio_machine *machine, unsigned int offset, uint32_t value)
{
	machine_write(machine, MACHINE_VIRTIO_GPA + offset, value, 4);
}

static void check_that_it_comes_up(struct virtio_machine *machine)
{
	static const uint32_t writes[][2] = {
		{ VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1 },
		{ VIRTIO_MMIO_DRIVER_FEATURES, 1 },
		{ VIRTIO_MMIO_STATUS, 0xb },
		{ VIRTIO_MMIO_QUEUE_NUM, 8 },
		{ VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x1000 },
		{ VIRTIO_MMIO_QUEUE_USED_LOW, 0x2000 },
		{ VIRTIO_MMIO_QUEUE_READY, 1 },
		{ VIRTIO_MMIO_STATUS, 0xf },
	};

	(void)!gmem_write(machine->vm.memory, 0x1000, "\0\0\0", 4);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
		out(machine, writes[i][0], writes[i][1]);
	assert(machine_read(machine, MACHINE_VIRTIO_GPA + VIRTIO_MMIO_STATUS, 4) == 0xf);
	out(machine, VIRTIO_MMIO_STATUS, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct virtio_machine machine;
	static struct probe *probe;
	int ret;

	if (!probe) {
		virtio_machine_create(&machine, TRANSPORT_MMIO);
		probe = probe_create(&machine, &ret, NULL);
		assert(probe);
	}
	fuzz_transport(&machine, probe, areas, AREA_COUNT, data, size_bytes);
	check_that_it_comes_up(&machine);
	return 0;
}
