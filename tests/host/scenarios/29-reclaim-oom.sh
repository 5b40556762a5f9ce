# SPDX-License-Identifier: Apache-2.0
# A guest that begins to allocate in the middle of an ebb reclaim gets its memory and never meets its OOM killer (5 times; 100 with SLOW=1).
# timeout: 180
# timeout-slow: 900
# cost: 20
# archs: x86

need jq
rounds=5
[ "$SLOW" != 1 ] || rounds=100
ram=$(mib 160 256)
reserve=24
# In each round it waits until the balloon has taken a part of what is above the reserve, another one each time, and then
# allocates. It does so by itself, as looking at its console costs more than all else here.
guest_start busy "$DEFAULT_GUEST" -m "$ram" --timeout 890 <<-END
	rounds=$rounds
	look() {
		{ read -r _ _ _; read -r _ free _; } </proc/meminfo
	}
	sleep 1
	look
	room=\$((free - $reserve * 1024))
	size=\$((free * 7 / 10 / 1024))
	echo "ready \$free \$size"
	round=0
	while [ \$round -lt \$rounds ]; do
		round=\$((round + 1))
		read -r _
		look
		below=\$((free - room * (10 + round * 37 % 80) / 100))
		read -r now _ </proc/uptime
		end=\$((\${now%.*} + 20))
		echo "watches-\$round"
		while [ \$free -gt \$below ] && [ \${now%.*} -lt \$end ]; do
			look
			read -r now _ </proc/uptime
		done
		[ \$free -le \$below ] || echo "late-\$round"
		memhog \$size >/dev/null && echo "ate-\$round" || echo "hungry-\$round"
	done
	sed -n 's/^oom_kill /oom-kills /p' /proc/vmstat
	dmesg | grep -iE 'out of memory|oom-kill|Killed process|BUG:|Oops' | sed 's/^/guest complains: /'
	echo over
	read -r _
END
guest_expect '^ready' 60 || fail "the guest does not come up"
guest_answer ready >"$W/ready"
read -r free size <"$W/ready"

run_field() {
	"$EBB" qmp busy x-ebb-query-reclaim-run | jq -r ".return.$1"
}

empty() {
	[ "$(ebb_stat .balloon.actual_bytes)" = 0 ]
}

round=0 early=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	guest_type go
	guest_expect "^watches-$round\$" 30 || fail "round $round: the guest does not answer"
	"$EBB" reclaim busy --keep "${reserve}M" >"$W/answer" 2>&1 || early=$((early + 1))
	guest_expect "^(ate|hungry)-$round\$" 60 || fail "round $round: the guest does not get through: $(cat "$W/answer")"
	guest_saw "^hungry-$round\$" && fail "round $round: memhog did not get its memory: $(cat "$W/answer")"
	if [ $((round % 25)) = 0 ] || [ $round = $rounds ]; then
		empty || fail "round $round: the balloon is not empty: $(cat "$W/answer")"
		note "$round rounds"
	fi
done
guest_expect '^over' 30 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
[ "$(guest_answer oom-kills)" = 0 ] || fail "the guest counts $(guest_answer oom-kills) OOM kills"
# With one processor the guest may miss the moment.
late=$(tr -d '\r' <"$W/busy.console" | grep -c '^late-')
figure "$((free / 1024)) MiB free in the guest, $size of them allocated in the middle of a reclaim: $rounds of $rounds got them," \
	"no OOM kill; $early reclaims ended early, $late rounds missed the middle"
[ $((late * 4)) -le "$rounds" ] || fail "$late of $rounds rounds missed the middle"

# Who ends the command cancels the run.
ended() {
	[ "$(run_field phase)" = idle ]
}
"$EBB" reclaim busy --keep "${reserve}M" >"$W/answer" 2>&1 &
command=$!
until [ "$(run_field phase)" = inflating ]; do
	alive $command || break
done
kill $command 2>/dev/null
wait $command
within 30 ended || fail "the run goes on after its command was killed"
end=$(run_field end)
figure "the command killed: the run's end is $end"
# Where the guest is quick it may be done before.
[ "$end" = cancelled ] || [ "$end" = "done" ] || fail "the run's end is $end"
empty || fail "the balloon is not empty after a run that was cancelled"

guest_type off
guest_wait 30 || fail "still running after poweroff"
pass
