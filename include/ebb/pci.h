/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PCI host bridge with one bus: configuration space by ECAM and CF8/CFC, BARs, capabilities,
 * MSI-X, INTx.
 *
 * Conventional PCI 3.0 configuration space with the PCI Express ECAM window. The bridge is device
 * 0; functions are numbered in order of creation, from device 1, function 0. BARs are assigned and
 * decoding before the guest runs; a guest may move them.
 *
 * Threads: config space and BAR accesses come on vCPU threads. A function has two locks: `lock`
 * around its configuration space and bar_mapped, and below it `interrupt_lock`, which is held for
 * moments only and may be taken with guest memory's lock held. BAR accesses run with neither.
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

#define PCI_SLOTS_MAX        32
#define PCI_BARS_MAX         6
#define PCI_CONFIG_BYTES     256 /* header and capabilities; the rest of 4 KiB reads as 0 */
#define PCI_MSIX_VECTORS_MAX 128 /* one page of table and pending bits */

/* Port BARs come from here (where there are ports). */
#define PCI_IO_WINDOW_BASE  0xc000
#define PCI_IO_WINDOW_BYTES 0x1000

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

/* The bridge's own configuration space and the CF8 latch as after power-on; functions are reset by
 * their devices. Every vCPU paused. */
void pci_host_reset(struct pci_host *host);

/* BARs that the guest put where something else is: they are not mapped until the place is free. */
uint64_t pci_host_overlap_count(const struct pci_host *host);

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
	/* MSI-X went on or off. Under the function's lock. May be NULL. */
	void (*msix_switched)(struct pci_function *function);
	/* A config access to writable bytes of a capability (pci_add_capability with a mask). No
	 * lock is held. May be NULL. read: before the value is taken. write: after the bytes
	 * changed. offset is absolute. */
	void (*config_read)(struct pci_function *function, unsigned int offset,
	                    unsigned int size_bytes);
	void (*config_write)(struct pci_function *function, unsigned int offset,
	                     unsigned int size_bytes);
};

struct pci_bar {
	uint64_t size_bytes; /* 0: none */
	gpa_t gpa;           /* where it is on the bus now, if mapped */
	bool mapped, is_64bit, is_io;
	const struct bus_ops *bus_ops;
	void *ctx;
};

struct pci_function { /* embedded in a device's own struct; fields are pci's */
	struct vm *vm;
	struct pci_host *host;
	const struct pci_function_ops *ops;
	unsigned int slot;
	pthread_mutex_t lock; /* the bytes, BARs */
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t config_initial[PCI_CONFIG_BYTES];     /* as after power-on */
	uint8_t config_writable[PCI_CONFIG_BYTES];    /* mask of bits that the guest may write */
	bool config_watched[PCI_CONFIG_BYTES / 4];    /* dwords that ops want to see */
	unsigned int capability_last, capability_end; /* offsets; 0: none yet */
	struct pci_bar bars[PCI_BARS_MAX];
	pthread_mutex_t interrupt_lock; /* the rest */
	struct pci_msix *msix;
	struct irq_line *intx;
	bool intx_level, intx_disabled;
};

/* Zeroed by the caller. On failure everything is undone. */
EBB_MUST_CHECK int pci_function_init(struct pci_function *function, struct vm *vm,
                                     const struct pci_identity *identity,
                                     const struct pci_function_ops *ops, struct error *err);
void pci_function_fini(struct pci_function *function); /* a zeroed one is fine */

/*
 * size_bytes: a power of two, at least 4 KiB for memory (16 for ports). Assigned from the host's
 * window at once, and mapped. A memory BAR above 16 MiB is a 64-bit one, and takes two indexes,
 * where the layout has such a window. -ENOSPC: the window is full.
 */
EBB_MUST_CHECK int pci_add_memory_bar(struct pci_function *function, unsigned int bar,
                                      uint64_t size_bytes, const struct bus_ops *bus_ops, void *ctx,
                                      struct error *err);
EBB_MUST_CHECK int pci_add_io_bar(struct pci_function *function, unsigned int bar,
                                  uint64_t size_bytes, const struct bus_ops *bus_ops, void *ctx,
                                  struct error *err);

/*
 * Appends a capability (header included in bytes; next pointer is filled in); returns its offset or
 * -ENOSPC. writable: the bits that the guest may write, size_bytes of them, watched by the
 * function's ops; NULL: none.
 */
EBB_MUST_CHECK int pci_add_capability(struct pci_function *function, const void *bytes,
                                      const uint8_t *writable, size_t size_bytes);

/* Bytes of configuration space, whatever the guest may write. Takes the function's lock. */
void pci_config_get(struct pci_function *function, unsigned int offset, void *data,
                    size_t size_bytes);
void pci_config_set(struct pci_function *function, unsigned int offset, const void *data,
                    size_t size_bytes);

/* MSI-X with its table and pending bits in a BAR of its own. Vectors are irq vectors. */
EBB_MUST_CHECK int pci_add_msix(struct pci_function *function, unsigned int bar,
                                unsigned int vector_count, struct error *err);

/* Sends vector `index` (none when out of range) if MSI-X is on, else false: INTx is to be used. Any
 * thread; one write(2). */
bool pci_msix_trigger(struct pci_function *function, unsigned int index);

/* The eventfd that sends a vector, for vhost; owned by the vector. -ENOTSUP: MSI-X is off, or no
 * such vector. */
int pci_msix_fd(struct pci_function *function, unsigned int index);

/* INTx, level; held back while the guest set Interrupt Disable or MSI-X is on. Sets the status bit.
 * Any thread. */
void pci_set_intx(struct pci_function *function, bool level);

/* As after power-on: command, MSI-X table and control, BARs back to their first places. Every vCPU
 * paused. */
void pci_function_reset(struct pci_function *function);

#endif
