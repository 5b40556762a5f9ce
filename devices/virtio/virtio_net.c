/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (VIRTIO 1.2, 5.1): the device and what it is told and tells.
 *
 * DOC: frames go between the queues and a net_backend (a TAP, passt) on one of two paths, which is
 * chosen when the device is made and logged:
 *
 *	vhost-net	the host's kernel does it (virtio_net_vhost.h), where it can, or must
 *	userspace	ebb's io loop does it (virtio_net_user.c)
 *
 * Either way the control queue is served here (virtio_net_control.c), and pairs of queues come and
 * go with VIRTIO_NET_CTRL_MQ; the first alone runs at DRIVER_OK (5.1.6.5.6.2).
 *
 * Features: of the offloads what the back end carries; of those that need another, none without it.
 * MTU where the back end or the user says one. GUEST_ANNOUNCE: a guest that goes on after a pause
 * is asked to announce itself, since switches forget what is silent for some minutes. Not offered:
 * VLAN and extra receive filters, RSS, hash reports, coalescing.
 *
 * A back end that is gone takes the link down; what the guest sends then is dropped.
 *
 * Queue numbers follow the negotiated features (5.1.2): without MQ the control queue is 2, with it
 * 2N. So every instance has an info of its own.
 *
 * Threads: main creates and destroys and hears of the VM's going on; all else is the io loop's.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "../device_table.h"
#include "ebb/bytes.h"
#include "virtio_net_private.h"
#include "virtio_net_vhost.h"

#define CONFIG_BYTES offsetof(struct virtio_net_config, speed)
#define MTU_MIN      68
#define MTU_MAX      65535

/* --- features --- */

/* 5.1.3.1: a feature, and those of which it needs one at least. */
static const struct {
	unsigned int bit;
	uint64_t any_of;
} requirements[] = {
	{ VIRTIO_NET_F_GUEST_TSO4, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_TSO6, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_UFO, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ NET_F_GUEST_USO4, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ NET_F_GUEST_USO6, NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ VIRTIO_NET_F_GUEST_ECN,
	  NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) },
	{ VIRTIO_NET_F_HOST_TSO4, NET_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_TSO6, NET_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_UFO, NET_FEATURE(VIRTIO_NET_F_CSUM) },
	{ NET_F_HOST_USO, NET_FEATURE(VIRTIO_NET_F_CSUM) },
	{ VIRTIO_NET_F_HOST_ECN,
	  NET_FEATURE(VIRTIO_NET_F_HOST_TSO4) | NET_FEATURE(VIRTIO_NET_F_HOST_TSO6) },
	{ VIRTIO_NET_F_CTRL_RX, NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_MQ, NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) },
	{ VIRTIO_NET_F_CTRL_MAC_ADDR, NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) },
};

/* One pass is enough: what others need comes before them. */
uint64_t net_consistent_features(uint64_t features)
{
	for (size_t i = 0; i < ARRAY_SIZE(requirements); i++)
		if (!(features & requirements[i].any_of))
			features &= ~NET_FEATURE(requirements[i].bit);
	return features;
}

static bool features_ok(const struct virtio_device *vdev, uint64_t driver_features)
{
	(void)vdev;
	return net_consistent_features(driver_features) == driver_features;
}

static uint64_t offered_features(const struct virtio_net *net, uint16_t mtu)
{
	uint64_t features = net->backend->features & (NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS);

	features |= NET_FEATURE(VIRTIO_NET_F_MAC) | NET_FEATURE(VIRTIO_NET_F_STATUS) |
	            NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | NET_FEATURE(VIRTIO_NET_F_CTRL_VQ) |
	            NET_FEATURE(VIRTIO_NET_F_CTRL_RX) | NET_FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR) |
	            NET_FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE);
	if (net->vhost && !(net_vhost_features(net->vhost) & NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF)))
		features &= ~NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (features & NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM))
		features |= NET_FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (net->backend->queue_pairs > 1)
		features |= NET_FEATURE(VIRTIO_NET_F_MQ);
	if (mtu)
		features |= NET_FEATURE(VIRTIO_NET_F_MTU);
	return net_consistent_features(features);
}

enum net_queue_role net_queue_role(uint64_t features, unsigned int pairs_max,
                                   unsigned int queue_index, unsigned int *ret_pair)
{
	const unsigned int pairs = features & NET_FEATURE(VIRTIO_NET_F_MQ) ? pairs_max : 1;

	if (queue_index < 2 * pairs) {
		*ret_pair = queue_index / 2;
		return queue_index % 2 ? NET_QUEUE_SEND : NET_QUEUE_RECEIVE;
	}
	if (queue_index == 2 * pairs && features & NET_FEATURE(VIRTIO_NET_F_CTRL_VQ))
		return NET_QUEUE_CONTROL;
	return NET_QUEUE_NONE;
}

/* --- what the parts share --- */

static struct virtio_net *from_vdev(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_net, vdev);
}

void net_count(struct virtio_net *net, enum net_metric metric, uint64_t amount)
{
	metric_add(&net->metrics[metric].counter, amount);
}

void net_flush(struct virtio_net *net, unsigned int queue_index)
{
	if (virtio_queue_flush(&net->vdev, queue_index))
		net_count(net, NET_INTERRUPTS, 1);
}

void net_set_status(struct virtio_net *net, uint16_t status, bool tell)
{
	uint8_t bytes[sizeof(status)];

	net->status = status;
	store_le16(bytes, status);
	if (tell)
		virtio_config_update(&net->vdev, offsetof(struct virtio_net_config, status), bytes,
		                     sizeof(bytes));
	else
		virtio_config_store(&net->vdev, offsetof(struct virtio_net_config, status), bytes,
		                    sizeof(bytes));
}

void net_backend_lost(struct virtio_net *net, int error)
{
	if (net->backend_lost)
		return;
	net->backend_lost = true;
	log_warn(net->vdev.device.vm->log, "%s: %s is gone: %s; the link is down",
	         net->vdev.device.id, net->backend->name, strerrordesc_np(-error));
	for (unsigned int i = 0; net->pairs && i < net->backend->queue_pairs; i++)
		net_user_unwatch(&net->pairs[i]);
	net_set_status(net, net->status & (uint16_t)~VIRTIO_NET_S_LINK_UP, true);
}

/* Of a back end that is gone nothing is asked any more. */
int net_set_offloads(struct virtio_net *net, uint64_t offloads)
{
	struct net_backend *backend = net->backend;
	const uint64_t others = net->vdev.driver_features & ~NET_GUEST_OFFLOADS;
	int ret = 0;

	if (!net->backend_lost)
		ret = backend->ops->set_offloads(backend, others | offloads);
	if (!ret)
		net->offloads = offloads;
	return ret;
}

static int set_backend_pairs(struct virtio_net *net, unsigned int pairs)
{
	return net->backend_lost ? 0 : net->backend->ops->set_queue_pairs(net->backend, pairs);
}

/* --- pairs of queues --- */

static int run_pairs(struct virtio_net *net, unsigned int pairs)
{
	struct error err = ERROR_INIT;
	int ret;

	if (!net->vhost)
		return net_user_set_pairs(net, pairs);
	ret = net->pairs_in_use ? net_vhost_set_pairs(net->vhost, pairs, &err)
	                        : net_vhost_start(net->vhost, pairs, &err);
	if (ret)
		log_message_limited(net->vdev.device.vm->log, &net->vdev.log_limit, LOG_WARN,
		                    "%s: %s", net->vdev.device.id, err.message);
	return ret;
}

/* Whether the driver enabled all queues of so many pairs. */
static bool are_enabled(struct virtio_net *net, unsigned int pairs)
{
	for (unsigned int i = 0; i < 2 * pairs; i++)
		if (!virtqueue_is_enabled(virtio_queue(&net->vdev, i)))
			return false;
	return true;
}

int net_set_pairs(struct virtio_net *net, unsigned int pairs)
{
	const unsigned int before = net->pairs_in_use;
	int ret;

	if (pairs == before)
		return 0;
	if (pairs > before && !are_enabled(net, pairs)) /* 5.1.6.5.6.1 */
		return -EINVAL;
	/* The back end has at least the pairs that run. */
	ret = pairs > before ? set_backend_pairs(net, pairs) : run_pairs(net, pairs);
	if (ret)
		return ret;
	ret = pairs > before ? run_pairs(net, pairs) : set_backend_pairs(net, pairs);
	if (!ret) {
		net->pairs_in_use = pairs;
		return 0;
	}
	/* Back to how it was, as far as the host lets us. */
	if (pairs > before)
		(void)!set_backend_pairs(net, before);
	else
		(void)!run_pairs(net, before);
	return ret;
}

/* --- the verbs --- */

static int net_activate(struct virtio_device *vdev)
{
	struct virtio_net *net = from_vdev(vdev);
	int ret = net_set_offloads(net, vdev->driver_features & NET_GUEST_OFFLOADS);

	if (!ret)
		ret = set_backend_pairs(net, 1);
	if (!ret)
		ret = run_pairs(net, 1);
	if (!ret)
		net->pairs_in_use = 1;
	return ret;
}

/* What the driver set goes with it (5.1.6.5). */
static void net_deactivate(struct virtio_device *vdev)
{
	struct virtio_net *net = from_vdev(vdev);

	event_work_cancel(&net->control);
	event_work_cancel(&net->announce);
	if (net->vhost)
		net_vhost_stop(net->vhost);
	else
		(void)!net_user_set_pairs(net, 0); /* stopping cannot fail */
	net->pairs_in_use = 0;
	net_set_status(net, net->status & (uint16_t)~VIRTIO_NET_S_ANNOUNCE, false);
	virtio_config_store(vdev, offsetof(struct virtio_net_config, mac), net->mac, MAC_BYTES);
}

static void net_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtio_net *net = from_vdev(vdev);
	unsigned int pair = 0;
	enum net_queue_role role = net_queue_role(vdev->driver_features, net->backend->queue_pairs,
	                                          queue_index, &pair);

	if (role == NET_QUEUE_CONTROL)
		net_control_notify(net);
	else if (role != NET_QUEUE_NONE && net->pairs)
		net_user_notify(&net->pairs[pair], role == NET_QUEUE_SEND);
}

static void net_queue_stop(struct virtio_device *vdev, unsigned int queue_index)
{
	struct virtio_net *net = from_vdev(vdev);

	if (net->vhost)
		net_vhost_stop_queue(net->vhost, queue_index);
	else if (queue_index < 2 * net->pairs_in_use)
		net_user_stop_queue(&net->pairs[queue_index / 2], queue_index % 2);
}

static const struct virtio_device_ops net_ops = {
	.activate = net_activate,
	.deactivate = net_deactivate,
	.queue_notify = net_queue_notify,
	.queue_stop = net_queue_stop,
	.features_ok = features_ok,
};

/* --- announcing --- */

static void ask_to_announce(void *ctx)
{
	struct virtio_net *net = ctx;

	if (net->pairs_in_use && !net->backend_lost &&
	    virtio_has_feature(&net->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE))
		net_set_status(net, net->status | VIRTIO_NET_S_ANNOUNCE, true);
}

static void vm_event_happened(struct vm_listener *listener, enum vm_event event, uint64_t value)
{
	(void)value;
	if (event == VM_EVENT_RESUME)
		event_work_post(&container_of(listener, struct virtio_net, listener)->announce);
}

/* --- life --- */

static void net_destroy(struct device *device)
{
	struct virtio_net *net;

	if (!device)
		return;
	net = container_of(device, struct virtio_net, vdev.device);
	if (net->listening)
		vm_unlisten(&net->listener);
	virtio_device_fini(&net->vdev);
	event_work_cancel(&net->announce);
	event_work_cancel(&net->control);
	net_vhost_destroy(net->vhost);
	if (net->backend) {
		net_user_destroy(net);
		net->backend->ops->destroy(net->backend);
	}
	free(net);
}

static int open_backend(struct virtio_net *net, struct vm *vm, const struct device_config *config,
                        struct error *err)
{
	const char *kind = device_config_string(config, "kind");

	if (kind && !strcmp(kind, "tap"))
		return tap_open(vm, config, &net->backend, err);
	if (kind && !strcmp(kind, "user"))
		return passt_open(vm, config, &net->backend, err);
	return error_set(err, -EINVAL, "kind=%s: not a network (give tap or user)",
	                 kind ? kind : "");
}

/* Says which path it is and why. */
static int choose_path(struct virtio_net *net, struct vm *vm, const struct device_config *config,
                       struct error *err)
{
	const struct net_vhost_setup setup = {
		.vm = vm,
		.vdev = &net->vdev,
		.backend = net->backend,
		.pair_count = net->backend->queue_pairs,
		.error_count = &net->metrics[NET_VHOST_ERRORS].counter,
	};
	const bool given = device_config_given(config, "vhost");
	struct error why = ERROR_INIT;
	int ret = -ENOTSUP;

	if (given && !device_config_bool(config, "vhost"))
		error_set(&why, ret, "vhost=off");
	else
		ret = net_vhost_create(&setup, &net->vhost, &why);
	if (ret && given && device_config_bool(config, "vhost")) {
		error_set(err, ret, "vhost=on: %s", why.message);
		return ret;
	}
	if (!ret) {
		net_count(net, NET_VHOST_IN_USE, 1);
		log_info(vm->log, "%s: %s, by vhost-net, %u pair(s) of queues", config->id,
		         net->backend->name, net->backend->queue_pairs);
		return 0;
	}
	log_info(vm->log, "%s: %s, by ebb itself, %u pair(s) of queues (no vhost-net: %s)",
	         config->id, net->backend->name, net->backend->queue_pairs, why.message);
	ret = net_user_create(net, vm);
	return ret ? error_set_errno(err, ret, "queues") : 0;
}

static int choose_mac(struct virtio_net *net, struct vm *vm, const struct device_config *config,
                      struct error *err)
{
	const char *text = device_config_string(config, "mac");

	if (!text)
		mac_choose(vm->config->name, config->id, net->mac);
	else if (mac_parse(text, net->mac))
		return error_set(err, -EINVAL,
		                 "mac=%s: not an interface's address (such as 52:54:00:12:34:56)",
		                 text);
	return 0;
}

static int choose_mtu(const struct virtio_net *net, const struct device_config *config,
                      uint16_t *ret_mtu, struct error *err)
{
	const uint64_t mtu = device_config_number(config, "mtu");

	if (mtu && mtu < MTU_MIN)
		return error_set(err, -EINVAL, "mtu=%llu: too small (give %d to %d)",
		                 (unsigned long long)mtu, MTU_MIN, MTU_MAX);
	*ret_mtu = mtu ? (uint16_t)mtu : net->backend->mtu;
	return 0;
}

static void name_metrics(struct virtio_net *net)
{
	static const char *const names[NET_METRIC_COUNT] = {
		[NET_FRAMES_RECEIVED] = "frames_received",
		[NET_BYTES_RECEIVED] = "bytes_received",
		[NET_FRAMES_SENT] = "frames_sent",
		[NET_BYTES_SENT] = "bytes_sent",
		[NET_RECEIVE_DROPPED] = "receive_dropped",
		[NET_SEND_DROPPED] = "send_dropped",
		[NET_BACKEND_SYSCALLS] = "backend_syscalls",
		[NET_INTERRUPTS] = "interrupts",
		[NET_CONTROL_COMMANDS] = "control_commands",
		[NET_CONTROL_REFUSED] = "control_refused",
		[NET_VHOST_ERRORS] = "vhost_errors",
		[NET_VHOST_IN_USE] = "vhost_in_use",
	};

	for (size_t i = 0; i < NET_METRIC_COUNT; i++)
		net->metrics[i].name = names[i];
}

static int init_device(struct virtio_net *net, struct vm *vm, const struct device_config *config,
                       uint16_t mtu, struct error *err)
{
	struct virtio_device_setup setup = {
		.info = &net->info,
		.ops = &net_ops,
		.loop = vm->io_loop,
		.offered_features = offered_features(net, mtu),
	};
	uint8_t *space = net->vdev.config;
	int ret;

	for (unsigned int i = 0; i < NET_QUEUES_MAX; i++)
		net->queue_sizes[i] = NET_QUEUE_SIZE;
	net->info = (struct virtio_device_info){
		.device_id = VIRTIO_ID_NET,
		.device_features = setup.offered_features,
		.queue_count = (uint16_t)(2 * net->backend->queue_pairs + 1),
		.queue_size_max = net->queue_sizes,
		.config_size_bytes = CONFIG_BYTES,
	};
	net->status = VIRTIO_NET_S_LINK_UP;
	memcpy(space + offsetof(struct virtio_net_config, mac), net->mac, MAC_BYTES);
	store_le16(space + offsetof(struct virtio_net_config, status), net->status);
	store_le16(space + offsetof(struct virtio_net_config, max_virtqueue_pairs),
	           (uint16_t)net->backend->queue_pairs);
	store_le16(space + offsetof(struct virtio_net_config, mtu), mtu);
	ret = virtio_device_init(&net->vdev, vm, config, &setup, err);
	if (ret)
		return ret;
	net->vdev.device.metrics = net->metrics;
	net->vdev.device.metric_count = NET_METRIC_COUNT;
	return 0;
}

static int net_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                      struct error *err)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	uint16_t mtu = 0;
	int ret;

	if (!net)
		return error_set_errno(err, -ENOMEM, "state");
	name_metrics(net);
	event_work_init(&net->announce, vm->io_loop, ask_to_announce, net);
	event_work_init(&net->control, vm->io_loop, net_control_work, net);
	ret = choose_mac(net, vm, config, err);
	if (!ret)
		ret = open_backend(net, vm, config, err);
	if (!ret)
		ret = choose_mtu(net, config, &mtu, err);
	if (!ret)
		ret = choose_path(net, vm, config, err);
	if (!ret)
		ret = init_device(net, vm, config, mtu, err);
	if (ret) {
		net_destroy(&net->vdev.device);
		return ret;
	}
	net->listener.event = vm_event_happened;
	vm_listen(vm, &net->listener);
	net->listening = true;
	*ret_device = &net->vdev.device;
	return 0;
}

static const char *const kinds[] = { "tap", "user", NULL };

static const struct device_option net_options[] = {
	{ .key = "kind",
	  .help = "tap: an interface of the host; user: by passt, without root",
	  .type = DEVICE_OPTION_STRING,
	  .choices = kinds,
	  .value_text = "tap|user" },
	{ .key = "ifname",
	  .help = "tap: the interface, made where it is not there and ebb may",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "NAME",
	  .default_text = "one that the host names" },
	{ .key = "fd",
	  .help = "tap: an open descriptor of /dev/net/tun to use instead",
	  .type = DEVICE_OPTION_UINT,
	  .default_text = "none" },
	{ .key = "vhost",
	  .help = "tap: let the host's kernel move the frames",
	  .type = DEVICE_OPTION_BOOL,
	  .default_value = 1,
	  .default_text = "on where /dev/vhost-net can be opened" },
	{ .key = "queues",
	  .help = "tap: pairs of queues, 1 to 8",
	  .type = DEVICE_OPTION_UINT,
	  .default_value = 1,
	  .min = 1,
	  .max = NET_QUEUE_PAIRS_MAX },
	{ .key = "mac",
	  .help = "the guest's address",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "ADDRESS",
	  .default_text = "the same for the same names of guest and device" },
	{ .key = "mtu",
	  .help = "what the guest is told, 68 to 65535",
	  .type = DEVICE_OPTION_UINT,
	  .max = MTU_MAX,
	  .default_text = "the interface's" },
	{ .key = "forward",
	  .help = "user: a port of the host that is the guest's",
	  .type = DEVICE_OPTION_STRING,
	  .value_text = "[tcp:|udp:]HOST:GUEST",
	  .repeatable = true,
	  .default_text = "none" },
};

const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.help = "a network interface",
	.option = "network",
	.short_option = 'n',
	.positional = "kind",
	.id_prefix = "net",
	.is_network = true,
	.options = net_options,
	.option_count = ARRAY_SIZE(net_options),
	.create = net_create,
	.destroy = net_destroy,
};
