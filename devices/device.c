/* SPDX-License-Identifier: Apache-2.0 */
/* What all devices share: their configuration, their place in the VM, creation and teardown. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ebb/device.h"
#include "ebb/vm.h"

void device_init(struct device *device, struct vm *vm, const struct device_config *config)
{
	list_init(&device->node);
	device->class = config->class;
	device->vm = vm;
	snprintf(device->id, sizeof(device->id), "%s",
	         config->id[0] ? config->id : config->class->name);
	device->resource_count = 0;
}

void device_add_resource(struct device *device, enum device_resource_kind kind, uint64_t base,
                         uint64_t size_bytes)
{
	assert(device->resource_count < DEVICE_RESOURCES_MAX);
	device->resources[device->resource_count++] = (struct device_resource){
		.kind = kind,
		.base = base,
		.size_bytes = size_bytes,
	};
}

const struct device_resource *device_find_resource(const struct device *device,
                                                   enum device_resource_kind kind)
{
	for (size_t i = 0; i < device->resource_count; i++)
		if (device->resources[i].kind == kind)
			return &device->resources[i];
	return NULL;
}

int device_create(struct vm *vm, const struct device_config *config, struct error *err)
{
	struct device *device = NULL;
	int rc = config->class->create(vm, config, &device, err);

	if (rc < 0) {
		if (rc == -EINVAL && config->class->option) /* what the user asked of it */
			error_prefix(err, config->class->id_prefix ? "--%s id=%s" : "--%s",
			             config->class->option, config->id);
		else
			error_prefix(err, "%s", config->id[0] ? config->id : config->class->name);
		return rc;
	}
	list_append(&vm->devices, &device->node);
	return 0;
}

void device_destroy_all(struct vm *vm)
{
	list_for_each_reverse_safe (node, &vm->devices) {
		struct device *device = container_of(node, struct device, node);

		list_remove(node);
		device->class->destroy(device);
	}
}

struct device *device_find(struct vm *vm, const char *class_name)
{
	list_for_each (node, &vm->devices) {
		struct device *device = container_of(node, struct device, node);

		if (!strcmp(device->class->name, class_name))
			return device;
	}
	return NULL;
}

void device_config_init(struct device_config *config, const char *class_name)
{
	const struct device_class *class = device_class_find(class_name);

	assert(class);
	memset(config, 0, sizeof(*config));
	config->class = class;
	snprintf(config->id, sizeof(config->id), "%s", class->name);
}

static const struct device_option *find_option(const struct device_config *config, const char *key)
{
	for (size_t i = 0; i < config->class->option_count; i++)
		if (!strcmp(config->class->options[i].key, key))
			return &config->class->options[i];
	return NULL;
}

static const struct device_property *find_property(const struct device_config *config,
                                                   const char *key)
{
	for (size_t i = 0; i < config->property_count; i++)
		if (!strcmp(config->properties[i].key, key))
			return &config->properties[i];
	return NULL;
}

/* The slot of key, a new one where it was not set before. The key itself is the option table's. */
static struct device_property *property_slot(struct device_config *config, const char *key)
{
	const struct device_option *option = find_option(config, key);
	struct device_property *slot;

	assert(option);
	for (size_t i = 0; i < config->property_count; i++)
		if (!strcmp(config->properties[i].key, key))
			return &config->properties[i];
	assert(config->property_count < DEVICE_PROPERTIES_MAX);
	slot = &config->properties[config->property_count++];
	slot->key = option->key;
	return slot;
}

void device_config_set_number(struct device_config *config, const char *key, uint64_t value)
{
	struct device_property *slot = property_slot(config, key);

	assert(find_option(config, key)->type != DEVICE_OPTION_STRING);
	slot->value.number = value;
}

void device_config_set_string(struct device_config *config, const char *key, const char *value)
{
	struct device_property *slot = property_slot(config, key);

	assert(find_option(config, key)->type == DEVICE_OPTION_STRING);
	slot->value.string = value;
}

int device_config_add_string(struct device_config *config, const char *key, const char *value)
{
	const struct device_option *option = find_option(config, key);
	size_t count = 0;

	assert(option && option->type == DEVICE_OPTION_STRING && option->repeatable);
	while (device_config_string_at(config, key, count))
		count++;
	if (count == DEVICE_REPEATS_MAX)
		return -ENOSPC;
	assert(config->property_count < DEVICE_PROPERTIES_MAX);
	config->properties[config->property_count++] =
		(struct device_property){ .key = option->key, .value.string = value };
	return 0;
}

uint64_t device_config_number(const struct device_config *config, const char *key)
{
	const struct device_option *option = find_option(config, key);
	const struct device_property *property = find_property(config, key);

	assert(option && option->type != DEVICE_OPTION_STRING);
	return property ? property->value.number : option->default_value;
}

bool device_config_bool(const struct device_config *config, const char *key)
{
	return device_config_number(config, key) != 0;
}

const char *device_config_string(const struct device_config *config, const char *key)
{
	const struct device_option *option = find_option(config, key);
	const struct device_property *property = find_property(config, key);

	assert(option && option->type == DEVICE_OPTION_STRING);
	return property ? property->value.string : NULL;
}

const char *device_config_string_at(const struct device_config *config, const char *key,
                                    size_t index)
{
	for (size_t i = 0; i < config->property_count; i++)
		if (!strcmp(config->properties[i].key, key) && index-- == 0)
			return config->properties[i].value.string;
	return NULL;
}

bool device_config_given(const struct device_config *config, const char *key)
{
	return find_property(config, key) != NULL;
}
