/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broken descriptor chains against every queue of every virtio device (VIRTIO 1.2, sections 2.7.5
 * and 2.1.2).
 *
 * The device may answer, ignore or ask for a reset, in any order it likes: what counts is that it
 * neither hangs nor touches memory it was not given, and that it works after a reset.
 *
 * device=N: those of one type alone.
 */
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define RING_SIZE     8
#define BUFFER_BYTES  PAGE_SIZE
#define GUARD_PATTERN 0x6a6a6a6a6a6a6a6aull
#define OUTSIDE_GPA   0x7ffffffff000ull
#define HOLE_GPA      0xfd000000 /* no RAM below 4 GiB is there on any machine we run on */
#define SETTLE_MS     3

struct arena {
	uint64_t guard_before_gpa, buffer_gpa, guard_after_gpa; /* one page each */
	struct vring_desc *table;                               /* for indirect chains: one page */
};

struct hostile_case {
	const char *name;
	void (*build)(struct virtqueue *vq, const struct arena *arena);
	bool indirect; /* needs VIRTIO_RING_F_INDIRECT_DESC */
};

static void set(struct vring_desc *descriptor, uint64_t gpa, uint32_t size_bytes,
                unsigned int flags, unsigned int next)
{
	*descriptor = (struct vring_desc){ gpa, size_bytes, (uint16_t)flags, (uint16_t)next };
}

static void build_self_loop(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, VRING_DESC_F_NEXT, 0);
	virtq_add_head(vq, 0);
}

static void build_loop(struct virtqueue *vq, const struct arena *arena)
{
	unsigned int i;

	for (i = 0; i < vq->size; i++)
		set(&vq->descriptors[i], arena->buffer_gpa, 4, VRING_DESC_F_NEXT,
		    (i + 1) % vq->size);
	virtq_add_head(vq, 0);
}

static void build_outside(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], OUTSIDE_GPA, BUFFER_BYTES, 0, 0);
	virtq_add_head(vq, 0);
}

static void build_outside_writable(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], OUTSIDE_GPA, BUFFER_BYTES, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

static void build_hole(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], HOLE_GPA, BUFFER_BYTES, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

static void build_wrapping(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], 0ull - BUFFER_BYTES, 2 * BUFFER_BYTES, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

/* Starts in RAM and ends behind its last byte. */
static void build_past_ram(struct virtqueue *vq, const struct arena *arena)
{
	const struct memory_map_entry *last = NULL;
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++)
		if (boot_info.memory_map[i].type == MEMORY_MAP_RAM &&
		    (!last || boot_info.memory_map[i].gpa > last->gpa))
			last = &boot_info.memory_map[i];
	set(&vq->descriptors[0], last ? last->gpa + last->size_bytes - BUFFER_BYTES : OUTSIDE_GPA,
	    0x80000000, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

static void build_zero_length(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 0, 0, 0);
	virtq_add_head(vq, 0);
}

static void build_zero_length_writable(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 0, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

static void build_odd_length(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa + 1, 3, 0, 0);
	virtq_add_head(vq, 0);
}

static void build_next_outside_ring(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, VRING_DESC_F_NEXT, vq->size);
	virtq_add_head(vq, 0);
}

static void build_head_outside_ring(struct virtqueue *vq, const struct arena *arena)
{
	virtq_add_head(vq, vq->size);
}

static void build_wild_head(struct virtqueue *vq, const struct arena *arena)
{
	virtq_add_head(vq, 0xffff);
}

static void build_writable_first(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	set(&vq->descriptors[1], arena->buffer_gpa + 64, 4, 0, 0);
	virtq_add_head(vq, 0);
}

static void build_length_overflow(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	set(&vq->descriptors[1], arena->buffer_gpa, 0xffffffff,
	    VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
	set(&vq->descriptors[2], arena->buffer_gpa, 0xffffffff, VRING_DESC_F_WRITE, 0);
	virtq_add_head(vq, 0);
}

static void build_index_jump(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, 0, 0);
	vq->available_index = (uint16_t)(vq->available_index + vq->size + 1);
}

static void build_index_backwards(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], arena->buffer_gpa, 4, 0, 0);
	vq->available_index--;
}

static void add_indirect(struct virtqueue *vq, const struct arena *arena, uint32_t size_bytes,
                         unsigned int more_flags)
{
	set(&vq->descriptors[0], (uintptr_t)arena->table, size_bytes,
	    VRING_DESC_F_INDIRECT | more_flags, 1);
	set(&vq->descriptors[1], arena->buffer_gpa, 4, 0, 0);
	virtq_add_head(vq, 0);
}

static void build_nested_indirect(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], (uintptr_t)&arena->table[1], 16, VRING_DESC_F_INDIRECT, 0);
	set(&arena->table[1], arena->buffer_gpa, 4, 0, 0);
	add_indirect(vq, arena, 16, 0);
}

static void build_indirect_loop(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], arena->buffer_gpa, 4, VRING_DESC_F_NEXT, 1);
	set(&arena->table[1], arena->buffer_gpa, 4, VRING_DESC_F_NEXT, 0);
	add_indirect(vq, arena, 32, 0);
}

static void build_indirect_next_outside(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], arena->buffer_gpa, 4, VRING_DESC_F_NEXT, 100);
	add_indirect(vq, arena, 32, 0);
}

static void build_indirect_odd_length(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], arena->buffer_gpa, 4, 0, 0);
	add_indirect(vq, arena, 17, 0);
}

static void build_indirect_empty(struct virtqueue *vq, const struct arena *arena)
{
	add_indirect(vq, arena, 0, 0);
}

static void build_indirect_huge(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], arena->buffer_gpa, 4, 0, 0);
	add_indirect(vq, arena, 0xfffffff0, 0);
}

static void build_indirect_outside(struct virtqueue *vq, const struct arena *arena)
{
	set(&vq->descriptors[0], OUTSIDE_GPA, 32, VRING_DESC_F_INDIRECT, 0);
	virtq_add_head(vq, 0);
}

static void build_indirect_and_next(struct virtqueue *vq, const struct arena *arena)
{
	set(&arena->table[0], arena->buffer_gpa, 4, 0, 0);
	add_indirect(vq, arena, 16, VRING_DESC_F_NEXT);
}

static const struct hostile_case hostile_cases[] = {
	{ "descriptor that is its own next", build_self_loop, false },
	{ "loop through the ring", build_loop, false },
	{ "address outside RAM", build_outside, false },
	{ "address outside RAM, writable", build_outside_writable, false },
	{ "address in the hole below 4 GiB", build_hole, false },
	{ "address that wraps", build_wrapping, false },
	{ "range that leaves RAM", build_past_ram, false },
	{ "zero length", build_zero_length, false },
	{ "zero length, writable", build_zero_length_writable, false },
	{ "odd address and length", build_odd_length, false },
	{ "next outside the ring", build_next_outside_ring, false },
	{ "head outside the ring", build_head_outside_ring, false },
	{ "wild head", build_wild_head, false },
	{ "writable before readable", build_writable_first, false },
	{ "lengths that overflow", build_length_overflow, false },
	{ "available index jumps ahead", build_index_jump, false },
	{ "available index goes back", build_index_backwards, false },
	{ "indirect that was not negotiated", build_indirect_and_next, false },
	{ "nested indirect", build_nested_indirect, true },
	{ "loop in an indirect table", build_indirect_loop, true },
	{ "next outside an indirect table", build_indirect_next_outside, true },
	{ "indirect table of odd length", build_indirect_odd_length, true },
	{ "indirect table of no length", build_indirect_empty, true },
	{ "indirect table of 4 GiB", build_indirect_huge, true },
	{ "indirect table outside RAM", build_indirect_outside, true },
	{ "indirect with next", build_indirect_and_next, true },
};

/* Up to DRIVER_OK with every queue there is, in small rings. Returns how many. */
static uint16_t start(struct virtio_device *vdev, bool indirect)
{
	uint64_t features = vdev->device_features & ~FEATURE(VIRTIO_RING_F_EVENT_IDX);
	uint16_t count = 0;

	if (!indirect)
		features &= ~FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	if (vdev->device_id == VIRTIO_ID_BALLOON)
		features &= ~FEATURE(VIRTIO_BALLOON_F_PAGE_POISON);
	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, features))
		return 0;
	while (count < VIRTIO_QUEUE_MAX && virtio_queue_setup(vdev, count, RING_SIZE))
		count++;
	virtio_ready(vdev);
	return count;
}

/* One ordinary request, of a kind the device can answer at once. */
static bool works(struct virtio_device *vdev, const struct arena *arena)
{
	struct virtq_buffer buffer = { arena->buffer_gpa, 16, vdev->device_id == VIRTIO_ID_RNG };
	uint16_t queue = vdev->device_id == VIRTIO_ID_CONSOLE ? 1 : 0;

	if (!start(vdev, true))
		return false;
	if (vdev->device_id == VIRTIO_ID_BALLOON)
		return balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, arena->buffer_gpa, 1) &&
		       balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, arena->buffer_gpa, 1);
	if (vdev->device_id != VIRTIO_ID_CONSOLE && vdev->device_id != VIRTIO_ID_RNG)
		return true;
	return virtq_transfer(&vdev->queues[queue], &buffer, 1, NULL);
}

static void prepare(const struct arena *arena)
{
	uint32_t pfn = (uint32_t)(arena->buffer_gpa >> VIRTIO_BALLOON_PFN_SHIFT);

	/* whatever a balloon takes for page numbers names the buffer itself */
	memory_fill64((void *)(uintptr_t)arena->buffer_gpa, pfn | (uint64_t)pfn << 32, 64);
	memory_fill64((void *)(uintptr_t)arena->guard_before_gpa, GUARD_PATTERN, PAGE_SIZE / 8);
	memory_fill64((void *)(uintptr_t)arena->guard_after_gpa, GUARD_PATTERN, PAGE_SIZE / 8);
}

static bool guards_intact(const struct arena *arena)
{
	return memory_scan64((void *)(uintptr_t)arena->guard_before_gpa, GUARD_PATTERN, 512) ==
	               512 &&
	       memory_scan64((void *)(uintptr_t)arena->guard_after_gpa, GUARD_PATTERN, 512) == 512;
}

/* Until the device asks for a reset or uses something, or nothing happens for a while. */
static void settle(struct virtqueue *vq)
{
	uint64_t end = clock_ns() + SETTLE_MS * 1000000ull;

	while (clock_ns() < end && !virtq_take_used(vq, NULL, NULL) &&
	       !(vq->vdev->transport->read_status(vq->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		cpu_relax();
}

/* Against one queue: false when there is no such queue. */
static bool try_case(struct virtio_device *vdev, const struct hostile_case *hostile, uint16_t queue,
                     const struct arena *arena, unsigned int *resets)
{
	uint16_t count = start(vdev, hostile->indirect);

	EXPECT(hostile->name, count > 0);
	if (queue >= count)
		return false;
	prepare(arena);
	hostile->build(&vdev->queues[queue], arena);
	virtq_publish(&vdev->queues[queue]);
	settle(&vdev->queues[queue]);
	*resets += (vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0;
	virtq_notify(&vdev->queues[queue]); /* again, whatever state it is in */
	EXPECT(hostile->name, virtio_reset(vdev));
	EXPECT(hostile->name, guards_intact(arena));
	return true;
}

static void try_device(struct virtio_device *vdev, const struct arena *arena)
{
	unsigned int i, resets = 0, tried = 0;
	uint16_t queue;

	virtio_begin(vdev);
	for (i = 0; i < ARRAY_SIZE(hostile_cases); i++) {
		for (queue = 0; try_case(vdev, &hostile_cases[i], queue, arena, &resets); queue++)
			tried++;
		expect(hostile_cases[i].name, works(vdev, arena),
		       "the device does not work after it");
		report_section(hostile_cases[i].name);
	}
	virtio_reset(vdev);
	print("  %u chains, %u times DEVICE_NEEDS_RESET\n", tried, resets);
}

void test_main(void)
{
	struct virtio_device vdev;
	struct arena arena;
	uint64_t gpa = memory_reserve(4 * PAGE_SIZE, PAGE_SIZE);
	const uint64_t only = option_u64("device", 0);
	char prefix[48];
	unsigned int i, tried = 0;

	arena = (struct arena){ gpa, gpa + PAGE_SIZE, gpa + 2 * PAGE_SIZE,
		                (struct vring_desc *)(uintptr_t)(gpa + 3 * PAGE_SIZE) };
	for (i = 0; virtio_enumerate(i, &vdev); i++) {
		if (only && vdev.device_id != only)
			continue;
		tried++;
		string_format(prefix, sizeof(prefix), "%s/%s: ", virtio_device_name(vdev.device_id),
		              vdev.transport->name);
		report_prefix(prefix);
		try_device(&vdev, &arena);
	}
	report_prefix("");
	if (!tried)
		report_skip("virtio", "no virtio device");
}
