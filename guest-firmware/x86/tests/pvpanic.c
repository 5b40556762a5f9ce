/* SPDX-License-Identifier: Apache-2.0 */
/* A panicking guest says so at the pvpanic port. */
#include "io.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PORT_PVPANIC     0x505
#define PVPANIC_PANICKED 1

void test_main(void)
{
	if (!CHECK("panicked is offered",
	           in8(PORT_PVPANIC) != 0xff && (in8(PORT_PVPANIC) & PVPANIC_PANICKED)))
		return;
	print("panicking\n");
	out8(PORT_PVPANIC, PVPANIC_PANICKED);
	delay_us(1000000);
	report_fail("panic", "the guest goes on");
}
