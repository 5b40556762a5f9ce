/* SPDX-License-Identifier: Apache-2.0 */
/* What an architecture gives the library and the tests: boot information, console, clock,
 * interrupts, CPUs, exit. */
#ifndef FIRMWARE_PLATFORM_H
#define FIRMWARE_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define MEMORY_MAP_MAX  32
#define MEMORY_MAP_RAM  1 /* the type number of usable RAM; others are reserved in some way */
#define BOOT_MODULE_MAX 8

struct memory_map_entry {
	uint64_t gpa;
	uint64_t size_bytes;
	uint32_t type;
};

struct boot_module {
	uint64_t gpa;
	uint64_t size_bytes;
	const char *command_line;
};

/* Copied from what the loader gave before anything else runs. */
struct boot_info {
	char command_line[512];
	uint64_t rsdp_gpa; /* 0: not told */
	unsigned int memory_map_count;
	struct memory_map_entry memory_map[MEMORY_MAP_MAX];
	unsigned int module_count;
	struct boot_module modules[BOOT_MODULE_MAX];
	uint64_t loader_info_gpa; /* the loader's own structure */
};

extern struct boot_info boot_info;

/* Start and end of the program, stacks and tables included; page aligned. */
extern char firmware_start[], firmware_end[];

/* Every program has one. Returning from it prints the summary and ends the guest with the verdict.
 */
void test_main(void);

/* console: polled, one byte at a time; getc returns -1 when nothing has come */
void platform_putc(char c);
int platform_getc(void);
/* Its 16550's registers, 0 to 7, and its interrupt, routed to this vector. */
uint8_t platform_uart_read(unsigned int reg);
void platform_uart_write(unsigned int reg, uint8_t value);
int platform_uart_route(int vector);

/* Ends the guest with this value at the debug-exit port, or, where there is none, with a last line
 * "EXIT: STATUS=n" that says what the status would be behind one; never returns. */
_Noreturn void platform_exit(uint8_t value);
/* Stops this CPU for ever. */
_Noreturn void platform_halt(void);

/* Monotonic, coarse. */
uint64_t clock_ns(void);
void delay_us(unsigned int us);

static inline void compiler_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

void cpu_relax(void);
/* Orders this CPU's earlier writes before its later reads, as other CPUs and devices see them. */
void memory_barrier(void);

/*
 * Interrupts. A handler runs with interrupts off on the interrupted CPU's stack. Vectors are handed
 * out in order and never given back; -1 when none is left. They arrive at the boot CPU.
 */
typedef void (*irq_handler)(void *opaque);
int irq_vector_alloc(irq_handler handler, void *opaque);
/* Whether the machine takes interrupts as messages (MSI) at all. */
bool irq_has_messages(void);
/* The message (address, data) that raises the vector. */
void irq_message(int vector, uint64_t *ret_gpa, uint32_t *ret_data);
/* Routes a GSI to the vector; level: active until acknowledged at the device. */
int irq_route_gsi(unsigned int gsi, int vector, bool level);
void irq_mask_gsi(unsigned int gsi);
void irq_enable(void);
void irq_disable(void);

/* How long something that must come is waited for: only a test that fails ever waits that long, so
 * no host is too busy for it. */
#define WAIT_MAX_MS 20000

/* Waits until *counter is at least target, with interrupts on. False after WAIT_MAX_MS. */
bool wait_for_count(const volatile unsigned int *counter, unsigned int target);

/* Makes [gpa, gpa + size_bytes) reachable at the same address (the first 4 GiB always are). */
void platform_map(uint64_t gpa, uint64_t size_bytes);

/*
 * What the machine's own description says where there is no ACPI: 0 and false where ACPI is all
 * there is. The area where an RSDP may lie; a few words for people.
 */
bool platform_rsdp_area(uint64_t *ret_start, uint64_t *ret_end);
unsigned int platform_cpu_count(void);
uint32_t platform_cpu_id(unsigned int index);
uint64_t platform_ecam_gpa(void);
/* The index-th place where a virtio-mmio device may be; gsi 0: not told. */
bool platform_virtio_mmio_slot(unsigned int index, uint64_t *ret_gpa, uint32_t *ret_gsi);
void platform_describe(char *buf, size_t size_bytes);

/* Where memory BARs that have no place yet may go, and the GSI of a function's interrupt pin (0 or
 * 0xff: none). */
uint64_t platform_pci_window_gpa(void);
uint32_t platform_pci_gsi(uint16_t bdf);

/* PCI configuration space without ECAM; all-ones where the architecture has no such way. */
bool platform_has_legacy_pci(void);
uint32_t platform_pci_read(uint16_t bdf, unsigned int offset, unsigned int size_bytes);
void platform_pci_write(uint16_t bdf, unsigned int offset, unsigned int size_bytes, uint32_t value);

/*
 * Starts another CPU, by its hardware id, in entry(index), index counting from 0 in the order they
 * come up; the CPU halts when entry returns. Returns false when it did not answer within seconds.
 */
bool cpu_start(uint32_t hardware_id, void (*entry)(unsigned int index));
/* The hardware id of the CPU this runs on. */
uint32_t cpu_hardware_id(void);

/* Orderly power-off, and reset by each way the platform has; return only when nothing happened. */
void platform_power_off(void);

#endif
