/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that nothing claims read all-ones and take writes without a word. */
#include "mmio.h"
#include "pci.h"
#include "platform.h"
#include "report.h"

#define LOW_GPA 0x00001000ull /* boot ROMs are there elsewhere */

static void test_place(uint64_t gpa)
{
	EXPECT_EQUAL("addresses", mmio_read8(gpa), 0xff);
	EXPECT_EQUAL("addresses", mmio_read16(gpa), 0xffff);
	EXPECT_EQUAL("addresses", mmio_read32(gpa), 0xffffffff);
	EXPECT_EQUAL("addresses", mmio_read64(gpa), ~0ull);
	mmio_write8(gpa, 0);
	mmio_write16(gpa, 0);
	mmio_write32(gpa, 0);
	mmio_write64(gpa, 0);
	EXPECT_EQUAL("addresses", mmio_read32(gpa), 0xffffffff);
}

void test_main(void)
{
	test_place(LOW_GPA);
	test_place(platform_pci_window_gpa() + 0x3ffff000);
	test_place(pci_ecam_gpa() + ((uint64_t)PCI_BDF(0, 31, 7) << 12));
	report_section("unclaimed addresses read all-ones");
}
