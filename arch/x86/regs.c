/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers at power-on: what a kernel's boot protocol wants of vCPU 0, and a LAPIC as
 * firmware leaves it. */
/*
 * DOC: First start and reset
 *
 * KVM makes a vCPU as it is after INIT: vCPU 0 runnable, the others waiting for INIT and SIPI. So
 * at the first start only what firmware would have changed is set: MSRs and LAPIC of all, segments
 * and registers of vCPU 0.
 *
 * KVM vCPUs live on over a reset of the VM. There, everything that a guest can have changed is
 * put back first, in an order that KVM takes: out of nested guests (before CR4 and EFER lose the
 * bits), events, FPU, debug registers, MSRs (kvmclock and its kin stop writing to guest memory),
 * then control registers with the APIC's base, LAPIC and at last the run state. The time stamp
 * counter runs on: a host's write to TSC_ADJUST does not move it.
 *
 * (Intel SDM volume 3, table 9-1 and chapter 10.4.7; Linux: Documentation/virt/kvm/x86/msr.rst.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "ebb/bytes.h"
#include "layout.h"
#include "x86.h"

#define CR0_PE        UINT64_C(0x1)
#define CR0_ET        UINT64_C(0x10)
#define CR0_NW        UINT64_C(0x20000000)
#define CR0_CD        UINT64_C(0x40000000)
#define CR0_PG        UINT64_C(0x80000000)
#define CR4_PAE       UINT64_C(0x20)
#define EFER_LME      UINT64_C(0x100)
#define EFER_LMA      UINT64_C(0x400)
#define RFLAGS_ALWAYS UINT64_C(0x2)

#define APIC_BASE_BSP    UINT64_C(0x100)
#define APIC_BASE_ENABLE UINT64_C(0x800)

#define SEGMENT_CODE       0xb /* executable, readable, accessed */
#define SEGMENT_DATA       0x3 /* writable, accessed */
#define SEGMENT_LDT        0x2
#define SEGMENT_TSS        0xb /* busy */
#define SEGMENT_REAL_LIMIT 0xffff

#define MSR_MISC_ENABLE            0x1a0
#define MISC_ENABLE_FAST_STRING    0x1
#define MSR_MTRR_DEFAULT_TYPE      0x2ff
#define MTRR_ENABLED_WRITE_BACK    0x806
#define MSR_PAT                    0x277
#define PAT_POWER_ON               UINT64_C(0x0007040600070406)
#define MSR_KVM_POLL_CONTROL_INDEX 0x4b564d05

#define DR6_POWER_ON   UINT64_C(0xffff0ff0)
#define DR7_POWER_ON   UINT64_C(0x400)
#define FCW_POWER_ON   0x37f /* what FNINIT leaves; XSAVE's initial state too */
#define MXCSR_POWER_ON 0x1f80

/* What firmware leaves in each CPU. */
static const struct kvm_msr_entry firmware_msrs[] = {
	{ .index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING },
	{ .index = MSR_MTRR_DEFAULT_TYPE, .data = MTRR_ENABLED_WRITE_BACK },
};

/* What a guest may have set, as it was before. What this KVM or CPU does not have is passed over.
 */
static const struct kvm_msr_entry power_on_msrs[] = {
	/* KVM's own (MSR_KVM_*): first, so that it stops writing to guest memory */
	{ .index = 0x4b564d01 }, /* SYSTEM_TIME_NEW */
	{ .index = 0x12 },       /* SYSTEM_TIME */
	{ .index = 0x4b564d02 }, /* ASYNC_PF_EN */
	{ .index = 0x4b564d03 }, /* STEAL_TIME */
	{ .index = 0x4b564d04 }, /* EOI_EN */
	{ .index = MSR_KVM_POLL_CONTROL_INDEX, .data = 1 },
	{ .index = 0x4b564d06 }, /* ASYNC_PF_INT */
	{ .index = 0x3a },       /* FEATURE_CONTROL */
	{ .index = 0x3b },       /* TSC_ADJUST */
	{ .index = 0x48 },       /* SPEC_CTRL */
	{ .index = 0xe1 },       /* UMWAIT_CONTROL */
	{ .index = 0x174 },
	{ .index = 0x175 },
	{ .index = 0x176 }, /* SYSENTER_* */
	{ .index = 0x17a }, /* MCG_STATUS */
	/* Performance counters: control before the rest */
	{ .index = 0x38f },
	{ .index = 0x38d },
	{ .index = 0x186 },
	{ .index = 0x187 },
	{ .index = 0x188 },
	{ .index = 0x189 },
	{ .index = 0x18a },
	{ .index = 0x18b },
	{ .index = 0x18c },
	{ .index = 0x18d },
	{ .index = 0xc0010200 },
	{ .index = 0xc0010202 },
	{ .index = 0xc0010204 },
	{ .index = 0xc0010206 },
	{ .index = 0xc0010208 },
	{ .index = 0xc001020a },
	{ .index = 0x1d9 }, /* DEBUGCTL */
	/* MTRRs: variable, fixed */
	{ .index = 0x200 },
	{ .index = 0x201 },
	{ .index = 0x202 },
	{ .index = 0x203 },
	{ .index = 0x204 },
	{ .index = 0x205 },
	{ .index = 0x206 },
	{ .index = 0x207 },
	{ .index = 0x208 },
	{ .index = 0x209 },
	{ .index = 0x20a },
	{ .index = 0x20b },
	{ .index = 0x20c },
	{ .index = 0x20d },
	{ .index = 0x20e },
	{ .index = 0x20f },
	{ .index = 0x250 },
	{ .index = 0x258 },
	{ .index = 0x259 },
	{ .index = 0x268 },
	{ .index = 0x269 },
	{ .index = 0x26a },
	{ .index = 0x26b },
	{ .index = 0x26c },
	{ .index = 0x26d },
	{ .index = 0x26e },
	{ .index = 0x26f },
	{ .index = MSR_PAT, .data = PAT_POWER_ON },
	{ .index = 0x6e0 }, /* TSC_DEADLINE */
	{ .index = 0xda0 }, /* XSS */
	{ .index = 0x1c4 },
	{ .index = 0x1c5 }, /* XFD, XFD_ERR */
	{ .index = 0x6a0 },
	{ .index = 0x6a2 }, /* U_CET, S_CET */
	{ .index = 0xc0000081 },
	{ .index = 0xc0000082 }, /* STAR, LSTAR */
	{ .index = 0xc0000083 },
	{ .index = 0xc0000084 }, /* CSTAR, SFMASK */
	{ .index = 0xc0000102 },
	{ .index = 0xc0000103 }, /* KERNEL_GS_BASE, TSC_AUX */
	{ .index = 0xc0010117 }, /* VM_HSAVE_PA */
};

#define MSRS_MAX 96

_Static_assert(ARRAY_SIZE(power_on_msrs) <= MSRS_MAX, "room of set_msrs");

/* KVM stops at the first MSR that it does not take; that one is left out. On the stack: a vCPU's
 * thread that allocates costs system calls for an arena of its own. */
static int set_msrs(struct kvm_vcpu *vcpu, const struct kvm_msr_entry *entries, size_t count)
{
	union {
		struct kvm_msrs msrs;
		uint8_t bytes[sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry)];
	} request;

	while (count) {
		int done;

		memset(&request.msrs, 0, sizeof(request.msrs));
		request.msrs.nmsrs = (uint32_t)count;
		memcpy(request.bytes + sizeof(request.msrs), entries, count * sizeof(*entries));
		done = kvm_vcpu_ioctl(vcpu, KVM_SET_MSRS, &request);
		if (done < 0)
			return done;
		if ((size_t)done >= count)
			return 0;
		entries += done + 1;
		count -= (size_t)done + 1;
	}
	return 0;
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool is_64bit)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.db = !is_64bit,
		.l = is_64bit,
		.g = 1,
	};
}

static struct kvm_segment system_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = SEGMENT_REAL_LIMIT,
		.type = type,
		.present = 1,
	};
}

static struct kvm_segment real_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.selector = selector,
		.base = (uint64_t)selector << 4,
		.limit = SEGMENT_REAL_LIMIT,
		.type = type,
		.present = 1,
		.s = 1,
	};
}

static void set_boot_sregs(const struct boot_entry *entry, struct kvm_sregs *sregs)
{
	bool is_long = entry->mode == BOOT_MODE_LONG;
	struct kvm_segment data = flat_segment(BOOT_SELECTOR_DATA, SEGMENT_DATA, false);

	sregs->cs = flat_segment(BOOT_SELECTOR_CODE, SEGMENT_CODE, is_long);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr = system_segment(BOOT_SELECTOR_TSS, SEGMENT_TSS);
	sregs->gdt.base = entry->gdt_gpa;
	sregs->gdt.limit = BOOT_GDT_ENTRIES * 8 - 1;
	sregs->cr0 = CR0_PE | CR0_ET;
	if (is_long) {
		sregs->cr0 |= CR0_PG;
		sregs->cr3 = entry->page_table_gpa;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
	}
}

/* As after INIT; a SIPI sets CS. */
static void set_real_sregs(struct kvm_sregs *sregs)
{
	sregs->cs = real_segment(0xf000, SEGMENT_CODE);
	sregs->cs.base = 0xffff0000;
	sregs->ds = real_segment(0, SEGMENT_DATA);
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
	sregs->tr = system_segment(0, SEGMENT_TSS);
	sregs->gdt.limit = SEGMENT_REAL_LIMIT;
	sregs->cr0 = CR0_CD | CR0_NW | CR0_ET;
}

static int set_registers(struct vcpu *vcpu)
{
	const struct boot_entry *entry = &vcpu->vm->arch->entry;
	bool boots = vcpu->index == 0;
	struct kvm_regs regs = { .rflags = RFLAGS_ALWAYS };
	struct kvm_sregs sregs = {
		.apic_base = X86_LAPIC_GPA | APIC_BASE_ENABLE | (boots ? APIC_BASE_BSP : 0),
		.ldt = system_segment(0, SEGMENT_LDT),
		.idt.limit = SEGMENT_REAL_LIMIT,
	};
	int rc;

	if (boots) {
		set_boot_sregs(entry, &sregs);
		regs.rip = entry->rip;
		regs.rax = entry->rax;
		regs.rbx = entry->rbx;
		regs.rsi = entry->rsi;
	} else {
		set_real_sregs(&sregs);
		regs.rip = 0xfff0;
	}
	rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_SREGS, &sregs);
	if (rc >= 0)
		rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_REGS, &regs);
	return rc < 0 ? rc : 0;
}

/* Register offsets, Intel SDM volume 3, table 10-1. */
#define LAPIC_ID          0x20
#define LAPIC_VERSION     0x30
#define LAPIC_DFR         0xe0
#define LAPIC_SPIV        0xf0
#define LAPIC_LVT_CMCI    0x2f0
#define LAPIC_LVT_TIMER   0x320
#define LAPIC_LVT_THERMAL 0x330
#define LAPIC_LVT_PERF    0x340
#define LAPIC_LVT0        0x350
#define LAPIC_LVT1        0x360
#define LAPIC_LVT_ERROR   0x370

#define LAPIC_VERSION_6_LVTS 0x50014
#define LAPIC_LVT_MASKED     0x10000
#define LAPIC_LVT_NMI        0x400
#define LAPIC_LVT_EXTINT     0x700

/*
 * Virtual-wire mode, as firmware leaves a PC: vCPU 0 takes the PIC's interrupts through LINT0;
 * LINT1 is NMI everywhere. KVM sets version and identity by itself.
 */
static int set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state state = { 0 };
	int rc;

	store_le32(state.regs + LAPIC_ID, x86_topology_apic_id(vcpu->vm->config, vcpu->index)
	                                          << 24);
	store_le32(state.regs + LAPIC_VERSION, LAPIC_VERSION_6_LVTS);
	store_le32(state.regs + LAPIC_DFR, 0xffffffff);
	store_le32(state.regs + LAPIC_SPIV, 0xff);
	store_le32(state.regs + LAPIC_LVT_CMCI, LAPIC_LVT_MASKED);
	store_le32(state.regs + LAPIC_LVT_TIMER, LAPIC_LVT_MASKED);
	store_le32(state.regs + LAPIC_LVT_THERMAL, LAPIC_LVT_MASKED);
	store_le32(state.regs + LAPIC_LVT_PERF, LAPIC_LVT_MASKED);
	store_le32(state.regs + LAPIC_LVT0, vcpu->index == 0 ? LAPIC_LVT_EXTINT : LAPIC_LVT_MASKED);
	store_le32(state.regs + LAPIC_LVT1, LAPIC_LVT_NMI);
	store_le32(state.regs + LAPIC_LVT_ERROR, LAPIC_LVT_MASKED);
	rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_LAPIC, &state);
	return rc < 0 ? rc : 0;
}

/* A guest that was itself a host: its own guests are gone. KVM without nested state has no such
 * ioctl. */
static int leave_nested(struct vcpu *vcpu)
{
	enum x86_nested nested = x86_cpuid_nested(vcpu->vm->arch->cpuid);
	struct kvm_nested_state state = { .size = sizeof(state) };
	int rc;

	if (nested == X86_NESTED_NONE)
		return 0;
	if (nested == X86_NESTED_VMX) {
		state.format = KVM_STATE_NESTED_FORMAT_VMX;
		state.hdr.vmx.vmxon_pa = UINT64_MAX;
		state.hdr.vmx.vmcs12_pa = UINT64_MAX;
	} else {
		state.format = KVM_STATE_NESTED_FORMAT_SVM;
		state.flags = KVM_STATE_NESTED_GIF_SET;
	}
	rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_NESTED_STATE, &state);
	return rc == -ENOTTY || rc == -EINVAL ? 0 : rc < 0 ? rc : 0;
}

static int clear_events(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events, cleared = { 0 };
	int rc = kvm_vcpu_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &events);

	if (rc < 0)
		return rc;
	/* Only what this KVM told may be told back. */
	cleared.flags =
		events.flags & (KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
	                        KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	cleared.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	rc = kvm_vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &cleared);
	return rc < 0 ? rc : 0;
}

static int clear_fpu(struct kvm_vcpu *vcpu)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = 1 } } };
	struct kvm_xsave *xsave = calloc(1, sizeof(*xsave));
	int rc;

	if (!xsave)
		return -ENOMEM;
	/* A header that names no component: all are in their initial state. */
	store_le16((uint8_t *)xsave->region, FCW_POWER_ON);
	xsave->region[6] = MXCSR_POWER_ON;
	rc = kvm_vcpu_ioctl(vcpu, KVM_SET_XSAVE, xsave);
	free(xsave);
	if (rc < 0)
		return rc;
	rc = kvm_vcpu_ioctl(vcpu, KVM_SET_XCRS, &xcrs);
	return rc < 0 && rc != -EINVAL ? rc : 0; /* -EINVAL: a CPU without XSAVE */
}

static int clear_used_state(struct vcpu *vcpu)
{
	struct kvm_debugregs debug = { .dr6 = DR6_POWER_ON, .dr7 = DR7_POWER_ON };
	int rc = leave_nested(vcpu);

	if (!rc)
		rc = clear_events(vcpu->kvm);
	if (!rc)
		rc = clear_fpu(vcpu->kvm);
	if (!rc)
		rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_DEBUGREGS, &debug);
	if (rc >= 0)
		rc = set_msrs(vcpu->kvm, power_on_msrs, ARRAY_SIZE(power_on_msrs));
	return rc < 0 ? rc : 0;
}

static int set_run_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state = {
		.mp_state = vcpu->index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED,
	};
	int rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_MP_STATE, &state);

	return rc < 0 ? rc : 0;
}

int x86_vcpu_set_power_on_state(struct vcpu *vcpu)
{
	bool used = vcpu->used;
	int rc = 0;

	/* The interrupt controllers are every vCPU's, and no other runs before vCPU 0 wakes it. */
	if (used && vcpu->index == 0)
		rc = x86_irqchip_reset(vcpu->vm->kvm_vm);
	if (!rc && used)
		rc = clear_used_state(vcpu);
	if (!rc && (used || vcpu->index == 0))
		rc = set_registers(vcpu);
	if (!rc)
		rc = set_msrs(vcpu->kvm, firmware_msrs, ARRAY_SIZE(firmware_msrs));
	if (!rc)
		rc = set_lapic(vcpu);
	if (!rc && used)
		rc = set_run_state(vcpu);
	return rc;
}
