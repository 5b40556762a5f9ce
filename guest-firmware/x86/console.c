/* SPDX-License-Identifier: Apache-2.0 */
/* The console: a polled 16550 at 0x3f8. */
#include "io.h"
#include "platform.h"
#include "platform_x86.h"

#define UART_GSI            4
#define UART_LSR            5
#define UART_LSR_DATA_READY 0x01
#define UART_LSR_THR_EMPTY  0x20

void platform_putc(char c)
{
	if (c == '\n')
		platform_putc('\r');
	while (!(in8(PORT_SERIAL + UART_LSR) & UART_LSR_THR_EMPTY))
		cpu_relax();
	out8(PORT_SERIAL, (uint8_t)c);
}

int platform_getc(void)
{
	if (!(in8(PORT_SERIAL + UART_LSR) & UART_LSR_DATA_READY))
		return -1;
	return in8(PORT_SERIAL);
}

uint8_t platform_uart_read(unsigned int reg)
{
	return in8((uint16_t)(PORT_SERIAL + reg));
}

void platform_uart_write(unsigned int reg, uint8_t value)
{
	out8((uint16_t)(PORT_SERIAL + reg), value);
}

int platform_uart_route(int vector)
{
	return irq_route_gsi(UART_GSI, vector, false);
}
