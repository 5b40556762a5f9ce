# SPDX-License-Identifier: Apache-2.0
# How a guest ends is how ebb ends: poweroff 0, panic 126, --timeout 124, --expect 0, --no-reboot 0.
# timeout: 120
# only-riscv: riscv-plic
# cost: 30

start() {
	start_name=$1
	shift
	guest_start "$start_name" "$DEFAULT_GUEST" -m 256 "$@"
}

start off --timeout 60 </dev/null
guest_wait 70 || fail "poweroff: still running"
[ "$STATUS" = 0 ] || fail "poweroff: status $STATUS instead of 0"

EXTRA_PARAMS="panic=-1" start panic --timeout 60 <<-'END'
	echo 1 >/proc/sys/kernel/sysrq
	echo c >/proc/sysrq-trigger
END
guest_wait 70 || fail "panic: still running"
[ "$STATUS" = 126 ] || fail "panic: status $STATUS instead of 126"

# The clock and the search in what the console says are the same C everywhere; each costs a guest's start.
if [ "$ARCH" = x86 ] || [ "$SLOW" = 1 ]; then
	start time --timeout 2 <<-'END'
		sleep 1000
	END
	guest_wait 30 || fail "--timeout 2: still running after 30 s"
	[ "$STATUS" = 124 ] || fail "--timeout: status $STATUS instead of 124"

	start expect --timeout 60 --expect 'the magic wor[d]' <<-'END'
		echo "the magic word"
		sleep 1000
	END
	guest_wait 60 || fail "--expect: still running"
	[ "$STATUS" = 0 ] || fail "--expect: status $STATUS instead of 0"
fi

start noreboot --no-reboot --timeout 60 <<-'END'
	reboot -f
END
guest_wait 70 || fail "--no-reboot: still running"
[ "$STATUS" = 0 ] || fail "--no-reboot: status $STATUS instead of 0"
pass
