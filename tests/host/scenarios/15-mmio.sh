# SPDX-License-Identifier: Apache-2.0
# The same guest over virtio-mmio: devices found by ACPI, drivers bound, the balloon works.
# timeout: 90
# only-riscv: riscv-plic
# (On the AIA 05-firmware tries each device over virtio-mmio; on the PLIC its programs are few.)
# cost: 12

guest_start mmio "$DEFAULT_GUEST" -m 256 --transport mmio --timeout 80 <<-'END'
	for driver in virtio_balloon virtio_rng; do
		for device in /sys/bus/virtio/drivers/$driver/virtio*; do
			[ -e "$device" ] && echo "bound $driver $(readlink -f "$device")"
		done
	done
	echo "random $(dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c)"
	echo ready
	read -r line
END
guest_expect '^ready' 60 || fail "the guest does not come up"
for driver in virtio_balloon virtio_rng; do
	guest_saw "^bound $driver .*(LNRO0005|mmio)" || fail "$driver is not bound to a virtio-mmio device"
done
guest_saw '^random 64' || fail "no random bytes from /dev/hwrng"
"$EBB" balloon mmio 64M --wait >"$W/balloon.err" 2>&1 || fail "balloon 64M: $(cat "$W/balloon.err")"
[ "$(ebb_stat .balloon.actual_bytes)" = $((64 << 20)) ] || fail "the balloon does not have 64 MiB"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
