/* SPDX-License-Identifier: Apache-2.0 */
/* acpi-pm: ACPI's fixed hardware: power button, power-off, PM timer, reset, and the SCI. */
/*
 * DOC: The power management block
 *
 * The block's layout is in ebb/acpi_pm.h, for the tables that describe it. There is no SMI command
 * port: the machine is in ACPI mode always and SCI_EN reads as 1.
 *
 * The SCI is high while an enabled status bit is set. The user's powerdown request sets the power
 * button's. The timer's status (its top bit toggled) is brought up to date when it is read and
 * makes no interrupt: guests that care for it poll, and the counter's full 32 bits wrap only every
 * 20 minutes.
 *
 * Threads: registers on vCPU threads, the button on the main thread; one lock.
 *
 * ACPI 6.5, 4.7.2 (buttons, sleep), 4.8.3 (register blocks), 4.8.3.3 (PM timer), 4.8.3.6 (reset).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/acpi_pm.h"
#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/event_loop.h"
#include "ebb/irq.h"
#include "ebb/vm.h"

#include "device_table.h"

#define STATUS_TIMER        0x0001
#define STATUS_POWER_BUTTON 0x0100
#define STATUS_OURS         (STATUS_TIMER | STATUS_POWER_BUTTON)
/* What raises the SCI: the global lock's and the sleep button's bits can be enabled, and never set.
 */
#define ENABLE_WRITABLE 0x0721
#define SCI_SOURCES     STATUS_POWER_BUTTON

#define CONTROL_SCI_ENABLE    0x0001
#define CONTROL_WRITABLE      0x1c02 /* SLP_TYP, BM_RLD */
#define CONTROL_SLEEP_TYPE(v) ((v) >> 10 & 7)
#define CONTROL_SLEEP_ENABLE  0x2000

struct acpi_pm {
	struct device device;
	uint64_t base;
	bool on_bus, listens;
	struct irq_line *line;
	struct vm_listener listener;
	pthread_mutex_t lock;
	uint16_t status, enable, control; /* under lock; enable and control are guest-controlled */
	uint32_t timer_seen;              /* when STATUS_TIMER was last brought up to date */
};

static uint32_t timer_value(void)
{
	uint64_t ns = (uint64_t)monotonic_ns();

	/* Seconds and the rest apart: the product of both with the rate fits in 64 bits for ever.
	 */
	return (uint32_t)(ns / NS_PER_S * ACPI_PM_TIMER_HZ +
	                  ns % NS_PER_S * ACPI_PM_TIMER_HZ / NS_PER_S);
}

static void update_line(struct acpi_pm *pm)
{
	irq_line_set(pm->line, pm->status & pm->enable & SCI_SOURCES);
}

/* What a write asks for, done without the lock. */
enum pm_request { PM_NOTHING, PM_POWER_OFF, PM_RESET };

static void fill_registers(struct acpi_pm *pm, uint8_t *registers)
{
	uint32_t timer = timer_value();

	if ((timer ^ pm->timer_seen) & UINT32_C(1) << 31)
		pm->status |= STATUS_TIMER;
	pm->timer_seen = timer;
	store_le16(registers + ACPI_PM1_EVENT_OFFSET, pm->status);
	store_le16(registers + ACPI_PM1_EVENT_OFFSET + 2, pm->enable);
	store_le16(registers + ACPI_PM1_CONTROL_OFFSET, pm->control | CONTROL_SCI_ENABLE);
	store_le32(registers + ACPI_PM_TIMER_OFFSET, timer);
}

/* A guest may write a register by bytes or with its neighbour: value holds the bits that are
 * written, mask says which. */
static enum pm_request write_half(struct acpi_pm *pm, unsigned int offset, uint16_t value,
                                  uint16_t mask)
{
	switch (offset) {
	case ACPI_PM1_EVENT_OFFSET: /* write 1 to clear */
		pm->status &= ~(value & mask & STATUS_OURS);
		break;
	case ACPI_PM1_EVENT_OFFSET + 2:
		pm->enable = (pm->enable & ~mask) | (value & mask & ENABLE_WRITABLE);
		break;
	case ACPI_PM1_CONTROL_OFFSET:
		pm->control = (pm->control & ~mask) | (value & mask & CONTROL_WRITABLE);
		if (value & mask & CONTROL_SLEEP_ENABLE &&
		    CONTROL_SLEEP_TYPE(pm->control) == ACPI_PM_SLP_TYP_S5)
			return PM_POWER_OFF;
		break;
	case ACPI_PM_RESET_OFFSET:
		if (mask & 0xff && (value & 0xff) == ACPI_PM_RESET_VALUE)
			return PM_RESET;
		break;
	default: /* the timer is read-only; the rest is nothing */
		break;
	}
	return PM_NOTHING;
}

static void pm_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct acpi_pm *pm = ctx;
	uint8_t registers[ACPI_PM_BLOCK_BYTES] = { 0 };

	pthread_mutex_lock(&pm->lock);
	fill_registers(pm, registers);
	pthread_mutex_unlock(&pm->lock);
	memcpy(data, registers + offset, size_bytes);
}

static void pm_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct acpi_pm *pm = ctx;
	uint8_t values[ACPI_PM_BLOCK_BYTES] = { 0 }, masks[ACPI_PM_BLOCK_BYTES] = { 0 };
	enum pm_request request = PM_NOTHING;

	memcpy(values + offset, data, size_bytes);
	memset(masks + offset, 0xff, size_bytes);
	pthread_mutex_lock(&pm->lock);
	for (unsigned int half = 0; half < ACPI_PM_BLOCK_BYTES && request == PM_NOTHING; half += 2)
		if (load_le16(masks + half))
			request = write_half(pm, half, load_le16(values + half),
			                     load_le16(masks + half));
	update_line(pm);
	pthread_mutex_unlock(&pm->lock);
	if (request == PM_POWER_OFF)
		vm_request_end(pm->device.vm, VM_END_POWEROFF, 0);
	else if (request == PM_RESET)
		vm_request_reset(pm->device.vm);
}

static const struct bus_ops pm_ops = { .read = pm_read, .write = pm_write };

static void pm_event(struct vm_listener *listener, enum vm_event event, uint64_t value)
{
	struct acpi_pm *pm = container_of(listener, struct acpi_pm, listener);

	(void)value;
	if (event != VM_EVENT_POWERDOWN)
		return;
	pthread_mutex_lock(&pm->lock);
	pm->status |= STATUS_POWER_BUTTON;
	update_line(pm);
	pthread_mutex_unlock(&pm->lock);
}

static void pm_reset(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	pthread_mutex_lock(&pm->lock);
	pm->status = pm->enable = pm->control = 0;
	pm->timer_seen = timer_value();
	update_line(pm);
	pthread_mutex_unlock(&pm->lock);
}

static void pm_destroy(struct device *device)
{
	struct acpi_pm *pm;

	if (!device)
		return;
	pm = container_of(device, struct acpi_pm, device);
	if (pm->listens)
		vm_unlisten(&pm->listener);
	if (pm->on_bus)
		bus_remove(device->vm->pio, pm->base);
	irq_line_destroy(pm->line);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}

static int pm_connect(struct acpi_pm *pm, unsigned int gsi, struct error *err)
{
	struct vm *vm = pm->device.vm;
	int rc = irq_line_create(vm->irq, gsi, &pm->line);

	if (rc < 0)
		return error_set_errno(err, rc, "interrupt line %u", gsi);
	rc = bus_add(vm->pio, pm->base, ACPI_PM_BLOCK_BYTES, &pm_ops, pm, pm->device.id);
	if (rc < 0)
		return error_set_errno(err, rc, "port 0x%llx", (unsigned long long)pm->base);
	pm->on_bus = true;
	pm->listener.event = pm_event;
	vm_listen(vm, &pm->listener);
	pm->listens = true;
	return 0;
}

static int pm_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                     struct error *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	unsigned int gsi = device_config_number(config, "gsi");
	int rc;

	if (!pm)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&pm->device, vm, config);
	pm->device.reset = pm_reset;
	pm->base = device_config_number(config, "base");
	pm->timer_seen = timer_value();
	pthread_mutex_init(&pm->lock, NULL);
	rc = pm_connect(pm, gsi, err);
	if (rc < 0) {
		pm_destroy(&pm->device);
		return rc;
	}
	device_add_resource(&pm->device, DEVICE_RESOURCE_PIO, pm->base, ACPI_PM_BLOCK_BYTES);
	device_add_resource(&pm->device, DEVICE_RESOURCE_GSI, gsi, 1);
	*ret_device = &pm->device;
	return 0;
}

static const struct device_option pm_options[] = {
	{ .key = "base", .type = DEVICE_OPTION_UINT, .default_value = 0x600 },
	{ .key = "gsi", .type = DEVICE_OPTION_UINT, .default_value = 9 },
};

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.help = "ACPI fixed hardware: power button, power-off, timer, reset",
	.options = pm_options,
	.option_count = ARRAY_SIZE(pm_options),
	.create = pm_create,
	.destroy = pm_destroy,
};
