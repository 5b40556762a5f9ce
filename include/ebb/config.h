/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user asked for, as plain validated data. Filled by src/cmdline.c (syntax) and checked
 * across fields by src/config.c (pure); read-only from then on. Strings are borrowed from argv
 * unless said otherwise.
 */
#ifndef EBB_CONFIG_H
#define EBB_CONFIG_H

#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "ebb/types.h"

#define VM_NAME_MAX           64 /* with the terminating NUL; [A-Za-z0-9._-], no leading dot */
#define VM_CPUS_MAX           64
#define VM_INITRDS_MAX        16
#define VM_DEVICES_MAX        32
#define VM_MEMORY_MIN_BYTES   (1 * MIB)
#define VM_MEMORY_MAX_BYTES   (16 * TIB) /* an architecture or a host may take less */
#define VM_TIMEOUT_MAX_S      UINT64_C(1000000000)
#define DEVICE_ID_MAX         32 /* with NUL */
#define DEVICE_PROPERTIES_MAX 32
#define DEVICE_REPEATS_MAX    16 /* values of one repeatable key */

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
	char id[DEVICE_ID_MAX]; /* unique in the VM: the class's name, or of a class with id_prefix
	                           what the user says, or that and a number */
	struct device_property properties[DEVICE_PROPERTIES_MAX];
	size_t property_count;
};

struct memory_config {
	uint64_t size_bytes;         /* a multiple of 4 KiB, of the huge page with hugetlb */
	struct gmem_backing backing; /* but for file_bytes */
	bool thp_given;              /* said, not assumed */
};

#define NUMA_NODES_MAX     16
#define NUMA_HOST_NODE_ANY UINT32_MAX

struct numa_node_config {
	bool given, mem_given; /* said, not concluded; of no matter once complete */
	uint64_t mem_bytes;    /* of boot memory, in order of nodes; may be 0 */
	uint64_t cpus;         /* a bit a vCPU */
	uint32_t host_node;    /* its memory comes from there alone, or NUMA_HOST_NODE_ANY */
};

struct numa_config {       /* complete: mem_bytes add up to boot memory, each vCPU is in one node */
	size_t node_count; /* 0: the guest is not told of nodes */
	struct numa_node_config nodes[NUMA_NODES_MAX]; /* by number */
};

enum transport_kind { TRANSPORT_PCI, TRANSPORT_MMIO };
enum console_kind { CONSOLE_SERIAL, CONSOLE_VIRTIO, CONSOLE_NONE };

struct vm_config {
	char name[VM_NAME_MAX];
	const char *kernel_path; /* NULL: the built-in selftest guest; with root_path the kernel
	                            that the host runs */
	const char *initrd_paths[VM_INITRDS_MAX];
	size_t initrd_count;
	const char *params;            /* user's kernel command line, "" when none */
	bool params_only;              /* leave out the defaults that make the console work */
	const char *root_path;         /* the folder that is the guest's root, or NULL */
	bool root_writable;            /* what the guest changes changes there, not in its memory */
	const char *root_modules_path; /* its lib/modules has the kernel's, or NULL: root_path's */
	struct memory_config memory;
	struct numa_config numa;
	unsigned int cpu_count; /* 1 to VM_CPUS_MAX */
	enum transport_kind transport;
	enum console_kind console;
	uint64_t timeout_ns;            /* 0: none */
	const char *expect_pattern;     /* POSIX extended regular expression, or NULL */
	const char *trace_reclaim_path; /* every batch of the reclaim engine, or NULL */
	bool sandbox;          /* privileges are given up after set-up; false in plain zeroes */
	const char *user_name; /* whom to become, by name or number, or NULL; with sandbox */
	bool no_reboot;
	bool test_devices;
	bool trace_exits; /* --debug: print every exit that reached userspace */
	enum log_level log_level;
	uint64_t trace_reclaim_limit_bytes; /* of that file; 0: the default */
	struct device_config devices[VM_DEVICES_MAX];
	size_t device_count;
};

/* The defaults of every option, and the devices that are on by default (device_classes). The name
 * stays empty. */
void vm_config_init(struct vm_config *config);

/*
 * The device of this class, added in the order of device_classes if it is not there; of a class
 * with id_prefix a new one, behind those that are there. NULL: the table of VM_DEVICES_MAX is full.
 */
struct device_config *vm_config_device(struct vm_config *config, const struct device_class *class);

/* Drops all devices of this class. */
void vm_config_remove_device(struct vm_config *config, const struct device_class *class);

/*
 * Fills in what follows from other options (the default name from pid, the console's device) and
 * checks every limit and every pair of options that do not go together. 0 or -EINVAL with a message
 * that names option, value and limit. Pure.
 */
EBB_MUST_CHECK int vm_config_complete(struct vm_config *config, unsigned int pid,
                                      struct error *err);

/* What a Linux kernel needs to be heard on the console that the user chose, "" where that is
 * nothing or not wanted. Every other parameter is the user's business. The selftest guest finds its
 * console, and is told what it cannot find out: that locked memory is not given back. */
const char *vm_config_default_params(const struct vm_config *config);

/* Whether name is one a guest may have: see VM_NAME_MAX. */
bool vm_name_is_valid(const char *name);

#endif
