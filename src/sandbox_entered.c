/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread does once it is inside: nothing. tests/guest/sandbox_probe.c stands in for this,
 * and tries what has to be refused. */
#include "ebb/sandbox.h"

void sandbox_entered(enum sandbox_thread kind)
{
	(void)kind;
}
