/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asked for, as plain validated data. Filled by src/cmdline.c (syntax) and checked
 * across fields by src/config.c (pure); read-only from then on. Strings are borrowed from argv
 * unless said otherwise.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include "ebb/log.h"
#include "ebb/types.h"

#define VM_NAME_MAX           64 /* with the terminating NUL; [A-Za-z0-9._-], no leading dot */
#define VM_CPUS_MAX           64
#define VM_INITRDS_MAX        16
#define VM_DEVICES_MAX        32
#define VM_MEMORY_MIN_BYTES   (1 * MIB)
#define DEVICE_ID_MAX         32 /* with NUL */
#define DEVICE_PROPERTIES_MAX 12

struct device_class;

/* One key of a device, typed by its class's option table (device.h). */
struct device_property {
	const char *key;
	union {
		uint64_t number; /* SIZE in bytes, UINT, BOOL as 0 or 1 */
		const char *string;
	} value;
};

/* One device to create. Keys that are not given take the option table's default. */
struct device_config {
	const struct device_class *class;
	char id[DEVICE_ID_MAX]; /* unique in the VM; the class name, with a number where there are
	                           several */
	struct device_property properties[DEVICE_PROPERTIES_MAX];
	size_t property_count;
};

struct memory_config {
	uint64_t size_bytes; /* a multiple of 4 KiB */
	bool thp;            /* advise MADV_HUGEPAGE */
};

enum transport_kind { TRANSPORT_PCI, TRANSPORT_MMIO };
enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_NONE };

struct vm_config {
	char name[VM_NAME_MAX];
	const char *kernel_path; /* NULL: the built-in selftest guest */
	const char *initrd_paths[VM_INITRDS_MAX];
	size_t initrd_count;
	const char *params; /* user's kernel command line, "" when none */
	bool params_only;   /* leave out the defaults that make the console work */
	struct memory_config memory;
	unsigned int cpu_count; /* 1 to VM_CPUS_MAX */
	enum transport_kind transport;
	enum console_kind console;
	uint64_t timeout_ns;        /* 0: none */
	const char *expect_pattern; /* POSIX extended regular expression, or NULL */
	bool no_reboot;
	bool test_devices;
	bool trace_exits; /* --debug: print every exit that reached userspace */
	enum log_level log_level;
	struct device_config devices[VM_DEVICES_MAX];
	size_t device_count;
};

#endif
