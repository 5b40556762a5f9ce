/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI host bridge: two ways to configuration space, slots, and windows for BARs.
 *
 * ECAM (PCI Express 3.0, 7.2.2) is one MiB for bus 0. The ports CF8 and CFC (PCI 3.0, 3.2.2.3.2)
 * reach the first 256 bytes: CF8 is a latch that takes 4-byte accesses only, so that other widths
 * there find nothing, as on a PC.
 *
 * Windows only ever grow: functions come at set-up and go at teardown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci_private.h"

#define ECAM_BYTES            MIB
#define ECAM_FUNCTION_BYTES   4096
#define CONFIG_ADDRESS_PORT   0xcf8
#define CONFIG_DATA_PORT      0xcfc
#define CONFIG_ADDRESS_ENABLE UINT32_C(0x80000000)

#define BRIDGE_VENDOR_ID 0x1b36 /* Red Hat's, with the generic PCIe host bridge */
#define BRIDGE_DEVICE_ID 0x0008

struct pci_host {
	struct vm *vm;
	struct pci_host_layout layout;
	struct pci_function bridge;
	struct pci_function *slots[PCI_SLOTS_MAX]; /* changes at set-up and teardown only */
	struct {
		uint64_t next, end;
	} windows[PCI_WINDOW_COUNT];
	pthread_mutex_t lock; /* config_address */
	uint32_t config_address;
	bool has_ecam, has_address_port, has_data_port; /* on their bus */
	struct metric_counter overlaps;
};

/* A function by device and function number; NULL: nothing answers. */
static struct pci_function *find_function(struct pci_host *host, unsigned int devfn)
{
	return devfn % 8 ? NULL : host->slots[devfn / 8];
}

static void ecam_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct pci_function *function =
		find_function(ctx, (unsigned int)(offset / ECAM_FUNCTION_BYTES));
	unsigned int reg = offset % ECAM_FUNCTION_BYTES;

	memset(data, 0xff, size_bytes);
	if (function && reg + size_bytes <= ECAM_FUNCTION_BYTES)
		pci_config_read(function, reg, data, size_bytes);
}

static void ecam_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct pci_function *function =
		find_function(ctx, (unsigned int)(offset / ECAM_FUNCTION_BYTES));
	unsigned int reg = offset % ECAM_FUNCTION_BYTES;

	if (function && reg + size_bytes <= ECAM_FUNCTION_BYTES)
		pci_config_write(function, reg, data, size_bytes);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

static void address_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct pci_host *host = ctx;

	memset(data, 0xff, size_bytes);
	if (offset || size_bytes != 4)
		return;
	pthread_mutex_lock(&host->lock);
	store_le32(data, host->config_address);
	pthread_mutex_unlock(&host->lock);
}

static void address_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct pci_host *host = ctx;

	if (offset || size_bytes != 4)
		return;
	pthread_mutex_lock(&host->lock);
	host->config_address = load_le32(data);
	pthread_mutex_unlock(&host->lock);
}

static const struct bus_ops address_ops = { .read = address_read, .write = address_write };

/* What the latch points at, and the register of an access at offset; NULL: nothing. */
static struct pci_function *find_latched(struct pci_host *host, uint64_t offset,
                                         unsigned int *ret_reg)
{
	uint32_t address;

	pthread_mutex_lock(&host->lock);
	address = host->config_address;
	pthread_mutex_unlock(&host->lock);
	*ret_reg = (address & 0xfc) + (unsigned int)offset;
	if (!(address & CONFIG_ADDRESS_ENABLE) || (address >> 16 & 0xff))
		return NULL;
	return find_function(host, address >> 8 & 0xff);
}

static void data_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	unsigned int reg;
	struct pci_function *function = find_latched(ctx, offset, &reg);

	memset(data, 0xff, size_bytes);
	if (function)
		pci_config_read(function, reg, data, size_bytes);
}

static void data_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	unsigned int reg;
	struct pci_function *function = find_latched(ctx, offset, &reg);

	if (function)
		pci_config_write(function, reg, data, size_bytes);
}

static const struct bus_ops data_ops = { .read = data_read, .write = data_write };

int pci_host_add_function(struct pci_host *host, struct pci_function *function, struct error *err)
{
	for (unsigned int slot = 0; slot < PCI_SLOTS_MAX; slot++) {
		if (host->slots[slot])
			continue;
		host->slots[slot] = function;
		function->host = host;
		function->slot = slot;
		return 0;
	}
	return error_set(err, -ENOSPC, "pci: all %u slots of the bus are taken", PCI_SLOTS_MAX);
}

void pci_host_remove_function(struct pci_host *host, struct pci_function *function)
{
	host->slots[function->slot] = NULL;
}

bool pci_host_has_window(const struct pci_host *host, enum pci_window window)
{
	return host->windows[window].end;
}

int pci_host_assign(struct pci_host *host, enum pci_window window, uint64_t size_bytes,
                    gpa_t *ret_gpa)
{
	uint64_t gpa = align_up(host->windows[window].next, size_bytes);

	if (gpa > host->windows[window].end || size_bytes > host->windows[window].end - gpa)
		return -ENOSPC;
	host->windows[window].next = gpa + size_bytes;
	*ret_gpa = gpa;
	return 0;
}

void pci_host_remap_bars(struct pci_host *host)
{
	for (unsigned int slot = 0; slot < PCI_SLOTS_MAX; slot++)
		if (host->slots[slot])
			pci_remap_bars(host->slots[slot]);
}

void pci_host_count_overlap(struct pci_host *host)
{
	metric_increment(&host->overlaps);
}

uint64_t pci_host_overlap_count(const struct pci_host *host)
{
	return metric_read(&host->overlaps);
}

const struct pci_host_layout *pci_host_layout(const struct pci_host *host)
{
	return &host->layout;
}

static void set_window(struct pci_host *host, enum pci_window window, gpa_t gpa,
                       uint64_t size_bytes)
{
	host->windows[window].next = gpa;
	host->windows[window].end = size_bytes ? gpa + size_bytes : 0;
}

static int add_ranges(struct pci_host *host)
{
	struct vm *vm = host->vm;
	int ret = bus_add(vm->mmio, host->layout.ecam_gpa, ECAM_BYTES, &ecam_ops, host, "pci-ecam");

	host->has_ecam = !ret;
	if (ret || !host->layout.has_io_ports)
		return ret;
	ret = bus_add(vm->pio, CONFIG_ADDRESS_PORT, 4, &address_ops, host, "pci-address");
	host->has_address_port = !ret;
	if (ret)
		return ret;
	ret = bus_add(vm->pio, CONFIG_DATA_PORT, 4, &data_ops, host, "pci-data");
	host->has_data_port = !ret;
	return ret;
}

int pci_host_create(struct vm *vm, const struct pci_host_layout *layout, struct pci_host **ret_host,
                    struct error *err)
{
	const struct pci_identity identity = {
		.vendor_id = BRIDGE_VENDOR_ID,
		.device_id = BRIDGE_DEVICE_ID,
		.class_code = 0x060000, /* bridge, host */
	};
	struct pci_host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host)
		return error_set_errno(err, -ENOMEM, "pci host");
	host->vm = vm;
	host->layout = *layout;
	pthread_mutex_init(&host->lock, NULL);
	if (layout->has_io_ports)
		set_window(host, PCI_WINDOW_IO, PCI_IO_WINDOW_BASE, PCI_IO_WINDOW_BYTES);
	set_window(host, PCI_WINDOW_MMIO32, layout->mmio32_gpa, layout->mmio32_bytes);
	set_window(host, PCI_WINDOW_MMIO64, layout->mmio64_gpa, layout->mmio64_bytes);
	host->bridge.host = host;
	ret = pci_function_init(&host->bridge, vm, &identity, NULL, err);
	if (ret)
		goto destroy;
	ret = add_ranges(host);
	if (ret) {
		error_set_errno(err, ret, "pci host: configuration space");
		goto destroy;
	}
	*ret_host = host;
	return 0;
destroy:
	pci_host_destroy(host);
	return ret;
}

void pci_host_reset(struct pci_host *host)
{
	pci_function_reset(&host->bridge);
	pthread_mutex_lock(&host->lock);
	host->config_address = 0;
	pthread_mutex_unlock(&host->lock);
}

void pci_host_destroy(struct pci_host *host)
{
	if (!host)
		return;
	if (host->has_data_port)
		bus_remove(host->vm->pio, CONFIG_DATA_PORT);
	if (host->has_address_port)
		bus_remove(host->vm->pio, CONFIG_ADDRESS_PORT);
	if (host->has_ecam)
		bus_remove(host->vm->mmio, host->layout.ecam_gpa);
	pci_function_fini(&host->bridge);
	pthread_mutex_destroy(&host->lock);
	free(host);
}
