/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other devices on memory that comes and goes: a balloon takes and reports plugged memory (VIRTIO
 * 1.2, section 5.5), buffers and virtqueues lie in blocks that are then unplugged.
 *
 * "plug-mib=N wait": plugs that much instead, says so and waits for what ends the guest.
 */
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "memory_device.h"
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define ACK          VIRTIO_MEM_RESP_ACK
#define PATTERN      0x1f2e3d4c5b6a7988ull
#define BLOCKS       4u
#define PAGES        256u
#define RING_ENTRIES 8u
#define SETTLE_MS    300u
#define REQUEST_MAX  32768u /* blocks a request */

static struct virtio_device mem, other;
static struct virtio_mem_config config;

static uint64_t block_gpa(uint64_t index)
{
	return config.addr + index * config.block_size;
}

/* The first and the last word of each page. */
static void fill(uint64_t gpa, uint64_t size_bytes, uint64_t value)
{
	uint64_t page;

	for (page = gpa; page < gpa + size_bytes; page += PAGE_SIZE) {
		mmio_write64(page, value);
		mmio_write64(page + PAGE_SIZE - 8, value);
	}
}

static bool holds(uint64_t gpa, uint64_t size_bytes, uint64_t value)
{
	uint64_t page;

	for (page = gpa; page < gpa + size_bytes; page += PAGE_SIZE)
		if (mmio_read64(page) != value || mmio_read64(page + PAGE_SIZE - 8) != value)
			return false;
	return true;
}

static bool needs_reset(struct virtio_device *vdev)
{
	return vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static bool comes_to_need_reset(struct virtio_device *vdev)
{
	unsigned int ms;

	for (ms = 0; ms < WAIT_MAX_MS && !needs_reset(vdev); ms++)
		delay_us(1000);
	return needs_reset(vdev);
}

static bool start_balloon(void)
{
	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &other) || !virtio_begin(&other) ||
	    !virtio_negotiate(&other, FEATURE(VIRTIO_BALLOON_F_REPORTING)) ||
	    !balloon_setup_queues(&other, 0))
		return false;
	virtio_ready(&other);
	return true;
}

static void test_balloon(void)
{
	uint64_t pages_bytes = PAGES * PAGE_SIZE, gpa = block_gpa(1);

	CHECK_EQUAL("plug", mem_plug(&mem, block_gpa(0), BLOCKS), ACK);
	if (!start_balloon()) {
		report_skip("a balloon on plugged memory", "there is no balloon");
		return;
	}
	fill(gpa, 2 * config.block_size, PATTERN);
	CHECK("inflate", balloon_send_pages(&other, BALLOON_QUEUE_INFLATE, gpa, PAGES));
	CHECK("the page in front and behind stay",
	      holds(gpa + pages_bytes, PAGE_SIZE, PATTERN) && holds(gpa - PAGE_SIZE, PAGE_SIZE, 0));
	CHECK("deflate", balloon_send_pages(&other, BALLOON_QUEUE_DEFLATE, gpa, PAGES));
	fill(gpa, pages_bytes, PATTERN);
	CHECK("deflated pages can be used", holds(gpa, pages_bytes, PATTERN));
	if (balloon_reporting_queue(&other)) {
		CHECK("report a block", balloon_report_blocks(&other, block_gpa(2), 1));
		CHECK("it is empty", holds(block_gpa(2), BALLOON_BLOCK_BYTES, 0));
		CHECK("the one in front is not", holds(gpa, config.block_size, PATTERN));
	}
	/* Memory in the balloon, unplugged under it, and back. */
	CHECK("inflate again", balloon_send_pages(&other, BALLOON_QUEUE_INFLATE, gpa, PAGES));
	CHECK_EQUAL("unplug it", mem_unplug(&mem, gpa, 1), ACK);
	CHECK("inflating what is unplugged is harmless",
	      balloon_send_pages(&other, BALLOON_QUEUE_INFLATE, gpa + pages_bytes, PAGES) ||
	              (needs_reset(&other) && start_balloon()));
	if (balloon_reporting_queue(&other))
		CHECK("so is reporting it", balloon_report_blocks(&other, gpa, 2) ||
		                                    (needs_reset(&other) && start_balloon()));
	CHECK_EQUAL("it stays unplugged", mmio_read64(gpa), MEM_UNPLUGGED);
	CHECK("deflating it too", balloon_send_pages(&other, BALLOON_QUEUE_DEFLATE, gpa, PAGES) ||
	                                  (needs_reset(&other) && start_balloon()));
	CHECK_EQUAL("plug it again", mem_plug(&mem, gpa, 1), ACK);
	CHECK("empty", holds(gpa, config.block_size, 0));
	CHECK_EQUAL("unplug all", mem_unplug_all(&mem), ACK);
	virtio_reset(&other);
}

/* A ring of RING_ENTRIES at gpa for the device's queue 0, with the steps in front and behind. */
static bool start_with_ring_at(struct virtio_device *vdev, uint64_t gpa)
{
	struct virtqueue *vq = &vdev->queues[0];

	if (!virtio_begin(vdev) ||
	    !virtio_negotiate(vdev, FEATURE(VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE)))
		return false;
	virtq_init(vq, vdev, 0, RING_ENTRIES);
	vq->descriptors = (struct vring_desc *)(uintptr_t)gpa;
	vq->available = (struct vring_avail *)(uintptr_t)(gpa + 0x1000);
	vq->used = (struct vring_used *)(uintptr_t)(gpa + 0x2000);
	vdev->transport->queue_enable(vq);
	virtio_ready(vdev);
	return true;
}

/* Kicks and waits a while: the used ring may be gone. */
static void kick_blindly(struct virtqueue *vq)
{
	virtq_notify(vq);
	delay_us(SETTLE_MS * 1000);
}

static void test_foreign_ring(void)
{
	static uint8_t data[64];
	struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };

	if (!virtio_find(VIRTIO_ID_RNG, 0, &other)) {
		report_skip("another device's ring in plugged memory", "there is no rng");
		return;
	}
	CHECK_EQUAL("plug", mem_plug(&mem, block_gpa(0), 1), ACK);
	CHECK("an rng with its ring in plugged memory", start_with_ring_at(&other, block_gpa(0)));
	CHECK("works", virtq_transfer(&other.queues[0], &buffer, 1, NULL));
	CHECK_EQUAL("unplug the ring", mem_unplug(&mem, block_gpa(0), 1), ACK);
	virtq_notify(&other.queues[0]);
	CHECK("the rng, kicked, asks for a reset", comes_to_need_reset(&other));
	CHECK_EQUAL("what was its ring stays unplugged", mmio_read64(block_gpa(0)), MEM_UNPLUGGED);
	CHECK_EQUAL("plug again", mem_plug(&mem, block_gpa(0), 1), ACK);
	CHECK("the rng works again",
	      virtio_start(&other, 0, 1) && virtq_transfer(&other.queues[0], &buffer, 1, NULL));
	buffer.gpa = block_gpa(0) + 4096;
	CHECK("into plugged memory too", virtq_transfer(&other.queues[0], &buffer, 1, NULL));
	CHECK_EQUAL("unplug", mem_unplug(&mem, block_gpa(0), 1), ACK);
	virtq_add(&other.queues[0], &buffer, 1);
	virtq_publish(&other.queues[0]);
	CHECK("the rng, with a buffer that is not there, asks for a reset",
	      comes_to_need_reset(&other));
	CHECK_EQUAL("the buffer gets nothing", mmio_read64(buffer.gpa), MEM_UNPLUGGED);
	virtio_reset(&other);
}

/* The memory device's own ring, in memory that it gives, and takes. */
static void test_own_ring(void)
{
	static struct virtio_mem_req request;
	static struct virtio_mem_resp response;
	struct virtq_buffer buffers[] = { { (uintptr_t)&request, MEM_REQUEST_BYTES, false },
		                          { (uintptr_t)&response, MEM_RESPONSE_BYTES, true } };
	struct virtqueue *vq = &mem.queues[0];

	CHECK_EQUAL("plug", mem_plug(&mem, block_gpa(0), 2), ACK);
	CHECK("the memory device with its ring in plugged memory",
	      start_with_ring_at(&mem, block_gpa(1)));
	CHECK_EQUAL("works", mem_state(&mem, block_gpa(0), 2), VIRTIO_MEM_STATE_PLUGGED);
	mem_fill_request(&request, VIRTIO_MEM_REQ_UNPLUG, block_gpa(1), 1);
	virtq_add(vq, buffers, 2);
	virtq_publish(vq);
	delay_us(SETTLE_MS * 1000);
	kick_blindly(vq);
	CHECK("the ring goes, or the request is refused",
	      mmio_read64(block_gpa(1) + 0x3000) == MEM_UNPLUGGED ||
	              response.type != VIRTIO_MEM_RESP_ACK);
	CHECK("works again",
	      mem_restart(&mem) && mem_unplug_all(&mem) == ACK && !mem_plugged_bytes(&mem));
}

static void plug_and_wait(uint64_t blocks)
{
	uint64_t done = 0, next;

	while (done < blocks) {
		next = blocks - done < REQUEST_MAX ? blocks - done : REQUEST_MAX;
		if (!CHECK_EQUAL("plug", mem_plug(&mem, block_gpa(done), (unsigned int)next), ACK))
			return;
		done += next;
	}
	print("plugged %lu MiB\n", mem_plugged_bytes(&mem) >> 20);
	while (platform_getc() < 0)
		cpu_relax();
}

void test_main(void)
{
	if (!mem_start(0, &mem)) {
		report_skip("virtio-mem", "no such device, or it does not come up");
		return;
	}
	mem_config(&mem, &config);
	if (option_present("plug-mib")) {
		plug_and_wait((option_u64("plug-mib", 0) << 20) / config.block_size);
		return;
	}
	test_balloon();
	test_foreign_ring();
	test_own_ring();
}
