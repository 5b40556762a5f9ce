# SPDX-License-Identifier: Apache-2.0
# Guests that zero or poison their free pages keep every byte: init_on_free=1 (reports are released), page_poison=1 (they are kept).
# timeout: 180
# cost: 50
# guests: default standard

# poisoned PARAMETER GUEST VALUE: a guest whose balloon driver says that poison value.
poisoned() {
	EXTRA_PARAMS=$1 guest_start "${1%=*}" "$2" -m "$(mib 512 256)" --timeout 80 <<-END
		pattern $(mib 64 32) 8 2 &
		for round in 1 2 3; do
			memhog $(mib 200 60)
			sleep 5
		done
		wait
		dmesg | grep -iE 'pagealloc|corrupt|bad page|BUG:|Oops' | sed 's/^/guest complains: /'
		echo over
		read -r line
	END
	guest_expect '^over' 75 || fail "$1: the guest does not get through"
	guest_saw '^pattern intact 8 rounds' || fail "$1: the pattern is broken"
	guest_saw '^guest complains' && fail "$1: the guest complains"
	ebb_stat '"\(.balloon.poison_value) \(.reclaim.report.bytes_in) \(.reclaim.report.bytes_released)
		\(.reclaim.report.bytes_refused) \(.balloon.features | join(" "))"' | tr '\n' ' ' >"$W/figures"
	read -r value reported released refused features <"$W/figures"
	guest_type off
	guest_wait 20 || fail "$1: still running"
	figure "$1: negotiated $features, value $value: $((reported >> 20)) MiB reported," \
		"$((released >> 20)) MiB released, $((refused >> 20)) MiB kept"
	case $features in *page-poison*) ;; *) fail "$1: page-poison was not negotiated" ;; esac
	[ "$value" = "$3" ] || fail "$1: poison value $value, not $3"
	[ "$reported" -gt 0 ] || fail "$1: nothing was reported"
}

poisoned init_on_free=1 "$DEFAULT_GUEST" 0
[ "$released" -gt 0 ] || fail "nothing was released though zeroes are what the guest expects"
poisoned page_poison=1 "$STANDARD_GUEST" $((0xaaaaaaaa))
[ "$released" = 0 ] || fail "$released bytes were released of a guest that expects its poison in them"
[ "$refused" = "$reported" ] || fail "$refused bytes counted as refused of $reported reported"
pass
