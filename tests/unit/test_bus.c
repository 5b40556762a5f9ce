/* SPDX-License-Identifier: Apache-2.0 */
/* The bus: overlap, edges, unclaimed accesses, changes from inside a handler and from other
 * threads. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bus.h"

struct device_log {
	uint64_t offset;
	unsigned int size_bytes, reads, writes;
	uint8_t written[8];
	struct bus *bus; /* to change from within */
};

static void on_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct device_log *log = ctx;

	log->offset = offset;
	log->size_bytes = size_bytes;
	log->reads++;
	memset(data, 0x5a, size_bytes);
}

static void on_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct device_log *log = ctx;

	log->offset = offset;
	log->size_bytes = size_bytes;
	log->writes++;
	memcpy(log->written, data, size_bytes);
}

static const struct bus_ops ops = { .read = on_read, .write = on_write };
static const struct bus_ops no_ops = { .read = NULL, .write = NULL };

static struct bus *new_bus(void)
{
	struct bus *bus = NULL;

	assert_int_equal(bus_create("mmio", &bus), 0);
	return bus;
}

static void test_add(void **state)
{
	struct bus *bus = new_bus();

	(void)state;
	assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, NULL, "a"), 0);
	assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, NULL, "same"), -EEXIST);
	assert_int_equal(bus_add(bus, 0x10ff, 1, &ops, NULL, "last byte"), -EEXIST);
	assert_int_equal(bus_add(bus, 0xfff, 2, &ops, NULL, "first byte"), -EEXIST);
	assert_int_equal(bus_add(bus, 0, 0x10000, &ops, NULL, "around"), -EEXIST);
	assert_int_equal(bus_add(bus, 0, UINT64_MAX, &ops, NULL, "all"), -EEXIST);
	assert_int_equal(bus_add(bus, 0x1100, 1, &ops, NULL, "behind"), 0);
	assert_int_equal(bus_add(bus, 0xfff, 1, &ops, NULL, "before"), 0);
	assert_int_equal(bus_add(bus, 0x5000, 0, &ops, NULL, "empty"), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 2, &ops, NULL, "wraps"), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 1, &ops, NULL, "the very last"), 0);
	bus_remove(bus, 0x1001); /* inside, not a base */
	assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, NULL, "again"), -EEXIST);
	bus_remove(bus, 0x1000);
	assert_int_equal(bus_add(bus, 0x1000, 0x100, &ops, NULL, "again"), 0);
	bus_destroy(bus);
	bus_destroy(NULL);
}

static void test_full(void **state)
{
	struct bus *bus = new_bus();
	struct device_log log = { 0 };
	uint8_t byte;

	(void)state;
	/* From the top downwards, so that each insertion moves all others. */
	for (unsigned int i = BUS_RANGES_MAX; i--;)
		assert_int_equal(bus_add(bus, i * 16, 16, &ops, &log, "one of many"), 0);
	assert_int_equal(bus_add(bus, BUS_RANGES_MAX * 16, 16, &ops, &log, "too many"), -ENOSPC);
	for (unsigned int i = 0; i < BUS_RANGES_MAX; i++) {
		assert_true(bus_read(bus, i * 16 + 7, &byte, 1));
		assert_int_equal(log.offset, 7);
	}
	bus_remove(bus, 16);
	assert_int_equal(bus_add(bus, BUS_RANGES_MAX * 16, 16, &ops, &log, "room again"), 0);
	bus_destroy(bus);
}

static void test_access(void **state)
{
	struct bus *bus = new_bus();
	struct device_log log = { 0 };
	uint8_t data[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	assert_int_equal(bus_add(bus, 0x1000, 0x10, &ops, &log, "device"), 0);
	assert_true(bus_write(bus, 0x1008, data, 8));
	assert_int_equal(log.offset, 8);
	assert_int_equal(log.size_bytes, 8);
	assert_memory_equal(log.written, data, 8);
	assert_true(bus_read(bus, 0x100f, data, 1));
	assert_int_equal(log.offset, 15);
	assert_int_equal(data[0], 0x5a);
	assert_int_equal(data[1], 2); /* no byte more */
	assert_int_equal(bus_unclaimed_count(bus), 0);

	/* What reaches over the end belongs to nobody, and is not cut. */
	memset(data, 0, sizeof(data));
	assert_false(bus_read(bus, 0x100d, data, 4));
	assert_memory_equal(data, "\xff\xff\xff\xff\0\0\0\0", 8);
	assert_false(bus_read(bus, 0xfff, data, 2));
	assert_false(bus_read(bus, 0x1010, data, 1));
	assert_false(bus_write(bus, 0x100d, data, 4));
	assert_false(bus_write(bus, 0, data, 1));
	assert_false(bus_read(bus, UINT64_MAX, data, 8));
	assert_int_equal(bus_unclaimed_count(bus), 6);
	assert_int_equal(log.reads + log.writes, 2);

	/* A device without handlers: there, and silent. */
	assert_int_equal(bus_add(bus, 0x2000, 4, &no_ops, NULL, "silent"), 0);
	memset(data, 0, sizeof(data));
	assert_true(bus_read(bus, 0x2000, data, 4));
	assert_memory_equal(data, "\xff\xff\xff\xff\0\0\0\0", 8);
	assert_true(bus_write(bus, 0x2000, data, 4));
	bus_destroy(bus);
}

static void move_itself(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	static const struct bus_ops moving = { .write = move_itself };
	struct device_log *log = ctx;

	(void)offset;
	(void)data;
	(void)size_bytes;
	bus_remove(log->bus, 0x1000);
	assert_int_equal(bus_add(log->bus, 0x2000, 16, &moving, log, "moved"), 0);
	log->writes++;
}

static void test_handler_changes_bus(void **state)
{
	static const struct bus_ops moving = { .write = move_itself };
	struct device_log log = { .bus = new_bus() };

	(void)state;
	assert_int_equal(bus_add(log.bus, 0x1000, 16, &moving, &log, "mover"), 0);
	assert_true(bus_write(log.bus, 0x1000, "", 1));
	assert_false(bus_write(log.bus, 0x1000, "", 1));
	assert_int_equal(log.writes, 1);
	bus_destroy(log.bus);
}

struct churn {
	struct bus *bus;
	bool changes;
};

static void *churn(void *ctx)
{
	struct churn *churn = ctx;
	uint8_t data[4];

	for (int i = 0; i < 2000; i++) {
		if (churn->changes) {
			bus_remove(churn->bus, 0x2000);
			assert_int_equal(bus_add(churn->bus, 0x2000, 16, &no_ops, NULL, "x"), 0);
		} else {
			bus_read(churn->bus, 0x2000, data, 4);
			/* The neighbours stay reachable all the time. */
			assert_true(bus_write(churn->bus, 0x1000, data, 4));
			assert_true(bus_write(churn->bus, 0x3000, data, 4));
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct churn reader = { .bus = new_bus() };
	struct churn writer = { .bus = reader.bus, .changes = true };
	pthread_t threads[3];

	(void)state;
	assert_int_equal(bus_add(reader.bus, 0x1000, 16, &no_ops, NULL, "below"), 0);
	assert_int_equal(bus_add(reader.bus, 0x3000, 16, &no_ops, NULL, "above"), 0);
	pthread_create(&threads[0], NULL, churn, &writer);
	pthread_create(&threads[1], NULL, churn, &reader);
	pthread_create(&threads[2], NULL, churn, &reader);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	bus_destroy(reader.bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),     cmocka_unit_test(test_full),
		cmocka_unit_test(test_access),  cmocka_unit_test(test_handler_changes_bus),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
