/* SPDX-License-Identifier: Apache-2.0 */
/* Devices in a configuration: their ids, and the sizes of those that bring memory. Pure. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"
#include "config_private.h"
#include "ebb/balloon.h"
#include "ebb/device.h"

#define BLOCK_MIN_BYTES PAGE_2M_BYTES

static bool has_id(const struct vm_config *config, const char *id)
{
	for (size_t i = 0; i < config->device_count; i++)
		if (strcmp(config->devices[i].id, id) == 0)
			return true;
	return device_class_find(id) != NULL;
}

/* The first number that nobody has: vm0, vm1 … */
static void choose_id(const struct vm_config *config, struct device_config *device)
{
	char id[DEVICE_ID_MAX];
	unsigned int number = 0;

	do
		snprintf(id, sizeof(id), "%s%u", device->class->id_prefix, number++);
	while (has_id(config, id));
	strcpy(device->id, id);
}

static int check_ids(const struct vm_config *config, struct error *err)
{
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		if (!device->id[0] || !device->class->id_prefix)
			continue;
		if (device_class_find(device->id))
			return error_set(err, -EINVAL,
			                 "--%s id=%s: a kind of device is called that (choose "
			                 "another id)",
			                 device->class->option, device->id);
		if (strcmp(device->id, BALLOON_ID) == 0)
			return error_set(err, -EINVAL,
			                 "--%s id=%s: the balloon is called that (choose another "
			                 "id)",
			                 device->class->option, device->id);
		for (size_t j = 0; j < i; j++)
			if (strcmp(config->devices[j].id, device->id) == 0)
				return error_set(err, -EINVAL,
				                 "--%s id=%s: another device has that id (choose "
				                 "another)",
				                 device->class->option, device->id);
	}
	return 0;
}

/* A mistake in a size: "--virtio-mem id=vm0 KEY=SIZE: WHY". */
static int wrong_size(const struct device_config *device, const char *key, const char *why,
                      uint64_t limit_bytes, struct error *err)
{
	char text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX];

	cmdline_format_size(device_config_number(device, key), text);
	cmdline_format_size(limit_bytes, limit_text);
	return error_set(err, -EINVAL, "--%s id=%s %s=%s: %s %s)", device->class->option,
	                 device->id, key, text, why, limit_text);
}

static int complete_block(const struct memory_config *memory, struct device_config *device,
                          struct error *err)
{
	uint64_t least_bytes = max_u64(BLOCK_MIN_BYTES, memory->backing.page_bytes);
	uint64_t block_bytes = device_config_number(device, "block-size");

	if (!device_config_given(device, "block-size")) {
		device_config_set_number(device, "block-size", max_u64(block_bytes, least_bytes));
		return 0;
	}
	if (!is_power_of_two(block_bytes))
		return wrong_size(device, "block-size", "no power of two (give one, of at least",
		                  least_bytes, err);
	if (block_bytes < BLOCK_MIN_BYTES)
		return wrong_size(device, "block-size", "too small (give at least", least_bytes,
		                  err);
	if (block_bytes < least_bytes)
		return wrong_size(device, "block-size",
		                  "less than a huge page of --mem (give at least", least_bytes,
		                  err);
	return 0;
}

static int check_sizes(const struct device_config *device, struct error *err)
{
	uint64_t size_bytes = device_config_number(device, "size");
	uint64_t requested_bytes = device_config_number(device, "requested-size");
	uint64_t block_bytes = device_config_number(device, "block-size");

	if (!size_bytes)
		return error_set(err, -EINVAL, "--%s id=%s: no size (give size=SIZE)",
		                 device->class->option, device->id);
	if (size_bytes > VM_MEMORY_MAX_BYTES)
		return wrong_size(device, "size", "too much memory (give at most",
		                  VM_MEMORY_MAX_BYTES, err);
	if (!is_aligned(size_bytes, block_bytes))
		return wrong_size(device, "size", "not whole blocks (give a multiple of",
		                  block_bytes, err);
	if (requested_bytes > size_bytes)
		return wrong_size(device, "requested-size",
		                  "more than the device's size (give at most", size_bytes, err);
	if (!is_aligned(requested_bytes, block_bytes))
		return wrong_size(device, "requested-size", "not whole blocks (give a multiple of",
		                  block_bytes, err);
	return 0;
}

static int check_node(const struct numa_config *numa, const struct device_config *device,
                      struct error *err)
{
	uint64_t node = device_config_number(device, "node");

	if (!node || node < numa->node_count)
		return 0;
	if (!numa->node_count)
		return error_set(err, -EINVAL,
		                 "--%s id=%s node=%" PRIu64
		                 ": there are no nodes (add --numa, or leave node out)",
		                 device->class->option, device->id, node);
	return error_set(err, -EINVAL,
	                 "--%s id=%s node=%" PRIu64 ": out of range (--numa gives 0 to %zu)",
	                 device->class->option, device->id, node, numa->node_count - 1);
}

static int complete_memory_device(const struct vm_config *config, struct device_config *device,
                                  struct error *err)
{
	int ret;

	if (config->memory.backing.kind == GMEM_FILE)
		return error_set(err, -EINVAL,
		                 "--%s id=%s: has no part in the file of --mem backing=file (give "
		                 "backing=anon, memfd or hugetlb)",
		                 device->class->option, device->id);
	ret = complete_block(&config->memory, device, err);
	if (!ret)
		ret = check_sizes(device, err);
	return ret ? ret : check_node(&config->numa, device, err);
}

/* Of a device that is there because the user named it: what has no default. */
static int check_required(const struct device_config *device, struct error *err)
{
	const struct device_class *class = device->class;

	for (size_t i = 0; i < class->option_count; i++) {
		const struct device_option *option = &class->options[i];

		if (!class->option || !option->help || option->default_value >= option->min ||
		    device_config_given(device, option->key))
			continue;
		return error_set(err, -EINVAL, "--%s: no %s (give %s=%s)", class->option,
		                 option->key, option->key,
		                 option->value_text ? option->value_text : "N");
	}
	return 0;
}

int config_complete_devices(struct vm_config *config, struct error *err)
{
	int ret = check_ids(config, err);

	for (size_t i = 0; !ret && i < config->device_count; i++) {
		struct device_config *device = &config->devices[i];

		if (!device->id[0])
			choose_id(config, device);
		if (device->class->is_memory)
			ret = complete_memory_device(config, device, err);
		else
			ret = check_required(device, err);
	}
	return ret ? ret : config_check_networks(config, err);
}
