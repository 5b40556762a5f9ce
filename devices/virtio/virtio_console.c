/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (VIRTIO 1.2, 5.3) with one port: hvc0 in a Linux guest.
 *
 * DOC: the device is there by default. With --console virtio it is the guest's end of the user's
 * console; otherwise the 16550 is, and what the guest writes here is discarded and it gets no
 * input.
 *
 *   console (main loop) -> input ring (1 KiB) -> receive queue     (io loop)
 *   transmit queue -> chunk (4 KiB) -> console_offer   (io loop)
 *
 * Input is never lost: the console asks how much the ring takes, keeps the rest, and is told when
 * there is room again. Only a reset of the machine empties the ring: what was typed before a driver
 * came, which begins by resetting the device, is for that one.
 *
 * A slow reader of the output holds its guest up, and never the io loop: what the console does not
 * take stays in the chunk, the chain it came from stays the device's, and the console says when it
 * has room. The chunk outlives the chain, so that a reset loses nothing of it.
 *
 * Bounds: a chain gives up to 1 MiB of output, what is longer is dropped and counted. A turn ends
 * after 64 KiB, 20 ms, or a queue's length of chains, in the middle of a chain if need be. The rest
 * of a chain is dropped if the memory that it lies in went meanwhile.
 *
 * Not offered: several ports (nobody needs them here) and emergency write (the kernel's early
 * console is the 16550).
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdlib.h>

#include "../device_table.h"
#include "ebb/bytes.h"
#include "ebb/console.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define CONSOLE_QUEUE_SIZE     128
#define INPUT_RING_BYTES       1024 /* a power of two */
#define OUTPUT_CHAIN_MAX_BYTES MIB
#define OUTPUT_TURN_BYTES      (64 * KIB)
#define OUTPUT_TURN_NS         (20 * NS_PER_MS)
#define CHUNK_BYTES            4096
#define CONFIG_BYTES           offsetof(struct virtio_console_config, max_nr_ports)

enum { QUEUE_RECEIVE, QUEUE_TRANSMIT, QUEUE_COUNT };
enum { METRIC_BYTES_IN, METRIC_BYTES_OUT, METRIC_BYTES_DROPPED, METRIC_COUNT };

struct virtio_console {
	struct virtio_device vdev;
	struct console *console; /* NULL: not the guest's console */
	struct metric metrics[METRIC_COUNT];
	/* On the io loop: */
	struct event_work input_came, another_turn;
	struct virtq_chain output; /* the one at work */
	bool output_at_work;
	size_t output_left_bytes; /* of it, not in the chunk yet */
	uint8_t chunk[CHUNK_BYTES];
	size_t chunk_first, chunk_end; /* what the console has not taken */
	void (*reset_core)(struct device *device);
	pthread_mutex_t input_lock; /* the last of all locks */
	uint8_t input[INPUT_RING_BYTES];
	size_t input_head, input_count; /* the first byte; how many */
	bool input_wanted;              /* the console found no room and waits to be told */
};

static const uint16_t queue_sizes[QUEUE_COUNT] = { CONSOLE_QUEUE_SIZE, CONSOLE_QUEUE_SIZE };

static const struct virtio_device_info console_info = {
	.device_id = VIRTIO_ID_CONSOLE,
	.device_features = UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE,
	.queue_count = QUEUE_COUNT,
	.queue_size_max = queue_sizes,
	.config_size_bytes = CONFIG_BYTES,
};

static void count(struct virtio_console *port, unsigned int metric, uint64_t amount)
{
	metric_add(&port->metrics[metric].counter, amount);
}

/* --- input --- */

static size_t input_room(void *ctx)
{
	struct virtio_console *port = ctx;
	size_t room;

	pthread_mutex_lock(&port->input_lock);
	room = INPUT_RING_BYTES - port->input_count;
	port->input_wanted = !room;
	pthread_mutex_unlock(&port->input_lock);
	return room;
}

static void input_put(void *ctx, const void *data, size_t size_bytes)
{
	struct virtio_console *port = ctx;
	const uint8_t *bytes = data;

	pthread_mutex_lock(&port->input_lock);
	for (size_t i = 0; i < size_bytes && port->input_count < INPUT_RING_BYTES; i++) {
		port->input[(port->input_head + port->input_count) % INPUT_RING_BYTES] = bytes[i];
		port->input_count++;
	}
	pthread_mutex_unlock(&port->input_lock);
	event_work_post(&port->input_came);
}

static size_t input_waiting(struct virtio_console *port)
{
	size_t waiting;

	pthread_mutex_lock(&port->input_lock);
	waiting = port->input_count;
	pthread_mutex_unlock(&port->input_lock);
	return waiting;
}

/* Copies without taking; only the io loop takes, so what was seen stays. */
static size_t input_peek(struct virtio_console *port, uint8_t *buffer, size_t max_bytes)
{
	size_t size_bytes;

	pthread_mutex_lock(&port->input_lock);
	size_bytes = min_u64(port->input_count, max_bytes);
	for (size_t i = 0; i < size_bytes; i++)
		buffer[i] = port->input[(port->input_head + i) % INPUT_RING_BYTES];
	pthread_mutex_unlock(&port->input_lock);
	return size_bytes;
}

static void input_take(struct virtio_console *port, size_t size_bytes)
{
	bool wanted;

	pthread_mutex_lock(&port->input_lock);
	port->input_head = (port->input_head + size_bytes) % INPUT_RING_BYTES;
	port->input_count -= size_bytes;
	wanted = port->input_wanted && port->input_count < INPUT_RING_BYTES;
	if (wanted)
		port->input_wanted = false;
	pthread_mutex_unlock(&port->input_lock);
	if (wanted)
		console_input_ready(port->console);
}

static void serve_receive(struct virtio_console *port)
{
	struct virtqueue *vq = virtio_queue(&port->vdev, QUEUE_RECEIVE);
	uint8_t buffer[INPUT_RING_BYTES];
	struct virtq_chain chain;
	unsigned int chains = 0;
	int r = 0;

	while (chains++ < CONSOLE_QUEUE_SIZE && input_waiting(port) &&
	       (r = virtqueue_pop(vq, &chain)) > 0) {
		size_t size_bytes = input_peek(port, buffer, virtq_chain_writable_bytes(&chain));

		if (size_bytes && virtq_chain_write(&chain, buffer, size_bytes) == 0) {
			input_take(port, size_bytes);
			count(port, METRIC_BYTES_IN, size_bytes);
		}
		virtqueue_push(vq, &chain);
	}
	virtio_queue_flush(&port->vdev, QUEUE_RECEIVE);
	if (r < 0)
		virtio_device_broken(&port->vdev, "receive queue is not a valid ring");
	else if (r > 0 && input_waiting(port))
		event_work_post(&port->input_came);
}

static void on_input_came(void *ctx)
{
	struct virtio_console *port = ctx;

	virtio_queue_kicked(&port->vdev, QUEUE_RECEIVE);
}

static void on_resized(void *ctx, uint16_t columns, uint16_t rows)
{
	struct virtio_console *port = ctx;
	uint8_t size[CONFIG_BYTES];

	store_le16(size + offsetof(struct virtio_console_config, cols), columns);
	store_le16(size + offsetof(struct virtio_console_config, rows), rows);
	virtio_config_update(&port->vdev, 0, size, sizeof(size));
}

/* --- output --- */

static void begin_chain(struct virtio_console *port)
{
	size_t size_bytes = virtq_chain_readable_bytes(&port->output);

	port->output_at_work = true;
	port->output_left_bytes = port->console ? min_u64(size_bytes, OUTPUT_CHAIN_MAX_BYTES) : 0;
	count(port, METRIC_BYTES_DROPPED, size_bytes - port->output_left_bytes);
}

/* The chain's next bytes become the chunk, which is empty. */
static void fill_chunk(struct virtio_console *port)
{
	size_t size_bytes = min_u64(port->output_left_bytes, CHUNK_BYTES);

	if (virtq_chain_locate(&port->output) < 0 ||
	    virtq_chain_read(&port->output, port->chunk, size_bytes) < 0) {
		count(port, METRIC_BYTES_DROPPED, port->output_left_bytes);
		port->output_left_bytes = 0;
		return;
	}
	port->output_left_bytes -= size_bytes;
	port->chunk_first = 0;
	port->chunk_end = size_bytes;
}

/* Returns how many bytes the console took. */
static size_t offer_chunk(struct virtio_console *port)
{
	size_t taken_bytes = console_offer(port->console, port->chunk + port->chunk_first,
	                                   port->chunk_end - port->chunk_first);

	port->chunk_first += taken_bytes;
	count(port, METRIC_BYTES_OUT, taken_bytes);
	return taken_bytes;
}

/* Takes the next step with the output. 1: it did, 0: there is nothing to do, or no room for more,
 * -errno: the ring is broken. */
static int move_output(struct virtio_console *port, struct virtqueue *vq, unsigned int *chains,
                       size_t *taken_bytes)
{
	int r;

	if (port->chunk_first < port->chunk_end) {
		*taken_bytes += offer_chunk(port);
		return port->chunk_first == port->chunk_end;
	}
	if (!port->output_at_work) {
		r = virtqueue_pop(vq, &port->output);
		if (r > 0)
			begin_chain(port);
		return r;
	}
	if (port->output_left_bytes) {
		fill_chunk(port);
		return 1;
	}
	virtqueue_push(vq, &port->output);
	port->output_at_work = false;
	(*chains)++;
	return 1;
}

static void serve_transmit(struct virtio_console *port)
{
	struct virtqueue *vq = virtio_queue(&port->vdev, QUEUE_TRANSMIT);
	int64_t end_ns = monotonic_ns() + OUTPUT_TURN_NS;
	size_t taken_bytes = 0;
	unsigned int chains = 0;
	int r = 1;

	if (!virtqueue_is_enabled(vq))
		port->output_at_work = false; /* the driver took the queue back */
	while (r > 0 && chains < CONSOLE_QUEUE_SIZE && taken_bytes < OUTPUT_TURN_BYTES &&
	       (!taken_bytes || monotonic_ns() < end_ns))
		r = move_output(port, vq, &chains, &taken_bytes);
	virtio_queue_flush(&port->vdev, QUEUE_TRANSMIT);
	if (r < 0)
		virtio_device_broken(&port->vdev, "transmit queue is not a valid ring");
	else if (r > 0)
		event_work_post(&port->another_turn);
}

static void on_output_room(void *ctx)
{
	struct virtio_console *port = ctx;

	event_work_post(&port->another_turn);
}

static void on_another_turn(void *ctx)
{
	struct virtio_console *port = ctx;

	virtio_queue_kicked(&port->vdev, QUEUE_TRANSMIT);
}

/* --- life --- */

static const struct console_input_ops input_ops = {
	.room = input_room,
	.input = input_put,
	.resized = on_resized,
	.output_room = on_output_room,
};

static void console_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtio_console *port = container_of(vdev, struct virtio_console, vdev);

	if (queue_index == QUEUE_RECEIVE)
		serve_receive(port);
	else
		serve_transmit(port);
}

static void console_deactivate(struct virtio_device *vdev)
{
	struct virtio_console *port = container_of(vdev, struct virtio_console, vdev);

	event_work_cancel(&port->input_came);
	event_work_cancel(&port->another_turn);
	port->output_at_work = false;
}

static void empty_input(void *ctx)
{
	struct virtio_console *port = ctx;

	input_take(port, input_waiting(port));
}

static void reset_machine(struct device *device)
{
	struct virtio_console *port = container_of(device, struct virtio_console, vdev.device);

	port->reset_core(device);
	event_loop_call(port->vdev.loop, empty_input, port);
}

static const struct virtio_device_ops console_ops = {
	.deactivate = console_deactivate,
	.queue_notify = console_queue_notify,
};

static void console_device_destroy(struct device *device)
{
	struct virtio_console *port;

	if (!device)
		return;
	port = container_of(device, struct virtio_console, vdev.device);
	if (port->console)
		console_attach(port->console, NULL, NULL);
	virtio_device_fini(&port->vdev);
	event_work_cancel(&port->input_came);
	event_work_cancel(&port->another_turn);
	console_write(port->console, port->chunk + port->chunk_first,
	              port->chunk_end - port->chunk_first);
	pthread_mutex_destroy(&port->input_lock);
	free(port);
}

static void init_port(struct virtio_console *port, struct vm *vm)
{
	pthread_mutex_init(&port->input_lock, NULL);
	event_work_init(&port->input_came, vm->io_loop, on_input_came, port);
	event_work_init(&port->another_turn, vm->io_loop, on_another_turn, port);
	port->metrics[METRIC_BYTES_IN].name = "bytes_in";
	port->metrics[METRIC_BYTES_OUT].name = "bytes_out";
	port->metrics[METRIC_BYTES_DROPPED].name = "bytes_dropped";
}

static int console_device_create(struct vm *vm, const struct device_config *config,
                                 struct device **ret_device, struct error *err)
{
	bool chosen = vm->config->console == CONSOLE_VIRTIO;
	const struct virtio_device_setup setup = {
		.info = &console_info,
		.ops = &console_ops,
		.loop = vm->io_loop,
		.offered_features = chosen ? console_info.device_features : 0,
	};
	struct virtio_console *port = calloc(1, sizeof(*port));
	uint16_t columns, rows;
	int r;

	if (!port)
		return error_set_errno(err, -ENOMEM, "state");
	init_port(port, vm);
	r = virtio_device_init(&port->vdev, vm, config, &setup, err);
	if (r < 0) {
		pthread_mutex_destroy(&port->input_lock);
		free(port);
		return r;
	}
	port->reset_core = port->vdev.device.reset;
	port->vdev.device.reset = reset_machine;
	port->vdev.device.metrics = port->metrics;
	port->vdev.device.metric_count = METRIC_COUNT;
	*ret_device = &port->vdev.device;
	if (!chosen)
		return 0;
	port->console = vm->console;
	console_size(vm->console, &columns, &rows);
	on_resized(port, columns, rows);
	console_attach(vm->console, &input_ops, port);
	return 0;
}

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.help = "a console (hvc0): the user's with --console virtio, otherwise silent",
	.option = "virtio-console",
	.on_by_default = true,
	.create = console_device_create,
	.destroy = console_device_destroy,
};
