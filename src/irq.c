/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts towards the guest: shared level lines, MSI vectors, the GSI routing table.
 *
 * DOC: Routing. KVM_SET_GSI_ROUTING replaces the whole table, so irq.c alone keeps it: the
 * irqchip's pins (arch_pin_routes) and one entry for each vector that has ever been enabled. A
 * fresh in-kernel irqchip routes its pins by itself; the table is sent for the first time with the
 * first vector, and then once for each message that changes while it matters. A message that KVM
 * refuses is taken back, so that one function's nonsense does not hold up another's vectors.
 *
 * A vector: none -> (first enabling: GSI and route) -> connected (irqfd assigned) <-> disconnected.
 * Only a connected vector interrupts. Signals of a disconnected one wait in its eventfd, and KVM
 * delivers them when the irqfd is assigned, because it looks at the eventfd's state then. Before
 * the vector has its eventfd - made when somebody needs it - they wait in `pending`.
 *
 * Lines: a GSI is high while any of its shares is; the irqchip hears of changes only. Both edges
 * reach it under the lock, so levels arrive in the order in which they were set.
 *
 * Locks: the router's lock (lines, routes, connections), then a vector's fd_lock (eventfd,
 * pending). A trigger takes fd_lock alone: it never waits for a table that is being committed.
 *
 * Syscalls: all: eventfd poll read write
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ebb/arch.h"
#include "ebb/bitmap.h"
#include "ebb/irq.h"
#include "ebb/kvm.h"
#include "ebb/list.h"
#include "ebb/vm.h"

#define PIN_ROUTES_MAX 128

struct irq_router {
	struct vm *vm;
	pthread_mutex_t lock;
	unsigned int first_msi_gsi;
	unsigned int high_counts[IRQ_GSIS_MAX]; /* shares that are high, by GSI */
	uint64_t msi_gsis[BITMAP_WORDS(IRQ_GSIS_MAX)];
	struct list vectors;
};

struct irq_line {
	struct irq_router *router;
	unsigned int gsi;
	bool level;
};

struct irq_vector {
	struct list node;
	struct irq_router *router;
	/* Under the router's lock: */
	bool has_message, has_route, connected;
	struct msi_message message; /* guest-controlled; the newest one */
	struct msi_message routed;  /* what the table holds */
	unsigned int gsi;           /* with has_route */
	/* Under fd_lock: */
	pthread_mutex_t fd_lock;
	int fd; /* -1: not made yet */
	bool pending;
};

int irq_router_create(struct vm *vm, unsigned int first_msi_gsi, struct irq_router **ret_router,
                      struct error *err)
{
	struct irq_router *router;

	if (first_msi_gsi >= IRQ_GSIS_MAX)
		return error_set(err, -EINVAL, "interrupts: %u pins, the limit is %d",
		                 first_msi_gsi, IRQ_GSIS_MAX - 1);
	router = calloc(1, sizeof(*router));
	if (!router)
		return error_set_errno(err, -ENOMEM, "interrupts");
	if (pthread_mutex_init(&router->lock, NULL)) {
		free(router);
		return error_set_errno(err, -ENOMEM, "interrupts");
	}
	router->vm = vm;
	router->first_msi_gsi = first_msi_gsi;
	list_init(&router->vectors);
	*ret_router = router;
	return 0;
}

void irq_router_destroy(struct irq_router *router)
{
	if (!router)
		return;
	pthread_mutex_destroy(&router->lock);
	free(router);
}

bool irq_router_has_msi(const struct irq_router *router)
{
	return arch_has_msi(router->vm);
}

/* --- lines --- */

int irq_line_create(struct irq_router *router, unsigned int gsi, struct irq_line **ret_line)
{
	struct irq_line *line;

	if (gsi >= router->first_msi_gsi)
		return -EINVAL;
	line = calloc(1, sizeof(*line));
	if (!line)
		return -ENOMEM;
	line->router = router;
	line->gsi = gsi;
	*ret_line = line;
	return 0;
}

void irq_line_destroy(struct irq_line *line)
{
	if (!line)
		return;
	irq_line_set(line, false);
	free(line);
}

/* Lock held. */
static void set_level(struct irq_line *line, bool level)
{
	struct irq_router *router = line->router;
	unsigned int *high_count = &router->high_counts[line->gsi];
	bool was_high = *high_count;

	if (line->level == level)
		return;
	line->level = level;
	*high_count += level ? 1 : -1u;
	/* An irqchip that refuses costs this interrupt; the next change tells it again. */
	if (was_high != (*high_count > 0))
		(void)!arch_irq_set_level(router->vm, line->gsi, *high_count > 0);
}

void irq_line_set(struct irq_line *line, bool level)
{
	pthread_mutex_lock(&line->router->lock);
	set_level(line, level);
	pthread_mutex_unlock(&line->router->lock);
}

/* --- the routing table; router's lock held --- */

static size_t count_routes(const struct irq_router *router)
{
	size_t count = 0;

	list_for_each (node, &router->vectors)
		count += container_of(node, struct irq_vector, node)->has_route;
	return count;
}

static int commit_routes(struct irq_router *router)
{
	struct kvm_irq_routing *table;
	size_t count;
	int result;

	table = calloc(1, sizeof(*table) + (PIN_ROUTES_MAX + count_routes(router)) *
	                                           sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	count = arch_pin_routes(table->entries, PIN_ROUTES_MAX);
	list_for_each (node, &router->vectors) {
		const struct irq_vector *vector = container_of(node, struct irq_vector, node);

		if (vector->has_route)
			arch_msi_route(&vector->routed, vector->gsi, &table->entries[count++]);
	}
	table->nr = (uint32_t)count;
	result = kvm_vm_set_gsi_routing(router->vm->kvm_vm, table);
	free(table);
	return result;
}

static bool same_message(const struct msi_message *a, const struct msi_message *b)
{
	return a->address == b->address && a->data == b->data;
}

/* Gives the vector a route with its newest message. */
static int update_route(struct irq_vector *vector)
{
	struct irq_router *router = vector->router;
	const struct msi_message before = vector->routed;
	const bool had_route = vector->has_route;
	int result;

	if (had_route && same_message(&vector->routed, &vector->message))
		return 0;
	if (!had_route) {
		size_t gsi =
			bitmap_find_clear(router->msi_gsis, IRQ_GSIS_MAX, router->first_msi_gsi);

		if (gsi == IRQ_GSIS_MAX)
			return -ENOSPC;
		vector->gsi = (unsigned int)gsi;
	}
	vector->routed = vector->message;
	vector->has_route = true;
	result = commit_routes(router);
	if (result < 0) {
		/* KVM keeps its old table when it refuses one, and so do we. */
		vector->routed = before;
		vector->has_route = had_route;
		return result;
	}
	bitmap_set(router->msi_gsis, vector->gsi);
	return 0;
}

/* --- vectors --- */

int irq_vector_create(struct irq_router *router, struct irq_vector **ret_vector)
{
	struct irq_vector *vector = calloc(1, sizeof(*vector));

	if (!vector)
		return -ENOMEM;
	if (pthread_mutex_init(&vector->fd_lock, NULL)) {
		free(vector);
		return -ENOMEM;
	}
	vector->router = router;
	vector->fd = -1;
	pthread_mutex_lock(&router->lock);
	list_append(&router->vectors, &vector->node);
	pthread_mutex_unlock(&router->lock);
	*ret_vector = vector;
	return 0;
}

/* Router's lock held. Signals from now on wait in the eventfd. */
static void disconnect(struct irq_vector *vector)
{
	if (!vector->connected)
		return;
	/* KVM refuses only what is not assigned. */
	(void)!kvm_vm_irqfd(vector->router->vm->kvm_vm, vector->fd, vector->gsi, false);
	vector->connected = false;
}

void irq_vector_destroy(struct irq_vector *vector)
{
	struct irq_router *router;

	if (!vector)
		return;
	router = vector->router;
	pthread_mutex_lock(&router->lock);
	disconnect(vector);
	/* Its route stays in KVM's table until the next commit: nothing can raise it. */
	if (vector->has_route)
		bitmap_clear(router->msi_gsis, vector->gsi);
	list_remove(&vector->node);
	pthread_mutex_unlock(&router->lock);
	if (vector->fd >= 0)
		close(vector->fd);
	pthread_mutex_destroy(&vector->fd_lock);
	free(vector);
}

int irq_vector_fd(struct irq_vector *vector)
{
	int fd;

	pthread_mutex_lock(&vector->fd_lock);
	if (vector->fd < 0) {
		vector->fd = eventfd(vector->pending, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vector->fd >= 0)
			vector->pending = false;
	}
	fd = vector->fd < 0 ? -errno : vector->fd;
	pthread_mutex_unlock(&vector->fd_lock);
	return fd;
}

/* Router's lock held. */
static int connect_vector(struct irq_vector *vector)
{
	int result = update_route(vector);
	int fd;

	if (result < 0 || vector->connected)
		return result;
	fd = irq_vector_fd(vector);
	if (fd < 0)
		return fd;
	result = kvm_vm_irqfd(vector->router->vm->kvm_vm, fd, vector->gsi, true);
	if (result < 0)
		return result;
	/* KVM delivered what was waiting, but leaves it in the eventfd: read, or it would count as
	 * pending. */
	(void)!eventfd_read(fd, &(eventfd_t){ 0 });
	vector->connected = true;
	return 0;
}

int irq_vector_configure(struct irq_vector *vector, const struct msi_message *message, bool enabled)
{
	int result = 0;

	pthread_mutex_lock(&vector->router->lock);
	if (message) {
		vector->message = *message;
		vector->has_message = true;
	}
	if (enabled && vector->has_message)
		result = connect_vector(vector);
	else
		disconnect(vector);
	/* A message that cannot be had must not leave the old one in force. */
	if (result < 0)
		disconnect(vector);
	pthread_mutex_unlock(&vector->router->lock);
	return result;
}

bool irq_vector_is_pending(struct irq_vector *vector)
{
	bool pending;

	pthread_mutex_lock(&vector->fd_lock);
	pending = vector->pending;
	if (vector->fd >= 0) {
		struct pollfd poll_fd = { .fd = vector->fd, .events = POLLIN };

		pending = poll(&poll_fd, 1, 0) > 0;
	}
	pthread_mutex_unlock(&vector->fd_lock);
	return pending;
}

void irq_vector_clear(struct irq_vector *vector)
{
	eventfd_t count;

	pthread_mutex_lock(&vector->fd_lock);
	vector->pending = false;
	if (vector->fd >= 0)
		(void)!eventfd_read(vector->fd, &count); /* -EAGAIN: nothing waits */
	pthread_mutex_unlock(&vector->fd_lock);
}

void irq_vector_trigger(struct irq_vector *vector)
{
	int fd;

	pthread_mutex_lock(&vector->fd_lock);
	fd = vector->fd;
	if (fd < 0)
		vector->pending = true;
	pthread_mutex_unlock(&vector->fd_lock);
	/* -EAGAIN: 2^64 - 2 signals wait already; one more says nothing new. */
	if (fd >= 0)
		(void)!eventfd_write(fd, 1);
}
