/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of virtio-net's data path do as its driver, over net_machine.h. */
#ifndef NET_DRIVER_H
#define NET_DRIVER_H

#include <linux/virtio_config.h>
#include <string.h>
#include <unistd.h>

#include "net_machine.h"

#define F(name) NET_FEATURE(VIRTIO_NET_F_##name)

#define EVENT_INDEX (UINT64_C(1) << 29)
#define BUFFER_STEP (16 * KIB)
#define QUEUE_SIZE  128

enum { RECEIVE, SEND };

/* All five queues of two pairs. */
static inline bool start(struct net_machine *m, uint64_t features)
{
	return fake_driver_start(&m->driver, features, 5, QUEUE_SIZE);
}

static inline bool needs_reset(struct net_machine *m)
{
	return virtio_status(m->driver.vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static inline struct net_pair *first_pair(struct net_machine *m)
{
	return &container_of(m->driver.vdev, struct virtio_net, vdev)->pairs[0];
}

static inline uint8_t *memory(struct net_machine *m, gpa_t gpa)
{
	return gmem_span(m->vm.memory, gpa, 1);
}

/* What arrived at a descriptor wakes the loop, in its own time. */
static inline void settle(struct net_machine *m)
{
	for (unsigned int i = 0; i < 3; i++) {
		fake_driver_settle(&m->driver);
		usleep(1000);
	}
	fake_driver_settle(&m->driver);
}

static inline bool take(struct net_machine *m, unsigned int queue, uint32_t *ret_bytes)
{
	uint32_t head;

	return fake_driver_take_used(&m->driver, queue, &head, ret_bytes);
}

static inline unsigned int take_all(struct net_machine *m, unsigned int queue)
{
	unsigned int count = 0;
	uint32_t size_bytes;

	while (take(m, queue, &size_bytes))
		count++;
	return count;
}

static inline void add_frame(struct net_machine *m, unsigned int queue, gpa_t gpa,
                             uint32_t size_bytes)
{
	memset(memory(m, gpa), 0, NET_HEADER_BYTES);
	fake_driver_add(&m->driver, queue, &(struct fake_driver_buffer){ gpa, size_bytes, false },
	                1);
}

static inline void add_room(struct net_machine *m, unsigned int queue, gpa_t gpa,
                            uint32_t size_bytes)
{
	fake_driver_add(&m->driver, queue, &(struct fake_driver_buffer){ gpa, size_bytes, true },
	                1);
}

static inline void arrive(unsigned int pair, size_t size_bytes)
{
	static const uint8_t header[NET_HEADER_BYTES + 4] = {
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xee, 0xee, 'd', 'a', 't', 'a'
	};

	fake_net_put(pair, header, min_u64(sizeof(header), size_bytes), size_bytes);
	fake_net_arrive(pair);
}

#endif
