/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices: the class row, the object, and the resources it publishes as data.
 *
 * A class is one row of devices/device_table.c. Its options become the command line's keys and
 * `--help` without another line anywhere. A device publishes what it occupies; the architecture
 * turns the list into ACPI or FDT.
 */
#ifndef EBB_DEVICE_H
#define EBB_DEVICE_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/list.h"
#include "ebb/metrics.h"
#include "ebb/types.h"

struct vm;
struct device;

enum device_option_type {
	DEVICE_OPTION_BOOL,
	DEVICE_OPTION_UINT,
	DEVICE_OPTION_SIZE,
	DEVICE_OPTION_STRING
};

struct device_option {
	const char *key;
	const char *help; /* one line; NULL: not for users (set by the platform) */
	enum device_option_type type;
	uint64_t default_value; /* BOOL, UINT, SIZE (bytes) */
	/* UINT and SIZE, inclusive; max 0: no limit. A default below min: it has to be given. */
	uint64_t min, max;
	const char *const *choices; /* STRING: the words it takes, up to a NULL; NULL: any */
	bool repeatable;            /* STRING: each time adds one, see device_config_string_at */
	const char *value_text;     /* help's word for the value, "FILE"; NULL: by the type */
	const char *default_text;   /* help's words for the default; NULL: default_value */
};

struct device_class {
	const char *name; /* "virtio-balloon": log tag, metrics key */
	const char *help; /* one line */
	const char
		*option; /* "balloon": `--balloon off|KEY[=VALUE],…`; NULL: no option of its own */
	char short_option; /* 'n': `-n …` is the same; 0: none */
	/* "kind": the first item of the list is the value of this key where no key stands before
	 * it (`-n tap,queues=2`, `--vsock 42`, `-d FILE,readonly`); NULL: there is none such. A
	 * STRING without choices takes what has a '=' too, unless that is one of the keys. */
	const char *positional;
	bool on_by_default; /* one is created unless `--OPTION off` */
	/* "vm": each `--OPTION KEY[=VALUE],…` adds one, whose id is vm0, vm1 … unless the key id
	 * says another; NULL: there is one, and the option adds to its keys. */
	const char *id_prefix;
	/* It owns device memory (device_memory.h) and has the options size, requested-size,
	 * block-size (all SIZE) and node (UINT), which vm_config_complete checks. */
	bool is_memory;
	/* A network interface: it has the options kind (STRING: "tap", "user"), ifname (STRING), fd
	 * (UINT), vhost (BOOL), queues (UINT), mac (STRING) and forward (STRING, repeatable), may
	 * have mtu (UINT), and vm_config_complete checks them, also against those of other
	 * interfaces. network.h reads mac and forward. */
	bool is_network;
	const struct device_option *options;
	size_t option_count;
	int (*create)(struct vm *vm, const struct device_config *config, struct device **ret_device,
	              struct error *err);
	void (*destroy)(struct device *device); /* NULL and half-built are fine */
};

enum device_resource_kind { DEVICE_RESOURCE_MMIO, DEVICE_RESOURCE_PIO, DEVICE_RESOURCE_GSI };

struct device_resource {
	enum device_resource_kind kind;
	uint64_t base;       /* first address, port, or GSI number */
	uint64_t size_bytes; /* 1 for a GSI */
};

#define DEVICE_RESOURCES_MAX 4

struct device { /* embedded in each device's own struct; filled by device_init and the device */
	struct list node; /* vm->devices */
	const struct device_class *class;
	struct vm *vm;
	char id[DEVICE_ID_MAX];
	const char *compatible; /* FDT "compatible", or NULL: not described by itself */
	struct device_resource resources[DEVICE_RESOURCES_MAX];
	size_t resource_count;
	/* VM reset, every vCPU paused, main thread; may be NULL. Called in order of creation. */
	void (*reset)(struct device *device);
	struct metric *metrics; /* for `ebb stat`; may be NULL */
	size_t metric_count;
};

/* The table, in order of creation. */
const struct device_class *const *device_classes(size_t *ret_count);
const struct device_class *device_class_find(const char *name);

/* Fills the common part; not yet in vm->devices. */
void device_init(struct device *device, struct vm *vm, const struct device_config *config);
void device_add_resource(struct device *device, enum device_resource_kind kind, uint64_t base,
                         uint64_t size_bytes);

/* The first resource of a kind; NULL: the device has none. */
const struct device_resource *device_find_resource(const struct device *device,
                                                   enum device_resource_kind kind);

/* Creates by class and links into vm->devices; destroys the newest first. Main thread, set-up and
 * teardown. */
EBB_MUST_CHECK int device_create(struct vm *vm, const struct device_config *config,
                                 struct error *err);
void device_destroy_all(struct vm *vm);
struct device *device_find(struct vm *vm, const char *class_name);

/* Building and reading a configuration. set asserts that the key is in the class's table; id
 * defaults to the class's name. add is for keys that are repeatable: -ENOSPC past
 * DEVICE_REPEATS_MAX. */
void device_config_init(struct device_config *config, const char *class_name);
void device_config_set_number(struct device_config *config, const char *key, uint64_t value);
void device_config_set_string(struct device_config *config, const char *key, const char *value);
EBB_MUST_CHECK int device_config_add_string(struct device_config *config, const char *key,
                                            const char *value);
uint64_t device_config_number(const struct device_config *config, const char *key);
bool device_config_bool(const struct device_config *config, const char *key);
const char *device_config_string(const struct device_config *config, const char *key); /* or NULL */

/* The index-th value of a repeatable key, in the order given; NULL behind the last. */
const char *device_config_string_at(const struct device_config *config, const char *key,
                                    size_t index);

/* Whether it was set at all, to the default or not. */
bool device_config_given(const struct device_config *config, const char *key);

#endif
