/* SPDX-License-Identifier: Apache-2.0 */
/* A VM by hand with one virtio-net device and its driver (`fakes: net_machine fake_net_backend
 * fake_net_vhost fake_virtio_driver hostile_chains test_driver fake_vm`). */
#ifndef NET_MACHINE_H
#define NET_MACHINE_H

#include "../../../devices/virtio/virtio_net_private.h"
#include "fake_net_backend.h"
#include "fake_net_vhost.h"
#include "fake_virtio_driver.h"

#define NET_RAM_BYTES   (4 * MIB)
#define NET_RINGS_GPA   (3 * MIB)
#define NET_BUFFERS_GPA (1 * MIB)

struct net_machine {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
};

/* The VM and the configuration of `-n tap`; fakes are cleared. */
void net_machine_begin(struct net_machine *machine);
/* Creates the device. 0 or what create said. */
int net_machine_create(struct net_machine *machine, struct error *err);
void net_machine_end(struct net_machine *machine); /* destroys; asserts that nothing is open */

/* For cmocka: a machine with so many pairs of queues, whose back end does all offloads. */
int net_machine_set_up(void **state, unsigned int pairs);
int net_machine_tear_down(void **state);

uint64_t net_machine_metric(const struct net_machine *machine, const char *name);

/* Runs one command on a control queue, in two readable buffers as Linux sends it; returns the
 * answer, 0xff when there came none. */
uint8_t net_machine_command(struct net_machine *machine, unsigned int queue_index,
                            const void *bytes, size_t size_bytes);

#endif
