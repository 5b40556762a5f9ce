# SPDX-License-Identifier: Apache-2.0
# ebb reclaim: what an idle guest let go of is back 10 times sooner than by free page reporting, the reserve stays, and reporting goes on.
# timeout: 240
# cost: 40
# archs: x86
# slow: one minute, of a machine with nothing else to do: its figures are times

# An emulated processor is so slow that waiting, which reporting does most, is cheap beside work: there the times are judged
# only where one instruction is a nanosecond (run --icount), as on hardware that is not slow.
need jq
ram=$(mib 1024 448)
guest_start reclaim "$DEFAULT_GUEST" -m "$ram" --timeout 230 <<-'END'
	# Without a new process, so that it can be done often.
	look() {
		{ read -r _ _ _; read -r _ free _; } </proc/meminfo
	}
	echo ready
	while read -r what count; do
		case $what in
		fill)
			look
			rm -f /hog.out
			memhog $((free / 1024 - 96)) 1000 >/hog.out 2>&1 &
			hog=$!
			until grep -qs touched /hog.out; do sleep 0.1; done
			kill $hog
			wait $hog
			look
			echo "filled-$count $free"
			;;
		watch)
			rm -f /enough
			(
				look
				lowest=$free
				echo "watches-$count"
				while [ ! -e /enough ]; do
					look
					[ $free -ge $lowest ] || lowest=$free
				done
				echo "lowest-$count $lowest"
			) &
			;;
		enough) touch /enough ;;
		off) break ;;
		esac
	done
	dmesg | grep -iE 'out of memory|oom-kill|BUG:|Oops' | sed 's/^/guest complains: /'
	echo over
	read -r line
END
guest_expect '^ready' 60 || fail "the guest does not come up"
# What it had free from the start is reported by and by.
steady "$PID" 20 || note "resident memory still moves before anything was asked"

reporting() {
	"$EBB" qmp reclaim "{\"execute\": \"x-ebb-set-reporting\", \"arguments\": {\"paused\": $1}}" >"$W/set.answer" ||
		fail "x-ebb-set-reporting: $(cat "$W/set.answer")"
}

# fill N: the guest uses nearly all it has and lets go. Sets peak (KiB resident), free (KiB, by the guest), and level: what is
# resident when 95 % of what is free above the reserve is not.
fill() {
	guest_type "fill $1"
	guest_expect "^filled-$1 " 60 || fail "memhog does not get its memory"
	peak=$(ram_rss_kib "$PID")
	free=$(guest_answer "filled-$1")
	level=$((ram * 1024 - (free - reserve * 1024) * 95 / 100))
}

there() {
	resident=$(ram_rss_kib "$PID")
	[ "$resident" -le $level ]
}

# absent: how much of what is free in the guest the host has, in percent.
absent() {
	echo $(((ram * 1024 - $(ram_rss_kib "$PID")) * 100 / free))
}

# until_there SECONDS: sets took (ms), from begun on.
until_there() {
	while ! there; do
		took=$(($(now_ms) - begun))
		[ $took -lt $(($1 * 1000 * TIMEOUT_FACTOR)) ] || return 1
		sleep 0.02
	done
	took=$(($(now_ms) - begun))
}

# On command alone.
reserve=64
reporting true
fill 1
peak_1=$peak
begun=$(now_ms)
"$EBB" reclaim reclaim >"$W/answer" 2>&1 &
command=$!
until_there 30 || fail "ebb reclaim leaves $resident KiB resident of $peak, $level expected: $(cat "$W/answer")"
by_command=$took
wait $command || fail "ebb reclaim: $(cat "$W/answer")"
figure "$(cat "$W/answer")"
run=$("$EBB" qmp reclaim x-ebb-query-reclaim-run)
taken=$(($(echo "$run" | jq .return.taken_bytes) >> 10))
there || fail "ebb reclaim leaves $resident KiB resident of $peak, $level expected"
figure "on command: $((free / 1024)) MiB free in the guest, $((taken >> 10)) of them taken; resident $((peak / 1024)) MiB, then" \
	"$((resident / 1024)) MiB, so that the host has $(absent) % of what is free; released after $(echo "$run" | jq .return.inflating_ms) ms," \
	"the guest had it all back after $(echo "$run" | jq .return.duration_ms) ms"
# Nearly, as some of it was freed since; the guest's own word comes below.
[ "$taken" -le $((free - reserve * 1024 + 8192)) ] || fail "the balloon took $taken KiB of $free, the reserve is $reserve MiB"
[ "$(ebb_stat .balloon.actual_bytes)" = 0 ] || fail "the balloon is not empty after the run"

# Once more, looked at from within.
fill 2
guest_type "watch 2"
guest_expect '^watches-2' 10 || fail "the guest does not watch its memory"
"$EBB" reclaim reclaim >"$W/answer" 2>&1 || fail "the second ebb reclaim: $(cat "$W/answer")"
guest_type enough
guest_expect '^lowest-2' 20 || fail "the guest does not tell its lowest"
lowest=$(guest_answer lowest-2)
figure "once more: $(cat "$W/answer"); MemFree in the guest never below $lowest KiB"
there || fail "the second ebb reclaim leaves $resident KiB resident of $peak, $level expected"
# Its own programs take some pages meanwhile.
[ "$lowest" -ge $((reserve * 1024 - 512)) ] || fail "the guest had only $lowest KiB free meanwhile, the reserve is $reserve MiB"

# By reporting alone, which goes on, from the state of the first.
reporting false
fill 3
begun=$(now_ms)
until_there 60 || fail "reporting leaves $resident KiB resident of $peak with $((free / 1024)) MiB free in the guest"
figure "95 % of what is free above the reserve: on command after $by_command ms, by reporting after $took ms," \
	"$((took / by_command)).$((took * 10 / by_command % 10)) times as long"
difference=$((peak - peak_1))
[ ${difference#-} -le $((peak / 20)) ] || fail "not the same state: $peak_1 KiB resident at first, then $peak KiB"
[ "$HOST_KIND" = nested ] && [ "$EBB_CLOCK" != icount ] || [ $took -ge $((10 * by_command)) ] ||
	fail "reporting takes $took ms and ebb reclaim $by_command, which is not 10 times sooner"
guest_type off
guest_expect '^over' 30 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
guest_type off
guest_wait 30 || fail "still running after poweroff"
pass
