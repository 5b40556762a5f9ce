/* SPDX-License-Identifier: Apache-2.0 */
/* How vCPUs are numbered and packed: one package, or one a NUMA node. Pure. */
/*
 * DOC: APIC ids
 *
 * Without nodes, or with vCPUs in one of them alone, there is one package and the APIC id is the
 * vCPU's index. Else each node's vCPUs are a package: a guest that is told that two CPUs share a
 * cache or a package does not believe that they are in different nodes. An APIC id is then the
 * package's number above id_bits bits of a core's; packages are numbered by their first vCPU, so
 * that vCPU 0 has 0, which KVM boots.
 *
 * Linux takes the CPUs of AMD's family 17h that share all but the lowest three bits for a core
 * complex, whatever CPUID says: three bits are the least where ids suffice.
 */
#include "topology.h"

#define CORE_COMPLEX_BITS 3

static unsigned int bits_of(unsigned int count)
{
	unsigned int bits = 0;

	while ((1U << bits) < count)
		bits++;
	return bits;
}

/* A node's vCPUs that there are. */
static uint64_t cpus_of(const struct vm_config *config, size_t node)
{
	uint64_t all = config->cpu_count < 64 ? (UINT64_C(1) << config->cpu_count) - 1 : UINT64_MAX;

	return config->numa.nodes[node].cpus & all;
}

struct x86_package x86_topology_package(const struct vm_config *config)
{
	const struct x86_package one = { .cpus = config->cpu_count,
		                         .id_bits = bits_of(config->cpu_count) };
	struct x86_package package = { .cpus = 0 };
	unsigned int packages = 0;

	for (size_t node = 0; node < config->numa.node_count; node++) {
		unsigned int cpus = (unsigned int)__builtin_popcountll(cpus_of(config, node));

		packages += cpus > 0;
		package.cpus = cpus > package.cpus ? cpus : package.cpus;
	}
	if (packages < 2)
		return one;
	package.id_bits = bits_of(package.cpus);
	if (package.id_bits < CORE_COMPLEX_BITS &&
	    packages << CORE_COMPLEX_BITS < X86_XAPIC_IDS_MAX)
		package.id_bits = CORE_COMPLEX_BITS;
	return packages << package.id_bits < X86_XAPIC_IDS_MAX ? package : one;
}

/* The node's place among those with vCPUs, by their first one. */
static unsigned int package_number(const struct vm_config *config, size_t node)
{
	int first = __builtin_ctzll(cpus_of(config, node));
	unsigned int number = 0;

	for (size_t i = 0; i < config->numa.node_count; i++) {
		uint64_t cpus = cpus_of(config, i);

		number += cpus && __builtin_ctzll(cpus) < first;
	}
	return number;
}

unsigned int x86_topology_apic_id(const struct vm_config *config, unsigned int cpu)
{
	struct x86_package package = x86_topology_package(config);

	if (package.cpus == config->cpu_count)
		return cpu;
	for (size_t node = 0; node < config->numa.node_count; node++) {
		uint64_t cpus = cpus_of(config, node);
		uint64_t before = cpus & ((UINT64_C(1) << cpu) - 1);

		if (cpus >> cpu & 1)
			return package_number(config, node) << package.id_bits |
			       (unsigned int)__builtin_popcountll(before);
	}
	return cpu; /* not reached: each vCPU is in a node */
}
