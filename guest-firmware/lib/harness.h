/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the one who runs us does for us where the command line has the word "harness": a line
 * "harness: REQUEST;" goes out on the console, and one line with a number comes back (see
 * tests/guest/one.sh).
 */
#ifndef FIRMWARE_HARNESS_H
#define FIRMWARE_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#define HARNESS_NO_ANSWER (~0ull)

bool harness_listens(void);

/*
 * The answer, HARNESS_NO_ANSWER when none comes. Requests:
 *   mem DEVICE SIZE    asks a memory device for a size: the command's exit status
 *   stat EXPRESSION    a number of `ebb stat --json`, by jq
 *   memory             KiB of ebb that are resident and no file's
 *   watch, peak        from now on; the most that memory was since
 */
uint64_t harness_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
