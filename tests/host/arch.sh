# SPDX-License-Identifier: Apache-2.0
# What differs between the architectures of the rig: packages, default kernels, nested hosts, emulators (bash, sourced by run).
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the sourcing scripts' variables

machine_arch() {
	case $(uname -m) in
	riscv64) echo riscv ;;
	*) echo x86 ;;
	esac
}

# has_own_kvm ARCH: this machine has a /dev/kvm for it, open to us, and of hardware.
has_own_kvm() {
	[ "$1" = "$(machine_arch)" ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] && [ ! -e /sys/module/kvm_pvm ]
}

# arch_settings ARCH: debian_arch, how to get busybox, the compiler's prefix, the usual guests and nested hosts. A host is
# KIND:SUITE, KIND is what its results are named after. sizes says how much memory guests in
# an emulated host touch: the G-stage of RISC-V is mapped page by page. tools are programs that scenarios use.
arch_settings() {
	local libc_arch
	cross=
	case $1 in
	x86)
		debian_arch=amd64
		busybox_from=(bookworm busybox-static /bin/busybox)
		default_guest=bookworm-cloud
		standard_guest=bookworm-standard
		l1_flavour=cloud
		l1_suite=sid
		kinds=(x86)
		sizes=large
		distribution_suite=bookworm
		tools=(strace jq socat passt passt.avx2 mkfs.ext4 e2fsck)
		;;
	riscv)
		debian_arch=riscv64
		busybox_from=(trixie busybox-static /usr/bin/busybox)
		default_guest=trixie-standard
		standard_guest=trixie-standard
		l1_flavour=standard
		# Not sid: under its Linux 7.2, a balloon's work in a guest left other programs of the host with broken memory.
		l1_suite=trixie
		kinds=(riscv-plic riscv-aia)
		sizes=small
		distribution_suite=trixie
		tools=(strace jq socat dtc passt mkfs.ext4 e2fsck)
		;;
	*) die "--arch $1: this rig knows x86 and riscv" ;;
	esac
	if [ "$1" != "$(machine_arch)" ]; then
		[ "$1" = riscv ] || die "--arch $1: no cross compiler is known for it here"
		cross=riscv64-linux-gnu-
	fi
	host_dir=$build/host/$1
}

# runs_here PROGRAM…: runs a program of the rig's architecture on the build host.
runs_here() {
	local emulator
	if [ -z "$cross" ]; then
		"$@"
		return
	fi
	for emulator in qemu-riscv64-static qemu-riscv64; do
		if command -v $emulator >/dev/null; then
			$emulator "$@"
			return
		fi
	done
	die "qemu-riscv64-static is missing (install the Debian package qemu-user-static)"
}

# own_qemu_major PROGRAM: the major version of this machine's, 0 without one.
own_qemu_major() {
	local version
	version=$("$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\)\..*/\1/p')
	echo "${version:-0}"
}

# qemu_tree PACKAGE…: trixie's, with all they depend on, unpacked; prints the folder.
qemu_tree() {
	"$here/fetch" --arch "$(dpkg --print-architecture)" tree trixie "$@"
}

# new_qemu PROGRAM PACKAGE…: sets `emulator` to QEMU 10 or newer: this machine's own, or trixie's.
new_qemu() {
	local program=$1 root loader
	shift
	emulator=("$program")
	[ "$(own_qemu_major "$program")" -lt 10 ] || return 0
	root=$(qemu_tree "$@")
	loader=$(find "$root"/usr/lib*/ -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
	emulator=("$loader" --library-path "$(dirname "$(readlink -f "$loader")")"
		"$root/usr/bin/$program" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
	[ ! -d "$root/usr/lib/riscv64-linux-gnu/opensbi" ] || emulator+=(-bios "$root/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin")
}

# emulator_packages KIND: fetches what `emulator` wants of other suites, once.
emulator_packages() {
	case $1 in
	riscv-plic) need qemu-system-riscv64 "qemu-system-riscv (before Debian 13: qemu-system-misc)" ;;
	riscv-aia) [ "$(own_qemu_major qemu-system-riscv64)" -ge 10 ] || qemu_tree qemu-system-riscv opensbi >/dev/null ;;
	*)
		need qemu-system-x86_64 qemu-system-x86
		[ -z "${NEW_QEMU:-}" ] || [ "$(own_qemu_major qemu-system-x86_64)" -ge 10 ] || qemu_tree qemu-system-x86 >/dev/null
		;;
	esac
}

# emulator KIND: sets `emulator` to the command line of this kind's machine. RISC-V without AIA has a PLIC, and KVM in it no
# irqchip at all; QEMU learnt to give a nested KVM an AIA after 7.2, which hangs with one. NEW_QEMU=1 asks for a new one for x86
# too: counting instructions, 7.2 spins for ever in one of some twenty guests, and in every other one that inflates a balloon;
# 10.0 did in none.
emulator() {
	case $1 in
	# QEMU loses timer interrupts of a nested guest that has Sstc (7.2 many, 10.0 one in some hundred); without it KVM's own timer runs
	# the guest's.
	riscv-plic) emulator=(qemu-system-riscv64 -M virt -cpu 'rv64,h=true,sstc=false' -m "${L1_MEM:-1536}") ;;
	riscv-aia)
		new_qemu qemu-system-riscv64 qemu-system-riscv opensbi
		emulator+=(-M 'virt,aia=aplic-imsic,aia-guests=2' -cpu 'rv64,h=true,sstc=false,smaia=true,ssaia=true' -m "${L1_MEM:-1536}")
		;;
	*)
		emulator=(qemu-system-x86_64)
		[ -z "${NEW_QEMU:-}" ] || new_qemu qemu-system-x86_64 qemu-system-x86
		emulator+=(-cpu 'max,la57=off,erms=off,fsrm=off' -m "${L1_MEM:-2560}")
		;;
	esac
}
