/* SPDX-License-Identifier: Apache-2.0 */
/* A VM by hand with one virtio-blk device and its driver (`fakes: blk_machine fake_disk
 * fake_virtio_driver hostile_chains test_driver`). */
#ifndef BLK_MACHINE_H
#define BLK_MACHINE_H

#include "../../../devices/device_table.h"
#include "../../../devices/virtio/virtio_blk_private.h"
#include "fake_disk.h"
#include "fake_virtio_driver.h"

#define BLK_RAM_BYTES  (4 * MIB)
#define BLK_RINGS_GPA  (3 * MIB)
#define BLK_HEADER_GPA (1 * MIB) /* of request n at n * BLK_REQUEST_STEP from here */
#define BLK_DATA_GPA   (2 * MIB) /* free for data */

#define BLK_REQUEST_STEP 1024 /* a header, ranges behind it, and at the end the status byte */
#define BLK_NO_STATUS    0xee /* what is there before the device writes it */

struct blk_machine {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
};

/* The VM and the configuration of `-d disk.img`; fakes are cleared. */
void blk_machine_begin(struct blk_machine *machine);
/* Creates the device. 0 or what create said. */
int blk_machine_create(struct blk_machine *machine, struct error *err);
void blk_machine_end(struct blk_machine *machine); /* destroys; asserts that nothing is open */

struct blk_ask { /* a request as a driver writes it */
	uint32_t type;
	uint64_t sector;
	gpa_t data_gpa;
	uint32_t data_bytes;
	bool data_writable;
};

/* Puts request n into a queue: a descriptor for the header, one for data if there is any, one for
 * the status. Not notified. */
void blk_machine_add(struct blk_machine *machine, unsigned int queue, unsigned int n,
                     const struct blk_ask *ask);
/* Its status byte. */
uint8_t blk_machine_status(struct blk_machine *machine, unsigned int n);
/* Request 0 alone, on queue 0: added, notified, answered; the status byte, or BLK_NO_STATUS when it
 * was not. */
uint8_t blk_machine_ask(struct blk_machine *machine, const struct blk_ask *ask,
                        uint32_t *ret_used_bytes);

struct disk *blk_machine_disk(struct blk_machine *machine);
uint8_t *blk_machine_memory(struct blk_machine *machine, gpa_t gpa);
uint64_t blk_machine_metric(const struct blk_machine *machine, const char *name);

#endif
