/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP interfaces: opened, made or taken over, and set to what the driver negotiated.
 *
 * DOC: each queue pair is a descriptor of /dev/net/tun that is attached to one interface; the first
 * speaks for the interface where something is the interface's own (header size, offloads).
 *
 *   given       what happens
 *   ifname      attach to it; where there is none, make it if ebb may, and it goes with ebb
 *   fd          a TAP's descriptor that somebody else has attached; ours from then on
 *   neither     make one, whose name the kernel chooses
 *
 * An interface is made for several queues or for one, and attaching has to say which; the kernel
 * answers the wrong word as it does an interface that is no TAP. So the other word is tried where
 * the first fails: it tells the two apart, and one queue of several is as good as one alone.
 *
 * Offloads are probed by setting them; what the kernel does not know it refuses. A TAP always takes
 * from a guest what it can give to one, so each counts both ways. They are all off until the driver
 * has negotiated. A detached queue (set_queue_pairs) reads, writes and polls as one whose interface
 * is gone, so nobody may watch it.
 *
 * Frames: tap_frames.c. Linux: Documentation/networking/tuntap.rst; VIRTIO 1.2, 5.1.6.
 *
 * Syscalls: main,io: fcntl ioctl:tun
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebb/log.h"
#include "ebb/vm.h"

#include "net_backend.h"
#include "tap_frames.h"

/* Of kernels newer than the headers may be. */
#define TAP_F_USO4_USO6    0x60
#define FEATURES_GUEST_USO (NET_FEATURE(NET_F_GUEST_USO4) | NET_FEATURE(NET_F_GUEST_USO6))
#define USUAL_MTU          1500
#define ANY_NAME           "tap%d" /* the kernel puts a number there */
#define ATTACH_FLAGS       (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

struct tap {
	struct net_backend backend;
	struct tap_frames *frames;
	char ifname[IFNAMSIZ];
	char name[IFNAMSIZ + 4];      /* "tap tap0" */
	bool is_multi_queue, is_made; /* made: by us, and down still */
	unsigned int attached_count;  /* of backend.queue_pairs, from 0 on */
	unsigned int accepted;        /* TUN_F_* that this kernel knows */
	int fds[NET_QUEUE_PAIRS_MAX]; /* -1: none */
};

static struct tap *tap_of(struct net_backend *backend)
{
	return container_of(backend, struct tap, backend);
}

static int tun_ioctl(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

/* --- What the host says of an interface by its name, in this network namespace --- */

static int interface_ioctl(const char *ifname, unsigned long request, struct ifreq *io)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	snprintf(io->ifr_name, sizeof(io->ifr_name), "%s", ifname);
	r = tun_ioctl(fd, request, io);
	close(fd);
	return r;
}

static bool interface_exists(const char *ifname)
{
	struct ifreq request = { 0 };

	return interface_ioctl(ifname, SIOCGIFFLAGS, &request) != -ENODEV;
}

static int bring_up(const struct tap *tap, struct error *err)
{
	struct ifreq request = { 0 };
	int r = interface_ioctl(tap->ifname, SIOCGIFFLAGS, &request);

	if (r == 0) {
		request.ifr_flags |= IFF_UP;
		r = interface_ioctl(tap->ifname, SIOCSIFFLAGS, &request);
	}
	if (r < 0)
		return error_set_errno(err, r, "interface %s (sudo ip link set %s up)", tap->ifname,
		                       tap->ifname);
	return 0;
}

/* Whether what has its name here is the interface itself, and not another namespace's namesake:
 * they differ in their MAC addresses. */
static bool is_of_this_namespace(const struct tap *tap)
{
	struct ifreq here = { 0 }, own = { 0 };

	return interface_ioctl(tap->ifname, SIOCGIFHWADDR, &here) == 0 &&
	       tun_ioctl(tap->fds[0], SIOCGIFHWADDR, &own) == 0 &&
	       memcmp(&here.ifr_hwaddr, &own.ifr_hwaddr, sizeof(own.ifr_hwaddr)) == 0;
}

static void look_at_interface(struct tap *tap, struct vm *vm)
{
	struct ifreq request = { 0 };

	if (!is_of_this_namespace(tap))
		return;
	if (interface_ioctl(tap->ifname, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0 &&
	    request.ifr_mtu <= UINT16_MAX && request.ifr_mtu != USUAL_MTU)
		tap->backend.mtu = (uint16_t)request.ifr_mtu;
	memset(&request, 0, sizeof(request));
	if (interface_ioctl(tap->ifname, SIOCGIFFLAGS, &request) == 0 &&
	    !(request.ifr_flags & IFF_UP))
		log_warn(vm->log, "interface %s is down: no frame passes (sudo ip link set %s up)",
		         tap->ifname, tap->ifname);
}

/* --- Attaching --- */

static int open_tun(struct error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	switch (r) {
	case 0:
		return fd;
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return error_set(err, r, "/dev/net/tun: not there (sudo modprobe tun)");
	case -EACCES:
	case -EPERM:
		return error_set(err, r,
		                 "/dev/net/tun: permission denied (sudo chmod 666 /dev/net/tun)");
	default:
		return error_set_errno(err, r, "/dev/net/tun");
	}
}

/* Takes the kernel's name for the interface. */
static int attach(struct tap *tap, int fd, const char *ifname, bool is_multi_queue)
{
	struct ifreq request = { 0 };
	int r;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	request.ifr_flags = (short)(ATTACH_FLAGS | (is_multi_queue ? IFF_MULTI_QUEUE : 0));
	r = tun_ioctl(fd, TUNSETIFF, &request);
	if (r < 0)
		return r;
	snprintf(tap->ifname, sizeof(tap->ifname), "%.*s", IFNAMSIZ - 1, request.ifr_name);
	tap->is_multi_queue = is_multi_queue;
	return 0;
}

/* The commands that make an interface for this user. */
static const char *recipe(const char *ifname, bool is_multi_queue, char text[256])
{
	snprintf(text, 256,
	         "sudo ip tuntap add dev %s mode tap user $USER%s && sudo ip link set %s up",
	         ifname, is_multi_queue ? " multi_queue" : "", ifname);
	return text;
}

static int explain_attach(int code, const char *ifname, bool exists, bool is_multi_queue,
                          struct error *err)
{
	char text[256];

	if (code == -EPERM && !strcmp(ifname, ANY_NAME))
		return error_set(err, code,
		                 "ebb may not make an interface (%s; then give ifname=tap0)",
		                 recipe("tap0", is_multi_queue, text));
	if (code == -EPERM && !exists)
		return error_set(err, code,
		                 "interface %s: there is none, and ebb may not make it (%s)",
		                 ifname, recipe(ifname, is_multi_queue, text));
	if (code == -EPERM)
		return error_set(err, code,
		                 "interface %s: belongs to another user (sudo ip tuntap del dev %s "
		                 "mode tap && %s)",
		                 ifname, ifname, recipe(ifname, is_multi_queue, text));
	if (code == -EBUSY)
		return error_set(err, code,
		                 "interface %s: another program has it (sudo fuser -v /dev/net/tun "
		                 "says which)",
		                 ifname);
	if (code == -EINVAL && exists)
		return error_set(err, code,
		                 "interface %s: not a TAP (give the name of one, or of none: ip "
		                 "tuntap show)",
		                 ifname);
	return error_set_errno(err, code, "interface %s", ifname);
}

static int attach_first(struct tap *tap, const char *ifname, struct error *err)
{
	bool several = tap->backend.queue_pairs > 1;
	bool exists = strcmp(ifname, ANY_NAME) && interface_exists(ifname);
	char text[256];
	int r, other;

	r = open_tun(err);
	if (r < 0)
		return r;
	tap->fds[0] = r;
	r = attach(tap, tap->fds[0], ifname, several);
	if (r == -EINVAL && exists) {
		other = attach(tap, tap->fds[0], ifname, !several);
		if (several && other != -EINVAL)
			return error_set(err, -EINVAL,
			                 "interface %s: has one queue, and %u are wanted (sudo ip "
			                 "tuntap del dev %s mode tap && %s; or leave queues out)",
			                 ifname, tap->backend.queue_pairs, ifname,
			                 recipe(ifname, true, text));
		r = other;
	}
	if (r < 0)
		return explain_attach(r, ifname, exists, several, err);
	tap->is_made = !exists;
	return 0;
}

static int attach_named(struct tap *tap, const char *ifname, struct error *err)
{
	int r = attach_first(tap, ifname, err);

	for (unsigned int i = 1; r == 0 && i < tap->backend.queue_pairs; i++) {
		r = open_tun(err);
		if (r < 0)
			return r;
		tap->fds[i] = r;
		r = attach(tap, tap->fds[i], tap->ifname, true);
		if (r < 0)
			return error_set_errno(err, r, "interface %s: queue %u", tap->ifname, i);
	}
	return r;
}

/* A descriptor handed in: ours as soon as it has shown to be a TAP's. */
static int take_fd(struct tap *tap, int fd, struct error *err)
{
	struct ifreq request = { 0 };
	int flags = fcntl(fd, F_GETFL), r;

	if (flags < 0)
		return error_set(err, -errno, "fd=%d: not open", fd);
	r = tun_ioctl(fd, TUNGETIFF, &request);
	if (r == -EBADFD)
		return error_set(err, r, "fd=%d: attached to no interface (TUNSETIFF does that)",
		                 fd);
	if (r < 0 || !(request.ifr_flags & IFF_TAP))
		return error_set(err, -EINVAL, "fd=%d: not a TAP's (open /dev/net/tun for it)", fd);
	if ((request.ifr_flags & ATTACH_FLAGS) != ATTACH_FLAGS)
		return error_set(err, -EINVAL,
		                 "fd=%d: frames have no virtio-net header (attach it with IFF_TAP, "
		                 "IFF_NO_PI and IFF_VNET_HDR)",
		                 fd);
	if (tap->backend.queue_pairs > 1)
		return error_set(err, -EINVAL,
		                 "fd=%d: is one queue, and %u are wanted (leave queues out, or "
		                 "give ifname instead)",
		                 fd, tap->backend.queue_pairs);
	tap->fds[0] = fd;
	snprintf(tap->ifname, sizeof(tap->ifname), "%.*s", IFNAMSIZ - 1, request.ifr_name);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return error_set_errno(err, -errno, "fd=%d", fd);
	return 0;
}

/* --- The header and offloads --- */

static const struct {
	unsigned int tun;
	uint64_t host, guest; /* what the guest may send, and be sent */
} offloads[] = {
	{ TUN_F_CSUM, NET_FEATURE(VIRTIO_NET_F_CSUM), NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) },
	{ TUN_F_TSO4, NET_FEATURE(VIRTIO_NET_F_HOST_TSO4), NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) },
	{ TUN_F_TSO6, NET_FEATURE(VIRTIO_NET_F_HOST_TSO6), NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) },
	{ TUN_F_TSO_ECN, NET_FEATURE(VIRTIO_NET_F_HOST_ECN), NET_FEATURE(VIRTIO_NET_F_GUEST_ECN) },
	{ TUN_F_UFO, NET_FEATURE(VIRTIO_NET_F_HOST_UFO), NET_FEATURE(VIRTIO_NET_F_GUEST_UFO) },
	{ TAP_F_USO4_USO6, NET_FEATURE(NET_F_HOST_USO), FEATURES_GUEST_USO }, /* both or neither */
};

static int set_offload_bits(const struct tap *tap, unsigned int bits)
{
	return ioctl(tap->fds[0], TUNSETOFFLOAD, (unsigned long)bits) < 0 ? -errno : 0;
}

static int set_up_header(struct tap *tap, struct error *err)
{
	int size_bytes = NET_HEADER_BYTES, little_endian = 1, r;

	r = tun_ioctl(tap->fds[0], TUNSETVNETHDRSZ, &size_bytes);
	if (r == 0)
		r = tun_ioctl(tap->fds[0], TUNSETVNETLE, &little_endian);
	if (r < 0)
		return error_set_errno(err, r, "interface %s: header of VIRTIO 1", tap->ifname);
	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++) {
		if (set_offload_bits(tap, tap->accepted | offloads[i].tun))
			continue;
		tap->accepted |= offloads[i].tun;
		tap->backend.features |= offloads[i].host | offloads[i].guest;
	}
	r = set_offload_bits(tap, 0);
	if (r < 0)
		return error_set_errno(err, r, "interface %s: offloads", tap->ifname);
	return 0;
}

static int tap_set_offloads(struct net_backend *backend, uint64_t driver_features)
{
	const struct tap *tap = tap_of(backend);
	unsigned int bits = 0;

	for (size_t i = 0; i < ARRAY_SIZE(offloads); i++)
		if ((driver_features & offloads[i].guest) == offloads[i].guest)
			bits |= offloads[i].tun & tap->accepted;
	/* The kernel refuses what makes no sense: all without checksums, ECN without TSO. */
	if (!(bits & (TUN_F_TSO4 | TUN_F_TSO6)))
		bits &= ~(unsigned int)TUN_F_TSO_ECN;
	if (!(bits & TUN_F_CSUM))
		bits = 0;
	return set_offload_bits(tap, bits);
}

static int tap_set_queue_pairs(struct net_backend *backend, unsigned int count)
{
	struct tap *tap = tap_of(backend);

	if (!count || count > backend->queue_pairs)
		return -EINVAL;
	while (tap->attached_count != count) {
		bool attaches = tap->attached_count < count;
		unsigned int pair = attaches ? tap->attached_count : tap->attached_count - 1;
		struct ifreq request = { 0 };
		int r;

		request.ifr_flags = (short)(attaches ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
		r = tun_ioctl(tap->fds[pair], TUNSETQUEUE, &request);
		if (r < 0)
			return r;
		tap->attached_count = attaches ? pair + 1 : pair;
	}
	return 0;
}

/* --- The back end --- */

static int tap_send(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                    unsigned int count)
{
	struct tap *tap = tap_of(backend);

	return tap_frames_send(tap->frames, tap->fds[pair], frames, count, &backend->syscall_count);
}

static int tap_receive(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                       unsigned int count)
{
	struct tap *tap = tap_of(backend);

	return tap_frames_receive(tap->frames, tap->fds[pair], frames, count,
	                          &backend->syscall_count);
}

static int tap_fd(struct net_backend *backend, unsigned int pair)
{
	return tap_of(backend)->fds[pair];
}

static void tap_destroy(struct net_backend *backend)
{
	struct tap *tap;

	if (!backend)
		return;
	tap = tap_of(backend);
	tap_frames_destroy(tap->frames);
	for (unsigned int i = 0; i < NET_QUEUE_PAIRS_MAX; i++)
		if (tap->fds[i] >= 0)
			close(tap->fds[i]);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.poll_fd = tap_fd,
	.vhost_fd = tap_fd,
	.set_offloads = tap_set_offloads,
	.set_queue_pairs = tap_set_queue_pairs,
	.destroy = tap_destroy,
};

static int set_up(struct tap *tap, struct vm *vm, struct error *err)
{
	int r = set_up_header(tap, err);

	if (r < 0)
		return r;
	tap->attached_count = tap->backend.queue_pairs;
	r = tap_set_queue_pairs(&tap->backend, 1);
	if (r < 0)
		return error_set_errno(err, r, "interface %s: queues", tap->ifname);
	if (tap->is_made) {
		r = bring_up(tap, err);
		if (r < 0)
			return r;
		log_info(vm->log, "interface %s was made, and goes with this guest", tap->ifname);
	}
	look_at_interface(tap, vm);
	snprintf(tap->name, sizeof(tap->name), "tap %s", tap->ifname);
	return 0;
}

static struct tap *new_tap(struct log *log, unsigned int queue_pairs)
{
	struct tap *tap = calloc(1, sizeof(*tap));

	if (!tap)
		return NULL;
	tap->backend.ops = &tap_ops;
	tap->backend.name = tap->name;
	tap->backend.queue_pairs = queue_pairs;
	for (unsigned int i = 0; i < NET_QUEUE_PAIRS_MAX; i++)
		tap->fds[i] = -1;
	if (tap_frames_create(log, &tap->frames)) {
		free(tap);
		return NULL;
	}
	return tap;
}

int tap_open(struct vm *vm, const struct device_config *config, struct net_backend **ret_backend,
             struct error *err)
{
	const char *ifname = device_config_string(config, "ifname");
	uint64_t queues = device_config_number(config, "queues");
	struct tap *tap;
	int r;

	if (!queues || queues > NET_QUEUE_PAIRS_MAX)
		return error_set(err, -EINVAL, "queues=%llu: 1 to %d", (unsigned long long)queues,
		                 NET_QUEUE_PAIRS_MAX);
	if (ifname && (!*ifname || strlen(ifname) >= IFNAMSIZ || strchr(ifname, '%')))
		return error_set(err, -EINVAL, "ifname=%s: no name (1 to %d characters)", ifname,
		                 IFNAMSIZ - 1);
	tap = new_tap(vm->log, (unsigned int)queues);
	if (!tap)
		return error_set_errno(err, -ENOMEM, "tap");
	if (device_config_given(config, "fd"))
		r = take_fd(tap, (int)min_u64(device_config_number(config, "fd"), INT32_MAX), err);
	else
		r = attach_named(tap, ifname ? ifname : ANY_NAME, err);
	if (r == 0)
		r = set_up(tap, vm, err);
	if (r < 0) {
		tap_destroy(&tap->backend);
		return r;
	}
	if (vm->config->sandbox)
		tap_frames_prepare(tap->frames);
	*ret_backend = &tap->backend;
	return 0;
}
