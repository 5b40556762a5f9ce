/* SPDX-License-Identifier: Apache-2.0 */
/* A table of device classes: stands in for devices/device_table.c (`fakes:
 * fake_device_table`). */
#include <errno.h>
#include <string.h>

#include "ebb/device.h"

static int create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                  struct error *err)
{
	(void)vm;
	(void)config;
	(void)ret_device;
	return error_set(err, -ENODEV, "a class of the fake table");
}

static void destroy(struct device *device)
{
	(void)device;
}

static const struct device_option balloon_options[] = {
	{ .key = "free-page-reporting",
	  .help = "report",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "target", .help = "size", .type = DEVICE_OPTION_SIZE, .max = 8 * GIB },
	{ .key = "stats-interval", .help = "seconds", .type = DEVICE_OPTION_UINT, .max = 3600 },
	{ .key = "label", .help = "text", .type = DEVICE_OPTION_STRING },
	{ .key = "hidden", .type = DEVICE_OPTION_UINT },
};

static const struct device_class platform_class = {
	.name = "platform",
	.help = "no option of its own",
	.create = create,
	.destroy = destroy,
};

static const struct device_class console_class = {
	.name = "virtio-console",
	.help = "console",
	.create = create,
	.destroy = destroy,
};

static const struct device_class rng_class = {
	.name = "virtio-rng",
	.help = "random numbers",
	.option = "rng",
	.create = create,
	.destroy = destroy,
};

static const struct device_class balloon_class = {
	.name = "virtio-balloon",
	.help = "balloon",
	.option = "balloon",
	.on_by_default = true,
	.options = balloon_options,
	.option_count = ARRAY_SIZE(balloon_options),
	.create = create,
	.destroy = destroy,
};

static const struct device_option memory_options[] = {
	{ .key = "size", .help = "region", .type = DEVICE_OPTION_SIZE, .min = PAGE_2M_BYTES },
	{ .key = "requested-size", .help = "at first", .type = DEVICE_OPTION_SIZE },
	{ .key = "block-size",
	  .help = "unit",
	  .type = DEVICE_OPTION_SIZE,
	  .default_value = PAGE_2M_BYTES },
	{ .key = "node", .help = "NUMA", .type = DEVICE_OPTION_UINT },
};

static const struct device_class memory_class = {
	.name = "virtio-mem",
	.help = "memory",
	.option = "virtio-mem",
	.id_prefix = "vm",
	.is_memory = true,
	.options = memory_options,
	.option_count = ARRAY_SIZE(memory_options),
	.create = create,
	.destroy = destroy,
};

static const char *const network_kinds[] = { "tap", "user", NULL };

static const struct device_option network_options[] = {
	{ .key = "kind",
	  .help = "where frames go",
	  .type = DEVICE_OPTION_STRING,
	  .choices = network_kinds,
	  .value_text = "tap|user" },
	{ .key = "ifname", .help = "interface", .type = DEVICE_OPTION_STRING },
	{ .key = "fd", .help = "descriptor", .type = DEVICE_OPTION_UINT, .max = INT32_MAX },
	{ .key = "vhost",
	  .help = "kernel",
	  .type = DEVICE_OPTION_BOOL,
	  .value_text = "on|off",
	  .default_text = "where it can" },
	{ .key = "queues",
	  .help = "pairs",
	  .type = DEVICE_OPTION_UINT,
	  .default_value = 1,
	  .min = 1,
	  .max = 8 },
	{ .key = "mac", .help = "address", .type = DEVICE_OPTION_STRING, .value_text = "MAC" },
	{ .key = "mtu", .help = "size", .type = DEVICE_OPTION_UINT, .max = 65535 },
	{ .key = "forward", .help = "port", .type = DEVICE_OPTION_STRING, .repeatable = true },
};

static const struct device_class network_class = {
	.name = "virtio-net",
	.help = "network",
	.option = "network",
	.short_option = 'n',
	.positional = "kind",
	.id_prefix = "net",
	.is_network = true,
	.options = network_options,
	.option_count = ARRAY_SIZE(network_options),
	.create = create,
	.destroy = destroy,
};

static const struct device_option disk_options[] = {
	{ .key = "file",
	  .help = "image",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "FILE",
	  .default_text = "nothing" },
	{ .key = "readonly", .help = "no writes", .type = DEVICE_OPTION_BOOL },
};

static const struct device_class disk_class = {
	.name = "virtio-blk",
	.help = "disk",
	.option = "disk",
	.short_option = 'd',
	.positional = "file",
	.id_prefix = "disk",
	.options = disk_options,
	.option_count = ARRAY_SIZE(disk_options),
	.create = create,
	.destroy = destroy,
};

static const struct device_option share_options[] = {
	{ .key = "path", .help = "folder", .type = DEVICE_OPTION_STRING, .value_text = "DIR" },
	{ .key = "tag", .help = "name", .type = DEVICE_OPTION_STRING },
	{ .key = "readonly", .help = "no writes", .type = DEVICE_OPTION_BOOL },
};

static const struct device_class share_class = {
	.name = "virtio-9p",
	.help = "folder",
	.option = "share",
	.positional = "path",
	.id_prefix = "share",
	.options = share_options,
	.option_count = ARRAY_SIZE(share_options),
	.create = create,
	.destroy = destroy,
};

static const struct device_option vsock_options[] = {
	{ .key = "cid",
	  .help = "address",
	  .type = DEVICE_OPTION_UINT,
	  .min = 3,
	  .max = UINT32_MAX - 1,
	  .value_text = "CID" },
};

static const struct device_class vsock_class = {
	.name = "virtio-vsock",
	.help = "sockets",
	.option = "vsock",
	.positional = "cid",
	.options = vsock_options,
	.option_count = ARRAY_SIZE(vsock_options),
	.create = create,
	.destroy = destroy,
};

static const struct device_class *const classes[] = { &platform_class, &console_class,
	                                              &rng_class,      &balloon_class,
	                                              &memory_class,   &network_class,
	                                              &disk_class,     &share_class,
	                                              &vsock_class };

const struct device_class *const *device_classes(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(classes);
	return classes;
}

const struct device_class *device_class_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		if (strcmp(classes[i]->name, name) == 0)
			return classes[i];
	}
	return NULL;
}
