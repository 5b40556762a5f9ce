/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw-cfg: QEMU's firmware configuration ports, with what bare test kernels ask: how many CPUs, how
 * much RAM.
 *
 * A 16-bit write at 0x510 selects a key and starts at its first byte; byte reads at 0x511 go on
 * from there. Past an item's end, and for any other key, they give 0 (QEMU, docs/specs/fw_cfg).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/vm.h"

#include "device_table.h"

#define FW_CFG_PORT        0x510
#define FW_CFG_BYTES       2
#define FW_CFG_DATA_OFFSET 1

enum fw_cfg_key { FW_CFG_SIGNATURE = 0, FW_CFG_RAM_SIZE = 3, FW_CFG_CPU_COUNT = 5 };

#define ITEM_BYTES_MAX 8

struct fw_cfg {
	struct device device;
	bool on_bus;
	pthread_mutex_t lock;
	uint8_t item[ITEM_BYTES_MAX]; /* of the selected key */
	unsigned int position;        /* up to ITEM_BYTES_MAX */
};

static void select_key(struct fw_cfg *fw_cfg, uint16_t key)
{
	const struct vm_config *config = fw_cfg->device.vm->config;

	memset(fw_cfg->item, 0, sizeof(fw_cfg->item));
	fw_cfg->position = 0;
	switch (key) {
	case FW_CFG_SIGNATURE:
		memcpy(fw_cfg->item, "QEMU", 4);
		break;
	case FW_CFG_RAM_SIZE:
		store_le64(fw_cfg->item, config->memory.size_bytes);
		break;
	case FW_CFG_CPU_COUNT:
		store_le16(fw_cfg->item, (uint16_t)config->cpu_count);
		break;
	default:
		break;
	}
}

static void fw_cfg_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct fw_cfg *fw_cfg = ctx;
	uint8_t *bytes = data;

	memset(bytes, 0, size_bytes);
	if (offset + size_bytes <= FW_CFG_DATA_OFFSET)
		return;
	pthread_mutex_lock(&fw_cfg->lock);
	if (fw_cfg->position < ITEM_BYTES_MAX)
		bytes[FW_CFG_DATA_OFFSET - offset] = fw_cfg->item[fw_cfg->position++];
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void fw_cfg_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct fw_cfg *fw_cfg = ctx;

	if (offset || size_bytes != sizeof(uint16_t))
		return;
	pthread_mutex_lock(&fw_cfg->lock);
	select_key(fw_cfg, load_le16(data));
	pthread_mutex_unlock(&fw_cfg->lock);
}

static const struct bus_ops fw_cfg_ops = { .read = fw_cfg_read, .write = fw_cfg_write };

static void fw_cfg_reset(struct device *device)
{
	struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

	pthread_mutex_lock(&fw_cfg->lock);
	select_key(fw_cfg, FW_CFG_SIGNATURE);
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void fw_cfg_destroy(struct device *device)
{
	struct fw_cfg *fw_cfg;

	if (!device)
		return;
	fw_cfg = container_of(device, struct fw_cfg, device);
	if (fw_cfg->on_bus)
		bus_remove(device->vm->pio, FW_CFG_PORT);
	pthread_mutex_destroy(&fw_cfg->lock);
	free(fw_cfg);
}

static int fw_cfg_create(struct vm *vm, const struct device_config *config,
                         struct device **ret_device, struct error *err)
{
	struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
	int rc;

	if (!fw_cfg)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&fw_cfg->device, vm, config);
	fw_cfg->device.reset = fw_cfg_reset;
	pthread_mutex_init(&fw_cfg->lock, NULL);
	select_key(fw_cfg, FW_CFG_SIGNATURE);
	rc = bus_add(vm->pio, FW_CFG_PORT, FW_CFG_BYTES, &fw_cfg_ops, fw_cfg, fw_cfg->device.id);
	if (rc < 0) {
		fw_cfg_destroy(&fw_cfg->device);
		return error_set_errno(err, rc, "port 0x%x", FW_CFG_PORT);
	}
	fw_cfg->on_bus = true;
	device_add_resource(&fw_cfg->device, DEVICE_RESOURCE_PIO, FW_CFG_PORT, FW_CFG_BYTES);
	*ret_device = &fw_cfg->device;
	return 0;
}

const struct device_class fw_cfg_class = {
	.name = "fw-cfg",
	.help = "ports 0x510 and 0x511: how many CPUs, how much RAM",
	.create = fw_cfg_create,
	.destroy = fw_cfg_destroy,
};
