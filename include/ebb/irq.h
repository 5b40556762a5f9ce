/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts towards the guest: level lines (GSIs) that devices share, and MSI vectors behind
 * eventfds.
 *
 * irq.c owns the GSI routing table and every irqfd. A vector costs nothing in KVM until it gets a
 * message and is enabled. Any thread; one lock inside, taken last (see the lock order in vm.h).
 */
#ifndef EBB_IRQ_H
#define EBB_IRQ_H

#include "ebb/error.h"
#include "ebb/types.h"

struct vm;
struct irq_router;
struct irq_line;
struct irq_vector;

#define IRQ_GSIS_MAX 1024

struct msi_message {
	uint64_t address;
	uint32_t data;
};

/* first_msi_gsi: the GSIs below are the irqchip's pins. vm->kvm_vm must be there. */
EBB_MUST_CHECK int irq_router_create(struct vm *vm, unsigned int first_msi_gsi,
                                     struct irq_router **ret_router, struct error *err);
void irq_router_destroy(struct irq_router *router);

/* Whether vectors reach the guest. Where they do not, a device has lines alone. */
bool irq_router_has_msi(const struct irq_router *router);

/* A device's own share of a level line: the line is high while any share is. Errors: -ENOMEM,
 * -EINVAL (gsi). */
EBB_MUST_CHECK int irq_line_create(struct irq_router *router, unsigned int gsi,
                                   struct irq_line **ret_line);
void irq_line_destroy(struct irq_line *line); /* lowers it first */

/* Reaches the irqchip (arch_irq_set_level) only when the whole line's level changes. */
void irq_line_set(struct irq_line *line, bool level);

/*
 * An eventfd that interrupts the guest when signalled, without ebb taking part. While a vector is
 * disabled (masked, or with no message) signals collect in the eventfd and are delivered when it is
 * enabled.
 */
EBB_MUST_CHECK int irq_vector_create(struct irq_router *router, struct irq_vector **ret_vector);
void irq_vector_destroy(struct irq_vector *vector);

/*
 * Sets the message (guest-controlled; NULL keeps the one before; nothing is sent) and whether it is
 * connected. The same again costs nothing. -ENOSPC: routes used up; -EMFILE, -ENOMEM; -errno of
 * KVM, which judges the message: the vector is disconnected then.
 */
int irq_vector_configure(struct irq_vector *vector, const struct msi_message *message,
                         bool enabled);

/* Signals since it was disabled that are waiting: the MSI-X pending bit. */
bool irq_vector_is_pending(struct irq_vector *vector);

/* Drops what is waiting: a device that was reset. */
void irq_vector_clear(struct irq_vector *vector);

/* One write(2). */
void irq_vector_trigger(struct irq_vector *vector);

/* The eventfd, made by the first call or when the vector is first enabled. Owned by the vector;
 * lent to vhost. -errno when it cannot be made. */
EBB_MUST_CHECK int irq_vector_fd(struct irq_vector *vector);

#endif
