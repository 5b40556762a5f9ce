# SPDX-License-Identifier: Apache-2.0
# Stock kernels boot to userspace with 1, 2 and 4 vCPUs over PCI, and every virtio driver binds.
# timeout: 240
# guests: bookworm-standard bookworm-cloud trixie-standard

boot() {
	guest_start "boot-$1-$2" "$1" -c "$2" -m 256 --timeout 100 <<-'END'
		echo "cpus $(grep -c '^processor' /proc/cpuinfo)"
		for driver in virtio_balloon virtio_rng virtio_console; do
			set -- /sys/bus/virtio/drivers/$driver/virtio*
			[ -e "$1" ] && echo "bound $driver"
		done
	END
	guest_wait 110 || fail "$1 with $2 vCPUs: still running"
	[ "$STATUS" = 0 ] || fail "$1 with $2 vCPUs: status $STATUS after poweroff"
	guest_saw "^cpus $2\$" || fail "$1: not $2 vCPUs in the guest"
	for driver in virtio_balloon virtio_rng virtio_console; do
		guest_saw "^bound $driver" || fail "$1 with $2 vCPUs: $driver is not bound"
	done
	figure "$1, $2 vCPUs: userspace after $(guest_answer 'ebb-guest: up' | cut -d' ' -f1) s of guest time"
}

for kernel in bookworm-cloud bookworm-standard trixie-standard; do
	for cpus in 1 2 4; do
		boot $kernel $cpus
	done
done
pass
