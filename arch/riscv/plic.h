/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A platform-level interrupt controller with the registers of SiFive's (RISC-V PLIC specification
 * 1.0.0), for hosts whose KVM has no interrupt controller. One context a hart: supervisor mode.
 * Pure but for its lock: what a context's line does goes through a callback.
 *
 * Any thread; one lock, taken behind the irq router's and held during the callback.
 */
#ifndef ARCH_RISCV_PLIC_H
#define ARCH_RISCV_PLIC_H

#include "ebb/bus.h"
#include "ebb/config.h"
#include "ebb/types.h"

#define PLIC_CONTEXTS_MAX VM_CPUS_MAX
#define PLIC_SOURCES_MAX  128 /* with source 0, which is none */
#define PLIC_BYTES        (UINT64_C(0x200000) + PLIC_CONTEXTS_MAX * UINT64_C(0x1000))

struct plic;

/* The external interrupt of a context is to be pending, or not. */
typedef void (*plic_output_fn)(void *ctx, unsigned int context, bool level);

/* -ENOMEM. context_count and source_count (with source 0) are at most the limits. */
EBB_MUST_CHECK int plic_create(unsigned int context_count, unsigned int source_count,
                               plic_output_fn output, void *output_ctx, struct plic **ret_plic);
void plic_destroy(struct plic *plic);

/* The level of a source's wire. Sources that are not there are ignored. */
void plic_set_level(struct plic *plic, unsigned int source, bool level);

/* Registers as at power-on; wires keep their levels. */
void plic_reset(struct plic *plic);

/* Registers, at offsets from PLIC's base; ctx is the struct plic. Aligned accesses of 4 bytes. */
extern const struct bus_ops plic_bus_ops;

#endif
