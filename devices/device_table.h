/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of devices/device_table.c, each defined beside its device. */
#ifndef DEVICES_DEVICE_TABLE_H
#define DEVICES_DEVICE_TABLE_H

#include "ebb/device.h"

extern const struct device_class acpi_pm_class;
extern const struct device_class debug_exit_class;
extern const struct device_class fw_cfg_class;
extern const struct device_class i8042_class;
extern const struct device_class pci_testdev_class;
extern const struct device_class pvpanic_class;
extern const struct device_class rtc_cmos_class;
extern const struct device_class serial_16550_class;
extern const struct device_class test_devices_class;
extern const struct device_class virtio_9p_class;
extern const struct device_class virtio_balloon_class;
extern const struct device_class virtio_blk_class;
extern const struct device_class virtio_console_class;
extern const struct device_class virtio_mem_class;
extern const struct device_class virtio_net_class;
extern const struct device_class virtio_rng_class;
extern const struct device_class virtio_vsock_class;

#endif
