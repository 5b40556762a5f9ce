/* SPDX-License-Identifier: Apache-2.0 */
/* Names of instruction set extensions. */
#include "isa.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

/* In the order of an ISA string: single letters by convention, then Z… and S… by name. Those that
 * KVM has and this table does not are left out: the guest does without. */
static const struct extension {
	unsigned int number;
	const char *name;
} extensions[] = {
	{ KVM_RISCV_ISA_EXT_I, "i" },
	{ KVM_RISCV_ISA_EXT_M, "m" },
	{ KVM_RISCV_ISA_EXT_A, "a" },
	{ KVM_RISCV_ISA_EXT_F, "f" },
	{ KVM_RISCV_ISA_EXT_D, "d" },
	{ KVM_RISCV_ISA_EXT_C, "c" },
	{ KVM_RISCV_ISA_EXT_V, "v" },
	{ KVM_RISCV_ISA_EXT_H, "h" },
	{ KVM_RISCV_ISA_EXT_ZICBOM, "zicbom" },
	{ KVM_RISCV_ISA_EXT_ZICBOZ, "zicboz" },
	{ KVM_RISCV_ISA_EXT_ZICNTR, "zicntr" },
	{ KVM_RISCV_ISA_EXT_ZICOND, "zicond" },
	{ KVM_RISCV_ISA_EXT_ZICSR, "zicsr" },
	{ KVM_RISCV_ISA_EXT_ZIFENCEI, "zifencei" },
	{ KVM_RISCV_ISA_EXT_ZIHINTNTL, "zihintntl" },
	{ KVM_RISCV_ISA_EXT_ZIHINTPAUSE, "zihintpause" },
	{ KVM_RISCV_ISA_EXT_ZIHPM, "zihpm" },
	{ KVM_RISCV_ISA_EXT_ZIMOP, "zimop" },
	{ KVM_RISCV_ISA_EXT_ZACAS, "zacas" },
	{ KVM_RISCV_ISA_EXT_ZAWRS, "zawrs" },
	{ KVM_RISCV_ISA_EXT_ZFA, "zfa" },
	{ KVM_RISCV_ISA_EXT_ZFH, "zfh" },
	{ KVM_RISCV_ISA_EXT_ZFHMIN, "zfhmin" },
	{ KVM_RISCV_ISA_EXT_ZCA, "zca" },
	{ KVM_RISCV_ISA_EXT_ZCB, "zcb" },
	{ KVM_RISCV_ISA_EXT_ZCD, "zcd" },
	{ KVM_RISCV_ISA_EXT_ZCF, "zcf" },
	{ KVM_RISCV_ISA_EXT_ZCMOP, "zcmop" },
	{ KVM_RISCV_ISA_EXT_ZBA, "zba" },
	{ KVM_RISCV_ISA_EXT_ZBB, "zbb" },
	{ KVM_RISCV_ISA_EXT_ZBC, "zbc" },
	{ KVM_RISCV_ISA_EXT_ZBKB, "zbkb" },
	{ KVM_RISCV_ISA_EXT_ZBKC, "zbkc" },
	{ KVM_RISCV_ISA_EXT_ZBKX, "zbkx" },
	{ KVM_RISCV_ISA_EXT_ZBS, "zbs" },
	{ KVM_RISCV_ISA_EXT_ZKND, "zknd" },
	{ KVM_RISCV_ISA_EXT_ZKNE, "zkne" },
	{ KVM_RISCV_ISA_EXT_ZKNH, "zknh" },
	{ KVM_RISCV_ISA_EXT_ZKR, "zkr" },
	{ KVM_RISCV_ISA_EXT_ZKSED, "zksed" },
	{ KVM_RISCV_ISA_EXT_ZKSH, "zksh" },
	{ KVM_RISCV_ISA_EXT_ZKT, "zkt" },
	{ KVM_RISCV_ISA_EXT_ZTSO, "ztso" },
	{ KVM_RISCV_ISA_EXT_ZVBB, "zvbb" },
	{ KVM_RISCV_ISA_EXT_ZVBC, "zvbc" },
	{ KVM_RISCV_ISA_EXT_ZVFH, "zvfh" },
	{ KVM_RISCV_ISA_EXT_ZVFHMIN, "zvfhmin" },
	{ KVM_RISCV_ISA_EXT_ZVKB, "zvkb" },
	{ KVM_RISCV_ISA_EXT_ZVKG, "zvkg" },
	{ KVM_RISCV_ISA_EXT_ZVKNED, "zvkned" },
	{ KVM_RISCV_ISA_EXT_ZVKNHA, "zvknha" },
	{ KVM_RISCV_ISA_EXT_ZVKNHB, "zvknhb" },
	{ KVM_RISCV_ISA_EXT_ZVKSED, "zvksed" },
	{ KVM_RISCV_ISA_EXT_ZVKSH, "zvksh" },
	{ KVM_RISCV_ISA_EXT_ZVKT, "zvkt" },
	{ KVM_RISCV_ISA_EXT_SMSTATEEN, "smstateen" },
	{ KVM_RISCV_ISA_EXT_SSAIA, "ssaia" },
	{ KVM_RISCV_ISA_EXT_SSCOFPMF, "sscofpmf" },
	{ KVM_RISCV_ISA_EXT_SSTC, "sstc" },
	{ KVM_RISCV_ISA_EXT_SVINVAL, "svinval" },
	{ KVM_RISCV_ISA_EXT_SVNAPOT, "svnapot" },
	{ KVM_RISCV_ISA_EXT_SVPBMT, "svpbmt" },
};

_Static_assert(KVM_RISCV_ISA_EXT_ZAWRS < ISA_EXTENSIONS_MAX, "all that the table names");
/* The longest name and what goes around it. */
_Static_assert(ARRAY_SIZE(extensions) * 12 + 8 < ISA_STRING_MAX_BYTES, "all names at once");

bool isa_has(const struct isa *isa, unsigned int extension)
{
	return extension < ISA_EXTENSIONS_MAX && bitmap_test(isa->extensions, extension);
}

size_t isa_string(const struct isa *isa, char *text)
{
	char *end = stpcpy(text, "rv64");

	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++) {
		if (!isa_has(isa, extensions[i].number))
			continue;
		if (extensions[i].name[1])
			*end++ = '_';
		end = stpcpy(end, extensions[i].name);
	}
	return (size_t)(end - text);
}

size_t isa_extension_list(const struct isa *isa, char *list)
{
	char *end = list;

	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		if (isa_has(isa, extensions[i].number))
			end = stpcpy(end, extensions[i].name) + 1;
	return (size_t)(end - list);
}

const char *isa_mmu_type(const struct isa *isa)
{
	switch (isa->satp_mode) {
	case 0:
		return "riscv,none";
	case 9:
		return "riscv,sv48";
	case 10:
		return "riscv,sv57";
	default:
		return "riscv,sv39";
	}
}
