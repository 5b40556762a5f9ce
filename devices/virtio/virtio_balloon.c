/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (VIRTIO 1.2, 5.5): its class, features, config space, life.
 *
 * DOC: the rooms behind it are virtio_balloon_pages.c (inflate, deflate, the batch),
 * virtio_balloon_report.c (free page reporting), virtio_balloon_hint.c (free page hinting),
 * virtio_balloon_stats.c (statistics), virtio_balloon_run.c and virtio_balloon_reclaim.c (reclaim
 * on command: what is decided, and what is done).
 *
 * Queues. Numbers follow the negotiated features, as Linux numbers them: 0 inflate, 1 deflate, then
 * statistics, hinting and reporting, each only if negotiated.
 *
 * Not offered: bit 6, which two proposals claim with different meanings.
 *
 * Threads: queues, timer and statistics on the reclaim loop; config_write on a vCPU's; balloon.h's
 * functions anywhere. What these share is under the device lock.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../device_table.h"
#include "ebb/vm.h"
#include "virtio_balloon_private.h"

static const uint16_t queue_sizes[ROLE_COUNT] = {
	BALLOON_QUEUE_SIZE, BALLOON_QUEUE_SIZE, BALLOON_QUEUE_SIZE,
	BALLOON_QUEUE_SIZE, BALLOON_QUEUE_SIZE,
};

#define BIT(bit) (UINT64_C(1) << (bit))

#define FEATURES \
	(BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) | BIT(VIRTIO_BALLOON_F_STATS_VQ) | \
	 BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | BIT(VIRTIO_BALLOON_F_REPORTING))

/* Config space ends behind the last field that there is; the queues are as many as can have a
 * role. */
#define INFO(more_features, queues, config_bytes) \
	{ \
		.device_id = VIRTIO_ID_BALLOON, .device_features = FEATURES | (more_features), \
		.queue_count = (queues), .queue_size_max = queue_sizes, \
		.config_size_bytes = (config_bytes), \
	}

/* By whether hinting and poison are offered. */
static const struct virtio_device_info infos[2][2] = {
	{
		INFO(0, ROLE_COUNT - 1, BALLOON_CONFIG_OFFSET(free_page_hint_cmd_id)),
		INFO(BIT(VIRTIO_BALLOON_F_PAGE_POISON), ROLE_COUNT - 1,
	             sizeof(struct virtio_balloon_config)),
	},
	{
		INFO(BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT), ROLE_COUNT,
	             BALLOON_CONFIG_OFFSET(poison_val)),
		INFO(BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT) | BIT(VIRTIO_BALLOON_F_PAGE_POISON),
	             ROLE_COUNT, sizeof(struct virtio_balloon_config)),
	},
};

/* --- decisions: pure --- */

static enum queue_role queue_role(uint64_t negotiated_features, unsigned int queue_index)
{
	static const struct {
		enum queue_role role;
		uint64_t feature; /* 0: always there */
	} order[] = {
		{ ROLE_INFLATE, 0 },
		{ ROLE_DEFLATE, 0 },
		{ ROLE_STATS, BIT(VIRTIO_BALLOON_F_STATS_VQ) },
		{ ROLE_HINTING, BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT) },
		{ ROLE_REPORTING, BIT(VIRTIO_BALLOON_F_REPORTING) },
	};
	unsigned int index = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (order[i].feature && !(negotiated_features & order[i].feature))
			continue;
		if (index++ == queue_index)
			return order[i].role;
	}
	return ROLE_NONE;
}

/* --- config space --- */

uint32_t balloon_config_load(const struct balloon *balloon, size_t offset)
{
	return load_le32(&balloon->vdev.config[offset]);
}

static void config_store(struct balloon *balloon, size_t offset, uint32_t value)
{
	store_le32(&balloon->vdev.config[offset], value);
}

/* Under the device lock. */
uint64_t balloon_actual_bytes(const struct balloon *balloon)
{
	uint64_t pages = balloon_config_load(balloon, BALLOON_CONFIG_OFFSET(actual));

	return min_u64(pages * PAGE_4K_BYTES, balloon->ram_bytes);
}

uint64_t balloon_ram_bytes(struct balloon *balloon)
{
	uint64_t ram_bytes;

	pthread_mutex_lock(&balloon->vdev.lock);
	ram_bytes = balloon->ram_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
	return ram_bytes;
}

/* Under the device lock. */
static void tell_actual(struct balloon *balloon)
{
	vm_emit(balloon->vdev.device.vm, VM_EVENT_BALLOON_CHANGE,
	        balloon->ram_bytes - balloon_actual_bytes(balloon));
}

/* The core has stored the bytes already; what is not the driver's to write is put back. */
static void balloon_config_write(struct virtio_device *vdev, size_t offset, size_t size_bytes)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	config_store(balloon, BALLOON_CONFIG_OFFSET(num_pages), balloon->asked_pages);
	config_store(balloon, BALLOON_CONFIG_OFFSET(free_page_hint_cmd_id), balloon->hint.shown_id);
	if (ranges_overlap(offset, size_bytes, BALLOON_CONFIG_OFFSET(actual), sizeof(uint32_t)))
		tell_actual(balloon);
}

/* Under the target lock. */
static void tell_num_pages(struct balloon *balloon, uint32_t pages)
{
	uint8_t num_pages[sizeof(uint32_t)];

	store_le32(num_pages, pages);
	virtio_config_update(&balloon->vdev, BALLOON_CONFIG_OFFSET(num_pages), num_pages,
	                     sizeof(num_pages));
}

/* The number of 4 KiB pages, rounded down, and never more than num_pages counts. */
static uint32_t to_pages(uint64_t bytes)
{
	return (uint32_t)min_u64(bytes / PAGE_4K_BYTES, UINT32_MAX);
}

static void set_target_pages(struct balloon *balloon, uint32_t pages)
{
	pthread_mutex_lock(&balloon->target_lock);
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->target_pages = balloon->asked_pages = pages;
	balloon->run.overruled = true;
	pthread_mutex_unlock(&balloon->vdev.lock);
	tell_num_pages(balloon, pages);
	pthread_mutex_unlock(&balloon->target_lock);
}

bool balloon_aim(struct balloon *balloon, uint64_t target_bytes)
{
	uint32_t pages = to_pages(target_bytes);
	bool may;

	pthread_mutex_lock(&balloon->target_lock);
	pthread_mutex_lock(&balloon->vdev.lock);
	may = !balloon->run.overruled;
	if (may)
		balloon->asked_pages = pages;
	pthread_mutex_unlock(&balloon->vdev.lock);
	if (may)
		tell_num_pages(balloon, pages);
	pthread_mutex_unlock(&balloon->target_lock);
	return may;
}

void balloon_aim_at_target(struct balloon *balloon)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->asked_pages = balloon->target_pages;
	config_store(balloon, BALLOON_CONFIG_OFFSET(num_pages), balloon->asked_pages);
	pthread_mutex_unlock(&balloon->vdev.lock);
}

uint32_t balloon_poison_value(struct balloon *balloon)
{
	uint32_t value = 0;

	pthread_mutex_lock(&balloon->vdev.lock);
	if (balloon->vdev.info->device_features & BIT(VIRTIO_BALLOON_F_PAGE_POISON))
		value = balloon_config_load(balloon, BALLOON_CONFIG_OFFSET(poison_val));
	pthread_mutex_unlock(&balloon->vdev.lock);
	return value;
}

/* --- queues --- */

void balloon_ask_for_another_turn(struct balloon *balloon, unsigned int queue_index)
{
	balloon->another_turn_queues |= 1u << queue_index;
	event_work_post(&balloon->another_turn);
}

static void run_another_turn(void *ctx)
{
	struct balloon *balloon = ctx;
	unsigned int queues = balloon->another_turn_queues;

	balloon->another_turn_queues = 0;
	for (unsigned int i = 0; i < ROLE_COUNT; i++)
		if (queues & 1u << i)
			virtio_queue_kicked(&balloon->vdev, i);
}

static void balloon_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);
	enum queue_role role = queue_role(vdev->driver_features, queue_index);

	if (role == ROLE_NONE)
		return;
	if (role == ROLE_STATS)
		balloon_serve_stats(balloon, queue_index);
	else if (role == ROLE_HINTING)
		balloon_serve_hints(balloon, queue_index);
	else
		balloon_serve_pages(balloon, role, queue_index);
}

/* --- life --- */

static int balloon_activate(struct virtio_device *vdev)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	balloon_start_deferring(balloon);
	balloon_auto_start(balloon);
	balloon_take_poison(balloon);
	event_work_post(&balloon->interval_changed);
	return 0;
}

/* What the driver said. */
static void forget_driver(struct balloon *balloon)
{
	bool had_pages;

	pthread_mutex_lock(&balloon->vdev.lock);
	had_pages = balloon_actual_bytes(balloon) > 0;
	config_store(balloon, BALLOON_CONFIG_OFFSET(actual), 0);
	config_store(balloon, BALLOON_CONFIG_OFFSET(poison_val), 0);
	balloon_forget_stats(balloon);
	if (had_pages)
		tell_actual(balloon);
	pthread_mutex_unlock(&balloon->vdev.lock);
}

/* The driver goes, and with it what it said: a page it gave and did not take back is its again as
 * soon as it touches it. */
static void balloon_deactivate(struct virtio_device *vdev)
{
	struct balloon *balloon = container_of(vdev, struct balloon, vdev);

	if (balloon->stats_timer)
		event_timer_cancel(balloon->stats_timer);
	balloon_auto_stop(balloon);
	balloon_stop_deferring(balloon);
	balloon_release_deferred(balloon);
	(void)reclaim_forget_all_deferred(vdev->device.vm->reclaim);
	event_work_cancel(&balloon->interval_changed);
	event_work_cancel(&balloon->another_turn);
	balloon->another_turn_queues = 0;
	balloon_run_driver_gone(balloon);
	balloon->stats_chain_held = false;
	balloon_hint_driver_gone(balloon);
	forget_driver(balloon);
	balloon_take_poison(balloon);
	balloon->poison_told = false;
}

static void balloon_reset(struct device *device)
{
	struct balloon *balloon = container_of(device, struct balloon, vdev.device);

	virtio_device_reset(device);
	forget_driver(balloon); /* it may have spoken before DRIVER_OK */
	set_target_pages(balloon, balloon->start_target_pages);
}

/* What is plugged the balloon may take too. Here and not where it is asked, as that is under the
 * device lock, below guest memory's. */
static void balloon_memory_changed(struct vm_listener *listener, enum vm_event event,
                                   uint64_t value)
{
	struct balloon *balloon = container_of(listener, struct balloon, listener);
	uint64_t ram_bytes;

	(void)value;
	if (event != VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE)
		return;
	ram_bytes = gmem_total_bytes(balloon->vdev.device.vm->memory);
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->ram_bytes = ram_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

static const struct virtio_device_ops balloon_ops = {
	.activate = balloon_activate,
	.deactivate = balloon_deactivate,
	.queue_notify = balloon_queue_notify,
	.config_write = balloon_config_write,
};

/* --- balloon.h --- */

/* Under the device lock. */
bool balloon_driver_ready(const struct balloon *balloon)
{
	uint8_t bits = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;

	return (balloon->vdev.status & bits) == VIRTIO_CONFIG_S_DRIVER_OK;
}

void balloon_query(struct balloon *balloon, struct balloon_status *ret_status)
{
	struct virtio_device *vdev = &balloon->vdev;

	pthread_mutex_lock(&vdev->lock);
	*ret_status = (struct balloon_status){
		.target_bytes = balloon->target_pages * PAGE_4K_BYTES,
		.actual_bytes = balloon_actual_bytes(balloon),
		.negotiated_features = balloon_driver_ready(balloon) ? vdev->driver_features : 0,
		.driver_ready = balloon_driver_ready(balloon),
		.poison_value = balloon_config_load(balloon, BALLOON_CONFIG_OFFSET(poison_val)),
		.stats_updated_ns = balloon->stats_updated_ns,
		.stats_interval_s = balloon->stats_interval_s,
		.hint = balloon->hint.status,
	};
	memcpy(ret_status->stats, balloon->stats, sizeof(balloon->stats));
	pthread_mutex_unlock(&vdev->lock);
}

static int check_target(uint64_t ram_bytes, uint64_t target_bytes, struct error *err)
{
	if (target_bytes < ram_bytes)
		return 0;
	return error_set(err, -EINVAL,
	                 "target %llu MiB: all of the guest's memory (give less than %llu MiB)",
	                 (unsigned long long)(target_bytes / MIB),
	                 (unsigned long long)(ram_bytes / MIB));
}

int balloon_set_target(struct balloon *balloon, uint64_t target_bytes, struct error *err)
{
	int r = check_target(balloon_ram_bytes(balloon), target_bytes, err);

	if (r < 0)
		return r;
	set_target_pages(balloon, to_pages(target_bytes));
	return 0;
}

const char *balloon_feature_name(unsigned int bit)
{
	static const char *const names[] = {
		[VIRTIO_BALLOON_F_MUST_TELL_HOST] = "must-tell-host",
		[VIRTIO_BALLOON_F_STATS_VQ] = "stats",
		[VIRTIO_BALLOON_F_DEFLATE_ON_OOM] = "deflate-on-oom",
		[VIRTIO_BALLOON_F_FREE_PAGE_HINT] = "free-page-hint",
		[VIRTIO_BALLOON_F_PAGE_POISON] = "page-poison",
		[VIRTIO_BALLOON_F_REPORTING] = "free-page-reporting",
	};

	return bit < ARRAY_SIZE(names) ? names[bit] : NULL;
}

/* --- the class --- */

static void balloon_destroy(struct device *device)
{
	struct balloon *balloon;

	if (!device)
		return;
	balloon = container_of(device, struct balloon, vdev.device);
	device->vm->balloon = NULL;
	vm_unlisten(&balloon->listener);
	/* Before the lock that it takes goes; only a driver posts it from now on, and deactivate
	 * ends that. */
	event_work_cancel(&balloon->interval_changed);
	event_work_cancel(&balloon->release_changed);
	balloon_run_fini(balloon);
	pressure_watch_destroy(balloon->pressure);
	balloon->pressure = NULL;
	if (balloon->pressure_fd >= 0)
		close(balloon->pressure_fd);
	virtio_device_fini(&balloon->vdev);
	balloon_hint_fini(balloon);
	event_timer_destroy(balloon->stats_timer);
	pthread_mutex_destroy(&balloon->target_lock);
	free(balloon);
}

static uint64_t offered_features(const struct device_config *config)
{
	uint64_t features = BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) | BIT(VIRTIO_BALLOON_F_STATS_VQ);

	if (device_config_bool(config, "deflate-on-oom"))
		features |= BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (device_config_bool(config, "page-poison"))
		features |= BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	if (device_config_bool(config, "free-page-hint"))
		features |= BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	if (device_config_bool(config, "free-page-reporting"))
		features |= BIT(VIRTIO_BALLOON_F_REPORTING);
	return features;
}

static int balloon_create(struct vm *vm, const struct device_config *config,
                          struct device **ret_device, struct error *err)
{
	uint64_t target_bytes = device_config_number(config, "target");
	const struct virtio_device_setup setup = {
		.info = &infos[device_config_bool(config, "free-page-hint")]
		              [device_config_bool(config, "page-poison")],
		.ops = &balloon_ops,
		.loop = vm->reclaim_loop,
		.offered_features = offered_features(config),
	};
	struct balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return error_set_errno(err, -ENOMEM, "state");
	balloon->ram_bytes = gmem_total_bytes(vm->memory);
	balloon->start_target_pages = to_pages(target_bytes);
	balloon->target_pages = balloon->asked_pages = balloon->start_target_pages;
	balloon->stats_interval_s = device_config_number(config, "stats-interval");
	balloon_forget_stats(balloon);
	pthread_mutex_init(&balloon->target_lock, NULL);
	balloon_hint_init(balloon, vm);
	event_work_init(&balloon->interval_changed, vm->reclaim_loop, balloon_apply_stats_interval,
	                balloon);
	balloon->release.hold_ns = BALLOON_HOLD_NS;
	if (device_config_bool(config, "auto"))
		balloon->auto_look.wanted_idle_ns =
			(int64_t)device_config_number(config, "auto-idle") * NS_PER_S;
	event_work_init(&balloon->release_changed, vm->reclaim_loop, balloon_release_deferred,
	                balloon);
	balloon_run_init(balloon, vm->reclaim_loop);
	event_work_init(&balloon->another_turn, vm->reclaim_loop, run_another_turn, balloon);
	r = check_target(balloon->ram_bytes, target_bytes, err);
	if (!r && device_config_bool(config, "lazy"))
		r = reclaim_set_lazy(vm->reclaim, true, err);
	if (r < 0)
		goto free_balloon;
	r = virtio_device_init(&balloon->vdev, vm, config, &setup, err);
	if (r < 0)
		goto free_balloon;
	balloon->pressure_fd = vm->config->sandbox ? pressure_open() : -1;
	config_store(balloon, BALLOON_CONFIG_OFFSET(num_pages), balloon->target_pages);
	balloon->vdev.device.reset = balloon_reset;
	balloon->listener.event = balloon_memory_changed;
	vm_listen(vm, &balloon->listener);
	vm->balloon = balloon;
	*ret_device = &balloon->vdev.device;
	return 0;

free_balloon:
	pthread_mutex_destroy(&balloon->target_lock);
	free(balloon);
	return r;
}

static const struct device_option balloon_options[] = {
	{ .key = "free-page-reporting",
	  .help = "the guest reports free pages and they are released",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "free-page-hint",
	  .help = "the guest can be asked for free pages (x-ebb-free-page-hint); those that it "
	          "provably did not use since are released",
	  .type = DEVICE_OPTION_BOOL },
	{ .key = "page-poison",
	  .help = "let guests that poison free pages say so (they report nothing otherwise)",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "deflate-on-oom",
	  .help = "the guest may take pages back before it runs out of memory",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = true },
	{ .key = "lazy",
	  .help = "what the guest gives is taken when the host needs it, not before",
	  .type = DEVICE_OPTION_BOOL },
	{ .key = "auto",
	  .help = "do what ebb reclaim does when the guest has been idle",
	  .type = DEVICE_OPTION_BOOL },
	{ .key = "auto-idle",
	  .help = "seconds that it has to be",
	  .type = DEVICE_OPTION_UINT,
	  .default_value = 30,
	  .min = 5,
	  .max = 86400 },
	{ .key = "target",
	  .help = "memory that the balloon takes from the start",
	  .type = DEVICE_OPTION_SIZE },
	{ .key = "stats-interval",
	  .help = "seconds between the guest's memory statistics; 0: none",
	  .type = DEVICE_OPTION_UINT,
	  .max = STATS_INTERVAL_MAX_S },
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.help = "memory balloon: takes memory from the guest and returns what it does not use",
	.option = "balloon",
	.on_by_default = true,
	.options = balloon_options,
	.option_count = ARRAY_SIZE(balloon_options),
	.create = balloon_create,
	.destroy = balloon_destroy,
};
