/* SPDX-License-Identifier: Apache-2.0 */
/* A network of the test's own behind virtio-net. */
#include "fake_net_backend.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../devices/net/net_backend.h"

struct fed_frame {
	size_t size_bytes, given_bytes;
	uint8_t given[FAKE_NET_KEEP_MAX];
};

struct fake_net_queue {
	int fds[2]; /* the device's, the test's */
	struct fed_frame fed[FAKE_NET_FED_MAX];
	unsigned int first, count;
	bool is_blocked;
	unsigned int takes;
};

struct fake_net fake_net;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_net_queue queues[FAKE_NET_PAIRS_MAX];

void fake_net_clear(void)
{
	assert(!fake_net.open_count);
	memset(&fake_net, 0, sizeof(fake_net));
	memset(queues, 0, sizeof(queues));
	fake_net.queue_pairs = 1;
}

void fake_net_put(unsigned int pair, const void *bytes, size_t given_bytes, size_t size_bytes)
{
	struct fake_net_queue *queue = &queues[pair];
	struct fed_frame *fed;

	pthread_mutex_lock(&lock);
	assert(given_bytes <= FAKE_NET_KEEP_MAX && given_bytes <= size_bytes);
	if (queue->count < FAKE_NET_FED_MAX) {
		fed = &queue->fed[(queue->first + queue->count++) % FAKE_NET_FED_MAX];
		fed->size_bytes = size_bytes;
		fed->given_bytes = given_bytes;
		if (given_bytes)
			memcpy(fed->given, bytes, given_bytes);
	}
	pthread_mutex_unlock(&lock);
}

void fake_net_arrive(unsigned int pair)
{
	ssize_t written = send(queues[pair].fds[1], "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)written;
}

unsigned int fake_net_waiting(unsigned int pair)
{
	unsigned int count;

	pthread_mutex_lock(&lock);
	count = queues[pair].count;
	pthread_mutex_unlock(&lock);
	return count;
}

void fake_net_forget(unsigned int pair)
{
	pthread_mutex_lock(&lock);
	queues[pair].count = 0;
	pthread_mutex_unlock(&lock);
}

void fake_net_block(unsigned int pair, unsigned int frames)
{
	static const char stuffing[4096];

	pthread_mutex_lock(&lock);
	queues[pair].is_blocked = true;
	queues[pair].takes = frames;
	while (send(queues[pair].fds[0], stuffing, sizeof(stuffing), MSG_DONTWAIT) > 0)
		;
	pthread_mutex_unlock(&lock);
}

static void drain(int fd)
{
	char bytes[4096];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

void fake_net_unblock(unsigned int pair)
{
	pthread_mutex_lock(&lock);
	queues[pair].is_blocked = false;
	pthread_mutex_unlock(&lock);
	drain(queues[pair].fds[1]);
}

void fake_net_hang_up(unsigned int pair)
{
	shutdown(queues[pair].fds[1], SHUT_RDWR);
}

/* --- the back end --- */

static void take_sent(unsigned int pair, struct net_frame *frame)
{
	struct fake_net_frame *kept = &fake_net.sent[fake_net.sent_count];
	uint8_t sum = 0;
	size_t size_bytes = 0;

	if (fake_net.sent_count < FAKE_NET_SENT_MAX) {
		fake_net.sent_count++;
		kept->pair = pair;
	} else {
		kept = NULL;
	}
	for (unsigned int i = 0; i < frame->segment_count; i++) {
		const uint8_t *bytes = frame->segments[i].iov_base;

		for (size_t k = 0; k < frame->segments[i].iov_len; k++, size_bytes++) {
			sum ^= ((const volatile uint8_t *)bytes)[k];
			if (kept && size_bytes < FAKE_NET_KEEP_MAX)
				kept->bytes[size_bytes] = bytes[k];
		}
	}
	(void)sum;
	if (kept)
		kept->size_bytes = size_bytes;
	frame->result = fake_net.frame_result ? fake_net.frame_result : (int64_t)size_bytes;
}

static int backend_send(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                        unsigned int count)
{
	struct fake_net_queue *queue = &queues[pair];
	unsigned int dealt;

	pthread_mutex_lock(&lock);
	backend->syscall_count++;
	fake_net.send_calls++;
	if (count > fake_net.batch_max)
		fake_net.batch_max = count;
	if (fake_net.send_result) {
		pthread_mutex_unlock(&lock);
		return fake_net.send_result;
	}
	for (dealt = 0; dealt < count && (!queue->is_blocked || queue->takes); dealt++) {
		queue->takes -= queue->is_blocked;
		take_sent(pair, &frames[dealt]);
	}
	pthread_mutex_unlock(&lock);
	return (int)dealt;
}

static void give(struct fed_frame *fed, struct net_frame *frame)
{
	size_t done_bytes = 0;

	for (unsigned int i = 0; i < frame->segment_count; i++) {
		uint8_t *bytes = frame->segments[i].iov_base;

		for (size_t k = 0; k < frame->segments[i].iov_len && done_bytes < fed->size_bytes;
		     k++, done_bytes++)
			bytes[k] = done_bytes < fed->given_bytes ? fed->given[done_bytes] : 0x5a;
	}
	frame->result = done_bytes == fed->size_bytes ? (int64_t)done_bytes : -EMSGSIZE;
}

static int backend_receive(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                           unsigned int count)
{
	struct fake_net_queue *queue = &queues[pair];
	unsigned int dealt;

	pthread_mutex_lock(&lock);
	backend->syscall_count++;
	fake_net.receive_calls++;
	if (fake_net.receive_result) {
		pthread_mutex_unlock(&lock);
		return fake_net.receive_result;
	}
	for (dealt = 0; dealt < count && queue->count; dealt++) {
		give(&queue->fed[queue->first], &frames[dealt]);
		queue->first = (queue->first + 1) % FAKE_NET_FED_MAX;
		queue->count--;
	}
	if (!queue->count)
		drain(queue->fds[0]);
	pthread_mutex_unlock(&lock);
	return (int)dealt;
}

static int backend_poll_fd(struct net_backend *backend, unsigned int pair)
{
	(void)backend;
	return queues[pair].fds[0];
}

static int backend_vhost_fd(struct net_backend *backend, unsigned int pair)
{
	(void)backend;
	return queues[pair].fds[0];
}

static int backend_set_offloads(struct net_backend *backend, uint64_t driver_features)
{
	(void)backend;
	if (!fake_net.set_offloads_result)
		fake_net.offloads = driver_features;
	return fake_net.set_offloads_result;
}

static int backend_set_queue_pairs(struct net_backend *backend, unsigned int count)
{
	assert(count >= 1 && count <= backend->queue_pairs);
	if (fake_net.during_set_pairs)
		fake_net.during_set_pairs();
	if (!fake_net.set_pairs_result)
		fake_net.pairs = count;
	return fake_net.set_pairs_result;
}

static void backend_destroy(struct net_backend *backend)
{
	if (!backend)
		return;
	for (unsigned int i = 0; i < backend->queue_pairs; i++) {
		close(queues[i].fds[0]);
		close(queues[i].fds[1]);
	}
	fake_net.open_count--;
	free(backend);
}

static const struct net_backend_ops ops = {
	.send = backend_send,
	.receive = backend_receive,
	.poll_fd = backend_poll_fd,
	.vhost_fd = backend_vhost_fd,
	.set_offloads = backend_set_offloads,
	.set_queue_pairs = backend_set_queue_pairs,
	.destroy = backend_destroy,
};

static int open_fake(const char *name, struct net_backend **ret_backend, struct error *err)
{
	struct net_backend *backend;

	if (fake_net.open_result)
		return error_set(err, fake_net.open_result, "no network");
	backend = calloc(1, sizeof(*backend));
	if (!backend)
		return error_set_errno(err, -ENOMEM, "network");
	fake_net.opened = name;
	backend->ops = &ops;
	backend->name = name;
	backend->features = fake_net.features;
	backend->queue_pairs = fake_net.queue_pairs;
	backend->mtu = fake_net.mtu;
	for (unsigned int i = 0; i < backend->queue_pairs; i++) {
		int failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		                        queues[i].fds);

		assert(!failed);
		(void)failed;
	}
	fake_net.open_count++;
	*ret_backend = backend;
	return 0;
}

int tap_open(struct vm *vm, const struct device_config *config, struct net_backend **ret_backend,
             struct error *err)
{
	(void)vm;
	(void)config;
	return open_fake("tap", ret_backend, err);
}

int passt_open(struct vm *vm, const struct device_config *config, struct net_backend **ret_backend,
               struct error *err)
{
	(void)vm;
	(void)config;
	return open_fake("passt", ret_backend, err);
}
