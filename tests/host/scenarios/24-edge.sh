# SPDX-License-Identifier: Apache-2.0
# Deflate-on-OOM: a guest ballooned to the edge that then allocates more than it has survives (3 times; 20 with SLOW=1).
# timeout: 180
# timeout-slow: 900
# cost: 30
# archs: x86

need jq
rounds=3
[ "$SLOW" != 1 ] || rounds=20
guest_start edge "$DEFAULT_GUEST" -m "$(mib 160 256)" --timeout 890 <<-'END'
	sleep 1
	echo "ready $(($(sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))"
	while read -r what count size; do
		case $what in
		eat) memhog $size && echo "ate-$count" || echo "killed-$count" ;;
		off) break ;;
		esac
	done
	dmesg | grep -iE 'out of memory|oom-kill|Killed process|BUG:|Oops' | sed 's/^/guest complains: /'
	echo over
	read -r line
END
guest_expect '^ready' 60 || fail "the guest does not come up"
free=$(guest_answer ready)
# More than is left at the edge by far.
size=$((free * 6 / 10))

round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	# It gives what it can, stops short, and is left at its edge.
	"$EBB" balloon edge "$(mib 154 250)M" >"$W/balloon.err" 2>&1 || fail "balloon: $(cat "$W/balloon.err")"
	last=
	while sleep 0.5 && now=$("$EBB" qmp edge query-balloon) && [ "$now" != "$last" ]; do
		last=$now
	done
	actual=$(ebb_stat .balloon.actual_bytes)
	[ $((actual >> 20)) -ge $((free * 7 / 10)) ] || fail "round $round: the guest gives no more than $((actual >> 20)) MiB of $free"
	guest_type "eat $round $size"
	guest_expect "^(ate|killed)-$round\$" 90 || fail "round $round: the guest hangs"
	guest_saw "^killed-$round\$" && fail "round $round: killed with $((actual >> 20)) MiB in the balloon"
	left=$(ebb_stat .balloon.actual_bytes)
	[ "$left" -lt "$actual" ] || fail "round $round: nothing was deflated, so there was no edge"
	"$EBB" balloon edge 0 --wait >"$W/balloon.err" 2>&1 || fail "balloon 0: $(cat "$W/balloon.err")"
	[ $((round % 10)) != 1 ] || figure "round $round: $free MiB free in the guest, $((actual >> 20)) in the balloon, then $size MiB allocated: $((left >> 20)) MiB left in it"
done
guest_type off
guest_expect '^over' 30 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
figure "$rounds of $rounds survived"
guest_type off
guest_wait 30 || fail "still running after poweroff"
pass
