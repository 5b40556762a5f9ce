# SPDX-License-Identifier: Apache-2.0
# A guest that uses no MSI gets the virtio devices' INTx lines through the platform's interrupt controller, as ACPI or FDT says, and they work.
# timeout: 90
# cost: 12

EXTRA_PARAMS="pci=nomsi" guest_start intx "$DEFAULT_GUEST" -m 256 --timeout 80 <<-'END'
	echo "random $(dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c)"
	grep virtio /proc/interrupts | sed 's/^/line /'
	echo ready
	read -r line
END
guest_expect '^ready' 60 || fail "the guest does not come up"
guest_saw '^random 64' || fail "no random bytes from /dev/hwrng"
guest_saw '^line .*PCI-MSI' && fail "virtio interrupts by MSI all the same"
guest_saw '^line .*(IO-APIC.*fasteoi|PLIC).*virtio' || fail "no virtio interrupt on the IOAPIC, PLIC or APLIC"
"$EBB" balloon intx 64M --wait >"$W/balloon.err" 2>&1 || fail "balloon 64M: $(cat "$W/balloon.err")"
[ "$(ebb_stat .balloon.actual_bytes)" = $((64 << 20)) ] || fail "the balloon does not have 64 MiB"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
