/* SPDX-License-Identifier: Apache-2.0 */
/* The regions of guest memory as a vhost's memory table needs them. Pure; the caller's lock. */
#ifndef VHOST_MEMORY_H
#define VHOST_MEMORY_H

#include "ebb/types.h"

struct vhost_span {
	gpa_t gpa;
	uint64_t size_bytes;
	uint64_t hva;
};

struct vhost_spans {              /* zeroed: empty */
	struct vhost_span *spans; /* ascending gpa, apart from each other */
	size_t count, max;
};

/* Overlaps with none that is there. -ENOMEM. */
EBB_MUST_CHECK int vhost_spans_add(struct vhost_spans *spans, const struct vhost_span *span);
void vhost_spans_remove(struct vhost_spans *spans, gpa_t gpa); /* the one that starts there */
void vhost_spans_free(struct vhost_spans *spans);

/* Neighbours that touch in both address spaces are one: writes them to merged, which has room for
 * spans->count (NULL: only counts); returns how many. */
size_t vhost_spans_merge(const struct vhost_spans *spans, struct vhost_span *merged);

/* Whether [hva, hva + size_bytes) lies in them whole. size_bytes is not 0. */
bool vhost_spans_hold(const struct vhost_spans *spans, uint64_t hva, uint64_t size_bytes);

#endif
