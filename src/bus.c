/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of device registers.
 *
 * DOC: A sorted array of ranges, a reader-writer lock, a binary search. The lock is held for the
 * search alone; ops and ctx are copied out, so a handler may add and remove ranges itself. That is
 * why a range that is being removed may be entered once more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bus.h"

struct bus_range {
	uint64_t base, size_bytes;
	const struct bus_ops *ops;
	void *ctx;
	const char *name;
};

struct bus {
	const char *name;
	pthread_rwlock_t lock;
	size_t range_count;
	struct bus_range ranges[BUS_RANGES_MAX]; /* ascending, apart from each other */
	struct metric_counter unclaimed;
};

int bus_create(const char *name, struct bus **ret_bus)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	if (pthread_rwlock_init(&bus->lock, NULL)) {
		free(bus);
		return -ENOMEM;
	}
	bus->name = name;
	*ret_bus = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	if (!bus)
		return;
	pthread_rwlock_destroy(&bus->lock);
	free(bus);
}

/* The index of the first range with base above the given one. Lock held. */
static size_t upper_bound(const struct bus *bus, uint64_t base)
{
	size_t low = 0, high = bus->range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bus->ranges[middle].base <= base)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_locked(struct bus *bus, const struct bus_range *range)
{
	size_t index = upper_bound(bus, range->base);
	const struct bus_range *below = index ? &bus->ranges[index - 1] : NULL;
	const struct bus_range *above = index < bus->range_count ? &bus->ranges[index] : NULL;

	if (below && ranges_overlap(below->base, below->size_bytes, range->base, range->size_bytes))
		return -EEXIST;
	if (above && ranges_overlap(above->base, above->size_bytes, range->base, range->size_bytes))
		return -EEXIST;
	if (bus->range_count == BUS_RANGES_MAX)
		return -ENOSPC;
	memmove(&bus->ranges[index + 1], &bus->ranges[index],
	        (bus->range_count - index) * sizeof(bus->ranges[0]));
	bus->ranges[index] = *range;
	bus->range_count++;
	return 0;
}

int bus_add(struct bus *bus, uint64_t base, uint64_t size_bytes, const struct bus_ops *ops,
            void *ctx, const char *name)
{
	const struct bus_range range = {
		.base = base, .size_bytes = size_bytes, .ops = ops, .ctx = ctx, .name = name
	};
	int result;

	if (!size_bytes || base + (size_bytes - 1) < base)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->lock);
	result = add_locked(bus, &range);
	pthread_rwlock_unlock(&bus->lock);
	return result;
}

void bus_remove(struct bus *bus, uint64_t base)
{
	size_t index;

	pthread_rwlock_wrlock(&bus->lock);
	index = upper_bound(bus, base);
	if (index && bus->ranges[index - 1].base == base) {
		memmove(&bus->ranges[index - 1], &bus->ranges[index],
		        (bus->range_count - index) * sizeof(bus->ranges[0]));
		bus->range_count--;
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* Whether a range holds the whole access; counts it when none does. */
static bool find(struct bus *bus, uint64_t base, unsigned int size_bytes,
                 struct bus_range *ret_range)
{
	bool found = false;
	size_t index;

	pthread_rwlock_rdlock(&bus->lock);
	index = upper_bound(bus, base);
	if (index) {
		const struct bus_range *range = &bus->ranges[index - 1];

		found = size_bytes && size_bytes <= 8 &&
		        range_contains(range->base, range->size_bytes, base, size_bytes);
		if (found)
			*ret_range = *range;
	}
	pthread_rwlock_unlock(&bus->lock);
	if (!found)
		metric_increment(&bus->unclaimed);
	return found;
}

bool bus_read(struct bus *bus, uint64_t base, void *data, unsigned int size_bytes)
{
	struct bus_range range;

	/* Also the answer of a device that leaves data alone. */
	memset(data, 0xff, size_bytes);
	if (!find(bus, base, size_bytes, &range))
		return false;
	if (range.ops->read)
		range.ops->read(range.ctx, base - range.base, data, size_bytes);
	return true;
}

bool bus_write(struct bus *bus, uint64_t base, const void *data, unsigned int size_bytes)
{
	struct bus_range range;

	if (!find(bus, base, size_bytes, &range))
		return false;
	if (range.ops->write)
		range.ops->write(range.ctx, base - range.base, data, size_bytes);
	return true;
}

uint64_t bus_unclaimed_count(const struct bus *bus)
{
	return metric_read(&bus->unclaimed);
}
