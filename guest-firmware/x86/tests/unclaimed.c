/* SPDX-License-Identifier: Apache-2.0 */
/* Ports and addresses that nothing claims read all-ones and take writes without a word. */
#include "io.h"
#include "mmio.h"
#include "platform.h"
#include "report.h"

static const uint16_t ports[] = { 0x0100, 0x0237, 0x1234, 0x5678, 0x9000, 0xfff0 };
static const uint64_t gpas[] = { 0xfd000000, 0xfb001000, 0xfef00004 };

static void test_ports(void)
{
	uint8_t bytes[8] = { 0 };
	void *to = bytes;
	unsigned long count = sizeof(bytes);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		EXPECT_EQUAL("ports", in8(ports[i]), 0xff);
		EXPECT_EQUAL("ports", in16(ports[i]), 0xffff);
		EXPECT_EQUAL("ports", in32(ports[i]), 0xffffffff);
		out8(ports[i], 0);
		out16(ports[i], 0);
		out32(ports[i], 0);
		EXPECT_EQUAL("ports", in32(ports[i]), 0xffffffff);
	}
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)0x1234) : "memory");
	for (i = 0; i < sizeof(bytes); i++)
		EXPECT_EQUAL("ports, string input", bytes[i], 0xff);
	report_section("unclaimed ports read all-ones");
}

static void test_memory(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gpas); i++) {
		EXPECT_EQUAL("addresses", mmio_read8(gpas[i]), 0xff);
		EXPECT_EQUAL("addresses", mmio_read16(gpas[i]), 0xffff);
		EXPECT_EQUAL("addresses", mmio_read32(gpas[i]), 0xffffffff);
		EXPECT_EQUAL("addresses", mmio_read64(gpas[i]), ~0ull);
		mmio_write32(gpas[i], 0);
		mmio_write64(gpas[i], 0);
		EXPECT_EQUAL("addresses", mmio_read32(gpas[i]), 0xffffffff);
	}
	EXPECT_EQUAL("addresses, odd", mmio_read32(gpas[0] + 1), 0xffffffff);
	EXPECT_EQUAL("addresses, across a page", mmio_read64(gpas[0] + 0xffc), ~0ull);
	report_section("unclaimed addresses read all-ones");
}

void test_main(void)
{
	test_ports();
	test_memory();
}
