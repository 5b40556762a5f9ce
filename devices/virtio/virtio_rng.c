/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng (VIRTIO 1.2, 5.4): the host's random bytes. */
/* Syscalls: io: getrandom */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../device_table.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define RNG_QUEUE_SIZE 64
/* What one buffer gets at most (fewer bytes than asked for are legal, 5.4.6.1), and so what a turn
 * costs: the loop serves others too. */
#define RNG_BYTES_PER_BUFFER_MAX 1024

struct rng {
	struct virtio_device vdev;
	struct event_work another_turn;
	struct metric bytes;
};

static const uint16_t queue_sizes[] = { RNG_QUEUE_SIZE };

static const struct virtio_device_info rng_info = {
	.device_id = VIRTIO_ID_RNG,
	.queue_count = ARRAY_SIZE(queue_sizes),
	.queue_size_max = queue_sizes,
};

static void fill(struct rng *rng, struct virtq_chain *chain)
{
	uint8_t random[RNG_BYTES_PER_BUFFER_MAX];
	size_t size_bytes = min_u64(virtq_chain_writable_bytes(chain), sizeof(random));
	ssize_t got = getrandom(random, size_bytes, GRND_NONBLOCK);

	if (got > 0 && virtq_chain_write(chain, random, (size_t)got) == 0)
		metric_add(&rng->bytes.counter, (uint64_t)got);
}

static void rng_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct rng *rng = container_of(vdev, struct rng, vdev);
	struct virtqueue *vq = virtio_queue(vdev, queue_index);
	struct virtq_chain chain;
	int r = 1;

	for (unsigned int i = 0; i < RNG_QUEUE_SIZE && (r = virtqueue_pop(vq, &chain)) > 0; i++) {
		fill(rng, &chain);
		virtqueue_push(vq, &chain);
	}
	virtio_queue_flush(vdev, queue_index);
	if (r < 0)
		virtio_device_broken(vdev, "queue %u is not a valid ring", queue_index);
	else if (r > 0)
		event_work_post(&rng->another_turn);
}

static void run_another_turn(void *ctx)
{
	struct rng *rng = ctx;

	virtio_queue_kicked(&rng->vdev, 0);
}

static void rng_deactivate(struct virtio_device *vdev)
{
	event_work_cancel(&container_of(vdev, struct rng, vdev)->another_turn);
}

static const struct virtio_device_ops rng_ops = {
	.deactivate = rng_deactivate,
	.queue_notify = rng_queue_notify,
};

static void rng_destroy(struct device *device)
{
	if (!device)
		return;
	virtio_device_fini(container_of(device, struct virtio_device, device));
	free(container_of(device, struct rng, vdev.device));
}

static int rng_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                      struct error *err)
{
	const struct virtio_device_setup setup = {
		.info = &rng_info,
		.ops = &rng_ops,
		.loop = vm->io_loop,
	};
	struct rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (!rng)
		return error_set_errno(err, -ENOMEM, "state");
	event_work_init(&rng->another_turn, vm->io_loop, run_another_turn, rng);
	r = virtio_device_init(&rng->vdev, vm, config, &setup, err);
	if (r < 0) {
		free(rng);
		return r;
	}
	rng->bytes.name = "random_bytes";
	rng->vdev.device.metrics = &rng->bytes;
	rng->vdev.device.metric_count = 1;
	*ret_device = &rng->vdev.device;
	return 0;
}

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.help = "random numbers from the host",
	.option = "rng",
	.on_by_default = true,
	.create = rng_create,
	.destroy = rng_destroy,
};
