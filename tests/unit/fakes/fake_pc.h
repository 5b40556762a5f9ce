/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM by hand for tests of platform devices: real buses, interrupt router, guest memory and loop
 * over the fakes of KVM, architecture, VM and console (`fakes: fake_pc fake_kvm fake_arch fake_vm
 * fake_console`).
 */
#ifndef FAKE_PC_H
#define FAKE_PC_H

#include "ebb/device.h"
#include "ebb/vm.h"

#define FAKE_PC_RAM_BYTES (4 * MIB)

struct fake_pc {
	struct vm vm;
	struct vm_config config;
};

/* 3 vCPUs and FAKE_PC_RAM_BYTES at 0, console on the serial port. Clears the fakes. */
void fake_pc_create(struct fake_pc *pc);
/* Destroys the devices first; asserts that nothing of KVM's is left. */
void fake_pc_destroy(struct fake_pc *pc);

/* Creates a device with its defaults. */
struct device *fake_pc_add(struct fake_pc *pc, const char *class_name);

/* Tries to create it with something else at that port: must fail, leave nothing, and say why. */
void fake_pc_add_refused(struct fake_pc *pc, const char *class_name, uint16_t occupied_port);

/* A guest's port accesses. */
uint32_t fake_pc_in(struct fake_pc *pc, uint16_t port, unsigned int size_bytes);
void fake_pc_out(struct fake_pc *pc, uint16_t port, uint32_t value, unsigned int size_bytes);

#define pc_inb(pc, port)         ((uint8_t)fake_pc_in(pc, port, 1))
#define pc_inw(pc, port)         ((uint16_t)fake_pc_in(pc, port, 2))
#define pc_inl(pc, port)         fake_pc_in(pc, port, 4)
#define pc_outb(pc, port, value) fake_pc_out(pc, port, value, 1)
#define pc_outw(pc, port, value) fake_pc_out(pc, port, value, 2)
#define pc_outl(pc, port, value) fake_pc_out(pc, port, value, 4)

#endif
