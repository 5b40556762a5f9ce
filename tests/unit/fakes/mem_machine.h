/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-mem device in a VM by hand, with the real guest memory and the real engine behind it and
 * a fake driver in front: for the tests of virtio_mem*.c.  `fakes: mem_machine fake_arch
 * fake_kvm fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm` and `wraps:
 * vcpu_current gmem_plug gmem_unplug gmem_plug_again gmem_trim reclaim_release`.
 */
#ifndef MEM_MACHINE_H
#define MEM_MACHINE_H

#include <linux/virtio_mem.h>

#include "../../../devices/device_table.h"
#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/memory_device.h"
#include "ebb/reclaim.h"
#include "ebb/vcpu.h"
#include "fake_reclaim_host.h"
#include "fake_virtio_driver.h"
#include "fake_vm.h"

#define RAM_BYTES    (4 * MIB)
#define RINGS_GPA    (3 * MIB)
#define REQUEST_GPA  (1 * MIB) /* request n at n * 64 from here, its answer 32 behind it */
#define REGION_GPA   GIB
#define BLOCK        (2 * MIB)
#define REGION_BYTES GIB
#define FEATURES \
	(UINT64_C(1) << VIRTIO_MEM_F_ACPI_PXM | UINT64_C(1) << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)
#define CONFIG(field) offsetof(struct virtio_mem_config, field)

/* Calls from the device to the rooms behind it. */
struct mem_calls {
	unsigned int plug, unplug, plug_again, trim, release; /* seen */
	/* The calls [from, from + count) of the three that change memory, and of release, counted
	 * from 0 together, fail; and each that touches this block. */
	unsigned int total, fail_from, fail_count;
	gpa_t fail_gpa;                                             /* 0: none */
	bool fail_plug, fail_unplug, fail_plug_again, fail_release; /* every one */
};

extern struct mem_calls mem_calls;
extern struct vcpu *mem_vcpu; /* what vcpu_current says */

struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device *device;
	struct memory_device *mem;
	struct fake_driver driver;
	unsigned int request_count; /* since the last kick */
};

/* cmocka's; *state is a struct fixture without a device yet, whose configuration is in
 * f->vm_config.devices[0]. */
int set_up(void **state);
int tear_down(void **state);

/* The device; start makes it if it is not there, and brings its driver with a queue for 128
 * requests. */
void create(struct fixture *f);
void start(struct fixture *f);

/* Asks the device for a size, as a user; the region is as large as it is. */
void request_size(struct fixture *f, uint64_t size_bytes);

/* A request, not yet known to the device; block counts from the region's start. */
void add(struct fixture *f, uint16_t type, uint64_t block, uint16_t block_count);
void add_at(struct fixture *f, uint16_t type, gpa_t gpa, uint16_t block_count);

/* Tells the device; takes the answers to all requests since the last time, in their order. */
void kick(struct fixture *f, uint16_t *answers);
uint16_t answer_state(struct fixture *f, unsigned int index); /* of the answers taken last */

/* One request, and its answer. */
uint16_t ask(struct fixture *f, uint16_t type, uint64_t block, uint16_t block_count);
uint16_t plug(struct fixture *f, uint64_t block, uint16_t block_count);
uint16_t unplug(struct fixture *f, uint64_t block, uint16_t block_count);

struct memory_device_status status(struct fixture *f);
uint64_t read_config(struct fixture *f, size_t offset);
bool is_plugged(struct fixture *f, uint64_t block);
void touch(struct fixture *f, uint64_t block, uint64_t block_count); /* 0x5a into every page */

#endif
