/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID: what KVM supports, with this VM's topology. (Intel SDM volume 2A, CPUID; AMD APM volume 3,
 * appendix E.) */
/*
 * DOC: Topology
 *
 * Packages of cores with one thread each, as topology.c packs them. The same is told wherever a
 * guest may look: leaf 1 (HTT, logical count), 4 and 0x8000001D (who shares a cache: the last level
 * is shared by all, the others by none), 0xB and 0x1F, 0x80000008, 0x8000001E. The host's own
 * numbers in these leaves are never passed on. Leaf 0x80000026 is dropped: 0xB says the same.
 *
 * All else is KVM's answer, features of the PMU and of nested virtualisation included. KVM does not
 * name the TSC deadline timer there, because it is the in-kernel LAPIC's: it is added where KVM has
 * it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "x86.h"

#define CPUID_ENTRIES_MAX  256
#define CPUID_ENTRIES_ROOM 8 /* leaves that are added */

#define LEAF1_ECX_X2APIC       (1U << 21)
#define LEAF1_ECX_TSC_DEADLINE (1U << 24)
#define LEAF1_ECX_OSXSAVE      (1U << 27)
#define LEAF1_ECX_HYPERVISOR   (1U << 31)
#define LEAF1_EDX_HTT          (1U << 28)
#define LEAF81_ECX_CMP_LEGACY  (1U << 1)

#define TOPOLOGY_LEVEL_THREAD 1
#define TOPOLOGY_LEVEL_CORE   2

#define CACHE_LEVEL_LAST 3

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function)
			return &cpuid->entries[i];
	return NULL;
}

static void drop(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function != function)
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->nent = kept;
}

static void append(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *entry)
{
	cpuid->entries[cpuid->nent++] = *entry;
}

static void set_leaf_1(struct kvm_cpuid_entry2 *entry, const struct x86_package *package,
                       bool tsc_deadline)
{
	unsigned int ids = 1U << package->id_bits;

	entry->ebx = (entry->ebx & 0x0000ffff) | ids << 16;
	entry->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC;
	entry->ecx &= ~(LEAF1_ECX_OSXSAVE | LEAF1_ECX_TSC_DEADLINE);
	if (tsc_deadline)
		entry->ecx |= LEAF1_ECX_TSC_DEADLINE;
	entry->edx &= ~LEAF1_EDX_HTT;
	if (package->cpus > 1)
		entry->edx |= LEAF1_EDX_HTT;
}

/* Leaf 4 (has_core_ids) and 0x8000001D: EAX holds type, level and, less one each, how many ids
 * share it and how many the package has. */
static void set_cache_leaf(struct kvm_cpuid_entry2 *entry, const struct x86_package *package,
                           bool has_core_ids)
{
	unsigned int ids = 1U << package->id_bits;
	unsigned int level = entry->eax >> 5 & 0x7;
	unsigned int sharing = level >= CACHE_LEVEL_LAST ? ids : 1;

	if (!(entry->eax & 0x1f))
		return;
	entry->eax &= has_core_ids ? 0x00003fff : 0xfc003fff;
	entry->eax |= (sharing - 1) << 14;
	if (has_core_ids)
		entry->eax |= (min_u64(ids, 64) - 1) << 26;
}

static void add_topology_leaf(struct kvm_cpuid2 *cpuid, uint32_t function,
                              const struct x86_package *package)
{
	struct kvm_cpuid_entry2 entry = {
		.function = function,
		.index = 0,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.ebx = 1,
		.ecx = TOPOLOGY_LEVEL_THREAD << 8,
	};

	drop(cpuid, function);
	append(cpuid, &entry);
	entry.index = 1;
	entry.eax = package->id_bits;
	entry.ebx = package->cpus;
	entry.ecx = TOPOLOGY_LEVEL_CORE << 8 | 1;
	append(cpuid, &entry);
	entry.index = 2;
	entry.eax = entry.ebx = 0;
	entry.ecx = 2;
	append(cpuid, &entry);
}

/* AMD's and Hygon's leaves; Intel's CPUs have no topology in 0x80000008 and no other of these. */
static void set_amd_leaves(struct kvm_cpuid2 *cpuid, const struct x86_package *package)
{
	struct kvm_cpuid_entry2 *entry = find(cpuid, 0x80000001);

	if (entry) {
		entry->ecx &= ~LEAF81_ECX_CMP_LEGACY;
		if (package->cpus > 1)
			entry->ecx |= LEAF81_ECX_CMP_LEGACY;
	}
	entry = find(cpuid, 0x80000008);
	if (entry)
		entry->ecx = (entry->ecx & ~0xf0ffU) | package->id_bits << 12 | (package->cpus - 1);
	drop(cpuid, 0x80000026);
}

static bool is_amd(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *entry = find(cpuid, 0);
	char vendor[12];

	if (!entry)
		return false;
	memcpy(vendor, &entry->ebx, 4);
	memcpy(vendor + 4, &entry->edx, 4);
	memcpy(vendor + 8, &entry->ecx, 4);
	return !memcmp(vendor, "AuthenticAMD", 12) || !memcmp(vendor, "HygonGenuine", 12);
}

int x86_cpuid_set_topology(struct kvm_cpuid2 *cpuid, const struct x86_package *package,
                           bool tsc_deadline, struct error *err)
{
	const struct kvm_cpuid_entry2 *highest = find(cpuid, 0);

	if (package->cpus < 1 || package->cpus > X86_XAPIC_IDS_MAX)
		return error_set(err, -EINVAL, "--cpus %u: APIC ids above %u are not supported",
		                 package->cpus, X86_XAPIC_IDS_MAX - 1);
	if (!highest || !find(cpuid, 1))
		return error_set(err, -ENOTSUP, "KVM_GET_SUPPORTED_CPUID: leaf %d is missing",
		                 highest ? 1 : 0);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1)
			set_leaf_1(entry, package, tsc_deadline);
		else if (entry->function == 4)
			set_cache_leaf(entry, package, true);
		else if (entry->function == 0x8000001d)
			set_cache_leaf(entry, package, false);
	}
	if (is_amd(cpuid))
		set_amd_leaves(cpuid, package);
	if (find(cpuid, 0)->eax >= 0xb)
		add_topology_leaf(cpuid, 0xb, package);
	if (find(cpuid, 0)->eax >= 0x1f)
		add_topology_leaf(cpuid, 0x1f, package);
	return 0;
}

void x86_cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, const struct x86_package *package,
                           unsigned int apic_id)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 0x1:
			entry->ebx = (entry->ebx & 0x00ffffff) | apic_id << 24;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = apic_id;
			break;
		case 0x8000001e:
			entry->eax = apic_id;
			entry->ebx = apic_id & 0xff;              /* core id; one thread a core */
			entry->ecx = apic_id >> package->id_bits; /* node: the package's only */
			break;
		}
	}
}

static size_t cpuid_bytes(uint32_t count)
{
	return sizeof(struct kvm_cpuid2) + count * sizeof(struct kvm_cpuid_entry2);
}

int x86_cpuid_create(struct kvm *kvm, const struct x86_package *package,
                     struct kvm_cpuid2 **ret_cpuid, struct error *err)
{
	struct kvm_cpuid2 *cpuid = calloc(1, cpuid_bytes(CPUID_ENTRIES_MAX + CPUID_ENTRIES_ROOM));
	bool tsc_deadline;
	int rc;

	if (!cpuid)
		return error_set_errno(err, -ENOMEM, "CPUID");
	cpuid->nent = CPUID_ENTRIES_MAX;
	rc = kvm_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (rc < 0) {
		error_set_errno(err, rc, "KVM_GET_SUPPORTED_CPUID");
		goto free_cpuid;
	}
	if (cpuid->nent > CPUID_ENTRIES_MAX) {
		rc = error_set(err, -E2BIG, "KVM_GET_SUPPORTED_CPUID: %u entries, the limit is %u",
		               cpuid->nent, CPUID_ENTRIES_MAX);
		goto free_cpuid;
	}
	tsc_deadline = kvm_check_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	rc = x86_cpuid_set_topology(cpuid, package, tsc_deadline, err);
	if (rc)
		goto free_cpuid;
	*ret_cpuid = cpuid;
	return 0;

free_cpuid:
	free(cpuid);
	return rc;
}

int x86_cpuid_apply(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid,
                    const struct x86_package *package, unsigned int apic_id, struct error *err)
{
	size_t bytes = cpuid_bytes(cpuid->nent);
	struct kvm_cpuid2 *own = malloc(bytes);
	int rc;

	if (!own)
		return error_set_errno(err, -ENOMEM, "CPUID");
	memcpy(own, cpuid, bytes);
	x86_cpuid_set_apic_id(own, package, apic_id);
	rc = kvm_vcpu_ioctl(vcpu, KVM_SET_CPUID2, own);
	free(own);
	return rc < 0 ? error_set_errno(err, rc, "KVM_SET_CPUID2") : 0;
}

unsigned int x86_cpuid_physical_bits(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000008)
			return cpuid->entries[i].eax & 0xff;
	return 36;
}

enum x86_nested x86_cpuid_nested(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		if (entry->function == 1 && entry->ecx & 1U << 5)
			return X86_NESTED_VMX;
		if (entry->function == 0x80000001 && entry->ecx & 1U << 2)
			return X86_NESTED_SVM;
	}
	return X86_NESTED_NONE;
}
