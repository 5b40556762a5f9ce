/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net under a driver that does anything, while frames come and go: chains, headers, the
 * control queue, two pairs of queues. fuzz_driver knows no features above 5; an event of the host
 * starts the driver anew with those that matter here.
 */
/* fakes: fuzz_driver net_machine fake_net_backend fake_net_vhost fake_virtio_driver hostile_chains test_driver fake_vm */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_driver.h"
#include "net_machine.h"

#define QUEUES     5
#define QUEUE_SIZE 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct net_machine machine;
	struct fuzz_driver fuzz;
};

static void start_anew(struct target *target, uint8_t choice)
{
	const uint64_t features = (choice & 1 ? NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0) |
	                          (choice & 2 ? NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
	                                                NET_FEATURE(VIRTIO_NET_F_MQ) |
	                                                NET_FEATURE(VIRTIO_NET_F_CTRL_RX)
	                                      : 0) |
	                          (choice & 4 ? NET_GUEST_OFFLOADS : 0) |
	                          ((uint64_t)(choice >> 3 & 3) << 28);

	fake_driver_reset(&target->fuzz.driver);
	(void)!fake_driver_start(&target->fuzz.driver, features, QUEUES, QUEUE_SIZE);
}

static void host_event(void *ctx, struct fuzz_input *input)
{
	struct target *target = ctx;
	uint8_t what = fuzz_u8(input), header[NET_HEADER_BYTES];
	unsigned int pair = what >> 3 & 1;

	switch (what % 8) {
	case 0:
		start_anew(target, fuzz_u8(input));
		break;
	case 1:
		fake_net_block(pair, fuzz_u8(input) % 4);
		break;
	case 2:
		fake_net_unblock(pair);
		break;
	case 3:
		fake_net.frame_result = what & 16 ? -22 : 0;
		break;
	default:
		for (size_t i = 0; i < sizeof(header); i++)
			header[i] = fuzz_u8(input);
		for (unsigned int i = 0; i < what % 4u + 1; i++)
			fake_net_put(pair, header, sizeof(header),
			             sizeof(header) + fuzz_u16(input));
		fake_net_arrive(pair);
	}
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));

	assert(target);
	net_machine_begin(&target->machine);
	fake_net.features = NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS;
	fake_net.queue_pairs = 2;
	if (net_machine_create(&target->machine, NULL))
		abort();
	target->fuzz = fuzz_driver_of(&target->machine.driver, NET_RAM_BYTES, QUEUES, host_event,
	                              target);
	return target;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target *target;

	if (!target)
		target = create();
	if (!size_bytes)
		return 0;
	fake_net.sent_count = 0;
	fake_net.frame_result = 0;
	fuzz_driver_run(&target->fuzz, data, size_bytes);
	for (unsigned int pair = 0; pair < 2; pair++) {
		fake_net_unblock(pair);
		fake_net_forget(pair);
	}
	/* The next input finds memory as this one did. */
	memset(gmem_span(target->machine.vm.memory, 0, NET_RAM_BYTES), 0, NET_RAM_BYTES);
	return 0;
}
