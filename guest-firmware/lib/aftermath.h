/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest leaves behind at a reset, and whether the next boot finds devices and memory as
 * after power-on. */
#ifndef AFTERMATH_H
#define AFTERMATH_H

#include <stdbool.h>
#include <stdint.h>

#define AFTERMATH_BYTES (4u << 20) /* of memory that is marked */

/* As much as a guest can: marked memory, a full balloon, an rng in use whose interrupt waits. */
void aftermath_make(uint64_t marker_gpa);

/* The checks of the next boot, reported. keeps_memory: the host may have kept the marks. */
void aftermath_check(uint64_t marker_gpa, bool keeps_memory);

#endif
