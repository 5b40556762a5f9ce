/* SPDX-License-Identifier: Apache-2.0 */
/* An architecture in memory, for tests of the engine: stands in for arch/ (`fakes: fake_arch`). */
#ifndef FAKE_ARCH_H
#define FAKE_ARCH_H

#include "ebb/arch.h"

#define FAKE_ARCH_PINS 24

void fake_arch_reset(void);

/* The Nth call from now that can fail answers code. */
void fake_arch_fail_nth(unsigned int n, int code);
void fake_arch_fail_never(void);
bool fake_arch_has_failed(void);

/* What arch_vcpu_handle_exit answers; without a hook VCPU_CONTINUE, VCPU_EXIT_OTHER. */
typedef enum vcpu_verdict (*fake_arch_exit_fn)(struct vcpu *vcpu, enum vcpu_exit *ret_exit);
void fake_arch_set_exit_hook(fake_arch_exit_fn hook);

void fake_arch_set_msi(bool has_msi); /* true after fake_arch_reset */

/* Where arch_memory_map says that device memory begins; 0, as after fake_arch_reset: on the next
 * GiB behind RAM, which begins at 0. */
void fake_arch_set_device_memory(gpa_t gpa);

unsigned int fake_arch_reset_count(unsigned int vcpu_index); /* arch_vcpu_reset */
unsigned int fake_arch_dump_count(void);
bool fake_arch_level(unsigned int gsi);
unsigned int fake_arch_level_sets(unsigned int gsi);

#endif
