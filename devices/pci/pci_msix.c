/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X (PCI 3.0, 6.8.2): the table, the pending bits and the control word of a function.
 *
 * A BAR of one page holds the table in its lower and the pending bits in its upper half. A vector
 * is connected to KVM while MSI-X is on, the function may write to memory (Bus Master) and neither
 * it nor the vector is masked; until then irq.c only notes its message, so that a guest that fills
 * in a masked table costs nothing. What a masked vector is sent waits in it, and shows as its
 * pending bit.
 *
 * All under the function's interrupt lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci_private.h"

#define MSIX_BAR_BYTES  PAGE_4K_BYTES
#define MSIX_PBA_OFFSET (MSIX_BAR_BYTES / 2)

struct pci_msix {
	struct pci_function *function;
	unsigned int capability;
	unsigned int vector_count;
	bool enabled, masked; /* the control word's bits */
	bool bus_master;      /* the command register's */
	uint8_t *table;       /* PCI_MSIX_ENTRY_SIZE a vector */
	struct irq_vector **vectors;
	struct log_ratelimit log_limit;
};

bool pci_msix_is_enabled(const struct pci_function *function)
{
	return function->msix && function->msix->enabled;
}

/* Connects, changes or disconnects a vector as the table and the control word say. */
static void update_vector(struct pci_msix *msix, unsigned int index)
{
	const uint8_t *entry = &msix->table[(size_t)index * PCI_MSIX_ENTRY_SIZE];
	struct msi_message message = {
		.address = load_le64(entry + PCI_MSIX_ENTRY_LOWER_ADDR),
		.data = load_le32(entry + PCI_MSIX_ENTRY_DATA),
	};
	bool masked = load_le32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT;
	bool live = msix->enabled && msix->bus_master && !msix->masked && !masked;
	int ret = irq_vector_configure(msix->vectors[index], &message, live);

	if (ret)
		log_message_limited(msix->function->vm->log, &msix->log_limit, LOG_WARN,
		                    "pci device %u: MSI-X vector %u: %s", msix->function->slot,
		                    index, strerrordesc_np(-ret));
}

static void update_vectors(struct pci_msix *msix)
{
	for (unsigned int i = 0; i < msix->vector_count; i++)
		update_vector(msix, i);
}

/* A byte of the BAR as the guest reads it. */
static uint8_t read_byte(struct pci_msix *msix, uint64_t offset)
{
	uint64_t first = (offset - MSIX_PBA_OFFSET) * 8;
	uint8_t pending = 0;

	if (offset < (uint64_t)msix->vector_count * PCI_MSIX_ENTRY_SIZE)
		return msix->table[offset];
	if (offset < MSIX_PBA_OFFSET)
		return 0;
	for (unsigned int bit = 0; bit < 8 && first + bit < msix->vector_count; bit++) {
		bool is_pending = irq_vector_is_pending(msix->vectors[first + bit]);

		pending |= (uint8_t)(is_pending << bit);
	}
	return pending;
}

static void msix_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct pci_msix *msix = ctx;
	uint8_t *bytes = data;

	pthread_mutex_lock(&msix->function->interrupt_lock);
	for (unsigned int i = 0; i < size_bytes; i++)
		bytes[i] = read_byte(msix, offset + i);
	pthread_mutex_unlock(&msix->function->interrupt_lock);
}

static void msix_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct pci_msix *msix = ctx;
	uint64_t table_bytes = (uint64_t)msix->vector_count * PCI_MSIX_ENTRY_SIZE;
	unsigned int first = (unsigned int)(offset / PCI_MSIX_ENTRY_SIZE);
	unsigned int last = (unsigned int)((offset + size_bytes - 1) / PCI_MSIX_ENTRY_SIZE);

	if (!range_contains(0, table_bytes, offset, size_bytes))
		return;
	pthread_mutex_lock(&msix->function->interrupt_lock);
	memcpy(&msix->table[offset], data, size_bytes);
	for (unsigned int i = first; i <= last; i++)
		update_vector(msix, i);
	pthread_mutex_unlock(&msix->function->interrupt_lock);
}

static const struct bus_ops msix_ops = { .read = msix_read, .write = msix_write };

/* PCI 3.0, 6.8.2.9: every vector starts masked. */
static void init_table(struct pci_msix *msix)
{
	memset(msix->table, 0, (size_t)msix->vector_count * PCI_MSIX_ENTRY_SIZE);
	for (unsigned int i = 0; i < msix->vector_count; i++)
		store_le32(
			&msix->table[(size_t)i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL],
			PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* Half-built is fine: pci_msix_destroy follows. */
static int create_vectors(struct pci_msix *msix)
{
	msix->table = calloc(msix->vector_count, PCI_MSIX_ENTRY_SIZE);
	msix->vectors = calloc(msix->vector_count, sizeof(*msix->vectors));
	if (!msix->table || !msix->vectors)
		return -ENOMEM;
	init_table(msix);
	for (unsigned int i = 0; i < msix->vector_count; i++) {
		int ret = irq_vector_create(msix->function->vm->irq, &msix->vectors[i]);

		if (ret)
			return ret;
	}
	return 0;
}

static int add_capability(struct pci_msix *msix, unsigned int bar)
{
	uint8_t bytes[PCI_CAP_MSIX_SIZEOF] = { [PCI_CAP_LIST_ID] = PCI_CAP_ID_MSIX };
	int ret;

	store_le16(bytes + PCI_MSIX_FLAGS, (uint16_t)(msix->vector_count - 1));
	store_le32(bytes + PCI_MSIX_TABLE, bar);
	store_le32(bytes + PCI_MSIX_PBA, MSIX_PBA_OFFSET | bar);
	ret = pci_add_capability(msix->function, bytes, NULL, sizeof(bytes));
	if (ret < 0)
		return ret;
	msix->capability = (unsigned int)ret;
	store_le16(&msix->function->config_writable[msix->capability + PCI_MSIX_FLAGS],
	           PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

int pci_add_msix(struct pci_function *function, unsigned int bar, unsigned int vector_count,
                 struct error *err)
{
	struct pci_msix *msix = calloc(1, sizeof(*msix));
	int ret;

	assert(vector_count && vector_count <= PCI_MSIX_VECTORS_MAX && !function->msix);
	if (!msix)
		return error_set_errno(err, -ENOMEM, "pci: MSI-X");
	msix->function = function;
	msix->vector_count = vector_count;
	ret = create_vectors(msix);
	if (!ret)
		ret = add_capability(msix, bar);
	if (ret) {
		pci_msix_destroy(msix);
		return error_set_errno(err, ret, "pci: MSI-X");
	}
	function->msix = msix; /* pci_function_fini's from here on */
	return pci_add_memory_bar(function, bar, MSIX_BAR_BYTES, &msix_ops, msix, err);
}

void pci_msix_destroy(struct pci_msix *msix)
{
	if (!msix)
		return;
	for (unsigned int i = 0; msix->vectors && i < msix->vector_count; i++)
		irq_vector_destroy(msix->vectors[i]);
	free(msix->vectors);
	free(msix->table);
	free(msix);
}

void pci_msix_update_control(struct pci_function *function)
{
	struct pci_msix *msix = function->msix;
	uint16_t control;
	bool enabled, masked, bus_master, switched;

	if (!msix)
		return;
	bus_master = load_le16(&function->config[PCI_COMMAND]) & PCI_COMMAND_MASTER;
	control = load_le16(&function->config[msix->capability + PCI_MSIX_FLAGS]);
	enabled = control & PCI_MSIX_FLAGS_ENABLE;
	masked = control & PCI_MSIX_FLAGS_MASKALL;
	pthread_mutex_lock(&function->interrupt_lock);
	switched = enabled != msix->enabled;
	if (enabled != msix->enabled || masked != msix->masked || bus_master != msix->bus_master) {
		msix->enabled = enabled;
		msix->masked = masked;
		msix->bus_master = bus_master;
		update_vectors(msix);
	}
	pthread_mutex_unlock(&function->interrupt_lock);
	if (switched && function->ops->msix_switched)
		function->ops->msix_switched(function);
}

void pci_msix_reset(struct pci_function *function)
{
	struct pci_msix *msix = function->msix;

	if (!msix)
		return;
	pthread_mutex_lock(&function->interrupt_lock);
	msix->enabled = msix->masked = msix->bus_master = false;
	init_table(msix);
	update_vectors(msix);
	for (unsigned int i = 0; i < msix->vector_count; i++)
		irq_vector_clear(msix->vectors[i]);
	pthread_mutex_unlock(&function->interrupt_lock);
}

bool pci_msix_trigger(struct pci_function *function, unsigned int index)
{
	struct pci_msix *msix = function->msix;
	bool enabled;

	pthread_mutex_lock(&function->interrupt_lock);
	enabled = pci_msix_is_enabled(function);
	if (enabled && index < msix->vector_count)
		irq_vector_trigger(msix->vectors[index]);
	pthread_mutex_unlock(&function->interrupt_lock);
	return enabled;
}

int pci_msix_fd(struct pci_function *function, unsigned int index)
{
	struct pci_msix *msix = function->msix;
	int ret = -ENOTSUP;

	pthread_mutex_lock(&function->interrupt_lock);
	if (pci_msix_is_enabled(function) && index < msix->vector_count)
		ret = irq_vector_fd(msix->vectors[index]);
	pthread_mutex_unlock(&function->interrupt_lock);
	return ret;
}
