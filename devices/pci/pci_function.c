/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI function: type 0 configuration space, BARs, the capability list, INTx.
 *
 * DOC: pci function
 *
 * Configuration space is bytes with a mask of what the guest may write; a write changes bytes, and
 * what hangs on them follows: BARs are brought in line with the bytes (sizing works by the mask
 * alone: PCI 3.0, 6.2.5.1), the INTx line with the command register, MSI-X with its control word.
 *
 * A BAR whose place is taken stays unmapped, which is no error to the guest, and is tried again
 * whenever another function's BAR moves: two that swap places meet in the middle.
 *
 * Locks, in order: function->lock, function->interrupt_lock. Hooks of capabilities run with
 * neither, as an access through one may wait for a device's loop, which may want to interrupt.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci_private.h"

#define COMMAND_WRITABLE \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
	 PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)

#define MEMORY_BAR_MIN_BYTES   PAGE_4K_BYTES
#define MEMORY_BAR_32BIT_BYTES (16 * MIB) /* larger ones leave the small window alone */
#define IO_BAR_MIN_BYTES       16

static unsigned int bar_offset(unsigned int bar)
{
	return PCI_BASE_ADDRESS_0 + 4 * bar;
}

void pci_config_init(struct pci_function *function, unsigned int offset, uint64_t value,
                     unsigned int size_bytes)
{
	store_le(&function->config[offset], value, size_bytes);
	store_le(&function->config_initial[offset], value, size_bytes);
}

static void set_writable(struct pci_function *function, unsigned int offset, uint64_t mask,
                         unsigned int size_bytes)
{
	store_le(&function->config_writable[offset], mask, size_bytes);
}

static void init_header(struct pci_function *function, const struct pci_identity *identity)
{
	pci_config_init(function, PCI_VENDOR_ID, identity->vendor_id, 2);
	pci_config_init(function, PCI_DEVICE_ID, identity->device_id, 2);
	pci_config_init(function, PCI_CLASS_REVISION,
	                (uint64_t)identity->class_code << 8 | identity->revision, 4);
	pci_config_init(function, PCI_HEADER_TYPE, PCI_HEADER_TYPE_NORMAL, 1);
	pci_config_init(function, PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor_id, 2);
	pci_config_init(function, PCI_SUBSYSTEM_ID, identity->subsystem_id, 2);
	set_writable(function, PCI_COMMAND, COMMAND_WRITABLE, 2);
	set_writable(function, PCI_CACHE_LINE_SIZE, 0xff, 1);
	set_writable(function, PCI_INTERRUPT_LINE, 0xff, 1);
	function->capability_end = PCI_STD_HEADER_SIZEOF;
}

/* Every function but the bridge has INTA, swizzled onto the host's four lines by its slot. */
static int init_intx(struct pci_function *function)
{
	unsigned int gsi = pci_host_layout(function->host)->intx_gsis[function->slot % 4];

	pci_config_init(function, PCI_INTERRUPT_PIN, 1, 1);
	pci_config_init(function, PCI_INTERRUPT_LINE, gsi, 1);
	return irq_line_create(function->vm->irq, gsi, &function->intx);
}

int pci_function_init(struct pci_function *function, struct vm *vm,
                      const struct pci_identity *identity, const struct pci_function_ops *ops,
                      struct error *err)
{
	static const struct pci_function_ops no_ops;
	struct pci_host *host = function->host ? function->host : vm->pci;
	int ret;

	if (!host)
		return error_set(err, -ENODEV, "pci: this machine has no PCI host");
	ret = pci_host_add_function(host, function, err);
	if (ret)
		return ret;
	function->vm = vm;
	function->ops = ops ? ops : &no_ops;
	pthread_mutex_init(&function->lock, NULL);
	pthread_mutex_init(&function->interrupt_lock, NULL);
	init_header(function, identity);
	if (!function->slot)
		return 0;
	ret = init_intx(function);
	if (ret) {
		pci_function_fini(function);
		return error_set_errno(err, ret, "pci: interrupt line");
	}
	return 0;
}

/* Takes a BAR off its bus. With the lock held. */
static void unmap_bar(struct pci_function *function, unsigned int index)
{
	struct pci_bar *bar = &function->bars[index];

	bar->mapped = false;
	bus_remove(bar->is_io ? function->vm->pio : function->vm->mmio, bar->gpa);
	if (function->ops->bar_mapped)
		function->ops->bar_mapped(function, index, bar->gpa, false);
}

/* Where the bytes put a BAR. */
static gpa_t bar_target(const struct pci_function *function, unsigned int index)
{
	const struct pci_bar *bar = &function->bars[index];
	uint64_t value = load_le(&function->config[bar_offset(index)], bar->is_64bit ? 8 : 4);

	return value & ~(bar->size_bytes - 1);
}

static bool bar_is_decoded(const struct pci_function *function, unsigned int index)
{
	uint16_t command = load_le16(&function->config[PCI_COMMAND]);

	return command & (function->bars[index].is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

/* With the lock held. Returns whether a place on the bus became free. */
static bool update_bar(struct pci_function *function, unsigned int index)
{
	struct pci_bar *bar = &function->bars[index];
	bool wanted = bar->size_bytes && bar_is_decoded(function, index);
	gpa_t gpa = bar_target(function, index);
	bool freed = false;

	if (bar->mapped && (!wanted || bar->gpa != gpa)) {
		unmap_bar(function, index);
		freed = true;
	}
	if (!wanted || bar->mapped)
		return freed;
	if (bus_add(bar->is_io ? function->vm->pio : function->vm->mmio, gpa, bar->size_bytes,
	            bar->bus_ops, bar->ctx, "pci-bar")) {
		pci_host_count_overlap(function->host);
		return freed;
	}
	bar->gpa = gpa;
	bar->mapped = true;
	if (function->ops->bar_mapped)
		function->ops->bar_mapped(function, index, gpa, true);
	return freed;
}

static bool update_bars(struct pci_function *function)
{
	bool freed = false;

	for (unsigned int i = 0; i < PCI_BARS_MAX; i++)
		freed |= update_bar(function, i);
	return freed;
}

void pci_remap_bars(struct pci_function *function)
{
	pthread_mutex_lock(&function->lock);
	update_bars(function);
	pthread_mutex_unlock(&function->lock);
}

void pci_function_fini(struct pci_function *function)
{
	if (!function->vm)
		return;
	for (unsigned int i = 0; i < PCI_BARS_MAX; i++)
		if (function->bars[i].mapped)
			unmap_bar(function, i);
	pci_host_remove_function(function->host, function);
	pci_msix_destroy(function->msix);
	irq_line_destroy(function->intx);
	pthread_mutex_destroy(&function->interrupt_lock);
	pthread_mutex_destroy(&function->lock);
	function->vm = NULL;
}

static int add_bar(struct pci_function *function, unsigned int index, struct pci_bar bar,
                   struct error *err)
{
	enum pci_window window = bar.is_io      ? PCI_WINDOW_IO
	                         : bar.is_64bit ? PCI_WINDOW_MMIO64
	                                        : PCI_WINDOW_MMIO32;
	uint64_t flags = bar.is_io      ? PCI_BASE_ADDRESS_SPACE_IO
	                 : bar.is_64bit ? PCI_BASE_ADDRESS_MEM_TYPE_64
	                                : 0;
	uint16_t command = load_le16(&function->config[PCI_COMMAND]);
	unsigned int width = bar.is_64bit ? 8 : 4;
	gpa_t gpa;

	assert(index + width / 4 <= PCI_BARS_MAX && is_power_of_two(bar.size_bytes) &&
	       bar.size_bytes >= (bar.is_io ? IO_BAR_MIN_BYTES : MEMORY_BAR_MIN_BYTES));
	if (pci_host_assign(function->host, window, bar.size_bytes, &gpa))
		return error_set(err, -ENOSPC, "pci: no room for a BAR of %llu KiB",
		                 (unsigned long long)(bar.size_bytes / KIB));
	pthread_mutex_lock(&function->lock);
	function->bars[index] = bar;
	pci_config_init(function, bar_offset(index), gpa | flags, width);
	set_writable(function, bar_offset(index),
	             bar.is_io ? 0xffff & ~(bar.size_bytes - 1) : ~(bar.size_bytes - 1), width);
	command |= bar.is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	pci_config_init(function, PCI_COMMAND, command, 2);
	update_bar(function, index);
	pthread_mutex_unlock(&function->lock);
	return 0;
}

int pci_add_memory_bar(struct pci_function *function, unsigned int bar, uint64_t size_bytes,
                       const struct bus_ops *bus_ops, void *ctx, struct error *err)
{
	struct pci_bar memory = { .size_bytes = size_bytes, .bus_ops = bus_ops, .ctx = ctx };

	memory.is_64bit = size_bytes > MEMORY_BAR_32BIT_BYTES &&
	                  pci_host_has_window(function->host, PCI_WINDOW_MMIO64);
	return add_bar(function, bar, memory, err);
}

int pci_add_io_bar(struct pci_function *function, unsigned int bar, uint64_t size_bytes,
                   const struct bus_ops *bus_ops, void *ctx, struct error *err)
{
	struct pci_bar io = {
		.size_bytes = size_bytes, .is_io = true, .bus_ops = bus_ops, .ctx = ctx
	};

	return add_bar(function, bar, io, err);
}

int pci_add_capability(struct pci_function *function, const void *bytes, const uint8_t *writable,
                       size_t size_bytes)
{
	unsigned int offset = function->capability_end;
	unsigned int link = function->capability_last
	                            ? function->capability_last + PCI_CAP_LIST_NEXT
	                            : PCI_CAPABILITY_LIST;

	if (size_bytes > PCI_CONFIG_BYTES - offset)
		return -ENOSPC;
	memcpy(&function->config[offset], bytes, size_bytes);
	function->config[offset + PCI_CAP_LIST_NEXT] = 0;
	memcpy(&function->config_initial[offset], &function->config[offset], size_bytes);
	for (size_t i = 0; writable && i < size_bytes; i++) {
		function->config_writable[offset + i] = writable[i];
		function->config_watched[(offset + i) / 4] |= writable[i] != 0;
	}
	pci_config_init(function, link, offset, 1);
	pci_config_init(function, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
	function->capability_last = offset;
	function->capability_end = (unsigned int)align_up(offset + size_bytes, 4);
	return (int)offset;
}

void pci_config_get(struct pci_function *function, unsigned int offset, void *data,
                    size_t size_bytes)
{
	pthread_mutex_lock(&function->lock);
	memcpy(data, &function->config[offset], size_bytes);
	pthread_mutex_unlock(&function->lock);
}

void pci_config_set(struct pci_function *function, unsigned int offset, const void *data,
                    size_t size_bytes)
{
	pthread_mutex_lock(&function->lock);
	memcpy(&function->config[offset], data, size_bytes);
	pthread_mutex_unlock(&function->lock);
}

/* Whether an access is one that the function's ops want to see. */
static bool is_watched(const struct pci_function *function, unsigned int offset,
                       unsigned int size_bytes)
{
	for (unsigned int i = offset / 4; i <= (offset + size_bytes - 1) / 4; i++)
		if (i < ARRAY_SIZE(function->config_watched) && function->config_watched[i])
			return true;
	return false;
}

/* The status register tells of INTx (PCI 3.0, 6.2.3), whether or not it is held back. */
static void refresh_status(struct pci_function *function)
{
	uint8_t *status = &function->config[PCI_STATUS];

	pthread_mutex_lock(&function->interrupt_lock);
	*status = (uint8_t)((*status & ~PCI_STATUS_INTERRUPT) |
	                    (function->intx_level ? PCI_STATUS_INTERRUPT : 0));
	pthread_mutex_unlock(&function->interrupt_lock);
}

void pci_config_read(struct pci_function *function, unsigned int offset, uint8_t *data,
                     unsigned int size_bytes)
{
	if (function->ops->config_read && is_watched(function, offset, size_bytes))
		function->ops->config_read(function, offset, size_bytes);
	pthread_mutex_lock(&function->lock);
	refresh_status(function);
	for (unsigned int i = 0; i < size_bytes; i++)
		data[i] = offset + i < PCI_CONFIG_BYTES ? function->config[offset + i] : 0;
	pthread_mutex_unlock(&function->lock);
}

/* Puts the line where it should be now. With the interrupt lock held. */
static void update_intx(struct pci_function *function)
{
	irq_line_set(function->intx, function->intx_level && !function->intx_disabled &&
	                                     !pci_msix_is_enabled(function));
}

void pci_set_intx(struct pci_function *function, bool level)
{
	pthread_mutex_lock(&function->interrupt_lock);
	function->intx_level = level;
	update_intx(function);
	pthread_mutex_unlock(&function->interrupt_lock);
}

/* Everything that hangs on the bytes. With the lock held; returns as update_bars. */
static bool apply_config(struct pci_function *function)
{
	uint16_t command = load_le16(&function->config[PCI_COMMAND]);

	pci_msix_update_control(function);
	if (function->intx) {
		pthread_mutex_lock(&function->interrupt_lock);
		function->intx_disabled = command & PCI_COMMAND_INTX_DISABLE;
		update_intx(function);
		pthread_mutex_unlock(&function->interrupt_lock);
	}
	return update_bars(function);
}

void pci_config_write(struct pci_function *function, unsigned int offset, const uint8_t *data,
                      unsigned int size_bytes)
{
	bool freed;

	pthread_mutex_lock(&function->lock);
	for (unsigned int i = offset; i < offset + size_bytes && i < PCI_CONFIG_BYTES; i++) {
		uint8_t mask = function->config_writable[i];

		function->config[i] =
			(uint8_t)((function->config[i] & ~mask) | (data[i - offset] & mask));
	}
	freed = apply_config(function);
	pthread_mutex_unlock(&function->lock);
	if (freed)
		pci_host_remap_bars(function->host);
	if (function->ops->config_write && is_watched(function, offset, size_bytes))
		function->ops->config_write(function, offset, size_bytes);
}

void pci_function_reset(struct pci_function *function)
{
	pthread_mutex_lock(&function->lock);
	memcpy(function->config, function->config_initial, sizeof(function->config));
	pci_msix_reset(function);
	apply_config(function);
	pthread_mutex_unlock(&function->lock);
	if (function->intx)
		pci_set_intx(function, false);
	pci_host_remap_bars(function->host);
}
