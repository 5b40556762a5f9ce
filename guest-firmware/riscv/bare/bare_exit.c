/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a bare test kernel: a line that carries the result, value=N of the command line, and a
 * shutdown by SRST while other harts run. */
#include "command_line.h"
#include "platform_riscv.h"

static void spin(unsigned int index)
{
	for (;;)
		cpu_relax();
}

void test_main(void)
{
	unsigned int i;

	for (i = 0; i < platform_cpu_count(); i++)
		if (platform_cpu_id(i) != cpu_hardware_id())
			cpu_start(platform_cpu_id(i), spin);
	platform_exit((uint8_t)option_u64("value", 0));
}
