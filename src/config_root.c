/* SPDX-License-Identifier: Apache-2.0 */
/* A folder as the guest's root in a configuration: one 9P device with a tag of its own. Pure. */
#include <errno.h>
#include <string.h>

#include "config_private.h"
#include "ebb/device.h"

#define ROOT_TAG "root" /* what guest-firmware/init mounts */

int config_complete_root(struct vm_config *config, struct error *err)
{
	const struct device_class *class = device_class_find("virtio-9p");
	struct device_config *device;

	if (!config->root_path)
		return 0;
	if (config->initrd_count)
		return error_set(err, -EINVAL,
		                 "--initrd %s: --root has an initrd of its own (leave one of them "
		                 "out)",
		                 config->initrd_paths[0]);
	if (!class)
		return error_set(err, -EINVAL, "--root %s: this ebb has no virtio-9p",
		                 config->root_path);
	device = vm_config_device(config, class);
	if (!device)
		return error_set(err, -EINVAL, "--root %s: too many devices (the limit is %d)",
		                 config->root_path, VM_DEVICES_MAX);
	strcpy(device->id, ROOT_TAG); /* messages of what it cannot do begin with that */
	device_config_set_string(device, "path", config->root_path);
	device_config_set_string(device, "tag", ROOT_TAG);
	device_config_set_number(device, "readonly", !config->root_writable);
	return 0;
}
