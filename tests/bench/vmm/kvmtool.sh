# SPDX-License-Identifier: Apache-2.0
# How the bench drives kvmtool, of which LKVM names the program (sh, read by measure.sh).
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # measure.sh's

vmm_threads='^kvm-vcpu'
# It reads its console from a terminal alone.
vmm_record=--tty
lkvm=${LKVM:-}

vmm_about() {
	"$lkvm" version | tail -n 1
}

vmm_can() {
	[ -n "$lkvm" ] || {
		echo "LKVM names no program"
		return 1
	}
	case $config in
	off | poison-off | balloon) return 0 ;;
	*) echo "kvmtool has no free page reporting" ;;
	esac
	return 1
}

vmm_words() {
	printf '%s\n' "$lkvm" run --name bench -k "$kernel" -m "$ram_mib" -c "$cpus" \
		--console serial --balloon --network mode=none -p "console=ttyS0 rig=stay quiet $params"
	[ -z "$initrd" ] || printf '%s\n' -i "$initrd"
	[ -z "$disk" ] || printf '%s\n' -d "$disk"
}

# It speaks no QMP and does not tell how far its balloon is.
vmm_inflate() {
	echo "'$lkvm' balloon -n bench -i $1; sleep 5"
}

vmm_deflate() {
	echo "'$lkvm' balloon -n bench -d $1; sleep 5"
}
