/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb stat --watch` shows: stats in, text out. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "client_watch.h"
#include "ebb/event_loop.h"

#define LABEL_COLUMNS  10
#define GRAPH_ROWS_MAX 6
#define BAR_COLUMNS    40

/* --- over time --- */

static uint64_t sum_of_exits(const json_t *stat)
{
	const json_t *vcpu;
	const char *name;
	uint64_t sum = 0;
	json_t *value;
	size_t i;

	json_array_foreach(json_object_get(stat, "exits"), i, vcpu)
	{
		json_object_foreach((json_t *)(uintptr_t)vcpu, name, value) sum +=
			(uint64_t)json_integer_value(value);
	}
	return sum;
}

static uint64_t sum_over_sources(const json_t *stat, const char *key)
{
	const char *name;
	uint64_t sum = 0;
	json_t *source;

	json_object_foreach(json_object_get(stat, "reclaim"), name, source) sum +=
		client_number(source, key);
	return sum;
}

void client_watch_note(struct client_watch *watch, const json_t *stat, int64_t now_ns)
{
	size_t at = (watch->first + watch->count) % CLIENT_WATCH_SAMPLES_MAX;

	watch->samples[at] = (struct client_watch_sample){
		.time_ns = now_ns,
		.resident_bytes = client_number(stat, "memory.resident_bytes"),
		.balloon_bytes = client_number(stat, "memory.balloon_bytes"),
		.released_bytes = sum_over_sources(stat, "bytes_released"),
		.refault_bytes = client_number(stat, "reclaim.refault_bytes"),
		.exits = sum_of_exits(stat),
		.batches = sum_over_sources(stat, "requests"),
	};
	if (watch->count < CLIENT_WATCH_SAMPLES_MAX)
		watch->count++;
	else
		watch->first = (watch->first + 1) % CLIENT_WATCH_SAMPLES_MAX;
}

/* back: 0 the newest. */
static const struct client_watch_sample *sample_at(const struct client_watch *watch, size_t back)
{
	return &watch->samples[(watch->first + watch->count - 1 - back) % CLIENT_WATCH_SAMPLES_MAX];
}

struct rates { /* a second, between the last two samples */
	bool known;
	double released_bytes, refault_bytes, exits, batches;
};

/* An estimate may fall: that is no rate. */
static double rate(uint64_t before, uint64_t now, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

static struct rates rates_of(const struct client_watch *watch)
{
	const struct client_watch_sample *now, *before;
	double seconds;

	if (watch->count < 2)
		return (struct rates){ .known = false };
	now = sample_at(watch, 0);
	before = sample_at(watch, 1);
	seconds = (double)(now->time_ns - before->time_ns) / (double)NS_PER_S;
	if (seconds <= 0)
		return (struct rates){ .known = false };
	return (struct rates){
		.known = true,
		.released_bytes = rate(before->released_bytes, now->released_bytes, seconds),
		.refault_bytes = rate(before->refault_bytes, now->refault_bytes, seconds),
		.exits = rate(before->exits, now->exits, seconds),
		.batches = rate(before->batches, now->batches, seconds),
	};
}

/* --- the table of sources --- */

enum column_kind { KIND_COUNT, KIND_BYTES, KIND_NS };

static const struct source_column {
	const char *head, *key;
	enum column_kind kind;
	unsigned int columns; /* with the blank in front */
	unsigned int rank;    /* those with the lowest stay where there is little room */
	bool may_go;          /* where it is 0 in all rows */
} source_columns[] = {
	{ "batches", "requests", KIND_COUNT, 9, 4, false },
	{ "ranges", "ranges_in", KIND_COUNT, 9, 11, false },
	{ "merged", "ranges_released", KIND_COUNT, 9, 12, false },
	{ "asked", "bytes_in", KIND_BYTES, 12, 3, false },
	{ "released", "bytes_released", KIND_BYTES, 12, 0, false },
	{ "lazily", "bytes_lazy", KIND_BYTES, 12, 9, true },
	{ "absent", "bytes_absent", KIND_BYTES, 12, 7, true },
	{ "refused", "bytes_refused", KIND_BYTES, 12, 1, false },
	{ "came back", "refault_bytes", KIND_BYTES, 12, 2, false },
	{ "calls", "syscalls", KIND_COUNT, 8, 6, false },
	{ "errors", "errors", KIND_COUNT, 7, 10, true },
	{ "p50", "latency_ns.p50", KIND_NS, 8, 13, false },
	{ "p99", "latency_ns.p99", KIND_NS, 9, 5, false },
	{ "max", "latency_ns.max", KIND_NS, 9, 8, false },
};

#define SOURCE_COLUMNS ARRAY_SIZE(source_columns)
#define NAME_COLUMNS   8

static bool has_row(const json_t *source)
{
	return json_is_object(source) && client_number(source, "ranges_in");
}

static bool is_wanted(const struct source_column *column, const json_t *reclaim)
{
	const char *name;
	json_t *source;

	if (!column->may_go)
		return true;
	json_object_foreach((json_t *)(uintptr_t)reclaim, name, source)
	{
		if (has_row(source) && client_number(source, column->key))
			return true;
	}
	return false;
}

/* Which columns there are: of those that are wanted, by rank as many as fit. A bit each. */
static unsigned int choose_columns(const struct client_text *text, const json_t *reclaim,
                                   unsigned int indent)
{
	unsigned int columns = indent + NAME_COLUMNS, chosen = 0;

	for (unsigned int rank = 0; rank < SOURCE_COLUMNS; rank++) {
		size_t i = 0;

		while (i + 1 < SOURCE_COLUMNS && source_columns[i].rank != rank)
			i++;
		if (!is_wanted(&source_columns[i], reclaim))
			continue;
		columns += source_columns[i].columns;
		if (text->width && columns > text->width)
			break;
		chosen |= 1u << i;
	}
	return chosen;
}

static void put_source_value(struct client_text *text, const struct source_column *column,
                             const json_t *source)
{
	uint64_t value = client_number(source, column->key);
	char formatted[CLIENT_SIZE_TEXT_MAX];

	switch (column->kind) {
	case KIND_BYTES:
		client_format_bytes(value, formatted);
		break;
	case KIND_NS:
		client_format_ns(value, formatted);
		break;
	case KIND_COUNT:
	default:
		snprintf(formatted, sizeof(formatted), "%" PRIu64, value);
		break;
	}
	client_text_put(text, CLIENT_PLAIN, " %*s", (int)column->columns - 1, formatted);
}

/* A row of the table; source NULL: its head. */
static void put_source(struct client_text *text, const char *name, const json_t *source,
                       unsigned int chosen)
{
	client_text_put(text, source ? CLIENT_PLAIN : CLIENT_DIM, "%-*s", NAME_COLUMNS, name);
	for (size_t i = 0; i < SOURCE_COLUMNS; i++) {
		const struct source_column *column = &source_columns[i];

		if (!(chosen >> i & 1))
			continue;
		if (source)
			put_source_value(text, column, source);
		else
			client_text_put(text, CLIENT_DIM, " %*s", (int)column->columns - 1,
			                column->head);
	}
	client_text_end_line(text);
}

bool client_put_sources(struct client_text *text, const json_t *reclaim, unsigned int indent)
{
	unsigned int chosen = choose_columns(text, reclaim, indent);
	bool has_rows = false;
	const char *name;
	json_t *source;

	json_object_foreach((json_t *)(uintptr_t)reclaim, name, source)
	{
		if (!has_row(source))
			continue;
		if (!has_rows) {
			client_text_tab(text, indent);
			put_source(text, "source", NULL, chosen);
		}
		has_rows = true;
		client_text_tab(text, indent);
		put_source(text, name, source, chosen);
	}
	return has_rows;
}

static unsigned int count_of_sources(const json_t *reclaim)
{
	unsigned int count = 0;
	const char *name;
	json_t *source;

	json_object_foreach((json_t *)(uintptr_t)reclaim, name, source) count += has_row(source);
	return count;
}

/* --- the screen --- */

static void put_title(const struct client_watch *watch, const json_t *stat,
                      struct client_text *text)
{
	uint64_t uptime_s = client_number(stat, "uptime_ms") / 1000;
	const char *state = client_string(stat, "state");
	char ram[CLIENT_SIZE_TEXT_MAX], plugged[CLIENT_SIZE_TEXT_MAX];
	uint64_t plugged_bytes = client_number(stat, "memory.plugged_bytes");

	client_text_put(text, CLIENT_BOLD, "%s", watch->name);
	client_text_put(text, strcmp(state, "running") == 0 ? CLIENT_GREEN : CLIENT_YELLOW, "  %s",
	                state);
	client_text_put(
		text, CLIENT_PLAIN, "  %s RAM",
		client_format_bytes(client_number(stat, "memory.ram_bytes") + plugged_bytes, ram));
	if (plugged_bytes)
		client_text_put(text, CLIENT_PLAIN, " (%s plugged)",
		                client_format_bytes(plugged_bytes, plugged));
	client_text_put(text, CLIENT_DIM,
	                "  up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "  pid %" PRIu64 "  every %g s",
	                uptime_s / 3600, uptime_s / 60 % 60, uptime_s % 60,
	                client_number(stat, "pid"), watch->interval_s);
	client_text_end_line(text);
}

/* A label, a bar where there is room for one, and what it says. */
static void put_bar(struct client_text *text, const char *label, enum client_style style,
                    const uint64_t part_of_whole[2], const char *says)
{
	unsigned int room = text->width > LABEL_COLUMNS + 28 ? text->width - LABEL_COLUMNS - 28 : 0;
	unsigned int columns = (unsigned int)min_u64(room, BAR_COLUMNS);

	client_text_put(text, CLIENT_DIM, "%s", label);
	client_text_tab(text, LABEL_COLUMNS);
	if (columns >= 8) {
		client_text_bar(text, style, columns, part_of_whole[0], part_of_whole[1]);
		client_text_put(text, CLIENT_PLAIN, "  ");
	}
	client_text_put(text, CLIENT_PLAIN, "%s", says);
	client_text_end_line(text);
}

static void put_memory(const json_t *stat, struct client_text *text)
{
	uint64_t total_bytes = client_number(stat, "memory.ram_bytes") +
	                       client_number(stat, "memory.plugged_bytes");
	uint64_t resident_bytes = client_number(stat, "memory.resident_bytes");
	uint64_t balloon_bytes = client_number(stat, "memory.balloon_bytes");
	uint64_t target_bytes = client_number(stat, "balloon.target_bytes");
	char size[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX], says[96];

	snprintf(says, sizeof(says), "%s, %.0f %%", client_format_bytes(resident_bytes, size),
	         total_bytes ? 100 * (double)resident_bytes / (double)total_bytes : 0);
	put_bar(text, "resident", CLIENT_CYAN, (uint64_t[]){ resident_bytes, total_bytes }, says);
	if (!json_is_object(json_object_get(stat, "balloon")))
		return;
	client_format_bytes(balloon_bytes, size);
	if (target_bytes == balloon_bytes)
		snprintf(says, sizeof(says), "%s", size);
	else
		snprintf(says, sizeof(says), "%s of %s", size,
		         client_format_bytes(target_bytes, target));
	put_bar(text, "balloon", CLIENT_YELLOW, (uint64_t[]){ balloon_bytes, total_bytes }, says);
}

/* What memory devices have plugged of what they are asked to have. */
static void put_plugged(const json_t *stat, struct client_text *text)
{
	uint64_t plugged_bytes = 0, requested_bytes = 0;
	char plugged[CLIENT_SIZE_TEXT_MAX], requested[CLIENT_SIZE_TEXT_MAX], says[96];
	size_t i;
	json_t *device;

	json_array_foreach(json_object_get(stat, "virtio_mem"), i, device)
	{
		plugged_bytes += client_number(device, "plugged_bytes");
		requested_bytes += client_number(device, "requested_bytes");
	}
	snprintf(says, sizeof(says), "%s of %s", client_format_bytes(plugged_bytes, plugged),
	         client_format_bytes(requested_bytes, requested));
	put_bar(text, "plugged", CLIENT_GREEN,
	        (uint64_t[]){ plugged_bytes, max_u64(plugged_bytes, requested_bytes) }, says);
}

/* What the guest says that it uses, where it says anything. */
static bool put_guest_use(const json_t *stat, struct client_text *text)
{
	uint64_t total_bytes = client_number(stat, "memory.ram_bytes") +
	                       client_number(stat, "memory.plugged_bytes");
	uint64_t has_bytes = client_number(stat, "balloon.guest_stats.stat-total-memory");
	uint64_t available_bytes = client_number(stat, "balloon.guest_stats.stat-available-memory");
	uint64_t used_bytes = has_bytes - min_u64(available_bytes, has_bytes);
	char size[CLIENT_SIZE_TEXT_MAX], says[96];

	if (!has_bytes || !available_bytes)
		return false;
	snprintf(says, sizeof(says), "%s by its word", client_format_bytes(used_bytes, size));
	put_bar(text, "in use", CLIENT_GREEN, (uint64_t[]){ used_bytes, total_bytes }, says);
	return true;
}

static void put_rates(const struct client_watch *watch, struct client_text *text)
{
	struct rates rates = rates_of(watch);
	char released[CLIENT_SIZE_TEXT_MAX], refault[CLIENT_SIZE_TEXT_MAX];

	client_text_put(text, CLIENT_DIM, "a second");
	client_text_tab(text, LABEL_COLUMNS);
	if (rates.known)
		client_text_put(text, CLIENT_PLAIN,
		                "%s released, %s came back, %.0f exits, %.1f batches",
		                client_format_bytes((uint64_t)rates.released_bytes, released),
		                client_format_bytes((uint64_t)rates.refault_bytes, refault),
		                rates.exits, rates.batches);
	else
		client_text_put(text, CLIENT_DIM, "after the next look");
	client_text_end_line(text);
}

static void put_history(const struct client_watch *watch, unsigned int rows,
                        struct client_text *text)
{
	size_t count = min_u64(watch->count, text->width ? text->width : 80);
	uint64_t values[CLIENT_WATCH_SAMPLES_MAX], low = UINT64_MAX, high = 0;
	char low_text[CLIENT_SIZE_TEXT_MAX], high_text[CLIENT_SIZE_TEXT_MAX];
	uint64_t seconds;

	for (size_t i = 0; i < count; i++) {
		values[i] = sample_at(watch, count - 1 - i)->resident_bytes;
		low = min_u64(low, values[i]);
		high = max_u64(high, values[i]);
	}
	seconds = (uint64_t)(sample_at(watch, 0)->time_ns - sample_at(watch, count - 1)->time_ns) /
	          NS_PER_S;
	client_text_put(text, CLIENT_DIM, "resident, last %" PRIu64 ":%02" PRIu64 ": %s to %s",
	                seconds / 60, seconds % 60, client_format_bytes(low, low_text),
	                client_format_bytes(high, high_text));
	client_text_end_line(text);
	for (unsigned int row = rows; row-- > 0;) {
		client_text_graph_row(text, values, count, row, rows, high);
		client_text_end_line(text);
	}
}

static void put_blank(struct client_text *text, bool wanted)
{
	if (wanted)
		client_text_end_line(text);
}

void client_watch_screen(const struct client_watch *watch, const json_t *stat,
                         struct client_text *text)
{
	const json_t *reclaim = json_object_get(stat, "reclaim");
	unsigned int sources = count_of_sources(reclaim);
	bool plugs = json_array_size(json_object_get(stat, "virtio_mem")) > 0;
	/* Title, bars, rates, the graph's head and one row, the table: what there has to be. */
	unsigned int needed = 1 + 3 + plugs + 1 + 2 + (sources ? 1 + sources : 1);
	unsigned int spare = text->height > needed ? text->height - needed : 0;
	bool airy = !text->height || spare >= 4;
	unsigned int rows = GRAPH_ROWS_MAX;

	if (text->height)
		rows = 1 + (unsigned int)min_u64(airy ? spare - 4 : spare, GRAPH_ROWS_MAX - 1);
	client_text_start(text);
	put_title(watch, stat, text);
	put_blank(text, airy);
	put_memory(stat, text);
	if (plugs)
		put_plugged(stat, text);
	(void)put_guest_use(stat, text);
	put_blank(text, airy);
	put_rates(watch, text);
	put_blank(text, airy);
	put_history(watch, rows, text);
	put_blank(text, airy);
	if (!client_put_sources(text, reclaim, 0)) {
		client_text_put(text, CLIENT_DIM, "nothing released so far");
		client_text_end_line(text);
	}
}

/* --- a line --- */

void client_watch_head(struct client_text *text)
{
	client_text_start(text);
	client_text_put(text, CLIENT_PLAIN, "%9s %11s %11s %11s %14s %14s %9s", "up", "total",
	                "resident", "balloon", "released/s", "came back/s", "exits/s");
	client_text_end_line(text);
}

void client_watch_line(const struct client_watch *watch, const json_t *stat,
                       struct client_text *text)
{
	const struct client_watch_sample *now = sample_at(watch, 0);
	uint64_t uptime_s = client_number(stat, "uptime_ms") / 1000;
	struct rates rates = rates_of(watch);
	char sizes[5][CLIENT_SIZE_TEXT_MAX];

	client_text_start(text);
	client_text_put(text, CLIENT_PLAIN,
	                "%3" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %11s %11s %11s ", uptime_s / 3600,
	                uptime_s / 60 % 60, uptime_s % 60,
	                client_format_bytes(client_number(stat, "memory.ram_bytes") +
	                                            client_number(stat, "memory.plugged_bytes"),
	                                    sizes[0]),
	                client_format_bytes(now->resident_bytes, sizes[1]),
	                client_format_bytes(now->balloon_bytes, sizes[2]));
	if (rates.known)
		client_text_put(text, CLIENT_PLAIN, "%14s %14s %9.0f",
		                client_format_bytes((uint64_t)rates.released_bytes, sizes[3]),
		                client_format_bytes((uint64_t)rates.refault_bytes, sizes[4]),
		                rates.exits);
	else
		client_text_put(text, CLIENT_PLAIN, "%14s %14s %9s", "-", "-", "-");
	client_text_end_line(text);
}
