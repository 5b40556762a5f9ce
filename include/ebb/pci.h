/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI host bridge with one bus: configuration space by ECAM and CF8/CFC, BARs, capabilities,
 * MSI-X, INTx.
 *
 * Conventional PCI 3.0 configuration space with the PCI Express ECAM window. Functions are numbered
 * in order of creation, from device 1, function 0. BARs are assigned and decoding before the guest
 * runs; a guest may move them.
 *
 * Threads: config space and BAR accesses come on vCPU threads; each function has one lock, held by
 * the bridge around config accesses and the hooks below, not around BAR accesses.
 */
#ifndef EBB_PCI_H
#define EBB_PCI_H

#include <pthread.h>

#include "ebb/bus.h"
#include "ebb/error.h"
#include "ebb/irq.h"
#include "ebb/types.h"

struct vm;
struct pci_host;
struct pci_function;

#define PCI_SLOTS_MAX 32
#define PCI_BARS_MAX  6

struct pci_host_layout { /* the architecture's */
	gpa_t ecam_gpa;  /* 1 MiB for the one bus, 1 MiB aligned */
	gpa_t mmio32_gpa, mmio64_gpa;
	uint64_t mmio32_bytes, mmio64_bytes; /* mmio64_bytes may be 0 */
	bool has_io_ports;                   /* CF8/CFC */
	unsigned int intx_gsis[4]; /* INTA to INTD, swizzled by slot: pin (slot + pin) % 4 */
};

EBB_MUST_CHECK int pci_host_create(struct vm *vm, const struct pci_host_layout *layout,
                                   struct pci_host **ret_host, struct error *err);
void pci_host_destroy(struct pci_host *host);
const struct pci_host_layout *pci_host_layout(const struct pci_host *host);

struct pci_identity {
	uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
};

struct pci_function_ops {
	/* BAR `bar` is now at gpa (enabled), or gone (enabled false): move ioeventfds. Under the
	 * function's lock. May be NULL. */
	void (*bar_mapped)(struct pci_function *function, unsigned int bar, gpa_t gpa,
	                   bool enabled);
	/* A config access in a capability that the function asked to see (pci_add_capability with
	 * watched). Under the lock. May be NULL. read: before the value is taken. write: after the
	 * bytes changed. offset is absolute. */
	void (*config_read)(struct pci_function *function, unsigned int offset,
	                    unsigned int size_bytes);
	void (*config_write)(struct pci_function *function, unsigned int offset,
	                     unsigned int size_bytes);
};

struct pci_function { /* embedded in a device's own struct; fields are pci's */
	struct vm *vm;
	struct pci_host *host;
	const struct pci_function_ops *ops;
	unsigned int slot;
	pthread_mutex_t lock;
	uint8_t config[256];          /* header and capabilities; the rest of 4 KiB reads as 0 */
	uint8_t config_writable[256]; /* mask of bits that the guest may write */
	uint8_t config_watched[256 / 8];
	unsigned int capability_end;
	struct {
		uint64_t size_bytes; /* 0: none */
		gpa_t gpa;           /* where it is on the bus now, if mapped */
		bool mapped, is_64bit, is_io;
		const struct bus_ops *bus_ops;
		void *ctx;
	} bars[PCI_BARS_MAX];
	struct pci_msix *msix;
	struct irq_line *intx;
};

EBB_MUST_CHECK int pci_function_init(struct pci_function *function, struct vm *vm,
                                     const struct pci_identity *identity,
                                     const struct pci_function_ops *ops, struct error *err);
void pci_function_fini(struct pci_function *function);

/* size_bytes: a power of two, at least 4 KiB for memory (16 for ports). Assigned from the host's
 * window at once. */
EBB_MUST_CHECK int pci_add_memory_bar(struct pci_function *function, unsigned int bar,
                                      uint64_t size_bytes, const struct bus_ops *bus_ops, void *ctx,
                                      struct error *err);
EBB_MUST_CHECK int pci_add_io_bar(struct pci_function *function, unsigned int bar,
                                  uint64_t size_bytes, const struct bus_ops *bus_ops, void *ctx,
                                  struct error *err);

/* Appends a capability (header included in bytes; next pointer is filled in); returns its offset or
 * -ENOSPC. */
EBB_MUST_CHECK int pci_add_capability(struct pci_function *function, const void *bytes,
                                      size_t size_bytes, bool watched);

/* MSI-X with its table and pending bits in a BAR of its own (exclusive). Vectors are irq vectors.
 */
EBB_MUST_CHECK int pci_add_msix(struct pci_function *function, unsigned int bar,
                                unsigned int vector_count, struct error *err);
bool pci_msix_is_enabled(struct pci_function *function);
struct irq_vector *pci_msix_vector(struct pci_function *function,
                                   unsigned int index); /* NULL: out of range */

/* INTx, level; ignored while the guest set Interrupt Disable or MSI-X is on. Sets the status bit.
 * Any thread. */
void pci_set_intx(struct pci_function *function, bool level);

/* As after power-on: command, MSI-X table and control, BARs back to their first places. Every vCPU
 * paused. */
void pci_function_reset(struct pci_function *function);

#endif
