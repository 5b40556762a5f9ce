/* SPDX-License-Identifier: Apache-2.0 */
/* The console: a polled 16550 that the tree names; the SBI's where there is none. */
#include "mmio.h"
#include "platform_riscv.h"

#define UART_LSR            5
#define UART_LSR_DATA_READY 0x01
#define UART_LSR_THR_EMPTY  0x20

static uint64_t uart_gpa;
static uint32_t uart_gsi;

void console_init(void)
{
	struct fdt_node node;
	uint64_t size_bytes;

	if (!fdt_find_compatible("ns16550a", 0, &node) && !fdt_find_compatible("ns16550", 0, &node))
		return;
	fdt_reg(&node, 0, &uart_gpa, &size_bytes);
	uart_gsi = fdt_u32(&node, "interrupts", 0);
}

uint64_t console_gpa(void)
{
	return uart_gpa;
}

void platform_putc(char c)
{
	if (c == '\n')
		platform_putc('\r');
	if (!uart_gpa) {
		if (sbi_call(SBI_DBCN, SBI_DBCN_WRITE_BYTE, (uint8_t)c, 0, 0).error)
			sbi_call(SBI_OLD_PUTCHAR, 0, (uint8_t)c, 0, 0);
		return;
	}
	while (!(mmio_read8(uart_gpa + UART_LSR) & UART_LSR_THR_EMPTY))
		cpu_relax();
	mmio_write8(uart_gpa, (uint8_t)c);
}

int platform_getc(void)
{
	if (!uart_gpa)
		return (int)sbi_call(SBI_OLD_GETCHAR, 0, 0, 0, 0).error;
	if (!(mmio_read8(uart_gpa + UART_LSR) & UART_LSR_DATA_READY))
		return -1;
	return mmio_read8(uart_gpa);
}

uint8_t platform_uart_read(unsigned int reg)
{
	return mmio_read8(uart_gpa + reg);
}

void platform_uart_write(unsigned int reg, uint8_t value)
{
	mmio_write8(uart_gpa + reg, value);
}

int platform_uart_route(int vector)
{
	return irq_route_gsi(uart_gsi, vector, true);
}
