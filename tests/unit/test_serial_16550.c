/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The 16550A: what a driver does to it, bit by bit. */
#include <linux/serial_reg.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "fake_arch.h"
#include "fake_console.h"
#include "fake_pc.h"

#define BASE 0x3f8
#define GSI  4

struct fixture {
	struct fake_pc pc;
	struct device *device;
};

static uint8_t in(struct fixture *fixture, unsigned int reg)
{
	return pc_inb(&fixture->pc, BASE + reg);
}

static void out(struct fixture *fixture, unsigned int reg, uint8_t value)
{
	pc_outb(&fixture->pc, BASE + reg, value);
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fake_pc_create(&fixture.pc);
	fixture.device = fake_pc_add(&fixture.pc, "serial-16550");
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fake_pc_destroy(&fixture->pc);
	assert_null(fake_console.ops);
	return 0;
}

/* A driver that is ready to receive. */
static void open_port(struct fixture *fixture, uint8_t ier)
{
	out(fixture, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	out(fixture, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	out(fixture, UART_IER, ier);
}

static void test_resources(void **state)
{
	struct fixture *fixture = *state;
	const struct device *device = fixture->device;

	assert_int_equal(device->resource_count, 2);
	assert_int_equal(device->resources[0].kind, DEVICE_RESOURCE_PIO);
	assert_int_equal(device->resources[0].base, BASE);
	assert_int_equal(device->resources[0].size_bytes, 8);
	assert_int_equal(device->resources[1].kind, DEVICE_RESOURCE_GSI);
	assert_int_equal(device->resources[1].base, GSI);
}

static void test_output(void **state)
{
	struct fixture *fixture = *state;
	const char *text = "Hello\n";

	for (const char *c = text; *c; c++) {
		assert_int_equal(in(fixture, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
		out(fixture, UART_TX, *c);
	}
	assert_string_equal(fake_console.output, text);
	assert_false(fake_arch_level(GSI));
}

static void test_divisor_and_scratch(void **state)
{
	struct fixture *fixture = *state;

	out(fixture, UART_SCR, 0xa5);
	assert_int_equal(in(fixture, UART_SCR), 0xa5);
	out(fixture, UART_IER, UART_IER_MSI);
	out(fixture, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	out(fixture, UART_DLL, 0x01);
	out(fixture, UART_DLM, 0xfe);
	assert_int_equal(in(fixture, UART_DLL), 0x01);
	assert_int_equal(in(fixture, UART_DLM), 0xfe);
	out(fixture, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(in(fixture, UART_LCR), UART_LCR_WLEN8);
	assert_int_equal(in(fixture, UART_IER), UART_IER_MSI);
	assert_int_equal(fake_console.output_bytes, 0);
	out(fixture, UART_IER, 0xff);
	assert_int_equal(in(fixture, UART_IER), 0x0f); /* Linux tells a 16550A by that */
}

static void test_fifo_is_16550a(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(in(fixture, UART_IIR), UART_IIR_NO_INT);
	out(fixture, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(fixture, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	out(fixture, UART_FCR, 0);
	assert_int_equal(in(fixture, UART_IIR), UART_IIR_NO_INT);
}

static void test_transmit_interrupt(void **state)
{
	struct fixture *fixture = *state;

	open_port(fixture, UART_IER_THRI);
	assert_true(fake_arch_level(GSI)); /* THR is empty when the interrupt is enabled */
	assert_int_equal(in(fixture, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_false(fake_arch_level(GSI)); /* reading IIR answered it */
	assert_int_equal(in(fixture, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	out(fixture, UART_TX, 'x');
	assert_true(fake_arch_level(GSI));
	out(fixture, UART_IER, 0);
	assert_false(fake_arch_level(GSI));
	in(fixture, UART_IIR);
	/* Linux's test for a broken THRE: off and on again must raise it again. */
	out(fixture, UART_IER, UART_IER_THRI);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
	out(fixture, UART_IER, 0);
	out(fixture, UART_IER, UART_IER_THRI);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
}

static void test_receive(void **state)
{
	struct fixture *fixture = *state;
	const char *text = "0123456789abcdefghijklmnopqrstuvwxyz";

	open_port(fixture, UART_IER_RDI);
	assert_int_equal(fake_console_type(text, strlen(text)), 16);
	assert_true(fake_arch_level(GSI));
	assert_int_equal(in(fixture, UART_IIR), 0xc0 | UART_IIR_RDI);
	for (int i = 0; i < 16; i++) {
		assert_true(in(fixture, UART_LSR) & UART_LSR_DR);
		assert_int_equal(fake_console.ready_count, 0);
		assert_int_equal(in(fixture, UART_RX), text[i]);
	}
	/* It refused, so it says once that it has room again. */
	assert_int_equal(fake_console.ready_count, 1);
	assert_false(fake_arch_level(GSI));
	assert_false(in(fixture, UART_LSR) & UART_LSR_DR);
	assert_int_equal(fake_console_type(text + 16, 3), 3);
	for (int i = 16; i < 19; i++)
		assert_int_equal(in(fixture, UART_RX), text[i]);
	assert_int_equal(fake_console.ready_count, 1); /* it did not refuse */
}

static void test_one_byte_without_fifo(void **state)
{
	struct fixture *fixture = *state;

	open_port(fixture, UART_IER_RDI);
	out(fixture, UART_FCR, 0);
	assert_int_equal(fake_console_type("ab", 2), 1);
	out(fixture, UART_FCR, UART_FCR_ENABLE_FIFO); /* Linux enables it late: the byte stays */
	assert_int_equal(in(fixture, UART_RX), 'a');
}

static void test_input_waits_for_a_listener(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fake_console_type("x", 1), 0);
	/* What Linux does on its way to enabling the interrupt would lose a byte. */
	open_port(fixture, 0);
	in(fixture, UART_LSR);
	in(fixture, UART_RX);
	assert_int_equal(fake_console_type("x", 1), 0);
	assert_int_equal(fake_console.ready_count, 0);
	out(fixture, UART_IER, UART_IER_RDI | UART_IER_RLSI);
	assert_int_equal(fake_console.ready_count, 1);
	assert_int_equal(fake_console_type("x", 1), 1);
	assert_int_equal(in(fixture, UART_RX), 'x');
}

static void test_polling_listens(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fake_console_type("xy", 2), 0);
	for (int i = 0; i < 100; i++) { /* a polled writer never does */
		in(fixture, UART_LSR);
		out(fixture, UART_TX, '.');
	}
	assert_int_equal(fake_console.ready_count, 0);
	for (int i = 0; i < 100; i++)
		in(fixture, UART_LSR);
	assert_int_equal(fake_console.ready_count, 1);
	assert_int_equal(fake_console_type("xy", 2), 1);
	assert_int_equal(in(fixture, UART_LSR) & UART_LSR_DR, UART_LSR_DR);
	assert_int_equal(in(fixture, UART_RX), 'x');
	assert_int_equal(fake_console_type("y", 1), 1); /* still at it */
}

static void test_out2_gates(void **state)
{
	struct fixture *fixture = *state;

	open_port(fixture, UART_IER_THRI);
	assert_true(fake_arch_level(GSI));
	out(fixture, UART_MCR, UART_MCR_DTR | UART_MCR_RTS);
	assert_false(fake_arch_level(GSI));
	out(fixture, UART_MCR, UART_MCR_OUT2);
	assert_true(fake_arch_level(GSI));
}

static void test_loopback(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(in(fixture, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	out(fixture, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(fixture, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	/* Linux's probe: RTS comes back as CTS, OUT2 as DCD; DSR has fallen. */
	assert_int_equal(in(fixture, UART_MSR), UART_MSR_DCD | UART_MSR_CTS | UART_MSR_DDSR);
	assert_int_equal(in(fixture, UART_MSR) & UART_MSR_ANY_DELTA, 0);
	for (int i = 0; i < 17; i++)
		out(fixture, UART_TX, 'A' + i);
	assert_int_equal(fake_console.output_bytes, 0);
	assert_true(in(fixture, UART_LSR) & UART_LSR_OE); /* the 17th had no place */
	assert_false(in(fixture, UART_LSR) & UART_LSR_OE);
	for (int i = 0; i < 16; i++)
		assert_int_equal(in(fixture, UART_RX), 'A' + i);
	assert_false(in(fixture, UART_LSR) & UART_LSR_DR);
	assert_int_equal(fake_console_type("x", 1), 0); /* the wire is cut */
}

static void test_interrupt_priorities(void **state)
{
	struct fixture *fixture = *state;

	open_port(fixture, 0);
	out(fixture, UART_MCR, UART_MCR_LOOP);
	for (int i = 0; i < 17; i++)
		out(fixture, UART_TX, i);
	out(fixture, UART_IER, 0x0f);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_ID, UART_IIR_RLSI);
	in(fixture, UART_LSR);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_ID, UART_IIR_RDI);
	out(fixture, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_ID, UART_IIR_THRI);
	assert_int_equal(in(fixture, UART_IIR) & (UART_IIR_ID | UART_IIR_NO_INT), UART_IIR_MSI);
	in(fixture, UART_MSR);
	assert_int_equal(in(fixture, UART_IIR) & UART_IIR_NO_INT, UART_IIR_NO_INT);
}

static void test_ring_delta_is_trailing(void **state)
{
	struct fixture *fixture = *state;

	out(fixture, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	assert_false(in(fixture, UART_MSR) & UART_MSR_TERI);
	out(fixture, UART_MCR, UART_MCR_LOOP);
	assert_true(in(fixture, UART_MSR) & UART_MSR_TERI);
}

static void test_wide_accesses(void **state)
{
	struct fixture *fixture = *state;

	pc_outw(&fixture->pc, BASE + UART_MCR, 0x5a00 | UART_MCR_DTR); /* MCR and LSR */
	assert_int_equal(pc_inw(&fixture->pc, BASE + UART_MCR) & 0xff, UART_MCR_DTR);
	/* Past the end of the range no device answers. */
	assert_int_equal(pc_inl(&fixture->pc, BASE + 6), 0xffffffff);
}

static void test_reset(void **state)
{
	struct fixture *fixture = *state;

	open_port(fixture, UART_IER_THRI | UART_IER_RDI);
	fake_console_type("abc", 3);
	assert_true(fake_arch_level(GSI));
	fixture->device->reset(fixture->device);
	assert_false(fake_arch_level(GSI));
	assert_int_equal(in(fixture, UART_IER), 0);
	assert_int_equal(in(fixture, UART_MCR), 0);
	assert_int_equal(in(fixture, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(fixture, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

static void test_in_memory(void **state)
{
	struct fake_pc pc;
	struct device_config config;
	struct error err = ERROR_INIT;
	uint8_t byte;

	(void)state;
	fake_pc_create(&pc);
	device_config_init(&config, "serial-16550");
	device_config_set_number(&config, "base", 0x10000000);
	device_config_set_number(&config, "gsi", 10);
	device_config_set_number(&config, "mmio", 1);
	assert_int_equal(device_create(&pc.vm, &config, &err), 0);
	byte = UART_IER_THRI;
	assert_true(bus_write(pc.vm.mmio, 0x10000000 + UART_IER, &byte, 1));
	assert_true(fake_arch_level(10)); /* nothing gates it there */
	assert_int_equal(device_find(&pc.vm, "serial-16550")->resources[0].kind,
	                 DEVICE_RESOURCE_MMIO);
	fake_pc_destroy(&pc);
}

static void test_not_the_console(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	pc.config.console = CONSOLE_VIRTIO;
	fake_pc_add(&pc, "serial-16550");
	assert_null(fake_console.ops);
	pc_outb(&pc, BASE, 'x');
	assert_int_equal(fake_console.output_bytes, 0);
	fake_pc_destroy(&pc);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "serial-16550", BASE + 7);
	fake_pc_add(&pc, "serial-16550");
	fake_pc_destroy(&pc);
}

#define on_port(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_port(test_resources),
		on_port(test_output),
		on_port(test_divisor_and_scratch),
		on_port(test_fifo_is_16550a),
		on_port(test_transmit_interrupt),
		on_port(test_receive),
		on_port(test_one_byte_without_fifo),
		on_port(test_input_waits_for_a_listener),
		on_port(test_polling_listens),
		on_port(test_out2_gates),
		on_port(test_loopback),
		on_port(test_interrupt_priorities),
		on_port(test_ring_delta_is_trailing),
		on_port(test_wide_accesses),
		on_port(test_reset),
		cmocka_unit_test(test_in_memory),
		cmocka_unit_test(test_not_the_console),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
