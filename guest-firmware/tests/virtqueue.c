/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split ring itself (VIRTIO 1.2, section 2.7): full rings, sizes, indirect chains, event index,
 * wrap-around; on virtio-rng, which answers whatever it is given.
 */
#include "memory.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include "virtio.h"

static uint8_t data[4096];

static struct virtqueue *start(struct virtio_device *vdev, uint64_t features, uint16_t size,
                               bool interrupts)
{
	struct virtqueue *vq;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, features))
		return NULL;
	if (interrupts && !virtio_use_msix(vdev) && !virtio_use_line(vdev))
		return NULL;
	vq = virtio_queue_setup(vdev, 0, size);
	virtio_ready(vdev);
	return vq;
}

static struct virtq_buffer one_byte(unsigned int index)
{
	return (struct virtq_buffer){ (uintptr_t)&data[index % sizeof(data)], 1, true };
}

/* Adds count one-byte requests without telling the device. */
static void add_requests(struct virtqueue *vq, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct virtq_buffer buffer = one_byte(i);

		virtq_add(vq, &buffer, 1);
	}
}

static unsigned int take_all(struct virtqueue *vq, unsigned int count)
{
	unsigned int taken;

	for (taken = 0; taken < count; taken++)
		if (!virtq_wait_used(vq, NULL, NULL, WAIT_MAX_MS))
			break;
	return taken;
}

static void test_sizes(struct virtio_device *vdev)
{
	uint16_t max = vdev->transport->queue_size_max(vdev, 0);
	uint32_t size;

	for (size = 1; size <= max && size <= 256; size *= 2) {
		struct virtqueue *vq = start(vdev, 0, (uint16_t)size, false);
		unsigned int round;

		for (round = 0; vq && round < 2; round++) {
			add_requests(vq, size);
			virtq_publish(vq);
			EXPECT_EQUAL("full rings of every size, twice", take_all(vq, size), size);
			EXPECT("full rings of every size, twice", !virtq_take_used(vq, NULL, NULL));
		}
		EXPECT("full rings of every size, twice", vq != NULL);
	}
	report_section("full rings of every size, twice");
}

/* Each head comes back exactly once, with the length that was written. */
static void test_heads(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, 0, 16, false);
	uint32_t head, size_bytes, seen = 0;
	unsigned int i;

	add_requests(vq, vq->size);
	virtq_publish(vq);
	for (i = 0; i < vq->size; i++) {
		if (!EXPECT("each head comes back once",
		            virtq_wait_used(vq, &head, &size_bytes, WAIT_MAX_MS)))
			break;
		EXPECT("each head comes back once", head < vq->size && !(seen >> head & 1));
		EXPECT_EQUAL("each head comes back once", size_bytes, 1);
		seen |= 1u << (head & 31);
	}
	EXPECT_EQUAL("each head comes back once", seen, (1u << vq->size) - 1);
	report_section("each head comes back once");
}

static void test_indirect(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, FEATURE(VIRTIO_RING_F_INDIRECT_DESC), 4, false);
	struct vring_desc *table = memory_alloc(PAGE_SIZE, PAGE_SIZE);
	struct virtq_buffer buffers[32];
	uint32_t size_bytes = 0;
	unsigned int i;

	if (!virtio_has_feature(vdev, VIRTIO_RING_F_INDIRECT_DESC)) {
		report_skip("indirect", "not offered");
		return;
	}
	memset(data, 0, sizeof(data));
	for (i = 0; i < 4; i++)
		buffers[i] = (struct virtq_buffer){ (uintptr_t)&data[i * 64], 16, true };
	virtq_add_indirect(vq, table, buffers, 4);
	virtq_publish(vq);
	CHECK("indirect: chain of 4 answered", virtq_wait_used(vq, NULL, &size_bytes, WAIT_MAX_MS));
	CHECK_EQUAL("indirect: 64 bytes", size_bytes, 64);
	CHECK("indirect: the last buffer is filled", memory_scan64(&data[192], 0, 2) < 2);
	CHECK("indirect: nothing between the buffers", memory_scan64(&data[16], 0, 6) == 6);
	/* a table may be longer than the ring only where the device says so: 4 entries at most here
	 */
	for (i = 0; i < 8; i++) {
		virtq_add_indirect(vq, table, buffers, 1 + i % 4);
		virtq_publish(vq);
		EXPECT("indirect: 8 more", virtq_wait_used(vq, NULL, &size_bytes, WAIT_MAX_MS));
		EXPECT_EQUAL("indirect: 8 more", size_bytes, 16 * (1 + i % 4));
	}
	report_section("indirect: 8 more, of 1 to 4 buffers");
}

static void quiet(void)
{
	irq_enable();
	delay_us(2000);
	irq_disable();
}

static void test_no_interrupt_flag(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, 0, 16, true);

	if (!vq) {
		report_skip("interrupt suppression", "no interrupts over %s",
		            vdev->transport->name);
		return;
	}
	virtq_want_interrupts(vq, false);
	add_requests(vq, 4);
	virtq_publish(vq);
	CHECK_EQUAL("NO_INTERRUPT: answered", take_all(vq, 4), 4);
	quiet();
	CHECK_EQUAL("NO_INTERRUPT: none came", vq->interrupts, 0);
	virtq_want_interrupts(vq, true);
	add_requests(vq, 1);
	virtq_publish(vq);
	CHECK_EQUAL("interrupts wanted again: answered", take_all(vq, 1), 1);
	CHECK("interrupts wanted again: one came", wait_for_count(&vq->interrupts, 1));
}

static void test_event_index(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, FEATURE(VIRTIO_RING_F_EVENT_IDX), 16, true);

	if (!vq || !virtio_has_feature(vdev, VIRTIO_RING_F_EVENT_IDX)) {
		report_skip("event index", "not offered, or no interrupts");
		return;
	}
	virtq_set_used_event(vq, 0);
	add_requests(vq, 1);
	CHECK("event index: first notification is wanted", virtq_publish(vq));
	CHECK_EQUAL("event index: 1 answered", take_all(vq, 1), 1);
	CHECK("event index: interrupt at element 0", wait_for_count(&vq->interrupts, 1));
	virtq_set_used_event(vq, 8);
	add_requests(vq, 4);
	virtq_publish(vq);
	CHECK_EQUAL("event index: 5 answered", take_all(vq, 4), 4);
	quiet();
	CHECK_EQUAL("event index: none at elements 1 to 4", vq->interrupts, 1);
	add_requests(vq, 4);
	virtq_publish(vq);
	CHECK_EQUAL("event index: 9 answered", take_all(vq, 4), 4);
	CHECK("event index: interrupt at element 8", wait_for_count(&vq->interrupts, 2));
	add_requests(vq, 4);
	virtq_publish(vq);
	CHECK_EQUAL("event index: 13 answered", take_all(vq, 4), 4);
	quiet();
	CHECK_EQUAL("event index: none at elements 9 to 12", vq->interrupts, 2);
}

/* 65536 + a few elements through a ring whose slots all name the same one-byte chain: the guest
 * only moves the index. */
static void test_wrap(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, 0, 256, false);
	volatile uint16_t *used_index = &vq->used->idx;
	struct virtq_buffer buffer = one_byte(0);
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	unsigned int i, batches = 65536 / vq->size + 2;

	virtq_add(vq, &buffer, 1);
	for (i = 1; i < vq->size; i++)
		virtq_add_head(vq, 0);
	for (i = 0; i < batches; i++) {
		vq->available_index = (uint16_t)((i + 1) * vq->size);
		virtq_publish(vq);
		while (*used_index != vq->available_index && clock_ns() < end)
			cpu_relax();
	}
	CHECK_EQUAL("used index after 65536 elements and more", *used_index,
	            (uint16_t)(batches * vq->size));
	vq->used_index = vq->available_index;
	add_requests(vq, 3);
	virtq_publish(vq);
	CHECK_EQUAL("ring works behind the wrap", take_all(vq, 3), 3);
}

void test_main(void)
{
	static struct virtio_device vdev;

	if (!virtio_find(VIRTIO_ID_RNG, 0, &vdev)) {
		report_skip("virtqueue", "no virtio-rng");
		return;
	}
	test_sizes(&vdev);
	test_heads(&vdev);
	test_indirect(&vdev);
	test_no_interrupt_flag(&vdev);
	test_event_index(&vdev);
	test_wrap(&vdev);
	virtio_reset(&vdev);
}
