/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's configuration: its defaults, its devices, and what goes with what. Pure. */
#include "ebb/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"
#include "config_private.h"
#include "ebb/device.h"

#define MEMORY_DEFAULT_BYTES (512 * MIB)

bool vm_name_is_valid(const char *name)
{
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                             "0123456789._-");

	return length && !name[length] && length < VM_NAME_MAX && name[0] != '.' && name[0] != '-';
}

static size_t class_order(const struct device_class *class)
{
	size_t count, i = 0;
	const struct device_class *const *classes = device_classes(&count);

	while (i < count && classes[i] != class)
		i++;
	return i;
}

struct device_config *vm_config_device(struct vm_config *config, const struct device_class *class)
{
	size_t index = 0;

	while (index < config->device_count &&
	       class_order(config->devices[index].class) < class_order(class))
		index++;
	if (!class->id_prefix && index < config->device_count &&
	    config->devices[index].class == class)
		return &config->devices[index];
	while (index < config->device_count && config->devices[index].class == class)
		index++;
	if (config->device_count == VM_DEVICES_MAX)
		return NULL;
	memmove(&config->devices[index + 1], &config->devices[index],
	        (config->device_count - index) * sizeof(config->devices[0]));
	config->device_count++;
	device_config_init(&config->devices[index], class->name);
	if (class->id_prefix)
		config->devices[index].id[0] = '\0'; /* vm_config_complete finds one */
	return &config->devices[index];
}

void vm_config_remove_device(struct vm_config *config, const struct device_class *class)
{
	size_t kept = 0;

	for (size_t i = 0; i < config->device_count; i++) {
		if (config->devices[i].class == class)
			continue;
		if (kept != i)
			config->devices[kept] = config->devices[i];
		kept++;
	}
	config->device_count = kept;
}

void vm_config_init(struct vm_config *config)
{
	size_t count;
	const struct device_class *const *classes = device_classes(&count);

	*config = (struct vm_config){
		.params = "",
		.memory = { .size_bytes = MEMORY_DEFAULT_BYTES, .backing = { .thp = true } },
		.cpu_count = 1,
		.sandbox = true,
		.transport = TRANSPORT_PCI,
		.console = CONSOLE_SERIAL,
		.log_level = LOG_WARN,
	};
	for (size_t i = 0; i < count; i++) {
		if (classes[i]->on_by_default)
			(void)vm_config_device(config, classes[i]);
	}
}

static int check_memory(const struct vm_config *config, struct error *err)
{
	uint64_t size_bytes = config->memory.size_bytes;
	char text[SIZE_TEXT_MAX];

	cmdline_format_size(size_bytes, text);
	if (size_bytes < VM_MEMORY_MIN_BYTES)
		return error_set(err, -EINVAL, "--mem %s: too little memory (give 1M to 16T)",
		                 text);
	if (size_bytes > VM_MEMORY_MAX_BYTES)
		return error_set(err, -EINVAL, "--mem %s: too much memory (give 1M to 16T)", text);
	if (!is_aligned(size_bytes, PAGE_4K_BYTES))
		return error_set(err, -EINVAL, "--mem %s: not whole pages (give a multiple of 4K)",
		                 text);
	return 0;
}

/* Keys of --mem that go with one backing alone. */
static int check_backing(const struct memory_config *memory, struct error *err)
{
	const struct gmem_backing *backing = &memory->backing;
	const bool huge = backing->kind == GMEM_HUGETLB, file = backing->kind == GMEM_FILE;
	char text[SIZE_TEXT_MAX];

	if (backing->page_bytes && !huge)
		return error_set(err, -EINVAL,
		                 "--mem page-size=%s: goes with backing=hugetlb alone (add it, or "
		                 "leave page-size out)",
		                 cmdline_format_size(backing->page_bytes, text));
	if (backing->path && !file)
		return error_set(
			err, -EINVAL,
			"--mem path=%s: goes with backing=file alone (add it, or leave path "
			"out)",
			backing->path);
	if (!backing->path && file)
		return error_set(err, -EINVAL,
		                 "--mem backing=file: without a file (add path=FILE)");
	if (memory->thp_given && backing->thp && (huge || file))
		return error_set(err, -EINVAL,
		                 "--mem thp=on: goes with backing=anon and memfd (leave it out)");
	return 0;
}

static int complete_memory(struct vm_config *config, struct error *err)
{
	struct gmem_backing *backing = &config->memory.backing;
	char text[SIZE_TEXT_MAX], page_text[SIZE_TEXT_MAX];
	int ret = check_memory(config, err);

	if (!ret)
		ret = check_backing(&config->memory, err);
	if (ret)
		return ret;
	if (backing->kind == GMEM_HUGETLB && !backing->page_bytes)
		backing->page_bytes = PAGE_2M_BYTES;
	if (backing->kind == GMEM_HUGETLB || backing->kind == GMEM_FILE)
		backing->thp = false;
	if (backing->page_bytes && !is_aligned(config->memory.size_bytes, backing->page_bytes))
		return error_set(err, -EINVAL,
		                 "--mem %s: not whole huge pages (give a multiple of %s)",
		                 cmdline_format_size(config->memory.size_bytes, text),
		                 cmdline_format_size(backing->page_bytes, page_text));
	return 0;
}

static int complete_console(struct vm_config *config, struct error *err)
{
	const struct device_class *class = device_class_find("virtio-console");

	if (config->console == CONSOLE_NONE && config->expect_pattern)
		return error_set(err, -EINVAL,
		                 "--expect %s: there is no console to watch with --console none "
		                 "(leave one of them out)",
		                 config->expect_pattern);
	if (config->console != CONSOLE_VIRTIO)
		return 0;
	if (!class || !vm_config_device(config, class))
		return error_set(err, -EINVAL, "--console virtio: no room for the device");
	return 0;
}

int vm_config_complete(struct vm_config *config, unsigned int pid, struct error *err)
{
	int ret = complete_memory(config, err);

	if (ret)
		return ret;
	ret = config_complete_root(config, err);
	if (ret)
		return ret;
	if (config->user_name && !config->sandbox)
		return error_set(err, -EINVAL,
		                 "--user %s: not with --no-sandbox (leave one of them out)",
		                 config->user_name);
	if (config->initrd_count && !config->kernel_path)
		return error_set(err, -EINVAL,
		                 "--initrd %s: the built-in selftest takes none (give --kernel)",
		                 config->initrd_paths[0]);
	ret = complete_console(config, err);
	if (!ret)
		ret = config_complete_numa(config, err);
	if (!ret)
		ret = config_complete_devices(config, err);
	if (ret)
		return ret;
	if (!config->name[0])
		snprintf(config->name, sizeof(config->name), "ebb-%u", pid);
	return 0;
}

const char *vm_config_default_params(const struct vm_config *config)
{
	if (config->params_only)
		return "";
	if (!config->kernel_path && !config->root_path)
		return config->memory.backing.lock ? "memory-locked" : "";
	switch (config->console) {
	case CONSOLE_SERIAL:
		return "console=ttyS0";
	case CONSOLE_VIRTIO:
		return "console=hvc0";
	case CONSOLE_NONE:
		break;
	}
	return "";
}
