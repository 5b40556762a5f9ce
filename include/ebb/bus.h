/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of device registers: ports (x86) or MMIO.
 *
 * Ranges do not overlap. Look-ups are a binary search under a reader-writer lock; the handler runs
 * outside of it, on the accessing vCPU's thread, so a handler may itself change the bus (a BAR that
 * moves), may run on several vCPUs at once and locks for itself, and may still be entered once at
 * its old place while a range is being removed. A ctx outlives every vCPU's run.
 */
#ifndef EBB_BUS_H
#define EBB_BUS_H

#include "ebb/error.h"
#include "ebb/metrics.h"
#include "ebb/types.h"

struct bus;

/* offset is relative to the range's base; size_bytes is 1 to 8 and [offset, offset + size_bytes)
 * lies inside the range. Guest-controlled all. */
struct bus_ops {
	void (*read)(void *ctx, uint64_t offset, void *data, unsigned int size_bytes);
	void (*write)(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes);
};

#define BUS_RANGES_MAX 256

EBB_MUST_CHECK int bus_create(const char *name, struct bus **ret_bus);
void bus_destroy(struct bus *bus);

/* name is borrowed (for messages). Errors: -EEXIST (overlap), -ENOSPC, -EINVAL (empty, wraps). */
EBB_MUST_CHECK int bus_add(struct bus *bus, uint64_t base, uint64_t size_bytes,
                           const struct bus_ops *ops, void *ctx, const char *name);

/* Nothing happens when no range starts at base. */
void bus_remove(struct bus *bus, uint64_t base);

/*
 * A guest's access. What no range holds whole reads as all-ones, ignores writes, and is counted.
 * Returns whether a device took it.
 */
bool bus_read(struct bus *bus, uint64_t base, void *data, unsigned int size_bytes);
bool bus_write(struct bus *bus, uint64_t base, const void *data, unsigned int size_bytes);

uint64_t bus_unclaimed_count(const struct bus *bus);

#endif
