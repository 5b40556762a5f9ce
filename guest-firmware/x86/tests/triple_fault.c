/* SPDX-License-Identifier: Apache-2.0 */
/* An exception without any gate for it: the machine cannot go on. */
#include "platform.h"
#include "print.h"
#include "report.h"
#include <stdint.h>

void test_main(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} none = { 0, 0 };

	print("triple fault\n");
	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	report_fail("triple fault", "the guest goes on");
}
