/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the command line to values and back: sizes, numbers, seconds; the nearest name. */
#include "cmdline.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define DISTANCE_WORD_MAX 63

/* Digits from *text on, which moves behind them. -EINVAL when there are none, -ERANGE past 64 bits.
 */
static int parse_digits(const char **text, uint64_t *ret_value)
{
	const char *digit = *text;
	uint64_t value = 0;

	if (*digit < '0' || *digit > '9')
		return -EINVAL;
	for (; *digit >= '0' && *digit <= '9'; digit++) {
		if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value))
			return -ERANGE;
	}
	*text = digit;
	*ret_value = value;
	return 0;
}

int cmdline_parse_uint(const char *text, uint64_t *ret_value)
{
	uint64_t value;
	int ret = parse_digits(&text, &value);

	if (ret)
		return ret;
	if (*text)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int cmdline_parse_size(const char *text, uint64_t bare_unit_bytes, uint64_t *ret_bytes)
{
	static const struct {
		char letter;
		uint64_t bytes;
	} units[] = { { 'k', KIB }, { 'm', MIB }, { 'g', GIB }, { 't', TIB } };
	uint64_t unit_bytes = bare_unit_bytes, number = 0;
	/* The overflow of a number whose unit is nonsense is the lesser mistake. */
	int ret = parse_digits(&text, &number);

	if (ret == -ERANGE)
		text += strspn(text, "0123456789");
	else if (ret)
		return ret;
	if (*text) {
		size_t i = 0;

		while (i < ARRAY_SIZE(units) && (*text | 0x20) != units[i].letter)
			i++;
		if (i == ARRAY_SIZE(units))
			return -EINVAL;
		unit_bytes = units[i].bytes;
		text++;
		if (*text && strcasecmp(text, "b") != 0 && strcasecmp(text, "ib") != 0)
			return -EINVAL;
	}
	if (ret || __builtin_mul_overflow(number, unit_bytes, ret_bytes))
		return -ERANGE;
	return 0;
}

int cmdline_parse_seconds(const char *text, uint64_t *ret_ns)
{
	uint64_t seconds, ns, digit_ns = (uint64_t)NS_PER_S;
	int ret = parse_digits(&text, &seconds);

	if (ret)
		return ret;
	if (__builtin_mul_overflow(seconds, (uint64_t)NS_PER_S, &ns))
		return -ERANGE;
	if (*text == '.') {
		text++;
		if (!*text)
			return -EINVAL;
		for (; *text; text++) {
			digit_ns /= 10;
			if (*text < '0' || *text > '9' || !digit_ns)
				return -EINVAL;
			if (__builtin_add_overflow(ns, digit_ns * (uint64_t)(*text - '0'), &ns))
				return -ERANGE;
		}
	}
	if (*text)
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}

const char *cmdline_format_size(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
	static const char suffixes[] = "\0KMGT";
	unsigned int step = 0;

	while (bytes && step < 4 && bytes % KIB == 0) {
		bytes /= KIB;
		step++;
	}
	if (step)
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 "%c", bytes, suffixes[step]);
	else
		snprintf(text, SIZE_TEXT_MAX, "%" PRIu64, bytes);
	return text;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

unsigned int cmdline_distance(const char *a, const char *b)
{
	/* Three rows of the table of distances between every two beginnings: this one, the one
	 * above, and the one above that, which a swap looks back to. */
	unsigned int rows[3][DISTANCE_WORD_MAX + 1];
	size_t a_length = strnlen(a, DISTANCE_WORD_MAX), b_length = strnlen(b, DISTANCE_WORD_MAX);

	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i - 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
			              above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    rows[(i - 2) % 3][j - 2] + 1 < row[j])
				row[j] = rows[(i - 2) % 3][j - 2] + 1;
		}
	}
	return rows[a_length % 3][b_length];
}

void cmdline_nearest_offer(struct cmdline_nearest *nearest, const char *candidate)
{
	size_t length = strlen(nearest->word), candidate_length = strlen(candidate);
	size_t longer = length > candidate_length ? length : candidate_length;
	unsigned int distance = cmdline_distance(nearest->word, candidate);

	/* A word and its beginning are near however much is missing: "report" is meant for
	 * "reporting". */
	if (length >= 3 && strncmp(nearest->word, candidate, length) == 0)
		distance = 1;
	if (distance > (longer + 2) / 3)
		return;
	if (!nearest->best || distance < nearest->best_distance) {
		nearest->best = candidate;
		nearest->best_distance = distance;
	}
}
