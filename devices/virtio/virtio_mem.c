/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem (VIRTIO 1.2, 5.15): its class, config space, life, and what memory_device.h asks.
 *
 * DOC: a region of guest-physical addresses, in blocks that the driver plugs and unplugs by
 * request, within what the user asks for. The rooms behind it are virtio_mem_request.c (what a
 * request says and what the answer is) and virtio_mem_batch.c (requests of a turn, their effect).
 * What is plugged, guest memory's area says alone; plugged_size in config space follows it.
 *
 * Sizes. requested_size is the user's; a VM reset keeps it, for a guest that was shrunk has no more
 * after a reboot than before. usable_region_size is requested_size and some room, grows with it,
 * and shrinks when a driver unplugged all or the VM was reset, never else (5.15.4). A driver that
 * was asked for less may keep what it has; it gets no more (NACK). Changes of requested_size are
 * told even where it stays the same: Linux, which tries anew what failed only after 50 s and more,
 * does so at once then.
 *
 * Life. A driver's reset changes nothing that is plugged (5.15.5); the VM's unplugs all. While the
 * VM is paused no vCPU asks for anything; what was asked before is still answered.
 *
 * Enforced. UNPLUGGED_INACCESSIBLE is offered, and features without it are refused: such a driver
 * (Linux before 5.16) would have to be let read what is not plugged (5.15.6), which takes memory.
 * The region lies on the bus as registers that read as all-ones and ignore writes; memory slots,
 * which cover what is plugged, come before it. Who gets there touched a block that is not plugged:
 * that is counted, with block and vCPU.
 *
 * Not offered: PERSISTENT_SUSPEND, for there is no suspended state to wake up from.
 *
 * Threads: queue and requests on the reclaim loop, touches on vCPUs', the rest on any.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../device_table.h"
#include "ebb/bus.h"
#include "ebb/device_memory.h"
#include "ebb/memslot.h"
#include "ebb/numa.h"
#include "ebb/vcpu.h"
#include "virtio_mem_private.h"

#define BIT(bit) (UINT64_C(1) << (bit))

static const uint16_t queue_sizes[] = { MEM_REQUESTS_MAX };

static const struct virtio_device_info mem_info = {
	.device_id = VIRTIO_ID_MEM,
	.device_features = BIT(VIRTIO_MEM_F_ACPI_PXM) | BIT(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE),
	.queue_count = ARRAY_SIZE(queue_sizes),
	.queue_size_max = queue_sizes,
	.config_size_bytes = sizeof(struct virtio_mem_config),
};

/* --- config space --- */

static uint64_t config_load(const struct memory_device *device, size_t offset)
{
	return load_le64(&device->vdev.config[offset]);
}

void mem_query_limits(struct memory_device *device, struct mem_limits *ret_limits)
{
	pthread_mutex_lock(&device->vdev.lock);
	*ret_limits = (struct mem_limits){
		.gpa = device->gpa,
		.block_bytes = device->block_bytes,
		.usable_bytes = config_load(device, MEM_CONFIG_OFFSET(usable_region_size)),
		.requested_bytes = config_load(device, MEM_CONFIG_OFFSET(requested_size)),
		.plugged_bytes = config_load(device, MEM_CONFIG_OFFSET(plugged_size)),
	};
	pthread_mutex_unlock(&device->vdev.lock);
}

static uint64_t usable_for(const struct memory_device *device, uint64_t requested_bytes)
{
	return mem_usable_bytes(requested_bytes, device->region_bytes, device->block_bytes,
	                        device->boot_bytes);
}

/* The driver is not told. */
static void config_store(struct memory_device *device, size_t offset, uint64_t value)
{
	uint8_t bytes[sizeof(uint64_t)];

	store_le64(bytes, value);
	virtio_config_store(&device->vdev, offset, bytes, sizeof(bytes));
}

void mem_publish_plugged(struct memory_device *device)
{
	uint64_t plugged_bytes = gmem_area_plugged_bytes(device->area);
	struct mem_limits before;

	pthread_mutex_lock(&device->size_lock);
	mem_query_limits(device, &before);
	config_store(device, MEM_CONFIG_OFFSET(plugged_size), plugged_bytes);
	pthread_mutex_unlock(&device->size_lock);
	if (plugged_bytes == before.plugged_bytes)
		return;
	if (plugged_bytes > before.plugged_bytes)
		metric_add(&device->metrics[MEM_METRIC_PLUGGED_BYTES].counter,
		           plugged_bytes - before.plugged_bytes);
	else
		metric_add(&device->metrics[MEM_METRIC_UNPLUGGED_BYTES].counter,
		           before.plugged_bytes - plugged_bytes);
	vm_emit(device->vdev.device.vm, VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, plugged_bytes);
}

void mem_shrink_usable(struct memory_device *device)
{
	struct mem_limits limits;

	pthread_mutex_lock(&device->size_lock);
	mem_query_limits(device, &limits);
	config_store(device, MEM_CONFIG_OFFSET(usable_region_size),
	             usable_for(device, limits.requested_bytes));
	pthread_mutex_unlock(&device->size_lock);
}

static void set_requested(struct memory_device *device, uint64_t requested_bytes)
{
	const size_t first = MEM_CONFIG_OFFSET(usable_region_size);
	uint8_t sizes[sizeof(struct virtio_mem_config) - MEM_CONFIG_OFFSET(usable_region_size)];
	struct mem_limits limits;

	pthread_mutex_lock(&device->size_lock);
	mem_query_limits(device, &limits);
	store_le64(sizes, max_u64(limits.usable_bytes, usable_for(device, requested_bytes)));
	store_le64(&sizes[MEM_CONFIG_OFFSET(plugged_size) - first], limits.plugged_bytes);
	store_le64(&sizes[MEM_CONFIG_OFFSET(requested_size) - first], requested_bytes);
	virtio_config_update(&device->vdev, first, sizes, sizeof(sizes));
	pthread_mutex_unlock(&device->size_lock);
}

static void fill_config(struct memory_device *device)
{
	uint8_t *config = device->vdev.config;

	store_le64(config + MEM_CONFIG_OFFSET(block_size), device->block_bytes);
	store_le16(config + MEM_CONFIG_OFFSET(node_id), (uint16_t)device->node);
	store_le64(config + MEM_CONFIG_OFFSET(addr), device->gpa);
	store_le64(config + MEM_CONFIG_OFFSET(region_size), device->region_bytes);
}

/* --- what is not plugged --- */

/* Guest-controlled: offset. On a vCPU's thread. */
static void note_touch(struct memory_device *device, uint64_t offset, bool is_write)
{
	struct device *common = &device->vdev.device;
	const struct vcpu *vcpu = vcpu_current(common->vm);
	uint64_t block = offset / device->block_bytes;
	unsigned int vcpu_index = vcpu ? vcpu->index : 0;

	pthread_mutex_lock(&device->vdev.lock);
	device->touched_block = block;
	device->touched_vcpu = vcpu_index;
	metric_increment(&device->metrics[MEM_METRIC_UNPLUGGED_TOUCHES].counter);
	pthread_mutex_unlock(&device->vdev.lock);
	log_message_limited(common->vm->log, &device->touch_limit, LOG_WARN,
	                    "%s: vCPU %u %s block %llu at %#llx, which is not plugged", common->id,
	                    vcpu_index, is_write ? "wrote to" : "read from",
	                    (unsigned long long)block, (unsigned long long)(device->gpa + offset));
}

static void read_unplugged(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	memset(data, 0xff, size_bytes);
	note_touch(ctx, offset, false);
}

static void write_unplugged(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)data;
	(void)size_bytes;
	note_touch(ctx, offset, true);
}

static const struct bus_ops unplugged_ops = { .read = read_unplugged, .write = write_unplugged };

/* --- life --- */

static bool mem_features_ok(const struct virtio_device *vdev, uint64_t driver_features)
{
	struct memory_device *device = memory_device_of(vdev);

	if (driver_features & BIT(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE))
		return true;
	log_message_limited(vdev->device.vm->log, &device->refuse_limit, LOG_WARN,
	                    "%s: refused a driver that does not promise to keep off unplugged "
	                    "memory (VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE; Linux has it since 5.16)",
	                    vdev->device.id);
	return false;
}

static void mem_deactivate(struct virtio_device *vdev)
{
	struct memory_device *device = memory_device_of(vdev);

	event_work_cancel(&device->carry_out);
	mem_forget_requests(device);
}

static void mem_reset(struct device *common)
{
	struct memory_device *device = container_of(common, struct memory_device, vdev.device);
	uint64_t left_bytes;
	int r;

	virtio_device_reset(common);
	r = mem_unplug_all(device);
	mem_publish_plugged(device);
	/* What failed may be the release alone, of blocks that are unplugged for good. */
	left_bytes = gmem_area_plugged_bytes(device->area);
	if (left_bytes)
		log_warn(common->vm->log, "%s: reset: %llu MiB stay plugged: %s", common->id,
		         (unsigned long long)(left_bytes / MIB), strerrordesc_np(-r));
	else
		mem_shrink_usable(device);
}

static const struct virtio_device_ops mem_ops = {
	.deactivate = mem_deactivate,
	.queue_notify = mem_queue_notify,
	.features_ok = mem_features_ok,
};

/* --- memory_device.h --- */

static struct memory_device *device_at(struct list *node)
{
	struct device *common = container_of(node, struct device, node);

	return common->class == &virtio_mem_class
	               ? container_of(common, struct memory_device, vdev.device)
	               : NULL;
}

struct memory_device *memory_device_next(struct vm *vm, const struct memory_device *device)
{
	bool is_behind = !device;

	list_for_each (node, &vm->devices) {
		struct memory_device *found = device_at(node);

		if (found && is_behind)
			return found;
		is_behind |= found == device;
	}
	return NULL;
}

struct memory_device *memory_device_find(struct vm *vm, const char *id)
{
	list_for_each (node, &vm->devices) {
		struct memory_device *found = device_at(node);

		if (found && !strcmp(found->vdev.device.id, id))
			return found;
	}
	return NULL;
}

void memory_device_query(const struct memory_device *device,
                         struct memory_device_status *ret_status)
{
	struct memslots *memslots = device->vdev.device.vm->memslots;
	struct memory_device *mutable = memory_device_of(&device->vdev);
	const uint8_t bits = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;
	struct memory_device_status status = {
		.gpa = device->gpa,
		.node = device->node,
		.block_bytes = device->block_bytes,
		.region_bytes = device->region_bytes,
	};

	if (memslots)
		status.slots = memslots_count(memslots, device->gpa, device->region_bytes);
	memcpy(status.id, device->vdev.device.id, sizeof(status.id));
	pthread_mutex_lock(&mutable->vdev.lock);
	status.usable_bytes = config_load(device, MEM_CONFIG_OFFSET(usable_region_size));
	status.requested_bytes = config_load(device, MEM_CONFIG_OFFSET(requested_size));
	status.plugged_bytes = config_load(device, MEM_CONFIG_OFFSET(plugged_size));
	status.driver_ready = (device->vdev.status & bits) == VIRTIO_CONFIG_S_DRIVER_OK;
	status.negotiated_features = status.driver_ready ? device->vdev.driver_features : 0;
	status.touches = metric_read(&device->metrics[MEM_METRIC_UNPLUGGED_TOUCHES].counter);
	status.touched_block = device->touched_block;
	status.touched_vcpu = device->touched_vcpu;
	pthread_mutex_unlock(&mutable->vdev.lock);
	for (size_t i = 0; i < MEMORY_DEVICE_REQUEST_COUNT; i++)
		for (size_t j = 0; j < MEMORY_DEVICE_ANSWER_COUNT; j++)
			status.answers[i][j] = metric_read(&device->answers[i][j]);
	*ret_status = status;
}

int memory_device_set_requested(struct memory_device *device, uint64_t requested_bytes,
                                struct error *err)
{
	if (requested_bytes > device->region_bytes)
		return error_set(
			err, -EINVAL, "%s: %llu MiB: more than its region (give %llu MiB or less)",
			device->vdev.device.id, (unsigned long long)(requested_bytes / MIB),
			(unsigned long long)(device->region_bytes / MIB));
	if (!is_aligned(requested_bytes, device->block_bytes))
		return error_set(err, -EINVAL,
		                 "%s: %llu bytes: not in blocks (give a multiple of %llu MiB)",
		                 device->vdev.device.id, (unsigned long long)requested_bytes,
		                 (unsigned long long)(device->block_bytes / MIB));
	set_requested(device, requested_bytes);
	return 0;
}

/* --- the class --- */

/* Where it lies, from the layout of the whole configuration. */
static int find_region(struct memory_device *device, struct vm *vm,
                       const struct device_config *config, struct error *err)
{
	struct device_memory_layout layout;
	const struct device_memory_range *range;
	int r = device_memory_layout(vm->config, &layout, err);

	if (r < 0)
		return r;
	range = device_memory_find(&layout, config);
	if (!range)
		return error_set(err, -EINVAL, "it has no place in the machine's addresses");
	device->gpa = range->gpa;
	device->region_bytes = range->size_bytes;
	device->node = range->node;
	device->block_bytes = device_config_number(config, "block-size");
	device->boot_bytes = vm->config->memory.size_bytes;
	return 0;
}

static void mem_destroy(struct device *common)
{
	struct memory_device *device;

	if (!common)
		return;
	device = container_of(common, struct memory_device, vdev.device);
	virtio_device_fini(&device->vdev);
	if (device->has_registers)
		bus_remove(common->vm->mmio, device->gpa);
	gmem_remove_area(device->area);
	if (device->batch)
		munmap(device->batch, sizeof(*device->batch));
	pthread_mutex_destroy(&device->size_lock);
	free(device);
}

static int map_batch(struct memory_device *device, struct error *err)
{
	void *batch = mmap(NULL, sizeof(*device->batch), PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (batch == MAP_FAILED)
		return error_set_errno(err, -errno, "state");
	device->batch = batch;
	return 0;
}

static int set_up(struct memory_device *device, struct vm *vm, const struct device_config *config,
                  struct error *err)
{
	const struct virtio_device_setup setup = {
		.info = &mem_info,
		.ops = &mem_ops,
		.loop = vm->reclaim_loop,
		.offered_features = mem_info.device_features,
	};
	struct gmem_backing backing;
	int r = find_region(device, vm, config, err);

	if (!r)
		r = map_batch(device, err);
	if (r < 0)
		return r;
	backing = numa_backing(vm->config, device->node);
	r = gmem_add_area(
		vm->memory,
		&(struct gmem_extent){ device->gpa, device->region_bytes, device->block_bytes },
		&backing, &device->area, err);
	if (r < 0)
		return r;
	r = bus_add(vm->mmio, device->gpa, device->region_bytes, &unplugged_ops, device,
	            "unplugged memory");
	if (r < 0)
		return error_set_errno(err, r, "its region of addresses");
	device->has_registers = true;
	r = virtio_device_init(&device->vdev, vm, config, &setup, err);
	if (r < 0)
		return r;
	fill_config(device);
	return memory_device_set_requested(device, device_config_number(config, "requested-size"),
	                                   err);
}

static int mem_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                      struct error *err)
{
	static const char *const metric_names[MEM_METRIC_COUNT] = {
		[MEM_METRIC_PLUGGED_BYTES] = "bytes_plugged",
		[MEM_METRIC_UNPLUGGED_BYTES] = "bytes_unplugged",
		[MEM_METRIC_UNPLUGGED_TOUCHES] = "unplugged_touches",
	};
	struct memory_device *device = calloc(1, sizeof(*device));
	int r;

	if (!device)
		return error_set_errno(err, -ENOMEM, "state");
	device_init(&device->vdev.device, vm, config);
	pthread_mutex_init(&device->size_lock, NULL);
	event_work_init(&device->carry_out, vm->reclaim_loop, mem_carry_out, device);
	r = set_up(device, vm, config, err);
	if (r < 0) {
		mem_destroy(&device->vdev.device);
		return r;
	}
	for (size_t i = 0; i < MEM_METRIC_COUNT; i++)
		device->metrics[i].name = metric_names[i];
	device->vdev.device.metrics = device->metrics;
	device->vdev.device.metric_count = MEM_METRIC_COUNT;
	device->vdev.device.reset = mem_reset;
	*ret_device = &device->vdev.device;
	return 0;
}

static const struct device_option mem_options[] = {
	{ .key = "size",
	  .help = "the most that the guest can get from it",
	  .type = DEVICE_OPTION_SIZE,
	  .min = PAGE_2M_BYTES },
	{ .key = "requested-size",
	  .help = "how much it is to get from the start; ebb mem changes it",
	  .type = DEVICE_OPTION_SIZE },
	{ .key = "block-size",
	  .help = "what is plugged and unplugged at least: a power of two; with hugetlb no less "
	          "than its page",
	  .type = DEVICE_OPTION_SIZE,
	  .default_value = PAGE_2M_BYTES },
	{ .key = "node",
	  .help = "NUMA node that its memory belongs to",
	  .type = DEVICE_OPTION_UINT,
	  .max = NUMA_NODES_MAX - 1 },
};

const struct device_class virtio_mem_class = {
	.name = "virtio-mem",
	.help = "memory that the guest plugs and unplugs while it runs",
	.option = "virtio-mem",
	.id_prefix = "vm",
	.is_memory = true,
	.options = mem_options,
	.option_count = ARRAY_SIZE(mem_options),
	.create = mem_create,
	.destroy = mem_destroy,
};
