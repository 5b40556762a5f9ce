/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts and their count. */
#include "report.h"
#include "print.h"

static struct {
	unsigned int passed, failed, skipped, failed_at_section;
	const char *prefix;
} tally;

void report_prefix(const char *prefix)
{
	tally.prefix = prefix;
}

void report_pass(const char *name)
{
	tally.passed++;
	print("PASS %s%s\n", tally.prefix ? tally.prefix : "", name);
}

static void verdict(const char *word, const char *name, const char *why, va_list args)
{
	print("%s %s%s: ", word, tally.prefix ? tally.prefix : "", name);
	vprint(why, args);
	print("\n");
}

void report_fail(const char *name, const char *why, ...)
{
	va_list args;

	tally.failed++;
	va_start(args, why);
	verdict("FAIL", name, why, args);
	va_end(args);
}

void report_skip(const char *name, const char *why, ...)
{
	va_list args;

	tally.skipped++;
	va_start(args, why);
	verdict("SKIP", name, why, args);
	va_end(args);
}

bool expect(const char *name, bool ok, const char *why)
{
	if (!ok)
		report_fail(name, "%s", why);
	return ok;
}

bool expect_equal(const char *name, uint64_t got, uint64_t want)
{
	if (got != want)
		report_fail(name, "got 0x%lx, want 0x%lx", got, want);
	return got == want;
}

bool report_check(const char *name, bool ok, const char *why)
{
	if (expect(name, ok, why))
		report_pass(name);
	return ok;
}

bool report_equal(const char *name, uint64_t got, uint64_t want)
{
	if (expect_equal(name, got, want))
		report_pass(name);
	return got == want;
}

void report_section(const char *name)
{
	if (tally.failed == tally.failed_at_section)
		report_pass(name);
	tally.failed_at_section = tally.failed;
}

unsigned int report_passed(void)
{
	return tally.passed;
}

unsigned int report_failed(void)
{
	return tally.failed;
}

unsigned int report_skipped(void)
{
	return tally.skipped;
}

uint8_t report_summary(void)
{
	print("SUMMARY: %u passed, %u failed, %u skipped\n", tally.passed, tally.failed,
	      tally.skipped);
	if (tally.failed || !(tally.passed || tally.skipped))
		return EXIT_FAIL;
	return tally.passed ? EXIT_PASS : EXIT_SKIP;
}
