/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device memory: the guest-physical addresses behind boot memory that memory devices (virtio-mem)
 * own. Where each device's region lies follows from the configuration alone, so that the
 * architecture can keep its windows out of there and describe it (SRAT) before devices exist.
 */
#ifndef EBB_DEVICE_MEMORY_H
#define EBB_DEVICE_MEMORY_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/types.h"

struct device_memory_range {
	const struct device_config *device; /* borrowed from the configuration */
	gpa_t gpa;           /* aligned to 1 GiB or, where that is larger, to the block size */
	uint64_t size_bytes; /* a multiple of the block size */
	unsigned int node;   /* NUMA */
};

struct device_memory_layout {
	gpa_t gpa, end_gpa; /* all of it; equal: there is none */
	size_t range_count;
	struct device_memory_range ranges[VM_DEVICES_MAX]; /* ascending, in order of the devices */
};

/* Pure, of a configuration that vm_config_complete let pass. -EINVAL with a message: it does not
 * fit into 64 bits. */
EBB_MUST_CHECK int device_memory_layout(const struct vm_config *config,
                                        struct device_memory_layout *ret_layout, struct error *err);

/* Whether all of it lies below 2^bits, which this host can give a guest. -EINVAL with a message
 * that names the device. */
EBB_MUST_CHECK int device_memory_check_bits(const struct vm_config *config, unsigned int bits,
                                            struct error *err);

/* The range of a device; NULL: it has none. */
const struct device_memory_range *device_memory_find(const struct device_memory_layout *layout,
                                                     const struct device_config *device);

#endif
