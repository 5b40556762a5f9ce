/* SPDX-License-Identifier: Apache-2.0 */
/* Orderly power-off: the guest's end, with status 0. */
#include "platform.h"
#include "print.h"
#include "report.h"

void test_main(void)
{
	print("powering off\n");
	platform_power_off();
	report_fail("power-off", "the machine is still on");
}
