# SPDX-License-Identifier: Apache-2.0
# Deflate-on-OOM: a guest ballooned to the edge that then allocates more than it has survives (3 times; 20 with SLOW=1).
# timeout: 300
# cost: 45
# archs: x86

need jq
rounds=3
[ "$SLOW" != 1 ] || rounds=20
guest_start edge "$DEFAULT_GUEST" -m 256 --timeout 290 <<-'END'
	echo ready
	while read -r what count; do
		case $what in
		eat) memhog 120 && echo "ate-$count" || echo "killed-$count" ;;
		off) break ;;
		esac
	done
	dmesg | grep -iE 'out of memory|oom-kill|Killed process|BUG:|Oops' | sed 's/^/guest complains: /'
	echo over
	read -r line
END
guest_expect '^ready' 60 || fail "the guest does not come up"

round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	# It gives what it can, stops short, and is left at its edge.
	"$EBB" balloon edge 250M >"$W/balloon.err" 2>&1 || fail "balloon: $(cat "$W/balloon.err")"
	last=-1
	while actual=$(ebb_stat .balloon.actual_bytes) && [ "$actual" != "$last" ]; do
		last=$actual
		sleep 1
	done
	[ $((actual >> 20)) -ge 140 ] || fail "round $round: the guest gives no more than $((actual >> 20)) MiB"
	guest_type "eat $round"
	guest_expect "^(ate|killed)-$round\$" 90 || fail "round $round: the guest hangs"
	guest_saw "^killed-$round\$" && fail "round $round: killed with $((actual >> 20)) MiB in the balloon"
	left=$(ebb_stat .balloon.actual_bytes)
	[ "$left" -lt "$actual" ] || fail "round $round: nothing was deflated, so there was no edge"
	"$EBB" balloon edge 0 --wait >"$W/balloon.err" 2>&1 || fail "balloon 0: $(cat "$W/balloon.err")"
	[ $round != 1 ] || figure "$((actual >> 20)) MiB of 256 in the balloon, then 120 MiB allocated: $((left >> 20)) MiB left in it"
done
guest_type off
guest_expect '^over' 30 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
figure "$rounds of $rounds survived"
guest_type off
guest_wait 30 || fail "still running after poweroff"
pass
