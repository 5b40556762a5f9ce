/* SPDX-License-Identifier: Apache-2.0 */
/* i8042: a keyboard controller with no keyboard: reset and A20, and quick answers to whoever
 * probes. */
/*
 * DOC: The keyboard controller
 *
 * Guests use it to reset the machine (command 0xFE) and to look whether A20 is open. Nothing is
 * attached: interface tests report a line stuck low, a byte sent to the keyboard is answered at
 * once by a resend request with the time-out bit, as a controller does when no keyboard clocks the
 * byte in. So a driver that probes never waits for a time-out of its own. No interrupts. One answer
 * is kept: the newest wins.
 *
 * PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/bus.h"
#include "ebb/vm.h"

#include "device_table.h"

#define DATA_PORT    0x60
#define COMMAND_PORT 0x64

enum status_bit {
	STATUS_OUTPUT_FULL = 0x01,
	STATUS_SYSTEM = 0x04,  /* the self test passed */
	STATUS_COMMAND = 0x08, /* the last write was to the command port */
	STATUS_NOT_LOCKED = 0x10,
	STATUS_AUX_DATA = 0x20,
	STATUS_TIMEOUT = 0x40,
};

enum command {
	COMMAND_READ_CONFIG = 0x20,
	COMMAND_WRITE_CONFIG = 0x60,
	COMMAND_DISABLE_AUX = 0xa7,
	COMMAND_ENABLE_AUX = 0xa8,
	COMMAND_TEST_AUX = 0xa9,
	COMMAND_SELF_TEST = 0xaa,
	COMMAND_TEST_KEYBOARD = 0xab,
	COMMAND_DISABLE_KEYBOARD = 0xad,
	COMMAND_ENABLE_KEYBOARD = 0xae,
	COMMAND_READ_INPUT = 0xc0,
	COMMAND_READ_OUTPUT = 0xd0,
	COMMAND_WRITE_OUTPUT = 0xd1,
	COMMAND_WRITE_KEYBOARD_BUFFER = 0xd2,
	COMMAND_WRITE_AUX_BUFFER = 0xd3,
	COMMAND_WRITE_AUX = 0xd4,
	COMMAND_PULSE_OUTPUT = 0xf0, /* to 0xff: a 0 in bits 0 to 3 pulses that line low */
};

#define CONFIG_SYSTEM           0x04
#define CONFIG_DISABLE_KEYBOARD 0x10
#define CONFIG_DISABLE_AUX      0x20
#define OUTPUT_NOT_RESET        0x01
#define OUTPUT_A20              0x02
#define SELF_TEST_PASSED        0x55
#define TEST_CLOCK_LOW          0x01
#define RESEND                  0xfe

struct i8042 {
	struct device device;
	bool data_on_bus, command_on_bus;
	pthread_mutex_t lock;
	/* Under lock; guest-controlled: */
	uint8_t config, output_port;
	uint8_t parameter_of; /* a command that waits for its byte at the data port, or 0 */
	uint8_t answer;
	uint8_t status; /* OUTPUT_FULL, SYSTEM, COMMAND, AUX_DATA, TIMEOUT */
};

static void give_answer(struct i8042 *i8042, uint8_t value, uint8_t status)
{
	i8042->answer = value;
	i8042->status &= ~(STATUS_AUX_DATA | STATUS_TIMEOUT);
	i8042->status |= STATUS_OUTPUT_FULL | status;
}

/* Returns whether the machine is to be reset. */
static bool write_command(struct i8042 *i8042, uint8_t command)
{
	i8042->parameter_of = 0;
	switch (command) {
	case COMMAND_READ_CONFIG:
		give_answer(i8042, i8042->config, 0);
		break;
	case COMMAND_DISABLE_AUX:
		i8042->config |= CONFIG_DISABLE_AUX;
		break;
	case COMMAND_ENABLE_AUX:
		i8042->config &= ~CONFIG_DISABLE_AUX;
		break;
	case COMMAND_DISABLE_KEYBOARD:
		i8042->config |= CONFIG_DISABLE_KEYBOARD;
		break;
	case COMMAND_ENABLE_KEYBOARD:
		i8042->config &= ~CONFIG_DISABLE_KEYBOARD;
		break;
	case COMMAND_TEST_AUX:
	case COMMAND_TEST_KEYBOARD:
		give_answer(i8042, TEST_CLOCK_LOW, 0);
		break;
	case COMMAND_SELF_TEST:
		i8042->status |= STATUS_SYSTEM;
		give_answer(i8042, SELF_TEST_PASSED, 0);
		break;
	case COMMAND_READ_INPUT:
		give_answer(i8042, 0x80, 0); /* the keyboard is not locked */
		break;
	case COMMAND_READ_OUTPUT:
		give_answer(i8042, i8042->output_port, 0);
		break;
	case COMMAND_WRITE_CONFIG:
	case COMMAND_WRITE_OUTPUT:
	case COMMAND_WRITE_KEYBOARD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER:
	case COMMAND_WRITE_AUX:
		i8042->parameter_of = command;
		break;
	default:
		return command >= COMMAND_PULSE_OUTPUT && !(command & OUTPUT_NOT_RESET);
	}
	return false;
}

static bool write_data(struct i8042 *i8042, uint8_t value)
{
	uint8_t command = i8042->parameter_of;

	i8042->parameter_of = 0;
	switch (command) {
	case COMMAND_WRITE_CONFIG:
		i8042->config = value;
		break;
	case COMMAND_WRITE_OUTPUT:
		i8042->output_port = value | OUTPUT_NOT_RESET;
		return !(value & OUTPUT_NOT_RESET);
	case COMMAND_WRITE_KEYBOARD_BUFFER:
	case COMMAND_WRITE_AUX_BUFFER: /* there is no second port: it comes back on the first */
		give_answer(i8042, value, 0);
		break;
	case COMMAND_WRITE_AUX:
		give_answer(i8042, RESEND, STATUS_AUX_DATA | STATUS_TIMEOUT);
		break;
	default: /* to the keyboard */
		give_answer(i8042, RESEND, STATUS_TIMEOUT);
		break;
	}
	return false;
}

static void data_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct i8042 *i8042 = ctx;

	(void)offset;
	(void)size_bytes; /* the range is one byte */
	pthread_mutex_lock(&i8042->lock);
	*(uint8_t *)data = i8042->answer;
	i8042->status &= ~(STATUS_OUTPUT_FULL | STATUS_AUX_DATA | STATUS_TIMEOUT);
	pthread_mutex_unlock(&i8042->lock);
}

static void status_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct i8042 *i8042 = ctx;

	(void)offset;
	(void)size_bytes;
	pthread_mutex_lock(&i8042->lock);
	*(uint8_t *)data = i8042->status | STATUS_NOT_LOCKED;
	pthread_mutex_unlock(&i8042->lock);
}

static void data_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct i8042 *i8042 = ctx;
	bool reset;

	(void)offset;
	(void)size_bytes;
	pthread_mutex_lock(&i8042->lock);
	i8042->status &= ~STATUS_COMMAND;
	reset = write_data(i8042, *(const uint8_t *)data);
	pthread_mutex_unlock(&i8042->lock);
	if (reset)
		vm_request_reset(i8042->device.vm);
}

static void command_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct i8042 *i8042 = ctx;
	bool reset;

	(void)offset;
	(void)size_bytes;
	pthread_mutex_lock(&i8042->lock);
	i8042->status |= STATUS_COMMAND;
	reset = write_command(i8042, *(const uint8_t *)data);
	pthread_mutex_unlock(&i8042->lock);
	if (reset)
		vm_request_reset(i8042->device.vm);
}

static const struct bus_ops data_ops = { .read = data_read, .write = data_write };
static const struct bus_ops command_ops = { .read = status_read, .write = command_write };

static void power_on(struct i8042 *i8042)
{
	i8042->config = CONFIG_SYSTEM | CONFIG_DISABLE_AUX;
	i8042->output_port = OUTPUT_NOT_RESET | OUTPUT_A20;
	i8042->parameter_of = 0;
	i8042->answer = 0;
	i8042->status = STATUS_SYSTEM;
}

static void i8042_reset(struct device *device)
{
	struct i8042 *i8042 = container_of(device, struct i8042, device);

	pthread_mutex_lock(&i8042->lock);
	power_on(i8042);
	pthread_mutex_unlock(&i8042->lock);
}

static void i8042_destroy(struct device *device)
{
	struct i8042 *i8042;

	if (!device)
		return;
	i8042 = container_of(device, struct i8042, device);
	if (i8042->data_on_bus)
		bus_remove(device->vm->pio, DATA_PORT);
	if (i8042->command_on_bus)
		bus_remove(device->vm->pio, COMMAND_PORT);
	pthread_mutex_destroy(&i8042->lock);
	free(i8042);
}

static int i8042_create(struct vm *vm, const struct device_config *config,
                        struct device **ret_device, struct error *err)
{
	struct i8042 *i8042 = calloc(1, sizeof(*i8042));
	int rc;

	if (!i8042)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&i8042->device, vm, config);
	i8042->device.reset = i8042_reset;
	pthread_mutex_init(&i8042->lock, NULL);
	power_on(i8042);
	rc = bus_add(vm->pio, DATA_PORT, 1, &data_ops, i8042, i8042->device.id);
	i8042->data_on_bus = !rc;
	if (!rc) {
		rc = bus_add(vm->pio, COMMAND_PORT, 1, &command_ops, i8042, i8042->device.id);
		i8042->command_on_bus = !rc;
	}
	if (rc < 0) {
		i8042_destroy(&i8042->device);
		return error_set_errno(err, rc, "ports 0x60 and 0x64");
	}
	device_add_resource(&i8042->device, DEVICE_RESOURCE_PIO, DATA_PORT, 1);
	device_add_resource(&i8042->device, DEVICE_RESOURCE_PIO, COMMAND_PORT, 1);
	*ret_device = &i8042->device;
	return 0;
}

const struct device_class i8042_class = {
	.name = "i8042",
	.help = "keyboard controller without a keyboard: reset and A20",
	.create = i8042_create,
	.destroy = i8042_destroy,
};
