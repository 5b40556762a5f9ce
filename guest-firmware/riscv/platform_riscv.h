/* SPDX-License-Identifier: Apache-2.0 */
/* What the RISC-V parts share, and what RISC-V-only tests may use beside platform.h. */
#ifndef FIRMWARE_RISCV_PLATFORM_RISCV_H
#define FIRMWARE_RISCV_PLATFORM_RISCV_H

#include "fdt.h"
#include "platform.h"
#include <stdbool.h>
#include <stdint.h>

/* What start.S found; where_gpa: where the program's first byte lies. */
struct entry_state {
	uint64_t a0, a1, sstatus, satp, where_gpa;
};
extern const struct entry_state entry_state;

#define SSTATUS_SIE 0x2

void boot_main(uint64_t hart_id, uint64_t fdt_gpa);
void ap_main(unsigned int index);
extern const char ap_start[], trap_entry[];

/* Fills boot_info; returns "" or one sentence on what is wrong with the tree. */
const char *boot_info_load(uint64_t fdt_gpa);

/* Finds the console's UART; before it the SBI is written to. */
void console_init(void);
/* 0 when there is none. */
uint64_t console_gpa(void);

/* SBI calls (RISC-V Supervisor Binary Interface 2.0). */
#define SBI_BASE         0x10
#define SBI_TIME         0x54494d45
#define SBI_IPI          0x735049
#define SBI_RFENCE       0x52464e43
#define SBI_HSM          0x48534d
#define SBI_SRST         0x53525354
#define SBI_DBCN         0x4442434e
#define SBI_OLD_PUTCHAR  1
#define SBI_OLD_GETCHAR  2
#define SBI_OLD_SHUTDOWN 8

#define SBI_BASE_PROBE 3

#define SBI_HSM_START  0
#define SBI_HSM_STOP   1
#define SBI_HSM_STATUS 2

#define SBI_DBCN_WRITE      0
#define SBI_DBCN_READ       1
#define SBI_DBCN_WRITE_BYTE 2

#define SBI_SRST_SHUTDOWN      0
#define SBI_SRST_COLD_REBOOT   1
#define SBI_SRST_WARM_REBOOT   2
#define SBI_SRST_NO_REASON     0
#define SBI_SRST_SYSTEM_FAILED 1

#define SBI_SUCCESS           0
#define SBI_NOT_SUPPORTED     (-2)
#define SBI_INVALID_PARAM     (-3)
#define SBI_ALREADY_AVAILABLE (-6)

struct sbi_result {
	int64_t error, value;
};
struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1,
                           uint64_t a2);
bool sbi_has(uint64_t extension);

/* The timer interrupt of this hart at a value of the time register; ~0 for never. */
uint64_t clock_ticks(void);
uint64_t clock_hz(void);
void timer_set(uint64_t at_ticks);

/* Timer and software interrupts of this hart go to these, external ones too instead of to the
 * controller; NULL turns them off. */
#define LOCAL_SOFTWARE 1
#define LOCAL_TIMER    5
#define LOCAL_EXTERNAL 9
void irq_local_handler(unsigned int cause, irq_handler handler, void *opaque);

void traps_load(void);

/*
 * An exception at the access that follows is expected: trap_caught() ends that and returns its
 * cause, or -1 when none came. The instruction is skipped.
 */
void trap_expect(void);
int trap_caught(void);

/* One of the two is there, or neither. */
struct irq_controller {
	const char *name;
	bool messages;
	void (*take)(void); /* one external interrupt, claimed, handled and completed */
	void (*message)(int vector, uint64_t *ret_gpa, uint32_t *ret_data);
	int (*route)(unsigned int gsi, int vector, bool level);
	void (*mask)(unsigned int gsi);
};
const struct irq_controller *aia_open(void);
const struct irq_controller *plic_open(void);
const char *irq_controller_name(void);
void irq_init(void);
void irq_run(unsigned int vector);
#define IRQ_VECTOR_MAX 63

/* The phandle of a hart's own interrupt controller; 0 when the tree has none. */
uint32_t hart_intc_phandle(uint64_t hart_id);
/* The place of (phandle, cause) in a controller's interrupts-extended, or -1. */
int interrupts_extended_index(const struct fdt_node *node, uint32_t phandle, uint32_t cause);

#endif
