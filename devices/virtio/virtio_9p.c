/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-9p: a folder of the host's, served by a process of its own (share_server.h).
 *
 * DOC: VIRTIO numbers the device (9) and says no more of it; what is here is what Linux's driver
 * does: one queue, a chain with a request to read and room for the reply, the mount tag in config
 * space.
 *
 * This side knows nothing of 9P but where a message has its tag. A request goes to the server as a
 * packet, straight from guest memory, and its reply comes straight to it; the io loop never waits.
 * The server answers in the order of requests, so the next reply is that of the chain that was sent
 * first:
 *
 *	 first          + sent        + count
 *	   |  in flight   |  not sent   |        (one at most: the socket is full, and room comes
 *	                                          with a reply)
 *
 * A driver that resets the device leaves replies that nobody waits for: they are counted, and
 * dropped as they come, before those of the next driver. Chains are held over turns, without guest
 * memory's lock in between: their segments are found anew where it changed.
 *
 * When the server ends, what is in flight and all that comes later is answered with EIO by this
 * side. A chain that has no room even for that is given back empty.
 *
 * Threads: main creates and destroys, and is told of the server's end; all else is the io loop's.
 *
 * Syscalls: io: sendmsg recvmsg recvfrom
 */
#include <ctype.h>
#include <errno.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../device_table.h"
#include "ebb/bytes.h"
#include "ebb/log.h"
#include "ebb/share_server.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define P9_QUEUE_SIZE    128
#define P9_TAG_MAX       63
#define TAG_OFFSET       sizeof(struct virtio_9p_config)
#define P9_IN_FLIGHT_MAX 16
#define P9_SEGMENTS_MAX  (2 * P9_QUEUE_SIZE) /* descriptors, and what borders of regions split */
#define P9_TURN_MAX      P9_QUEUE_SIZE

/* Of a message: size[4] type[1] tag[2]; an error has its number behind that. */
#define HEADER_BYTES 7
#define ERROR_BYTES  11
#define ERROR_TYPE   7
#define NO_TAG       UINT16_MAX

struct slot {
	struct virtq_chain chain; /* with the segments below */
	struct iovec segments[P9_SEGMENTS_MAX];
	gpa_t gpas[P9_SEGMENTS_MAX];
	uint16_t tag; /* guest-controlled */
};

enum { METRIC_REQUESTS, METRIC_BYTES_FROM_GUEST, METRIC_BYTES_TO_GUEST, METRIC_FAILED, METRICS };

struct p9_device {
	struct virtio_device vdev;
	struct share_server_process *server;
	int fd;
	struct event_source *source;
	struct event_work another_turn;
	bool dead; /* the server, as this side knows */
	struct slot slots[P9_IN_FLIGHT_MAX];
	unsigned int first, sent, count;
	unsigned int stale; /* replies to drivers that are gone */
	struct metric metrics[METRICS];
};

static const uint16_t queue_sizes[] = { P9_QUEUE_SIZE };

static const struct virtio_device_info p9_info = {
	.device_id = VIRTIO_ID_9P,
	.device_features = UINT64_C(1) << VIRTIO_9P_MOUNT_TAG,
	.queue_count = ARRAY_SIZE(queue_sizes),
	.queue_size_max = queue_sizes,
	.config_size_bytes = sizeof(struct virtio_9p_config) + P9_TAG_MAX,
};

static struct p9_device *from_vdev(struct virtio_device *vdev)
{
	return container_of(vdev, struct p9_device, vdev);
}

static void count(struct p9_device *p9, unsigned int metric, uint64_t amount)
{
	metric_add(&p9->metrics[metric].counter, amount);
}

static struct slot *slot_at(struct p9_device *p9, unsigned int index)
{
	return &p9->slots[(p9->first + index) % P9_IN_FLIGHT_MAX];
}

static void drop_first(struct p9_device *p9)
{
	p9->first = (p9->first + 1) % P9_IN_FLIGHT_MAX;
	p9->sent--;
	p9->count--;
}

/* The driver takes its chains back. */
static void forget(struct p9_device *p9)
{
	p9->stale += p9->sent;
	p9->first = p9->sent = p9->count = 0;
}

static void server_is_dead(struct p9_device *p9)
{
	p9->dead = true;
	p9->stale = 0;
	event_loop_remove(p9->source);
	p9->source = NULL;
}

/* --- answers; guest memory's lock is held --- */

static void push_empty(struct p9_device *p9, struct slot *slot)
{
	virtqueue_push(virtio_queue(&p9->vdev, 0), &slot->chain);
}

/* Without room, or where its memory is gone, the chain goes back as it is. */
static void push_error(struct p9_device *p9, struct slot *slot, int error)
{
	uint8_t reply[ERROR_BYTES];

	store_le32(reply, sizeof(reply));
	reply[4] = ERROR_TYPE;
	store_le16(reply + 5, slot->tag);
	store_le32(reply + HEADER_BYTES, (uint32_t)-error);
	count(p9, METRIC_FAILED, 1);
	if (!virtq_chain_locate(&slot->chain))
		(void)!virtq_chain_write(&slot->chain, reply, sizeof(reply));
	push_empty(p9, slot);
}

static void push_reply(struct p9_device *p9, struct slot *slot, size_t size_bytes)
{
	virtq_chain_note_written(&slot->chain, size_bytes);
	count(p9, METRIC_BYTES_TO_GUEST, size_bytes);
	push_empty(p9, slot);
}

/* A packet that has no taker any more: 1 it is gone, 0 there is none, -EPIPE. */
static int drop_packet(struct p9_device *p9)
{
	uint8_t byte;
	ssize_t got = recv(p9->fd, &byte, sizeof(byte), MSG_DONTWAIT);

	if (got > 0)
		return 1;
	return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

/* Until no reply is due to a driver of before; whether that is so. */
static bool drop_stale(struct p9_device *p9)
{
	int ret = 1;

	while (p9->stale && (ret = drop_packet(p9)) > 0)
		p9->stale--;
	if (ret < 0)
		server_is_dead(p9);
	return !p9->stale;
}

/* The reply to the first chain: 1 it went back, 0 there is none yet, -EPIPE. */
static int receive(struct p9_device *p9)
{
	struct slot *slot = slot_at(p9, 0);
	struct msghdr message = { 0 };
	unsigned int segments;
	ssize_t got;

	if (virtq_chain_locate(&slot->chain)) {
		int ret = drop_packet(p9);

		if (ret > 0)
			push_empty(p9, slot);
		return ret;
	}
	message.msg_iov = virtq_chain_writable_segments(&slot->chain, &segments);
	message.msg_iovlen = segments;
	got = recvmsg(p9->fd, &message, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got < 0 && errno == EFAULT) /* the packet is gone all the same */
		push_error(p9, slot, -EIO);
	else if (got <= 0)
		return -EPIPE;
	else if (message.msg_flags & MSG_TRUNC)
		push_error(p9, slot, -EMSGSIZE);
	else
		push_reply(p9, slot, (size_t)got);
	return 1;
}

static void receive_all(struct p9_device *p9)
{
	int ret = 1;

	if (!drop_stale(p9))
		return;
	while (p9->sent && (ret = receive(p9)) > 0)
		drop_first(p9);
	if (ret < 0)
		server_is_dead(p9);
}

/* --- requests --- */

/* A chain into the slot behind the last. */
static void hold(struct p9_device *p9, const struct virtq_chain *popped)
{
	const unsigned int segment_count = popped->readable_count + popped->writable_count;
	struct slot *slot = slot_at(p9, p9->count);
	struct virtq_chain reader = *popped;
	uint8_t header[HEADER_BYTES];

	slot->chain = *popped;
	memcpy(slot->segments, popped->segments, segment_count * sizeof(slot->segments[0]));
	memcpy(slot->gpas, popped->segment_gpas, segment_count * sizeof(slot->gpas[0]));
	slot->chain.segments = slot->segments;
	slot->chain.segment_gpas = slot->gpas;
	slot->tag =
		virtq_chain_read(&reader, header, sizeof(header)) ? NO_TAG : load_le16(header + 5);
	p9->count++;
}

/* 0: sent; -EAGAIN: later; otherwise what the driver is told. */
static int send_request(struct p9_device *p9, struct slot *slot)
{
	struct msghdr message = { 0 };

	if (p9->dead || virtq_chain_locate(&slot->chain))
		return -EIO;
	if (slot->chain.readable_bytes < HEADER_BYTES || slot->chain.writable_bytes < ERROR_BYTES)
		return -EPROTO;
	if (slot->chain.readable_bytes > SHARE_MESSAGE_MAX_BYTES)
		return -EMSGSIZE;
	message.msg_iov = slot->chain.segments;
	message.msg_iovlen = slot->chain.readable_count;
	if (sendmsg(p9->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
		server_is_dead(p9);
	/* Room comes with a reply: without any that is due there is nothing to wait for. */
	else if ((errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR) &&
	         (p9->sent || p9->stale))
		return -EAGAIN;
	return -EIO;
}

/* The chain that is not sent yet. False: the socket is full. */
static bool send_last(struct p9_device *p9)
{
	struct slot *slot = slot_at(p9, p9->sent);
	int ret = send_request(p9, slot);

	if (ret == -EAGAIN)
		return false;
	if (ret) {
		push_error(p9, slot, ret);
		p9->count--;
		return true;
	}
	count(p9, METRIC_REQUESTS, 1);
	count(p9, METRIC_BYTES_FROM_GUEST, slot->chain.readable_bytes);
	p9->sent++;
	return true;
}

/* What was in flight when the server ended. */
static void fail_all(struct p9_device *p9)
{
	for (; p9->sent; drop_first(p9))
		push_error(p9, slot_at(p9, 0), -EIO);
}

/* New chains, as long as there is room for them: as virtqueue_pop says, 1 also when that ends. */
static int take_requests(struct p9_device *p9)
{
	struct virtq_chain popped;
	int ret = 1;

	for (unsigned int i = 0; i < P9_TURN_MAX && p9->count < P9_IN_FLIGHT_MAX; i++) {
		ret = virtqueue_pop(virtio_queue(&p9->vdev, 0), &popped);
		if (ret <= 0)
			break;
		hold(p9, &popped);
		if (!send_last(p9))
			break;
	}
	return ret;
}

/* Everything that can go on now. What it had no time for comes with another turn; what it has no
 * room for, with a reply. */
static void p9_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct p9_device *p9 = from_vdev(vdev);
	bool room = true;
	int ret = 1;

	if (!p9->dead)
		receive_all(p9);
	if (p9->dead)
		fail_all(p9);
	if (p9->count > p9->sent)
		room = send_last(p9);
	if (room)
		ret = take_requests(p9);
	if (ret < 0)
		forget(p9);
	if (p9->dead)
		fail_all(p9);
	virtio_queue_flush(vdev, queue_index);
	if (ret < 0)
		virtio_device_broken(vdev, "queue %u is not a valid ring", queue_index);
	else if (ret > 0 && p9->count == p9->sent && p9->count < P9_IN_FLIGHT_MAX)
		event_work_post(&p9->another_turn);
}

static void run_another_turn(void *ctx)
{
	virtio_queue_kicked(&((struct p9_device *)ctx)->vdev, 0);
}

/* A reply is there, or the server's end. */
static void socket_ready(void *ctx, uint32_t epoll_events)
{
	struct p9_device *p9 = ctx;
	struct virtio_device *vdev = &p9->vdev;

	(void)epoll_events;
	if (!vdev->active || (virtio_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		forget(p9);
	if (p9->sent || p9->stale)
		(void)drop_stale(p9);
	else if (drop_packet(p9)) /* nobody asked */
		server_is_dead(p9);
	virtio_queue_kicked(vdev, 0);
}

static void p9_deactivate(struct virtio_device *vdev)
{
	struct p9_device *p9 = from_vdev(vdev);

	event_work_cancel(&p9->another_turn);
	forget(p9);
}

static void p9_queue_stop(struct virtio_device *vdev, unsigned int queue_index)
{
	(void)queue_index;
	p9_deactivate(vdev);
}

static const struct virtio_device_ops p9_ops = {
	.deactivate = p9_deactivate,
	.queue_notify = p9_queue_notify,
	.queue_stop = p9_queue_stop,
};

/* --- set-up --- */

/* On main. The io loop finds out by the socket. */
static void server_ended(void *ctx, int wait_status)
{
	struct p9_device *p9 = ctx;
	struct log *log = p9->vdev.device.vm->log;
	const char *id = p9->vdev.device.id;

	if (WIFSIGNALED(wait_status))
		log_error(log,
		          "%s: the server of the folder was ended by signal %d; the guest gets "
		          "errors",
		          id, WTERMSIG(wait_status));
	else
		log_error(log, "%s: the server of the folder ended; the guest gets errors", id);
}

static int check_tag(struct vm *vm, const char *tag, struct error *err)
{
	const size_t length = strlen(tag);

	if (!length || length > P9_TAG_MAX)
		return error_set(err, -EINVAL, "tag: \"%s\": 1 to %d characters", tag, P9_TAG_MAX);
	for (const char *byte = tag; *byte; byte++)
		if (!isgraph((unsigned char)*byte))
			return error_set(err, -EINVAL,
			                 "tag: \"%s\": letters, digits and signs only", tag);
	list_for_each (node, &vm->devices) {
		struct p9_device *other = container_of(node, struct p9_device, vdev.device.node);

		if (other->vdev.device.class == &virtio_9p_class &&
		    strcmp((const char *)other->vdev.config + TAG_OFFSET, tag) == 0)
			return error_set(err, -EINVAL, "tag: \"%s\" is the tag of %s too", tag,
			                 other->vdev.device.id);
	}
	return 0;
}

static int start_server(struct p9_device *p9, struct vm *vm, const struct device_config *config,
                        struct error *err)
{
	const struct share_server_setup setup = {
		.id = config->id,
		.path = device_config_string(config, "path"),
		.readonly = device_config_bool(config, "readonly"),
		.sandbox = vm->config->sandbox,
		.user = vm->user,
		.loop = vm->main_loop,
		.ended = server_ended,
		.ctx = p9,
	};

	if (!setup.path)
		return error_set(err, -EINVAL, "which folder? (--share DIR)");
	return share_server_start(&setup, &p9->server, &p9->fd, err);
}

static void p9_destroy(struct device *device)
{
	struct p9_device *p9;

	if (!device)
		return;
	p9 = container_of(device, struct p9_device, vdev.device);
	virtio_device_fini(&p9->vdev);
	event_loop_remove(p9->source);
	share_server_stop(p9->server);
	free(p9);
}

static void publish_metrics(struct p9_device *p9)
{
	static const char *const names[METRICS] = { "requests", "bytes_from_guest",
		                                    "bytes_to_guest", "failed_requests" };

	for (size_t i = 0; i < METRICS; i++)
		p9->metrics[i].name = names[i];
	p9->vdev.device.metrics = p9->metrics;
	p9->vdev.device.metric_count = METRICS;
}

static int p9_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                     struct error *err)
{
	const struct virtio_device_setup setup = {
		.info = &p9_info,
		.ops = &p9_ops,
		.loop = vm->io_loop,
		.offered_features = p9_info.device_features,
	};
	const char *tag = device_config_string(config, "tag");
	struct p9_device *p9;
	int ret;

	if (!tag)
		tag = config->id;
	ret = check_tag(vm, tag, err);
	if (ret)
		return ret;
	p9 = calloc(1, sizeof(*p9));
	if (!p9)
		return error_set_errno(err, -ENOMEM, "state");
	event_work_init(&p9->another_turn, vm->io_loop, run_another_turn, p9);
	ret = virtio_device_init(&p9->vdev, vm, config, &setup, err);
	if (ret) {
		free(p9);
		return ret;
	}
	store_le16(p9->vdev.config, (uint16_t)strlen(tag));
	memcpy(p9->vdev.config + TAG_OFFSET, tag, strlen(tag));
	publish_metrics(p9);
	ret = start_server(p9, vm, config, err);
	if (!ret) {
		ret = event_loop_add(vm->io_loop, p9->fd, EPOLLIN, socket_ready, p9, &p9->source);
		if (ret)
			(void)error_set_errno(err, ret, "the io loop");
	}
	if (ret) {
		p9_destroy(&p9->vdev.device);
		return ret;
	}
	*ret_device = &p9->vdev.device;
	return 0;
}

static const struct device_option p9_options[] = {
	{ .key = "path",
	  .help = "the folder",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "DIR",
	  .default_text = "has to be given" },
	{ .key = "tag",
	  .help = "the name by which the guest mounts it",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "NAME",
	  .default_text = "the id" },
	{ .key = "readonly",
	  .help = "the guest changes nothing in it",
	  .type = DEVICE_OPTION_BOOL },
};

const struct device_class virtio_9p_class = {
	.name = "virtio-9p",
	.help = "a folder that the guest mounts (9P2000.L)",
	.option = "share",
	.positional = "path",
	.id_prefix = "share",
	.options = p9_options,
	.option_count = ARRAY_SIZE(p9_options),
	.create = p9_create,
	.destroy = p9_destroy,
};
