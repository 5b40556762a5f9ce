# SPDX-License-Identifier: Apache-2.0
# Four vCPUs are reset by the guest, by the user while it works, and several times in the middle of a boot; it comes up again each time.
# timeout: 200
# slow: one minute
# cost: 60

guest_start rs "$DEFAULT_GUEST" -m 512 -c 4 --timeout 190 <<-'END'
	echo "cpus $(nproc)"
	echo "ready"
	read -r word
	[ "$word" = reboot ] && reboot -f
	while :; do :; done
END
guest_expect '^ready' 60 || fail "the guest does not come up"
guest_saw '^cpus 4' || fail "not four CPUs"
: >"$W/rs.console"
guest_type reboot
guest_expect '^ready' 60 || fail "not up after the guest rebooted"
guest_saw '^cpus 4' || fail "not four CPUs after the reboot"
for i in 1 2 3; do
	: >"$W/rs.console"
	guest_type spin
	sleep 1
	"$EBB" reset rs || fail "ebb reset"
	guest_expect '^ready' 60 || fail "not up after reset $i"
	guest_saw '^cpus 4' || fail "not four CPUs after reset $i"
done
# In the middle of a boot, wherever that is.
for i in 1 2 3 4; do
	: >"$W/rs.console"
	"$EBB" reset rs || fail "ebb reset"
	sleep 0.$((i * 2))
done
: >"$W/rs.console"
"$EBB" reset rs || fail "ebb reset"
guest_expect '^ready' 60 || fail "not up after resets in the middle of a boot"
guest_saw '^cpus 4' || fail "not four CPUs"
"$EBB" stop rs
guest_wait 20 || fail "does not stop"
[ "$STATUS" = 0 ] || fail "status $STATUS"
pass
