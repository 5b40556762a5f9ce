/* SPDX-License-Identifier: Apache-2.0 */
/* Ends by a write of size=1, 2 or 4 bytes to the debug-exit port: value=V becomes the status (V <<
 * 1) | 1. */
#include "command_line.h"
#include "io.h"
#include "platform.h"
#include "platform_x86.h"
#include "report.h"

void test_main(void)
{
	uint64_t size_bytes = option_u64("size", 1), value = option_u64("value", 0);

	if (size_bytes == 1)
		out8(PORT_DEBUG_EXIT, (uint8_t)value);
	else if (size_bytes == 2)
		out16(PORT_DEBUG_EXIT, (uint16_t)value);
	else
		out32(PORT_DEBUG_EXIT, (uint32_t)value);
	report_fail("debug-exit", "the guest goes on");
}
