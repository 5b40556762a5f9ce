/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of known bytes and small packets between a guest and its host, either way. Runs in both.
 *
 *   netstream serve ADDRESS PORT               answers the others, until it is killed
 *   netstream send ADDRESS PORT MIB OPTIONS    the server checks what it gets
 *   netstream receive ADDRESS PORT MIB OPTIONS the server sends
 *   netstream packets ADDRESS PORT COUNT BYTES UDP, each is echoed by the server
 *   netstream flood ADDRESS PORT SECONDS BYTES UDP that nobody answers, as much as goes
 *
 * ADDRESS is an IPv4 address (serve: 0.0.0.0), or vsock:CID (serve: vsock:any).
 *
 * OPTIONS, none or more: until=FILE sends until FILE is there, MIB at most (0: no limit).
 * buffer=MIB: from that much memory. zerocopy lends it to the kernel (MSG_ZEROCOPY). fast looks at
 * no byte.
 *
 * A stream is chunks with their lengths in front; an empty one ends it, with the count and sum of
 * what was sent behind. The receiver compares every byte with what it has to be, and answers with
 * its own count and sum. The line
 *
 *   netstream OPERATION BYTES bytes NS ns sum SUM wrong CHUNKS
 *
 * comes of both; the status is 0 only if all was right on both sides.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC       0x6d727473u
#define CHUNK_BYTES ((size_t)256 << 10)
#define UNEVEN      ((size_t)4104) /* the pattern comes round at no round number */
#define PACKET_MAX  1472
#define WINDOW      16

enum operation { SEND = 1, RECEIVE };

struct request { /* as its sender has it: both ends are little-endian */
	uint32_t magic, operation;
	uint64_t bytes;
	uint32_t fast, buffer_mib;
};

struct result {
	uint64_t bytes, sum, wrong;
};

struct options {
	const char *until;
	size_t buffer_bytes;
	int zerocopy, fast;
};

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
};

static void die(const char *what)
{
	fprintf(stderr, "netstream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- What is sent ---------------------------------------------------------------------------- */

/* period bytes that come over and over, and the first chunk once more behind. */
static unsigned char *make_pattern(size_t period)
{
	size_t words = period / sizeof(uint64_t), index;
	uint64_t *memory = mmap(NULL, period + CHUNK_BYTES, PROT_READ | PROT_WRITE,
	                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("memory");
	for (index = 0; index < words; index++)
		memory[index] = (index + 1) * 0x9e3779b97f4a7c15ull;
	memcpy((unsigned char *)memory + period, memory, CHUNK_BYTES);
	return (unsigned char *)memory;
}

static uint64_t sum_of(uint64_t sum, const unsigned char *bytes, size_t count)
{
	uint64_t word;

	for (; count >= sizeof(word); count -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ull;
	}
	while (count--)
		sum = (sum ^ *bytes++) * 0x100000001b3ull;
	return sum;
}

/* ---- Sockets --------------------------------------------------------------------------------- */

static socklen_t parse_address(const char *text, const char *port, union any_address *address)
{
	memset(address, 0, sizeof(*address));
	if (!strncmp(text, "vsock:", 6)) {
		address->vm.svm_family = AF_VSOCK;
		address->vm.svm_port = (unsigned int)strtoul(port, NULL, 10);
		address->vm.svm_cid = strcmp(text + 6, "any")
		                              ? (unsigned int)strtoul(text + 6, NULL, 10)
		                              : VMADDR_CID_ANY;
		return sizeof(address->vm);
	}
	address->in.sin_family = AF_INET;
	address->in.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (!inet_aton(text, &address->in.sin_addr)) {
		fprintf(stderr, "netstream: %s: no address\n", text);
		exit(2);
	}
	return sizeof(address->in);
}

static int open_socket(const union any_address *address, int type)
{
	int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

static int connect_to(const char *text, const char *port, int type)
{
	union any_address address;
	socklen_t length = parse_address(text, port, &address);
	int fd = open_socket(&address, type);

	if (connect(fd, &address.any, length))
		die(text);
	return fd;
}

static void read_all(int fd, void *buffer, size_t count)
{
	unsigned char *at = buffer;
	ssize_t got;

	while (count) {
		got = recv(fd, at, count,
		           0); /* MSG_WAITALL: vsock refuses what its buffer cannot hold */
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got ? errno : ECONNRESET;
			die("the stream broke off");
		}
		at += got;
		count -= (size_t)got;
	}
}

/* Takes back what was lent to the kernel; when there is nothing to take, waits for it. */
static void reap(int fd, int wait)
{
	struct pollfd poller = { .fd = fd };
	char control[256];
	struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };

	while (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
		if (errno != EAGAIN || !wait)
			return;
		poll(&poller, 1, 1000);
	}
}

static void write_all(int fd, const void *buffer, size_t count, int flags)
{
	const unsigned char *at = buffer;
	ssize_t put;

	while (count) {
		put = send(fd, at, count, flags | MSG_NOSIGNAL);
		if (put < 0 && errno == ENOBUFS && (flags & MSG_ZEROCOPY))
			reap(fd, 1);
		else if (put < 0 && errno != EINTR)
			die("the stream broke off");
		if (put <= 0)
			continue;
		at += put;
		count -= (size_t)put;
	}
}

/* ---- Streams --------------------------------------------------------------------------------- */

static void transmit(int fd, uint64_t bytes, const struct options *options, struct result *result)
{
	size_t period = options->buffer_bytes + UNEVEN, at = 0;
	unsigned char *pattern = make_pattern(period);
	uint64_t length, chunks = 0;
	int one = 1, flags = options->zerocopy ? MSG_ZEROCOPY : 0;

	if (options->zerocopy && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("SO_ZEROCOPY");
	memset(result, 0, sizeof(*result));
	while (!bytes || result->bytes < bytes) {
		length = bytes && bytes - result->bytes < CHUNK_BYTES ? bytes - result->bytes
		                                                      : CHUNK_BYTES;
		if (options->until && chunks++ % 16 == 0 && !access(options->until, F_OK))
			break;
		write_all(fd, &length, sizeof(length), MSG_MORE);
		write_all(fd, pattern + at, length, flags);
		if (flags)
			reap(fd, 0);
		if (!options->fast)
			result->sum = sum_of(result->sum, pattern + at, length);
		result->bytes += length;
		at = (at + length) % period;
	}
	length = 0;
	write_all(fd, &length, sizeof(length), MSG_MORE);
	write_all(fd, result, sizeof(*result), 0);
}

/* buffer_bytes: those of the sender. */
static void receive(int fd, size_t buffer_bytes, int fast, struct result *result)
{
	static unsigned char chunk[CHUNK_BYTES];
	size_t period = buffer_bytes + UNEVEN, at = 0;
	unsigned char *pattern = fast ? NULL : make_pattern(period);
	struct result sent;
	uint64_t length;

	memset(result, 0, sizeof(*result));
	for (;;) {
		read_all(fd, &length, sizeof(length));
		if (!length)
			break;
		if (length > CHUNK_BYTES) {
			errno = EBADMSG;
			die("no length of a chunk");
		}
		read_all(fd, chunk, length);
		if (pattern) {
			result->wrong += memcmp(chunk, pattern + at, length) != 0;
			result->sum = sum_of(result->sum, chunk, length);
		}
		result->bytes += length;
		at = (at + length) % period;
	}
	read_all(fd, &sent, sizeof(sent));
	result->wrong += sent.bytes != result->bytes || sent.sum != result->sum;
}

static void tell(const char *what, const struct result *result, uint64_t ns)
{
	printf("netstream %s %llu bytes %llu ns sum %016llx wrong %llu\n", what,
	       (unsigned long long)result->bytes, (unsigned long long)ns,
	       (unsigned long long)result->sum, (unsigned long long)result->wrong);
	fflush(stdout);
}

/* The sending side's end: what the other had to say of it. */
static void take_answer(int fd, struct result *result)
{
	struct result answer;

	read_all(fd, &answer, sizeof(answer));
	result->wrong = answer.wrong + (answer.bytes != result->bytes || answer.sum != result->sum);
}

static int stream(enum operation operation, int fd, uint64_t mib, const struct options *options)
{
	struct request request = { MAGIC, operation, mib << 20, (uint32_t)options->fast,
		                   (uint32_t)(options->buffer_bytes >> 20) };
	struct result result;
	uint64_t begun_ns = now_ns();

	write_all(fd, &request, sizeof(request), 0);
	if (operation == SEND) {
		transmit(fd, request.bytes, options, &result);
		take_answer(fd, &result);
	} else {
		receive(fd, options->buffer_bytes, options->fast, &result);
		write_all(fd, &result, sizeof(result), 0);
	}
	tell(operation == SEND ? "sent" : "received", &result, now_ns() - begun_ns);
	return result.wrong || (!options->until && result.bytes != request.bytes);
}

/* ---- Packets --------------------------------------------------------------------------------- */

struct packet {
	uint32_t magic; /* 0: wants no answer */
	uint32_t sequence;
	unsigned char bytes[PACKET_MAX - 8];
};

static int packets(int fd, uint32_t count, size_t size_bytes)
{
	struct packet packet = { .magic = MAGIC }, answer;
	uint32_t sent = 0, answered = 0, lost = 0, in_flight = 0, wrong = 0;
	struct timeval patience = { .tv_sec = 2 };
	uint64_t begun_ns = now_ns();
	ssize_t got;

	memset(packet.bytes, 0xa5, sizeof(packet.bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (answered + lost < count) {
		while (sent < count && in_flight < WINDOW) {
			packet.sequence = sent;
			if (send(fd, &packet, size_bytes, 0) < 0 && errno != ENOBUFS &&
			    errno != ECONNREFUSED)
				die("send");
			sent++;
			in_flight++;
		}
		got = recv(fd, &answer, sizeof(answer), 0);
		if (got < 0) {
			lost += in_flight;
			in_flight = 0;
			continue;
		}
		wrong += (size_t)got != size_bytes || answer.sequence >= sent ||
		         memcmp(answer.bytes, packet.bytes, size_bytes - 8);
		if (in_flight) { /* or one that was given up */
			answered++;
			in_flight--;
		}
	}
	printf("netstream packets %u sent %u answered %u lost %u wrong %llu ns\n", count, answered,
	       lost, wrong, (unsigned long long)(now_ns() - begun_ns));
	/* One window may be late on a host that stood still meanwhile. */
	return wrong || lost > (count / 100 > WINDOW ? count / 100 : WINDOW);
}

static int flood(int fd, uint64_t seconds, size_t size_bytes)
{
	struct packet packet = { .magic = 0 };
	uint64_t end_ns = now_ns() + seconds * 1000000000u, count = 0, refused = 0;

	while ((count + refused) % 64 || now_ns() < end_ns) {
		packet.sequence++;
		if (send(fd, &packet, size_bytes, 0) < 0)
			refused++;
		else
			count++;
	}
	printf("netstream flood %llu packets of %zu bytes, %llu refused\n",
	       (unsigned long long)count, size_bytes, (unsigned long long)refused);
	return 0;
}

/* ---- The server ------------------------------------------------------------------------------ */

static void serve_stream(int fd)
{
	struct options options = { NULL, 4 << 20, 0, 0 };
	struct request request;
	struct result result;
	uint64_t begun_ns = now_ns();

	read_all(fd, &request, sizeof(request));
	if (request.magic != MAGIC)
		exit(1);
	options.buffer_bytes = (size_t)request.buffer_mib << 20;
	options.fast = (int)request.fast;
	if (request.operation == RECEIVE) {
		transmit(fd, request.bytes, &options, &result);
		take_answer(fd, &result);
	} else {
		receive(fd, options.buffer_bytes, options.fast, &result);
		write_all(fd, &result, sizeof(result), 0);
	}
	tell(request.operation == RECEIVE ? "server sent" : "server received", &result,
	     now_ns() - begun_ns);
	exit(result.wrong != 0);
}

static void serve_packets(const union any_address *address, socklen_t length)
{
	static struct packet packet;
	union any_address from;
	socklen_t from_length;
	int fd = open_socket(address, SOCK_DGRAM);
	ssize_t got;

	if (bind(fd, &address->any, length))
		die("bind");
	for (;;) {
		from_length = sizeof(from);
		got = recvfrom(fd, &packet, sizeof(packet), 0, &from.any, &from_length);
		if (got >= 8 && packet.magic == MAGIC)
			sendto(fd, &packet, (size_t)got, MSG_DONTWAIT, &from.any, from_length);
	}
}

static int fork_child(pid_t parent)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child)
		return 0;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		exit(1);
	return 1;
}

static void serve(const char *text, const char *port)
{
	union any_address address;
	socklen_t length = parse_address(text, port, &address);
	int listener = open_socket(&address, SOCK_STREAM), fd;
	pid_t self = getpid();

	signal(SIGCHLD, SIG_IGN);
	if (bind(listener, &address.any, length) || listen(listener, 16))
		die("listen");
	if (address.any.sa_family == AF_INET && fork_child(self))
		serve_packets(&address, length);
	printf("netstream serves %s %s\n", text, port);
	fflush(stdout);
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		if (fork_child(self))
			serve_stream(fd);
		close(fd);
	}
}

static void parse_options(char **words, struct options *options)
{
	for (; *words; words++) {
		if (!strncmp(*words, "until=", 6))
			options->until = *words + 6;
		else if (!strncmp(*words, "buffer=", 7))
			options->buffer_bytes = strtoul(*words + 7, NULL, 10) << 20;
		else if (!strcmp(*words, "zerocopy"))
			options->zerocopy = 1;
		else if (!strcmp(*words, "fast"))
			options->fast = 1;
		else
			exit(2);
	}
	if (!options->buffer_bytes)
		exit(2);
}

int main(int argc, char **argv)
{
	struct options options = { NULL, 4 << 20, 0, 0 };
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long count, size_bytes;

	if (argc == 4 && !strcmp(what, "serve"))
		serve(argv[2], argv[3]);
	if (argc < 5)
		return 2;
	count = strtoul(argv[4], NULL, 10);
	if (!strcmp(what, "send") || !strcmp(what, "receive")) {
		parse_options(argv + 5, &options);
		return stream(what[0] == 's' ? SEND : RECEIVE,
		              connect_to(argv[2], argv[3], SOCK_STREAM), count, &options);
	}
	size_bytes = argc > 5 ? strtoul(argv[5], NULL, 10) : 64;
	if (size_bytes < 8 || size_bytes > PACKET_MAX)
		return 2;
	if (!strcmp(what, "packets"))
		return packets(connect_to(argv[2], argv[3], SOCK_DGRAM), (uint32_t)count,
		               size_bytes);
	if (!strcmp(what, "flood"))
		return flood(connect_to(argv[2], argv[3], SOCK_DGRAM), count, size_bytes);
	return 2;
}
