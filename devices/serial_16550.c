/* SPDX-License-Identifier: Apache-2.0 */
/* serial-16550: a 16550A with both FIFOs, on ports or in memory. */
/*
 * DOC: The serial port
 *
 * Transmission is instant: what is written to THR is out before the next access, so THRE and TEMT
 * always read as 1 and the transmit FIFO is never seen to hold anything. The THRE interrupt follows
 * the chip's rules all the same: raised when THR "becomes" empty or when it is enabled, dropped by
 * reading it from IIR.
 *
 * Reception: the console asks for room and gets the FIFO's. There is none while nobody in the guest
 * listens: a byte in the FIFO when a driver starts is thrown away by it, and what the user typed
 * ahead, or a script piped in, would be lost. Who enabled the receive interrupt listens; so does
 * who polls the line status register LISTEN_POLLS times with nothing between. The character timeout
 * is folded into "received data available": any byte raises it, whatever the trigger level.
 *
 * On ports, OUT2 gates the interrupt as on every PC board, and loopback forces it inactive. In
 * memory nothing gates it.
 *
 * Threads: registers on vCPU threads, input on the main loop; one lock. Output leaves after the
 * lock is dropped, for it may wait for whoever reads the console.
 *
 * Not here: baud rate (the divisor is kept, and means nothing), parity and break, DMA mode.
 *
 * National Semiconductor PC16550D data sheet.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <linux/serial_reg.h>

#include "ebb/bus.h"
#include "ebb/console.h"
#include "ebb/irq.h"
#include "ebb/vm.h"

#include "device_table.h"

#define REGISTERS_BYTES 8
#define FIFO_BYTES      16
#define LISTEN_POLLS    16

/* What the modem at the other end shows: carrier, ready, clear to send. */
#define MODEM_LINES (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)

enum serial_metric { METRIC_BYTES_IN, METRIC_BYTES_OUT, METRIC_COUNT };

struct serial {
	struct device device;
	struct bus *bus;
	uint64_t base;
	bool on_bus, is_port, is_console;
	struct irq_line *line;
	struct metric metrics[METRIC_COUNT];
	pthread_mutex_t lock;
	/* Under lock. Guest-controlled: */
	uint8_t ier, lcr, mcr, scratch;
	uint8_t divisor[2];
	bool fifo_enabled;
	/* Ours: */
	uint8_t lsr_errors; /* cleared by reading LSR */
	uint8_t msr;        /* lines and deltas */
	bool thre_pending;
	uint8_t fifo[FIFO_BYTES];
	unsigned int fifo_first, fifo_count;
	unsigned int idle_polls; /* readings of LSR in a row that found nothing */
	bool owes_ready;         /* the console was told that there is no room */
	bool line_level;
};

static uint8_t pending_interrupt(const struct serial *serial)
{
	if (serial->ier & UART_IER_RLSI && serial->lsr_errors)
		return UART_IIR_RLSI;
	if (serial->ier & UART_IER_RDI && serial->fifo_count)
		return UART_IIR_RDI;
	if (serial->ier & UART_IER_THRI && serial->thre_pending)
		return UART_IIR_THRI;
	if (serial->ier & UART_IER_MSI && serial->msr & UART_MSR_ANY_DELTA)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void update_line(struct serial *serial)
{
	bool gate =
		!serial->is_port || (serial->mcr & UART_MCR_OUT2 && !(serial->mcr & UART_MCR_LOOP));
	bool level = gate && pending_interrupt(serial) != UART_IIR_NO_INT;

	if (level == serial->line_level)
		return;
	serial->line_level = level;
	irq_line_set(serial->line, level);
}

/* --- reception --- */

static bool guest_listens(const struct serial *serial)
{
	return !(serial->mcr & UART_MCR_LOOP) &&
	       (serial->ier & UART_IER_RDI || serial->idle_polls >= LISTEN_POLLS);
}

static size_t fifo_room(const struct serial *serial)
{
	size_t capacity = serial->fifo_enabled ? FIFO_BYTES : 1;

	return serial->fifo_count < capacity ? capacity - serial->fifo_count : 0;
}

static void fifo_put(struct serial *serial, uint8_t byte)
{
	serial->fifo[(serial->fifo_first + serial->fifo_count++) % FIFO_BYTES] = byte;
}

static uint8_t fifo_take(struct serial *serial)
{
	uint8_t byte = serial->fifo[serial->fifo_first];

	if (!serial->fifo_count)
		return 0;
	serial->fifo_first = (serial->fifo_first + 1) % FIFO_BYTES;
	serial->fifo_count--;
	return byte;
}

/* Whether the console, once refused, is to be asked again now; the caller does so without the lock.
 */
static bool take_owed_ready(struct serial *serial)
{
	if (!serial->owes_ready || serial->fifo_count || !guest_listens(serial))
		return false;
	serial->owes_ready = false;
	return true;
}

static size_t serial_room(void *ctx)
{
	struct serial *serial = ctx;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = guest_listens(serial) ? fifo_room(serial) : 0;
	serial->owes_ready = !room;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

static void serial_input(void *ctx, const void *data, size_t size_bytes)
{
	struct serial *serial = ctx;
	const uint8_t *bytes = data;

	metric_add(&serial->metrics[METRIC_BYTES_IN].counter, size_bytes);
	pthread_mutex_lock(&serial->lock);
	/* The guest may have switched its FIFO off since it was asked: the array still holds 16. */
	for (size_t i = 0; i < size_bytes && serial->fifo_count < FIFO_BYTES; i++)
		fifo_put(serial, bytes[i]);
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static const struct console_input_ops input_ops = {
	.room = serial_room,
	.input = serial_input,
};

/* --- registers; under the lock --- */

/* The modem lines that the guest sees: its own outputs, turned around, in loopback. */
static uint8_t modem_lines(const struct serial *serial)
{
	uint8_t lines = 0;

	if (!(serial->mcr & UART_MCR_LOOP))
		return MODEM_LINES;
	if (serial->mcr & UART_MCR_RTS)
		lines |= UART_MSR_CTS;
	if (serial->mcr & UART_MCR_DTR)
		lines |= UART_MSR_DSR;
	if (serial->mcr & UART_MCR_OUT1)
		lines |= UART_MSR_RI;
	if (serial->mcr & UART_MCR_OUT2)
		lines |= UART_MSR_DCD;
	return lines;
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	uint8_t old = serial->msr, lines, changed;

	serial->mcr = value & 0x1f;
	lines = modem_lines(serial);
	changed = (old ^ lines) & 0xf0;
	/* The ring indicator's delta is its trailing edge alone. */
	if (lines & UART_MSR_RI)
		changed &= ~UART_MSR_RI;
	serial->msr = lines | (old & UART_MSR_ANY_DELTA) | changed >> 4;
}

static void write_fcr(struct serial *serial, uint8_t value)
{
	serial->fifo_enabled = value & UART_FCR_ENABLE_FIFO;
	/* A byte that is there stays when the FIFO is switched on or off: nothing typed is lost. */
	if (serial->fifo_enabled && value & UART_FCR_CLEAR_RCVR)
		serial->fifo_count = 0;
}

/* Returns whether the byte goes out to the console. */
static bool write_thr(struct serial *serial, uint8_t value)
{
	bool loopback = serial->mcr & UART_MCR_LOOP;

	serial->thre_pending = true;
	if (!loopback)
		return true;
	if (fifo_room(serial))
		fifo_put(serial, value);
	else
		serial->lsr_errors |= UART_LSR_OE;
	return false;
}

static void write_ier(struct serial *serial, uint8_t value)
{
	if (value & ~serial->ier & UART_IER_THRI)
		serial->thre_pending = true;
	serial->ier = value & 0x0f;
}

/* Returns whether value goes out to the console. */
static bool write_register(struct serial *serial, unsigned int reg, uint8_t value)
{
	bool divisor_access = serial->lcr & UART_LCR_DLAB;

	serial->idle_polls = 0;
	switch (reg) {
	case UART_TX:
		if (!divisor_access)
			return write_thr(serial, value);
		serial->divisor[0] = value;
		break;
	case UART_IER:
		if (divisor_access)
			serial->divisor[1] = value;
		else
			write_ier(serial, value);
		break;
	case UART_FCR:
		write_fcr(serial, value);
		break;
	case UART_LCR:
		serial->lcr = value;
		break;
	case UART_MCR:
		write_mcr(serial, value);
		break;
	case UART_SCR:
		serial->scratch = value;
		break;
	default: /* LSR and MSR: factory test only */
		break;
	}
	return false;
}

static uint8_t read_iir(struct serial *serial)
{
	uint8_t iir = pending_interrupt(serial);

	if (iir == UART_IIR_THRI)
		serial->thre_pending = false;
	return iir | (serial->fifo_enabled ? 0xc0 : 0);
}

static uint8_t read_lsr(struct serial *serial)
{
	uint8_t lsr = UART_LSR_THRE | UART_LSR_TEMT | serial->lsr_errors;

	serial->lsr_errors = 0;
	if (serial->fifo_count)
		lsr |= UART_LSR_DR;
	else if (serial->idle_polls < LISTEN_POLLS)
		serial->idle_polls++;
	return lsr;
}

static uint8_t read_register(struct serial *serial, unsigned int reg)
{
	bool divisor_access = serial->lcr & UART_LCR_DLAB;
	uint8_t value;

	if (reg == UART_LSR)
		return read_lsr(serial);
	if (reg != UART_RX)
		serial->idle_polls = 0;
	switch (reg) {
	case UART_RX:
		return divisor_access ? serial->divisor[0] : fifo_take(serial);
	case UART_IER:
		return divisor_access ? serial->divisor[1] : serial->ier;
	case UART_IIR:
		return read_iir(serial);
	case UART_LCR:
		return serial->lcr;
	case UART_MCR:
		return serial->mcr;
	case UART_MSR:
		value = serial->msr;
		serial->msr &= ~UART_MSR_ANY_DELTA;
		return value;
	default:
		return serial->scratch;
	}
}

/* --- bus --- */

static void serial_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct serial *serial = ctx;
	uint8_t *bytes = data;
	bool ready;

	pthread_mutex_lock(&serial->lock);
	for (unsigned int i = 0; i < size_bytes; i++)
		bytes[i] = read_register(serial, offset + i);
	update_line(serial);
	ready = take_owed_ready(serial);
	pthread_mutex_unlock(&serial->lock);
	if (ready)
		console_input_ready(serial->device.vm->console);
}

static void serial_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct serial *serial = ctx;
	const uint8_t *bytes = data;
	uint8_t output[REGISTERS_BYTES];
	size_t output_bytes = 0;
	bool ready;

	pthread_mutex_lock(&serial->lock);
	for (unsigned int i = 0; i < size_bytes; i++)
		if (write_register(serial, offset + i, bytes[i]))
			output[output_bytes++] = bytes[i];
	update_line(serial);
	ready = take_owed_ready(serial);
	pthread_mutex_unlock(&serial->lock);
	if (ready)
		console_input_ready(serial->device.vm->console);
	metric_add(&serial->metrics[METRIC_BYTES_OUT].counter, output_bytes);
	if (output_bytes && serial->is_console)
		console_write(serial->device.vm->console, output, output_bytes);
}

static const struct bus_ops serial_bus_ops = {
	.read = serial_read,
	.write = serial_write,
};

/* --- life --- */

static void reset_registers(struct serial *serial)
{
	serial->ier = serial->lcr = serial->scratch = serial->lsr_errors = 0;
	serial->mcr = 0;
	serial->msr = MODEM_LINES;
	serial->divisor[0] = 12; /* 9600 baud, as firmware leaves it */
	serial->divisor[1] = 0;
	serial->fifo_enabled = false;
	serial->thre_pending = false;
	serial->fifo_first = serial->fifo_count = 0;
	serial->idle_polls = 0;
}

static void serial_reset(struct device *device)
{
	struct serial *serial = container_of(device, struct serial, device);

	pthread_mutex_lock(&serial->lock);
	reset_registers(serial);
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
}

static void serial_destroy(struct device *device)
{
	struct serial *serial;

	if (!device)
		return;
	serial = container_of(device, struct serial, device);
	if (serial->is_console)
		console_attach(device->vm->console, NULL, NULL);
	if (serial->on_bus)
		bus_remove(serial->bus, serial->base);
	irq_line_destroy(serial->line);
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

static int serial_connect(struct serial *serial, unsigned int gsi, struct error *err)
{
	struct vm *vm = serial->device.vm;
	int rc = irq_line_create(vm->irq, gsi, &serial->line);

	if (rc < 0)
		return error_set_errno(err, rc, "interrupt line %u", gsi);
	rc = bus_add(serial->bus, serial->base, REGISTERS_BYTES, &serial_bus_ops, serial,
	             serial->device.id);
	if (rc < 0)
		return error_set_errno(err, rc, "%s 0x%llx", serial->is_port ? "port" : "address",
		                       (unsigned long long)serial->base);
	serial->on_bus = true;
	return 0;
}

static int serial_create(struct vm *vm, const struct device_config *config,
                         struct device **ret_device, struct error *err)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	unsigned int gsi = device_config_number(config, "gsi");
	int rc;

	if (!serial)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&serial->device, vm, config);
	pthread_mutex_init(&serial->lock, NULL);
	serial->metrics[METRIC_BYTES_IN].name = "bytes_in";
	serial->metrics[METRIC_BYTES_OUT].name = "bytes_out";
	serial->device.metrics = serial->metrics;
	serial->device.metric_count = METRIC_COUNT;
	serial->device.reset = serial_reset;
	serial->device.compatible = "ns16550a";
	serial->base = device_config_number(config, "base");
	serial->is_port = vm->pio && !device_config_bool(config, "mmio");
	serial->bus = serial->is_port ? vm->pio : vm->mmio;
	reset_registers(serial);
	rc = serial_connect(serial, gsi, err);
	if (rc < 0) {
		serial_destroy(&serial->device);
		return rc;
	}
	device_add_resource(&serial->device,
	                    serial->is_port ? DEVICE_RESOURCE_PIO : DEVICE_RESOURCE_MMIO,
	                    serial->base, REGISTERS_BYTES);
	device_add_resource(&serial->device, DEVICE_RESOURCE_GSI, gsi, 1);
	serial->is_console = vm->config->console == CONSOLE_SERIAL;
	if (serial->is_console)
		console_attach(vm->console, &input_ops, serial);
	*ret_device = &serial->device;
	return 0;
}

static const struct device_option serial_options[] = {
	{ .key = "base", .type = DEVICE_OPTION_UINT, .default_value = 0x3f8 },
	{ .key = "gsi", .type = DEVICE_OPTION_UINT, .default_value = 4 },
	{ .key = "mmio", .type = DEVICE_OPTION_BOOL },
};

const struct device_class serial_16550_class = {
	.name = "serial-16550",
	.help = "16550A serial port",
	.options = serial_options,
	.option_count = ARRAY_SIZE(serial_options),
	.create = serial_create,
	.destroy = serial_destroy,
};
