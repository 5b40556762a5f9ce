/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list with a head node. Not thread-safe. */
#ifndef EBB_LIST_H
#define EBB_LIST_H

#include "ebb/types.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Leaves node as an empty list: removing it twice is harmless. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_for_each(node, head) \
	for (struct list *node = (head)->next; node != (head); node = node->next)

/* The body may remove node. */
#define list_for_each_safe(node, head) \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head); \
	     node = node##_next, node##_next = node->next)

#define list_for_each_reverse_safe(node, head) \
	for (struct list *node = (head)->prev, *node##_prev = node->prev; node != (head); \
	     node = node##_prev, node##_prev = node->prev)

#endif
