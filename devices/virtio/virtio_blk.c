/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (VIRTIO 1.2, 5.2): a disk of the guest's, which is an image or a block device of the
 * host's (devices/block/disk.h).
 *
 * DOC: the device, its features and its config space; requests are virtio_blk_request.c's, the data
 * path virtio_blk_queue.c's.
 *
 * Cache. A write is answered when the host's kernel has it, and a flush makes it last: that takes a
 * driver that flushes. What is written for a driver without FLUSH, or while writeback is 0
 * (CONFIG_WCE), is on the medium before it is answered (5.2.6.2). cache= says what writeback is
 * when a driver comes; one that takes no CONFIG_WCE has that for good.
 *
 * Queues: without MQ the driver has the first alone (5.2.2). They share the device's slots, and
 * the io loop serves them all; each has an interrupt of its own, at the vCPU that asked.
 *
 * Errors of the host are answered with IOERR, counted, and logged, a line a second at the most. The
 * next request is tried like any other, so that a full file system that has room again is no
 * different from one that always had.
 *
 * Offered where the disk can: DISCARD and WRITE_ZEROES, whose holes give the host its space back.
 * SIZE_MAX keeps one request below 16 MiB. Not offered: geometry, lifetime, secure erase, zones.
 *
 * Threads: main creates and destroys; vCPUs write config space; all else is the io loop's.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "../device_table.h"
#include "ebb/bytes.h"
#include "virtio_blk_private.h"

#define CONFIG_OFFSET(field) offsetof(struct virtio_blk_config, field)
#define CONFIG_BYTES         (CONFIG_OFFSET(write_zeroes_may_unmap) + 4)

#define QUEUES_DEFAULT_MAX 8

static struct virtio_blk *from_vdev(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_blk, vdev);
}

/* --- cache; under the device lock --- */

static void set_cached(struct virtio_blk *blk, bool cached)
{
	blk->cached = cached;
	blk->vdev.config[CONFIG_OFFSET(wce)] = cached;
}

/* A driver is taken on: the mode is its to change from now on. 5.2.5.2: without flushes there is no
 * cache. */
static bool features_ok(const struct virtio_device *vdev, uint64_t driver_features)
{
	struct virtio_blk *blk = from_vdev(vdev->transport->vdev); /* the same, to be changed */

	set_cached(blk, blk->cache_default && (driver_features & BLK_FEATURE(FLUSH)));
	return true;
}

/* All but writeback is as it was. */
static void config_write(struct virtio_device *vdev, size_t offset, size_t size_bytes)
{
	struct virtio_blk *blk = from_vdev(vdev);
	const bool cached = vdev->config[CONFIG_OFFSET(wce)];
	const bool written = range_contains(offset, size_bytes, CONFIG_OFFSET(wce), 1) &&
	                     virtio_has_feature(vdev, VIRTIO_BLK_F_CONFIG_WCE);

	memcpy(vdev->config, blk->space, CONFIG_BYTES);
	set_cached(blk, written ? cached : blk->cached);
}

bool blk_writes_through(struct virtio_blk *blk)
{
	bool cached;

	pthread_mutex_lock(&blk->vdev.lock);
	cached = blk->cached;
	pthread_mutex_unlock(&blk->vdev.lock);
	return !cached || !virtio_has_feature(&blk->vdev, VIRTIO_BLK_F_FLUSH);
}

/* --- the verbs --- */

static int blk_activate(struct virtio_device *vdev)
{
	struct virtio_blk *blk = from_vdev(vdev);

	blk->queues_in_use = virtio_has_feature(vdev, VIRTIO_BLK_F_MQ) ? blk->queue_count : 1;
	blk->limits = (struct blk_limits){
		.size_bytes = disk_geometry(blk->disk)->size_bytes,
		.features = vdev->driver_features,
		.readonly = blk->readonly,
	};
	blk_queues_start(blk);
	return 0;
}

static void blk_deactivate(struct virtio_device *vdev)
{
	blk_queues_stop(from_vdev(vdev));
}

static void notify(struct virtio_device *vdev, unsigned int queue_index)
{
	blk_queue_notify(from_vdev(vdev), queue_index);
}

static void queue_stop(struct virtio_device *vdev, unsigned int queue_index)
{
	blk_queue_stop(from_vdev(vdev), queue_index);
}

static const struct virtio_device_ops blk_ops = {
	.activate = blk_activate,
	.deactivate = blk_deactivate,
	.queue_notify = notify,
	.queue_stop = queue_stop,
	.config_write = config_write,
	.features_ok = features_ok,
};

/* --- life --- */

static void blk_destroy(struct device *device)
{
	struct virtio_blk *blk;

	if (!device)
		return;
	blk = container_of(device, struct virtio_blk, vdev.device);
	virtio_device_fini(&blk->vdev);
	event_work_cancel(&blk->turn);
	disk_close(blk->disk);
	blk_queues_destroy(blk);
	free(blk);
}

static int open_disk(struct virtio_blk *blk, struct vm *vm, const struct device_config *config,
                     struct error *err)
{
	const struct disk_setup setup = {
		.path = device_config_string(config, "path"),
		.readonly = blk->readonly,
		.direct = device_config_bool(config, "direct"),
		.loop = vm->io_loop,
		.settled = blk_requests_settled,
	};

	if (!setup.path || !setup.path[0])
		return error_set(err, -EINVAL, "path=: no image named (give --disk FILE)");
	return disk_open(&setup, blk_request_done, blk, &blk->disk, err);
}

static int choose_serial(struct virtio_blk *blk, const struct device_config *config,
                         struct error *err)
{
	const char *text = device_config_string(config, "serial");

	for (const char *c = text ? text : ""; *c; c++)
		if (!isgraph((unsigned char)*c))
			return error_set(err, -EINVAL,
			                 "serial=%s: a character that is not printable ASCII",
			                 text);
	if (text && (!text[0] || strlen(text) > sizeof(blk->serial)))
		return error_set(err, -EINVAL, "serial=%s: %zu characters (give 1 to %zu)", text,
		                 strlen(text), sizeof(blk->serial));
	if (!text)
		text = config->id;
	memcpy(blk->serial, text, strnlen(text, sizeof(blk->serial)));
	return 0;
}

static unsigned int choose_queues(const struct vm *vm, const struct device_config *config)
{
	if (device_config_given(config, "queues"))
		return (unsigned int)device_config_number(config, "queues");
	return (unsigned int)min_u64(vm->config->cpu_count, QUEUES_DEFAULT_MAX);
}

static uint64_t offered_features(const struct virtio_blk *blk)
{
	const struct disk_geometry *geometry = disk_geometry(blk->disk);
	uint64_t features = BLK_FEATURE(SIZE_MAX) | BLK_FEATURE(SEG_MAX) | BLK_FEATURE(BLK_SIZE) |
	                    BLK_FEATURE(TOPOLOGY) | BLK_FEATURE(FLUSH) | BLK_FEATURE(CONFIG_WCE);

	if (blk->readonly)
		features |= BLK_FEATURE(RO);
	if (blk->queue_count > 1)
		features |= BLK_FEATURE(MQ);
	if (blk->discards)
		features |= BLK_FEATURE(DISCARD);
	if (geometry->can_write_zeroes && !blk->readonly)
		features |= BLK_FEATURE(WRITE_ZEROES);
	return features;
}

static void fill_config(struct virtio_blk *blk)
{
	const struct disk_geometry *geometry = disk_geometry(blk->disk);
	const uint32_t blocks = geometry->physical_block_bytes / geometry->logical_block_bytes;
	uint8_t *space = blk->space;

	store_le64(space + CONFIG_OFFSET(capacity), geometry->size_bytes / BLK_SECTOR_BYTES);
	store_le32(space + CONFIG_OFFSET(size_max), BLK_SEGMENT_BYTES_MAX);
	store_le32(space + CONFIG_OFFSET(seg_max), BLK_DESCRIPTORS_MAX);
	store_le32(space + CONFIG_OFFSET(blk_size), geometry->logical_block_bytes);
	if (blocks > 1) {
		space[CONFIG_OFFSET(physical_block_exp)] = (uint8_t)__builtin_ctz(blocks);
		store_le16(space + CONFIG_OFFSET(min_io_size), (uint16_t)blocks);
	}
	store_le16(space + CONFIG_OFFSET(num_queues), (uint16_t)blk->queue_count);
	store_le32(space + CONFIG_OFFSET(max_discard_sectors), BLK_DISCARD_SECTORS_MAX);
	store_le32(space + CONFIG_OFFSET(max_discard_seg), BLK_RANGES_MAX);
	store_le32(space + CONFIG_OFFSET(discard_sector_alignment),
	           (uint32_t)max_u64(geometry->discard_granularity_bytes / BLK_SECTOR_BYTES, 1));
	store_le32(space + CONFIG_OFFSET(max_write_zeroes_sectors), BLK_ZEROES_SECTORS_MAX);
	store_le32(space + CONFIG_OFFSET(max_write_zeroes_seg), 1);
	space[CONFIG_OFFSET(write_zeroes_may_unmap)] = blk->discards;
	memcpy(blk->vdev.config, space, CONFIG_BYTES);
	set_cached(blk, blk->cache_default);
}

static void name_metrics(struct virtio_blk *blk)
{
	static const char *const names[BLK_METRIC_COUNT] = {
		[BLK_READS] = "reads",
		[BLK_READ_BYTES] = "bytes_read",
		[BLK_WRITES] = "writes",
		[BLK_WRITE_BYTES] = "bytes_written",
		[BLK_FLUSHES] = "flushes",
		[BLK_DISCARDS] = "discards",
		[BLK_DISCARD_BYTES] = "bytes_discarded",
		[BLK_ZEROINGS] = "write_zeroes",
		[BLK_ZEROING_BYTES] = "bytes_zeroed",
		[BLK_HOST_ERRORS] = "host_errors",
		[BLK_REFUSED] = "requests_refused",
		[BLK_IN_FLIGHT_MAX] = "in_flight_max",
		[BLK_DISK_SYSCALLS] = "disk_syscalls",
		[BLK_INTERRUPTS] = "interrupts",
	};

	for (size_t i = 0; i < BLK_METRIC_COUNT; i++)
		blk->metrics[i].name = names[i];
}

static int init_device(struct virtio_blk *blk, struct vm *vm, const struct device_config *config,
                       struct error *err)
{
	struct virtio_device_setup setup = {
		.info = &blk->info,
		.ops = &blk_ops,
		.loop = vm->io_loop,
		.offered_features = offered_features(blk),
	};
	int ret;

	for (unsigned int i = 0; i < BLK_QUEUES_MAX; i++)
		blk->queue_sizes[i] = BLK_QUEUE_SIZE;
	blk->info = (struct virtio_device_info){
		.device_id = VIRTIO_ID_BLOCK,
		.device_features = setup.offered_features,
		.queue_count = (uint16_t)blk->queue_count,
		.queue_size_max = blk->queue_sizes,
		.config_size_bytes = CONFIG_BYTES,
	};
	fill_config(blk);
	ret = virtio_device_init(&blk->vdev, vm, config, &setup, err);
	if (ret)
		return ret;
	name_metrics(blk);
	blk->vdev.device.metrics = blk->metrics;
	blk->vdev.device.metric_count = BLK_METRIC_COUNT;
	return 0;
}

static void say_what_it_is(const struct virtio_blk *blk, const struct device_config *config)
{
	struct log *log = blk->vdev.device.vm->log;
	const int why = disk_why_no_ring(blk->disk);

	log_info(log, "%s: %s, %llu bytes%s, %u queue(s)", config->id,
	         device_config_string(config, "path"),
	         (unsigned long long)disk_geometry(blk->disk)->size_bytes,
	         blk->readonly ? ", read-only" : "", blk->queue_count);
	if (why)
		log_info(log, "%s: a system call a request, which others wait for: no io_uring: %s",
		         config->id, strerrordesc_np(-why));
}

static int blk_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                      struct error *err)
{
	const char *cache = device_config_string(config, "cache");
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return error_set_errno(err, -ENOMEM, "state");
	blk->readonly = device_config_bool(config, "readonly");
	blk->cache_default = !cache || strcmp(cache, "writethrough") != 0;
	blk->queue_count = choose_queues(vm, config);
	ret = blk_queues_create(blk, vm);
	if (ret)
		error_set_errno(err, ret, "requests");
	if (!ret)
		ret = choose_serial(blk, config, err);
	if (!ret)
		ret = open_disk(blk, vm, config, err);
	if (!ret) {
		blk->discards = disk_geometry(blk->disk)->can_discard && !blk->readonly &&
		                device_config_bool(config, "discard");
		ret = init_device(blk, vm, config, err);
	}
	if (ret) {
		blk_destroy(&blk->vdev.device);
		return ret;
	}
	say_what_it_is(blk, config);
	*ret_device = &blk->vdev.device;
	return 0;
}

static const char *const caches[] = { "writeback", "writethrough", NULL };

static const struct device_option blk_options[] = {
	{ .key = "path",
	  .help = "a raw image or a block device",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "FILE" },
	{ .key = "readonly",
	  .help = "the guest cannot write to it, and others may read it too",
	  .type = DEVICE_OPTION_BOOL },
	{ .key = "direct",
	  .help = "past the host's page cache (O_DIRECT)",
	  .type = DEVICE_OPTION_BOOL },
	{ .key = "queues",
	  .help = "1 to 16",
	  .type = DEVICE_OPTION_UINT,
	  .default_value = 1,
	  .min = 1,
	  .max = BLK_QUEUES_MAX,
	  .default_text = "one a vCPU, up to 8" },
	{ .key = "serial",
	  .help = "what the guest knows it by, up to 20 characters",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "TEXT",
	  .default_text = "the id" },
	{ .key = "discard",
	  .help = "what the guest discards is the host's again",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = 1 },
	{ .key = "cache",
	  .help = "writeback: what is written lasts once it is flushed; writethrough: at once",
	  .type = DEVICE_OPTION_STRING,
	  .choices = caches,
	  .value_text = "writeback|writethrough",
	  .default_text = "writeback" },
};

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.help = "a disk",
	.option = "disk",
	.short_option = 'd',
	.positional = "path",
	.id_prefix = "disk",
	.options = blk_options,
	.option_count = ARRAY_SIZE(blk_options),
	.create = blk_create,
	.destroy = blk_destroy,
};
