/* SPDX-License-Identifier: Apache-2.0 */
/* Every device class that ebb has, in the order in which one of each would be created. */
#include <string.h>

#include "device_table.h"

/* The platform's own come first; the architecture creates those that its machine has. Memory
 * devices before disks, which are destroyed first then: what a disk has in flight points into their
 * memory (virtio_blk_queue.c). */
static const struct device_class *const classes[] = {
	&serial_16550_class, &i8042_class,          &rtc_cmos_class,   &acpi_pm_class,
	&fw_cfg_class,       &debug_exit_class,     &pvpanic_class,    &test_devices_class,
	&pci_testdev_class,  &virtio_console_class, &virtio_rng_class, &virtio_balloon_class,
	&virtio_mem_class,   &virtio_blk_class,     &virtio_net_class, &virtio_vsock_class,
	&virtio_9p_class,
};

const struct device_class *const *device_classes(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(classes);
	return classes;
}

const struct device_class *device_class_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i]->name, name))
			return classes[i];
	return NULL;
}
