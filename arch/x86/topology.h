/* SPDX-License-Identifier: Apache-2.0 */
/* Packages and APIC ids. Pure; of a configuration that vm_config_complete let pass. */
#ifndef ARCH_X86_TOPOLOGY_H
#define ARCH_X86_TOPOLOGY_H

#include "ebb/config.h"

#define X86_XAPIC_IDS_MAX 255 /* 0 to 254; 255 is the broadcast */

struct x86_package {
	unsigned int cpus;    /* in the largest */
	unsigned int id_bits; /* of an APIC id, that tell the CPUs of a package apart */
};

struct x86_package x86_topology_package(const struct vm_config *config);

/* Unique, and 0 for vCPU 0; below X86_XAPIC_IDS_MAX. */
unsigned int x86_topology_apic_id(const struct vm_config *config, unsigned int cpu);

#endif
