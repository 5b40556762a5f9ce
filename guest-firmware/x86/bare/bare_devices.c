/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of --test-devices: latch, page flush, interrupt lines, emulated memory. */
#include "io.h"
#include "memory.h"
#include "mmio.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define PORT_LATCH        0xe0
#define PORT_FLUSH        0xe4
#define PORT_LINES        0x2000
#define TEST_MEMORY_GPA   0xff000000ull
#define TEST_MEMORY_BYTES 0x10000
#define EDGE_GSI          14
#define LEVEL_GSI         20

static volatile unsigned int edge_interrupts, level_interrupts;

static void test_latch(void)
{
	static const uint8_t text[] = "abcdefgh";
	static uint8_t back[4];
	const void *from = text;
	void *to = back;
	unsigned long count = 8;

	out32(PORT_LATCH, 0x12345678);
	CHECK_EQUAL("latch: 4 bytes", in32(PORT_LATCH), 0x12345678);
	CHECK_EQUAL("latch: 2 bytes", in16(PORT_LATCH + 2), 0x1234);
	CHECK_EQUAL("latch: 1 byte", in8(PORT_LATCH), 0x78);
	out8(PORT_LATCH + 1, 0xaa);
	CHECK_EQUAL("latch: after a byte", in32(PORT_LATCH), 0x1234aa78);
	out16(PORT_LATCH + 2, 0xbeef);
	CHECK_EQUAL("latch: after a word", in32(PORT_LATCH), 0xbeefaa78);
	__asm__ volatile("rep outsb"
	                 : "+S"(from), "+c"(count)
	                 : "d"((uint16_t)PORT_LATCH)
	                 : "memory");
	CHECK_EQUAL("latch: string output, the last byte stays", in8(PORT_LATCH), 'h');
	CHECK_EQUAL("latch: string output took all", count, 0);
	out32(PORT_LATCH, 0x01020304);
	count = 4;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)PORT_LATCH) : "memory");
	CHECK("latch: string input", !memcmp(back, "\4\4\4\4", 4));
	from = "\1\2\3\4\5\6\7\10";
	count = 2;
	__asm__ volatile("rep outsl"
	                 : "+S"(from), "+c"(count)
	                 : "d"((uint16_t)PORT_LATCH)
	                 : "memory");
	CHECK_EQUAL("latch: string output of 4 bytes", in32(PORT_LATCH), 0x08070605);
}

static void test_flush(void)
{
	uint64_t gpa = memory_reserve(3 * PAGE_SIZE, PAGE_SIZE);
	uint64_t *page = (uint64_t *)(uintptr_t)(gpa + PAGE_SIZE);
	unsigned int i;

	memory_fill64((void *)(uintptr_t)gpa, 0x7e577e577e577e57, 3 * PAGE_SIZE / 8);
	for (i = 0; i < 10; i++) {
		out32(PORT_FLUSH, (uint32_t)(gpa + PAGE_SIZE));
		EXPECT_EQUAL("flush", page[i], 0x7e577e577e577e57);
	}
	EXPECT_EQUAL("flush",
	             memory_scan64((void *)(uintptr_t)gpa, 0x7e577e577e577e57, 3 * PAGE_SIZE / 8),
	             3 * PAGE_SIZE / 8);
	page[0] = 1;
	EXPECT_EQUAL("flush", page[0], 1);
	report_section("page flush keeps the content");
	out32(PORT_FLUSH, 0xfd000000); /* no RAM there */
	report_pass("page flush outside RAM does no harm");
}

static void count_edge(void *opaque)
{
	edge_interrupts++;
}

static void count_level(void *opaque)
{
	if (++level_interrupts == 3)
		out8(PORT_LINES + LEVEL_GSI, 0);
}

static void quiet(void)
{
	irq_enable();
	delay_us(1000);
	irq_disable();
}

static void test_lines(void)
{
	unsigned int fallen;

	irq_route_gsi(EDGE_GSI, irq_vector_alloc(count_edge, NULL), false);
	out8(PORT_LINES + EDGE_GSI, 1);
	CHECK("edge: one interrupt", wait_for_count(&edge_interrupts, 1));
	out8(PORT_LINES + EDGE_GSI, 1);
	quiet();
	CHECK_EQUAL("edge: none while it stays up", edge_interrupts, 1);
	out8(PORT_LINES + EDGE_GSI, 0);
	out8(PORT_LINES + EDGE_GSI, 0x80);
	CHECK("edge: the next one", wait_for_count(&edge_interrupts, 2));
	out8(PORT_LINES + EDGE_GSI, 0);

	irq_route_gsi(LEVEL_GSI, irq_vector_alloc(count_level, NULL), true);
	out8(PORT_LINES + LEVEL_GSI, 1);
	CHECK("level: comes again until it falls", wait_for_count(&level_interrupts, 3));
	/* some KVMs accept the next one before the handler is done with the last */
	quiet();
	fallen = level_interrupts;
	CHECK("level: at most one that was on its way", fallen <= 4);
	quiet();
	CHECK_EQUAL("level: and not any more", level_interrupts, fallen);
}

static void test_memory(void)
{
	uint64_t gpa = TEST_MEMORY_GPA, end_gpa = gpa + TEST_MEMORY_BYTES;
	static uint8_t back[64];
	unsigned int i;

	mmio_write8(gpa, 0x11);
	mmio_write16(gpa + 2, 0x2233);
	mmio_write32(gpa + 4, 0x44556677);
	mmio_write64(gpa + 8, 0x8899aabbccddeeff);
	CHECK_EQUAL("memory: 1 byte", mmio_read8(gpa), 0x11);
	CHECK_EQUAL("memory: 2 bytes", mmio_read16(gpa + 2), 0x2233);
	CHECK_EQUAL("memory: 4 bytes", mmio_read32(gpa + 4), 0x44556677);
	CHECK_EQUAL("memory: 8 bytes", mmio_read64(gpa + 8), 0x8899aabbccddeeff);
	CHECK_EQUAL("memory: 4 bytes, odd", mmio_read32(gpa + 9), 0xbbccddee);
	mmio_write64(gpa + 0xffd, 0x0123456789abcdef);
	CHECK_EQUAL("memory: across a page", mmio_read64(gpa + 0xffd), 0x0123456789abcdef);
	CHECK_EQUAL("memory: across a page, the second half", mmio_read8(gpa + 0x1004), 0x01);
	mmio_write64(end_gpa - 8, 0x5a5a5a5aa5a5a5a5);
	CHECK_EQUAL("memory: the last 8 bytes", mmio_read64(end_gpa - 8), 0x5a5a5a5aa5a5a5a5);
	memset((void *)(uintptr_t)(gpa + 0x3fe0), 0xc3, 64);
	memcpy(back, (void *)(uintptr_t)(gpa + 0x3fe0), 64);
	for (i = 0; i < 64; i++)
		EXPECT_EQUAL("memory: string instructions", back[i], 0xc3);
	report_section("memory: string instructions across a page");
	__atomic_fetch_add((uint32_t *)(uintptr_t)(gpa + 4), 1, __ATOMIC_SEQ_CST);
	CHECK_EQUAL("memory: locked addition", mmio_read32(gpa + 4), 0x44556678);
}

void test_main(void)
{
	out32(PORT_LATCH, 0xcafe5afe);
	if (in32(PORT_LATCH) != 0xcafe5afe) {
		report_skip("test devices", "not there (--test-devices)");
		return;
	}
	test_latch();
	test_flush();
	test_lines();
	test_memory();
}
