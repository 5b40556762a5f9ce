/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine: the rooms it is made of, and its life.
 *
 * struct vm is a visible list of pointers to rooms, each opaque, filled in the order of
 * src/machine.c and read-only once the VM runs. All state hangs off it; there is none in files.
 *
 * Life: created -> paused <-> running -> stopped. Requests (stop, reset, pause) may come from any
 * thread; the main loop carries them out: pause every vCPU, act, go on.
 *
 * THE LOCK ORDER. Take from the top to the bottom, never upwards; hold none while waiting for a
 * thread:
 *   1. device lock (a device's own mutex; PCI function lock)
 *   2. guest memory: its change lock; that of memory slots; its table's, shared or exclusive; that
 *      of unseen writers; a vhost's
 *   3. reclaim batch lock; in it, that of the trace, or of the refill thread, which takes no other
 *   4. struct virtio_device's lock: a queue's handler, which has 2, takes it
 *   5. bus lock
 *   6. interrupts: a transport's interrupt lock, a PCI function's, irq router lock
 *   7. event loop lock, console lock
 * event_loop_call counts as waiting for a thread.
 */
#ifndef EBB_VM_H
#define EBB_VM_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/list.h"
#include "ebb/types.h"

struct arch_vm;
struct balloon;
struct bus;
struct console;
struct event_loop;
struct guest_memory;
struct irq_router;
struct kvm;
struct kvm_vm;
struct memslots;
struct pci_host;
struct reclaim;
struct sandbox_user;
struct vcpu;
struct vm_life;
struct virtio_mmio_layout;

struct vm {
	const struct vm_config *config; /* borrowed */
	struct log *log;
	const struct sandbox_user *user; /* whom the machine's processes are to become, or NULL */
	bool sandboxed;                  /* threads made from now on enter the sandbox */
	int pid;                         /* ebb's own number, once that is so */
	struct event_loop *main_loop;    /* the process's first thread */
	struct event_loop *io_loop;      /* devices' data paths */
	struct event_loop *reclaim_loop; /* memory return */
	struct kvm *kvm;
	struct guest_memory *memory;
	struct reclaim *reclaim;
	struct kvm_vm *kvm_vm;
	struct memslots *memslots;
	struct arch_vm *arch; /* the architecture's own */
	struct irq_router *irq;
	struct bus *pio; /* NULL where the architecture has no ports */
	struct bus *mmio;
	struct vcpu **vcpus;
	unsigned int vcpu_count;
	struct console *console;
	const struct virtio_mmio_layout *virtio_mmio; /* set by the architecture; see virtio.h */
	struct pci_host *pci;                         /* NULL: no PCI */
	struct balloon *balloon;                      /* set by the device; NULL: none */
	struct list devices;                          /* struct device.node, in order of creation */
	struct vm_life *life;                         /* vm.c's own */
};

/* Why a VM ended. The exit status is in CLI terms; see vm_exit_status. */
enum vm_end {
	VM_END_NONE,
	VM_END_POWEROFF,     /* the guest, or the user through the guest: 0 */
	VM_END_STOPPED,      /* `ebb stop`, quit, Ctrl-A x, a signal: 0 */
	VM_END_EXPECTED,     /* --expect matched: 0 */
	VM_END_NO_REBOOT,    /* reboot asked for with --no-reboot: 0 */
	VM_END_TIMEOUT,      /* 124 */
	VM_END_HOST_FAILURE, /* 125 */
	VM_END_PANIC,        /* 126 */
	VM_END_VCPU_FATAL,   /* 127 */
	VM_END_DEBUG_EXIT,   /* (value << 1) | 1 */
};

EBB_MUST_CHECK int vm_life_create(struct vm *vm, struct error *err);
void vm_life_destroy(struct vm *vm);

/* Any thread. The first end wins; later ones are ignored. debug_exit_value only with
 * VM_END_DEBUG_EXIT. */
void vm_request_end(struct vm *vm, enum vm_end end, uint32_t debug_exit_value);

/* Any thread. Reset in place (or VM_END_NO_REBOOT). */
void vm_request_reset(struct vm *vm);

/*
 * Any thread. The guest's kernel panicked: VM_EVENT_GUEST_PANICKED, once; a reset asked for from
 * now on ends the VM with VM_END_PANIC instead (a kernel with panic=-1 reboots at once, and its
 * message is still being printed).
 */
void vm_note_panic(struct vm *vm);

/* Any thread. Wakes vm_listen callbacks with VM_EVENT_POWERDOWN: the architecture presses its power
 * button. */
void vm_request_powerdown(struct vm *vm);

/*
 * Main thread. 0 or -EALREADY. vCPUs stop; devices go on: what comes from outside meanwhile is
 * taken and written to buffers that the driver gave them, by ebb and by the kernel (vhost), as it
 * would be on a machine whose processor does nothing. Nobody may take a pause for a promise that
 * guest memory stays as it is; that is what a moment of quiet is for.
 */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm);

enum vm_state { VM_STATE_PAUSED, VM_STATE_RUNNING, VM_STATE_ENDED };
enum vm_state vm_state(const struct vm *vm);
int64_t vm_uptime_ns(const struct vm *vm);
enum vm_end vm_end(const struct vm *vm);
int vm_exit_status(const struct vm *vm);

/* Main thread: starts the vCPUs, runs the main loop until the VM ends, stops the vCPUs. Returns the
 * exit status. */
int vm_run(struct vm *vm);

/*
 * A moment of quiet: fn runs on the reclaim loop while every vCPU is paused, no handler of main or
 * io runs, nothing of a disk's is in flight and the kernel's vhost is held, so that nothing but fn
 * touches guest memory. The state stays what it was, and no event tells of it. Embedded by its
 * owner.
 *
 * Requesting it (any thread) again before it ran does nothing; it may do so itself. It does not
 * come any more once the VM is to end, nor when a reset came first: the reset is told to devices.
 * Cancelling: on the main thread; not running on return, and will not run.
 */
struct vm_quiet {
	struct event_work work;
	struct vm *vm;
	event_work_fn fn;
	void *ctx;
};

void vm_quiet_init(struct vm_quiet *quiet, struct vm *vm, event_work_fn fn, void *ctx);
void vm_quiet_request(struct vm_quiet *quiet);
void vm_quiet_cancel(struct vm_quiet *quiet);

/* Reads the images into memory again at a reset; set by machine.c, called with all vCPUs paused and
 * memory released. */
typedef int (*vm_reload_fn)(struct vm *vm, struct error *err);
void vm_set_reload(struct vm *vm, vm_reload_fn reload);

/* Events, to whoever listens (the control socket). */
enum vm_event {
	VM_EVENT_STOP, /* paused */
	VM_EVENT_RESUME,
	VM_EVENT_RESET,
	VM_EVENT_SHUTDOWN, /* value: enum vm_end */
	VM_EVENT_GUEST_PANICKED,
	VM_EVENT_BALLOON_CHANGE, /* value: actual guest memory, bytes */
	VM_EVENT_POWERDOWN,
	VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, /* of some memory device, or of several */
	VM_EVENT_RECLAIM_ENDED, /* value: guest memory that is resident no more, bytes */
	/* The kernel met an error in a queue that it works on, see vhost.h. value: the device's
	 * place in vm->devices, times VM_EVENT_VHOST_QUEUES, plus the queue. */
	VM_EVENT_VHOST_ERROR,
	VM_EVENT_COUNT
};

#define VM_EVENT_VHOST_QUEUES 256

struct vm_listener { /* owned by the listener */
	struct list node;
	void (*event)(struct vm_listener *listener, enum vm_event event, uint64_t value);
};

/* Main thread; callbacks run on the main thread. */
void vm_listen(struct vm *vm, struct vm_listener *listener);
void vm_unlisten(struct vm_listener *listener);

/* Any thread; of several with the same event before the main loop gets to it, the last value is
 * told. */
void vm_emit(struct vm *vm, enum vm_event event, uint64_t value);

#endif
