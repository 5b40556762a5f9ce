/* SPDX-License-Identifier: Apache-2.0 */
/* What the x86 parts share, and what x86-only tests may use beside platform.h. */
#ifndef FIRMWARE_X86_PLATFORM_X86_H
#define FIRMWARE_X86_PLATFORM_X86_H

#include <stdint.h>

#define PORT_SERIAL     0x3f8
#define PORT_DEBUG_EXIT 0xf4

/* What multiboot's entry found (boot_multiboot.S); the last is a word above 3 GiB read through DS,
 * ES and SS. */
struct entry_state {
	uint32_t eax, ebx, cr0, esp, cs, ds, es, ss, eflags;
	uint32_t high_word[3];
};
extern const struct entry_state entry_state;

/* boot_pvh_info.c or boot_multiboot_info.c, whichever is linked: fills boot_info. */
void boot_info_load(uint32_t argument);
/* "" or one sentence on what is wrong with the loader's structure. */
extern const char *boot_info_problem;

/* Builds the table of gates and loads it; the other CPUs only load it. */
void traps_init(void);
void traps_load(void);
/* Makes an interrupt controller ready on the CPU it runs on. */
void lapic_enable(void);
uint32_t lapic_read(unsigned int reg);
void lapic_write(unsigned int reg, uint32_t value);

void boot_main(uint32_t argument);
void ap_main(unsigned int index);

/* Starts every other CPU at once: INIT and SIPI to all but self; entry as in cpu_start(). */
void cpu_start_broadcast(uint8_t page_vector, void (*entry)(unsigned int index));

/* Time stamp counter ticks a millisecond, measured once against the PIT. */
uint64_t tsc_khz(void);

#endif
