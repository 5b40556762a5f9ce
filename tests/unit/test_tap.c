/* SPDX-License-Identifier: Apache-2.0 */
/* wraps: calloc open ioctl socket */
/*
 * TAP interfaces against a kernel of the test's own: what is opened, made and taken over, what is
 * said where that fails, and nothing left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/log.h"
#include "ebb/vm.h"

#include "../../devices/net/net_backend.h"

#define FDS_MAX 256
#define USO     0x60 /* TUN_F_USO4 | TUN_F_USO6 */

struct tun_file { /* by descriptor; peer is the wire */
	bool is_tun, is_attached, is_enabled;
	int peer;
};

static struct {
	struct vm vm;
	struct vm_config vm_config;
	struct device_class class;
	struct device_config config;
	struct net_backend *backend;
	struct error err;
	int log[2];
	/* The kernel: one interface. */
	char ifname[IFNAMSIZ];
	bool exists, is_tap, is_multi_queue, is_ours, is_busy, may_make, is_up, is_far;
	bool made;
	int mtu;
	unsigned int known_offloads;
	struct tun_file files[FDS_MAX];
	int open_errno;
	/* What was set. */
	int header_bytes, little_endian;
	unsigned int offloads;
	short fd_flags; /* TUNGETIFF */
	int get_errno;
	/* Failures. */
	unsigned int left; /* fallible calls until one fails; 0: none does */
	bool failed;
} t;

static const struct device_option options[] = {
	{ .key = "ifname", .type = DEVICE_OPTION_STRING },
	{ .key = "fd", .type = DEVICE_OPTION_UINT },
	{ .key = "queues", .type = DEVICE_OPTION_UINT, .default_value = 1 },
};

void *__real_calloc(size_t count, size_t size_bytes);
void *__wrap_calloc(size_t count, size_t size_bytes);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

static bool fails_now(int code)
{
	if (!t.left || --t.left)
		return false;
	t.failed = true;
	errno = code;
	return true;
}

static int answer(int code)
{
	if (!code)
		return 0;
	errno = code;
	return -1;
}

void *__wrap_calloc(size_t count, size_t size_bytes)
{
	return fails_now(ENOMEM) ? NULL : __real_calloc(count, size_bytes);
}

int __wrap_socket(int domain, int type, int protocol)
{
	assert_true(type & SOCK_CLOEXEC);
	return fails_now(EMFILE) ? -1 : __real_socket(domain, type, protocol);
}

static int new_tun(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	                 0);
	assert_in_range(fds[0], 0, FDS_MAX - 1);
	t.files[fds[0]] = (struct tun_file){ .is_tun = true, .peer = fds[1] };
	return fds[0];
}

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/net/tun") != 0)
		return __real_open(path, flags, 0);
	assert_int_equal(flags, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fails_now(EIO))
		return -1;
	if (t.open_errno)
		return answer(t.open_errno);
	return new_tun();
}

static unsigned int count_attached(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		count += t.files[fd].is_attached;
	return count;
}

/* In the kernel's order. */
static int tun_set_iff(struct tun_file *file, struct ifreq *request)
{
	bool several = request->ifr_flags & IFF_MULTI_QUEUE;
	bool same = t.exists && !strcmp(request->ifr_name, t.ifname);

	assert_int_equal(request->ifr_flags & ~IFF_MULTI_QUEUE, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	if (file->is_attached)
		return EEXIST;
	if (same) {
		if (!t.is_tap || several != t.is_multi_queue)
			return EINVAL;
		if (!t.is_ours)
			return EPERM;
		if (t.is_busy || (count_attached() && !several))
			return EBUSY;
	} else {
		if (!t.may_make)
			return EPERM;
		if (!strcmp(request->ifr_name, "tap%d"))
			strcpy(request->ifr_name, "tap7");
		strcpy(t.ifname, request->ifr_name);
		t.exists = t.is_tap = t.is_ours = t.made = true;
		t.is_multi_queue = several;
		t.mtu = 1500;
	}
	file->is_attached = file->is_enabled = true;
	return 0;
}

static int tun_set_queue(struct tun_file *file, short flags)
{
	bool attaches = flags == IFF_ATTACH_QUEUE;

	assert_true(attaches || flags == IFF_DETACH_QUEUE);
	if (!file->is_attached || !t.is_multi_queue || file->is_enabled == attaches)
		return EINVAL;
	file->is_enabled = attaches;
	return 0;
}

static int tun_set_offload(unsigned int bits)
{
	if (bits & ~t.known_offloads)
		return EINVAL;
	if (bits && !(bits & TUN_F_CSUM))
		return EINVAL;
	if ((bits & TUN_F_TSO_ECN) && !(bits & (TUN_F_TSO4 | TUN_F_TSO6)))
		return EINVAL;
	if ((bits & USO) && (bits & USO) != USO)
		return EINVAL;
	t.offloads = bits;
	return 0;
}

static int tun_request(struct tun_file *file, unsigned long request, void *argument)
{
	struct ifreq *io = argument;

	switch (request) {
	case TUNSETIFF:
		return tun_set_iff(file, io);
	case TUNGETIFF:
		strcpy(io->ifr_name, t.ifname);
		io->ifr_flags = t.fd_flags;
		return t.get_errno;
	case TUNSETQUEUE:
		return tun_set_queue(file, io->ifr_flags);
	case TUNSETOFFLOAD:
		return tun_set_offload((unsigned int)(uintptr_t)argument);
	case TUNSETVNETHDRSZ:
		t.header_bytes = *(int *)argument;
		return 0;
	case TUNSETVNETLE:
		t.little_endian = *(int *)argument;
		return 0;
	case SIOCGIFHWADDR:
		memset(&io->ifr_hwaddr, t.is_far ? 2 : 1, sizeof(io->ifr_hwaddr));
		return 0;
	default:
		fail_msg("request %lx", request);
		return ENOTTY;
	}
}

static int socket_request(unsigned long request, struct ifreq *io)
{
	if (!t.exists || strcmp(io->ifr_name, t.ifname) != 0)
		return ENODEV;
	switch (request) {
	case SIOCGIFFLAGS:
		io->ifr_flags = IFF_BROADCAST | (t.is_up ? IFF_UP : 0);
		return 0;
	case SIOCSIFFLAGS:
		assert_int_equal(io->ifr_flags, IFF_BROADCAST | IFF_UP);
		t.is_up = true;
		return 0;
	case SIOCGIFMTU:
		io->ifr_mtu = t.mtu;
		return 0;
	case SIOCGIFHWADDR:
		memset(&io->ifr_hwaddr, 1, sizeof(io->ifr_hwaddr));
		return 0;
	default:
		fail_msg("request %lx", request);
		return ENOTTY;
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	assert_in_range(fd, 0, FDS_MAX - 1);
	if (fails_now(EIO))
		return -1;
	if (request != TUNGETIFF && !t.files[fd].is_tun)
		return answer(socket_request(request, argument));
	if (!t.files[fd].is_tun)
		return answer(ENOTTY);
	return answer(tun_request(&t.files[fd], request, argument));
}

/* The wires' ends of descriptors that are closed. */
static void close_wires(void)
{
	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (!t.files[fd].is_tun || fcntl(fd, F_GETFD) >= 0)
			continue;
		close(t.files[fd].peer);
		t.files[fd] = (struct tun_file){ 0 };
	}
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.vm.config = &t.vm_config;
	assert_int_equal(pipe2(t.log, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(t.log[1], LOG_INFO, &t.vm.log), 0);
	t.class = (struct device_class){ .name = "net",
		                         .options = options,
		                         .option_count = ARRAY_SIZE(options) };
	t.config.class = &t.class;
	strcpy(t.ifname, "br7");
	t.exists = t.is_tap = t.is_ours = t.is_up = true;
	t.mtu = 1500;
	t.known_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | USO;
	t.fd_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	return 0;
}

static void end_backend(void)
{
	if (t.backend)
		t.backend->ops->destroy(t.backend);
	t.backend = NULL;
	close_wires();
	for (int fd = 0; fd < FDS_MAX; fd++)
		assert_false(t.files[fd].is_tun);
}

static int tear_down(void **state)
{
	(void)state;
	end_backend();
	log_destroy(t.vm.log);
	close(t.log[0]);
	close(t.log[1]);
	return 0;
}

static int open_tap(void)
{
	t.err = (struct error)ERROR_INIT;
	return tap_open(&t.vm, &t.config, &t.backend, &t.err);
}

static void check_refused(int code, const char *message)
{
	assert_int_equal(open_tap(), code);
	assert_null(t.backend);
	assert_int_equal(t.err.code, code);
	assert_string_equal(t.err.message, message);
	close_wires();
	for (int fd = 0; fd < FDS_MAX; fd++)
		assert_false(t.files[fd].is_tun);
}

static void check_log(const char *text)
{
	char line[256] = "";

	(void)!read(t.log[0], line, sizeof(line) - 1);
	assert_string_equal(line, text);
}

#define BIT(bit) (UINT64_C(1) << (bit))

static void an_interface_that_exists(void **state)
{
	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	assert_int_equal(open_tap(), 0);
	assert_string_equal(t.backend->name, "tap br7");
	assert_int_equal(t.backend->queue_pairs, 1);
	assert_int_equal(t.backend->mtu, 0);
	assert_int_equal(t.header_bytes, 12);
	assert_int_equal(t.little_endian, 1);
	assert_int_equal(t.offloads, 0);
	/* CSUM GUEST_CSUM, TSO4 TSO6 ECN UFO each way, USO. */
	assert_int_equal(t.backend->features, 0x3 | 0x780 | 0x7800 | BIT(54) | BIT(55) | BIT(56));
	assert_int_equal(t.backend->ops->vhost_fd(t.backend, 0),
	                 t.backend->ops->poll_fd(t.backend, 0));
	assert_true(t.files[t.backend->ops->poll_fd(t.backend, 0)].is_attached);
	check_log("");
	assert_int_equal(t.backend->ops->set_queue_pairs(t.backend, 1), 0);
	assert_int_equal(t.backend->ops->set_queue_pairs(t.backend, 2), -EINVAL);
	assert_int_equal(t.backend->ops->set_queue_pairs(t.backend, 0), -EINVAL);
}

static void mtu_and_state_are_looked_at(void **state)
{
	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	t.mtu = 9000;
	t.is_up = false;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->mtu, 9000);
	check_log("ebb: interface br7 is down: no frame passes (sudo ip link set br7 up)\n");
	assert_false(t.is_up);
	end_backend();
	t.mtu = 65536;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->mtu, 0);
	end_backend();
	/* A namesake: the descriptor's own is in another network namespace. */
	check_log("ebb: interface br7 is down: no frame passes (sudo ip link set br7 up)\n");
	t.mtu = 9000;
	t.is_far = true;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->mtu, 0);
	check_log("");
}

static void interfaces_are_made(void **state)
{
	(void)state;
	t.exists = t.is_up = false;
	t.may_make = true;
	assert_int_equal(open_tap(), 0);
	assert_string_equal(t.backend->name, "tap tap7");
	assert_true(t.is_up);
	check_log("ebb: interface tap7 was made, and goes with this guest\n");
	end_backend();
	t.exists = t.is_up = false;
	device_config_set_string(&t.config, "ifname", "br7");
	device_config_set_number(&t.config, "queues", 3);
	assert_int_equal(open_tap(), 0);
	assert_string_equal(t.backend->name, "tap br7");
	assert_int_equal(t.backend->queue_pairs, 3);
	assert_true(t.is_up && t.is_multi_queue);
	assert_int_equal(count_attached(), 3);
}

static void queues_come_and_go(void **state)
{
	const struct net_backend_ops *ops;
	int fds[3];

	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	device_config_set_number(&t.config, "queues", 3);
	t.is_multi_queue = true;
	assert_int_equal(open_tap(), 0);
	ops = t.backend->ops;
	for (unsigned int pair = 0; pair < 3; pair++) {
		fds[pair] = ops->poll_fd(t.backend, pair);
		assert_int_equal(t.files[fds[pair]].is_enabled, pair == 0);
	}
	assert_int_equal(ops->set_queue_pairs(t.backend, 3), 0);
	assert_true(t.files[fds[1]].is_enabled && t.files[fds[2]].is_enabled);
	assert_int_equal(ops->set_queue_pairs(t.backend, 4), -EINVAL);
	assert_int_equal(ops->set_queue_pairs(t.backend, 2), 0);
	assert_true(t.files[fds[1]].is_enabled && !t.files[fds[2]].is_enabled);
	/* The second of two fails: the next try begins there. */
	t.left = 2;
	assert_int_equal(ops->set_queue_pairs(t.backend, 1), 0);
	assert_int_equal(ops->set_queue_pairs(t.backend, 3), -EIO);
	assert_false(t.files[fds[1]].is_enabled || t.files[fds[2]].is_enabled);
	t.left = 2;
	assert_int_equal(ops->set_queue_pairs(t.backend, 3), -EIO);
	assert_true(t.files[fds[1]].is_enabled && !t.files[fds[2]].is_enabled);
	assert_int_equal(ops->set_queue_pairs(t.backend, 3), 0);
	assert_true(t.files[fds[0]].is_enabled && t.files[fds[2]].is_enabled);
}

/* One of several queues is as good as one alone. */
static void one_queue_of_several(void **state)
{
	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	t.is_multi_queue = true;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->queue_pairs, 1);
	assert_int_equal(t.backend->ops->set_queue_pairs(t.backend, 1), 0);
}

static void offloads_follow_the_driver(void **state)
{
	static const struct {
		uint64_t features;
		unsigned int bits;
	} rows[] = {
		{ BIT(VIRTIO_NET_F_GUEST_CSUM), TUN_F_CSUM },
		{ 0x3 | 0x780 | 0x7800 | BIT(54) | BIT(55) | BIT(56),
		  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | USO },
		{ BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO6),
		  TUN_F_CSUM | TUN_F_TSO6 },
		{ BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_ECN), TUN_F_CSUM },
		{ BIT(VIRTIO_NET_F_GUEST_TSO4), 0 },
		{ BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(54), TUN_F_CSUM },
		{ BIT(VIRTIO_NET_F_CSUM) | 0x7800, 0 }, /* the other way */
		{ 0, 0 },
	};

	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	assert_int_equal(open_tap(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(t.backend->ops->set_offloads(t.backend, rows[i].features), 0);
		assert_int_equal(t.offloads, rows[i].bits);
	}
	t.left = 1;
	assert_int_equal(t.backend->ops->set_offloads(t.backend, rows[0].features), -EIO);
	end_backend();
	/* Older kernels know less. */
	t.known_offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->features, 0x3 | 0x380 | 0x3800);
	assert_int_equal(t.backend->ops->set_offloads(t.backend, UINT64_MAX), 0);
	assert_int_equal(t.offloads, t.known_offloads);
}

static void a_descriptor_is_handed_in(void **state)
{
	int fd = new_tun();

	(void)state;
	device_config_set_number(&t.config, "fd", (uint64_t)fd);
	assert_int_equal(fcntl(fd, F_SETFL, O_RDWR), 0);
	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	t.mtu = 1400;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->ops->poll_fd(t.backend, 0), fd);
	assert_string_equal(t.backend->name, "tap br7");
	assert_int_equal(t.backend->mtu, 1400);
	assert_int_equal(t.header_bytes, 12);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void descriptors_that_are_none(void **state)
{
	static const struct {
		short flags;
		int get_errno, code;
		unsigned int queues;
		const char *message;
	} rows[] = {
		{ 0, EBADFD, -EBADFD, 1, "fd=200: attached to no interface (TUNSETIFF does that)" },
		{ IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 0, -EINVAL, 1,
		  "fd=200: not a TAP's (open /dev/net/tun for it)" },
		{ IFF_TAP | IFF_NO_PI, 0, -EINVAL, 1,
		  "fd=200: frames have no virtio-net header (attach it with IFF_TAP, IFF_NO_PI and "
		  "IFF_VNET_HDR)" },
		{ IFF_TAP | IFF_VNET_HDR, 0, -EINVAL, 1,
		  "fd=200: frames have no virtio-net header (attach it with IFF_TAP, IFF_NO_PI and "
		  "IFF_VNET_HDR)" },
		{ IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 0, -EINVAL, 2,
		  "fd=200: is one queue, and 2 are wanted (leave queues out, or give ifname "
		  "instead)" },
	};
	int fd;

	(void)state;
	device_config_set_number(&t.config, "fd", 200);
	check_refused(-EBADF, "fd=200: not open");
	assert_int_equal(dup2(t.log[0], 200), 200);
	check_refused(-EINVAL, "fd=200: not a TAP's (open /dev/net/tun for it)");
	fd = new_tun();
	assert_int_equal(dup2(fd, 200), 200);
	t.files[200] = t.files[fd];
	memset(&t.files[fd], 0, sizeof(t.files[fd]));
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		t.fd_flags = rows[i].flags;
		t.get_errno = rows[i].get_errno;
		device_config_set_number(&t.config, "queues", rows[i].queues);
		assert_int_equal(open_tap(), rows[i].code);
		assert_string_equal(t.err.message, rows[i].message);
		assert_true(fcntl(200, F_GETFD) >= 0); /* not ours */
	}
	close(200);
	close_wires();
	device_config_set_number(&t.config, "fd", UINT64_MAX);
	check_refused(-EBADF, "fd=2147483647: not open");
}

static void the_commands_that_mend_it(void **state)
{
	(void)state;
	t.exists = false;
	check_refused(-EPERM,
	              "ebb may not make an interface (sudo ip tuntap add dev tap0 mode tap user "
	              "$USER && sudo ip link set tap0 up; then give ifname=tap0)");
	device_config_set_string(&t.config, "ifname", "br7");
	check_refused(-EPERM,
	              "interface br7: there is none, and ebb may not make it (sudo ip tuntap add "
	              "dev br7 mode tap user $USER && sudo ip link set br7 up)");
	device_config_set_number(&t.config, "queues", 2);
	check_refused(-EPERM,
	              "interface br7: there is none, and ebb may not make it (sudo ip tuntap add "
	              "dev br7 mode tap user $USER multi_queue && sudo ip link set br7 up)");
	t.exists = true;
	check_refused(-EINVAL,
	              "interface br7: has one queue, and 2 are wanted (sudo ip tuntap del dev br7 "
	              "mode tap && sudo ip tuntap add dev br7 mode tap user $USER multi_queue && "
	              "sudo ip link set br7 up; or leave queues out)");
	t.is_busy = true;
	check_refused(-EINVAL,
	              "interface br7: has one queue, and 2 are wanted (sudo ip tuntap del dev br7 "
	              "mode tap && sudo ip tuntap add dev br7 mode tap user $USER multi_queue && "
	              "sudo ip link set br7 up; or leave queues out)");
	t.is_multi_queue = true;
	check_refused(-EBUSY, "interface br7: another program has it (sudo fuser -v /dev/net/tun "
	                      "says which)");
	device_config_set_number(&t.config, "queues", 1);
	check_refused(-EBUSY, "interface br7: another program has it (sudo fuser -v /dev/net/tun "
	                      "says which)");
	t.is_ours = false;
	check_refused(-EPERM,
	              "interface br7: belongs to another user (sudo ip tuntap del dev br7 mode tap "
	              "&& sudo ip tuntap add dev br7 mode tap user $USER && sudo ip link set br7 "
	              "up)");
	t.is_tap = false;
	check_refused(-EINVAL, "interface br7: not a TAP (give the name of one, or of none: ip "
	                       "tuntap show)");
	t.open_errno = ENOENT;
	check_refused(-ENOENT, "/dev/net/tun: not there (sudo modprobe tun)");
	t.open_errno = ENODEV;
	check_refused(-ENODEV, "/dev/net/tun: not there (sudo modprobe tun)");
	t.open_errno = EACCES;
	check_refused(-EACCES, "/dev/net/tun: permission denied (sudo chmod 666 /dev/net/tun)");
	t.open_errno = EMFILE;
	check_refused(-EMFILE, "/dev/net/tun: Too many open files");
}

static void values_that_are_wrong(void **state)
{
	(void)state;
	device_config_set_string(&t.config, "ifname", "sixteen-letters-");
	check_refused(-EINVAL, "ifname=sixteen-letters-: no name (1 to 15 characters)");
	device_config_set_string(&t.config, "ifname", "");
	check_refused(-EINVAL, "ifname=: no name (1 to 15 characters)");
	device_config_set_string(&t.config, "ifname", "a%d");
	check_refused(-EINVAL, "ifname=a%d: no name (1 to 15 characters)");
	device_config_set_number(&t.config, "queues", 9);
	check_refused(-EINVAL, "queues=9: 1 to 8");
	device_config_set_number(&t.config, "queues", 0);
	check_refused(-EINVAL, "queues=0: 1 to 8");
}

static void frames_pass(void **state)
{
	char room[100], packet[100] = "a frame";
	const struct iovec segment = { room, sizeof(room) };
	struct net_frame frame = { &segment, 1, 0 };
	int fd;

	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	device_config_set_number(&t.config, "queues", 2);
	t.is_multi_queue = true;
	assert_int_equal(open_tap(), 0);
	assert_int_equal(t.backend->ops->set_queue_pairs(t.backend, 2), 0);
	fd = t.backend->ops->poll_fd(t.backend, 1);
	assert_int_equal(t.backend->ops->receive(t.backend, 1, &frame, 1), 0);
	assert_int_equal(t.backend->syscall_count, 1);
	assert_int_equal(send(t.files[fd].peer, packet, 20, 0), 20);
	assert_int_equal(t.backend->ops->receive(t.backend, 0, &frame, 1), 0);
	assert_int_equal(t.backend->ops->receive(t.backend, 1, &frame, 1), 1);
	assert_int_equal(frame.result, 20);
	assert_memory_equal(room, packet, 20);
	assert_int_equal(t.backend->ops->send(t.backend, 1, &frame, 1), 1);
	assert_int_equal(recv(t.files[fd].peer, packet, sizeof(packet), 0), 100);
	assert_int_equal(t.backend->syscall_count, 4);
}

/* The Nth fallible call fails, for each N: all or nothing. An offload that cannot be probed is not
 * there, and an interface that cannot be looked at is the usual one. */
static void nothing_is_left_behind(void **state)
{
	unsigned int failures = 0;

	(void)state;
	t.may_make = true;
	device_config_set_number(&t.config, "queues", 3);
	for (unsigned int n = 1;; n++) {
		t.exists = t.is_up = t.failed = false;
		t.left = n;
		t.backend = NULL;
		if (open_tap() < 0) {
			failures++;
			assert_null(t.backend);
			assert_true(t.failed);
			assert_true(t.err.code < 0 && t.err.message[0]);
		} else {
			assert_non_null(t.backend);
			assert_int_equal(count_attached(), 3);
		}
		t.left = 0;
		end_backend();
		if (!t.failed)
			break;
		assert_in_range(n, 1, 100);
	}
	assert_in_range(failures, 15, 100);
}

static void nothing_to_destroy(void **state)
{
	const struct net_backend_ops *ops;

	(void)state;
	device_config_set_string(&t.config, "ifname", "br7");
	assert_int_equal(open_tap(), 0);
	ops = t.backend->ops;
	end_backend();
	ops->destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_interface_that_exists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mtu_and_state_are_looked_at, set_up, tear_down),
		cmocka_unit_test_setup_teardown(interfaces_are_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(queues_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_queue_of_several, set_up, tear_down),
		cmocka_unit_test_setup_teardown(offloads_follow_the_driver, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_descriptor_is_handed_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(descriptors_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_commands_that_mend_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(values_that_are_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(frames_pass, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_left_behind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_to_destroy, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
