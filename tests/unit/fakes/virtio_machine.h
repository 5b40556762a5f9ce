/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM by hand for tests of virtio and PCI, with a virtio device that takes notes: real buses,
 * interrupt router, guest memory and loop over `fakes: virtio_machine test_driver fake_kvm
 * fake_arch`.
 */
#ifndef VIRTIO_MACHINE_H
#define VIRTIO_MACHINE_H

#include "ebb/pci.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"
#include "test_driver.h"

#define MACHINE_RAM_BYTES   (2 * MIB)
#define MACHINE_ECAM_GPA    0xe0000000
#define MACHINE_MMIO32_GPA  0xc0000000
#define MACHINE_MMIO64_GPA  UINT64_C(0x4000000000)
#define MACHINE_VIRTIO_GPA  0xd0000000
#define MACHINE_VIRTIO_GSI  5  /* and 10: two slots */
#define MACHINE_INTX_GSI    16 /* to 19 */
#define MACHINE_SCRATCH_GPA (1 * MIB)

struct virtio_machine {
	struct vm vm;
	struct vm_config config;
	pthread_mutex_t order; /* the order that eventfds give, where ThreadSanitizer sees it */
};

void virtio_machine_create(struct virtio_machine *machine, enum transport_kind transport);
void virtio_machine_destroy(struct virtio_machine *machine); /* asserts that nothing of KVM's is
                                                                left */

/* A guest's access: an ioeventfd takes it, or the bus. */
uint64_t machine_read(struct virtio_machine *machine, gpa_t gpa, unsigned int size_bytes);
void machine_write(struct virtio_machine *machine, gpa_t gpa, uint64_t value,
                   unsigned int size_bytes);

/* Returns when the loop is through with what there was. */
void machine_settle(struct virtio_machine *machine);

/* The device that takes notes: two queues of at most 16 and 8, 12 bytes of config space. */
#define PROBE_DEVICE_ID      42
#define PROBE_QUEUES         2
#define PROBE_CONFIG_BYTES   12
#define PROBE_FEATURE_A      0 /* offered */
#define PROBE_FEATURE_B      5 /* offered */
#define PROBE_FEATURE_HIDDEN 7 /* the type has it, this one does not offer it */

struct probe {
	struct virtio_device vdev;
	/* What happened to it. */
	unsigned int activations, deactivations, notifications[PROBE_QUEUES], config_writes;
	size_t config_write_offset, config_write_bytes;
	/* What it does. */
	int activate_ret;
	bool refuse_a_without_b; /* features_ok */
	bool keep;               /* does not take chains; else gives them back at once */
};

/* Made with the machine's transport; NULL when it cannot be: *ret says why. */
struct probe *probe_create(struct virtio_machine *machine, int *ret, struct error *err);
void probe_destroy(struct probe *probe);

#endif
