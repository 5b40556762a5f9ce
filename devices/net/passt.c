/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt: a network without root. A process that turns a guest's frames into sockets of the user's.
 *
 * DOC: ebb makes a pair of connected stream sockets and starts `passt --foreground --fd N`. passt
 * answers the guest's ARP, DHCP, DHCPv6 and NDP by itself, so that the guest has the host's own
 * addresses, its routes and its name servers, and passes on TCP, UDP and pings. It drops all
 * rights, takes a user and mount namespace and a seccomp filter of its own, and changes to nobody
 * where root started it.
 *
 *	open:  socketpair, pipe -> passt -> ask by ARP -> answered: up
 *	                                               -> ended: its last words are the error
 *	run:   frames by passt_stream.c; lines on its standard error go to the log
 *	end:   the socket is closed, which ends passt, even a SIGKILL of ebb; else SIGTERM, SIGKILL
 *
 * It inherits standard input and output of /dev/null, the pipe as standard error, its end of the
 * socket, and nothing else (child_process.h). What it sends is trusted no more than a guest: a
 * frame's length is checked, a line goes through the log's filter and rate limit.
 *
 * It does no offloads: frames have their checksums and are no longer than the MTU, which is as
 * large as an IP packet can be, so that this costs little.
 *
 * The rest of a frame that the socket did not take is sent as soon as there is room, by a source of
 * this file on the device's loop; epoll takes a descriptor once, so it is a second one.
 *
 * Threads: as in net_backend.h; passt's end and its lines are told on main.
 *
 * Syscalls: main,io: fcntl poll read shutdown
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/child_process.h"
#include "ebb/log.h"
#include "ebb/network.h"
#include "ebb/vm.h"
#include "net_backend.h"
#include "passt_stream.h"

#define MTU_BYTES      65520 /* the most that passt has an address family's packets fit */
#define SOCKET_BYTES   MIB   /* asked for; the host may have a limit */
#define UP_TIMEOUT_NS  (2 * NS_PER_S)
#define STOP_GRACE_NS  NS_PER_S
#define LINE_BYTES_MAX 256
#define ARGUMENTS_MAX  (10 + 2 * DEVICE_REPEATS_MAX)

struct passt {
	struct net_backend backend;
	struct vm *vm;
	char id[DEVICE_ID_MAX];
	int fd;       /* our end of the socket */
	int flush_fd; /* the same, for flush_source */
	int error_fd; /* what passt writes to its standard error; non-blocking */
	struct passt_stream *stream;
	struct event_source *flush_source, *error_source;
	struct child_process *child;
	struct log_ratelimit line_limit;
	size_t line_bytes;
	char line[LINE_BYTES_MAX];      /* that comes in */
	char last_line[LINE_BYTES_MAX]; /* that came in whole */
};

/* argv, and what it points to. */
struct arguments {
	const char *words[ARGUMENTS_MAX];
	unsigned int count;
	char fd[16], mtu[16];
	char forwards[DEVICE_REPEATS_MAX][16]; /* "65535:65535" */
};

static struct passt *to_passt(struct net_backend *backend)
{
	return container_of(backend, struct passt, backend);
}

/* --- what passt says --- */

/* Lines that say nothing of use: without a system log, of root, of a variant that is not there. */
static bool is_chatter(const char *line)
{
	static const char *const beginnings[] = { "Failed to send ", "Don't run as root",
		                                  "Started as root", "Can't run AVX2" };

	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (strncmp(line, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return !*line;
}

static void finish_line(struct passt *passt)
{
	passt->line[passt->line_bytes] = '\0';
	passt->line_bytes = 0;
	if (is_chatter(passt->line)) {
		log_debug(passt->vm->log, "%s: passt: %s", passt->id, passt->line);
		return;
	}
	memcpy(passt->last_line, passt->line, sizeof(passt->last_line));
	/* Before it is up its end tells of them. */
	log_message_limited(passt->vm->log, &passt->line_limit,
	                    passt->error_source ? LOG_WARN : LOG_INFO, "%s: passt: %s", passt->id,
	                    passt->line);
}

/* Takes what it wrote, one read of it. Returns false at the end of it. */
static bool read_errors(struct passt *passt)
{
	char bytes[1024];
	ssize_t got = read(passt->error_fd, bytes, sizeof(bytes));

	for (ssize_t i = 0; i < got; i++) {
		if (bytes[i] == '\n')
			finish_line(passt);
		else if (passt->line_bytes < sizeof(passt->line) - 1)
			passt->line[passt->line_bytes++] = bytes[i];
	}
	return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

static void errors_ready(void *ctx, uint32_t epoll_events)
{
	struct passt *passt = ctx;

	(void)epoll_events;
	if (!read_errors(passt)) {
		event_loop_remove(passt->error_source);
		passt->error_source = NULL;
	}
}

static void passt_ended(void *ctx, int wait_status)
{
	struct passt *passt = ctx;

	if (WIFSIGNALED(wait_status))
		log_error(passt->vm->log, "%s: passt ended by signal %d: the network is gone",
		          passt->id, WTERMSIG(wait_status));
	else
		log_error(passt->vm->log, "%s: passt ended with status %d: the network is gone",
		          passt->id, WEXITSTATUS(wait_status));
}

/* --- frames --- */

static int wait_for_room(struct passt *passt);

static void flush_ready(void *ctx, uint32_t epoll_events)
{
	struct passt *passt = ctx;

	(void)epoll_events;
	passt_stream_flush(passt->stream);
	if (passt_stream_has_rest(passt->stream) && wait_for_room(passt))
		log_error(passt->vm->log, "%s: passt's socket cannot be watched", passt->id);
}

/* -errno: nobody would send the rest of a frame. */
static int wait_for_room(struct passt *passt)
{
	if (passt->flush_source)
		return event_loop_modify(passt->flush_source, EPOLLOUT | EPOLLONESHOT);
	return event_loop_add(passt->vm->io_loop, passt->flush_fd, EPOLLOUT | EPOLLONESHOT,
	                      flush_ready, passt, &passt->flush_source);
}

static int passt_send(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                      unsigned int count)
{
	struct passt *passt = to_passt(backend);
	int dealt = passt_stream_send(passt->stream, frames, count), ret = 0;

	(void)pair;
	if (dealt >= 0 && passt_stream_has_rest(passt->stream))
		ret = wait_for_room(passt);
	backend->syscall_count = passt_stream_syscall_count(passt->stream);
	return ret ? ret : dealt;
}

static int passt_receive(struct net_backend *backend, unsigned int pair, struct net_frame *frames,
                         unsigned int count)
{
	struct passt *passt = to_passt(backend);
	int dealt = passt_stream_receive(passt->stream, frames, count);

	(void)pair;
	backend->syscall_count = passt_stream_syscall_count(passt->stream);
	return dealt;
}

static int passt_poll_fd(struct net_backend *backend, unsigned int pair)
{
	(void)pair;
	return to_passt(backend)->fd;
}

static int passt_vhost_fd(struct net_backend *backend, unsigned int pair)
{
	(void)backend;
	(void)pair;
	return -ENOTSUP;
}

static int passt_set_offloads(struct net_backend *backend, uint64_t driver_features)
{
	(void)backend;
	(void)driver_features; /* none of features, which has none */
	return 0;
}

static int passt_set_queue_pairs(struct net_backend *backend, unsigned int count)
{
	(void)backend;
	return count == 1 ? 0 : -EINVAL;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void passt_destroy(struct net_backend *backend)
{
	struct passt *passt;

	if (!backend)
		return;
	passt = to_passt(backend);
	event_loop_remove(passt->flush_source);
	/* Closing the socket ends it; the loop must not tell of that. */
	close_fd(passt->flush_fd);
	if (passt->fd >= 0)
		(void)shutdown(passt->fd, SHUT_RDWR);
	child_process_stop(passt->child, STOP_GRACE_NS);
	event_loop_remove(passt->error_source);
	close_fd(passt->fd);
	close_fd(passt->error_fd);
	passt_stream_destroy(passt->stream);
	free(passt);
}

static const struct net_backend_ops passt_ops = {
	.send = passt_send,
	.receive = passt_receive,
	.poll_fd = passt_poll_fd,
	.vhost_fd = passt_vhost_fd,
	.set_offloads = passt_set_offloads,
	.set_queue_pairs = passt_set_queue_pairs,
	.destroy = passt_destroy,
};

/* --- start --- */

static void add_words(struct arguments *arguments, const char *first, const char *second)
{
	arguments->words[arguments->count++] = first;
	arguments->words[arguments->count++] = second;
}

static void fill_arguments(struct arguments *arguments, int fd, const struct device_config *config)
{
	bool any[2] = { false, false };
	unsigned int mtu_bytes = MTU_BYTES;
	const char *text;

	arguments->count = 0;
	add_words(arguments, "passt", "--foreground");
	arguments->words[arguments->count++] = "--quiet";
	snprintf(arguments->fd, sizeof(arguments->fd), "%d", fd);
	add_words(arguments, "--fd", arguments->fd);
	if (device_config_given(config, "mtu"))
		mtu_bytes = (unsigned int)device_config_number(config, "mtu");
	snprintf(arguments->mtu, sizeof(arguments->mtu), "%u", mtu_bytes);
	add_words(arguments, "--mtu", arguments->mtu);
	for (size_t i = 0; (text = device_config_string_at(config, "forward", i)); i++) {
		struct port_forward forward;

		if (port_forward_parse(text, &forward))
			continue; /* checked by vm_config_complete */
		snprintf(arguments->forwards[i], sizeof(arguments->forwards[i]), "%u:%u",
		         forward.host_port, forward.guest_port);
		add_words(arguments, forward.udp ? "-u" : "-t", arguments->forwards[i]);
		any[forward.udp] = true;
	}
	/* Said, or UDP follows TCP. */
	if (!any[0])
		add_words(arguments, "-t", "none");
	if (!any[1])
		add_words(arguments, "-u", "none");
	arguments->words[arguments->count] = NULL;
}

static int start(struct passt *passt, const struct device_config *config, int peer_fd,
                 int peer_error_fd, struct error *err)
{
	struct arguments arguments;
	const struct child_process_setup setup = { .argv = arguments.words,
		                                   .kept_fd = peer_fd,
		                                   .error_fd = peer_error_fd,
		                                   .loop = passt->vm->main_loop,
		                                   .ended = passt_ended,
		                                   .ctx = passt };
	int ret;

	fill_arguments(&arguments, peer_fd, config);
	ret = child_process_start(&setup, &passt->child, err);
	if (ret == -ENOENT)
		return error_set(err, ret,
		                 "passt: not found (install the Debian package passt, or give "
		                 "--network tap)");
	return ret;
}

/* passt, with our ends of the socket and of its standard error. */
static int connect_and_start(struct passt *passt, const struct device_config *config,
                             struct error *err)
{
	const int size_bytes = SOCKET_BYTES;
	int sockets[2], errors[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return error_set_errno(err, -errno, "a socket for passt");
	passt->fd = sockets[0];
	if (pipe2(errors, O_CLOEXEC)) {
		ret = error_set_errno(err, -errno, "a pipe for passt");
		goto close_socket;
	}
	passt->error_fd = errors[0];
	/* Its own end blocks: it reads the length first, then the frame. */
	if (fcntl(passt->fd, F_SETFL, O_NONBLOCK) || fcntl(passt->error_fd, F_SETFL, O_NONBLOCK)) {
		ret = error_set_errno(err, -errno, "a socket for passt");
		goto close_pipe;
	}
	/* A host that gives less is only slower. */
	(void)setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof(size_bytes));
	(void)setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof(size_bytes));
	ret = start(passt, config, sockets[1], errors[1], err);
close_pipe:
	close(errors[1]);
close_socket:
	close(sockets[1]);
	return ret;
}

/* --- is it up? --- */

/* A question that passt answers whatever the address: the first thing it does when it is up. */
static int ask(struct passt *passt, const struct device_config *config)
{
	static const uint8_t target[4] = { 198, 51, 100, 1 }; /* TEST-NET-2: nobody's */
	struct {
		struct virtio_net_hdr_v1 header;
		struct ether_header ethernet;
		struct arphdr arp;
		uint8_t sender_mac[ETH_ALEN], sender_ip[4], target_mac[ETH_ALEN], target_ip[4];
		uint8_t padding[18]; /* to what Ethernet has at least */
	} __attribute__((packed)) question = { 0 };
	const char *mac = device_config_string(config, "mac");
	const struct iovec segment = { .iov_base = &question, .iov_len = sizeof(question) };
	struct net_frame frame = { .segments = &segment, .segment_count = 1 };

	if (!mac || mac_parse(mac, question.sender_mac))
		mac_choose(passt->vm->config->name, passt->id, question.sender_mac);
	memset(question.ethernet.ether_dhost, 0xff, ETH_ALEN);
	memcpy(question.ethernet.ether_shost, question.sender_mac, ETH_ALEN);
	question.ethernet.ether_type = htons(ETHERTYPE_ARP);
	question.arp = (struct arphdr){ .ar_hrd = htons(ARPHRD_ETHER),
		                        .ar_pro = htons(ETHERTYPE_IP),
		                        .ar_hln = ETH_ALEN,
		                        .ar_pln = sizeof(question.target_ip),
		                        .ar_op = htons(ARPOP_REQUEST) };
	memcpy(question.target_ip, target, sizeof(target));
	return passt_stream_send(passt->stream, &frame, 1);
}

/* Frames that came; there is no guest yet, whoever they are for. */
static int drop_frames(struct passt *passt)
{
	uint8_t header[NET_HEADER_BYTES];
	const struct iovec segment = { .iov_base = header, .iov_len = sizeof(header) };
	struct net_frame frame = { .segments = &segment, .segment_count = 1 };
	int ret, count = 0;

	while ((ret = passt_stream_receive(passt->stream, &frame, 1)) > 0)
		count++;
	return ret < 0 ? ret : count;
}

/* Until it answers, or ends. Without IPv4 it does not answer: then its life is taken for it. */
static int wait_until_up(struct passt *passt)
{
	const int64_t end_ns = monotonic_ns() + UP_TIMEOUT_NS;
	int64_t left_ns;

	while ((left_ns = end_ns - monotonic_ns()) > 0) {
		struct pollfd fds[] = { { .fd = passt->fd, .events = POLLIN },
			                { .fd = passt->error_fd, .events = POLLIN } };
		int ret = 0;

		if (poll(fds, ARRAY_SIZE(fds), (int)(left_ns / NS_PER_MS) + 1) < 0)
			continue;
		if (fds[1].revents)
			(void)read_errors(passt);
		if (fds[0].revents)
			ret = drop_frames(passt);
		if (ret)
			return ret < 0 ? ret : 0;
	}
	log_info(passt->vm->log, "%s: passt says nothing yet", passt->id);
	return 0;
}

/* It ended at once: why is in what it wrote last. */
static int tell_end(struct passt *passt, struct error *err)
{
	const int64_t end_ns = monotonic_ns() + STOP_GRACE_NS;
	struct pollfd fd = { .fd = passt->error_fd, .events = POLLIN };

	while (monotonic_ns() < end_ns && poll(&fd, 1, 100) > 0 && read_errors(passt))
		;
	return error_set(err, -EIO, "passt ended at once: %s (see passt(1))",
	                 passt->last_line[0] ? passt->last_line : "it did not say why");
}

static int bring_up(struct passt *passt, const struct device_config *config, struct error *err)
{
	int ret = passt_stream_create(passt->fd, &passt->stream);

	if (ret)
		return error_set_errno(err, ret, "passt");
	passt->flush_fd = fcntl(passt->fd, F_DUPFD_CLOEXEC, 0);
	if (passt->flush_fd < 0)
		return error_set_errno(err, -errno, "a socket for passt");
	ret = ask(passt, config);
	if (ret >= 0)
		ret = wait_until_up(passt);
	if (ret < 0)
		return tell_end(passt, err);
	ret = event_loop_add(passt->vm->main_loop, passt->error_fd, EPOLLIN, errors_ready, passt,
	                     &passt->error_source);
	return ret ? error_set_errno(err, ret, "passt") : 0;
}

int passt_open(struct vm *vm, const struct device_config *config, struct net_backend **ret_backend,
               struct error *err)
{
	struct passt *passt = calloc(1, sizeof(*passt));
	int ret;

	if (!passt)
		return error_set_errno(err, -ENOMEM, "passt");
	passt->backend = (struct net_backend){
		.ops = &passt_ops,
		.name = "passt",
		.queue_pairs = 1,
		.mtu = MTU_BYTES,
	};
	passt->vm = vm;
	snprintf(passt->id, sizeof(passt->id), "%s", config->id);
	passt->fd = passt->flush_fd = passt->error_fd = -1;
	ret = connect_and_start(passt, config, err);
	if (!ret)
		ret = bring_up(passt, config, err);
	if (ret) {
		passt_destroy(&passt->backend);
		return ret;
	}
	*ret_backend = &passt->backend;
	return 0;
}
