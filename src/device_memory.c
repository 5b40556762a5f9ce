/* SPDX-License-Identifier: Apache-2.0 */
/* Where the regions of memory devices lie: behind boot memory, one behind the other. Pure. */
#include "ebb/device_memory.h"

#include <errno.h>
#include <inttypes.h>

#include "ebb/arch.h"
#include "ebb/device.h"

/* Behind what is there already. False: past the end of 64 bits. */
static bool place(struct device_memory_layout *layout, const struct device_config *device)
{
	uint64_t size_bytes = device_config_number(device, "size");
	uint64_t alignment = max_u64(GIB, device_config_number(device, "block-size"));
	gpa_t gpa, end_gpa;

	if (__builtin_add_overflow(layout->end_gpa, alignment - 1, &gpa))
		return false;
	gpa = align_down(gpa, alignment);
	if (__builtin_add_overflow(gpa, size_bytes, &end_gpa))
		return false;
	layout->ranges[layout->range_count++] = (struct device_memory_range){
		.device = device,
		.gpa = gpa,
		.size_bytes = size_bytes,
		.node = (unsigned int)device_config_number(device, "node"),
	};
	layout->end_gpa = end_gpa;
	return true;
}

int device_memory_layout(const struct vm_config *config, struct device_memory_layout *ret_layout,
                         struct error *err)
{
	struct device_memory_layout layout = { .range_count = 0 };
	struct arch_memory_map map;

	arch_memory_map(config->memory.size_bytes, &map);
	layout.gpa = map.device_memory_gpa;
	layout.end_gpa = map.device_memory_gpa;
	for (size_t i = 0; i < config->device_count; i++) {
		const struct device_config *device = &config->devices[i];

		if (device->class->is_memory && !place(&layout, device))
			return error_set(err, -EINVAL,
			                 "--%s id=%s: its memory ends past the last address "
			                 "(give less)",
			                 device->class->option, device->id);
	}
	if (layout.range_count)
		layout.gpa = layout.ranges[0].gpa;
	*ret_layout = layout;
	return 0;
}

const struct device_memory_range *device_memory_find(const struct device_memory_layout *layout,
                                                     const struct device_config *device)
{
	for (size_t i = 0; i < layout->range_count; i++)
		if (layout->ranges[i].device == device)
			return &layout->ranges[i];
	return NULL;
}

int device_memory_check_bits(const struct vm_config *config, unsigned int bits, struct error *err)
{
	struct device_memory_layout layout;
	int ret = device_memory_layout(config, &layout, err);

	if (ret || bits >= 64)
		return ret;
	for (size_t i = 0; i < layout.range_count; i++) {
		const struct device_memory_range *range = &layout.ranges[i];
		gpa_t end_gpa = range->gpa + range->size_bytes;

		if (end_gpa > UINT64_C(1) << bits)
			return error_set(err, -EINVAL,
			                 "--%s id=%s: its memory would end at %" PRIu64
			                 " MiB, this host's CPU addresses %u bits, %" PRIu64 " MiB "
			                 "(give less)",
			                 range->device->class->option, range->device->id,
			                 end_gpa / MIB, bits, (UINT64_C(1) << bits) / MIB);
	}
	return 0;
}
