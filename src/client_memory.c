/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a memory device, in words. */
#include "client_memory.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* --- all of it --- */

/* "plug ack 40 busy 2, unplug ack 1": what was asked and answered, where anything was. */
static void print_answers(const json_t *answers)
{
	const char *request, *answer, *between = "          the driver's requests: ";
	json_t *counts, *count;
	bool printed = false;

	json_object_foreach((json_t *)(uintptr_t)answers, request, counts)
	{
		bool named = false;

		json_object_foreach(counts, answer, count)
		{
			if (!json_integer_value(count))
				continue;
			if (!named)
				printf("%s%s", between, request);
			named = printed = true;
			between = ", ";
			printf(" %s %" JSON_INTEGER_FORMAT, answer, json_integer_value(count));
		}
	}
	if (printed)
		printf("\n");
}

static void print_touches(const json_t *device)
{
	const json_t *last = json_object_get(device, "last_touch");

	if (!client_number(device, "touches"))
		return;
	printf("          %" PRIu64 " accesses of blocks that are not plugged, the last of block "
	       "%" PRIu64 " by vcpu%" PRIu64 "\n",
	       client_number(device, "touches"), client_number(last, "block"),
	       client_number(last, "vcpu"));
}

void client_memory_print(const json_t *device)
{
	char plugged[CLIENT_SIZE_TEXT_MAX], requested[CLIENT_SIZE_TEXT_MAX];
	char region[CLIENT_SIZE_TEXT_MAX], usable[CLIENT_SIZE_TEXT_MAX];
	char block[CLIENT_SIZE_TEXT_MAX];
	bool ready = json_is_true(json_object_get(device, "driver_ready"));
	uint64_t slots = client_number(device, "slots");

	printf("%s: %s of %s asked for%s\n", client_string(device, "id"),
	       client_format_bytes(client_number(device, "plugged_bytes"), plugged),
	       client_format_bytes(client_number(device, "requested_bytes"), requested),
	       ready ? "" : "; no driver in the guest");
	printf("          %s at 0x%" PRIx64 ", node %" PRIu64 ", %s usable, blocks of %s, "
	       "%" PRIu64 " memory slot%s\n",
	       client_format_bytes(client_number(device, "region_bytes"), region),
	       client_number(device, "gpa"), client_number(device, "node"),
	       client_format_bytes(client_number(device, "usable_bytes"), usable),
	       client_format_bytes(client_number(device, "block_size"), block), slots,
	       slots == 1 ? "" : "s");
	print_answers(json_object_get(device, "answers"));
	print_touches(device);
}

/* --- why it is not what it should be --- */

static const json_t *find(const json_t *stat, const char *id)
{
	size_t i;
	json_t *device;

	json_array_foreach(json_object_get(stat, "virtio_mem"), i, device)
	{
		if (strcmp(client_string(device, "id"), id) == 0)
			return device;
	}
	return NULL;
}

/* How often request was answered so, between the two. */
static uint64_t count_since(const json_t *before, const json_t *now, const char *path)
{
	uint64_t first = client_number(before, path), last = client_number(now, path);

	return last - min_u64(first, last);
}

/* A guest that does not take what it may have. */
static void explain_growing(const json_t *before, const json_t *now, char why[CLIENT_WHY_MAX])
{
	uint64_t busy = count_since(before, now, "answers.plug.busy");
	uint64_t errors = count_since(before, now, "answers.plug.error");
	uint64_t nacks = count_since(before, now, "answers.plug.nack");

	if (busy)
		snprintf(why, CLIENT_WHY_MAX,
		         "the host has no memory for it: BUSY was the answer to %" PRIu64
		         " requests",
		         busy);
	else if (errors || nacks)
		snprintf(why, CLIENT_WHY_MAX,
		         "the guest's driver asks for what it may not have: %" PRIu64
		         " requests answered with NACK, %" PRIu64 " with ERROR",
		         nacks, errors);
	else
		snprintf(why, CLIENT_WHY_MAX,
		         "the guest asks for no more; does it put to use what it gets, as with "
		         "memhp_default_state=online on its command line?");
}

/* A guest that does not give what it should. */
static void explain_shrinking(const json_t *before, const json_t *now, const json_t *stat,
                              char why[CLIENT_WHY_MAX])
{
	uint64_t available = client_number(stat, "balloon.guest_stats.stat-available-memory");
	uint64_t busy = count_since(before, now, "answers.unplug.busy");
	uint64_t errors = count_since(before, now, "answers.unplug.error");
	char size[CLIENT_SIZE_TEXT_MAX];

	if (busy || errors)
		snprintf(why, CLIENT_WHY_MAX,
		         "the host did not take it: BUSY was the answer to %" PRIu64
		         " requests, ERROR to %" PRIu64,
		         busy, errors);
	else if (available)
		snprintf(why, CLIENT_WHY_MAX,
		         "the guest cannot free more of it; it has %s available in all, by its "
		         "word",
		         client_format_bytes(available, size));
	else
		snprintf(why, CLIENT_WHY_MAX,
		         "the guest cannot free more of it: it uses it, or something that cannot "
		         "be moved lies there");
}

void client_memory_explain(const json_t *before, const json_t *now, const char *id,
                           char why[CLIENT_WHY_MAX])
{
	const json_t *old = find(before, id), *device = find(now, id);

	if (strcmp(client_string(now, "state"), "running") != 0)
		snprintf(why, CLIENT_WHY_MAX, "the guest is %s", client_string(now, "state"));
	else if (!json_is_true(json_object_get(device, "driver_ready")))
		snprintf(why, CLIENT_WHY_MAX,
		         "the guest has no driver for it; Linux has one from 5.16 on");
	else if (client_number(device, "plugged_bytes") < client_number(device, "requested_bytes"))
		explain_growing(old, device, why);
	else
		explain_shrinking(old, device, now, why);
}
