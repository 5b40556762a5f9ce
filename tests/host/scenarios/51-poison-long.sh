# SPDX-License-Identifier: Apache-2.0
# Half an hour of the guests' own time, one with page_poison=1 and one with init_on_free=1: memory comes, is looked at, goes, is reported, released and used again.
# timeout: 2700
# cost: 1900
# guests: default standard
# slow: half an hour

# MINUTES of guest time, 30 where nothing else is said. With --icount waiting is free and the work takes long, so there is less
# of it in each minute, and 30 take some fifteen; but the emulator was seen to hang in that.
minutes=${MINUTES:-30}
hog=32
held=16
[ "$EBB_CLOCK" = icount ] || hog=$(mib 128 48)

start() {
	EXTRA_PARAMS=$2 guest_start "$1" "$3" -m $((160 + hog * 2)) --timeout 2600 <<-END
		up() { cut -d. -f1 /proc/uptime; }
		complaints() {
			dmesg | grep -iE 'pagealloc|page_poison|corrupt|bad page|BUG:|Oops' |
				grep -viE 'command line|mem auto-init|soft lockup' | sed 's/^/guest complains: /'
		}
		pattern $held 1 20 /stop >/keeper.out &
		keeper=\$!
		start=\$(up)
		rounds=0 minute=0
		while [ \$minute -lt $minutes ]; do
			# Two programs beside one another, and one behind; of other sizes each time, so that other blocks are whole.
			pattern \$(($hog / 2 + rounds % 7)) 2 1 >/pattern.out &
			pattern=\$!
			memhog \$(($hog / 2 - rounds % 5)) >/dev/null || echo "round broken: memhog"
			wait \$pattern
			grep -q '^pattern intact 2 rounds' /pattern.out || echo "round broken: \$(tail -n 1 /pattern.out)"
			pattern $hog 1 0 >/pattern.out
			grep -q '^pattern intact 1 rounds' /pattern.out || echo "round broken: \$(tail -n 1 /pattern.out)"
			rounds=\$((rounds + 1))
			sleep 10
			now=\$(((\$(up) - start) / 60))
			[ \$now != \$minute ] || continue
			minute=\$now
			complaints
			echo "minute \$minute \$rounds rounds"
		done
		touch /stop
		wait \$keeper
		sed 's/^pattern/keeper/' /keeper.out
		complaints
		echo over
		read -r line
	END
	eval "pid_$1=$PID minute_$1=0 released_$1=0 least_$1=999999"
}

guest_of() {
	GUEST=$1
	eval "PID=\$pid_$1 last_minute=\$minute_$1 last_released=\$released_$1 least=\$least_$1"
}

# watch: of every minute that the guest says is over, of every fifth where a round takes half of one, that more was released
# in it. What is still counted from its start is none.
step=1
[ "$ARCH" = x86 ] || step=5
watch() {
	minute=$(guest_answer minute)
	minute=${minute%% *}
	[ $((${minute:-0} / step)) -gt $((last_minute / step)) ] || return 0
	released=$(($(ebb_stat .reclaim.report.bytes_released) >> 20))
	grown=$((released - last_released))
	[ $grown -ge $((hog / 2)) ] || fail "$GUEST: minute $minute: only $grown MiB were released, $released MiB in all"
	[ $grown -ge "$least" ] || least=$grown
	note "$GUEST: $(guest_answer minute), $released MiB released"
	eval "minute_$GUEST=$minute released_$GUEST=$released least_$GUEST=$least"
}

still_good() {
	alive "$PID" || fail "$GUEST: ebb has ended"
	guest_saw '^(round|pattern|keeper) broken' && fail "$GUEST: $(tr -d '\r' <"$W/$GUEST.console" | grep broken | head -n 1)"
	guest_saw '^guest complains' && fail "$GUEST: $(guest_answer 'guest complains:')"
	return 0
}

both_over() {
	guest_saw '^over' zeroes && guest_saw '^over' poison
}

start zeroes init_on_free=1 "$DEFAULT_GUEST"
start poison page_poison=1 "$STANDARD_GUEST"
begun=$(now_ms)
# Few looks: they take time of the processor that the guests run on.
until both_over; do
	sleep 10
	for name in zeroes poison; do
		guest_of $name
		watch
		still_good
	done
	[ $((($(now_ms) - begun) / 1000)) -lt $(((minutes + 10) * 60 * TIMEOUT_FACTOR)) ] || fail "not through in time"
done
for name in zeroes poison; do
	guest_of $name
	watch
	guest_of $name
	still_good
	guest_saw '^keeper intact' || fail "$name: the pattern that was held throughout: $(guest_answer keeper)"
	ebb_stat '"\(.balloon.poison_value) \(.reclaim.report.bytes_in) \(.reclaim.report.bytes_released)
		\(.reclaim.refill | "\(.faults) \(.bytes) \(.errors)") \(.balloon.features | join(" "))"' | tr '\n' ' ' >"$W/$name.figures"
	read -r value reported released faults refilled errors features <"$W/$name.figures"
	figure "$name: $(guest_answer minute | sed 's/ / minutes of guest time, /'), nothing broken; $((reported >> 20)) MiB reported," \
		"$((released >> 20)) MiB released, at least $least MiB in any $step minutes; $faults faults refilled $((refilled >> 20)) MiB; held throughout: $(guest_answer 'keeper')"
	case $features in *page-poison*free-page-reporting*) ;; *) fail "$name: page poison or reporting is not negotiated any more: $features" ;; esac
	expected=$((0xaaaaaaaa))
	[ $name != zeroes ] || expected=0
	[ "$value" = "$expected" ] || fail "$name: poison value $value, not $expected"
	[ "$errors" = 0 ] || fail "$name: $errors errors of the host"
	[ "$last_minute" -ge "$minutes" ] || fail "$name: only $last_minute minutes"
	case $name in
	zeroes) [ "$faults" = 0 ] || fail "zeroes are refilled" ;;
	poison)
		# How much of a round's memory had been reported depends on how fast its guest is.
		rounds=$(guest_answer minute | awk '{ print $2 }')
		[ $((refilled >> 20)) -ge $((hog * rounds / 8)) ] || fail "only $((refilled >> 20)) MiB were refilled in $rounds rounds"
		;;
	esac
	guest_type off
	guest_wait 30 || fail "$name: still running"
done
pass
