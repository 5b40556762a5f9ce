/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts: one PASS, FAIL or SKIP line each, a summary, and the guest's exit status. */
#ifndef FIRMWARE_REPORT_H
#define FIRMWARE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

/* What the following names start with: "virtio-rng/pci: ", say. Not copied; "" for nothing. */
void report_prefix(const char *prefix);

/* Values at the debug-exit port; the status is (value << 1) | 1: 33, 65 and 97. */
#define EXIT_PASS 0x10
#define EXIT_FAIL 0x20
#define EXIT_SKIP 0x30

void report_pass(const char *name);
void report_fail(const char *name, const char *why, ...) __attribute__((format(printf, 2, 3)));
void report_skip(const char *name, const char *why, ...) __attribute__((format(printf, 2, 3)));

/* One line; false when it failed, so that a test can leave early. */
bool report_check(const char *name, bool ok, const char *why);
bool report_equal(const char *name, uint64_t got, uint64_t want);

#define CHECK(name, condition)       report_check(name, condition, "not true: " #condition)
#define CHECK_EQUAL(name, got, want) report_equal(name, (uint64_t)(got), (uint64_t)(want))

/*
 * For loops: expect() is silent while things are right, prints FAIL when they are not, and the
 * caller ends the loop's section with report_section(), which prints PASS when no expect() failed
 * since the last one.
 */
bool expect(const char *name, bool ok, const char *why);
bool expect_equal(const char *name, uint64_t got, uint64_t want);
void report_section(const char *name);
#define EXPECT(name, condition)       expect(name, condition, "not true: " #condition)
#define EXPECT_EQUAL(name, got, want) expect_equal(name, (uint64_t)(got), (uint64_t)(want))

unsigned int report_passed(void);
unsigned int report_failed(void);
unsigned int report_skipped(void);

/* "SUMMARY: 3 passed, 0 failed, 1 skipped"; returns the value for the debug-exit port. */
uint8_t report_summary(void);

#endif
