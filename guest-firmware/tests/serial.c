/* SPDX-License-Identifier: Apache-2.0 */
/* The console's 16550: scratch, divisor latch, FIFO bits, loop-back, interrupts. "input": a line of
 * input comes back. */
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define RBR 0
#define IER 1
#define IIR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

#define IER_DATA      1
#define IER_THR_EMPTY 2
#define IIR_NONE      0x01
#define IIR_THR_EMPTY 0x02
#define IIR_DATA      0x04
#define IIR_TIMEOUT   0x0c
#define LCR_DLAB      0x80
#define MCR_OUT2      0x08
#define MCR_LOOP      0x10

static volatile unsigned int interrupts;
static volatile uint8_t last_iir;

static void take_interrupt(void *opaque)
{
	uint8_t iir = platform_uart_read(IIR) & 0x0f;

	if (iir == IIR_NONE)
		return;
	last_iir = iir;
	interrupts++;
	/* the cause goes, and with it the wire */
	if (iir == IIR_THR_EMPTY)
		platform_uart_write(IER, platform_uart_read(IER) & ~IER_THR_EMPTY);
	else
		platform_uart_write(IER, platform_uart_read(IER) & ~IER_DATA);
}

static void test_registers(void)
{
	uint8_t value;
	uint16_t divisor;

	for (value = 0x55; value; value = value == 0x55 ? 0xaa : 0) {
		platform_uart_write(SCR, value);
		EXPECT_EQUAL("scratch", platform_uart_read(SCR), value);
	}
	report_section("scratch");
	platform_uart_write(LCR, LCR_DLAB | 3);
	divisor = (uint16_t)(platform_uart_read(RBR) | platform_uart_read(IER) << 8);
	platform_uart_write(RBR, 1);
	platform_uart_write(IER, 0);
	EXPECT_EQUAL("divisor latch", platform_uart_read(RBR), 1);
	platform_uart_write(RBR, (uint8_t)divisor);
	platform_uart_write(IER, (uint8_t)(divisor >> 8));
	platform_uart_write(LCR, 3);
	EXPECT_EQUAL("divisor latch", platform_uart_read(LCR), 3);
	EXPECT_EQUAL("divisor latch: IER is another register", platform_uart_read(IER) & 0xf0, 0);
	report_section("divisor latch");
	platform_uart_write(IIR, 0x01);
	CHECK_EQUAL("FIFO on", platform_uart_read(IIR) & 0xc0, 0xc0);
	platform_uart_write(IIR, 0x00);
	CHECK_EQUAL("FIFO off", platform_uart_read(IIR) & 0xc0, 0);
	platform_uart_write(IIR, 0x07);
	CHECK("transmitter empty", (platform_uart_read(LSR) & 0x60) == 0x60);
}

static void test_loopback(void)
{
	unsigned int i;
	uint8_t mcr = platform_uart_read(MCR);

	platform_uart_write(MCR, MCR_LOOP);
	EXPECT_EQUAL("loop-back: modem lines low", platform_uart_read(MSR) & 0xf0, 0);
	platform_uart_write(MCR, MCR_LOOP | 0x0f);
	EXPECT_EQUAL("loop-back: modem lines high", platform_uart_read(MSR) & 0xf0, 0xf0);
	for (i = 0; i < 20; i++) {
		platform_uart_write(RBR, (uint8_t)(i * 13));
		EXPECT("loop-back: data", platform_uart_read(LSR) & 1);
		EXPECT_EQUAL("loop-back: data", platform_uart_read(RBR), (uint8_t)(i * 13));
	}
	EXPECT("loop-back: empty again", !(platform_uart_read(LSR) & 1));
	platform_uart_write(MCR, mcr);
	report_section("loop-back: modem lines and 20 bytes");
}

static void test_interrupts(void)
{
	uint8_t cause, data;

	platform_uart_write(MCR, MCR_OUT2 | 3);
	platform_uart_write(IER, 0);
	platform_uart_route(irq_vector_alloc(take_interrupt, NULL));
	platform_uart_write(IER, IER_THR_EMPTY);
	CHECK("interrupt when the transmitter is empty", wait_for_count(&interrupts, 1));
	CHECK_EQUAL("its cause", last_iir, IIR_THR_EMPTY);
	platform_uart_write(IER, IER_THR_EMPTY);
	CHECK("and again when enabled again", wait_for_count(&interrupts, 2));
	platform_uart_write(IER, 0);
	CHECK_EQUAL("no cause left", platform_uart_read(IIR) & 0x0f, IIR_NONE);

	/* in loop-back OUT2 is off on a PC, and the line with it: the cause shows all the same */
	platform_uart_write(MCR, MCR_LOOP | MCR_OUT2);
	platform_uart_write(IER, IER_DATA);
	platform_uart_write(RBR, 0x42);
	cause = platform_uart_read(IIR) & 0x0f;
	platform_uart_write(IER, 0);
	data = platform_uart_read(RBR);
	platform_uart_write(MCR, MCR_OUT2 | 3);
	CHECK("cause in loop-back: data", cause == IIR_DATA || cause == IIR_TIMEOUT);
	CHECK_EQUAL("the data", data, 0x42);
}

static void test_input(void)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	char line[64];
	unsigned int length = 0;
	int c = 0;

	if (!option_present("input")) {
		report_skip("input", "nobody types");
		return;
	}
	print("type a line\n");
	interrupts = 0;
	platform_uart_write(IER, IER_DATA);
	CHECK("input: an interrupt", wait_for_count(&interrupts, 1));
	CHECK("input: its cause is data", last_iir == IIR_DATA || last_iir == IIR_TIMEOUT);
	platform_uart_write(IER, 0);
	while (length < sizeof(line) - 1 && c != '\n' && c != '\r' && clock_ns() < end) {
		c = platform_getc();
		if (c >= ' ')
			line[length++] = (char)c;
	}
	line[length] = 0;
	CHECK("input: a line came", length > 0);
	print("[%s]\n", line);
}

void test_main(void)
{
	test_registers();
	test_loopback();
	test_interrupts();
	test_input();
}
