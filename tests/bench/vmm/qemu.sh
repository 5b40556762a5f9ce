# SPDX-License-Identifier: Apache-2.0
# What the bench's two machine types of QEMU have in common (sh, read by qemu-pc.sh and qemu-microvm.sh).
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # measure.sh's

vmm_threads='^CPU [0-9]'
qemu=${QEMU:-qemu-system-x86_64}

vmm_about() {
	"$qemu" --version | head -n 1
}

vmm_can() {
	command -v "$qemu" >/dev/null || {
		echo "no $qemu on this host"
		return 1
	}
	case $config in
	held) echo "QEMU has no setting that takes reports and releases nothing" ;;
	lazy) echo "QEMU has no lazy release (MADV_FREE)" ;;
	*) return 0 ;;
	esac
	return 1
}

# qemu_words MACHINE BUS: the same devices as ebb's guest has, and no other: balloon, serial line, the disk where there is one.
qemu_words() {
	case $config in
	off | poison-off | balloon) qemu_reporting=off ;;
	*) qemu_reporting=on ;;
	esac
	printf '%s\n' "$qemu" -M "$1,accel=kvm" -cpu host -m "$ram_mib" -smp "$cpus" -name bench,debug-threads=on \
		-nodefaults -no-user-config -display none -serial stdio -no-reboot \
		-kernel "$kernel" -append "console=ttyS0 quiet $params" \
		-device "virtio-balloon-$2,free-page-reporting=$qemu_reporting,deflate-on-oom=on" \
		-qmp "unix:$W/qmp,server=on,wait=off"
	[ -z "$initrd" ] || printf '%s\n' -initrd "$initrd"
	[ -z "$disk" ] || printf '%s\n' -drive "id=disk,file=$disk,format=raw,if=none,discard=unmap" -device "virtio-blk-$2,drive=disk"
}

vmm_qmp() {
	echo "$W/qmp"
}
