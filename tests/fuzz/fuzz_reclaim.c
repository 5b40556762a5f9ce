/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-return engine under any sequence of requests, on every backing, over a host whose
 * calls may fail. Huge pages are small ones in disguise, watched for parts. What is checked: no
 * page goes that was not given, what is said to be released is what the kernel says is gone, every
 * byte is in one figure of the account, and no call has a part of a huge page.
 */
/* fakes: fake_reclaim_host fake_guest_memory_backing */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ebb/reclaim.h"
#include "fake_reclaim_host.h"

#define LOW_BYTES  (6 * MIB)
#define HIGH_GPA   (16 * MIB)
#define HIGH_BYTES (4 * MIB)
#define PAGE       PAGE_4K_BYTES
#define PAGE_COUNT ((HIGH_GPA + HIGH_BYTES) / PAGE)
#define RANGES_MAX 8
#define STEPS_MAX  48
#define WORD(page) (UINT64_C(0xebb0000000000000) + (page))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct input {
	const uint8_t *data;
	size_t left;
};

struct target {
	struct guest_memory *memory;
	struct reclaim *reclaim;
	bool lazy;
	unsigned int inhibits;
	uint8_t touched[PAGE_COUNT]; /* by the guest, once */
	uint8_t given[PAGE_COUNT];   /* since: it may go */
	uint8_t there[PAGE_COUNT];   /* by the last look */
};

static uint64_t take(struct input *input, size_t count)
{
	uint64_t value = 0;

	while (count-- && input->left) {
		value = value << 8 | *input->data++;
		input->left--;
	}
	return value;
}

/* Mostly near the regions; sometimes anything. */
static struct reclaim_range take_range(struct input *input)
{
	uint64_t kind = take(input, 1);
	struct reclaim_range range;

	if (kind < 16)
		return (struct reclaim_range){ take(input, 8), take(input, 8) };
	range.gpa = take(input, 2) % (PAGE_COUNT + 64) * PAGE;
	range.size_bytes = (1 + take(input, 1)) * (kind < 160 ? PAGE : 16 * PAGE);
	if (kind < 32)
		range.gpa += kind;
	else if (kind < 96)
		range.gpa = align_down(range.gpa, PAGE_2M_BYTES);
	return range;
}

static bool is_memory(size_t page)
{
	return page < LOW_BYTES / PAGE || (page >= HIGH_GPA / PAGE && page < PAGE_COUNT);
}

static uint8_t *hva_of(struct target *target, size_t page)
{
	return gmem_span(target->memory, page * PAGE, PAGE);
}

/* Whole pages of a range that are memory, or every page that it touches. */
static void mark(const struct reclaim_range *range, bool touched_too, uint8_t *map, uint8_t value)
{
	uint64_t last = range->gpa + (range->size_bytes - 1);

	if (!range->size_bytes)
		return;
	if (last < range->gpa)
		last = UINT64_MAX;
	for (size_t page = 0; page < PAGE_COUNT; page++) {
		uint64_t first = page * PAGE, end = first + PAGE - 1;

		if (touched_too ? first <= last && end >= range->gpa
		                : first >= range->gpa && end <= last)
			map[page] = value;
	}
}

/* Looks what is there, and whether all of it is as it should be. Returns its bytes. */
static uint64_t look(struct target *target)
{
	static const struct reclaim_range regions[] = { { 0, LOW_BYTES },
		                                        { HIGH_GPA, HIGH_BYTES } };
	uint64_t bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		size_t first = regions[i].gpa / PAGE, count = regions[i].size_bytes / PAGE;
		int r = mincore(hva_of(target, first), regions[i].size_bytes,
		                &target->there[first]);

		assert(r == 0);
		for (size_t page = first; page < first + count; page++) {
			uint64_t word = WORD(page);

			target->there[page] &= 1;
			bytes += target->there[page] * PAGE;
			if (target->there[page])
				memcpy(&word, hva_of(target, page), sizeof(word));
			else
				word = 0;
			if (target->touched[page] && !target->given[page])
				assert(word == WORD(page));
			else
				assert(word == 0 || word == WORD(page));
		}
	}
	return bytes;
}

/* The guest takes pages and writes to them, and says so before if they were given. */
static void use(struct target *target, struct input *input)
{
	struct reclaim_range range = take_range(input);

	range.size_bytes = min_u64(range.size_bytes, 64 * PAGE);
	(void)reclaim_forget_deferred(target->reclaim, &range, 1);
	for (size_t page = 0; page < PAGE_COUNT; page++) {
		uint64_t word = WORD(page);

		if (!is_memory(page) ||
		    !ranges_overlap(page * PAGE, PAGE, range.gpa,
		                    min_u64(range.size_bytes, UINT64_MAX - range.gpa)))
			continue;
		memcpy(hva_of(target, page), &word, sizeof(word));
		target->touched[page] = 1;
		target->given[page] = 0;
	}
}

static void give(struct target *target, struct input *input, bool later)
{
	enum reclaim_source source = later ? RECLAIM_INFLATE : RECLAIM_REPORT;
	size_t count = take(input, 1) % RANGES_MAX + 1;
	uint64_t before = look(target), after, in_bytes = 0;
	struct reclaim_range ranges[RANGES_MAX];
	struct reclaim_outcome outcome;
	int r;

	for (size_t i = 0; i < count; i++) {
		ranges[i] = take_range(input);
		in_bytes = min_u64(in_bytes + min_u64(ranges[i].size_bytes, TIB), TIB);
		mark(&ranges[i], false, target->given, 1);
	}
	r = later ? reclaim_release_later(target->reclaim, source, ranges, count, &outcome)
	          : reclaim_release(target->reclaim, source, ranges, count, &outcome);
	after = look(target);
	assert(after <= before);
	assert(outcome.bytes_released == before - after);
	assert(r == 0 || outcome.refused[RECLAIM_REFUSED_HOST] > 0);
	assert(!target->inhibits || outcome.bytes_released + outcome.bytes_lazy == 0);
	/* Reports that the guest has back without a word may go no more. */
	if (!later && in_bytes < TIB)
		assert(outcome.bytes_released + outcome.bytes_lazy + outcome.bytes_absent +
		               outcome.bytes_refused ==
		       in_bytes);
}

static void release_what_waits(struct target *target, bool all)
{
	uint64_t before = look(target), after;
	struct reclaim_outcome outcome = { 0 };

	if (all)
		memset(target->given, 1, sizeof(target->given));
	if (all)
		(void)!reclaim_release_all(target->reclaim, RECLAIM_RESET);
	else
		(void)!reclaim_release_deferred(target->reclaim, RECLAIM_INFLATE, &outcome);
	after = look(target);
	assert(after <= before);
	assert(all || outcome.bytes_released == before - after);
}

static void set_host(struct input *input)
{
	static const int errors[] = { EINVAL, EAGAIN, ENOMEM, EPERM, EINTR, EOPNOTSUPP };
	uint64_t shape = take(input, 1);

	fake_reclaim_host.fail_from = fake_reclaim_host.release_calls + (shape & 3);
	fake_reclaim_host.fail_count = (unsigned int)take(input, 1) % 8;
	fake_reclaim_host.fail_errno = errors[take(input, 1) % ARRAY_SIZE(errors)];
	fake_reclaim_host.fail_halfway = shape & 4;
	fake_reclaim_host.vector_cut = shape >> 4 & 3;
	fake_reclaim_host.runs_max = shape >> 6;
}

static void check_account(struct target *target)
{
	struct reclaim_stats stats;

	reclaim_query(target->reclaim, &stats);
	assert(stats.deferred_bytes <= LOW_BYTES + HIGH_BYTES);
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		const struct reclaim_source_stats *source = &stats.sources[i];
		uint64_t refused_bytes = 0;

		if (source->bytes_in >= TIB)
			continue; /* sums may have stopped at the most that there is */
		for (size_t j = 0; j < RECLAIM_REFUSAL_COUNT; j++)
			refused_bytes += source->refused[j];
		assert(source->bytes_refused == refused_bytes);
		assert(source->bytes_in == source->bytes_released + source->bytes_lazy +
		                                   source->bytes_absent + source->bytes_refused);
	}
	assert(fake_reclaim_host.misaligned == 0);
}

static void step(struct target *target, struct input *input)
{
	struct reclaim_range range;

	switch (take(input, 1) % 12) {
	case 0:
	case 1:
	case 2:
		use(target, input);
		break;
	case 3:
	case 4:
		give(target, input, false);
		break;
	case 5:
	case 6:
		give(target, input, true);
		break;
	case 7:
		release_what_waits(target, take(input, 1) < 32);
		break;
	case 8:
		range = take_range(input);
		(void)reclaim_forget_deferred(target->reclaim, &range, 1);
		break;
	case 9:
		set_host(input);
		break;
	case 10:
		if (target->inhibits)
			reclaim_allow(target->reclaim);
		else
			reclaim_inhibit(target->reclaim);
		target->inhibits ^= 1;
		break;
	default:
		if (take(input, 1) < 128)
			(void)reclaim_forget_all_deferred(target->reclaim);
		else if (reclaim_set_lazy(target->reclaim, !target->lazy, NULL) == 0)
			target->lazy = !target->lazy;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static const struct gmem_backing backings[] = {
		{ .kind = GMEM_ANON },
		{ .kind = GMEM_ANON, .thp = true },
		{ .kind = GMEM_MEMFD, .thp = true },
		{ .kind = GMEM_FILE, .path = "ram" },
		{ .kind = GMEM_HUGETLB, .page_bytes = PAGE_2M_BYTES },
		{ .kind = GMEM_ANON, .lock = true },
	};
	struct input input = { data, size_bytes };
	const struct gmem_backing *backing = &backings[take(&input, 1) % ARRAY_SIZE(backings)];
	struct target *target = calloc(1, sizeof(*target));

	fake_reclaim_host_reset();
	fake_reclaim_host.page_bytes = backing->page_bytes;
	fake_reclaim_host.no_vector = take(&input, 1) & 1;
	if (!target || guest_memory_create(&target->memory, NULL) ||
	    gmem_add_region(target->memory, 0, LOW_BYTES, backing, NULL) ||
	    gmem_add_region(target->memory, HIGH_GPA, HIGH_BYTES, backing, NULL) ||
	    reclaim_create(target->memory, &target->reclaim, NULL))
		abort();
	for (unsigned int i = 0; i < STEPS_MAX && input.left; i++)
		step(target, &input);
	look(target);
	check_account(target);
	reclaim_destroy(target->reclaim);
	guest_memory_destroy(target->memory);
	free(target);
	return 0;
}
