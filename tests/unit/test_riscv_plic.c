/* SPDX-License-Identifier: Apache-2.0 */
/* The PLIC: claim and complete, level wires, priorities, thresholds, contexts, hostile accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "../../arch/riscv/plic.h"

#define CONTEXTS 3
#define SOURCES  68

#define PRIORITY(source)      (4ULL * (source))
#define PENDING(word)         (0x1000ULL + 4 * (word))
#define ENABLE(context, word) (0x2000ULL + 0x80 * (context) + 4 * (word))
#define THRESHOLD(context)    (0x200000ULL + 0x1000 * (context))
#define CLAIM(context)        (THRESHOLD(context) + 4)

static struct {
	struct plic *plic;
	bool levels[CONTEXTS];
	unsigned int changes;
} t;

static void on_output(void *ctx, unsigned int context, bool level)
{
	assert_ptr_equal(ctx, &t);
	assert_in_range(context, 0, CONTEXTS - 1);
	assert_int_not_equal(t.levels[context], level); /* only changes are told */
	t.levels[context] = level;
	t.changes++;
}

static uint32_t get(uint64_t offset)
{
	uint8_t data[4] = { 0xee, 0xee, 0xee, 0xee };

	plic_bus_ops.read(t.plic, offset, data, 4);
	return load_le32(data);
}

static void set(uint64_t offset, uint32_t value)
{
	uint8_t data[4];

	store_le32(data, value);
	plic_bus_ops.write(t.plic, offset, data, 4);
}

/* Priority 1 and enabled in that context. */
static void enable(unsigned int context, unsigned int source)
{
	set(PRIORITY(source), 1);
	set(ENABLE(context, source / 32), get(ENABLE(context, source / 32)) | 1u << source % 32);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	return plic_create(CONTEXTS, SOURCES, on_output, &t, &t.plic);
}

static int tear_down(void **state)
{
	(void)state;
	plic_destroy(t.plic);
	return 0;
}

static void test_claim_and_complete(void **state)
{
	(void)state;
	enable(0, 10);
	assert_false(t.levels[0]);
	plic_set_level(t.plic, 10, true);
	assert_true(t.levels[0]);
	assert_int_equal(get(PENDING(0)), 1u << 10);
	assert_int_equal(get(CLAIM(0)), 10);
	assert_false(t.levels[0]);
	assert_int_equal(get(PENDING(0)), 0);
	assert_int_equal(get(CLAIM(0)), 0);
	plic_set_level(t.plic, 10, false);
	set(CLAIM(0), 10);
	assert_false(t.levels[0]);
	assert_int_equal(t.changes, 2);
}

static void test_level_that_stays(void **state)
{
	(void)state;
	enable(0, 67);
	plic_set_level(t.plic, 67, true);
	assert_int_equal(get(CLAIM(0)), 67);
	/* No second request before the first is complete, whatever the wire does. */
	plic_set_level(t.plic, 67, false);
	plic_set_level(t.plic, 67, true);
	assert_int_equal(get(PENDING(2)), 0);
	set(CLAIM(0), 67);
	assert_true(t.levels[0]);
	assert_int_equal(get(CLAIM(0)), 67);
}

static void test_pulse_is_kept(void **state)
{
	(void)state;
	enable(1, 33);
	plic_set_level(t.plic, 33, true);
	plic_set_level(t.plic, 33, false);
	assert_true(t.levels[1]); /* a gateway takes nothing back */
	assert_int_equal(get(CLAIM(1)), 33);
	set(CLAIM(1), 33);
	assert_false(t.levels[1]);
}

static void test_priorities(void **state)
{
	(void)state;
	for (unsigned int source = 1; source <= 40; source += 13)
		enable(0, source);
	set(PRIORITY(27), 5);
	for (unsigned int source = 1; source <= 40; source += 13)
		plic_set_level(t.plic, source, true);
	assert_int_equal(get(CLAIM(0)), 27);
	assert_int_equal(get(CLAIM(0)), 1); /* of several alike, the lowest number */
	assert_int_equal(get(CLAIM(0)), 14);
	assert_int_equal(get(CLAIM(0)), 40);
	assert_int_equal(get(CLAIM(0)), 0);
}

static void test_priority_zero_and_limit(void **state)
{
	(void)state;
	enable(0, 4);
	set(PRIORITY(4), 0);
	plic_set_level(t.plic, 4, true);
	assert_false(t.levels[0]);
	assert_int_equal(get(CLAIM(0)), 0);
	set(PRIORITY(4), 0xffffffff);
	assert_int_equal(get(PRIORITY(4)), 7);
	assert_true(t.levels[0]);
}

static void test_threshold(void **state)
{
	(void)state;
	enable(0, 9);
	set(PRIORITY(9), 3);
	set(THRESHOLD(0), 3);
	plic_set_level(t.plic, 9, true);
	assert_false(t.levels[0]);
	set(THRESHOLD(0), 2);
	assert_true(t.levels[0]);
	set(THRESHOLD(0), 7);
	assert_false(t.levels[0]);
	assert_int_equal(get(CLAIM(0)), 9); /* a claim does not look at it */
}

static void test_contexts(void **state)
{
	(void)state;
	enable(0, 20);
	enable(2, 20);
	plic_set_level(t.plic, 20, true);
	assert_true(t.levels[0]);
	assert_false(t.levels[1]);
	assert_true(t.levels[2]);
	/* One context's claim is the other's loss, and only who has it enabled completes. */
	assert_int_equal(get(CLAIM(2)), 20);
	assert_false(t.levels[0]);
	assert_int_equal(get(CLAIM(0)), 0);
	set(CLAIM(1), 20);
	assert_false(t.levels[0]);
	set(CLAIM(0), 20);
	assert_true(t.levels[0]);
	assert_true(t.levels[2]);
}

static void test_complete_of_nothing(void **state)
{
	(void)state;
	enable(0, 5);
	set(CLAIM(0), 5);
	set(CLAIM(0), 0);
	set(CLAIM(0), SOURCES);
	set(CLAIM(0), UINT32_MAX);
	plic_set_level(t.plic, 5, true);
	assert_int_equal(get(CLAIM(0)), 5);
	set(ENABLE(0, 0), 0);
	set(CLAIM(0), 5); /* not enabled any more: ignored */
	enable(0, 5);
	assert_int_equal(get(CLAIM(0)), 0);
	set(CLAIM(0), 5);
	assert_int_equal(get(CLAIM(0)), 5);
}

static void test_reset(void **state)
{
	(void)state;
	enable(0, 5);
	enable(1, 6);
	plic_set_level(t.plic, 5, true);
	plic_set_level(t.plic, 6, true);
	set(THRESHOLD(2), 4);
	plic_reset(t.plic);
	assert_false(t.levels[0]);
	assert_false(t.levels[1]);
	assert_int_equal(get(ENABLE(0, 0)), 0);
	assert_int_equal(get(PRIORITY(5)), 0);
	assert_int_equal(get(THRESHOLD(2)), 0);
	enable(0, 5); /* its wire is still high */
	assert_true(t.levels[0]);
}

static void test_what_is_not_there(void **state)
{
	static const uint64_t offsets[] = {
		PRIORITY(0),
		PRIORITY(SOURCES),
		PRIORITY(1023),
		PENDING(31),
		ENABLE(CONTEXTS, 0),
		ENABLE(0, 31),
		THRESHOLD(CONTEXTS),
		CLAIM(CONTEXTS),
		THRESHOLD(0) + 8,
		PLIC_BYTES - 4,
		0x1ffffc,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		set(offsets[i], UINT32_MAX);
		assert_int_equal(get(offsets[i]), 0);
	}
	set(ENABLE(0, 0), UINT32_MAX);
	assert_int_equal(get(ENABLE(0, 0)), 0xfffffffe);
	set(ENABLE(0, 2), UINT32_MAX);
	assert_int_equal(get(ENABLE(0, 2)), 0xf);
	plic_set_level(t.plic, 0, true);
	plic_set_level(t.plic, SOURCES, true);
	plic_set_level(t.plic, UINT32_MAX, true);
	assert_int_equal(t.changes, 0);
}

static void test_widths(void **state)
{
	uint8_t data[8];

	(void)state;
	enable(0, 8);
	plic_set_level(t.plic, 8, true);
	for (unsigned int size = 1; size <= 8; size++) {
		for (unsigned int shift = 0; shift < 4; shift++) {
			if (size == 4 && !shift)
				continue;
			memset(data, 0xff, sizeof(data));
			plic_bus_ops.write(t.plic, PRIORITY(8) + shift, data, size);
			plic_bus_ops.read(t.plic, CLAIM(0) + shift, data, size);
			for (unsigned int i = 0; i < size; i++)
				assert_int_equal(data[i], 0);
		}
	}
	assert_int_equal(get(PRIORITY(8)), 1);
	assert_int_equal(get(CLAIM(0)), 8); /* nothing claimed it */
}

static void test_limits(void **state)
{
	struct plic *plic;

	(void)state;
	assert_int_not_equal(plic_create(PLIC_CONTEXTS_MAX + 1, 1, on_output, &t, &plic), 0);
	assert_int_not_equal(plic_create(1, PLIC_SOURCES_MAX + 1, on_output, &t, &plic), 0);
	plic_destroy(NULL);
}

#define with_plic(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_plic(test_claim_and_complete),
		with_plic(test_level_that_stays),
		with_plic(test_pulse_is_kept),
		with_plic(test_priorities),
		with_plic(test_priority_zero_and_limit),
		with_plic(test_threshold),
		with_plic(test_contexts),
		with_plic(test_complete_of_nothing),
		with_plic(test_reset),
		with_plic(test_what_is_not_there),
		with_plic(test_widths),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
