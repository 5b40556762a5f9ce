/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over PCI against VIRTIO 1.2, 4.1. */
/* fakes: virtio_machine pci_guest test_driver fake_kvm fake_arch */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_arch.h"
#include "fake_kvm.h"
#include "pci_guest.h"

#define SLOT     1
#define INTX_GSI (MACHINE_INTX_GSI + SLOT)
#define RING_GPA 0x10000
#define STATUS_READY \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define MSI_DATA 0x4020

struct fixture {
	struct virtio_machine machine;
	struct probe *probe;
	struct test_ring rings[PROBE_QUEUES];
	gpa_t common, isr, device, notify; /* as the capabilities say */
	uint32_t notify_multiplier;
};

/* The virtio structure capability of a type (4.1.4); 0: none. */
static unsigned int find_structure(struct fixture *f, uint8_t type)
{
	unsigned int offset;

	for (unsigned int i = 0;
	     (offset = cfg_find_capability(&f->machine, SLOT, PCI_CAP_ID_VNDR, i)); i++)
		if (cfg_read(&f->machine, SLOT, offset + 3, 1) == type)
			return offset;
	return 0;
}

static gpa_t structure_gpa(struct fixture *f, uint8_t type)
{
	unsigned int cap = find_structure(f, type);

	assert_int_not_equal(cap, 0);
	return cfg_bar(&f->machine, SLOT, (unsigned int)cfg_read(&f->machine, SLOT, cap + 4, 1)) +
	       cfg_read(&f->machine, SLOT, cap + 8, 4);
}

static void locate(struct fixture *f)
{
	f->common = structure_gpa(f, VIRTIO_PCI_CAP_COMMON_CFG);
	f->isr = structure_gpa(f, VIRTIO_PCI_CAP_ISR_CFG);
	f->device = structure_gpa(f, VIRTIO_PCI_CAP_DEVICE_CFG);
	f->notify = structure_gpa(f, VIRTIO_PCI_CAP_NOTIFY_CFG);
	f->notify_multiplier = (uint32_t)cfg_read(
		&f->machine, SLOT, find_structure(f, VIRTIO_PCI_CAP_NOTIFY_CFG) + 16, 4);
}

static void set_up(struct fixture *f)
{
	int ret;

	virtio_machine_create(&f->machine, TRANSPORT_PCI);
	f->probe = probe_create(&f->machine, &ret, NULL);
	assert_non_null(f->probe);
	locate(f);
}

static void tear_down(struct fixture *f)
{
	probe_destroy(f->probe);
	virtio_machine_destroy(&f->machine);
}

static uint64_t get(struct fixture *f, unsigned int offset, unsigned int size_bytes)
{
	return machine_read(&f->machine, f->common + offset, size_bytes);
}

static void set(struct fixture *f, unsigned int offset, uint64_t value, unsigned int size_bytes)
{
	machine_write(&f->machine, f->common + offset, value, size_bytes);
}

static void set_up_queue(struct fixture *f, unsigned int queue_index)
{
	struct test_ring *ring = &f->rings[queue_index];

	test_ring_init(ring, f->machine.vm.memory, RING_GPA + queue_index * TEST_RING_BYTES, 8);
	set(f, VIRTIO_PCI_COMMON_Q_SELECT, queue_index, 2);
	set(f, VIRTIO_PCI_COMMON_Q_SIZE, 8, 2);
	set(f, VIRTIO_PCI_COMMON_Q_DESCLO, ring->descriptor_gpa, 4);
	set(f, VIRTIO_PCI_COMMON_Q_AVAILLO, ring->driver_gpa, 4);
	set(f, VIRTIO_PCI_COMMON_Q_USEDLO, ring->device_gpa, 4);
	set(f, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(get(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

/* 3.1.1, over registers. */
static void start(struct fixture *f)
{
	set(f, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(get(f, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	set(f, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	set(f, VIRTIO_PCI_COMMON_GF, 1, 4);
	set(f, VIRTIO_PCI_COMMON_STATUS, STATUS_READY, 1);
	assert_int_equal(get(f, VIRTIO_PCI_COMMON_STATUS, 1), STATUS_READY);
	for (unsigned int i = 0; i < PROBE_QUEUES; i++)
		set_up_queue(f, i);
	set(f, VIRTIO_PCI_COMMON_STATUS, STATUS_READY | VIRTIO_CONFIG_S_DRIVER_OK, 1);
	machine_settle(&f->machine);
}

static gpa_t notify_gpa(struct fixture *f, unsigned int queue_index)
{
	set(f, VIRTIO_PCI_COMMON_Q_SELECT, queue_index, 2);
	return f->notify + get(f, VIRTIO_PCI_COMMON_Q_NOFF, 2) * f->notify_multiplier;
}

/* A buffer there and back. */
static void pass(struct fixture *f, unsigned int queue_index)
{
	uint32_t head, size_bytes;

	test_ring_offer_buffer(&f->rings[queue_index], MACHINE_SCRATCH_GPA, 4, true);
	machine_write(&f->machine, notify_gpa(f, queue_index), queue_index, 2);
	machine_settle(&f->machine);
	assert_true(test_ring_take_used(&f->rings[queue_index], &head, &size_bytes));
}

/* --- what it looks like --- */

static void identity_is_a_modern_device(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(cfg_read(&f.machine, SLOT, PCI_VENDOR_ID, 2), 0x1af4); /* 4.1.2 */
	assert_int_equal(cfg_read(&f.machine, SLOT, PCI_DEVICE_ID, 2), 0x1040 + PROBE_DEVICE_ID);
	assert_true(cfg_read(&f.machine, SLOT, PCI_REVISION_ID, 1) >= 1); /* 4.1.2.1 */
	assert_true(cfg_read(&f.machine, SLOT, PCI_SUBSYSTEM_ID, 2) >= 0x40);
	tear_down(&f);
}

/* 4.1.4 and the device's MUSTs in its subsections. */
static void structures_are_described(void **state)
{
	static const struct {
		uint8_t type, length;
		uint32_t structure_bytes, alignment;
	} rows[] = {
		{ VIRTIO_PCI_CAP_COMMON_CFG, 16, 56, 4 },
		{ VIRTIO_PCI_CAP_ISR_CFG, 16, 1, 1 },
		{ VIRTIO_PCI_CAP_DEVICE_CFG, 16, PROBE_CONFIG_BYTES, 4 },
		{ VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 0, 2 },
		{ VIRTIO_PCI_CAP_PCI_CFG, 20, 0, 1 },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int cap = find_structure(&f, rows[i].type);

		assert_int_not_equal(cap, 0);
		assert_int_equal(cfg_read(&f.machine, SLOT, cap + 2, 1), rows[i].length);
		assert_int_equal(cfg_read(&f.machine, SLOT, cap + 8, 4) % rows[i].alignment, 0);
		if (rows[i].structure_bytes)
			assert_int_equal(cfg_read(&f.machine, SLOT, cap + 12, 4),
			                 rows[i].structure_bytes);
	}
	/* 4.1.4.4.1: room for every queue's notification. */
	assert_true(cfg_read(&f.machine, SLOT, find_structure(&f, VIRTIO_PCI_CAP_NOTIFY_CFG) + 12,
	                     4) >= (PROBE_QUEUES - 1) * f.notify_multiplier + 2);
	assert_true(is_power_of_two(f.notify_multiplier));
	/* One MSI-X vector for each queue and one for the configuration. */
	assert_int_equal(
		cfg_read(&f.machine, SLOT,
	                 cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS,
	                 2),
		PROBE_QUEUES);
	tear_down(&f);
}

static void common_configuration_reads_as_after_reset(void **state)
{
	static const struct {
		const char *what;
		unsigned int offset, size_bytes;
		uint64_t value;
	} rows[] = {
		{ "device_feature", VIRTIO_PCI_COMMON_DF, 4,
		  1U << PROBE_FEATURE_A | 1U << PROBE_FEATURE_B | 3U << 28 },
		{ "driver_feature", VIRTIO_PCI_COMMON_GF, 4, 0 },
		{ "config_msix_vector", VIRTIO_PCI_COMMON_MSIX, 2, VIRTIO_MSI_NO_VECTOR },
		{ "num_queues", VIRTIO_PCI_COMMON_NUMQ, 2, PROBE_QUEUES },
		{ "device_status", VIRTIO_PCI_COMMON_STATUS, 1, 0 },
		{ "queue_size", VIRTIO_PCI_COMMON_Q_SIZE, 2, 16 },
		{ "queue_msix_vector", VIRTIO_PCI_COMMON_Q_MSIX, 2, VIRTIO_MSI_NO_VECTOR },
		{ "queue_enable", VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0 },
		{ "queue_desc", VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0 },
		{ "behind it", 56, 4, UINT32_MAX },
		{ "over its end", 52, 8, UINT64_MAX },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (unsigned int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
			if (get(&f, rows[i].offset, rows[i].size_bytes) != rows[i].value)
				fail_msg("%s", rows[i].what);
		/* 4.1.4.3.1: and so again behind a reset, whatever was written. */
		for (unsigned int offset = 0; offset < 56; offset += 4)
			if (offset != VIRTIO_PCI_COMMON_STATUS)
				set(&f, offset, 1, 4);
		set(&f, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	}
	tear_down(&f);
}

static void selectors_beyond_what_there_is(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set(&f, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_DF, 4), 1);
	set(&f, VIRTIO_PCI_COMMON_DFSELECT, UINT32_MAX, 4);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_DF, 4), 0); /* 4.1.4.3.1 */
	set(&f, VIRTIO_PCI_COMMON_GFSELECT, 7, 4);
	set(&f, VIRTIO_PCI_COMMON_GF, UINT32_MAX, 4);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_GF, 4), 0);
	for (unsigned int i = 0; i < 2; i++) {
		set(&f, VIRTIO_PCI_COMMON_Q_SELECT, i ? 0xffff : PROBE_QUEUES, 2);
		assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
		set(&f, VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
		set(&f, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
		assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	}
	tear_down(&f);
}

/* 4.1.3.1 has drivers use each field's width; others work as far as they make sense. */
static void registers_take_any_width(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set(&f, VIRTIO_PCI_COMMON_Q_DESCHI, 0x11223344, 4); /* 4.1.3.2: halves, in any order */
	set(&f, VIRTIO_PCI_COMMON_Q_DESCLO, 0x55667780, 4);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_DESCLO, 8), UINT64_C(0x1122334455667780));
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x11223344);
	set(&f, VIRTIO_PCI_COMMON_Q_AVAILLO, UINT64_C(0x0102030405060708), 8);
	set(&f, VIRTIO_PCI_COMMON_Q_AVAILLO + 3, 0xee, 1);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_AVAILLO, 8), UINT64_C(0x01020304ee060708));
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 1, 1);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
	/* Select and size in one access: the size is the newly selected queue's. */
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 4U << 16 | 1, 4);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 4);
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	set(&f, VIRTIO_PCI_COMMON_Q_SIZE, 12, 2);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0); /* 0 or a power of 2 */
	set(&f, VIRTIO_PCI_COMMON_NUMQ, 0, 2);                     /* read-only ones */
	set(&f, VIRTIO_PCI_COMMON_DF, 0, 4);
	set(&f, VIRTIO_PCI_COMMON_Q_NOFF, 7, 2);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_NUMQ, 2), PROBE_QUEUES);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_NOFF, 2), 0);
	tear_down(&f);
}

static void device_configuration_is_the_devices(void **state)
{
	struct fixture f;
	uint8_t generation;

	(void)state;
	set_up(&f);
	assert_int_equal(machine_read(&f.machine, f.device, 4), 0xc3c2c1c0);
	assert_int_equal(machine_read(&f.machine, f.device + 11, 1), 0xcb);
	assert_int_equal(machine_read(&f.machine, f.device + 12, 1), 0xff);
	machine_write(&f.machine, f.device + 4, 0x1234, 2);
	assert_int_equal(f.probe->config_write_offset, 4);
	assert_int_equal(f.probe->config_write_bytes, 2);
	generation = (uint8_t)get(&f, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	virtio_config_update(&f.probe->vdev, 0, "x", 1);
	assert_int_equal(machine_read(&f.machine, f.device, 1), 'x');
	assert_int_not_equal(get(&f, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation);
	tear_down(&f);
}

/* --- notifications --- */

static void buffers_pass_without_an_exit(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	start(&f);
	assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES);
	for (unsigned int i = 0; i < PROBE_QUEUES; i++) {
		assert_int_equal(fake_kvm_ioeventfd(i)->addr, f.notify + 4 * i);
		assert_int_equal(fake_kvm_ioeventfd(i)->len, 0); /* KVM's fast path */
		pass(&f, i);
	}
	set(&f, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	assert_int_equal(f.probe->deactivations, 1);
	start(&f);
	pass(&f, 1);
	tear_down(&f);
}

static void notifications_follow_the_bar(void **state)
{
	struct fixture f;
	gpa_t moved = MACHINE_MMIO32_GPA + 64 * MIB;

	(void)state;
	set_up(&f);
	start(&f);
	cfg_write(&f.machine, SLOT, PCI_COMMAND, 0, 2);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	cfg_write(&f.machine, SLOT, PCI_BASE_ADDRESS_0, moved, 4);
	cfg_write(&f.machine, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES);
	locate(&f);
	assert_int_equal(f.common, moved);
	pass(&f, 0);
	pass(&f, 1);
	tear_down(&f);
}

static void buffers_pass_by_the_register_too(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	start(&f);
	set(&f, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	fake_kvm_fail_nth(0, -ENOSPC);
	start(&f);
	assert_true(fake_kvm_has_failed());
	assert_int_equal(fake_kvm_ioeventfd_count(), PROBE_QUEUES - 1);
	pass(&f, 0);
	machine_write(&f.machine, f.notify + 4 * PROBE_QUEUES, 0, 2); /* no such queue */
	machine_write(&f.machine, f.notify + 1, 0, 1);
	machine_write(&f.machine, f.notify + 0xffc, 0, 4);
	tear_down(&f);
}

/* --- interrupts --- */

/* 4.1.4.5.1. */
static void intx_tells_by_isr(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	start(&f);
	assert_int_equal(machine_read(&f.machine, f.isr, 1), 0);
	pass(&f, 0);
	assert_true(fake_arch_level(INTX_GSI));
	assert_true(cfg_read(&f.machine, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	virtio_config_update(&f.probe->vdev, 0, "x", 1);
	assert_int_equal(machine_read(&f.machine, f.isr, 1), 3);
	assert_false(fake_arch_level(INTX_GSI)); /* reading takes all */
	assert_int_equal(machine_read(&f.machine, f.isr, 4), 0);
	assert_false(cfg_read(&f.machine, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	pass(&f, 1);
	assert_true(fake_arch_level(INTX_GSI));
	set(&f, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_false(fake_arch_level(INTX_GSI));
	assert_int_equal(machine_read(&f.machine, f.isr, 1), 0);
	tear_down(&f);
}

static void enable_msix(struct fixture *f)
{
	unsigned int cap = cfg_find_capability(&f->machine, SLOT, PCI_CAP_ID_MSIX, 0);
	gpa_t table = cfg_bar(&f->machine, SLOT, 1);

	cfg_write(&f->machine, SLOT, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	cfg_write(&f->machine, SLOT, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
	for (unsigned int i = 0; i <= PROBE_QUEUES; i++) {
		gpa_t entry = table + PCI_MSIX_ENTRY_SIZE * i;

		machine_write(&f->machine, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee00000, 4);
		machine_write(&f->machine, entry + PCI_MSIX_ENTRY_DATA, MSI_DATA + i, 4);
		machine_write(&f->machine, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0, 4);
	}
}

static unsigned int interrupts(unsigned int vector)
{
	const struct kvm_irq_routing *routing = fake_kvm_routing();

	for (unsigned int i = 0; routing && i < routing->nr; i++) {
		const struct kvm_irq_routing_entry *entry = &routing->entries[i];

		if (entry->type == KVM_IRQ_ROUTING_MSI && entry->u.msi.data == MSI_DATA + vector)
			return fake_kvm_interrupt_count(entry->gsi);
	}
	return 0;
}

static void map_vectors(struct fixture *f)
{
	set(f, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	for (unsigned int i = 0; i < PROBE_QUEUES; i++) {
		set(f, VIRTIO_PCI_COMMON_Q_SELECT, i, 2);
		set(f, VIRTIO_PCI_COMMON_Q_MSIX, 1 + i, 2);
		/* 4.1.5.1.2.1: what was mapped reads back. */
		assert_int_equal(get(f, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1 + i);
	}
}

static void each_queue_has_its_vector(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	start(&f);
	enable_msix(&f);
	map_vectors(&f);
	pass(&f, 1);
	assert_int_equal(interrupts(2), 1);
	assert_int_equal(interrupts(1), 0);
	pass(&f, 0);
	assert_int_equal(interrupts(1), 1);
	virtio_config_update(&f.probe->vdev, 0, "x", 1);
	assert_int_equal(interrupts(0), 1);
	assert_int_equal(machine_read(&f.machine, f.isr, 1), 0); /* unused */
	assert_false(fake_arch_level(INTX_GSI));

	/* 4.1.5.3.1: NO_VECTOR, no interrupt. */
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	set(&f, VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR, 2);
	pass(&f, 0);
	assert_int_equal(interrupts(1), 1);
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	set(&f, VIRTIO_PCI_COMMON_Q_MSIX, PROBE_QUEUES + 1, 2); /* outside the table */
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	set(&f, VIRTIO_PCI_COMMON_MSIX, 0x7ff, 2);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	map_vectors(&f);
	set(&f, VIRTIO_PCI_COMMON_STATUS, 0, 1); /* unmapped upon reset */
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	tear_down(&f);
}

static void vector_is_lent_to_vhost(void **state)
{
	struct fixture f;
	int kick_fd, call_fd;

	(void)state;
	set_up(&f);
	start(&f);
	enable_msix(&f);
	map_vectors(&f);
	assert_int_equal(virtio_queue_take_eventfds(&f.probe->vdev, 1, NULL, &kick_fd, &call_fd, NULL),
	                 0);
	assert_true(fake_kvm_irqfd(call_fd, NULL)); /* straight into KVM */
	assert_int_equal(fake_kvm_ioeventfd(1)->fd, kick_fd);
	virtio_queue_return_eventfds(&f.probe->vdev, 1);
	machine_settle(&f.machine);
	pass(&f, 1);
	assert_int_equal(interrupts(2), 1);
	tear_down(&f);
}

static int lent_call_fd;

static void call_moved(void *ctx, unsigned int queue_index, int call_fd)
{
	(void)ctx;
	assert_int_equal(queue_index, 1);
	lent_call_fd = call_fd;
}

/* A driver that gives a queue another vector while the device runs, and turns MSI-X off and on. */
static void borrower_hears_of_vectors(void **state)
{
	const struct virtio_queue_borrower borrower = { .call_moved = call_moved };
	struct fixture f;
	int kick_fd, first_fd;

	(void)state;
	set_up(&f);
	start(&f);
	enable_msix(&f);
	map_vectors(&f);
	assert_int_equal(virtio_queue_take_eventfds(&f.probe->vdev, 1, &borrower, &kick_fd,
	                                            &first_fd, NULL),
	                 0);
	lent_call_fd = first_fd;
	set(&f, VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	set(&f, VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
	machine_settle(&f.machine);
	assert_int_not_equal(lent_call_fd, first_fd);
	set(&f, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	machine_settle(&f.machine);
	assert_int_equal(lent_call_fd, first_fd);
	cfg_write(&f.machine, SLOT,
	          cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS, 0, 2);
	machine_settle(&f.machine);
	assert_int_not_equal(lent_call_fd, first_fd); /* relayed, to the line */
	assert_false(fake_kvm_irqfd(lent_call_fd, NULL));
	enable_msix(&f);
	machine_settle(&f.machine);
	assert_int_equal(lent_call_fd, first_fd);
	tear_down(&f);
}

/* --- the window in configuration space --- */

static unsigned int aim(struct fixture *f, uint8_t bar, uint32_t offset, uint32_t length)
{
	unsigned int cap = find_structure(f, VIRTIO_PCI_CAP_PCI_CFG);

	cfg_write(&f->machine, SLOT, cap + 4, bar, 1);
	cfg_write(&f->machine, SLOT, cap + 8, offset, 4);
	cfg_write(&f->machine, SLOT, cap + 12, length, 4);
	return cap + 16;
}

/* 4.1.4.9.1. */
static void window_reaches_the_bar(void **state)
{
	struct fixture f;
	uint32_t common = 0, device;
	unsigned int data;

	(void)state;
	set_up(&f);
	device = (uint32_t)(f.device - f.common);
	data = aim(&f, 0, common + VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(cfg_read(&f.machine, SLOT, data, 2), PROBE_QUEUES);
	data = aim(&f, 0, device, 4);
	assert_int_equal(port_cfg_read(&f.machine, SLOT, data, 4), 0xc3c2c1c0);
	data = aim(&f, 0, device + 1, 1);
	cfg_write(&f.machine, SLOT, data, 0x11223344, 4);
	assert_int_equal(f.probe->config_write_offset, 1);
	assert_int_equal(f.probe->config_write_bytes, 1); /* the first cap.length bytes */
	assert_int_equal(f.probe->vdev.config[1], 0x44);
	start(&f);
	data = aim(&f, 0, common + VIRTIO_PCI_COMMON_STATUS, 1);
	cfg_write(&f.machine, SLOT, data, 0, 1); /* a reset, which waits for the loop */
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	start(&f);
	data = aim(&f, 0, (uint32_t)(f.notify - f.common), 2);
	f.probe->notifications[0] = 0;
	cfg_write(&f.machine, SLOT, data, 0, 2);
	machine_settle(&f.machine);
	assert_int_equal(f.probe->notifications[0], 1);
	tear_down(&f);
}

static void window_elsewhere_does_nothing(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t offset, length;
	} rows[] = {
		{ 0, 0x2000, 0 },          { 0, 0x2000, 3 },
		{ 0, 0x2000, 8 },          { 0, 0x2001, 2 },
		{ 0, 0x2002, 4 },          { 0, 0x4000, 1 },
		{ 0, 0x3ffe, 4 },          { 1, 0, 4 },
		{ 5, 0x2000, 1 },          { 0xff, 0x2000, 1 },
		{ 0, UINT32_MAX, 1 },      { 0, UINT32_MAX - 3, 4 },
		{ 0, 0x2000, UINT32_MAX }, { 0, 0x2000, 0x80000000 },
	};
	struct fixture f;

	(void)state;
	set_up(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int data = aim(&f, rows[i].bar, rows[i].offset, rows[i].length);

		cfg_write(&f.machine, SLOT, data, 0, 4);
		assert_int_equal(cfg_read(&f.machine, SLOT, data, 4), 0);
	}
	assert_int_equal(f.probe->config_writes, 0);
	tear_down(&f);
}

/* --- life --- */

static void vm_reset_puts_the_function_back(void **state)
{
	struct fixture f;
	gpa_t before;

	(void)state;
	set_up(&f);
	before = f.common;
	start(&f);
	enable_msix(&f);
	map_vectors(&f);
	cfg_write(&f.machine, SLOT, PCI_BASE_ADDRESS_0, MACHINE_MMIO32_GPA + 64 * MIB, 4);
	f.probe->vdev.device.reset(&f.probe->vdev.device);
	locate(&f);
	assert_int_equal(f.common, before);
	assert_int_equal(get(&f, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	assert_int_equal(fake_kvm_ioeventfd_count(), 0);
	start(&f);
	pass(&f, 0);
	assert_true(fake_arch_level(INTX_GSI));
	tear_down(&f);
}

/* A host with no MSI: no MSI-X that would never fire, INTx says what there is (4.1.5.1.2). */
static void without_msi_there_is_intx(void **state)
{
	struct fixture f;
	int ret;

	(void)state;
	virtio_machine_create(&f.machine, TRANSPORT_PCI);
	fake_arch_set_msi(false);
	f.probe = probe_create(&f.machine, &ret, NULL);
	assert_non_null(f.probe);
	locate(&f);
	assert_int_equal(cfg_find_capability(&f.machine, SLOT, PCI_CAP_ID_MSIX, 0), 0);
	assert_int_equal(cfg_read(&f.machine, SLOT, PCI_BASE_ADDRESS_0 + 4, 4), 0);
	assert_int_equal(cfg_read(&f.machine, SLOT, PCI_INTERRUPT_PIN, 1), 1);
	start(&f);
	pass(&f, 0);
	assert_true(fake_arch_level(INTX_GSI));
	assert_int_equal(machine_read(&f.machine, f.isr, 1), 1);
	assert_false(fake_arch_level(INTX_GSI));
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	assert_null(fake_kvm_routing());
	tear_down(&f);
}

static void machine_without_pci_is_an_error(void **state)
{
	struct virtio_machine machine;
	struct error err = ERROR_INIT;
	struct pci_host *host;
	int ret;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	host = machine.vm.pci;
	machine.vm.pci = NULL;
	assert_null(probe_create(&machine, &ret, &err));
	assert_int_equal(ret, -ENODEV);
	assert_int_equal(err.code, -ENODEV);
	machine.vm.pci = host;
	virtio_machine_destroy(&machine);
}

/* Windows and slots that are full: whatever of the four steps fails, the rest goes. */
static void no_room_leaves_nothing(void **state)
{
	struct virtio_machine machine;
	struct probe *probes[PCI_SLOTS_MAX];
	struct error err = ERROR_INIT;
	unsigned int count = 0;
	int ret;

	(void)state;
	virtio_machine_create(&machine, TRANSPORT_PCI);
	while ((probes[count] = probe_create(&machine, &ret, &err)))
		count++;
	assert_int_equal(count, PCI_SLOTS_MAX - 1);
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(err.code, -ENOSPC);
	while (count)
		probe_destroy(probes[--count]);
	virtio_machine_destroy(&machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity_is_a_modern_device),
		cmocka_unit_test(structures_are_described),
		cmocka_unit_test(common_configuration_reads_as_after_reset),
		cmocka_unit_test(selectors_beyond_what_there_is),
		cmocka_unit_test(registers_take_any_width),
		cmocka_unit_test(device_configuration_is_the_devices),
		cmocka_unit_test(buffers_pass_without_an_exit),
		cmocka_unit_test(notifications_follow_the_bar),
		cmocka_unit_test(buffers_pass_by_the_register_too),
		cmocka_unit_test(intx_tells_by_isr),
		cmocka_unit_test(each_queue_has_its_vector),
		cmocka_unit_test(vector_is_lent_to_vhost),
		cmocka_unit_test(borrower_hears_of_vectors),
		cmocka_unit_test(window_reaches_the_bar),
		cmocka_unit_test(window_elsewhere_does_nothing),
		cmocka_unit_test(vm_reset_puts_the_function_back),
		cmocka_unit_test(without_msi_there_is_intx),
		cmocka_unit_test(machine_without_pci_is_an_error),
		cmocka_unit_test(no_room_leaves_nothing),
	};

	return cmocka_run_group_tests_name("virtio_pci", tests, NULL, NULL);
}
