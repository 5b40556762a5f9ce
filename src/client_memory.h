/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a memory device, in words: for `ebb mem` and `ebb stat`. */
#ifndef CLIENT_MEMORY_H
#define CLIENT_MEMORY_H

#include "client_private.h"

/* An entry of virtio_mem in x-ebb-query-stat, in a few lines. */
void client_memory_print(const struct json_t *device);

/* Why the device has not the size that it is asked to have, from what x-ebb-query-stat said before
 * it was asked and says now: the likeliest reason, for people. Pure. */
void client_memory_explain(const struct json_t *before, const struct json_t *now, const char *id,
                           char why[CLIENT_WHY_MAX]);

#endif
