/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (VIRTIO 1.2, section 5.3): features, size, output, and, with the word "input" on
 * the command line, a line of input that comes back in brackets.
 */
#include "command_line.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include "virtio.h"
#include <linux/virtio_console.h>
#include <stddef.h>

#define QUEUE_RECEIVE  0
#define QUEUE_TRANSMIT 1
#define LINE_MAX       80

static const char greeting[] = "virtio-console: output works\n";
static char line[LINE_MAX + 4];
static char received[4][16];

static bool say(struct virtio_device *vdev, const char *text, size_t length)
{
	struct virtq_buffer buffer = { (uintptr_t)text, (uint32_t)length, false };

	return virtq_transfer(&vdev->queues[QUEUE_TRANSMIT], &buffer, 1, NULL);
}

static void test_output(struct virtio_device *vdev)
{
	struct virtq_buffer halves[] = { { (uintptr_t)greeting, 10, false },
		                         { (uintptr_t)(greeting + 10), sizeof(greeting) - 11,
		                           false } };
	unsigned int i;

	CHECK("output: one buffer", say(vdev, greeting, sizeof(greeting) - 1));
	CHECK("output: two buffers",
	      virtq_transfer(&vdev->queues[QUEUE_TRANSMIT], halves, 2, NULL));
	for (i = 0; i < 100; i++)
		EXPECT("output: 100 times", say(vdev, ".", 1));
	EXPECT("output: 100 times", say(vdev, "\n", 1));
	report_section("output: 100 times");
}

static void offer_buffer(struct virtqueue *vq, unsigned int index)
{
	struct virtq_buffer buffer = { (uintptr_t)received[index], sizeof(received[index]), true };

	virtq_add(vq, &buffer, 1);
}

/* Buffers go out in order and chains are one descriptor each: the head is the buffer's number
 * modulo 4. */
static size_t receive_line(struct virtqueue *vq)
{
	uint32_t head, size_bytes;
	size_t length = 0;
	unsigned int i;

	for (i = 0; i < 4; i++)
		offer_buffer(vq, i);
	virtq_publish(vq);
	while (length < LINE_MAX && virtq_wait_used(vq, &head, &size_bytes, WAIT_MAX_MS)) {
		for (i = 0; i < size_bytes && i < sizeof(received[0]) && length < LINE_MAX; i++) {
			char c = received[head % 4][i];

			if (c == '\n' || c == '\r')
				return length;
			line[1 + length++] = c;
		}
		offer_buffer(vq, head % 4);
		virtq_publish(vq);
	}
	return length;
}

static void test_input(struct virtio_device *vdev)
{
	size_t length;

	if (!option_present("input")) {
		report_skip("input", "nobody types");
		return;
	}
	length = receive_line(&vdev->queues[QUEUE_RECEIVE]);
	CHECK("input: a line came", length > 0);
	line[0] = '[';
	line[length + 1] = ']';
	line[length + 2] = '\n';
	CHECK("input: echoed", say(vdev, line, length + 3));
}

void test_main(void)
{
	struct virtio_device vdev;

	if (!virtio_find(VIRTIO_ID_CONSOLE, 0, &vdev)) {
		report_skip("virtio-console", "no such device");
		return;
	}
	virtio_begin(&vdev);
	if (!option_present("lenient"))
		CHECK("multiport is not offered",
		      !(vdev.device_features & FEATURE(VIRTIO_CONSOLE_F_MULTIPORT)));
	CHECK("comes up", virtio_negotiate(&vdev, FEATURE(VIRTIO_CONSOLE_F_SIZE)));
	CHECK("receive queue", virtio_queue_setup(&vdev, QUEUE_RECEIVE, 4) != NULL);
	CHECK("transmit queue", virtio_queue_setup(&vdev, QUEUE_TRANSMIT, 64) != NULL);
	virtio_ready(&vdev);
	if (virtio_has_feature(&vdev, VIRTIO_CONSOLE_F_SIZE)) {
		uint16_t columns =
			virtio_config_read16(&vdev, offsetof(struct virtio_console_config, cols));
		uint16_t rows =
			virtio_config_read16(&vdev, offsetof(struct virtio_console_config, rows));

		CHECK("size: both or neither", !columns == !rows);
	}
	test_output(&vdev);
	test_input(&vdev);
	CHECK("reset", virtio_reset(&vdev));
	CHECK("works after reset",
	      virtio_start(&vdev, 0, 2) && say(&vdev, greeting, sizeof(greeting) - 1));
}
