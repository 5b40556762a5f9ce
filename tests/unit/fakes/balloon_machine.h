/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon in a VM by hand, with the real engine behind it and a fake driver in front: for the
 * tests of virtio_balloon*.c.  `fakes: balloon_machine fake_reclaim_host fake_virtio_driver
 * hostile_chains test_driver fake_vm`.
 */
#ifndef BALLOON_MACHINE_H
#define BALLOON_MACHINE_H

#include <linux/virtio_balloon.h>

#include "../../../devices/device_table.h"
#include "ebb/balloon.h"
#include "ebb/bytes.h"
#include "ebb/reclaim.h"
#include "fake_reclaim_host.h"
#include "fake_virtio_driver.h"
#include "fake_vm.h"

#define RAM_BYTES     (64 * MIB)
#define RINGS_GPA     (60 * MIB)
#define BUFFER_GPA    (56 * MIB) /* what requests lie in */
#define PAGE          PAGE_4K_BYTES
#define FEATURE(name) (UINT64_C(1) << VIRTIO_BALLOON_F_##name)
#define TELL          FEATURE(MUST_TELL_HOST)
#define ALL \
	(FEATURE(STATS_VQ) | FEATURE(DEFLATE_ON_OOM) | FEATURE(PAGE_POISON) | FEATURE(REPORTING))
#define CONFIG(field) offsetof(struct virtio_balloon_config, field)

enum { INFLATE = 0, DEFLATE = 1, STATS = 2 };

struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
};

/* cmocka's; *state is a struct fixture without a device yet. */
int set_up(void **state);
int tear_down(void **state);

/* The device, with f->config; start makes it if it is not there, and brings its driver. */
void create(struct fixture *f);
void start(struct fixture *f, uint64_t features);

uint8_t *hva(struct fixture *f, gpa_t gpa);
void touch(struct fixture *f, gpa_t gpa, uint64_t size_bytes); /* 0x5a into every page */
struct reclaim_source_stats stats_of(struct fixture *f, enum reclaim_source source);
struct balloon_status status(struct fixture *f);
unsigned int release_calls(void);

void store_pfns(struct fixture *f, gpa_t at, uint32_t first, int step, unsigned int count);
void add_pfns(struct fixture *f, unsigned int queue, gpa_t at, uint32_t size_bytes);
/* Takes what is used, each entry with nothing written; how many there were. */
unsigned int take_all_used(struct fixture *f, unsigned int queue);

void write_config(struct fixture *f, size_t offset, uint32_t value);
uint32_t read_config(struct fixture *f, size_t offset);

#endif
