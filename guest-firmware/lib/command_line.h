/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the firmware's command line: "name" or "name=value", separated by blanks. */
#ifndef FIRMWARE_COMMAND_LINE_H
#define FIRMWARE_COMMAND_LINE_H

#include <stdbool.h>
#include <stdint.h>

bool option_present(const char *name);
/* The number after "name=", or fallback. */
uint64_t option_u64(const char *name, uint64_t fallback);

#endif
