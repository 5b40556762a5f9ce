# SPDX-License-Identifier: Apache-2.0
# Inflating 512 MiB (192 in an emulated RISC-V host): few release calls, RSS falls by what the guest gave; 50 rounds leak nothing.
# timeout: 240
# only-riscv: riscv-aia
# cost: 60

need jq strace
guest_start inflate "$DEFAULT_GUEST" -m "$(mib 1024 448)" --balloon free-page-reporting=off --timeout 230 <<-'END'
	free=$(sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	memhog $((free / 1024 - 80))
	echo ready
	read -r line
END

guest_expect '^ready' 90 || fail "the guest does not come up"
balloon() {
	"$EBB" balloon inflate "$1" --wait >"$W/balloon.err" 2>&1 || fail "balloon $1: $(cat "$W/balloon.err")"
}
before=$(ram_rss_kib "$PID")
trace_start "$W/calls" "$PID" madvise,process_madvise,fallocate,mmap,munmap
size=$(mib 512 192)
balloon "${size}M"
# Parts of huge pages wait for the host to need them; here they are asked for.
"$EBB" qmp inflate '{"execute": "x-ebb-set-inflate", "arguments": {"hold": 100}}' >/dev/null || fail "x-ebb-set-inflate"
nothing_waits() {
	[ "$(ebb_stat .reclaim.deferred_bytes)" = 0 ]
}
within 10 nothing_waits || fail "$(ebb_stat .reclaim.deferred_bytes) bytes still wait 10 s after they were asked for"
trace_stop
after=$(ram_rss_kib "$PID")
given=$(($(ebb_stat .balloon.actual_bytes) / 1024))
[ $given = $((size * 1024)) ] || fail "the balloon has $given KiB"
fallen=$((before - after))
calls=$(count_release_calls "$W/calls")
figure "$size MiB inflated: $calls release calls, $((calls * 1024 / size)) per GiB; resident $((before / 1024)) MiB before, $((after / 1024)) MiB after"
[ "$calls" -le $((600 * size / 512)) ] || fail "$calls release calls, $((600 * size / 512)) allowed"
# Some of what the guest gave it may never have touched: that was not resident before either, but cannot be much.
absent=$(($(ebb_stat .reclaim.inflate.bytes_absent) / 1024))
[ $absent -le $((given / 10)) ] || fail "$absent KiB of $given are said to have been absent"
difference=$((fallen - (given - absent)))
[ $difference -ge 0 ] || difference=$((-difference))
[ $((difference * 50)) -le $given ] || fail "RSS fell by $fallen KiB, the guest gave $given KiB, $absent KiB were absent"
counted=$(($(ebb_stat .reclaim.inflate.bytes_released) / 1024))
difference=$((fallen - counted))
[ $difference -ge 0 ] || difference=$((-difference))
[ $((difference * 50)) -le $given ] || fail "accounting: $counted KiB released, RSS fell by $fallen KiB"

# The first rounds may still fill caches; what is looked for is growth.
balloon 0
balloon "$(mib 64 16)M"
balloon 0
fds() {
	find "/proc/$PID/fd" -type l | wc -l
}
fds_before=$(fds)
own_before=$(own_kib "$PID")
maps_before=$(wc -l <"/proc/$PID/maps")
round=0
while [ $round -lt 50 ]; do
	balloon "$(mib 32 4)M"
	balloon 0
	round=$((round + 1))
done
[ "$(ebb_stat .balloon.actual_bytes)" = 0 ] || fail "the balloon is not empty after 50 rounds"
figure "50 rounds: $(fds) fds ($fds_before before), own memory $(own_kib "$PID") KiB ($own_before before)"
[ "$(fds)" -le "$fds_before" ] || fail "$(fds) file descriptors after 50 rounds, $fds_before before"
[ "$(own_kib "$PID")" -le $((own_before + 64)) ] || fail "$(own_kib "$PID") KiB of its own, $own_before before"
[ "$(wc -l <"/proc/$PID/maps")" -le $((maps_before + 4)) ] ||
	fail "$(wc -l <"/proc/$PID/maps") mappings after 50 rounds, $maps_before before"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
