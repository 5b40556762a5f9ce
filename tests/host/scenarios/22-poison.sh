# SPDX-License-Identifier: Apache-2.0
# Guests that poison or zero their free pages keep every byte: page_poison=1 and init_on_free=1.
# timeout: 180
# cost: 50

poisoned() {
	EXTRA_PARAMS=$2 guest_start "$1" "$DEFAULT_GUEST" -m 512 --timeout 80 <<-'END'
		pattern 64 8 2 &
		for round in 1 2 3; do
			memhog 200
			sleep 5
		done
		wait
		dmesg | grep -iE 'pagealloc|corrupt|bad page|BUG:|Oops' | sed 's/^/guest complains: /'
		echo over
		read -r line
	END
	guest_expect '^over' 70 || fail "$2: the guest does not get through"
	guest_saw '^pattern intact 8 rounds' || fail "$2: the pattern is broken"
	guest_saw '^guest complains' && fail "$2: the guest complains"
	figure "$2: $(($(ebb_stat .reclaim.report.bytes_in) >> 20)) MiB reported," \
		"$(($(ebb_stat .reclaim.report.bytes_released) >> 20)) MiB released," \
		"$(($(ebb_stat .reclaim.report.bytes_refused) >> 20)) MiB kept"
	guest_type off
	guest_wait 20 || fail "$2: still running"
}

poisoned zeroing init_on_free=1
[ "$(($(grep -c . "$W/zeroing.console")))" -gt 0 ] || fail "no console"
poisoned poisoning page_poison=1
pass
