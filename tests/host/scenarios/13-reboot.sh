# SPDX-License-Identifier: Apache-2.0
# A reboot in the guest comes up again in the same process, the balloon empty and the devices reset.
# timeout: 120
# only-riscv: riscv-plic
# (On the AIA the guest programs of 05-firmware reset it in each way; on the PLIC they are few.)
# cost: 25
# cost-riscv: 35

guest_start reboot "$DEFAULT_GUEST" -m 512 --timeout 110 <<-'END'
	if [ -e /sys/bus/virtio/drivers/virtio_balloon/virtio* ]; then echo "balloon bound"; fi
	echo "ready"
	read -r word
	[ "$word" = reboot ] && reboot -f
END
guest_expect '^ready' 60 || fail "the guest does not come up"
"$EBB" balloon reboot 128M --wait >"$W/balloon.err" 2>&1 || fail "balloon 128M: $(cat "$W/balloon.err")"
[ "$(ebb_stat .balloon.actual_bytes)" = $((128 << 20)) ] || fail "the balloon does not have 128 MiB"
before=$(ram_rss_kib "$PID")
: >"$W/reboot.console"
guest_type reboot
# The driver of the new kernel is seconds away: in between the balloon is empty, and the memory as good as gone.
emptied() {
	[ "$(ebb_stat .balloon.actual_bytes)" = 0 ]
}
within 30 emptied || fail "the balloon still has $(ebb_stat .balloon.actual_bytes) bytes after the reboot"
figure "resident $((before / 1024)) MiB before the reboot, $(($(ram_rss_kib "$PID") / 1024)) MiB as the new kernel starts"
guest_expect '^ready' 60 || fail "the guest does not come up again"
alive "$PID" || fail "ebb ended at the reboot"
guest_saw '^balloon bound' || fail "no balloon driver after the reboot"
note "target $(ebb_stat .balloon.target_bytes), actual $(ebb_stat .balloon.actual_bytes)"
"$EBB" balloon reboot 0 --wait >"$W/balloon.err" 2>&1 || fail "balloon 0: $(cat "$W/balloon.err")"
[ "$(ebb_stat .balloon.actual_bytes)" = 0 ] || fail "the balloon is not empty"
"$EBB" balloon reboot 64M --wait >"$W/balloon.err" 2>&1 || fail "balloon 64M after the reboot: $(cat "$W/balloon.err")"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
