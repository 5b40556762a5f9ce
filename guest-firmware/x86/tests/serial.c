/* SPDX-License-Identifier: Apache-2.0 */
/* The 16550 at 0x3f8: scratch, divisor latch, FIFO bits, loop-back, interrupts. "input": a line of
 * input comes back. */
#include "command_line.h"
#include "io.h"
#include "platform.h"
#include "platform_x86.h"
#include "print.h"
#include "report.h"

#define RBR (PORT_SERIAL + 0)
#define IER (PORT_SERIAL + 1)
#define IIR (PORT_SERIAL + 2)
#define LCR (PORT_SERIAL + 3)
#define MCR (PORT_SERIAL + 4)
#define LSR (PORT_SERIAL + 5)
#define MSR (PORT_SERIAL + 6)
#define SCR (PORT_SERIAL + 7)

#define IER_DATA      1
#define IER_THR_EMPTY 2
#define IIR_NONE      0x01
#define IIR_THR_EMPTY 0x02
#define IIR_DATA      0x04
#define IIR_TIMEOUT   0x0c
#define LCR_DLAB      0x80
#define MCR_OUT2      0x08
#define MCR_LOOP      0x10
#define GSI_SERIAL    4

static volatile unsigned int interrupts;
static volatile uint8_t last_iir;

static void take_interrupt(void *opaque)
{
	uint8_t iir = in8(IIR) & 0x0f;

	if (iir == IIR_NONE)
		return;
	last_iir = iir;
	interrupts++;
	if (iir == IIR_THR_EMPTY)
		out8(IER, in8(IER) & ~IER_THR_EMPTY);
}

static void test_registers(void)
{
	uint8_t value;
	uint16_t divisor;

	for (value = 0x55; value; value = value == 0x55 ? 0xaa : 0) {
		out8(SCR, value);
		EXPECT_EQUAL("scratch", in8(SCR), value);
	}
	report_section("scratch");
	out8(LCR, LCR_DLAB | 3);
	divisor = (uint16_t)(in8(RBR) | in8(IER) << 8);
	out8(RBR, 1);
	out8(IER, 0);
	EXPECT_EQUAL("divisor latch", in8(RBR), 1);
	out8(RBR, (uint8_t)divisor);
	out8(IER, (uint8_t)(divisor >> 8));
	out8(LCR, 3);
	EXPECT_EQUAL("divisor latch", in8(LCR), 3);
	EXPECT_EQUAL("divisor latch: IER is another register", in8(IER) & 0xf0, 0);
	report_section("divisor latch");
	out8(IIR, 0x01);
	CHECK_EQUAL("FIFO on", in8(IIR) & 0xc0, 0xc0);
	out8(IIR, 0x00);
	CHECK_EQUAL("FIFO off", in8(IIR) & 0xc0, 0);
	out8(IIR, 0x07);
	CHECK("transmitter empty", (in8(LSR) & 0x60) == 0x60);
}

static void test_loopback(void)
{
	unsigned int i;
	uint8_t mcr = in8(MCR);

	out8(MCR, MCR_LOOP);
	EXPECT_EQUAL("loop-back: modem lines low", in8(MSR) & 0xf0, 0);
	out8(MCR, MCR_LOOP | 0x0f);
	EXPECT_EQUAL("loop-back: modem lines high", in8(MSR) & 0xf0, 0xf0);
	for (i = 0; i < 20; i++) {
		out8(RBR, (uint8_t)(i * 13));
		EXPECT("loop-back: data", in8(LSR) & 1);
		EXPECT_EQUAL("loop-back: data", in8(RBR), (uint8_t)(i * 13));
	}
	EXPECT("loop-back: empty again", !(in8(LSR) & 1));
	out8(MCR, mcr);
	report_section("loop-back: modem lines and 20 bytes");
}

static void test_interrupts(void)
{
	uint8_t cause, data;

	out8(MCR, MCR_OUT2 | 3);
	out8(IER, 0);
	irq_route_gsi(GSI_SERIAL, irq_vector_alloc(take_interrupt, NULL), false);
	out8(IER, IER_THR_EMPTY);
	CHECK("interrupt when the transmitter is empty", wait_for_count(&interrupts, 1, 1000));
	CHECK_EQUAL("its cause", last_iir, IIR_THR_EMPTY);
	out8(IER, IER_THR_EMPTY);
	CHECK("and again when enabled again", wait_for_count(&interrupts, 2, 1000));
	out8(IER, 0);
	CHECK_EQUAL("no cause left", in8(IIR) & 0x0f, IIR_NONE);

	/* in loop-back OUT2 is off on a PC, and the line with it: the cause shows all the same */
	out8(MCR, MCR_LOOP | MCR_OUT2);
	out8(IER, IER_DATA);
	out8(RBR, 0x42);
	cause = in8(IIR) & 0x0f;
	out8(IER, 0);
	data = in8(RBR);
	out8(MCR, MCR_OUT2 | 3);
	CHECK("cause in loop-back: data", cause == IIR_DATA || cause == IIR_TIMEOUT);
	CHECK_EQUAL("the data", data, 0x42);
}

static void test_input(void)
{
	uint64_t end = clock_ns() + 10000000000ull;
	char line[64];
	unsigned int length = 0;
	int c = 0;

	if (!option_present("input")) {
		report_skip("input", "nobody types");
		return;
	}
	print("type a line\n");
	interrupts = 0;
	out8(IER, IER_DATA);
	CHECK("input: an interrupt", wait_for_count(&interrupts, 1, 10000));
	CHECK("input: its cause is data", last_iir == IIR_DATA || last_iir == IIR_TIMEOUT);
	out8(IER, 0);
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
