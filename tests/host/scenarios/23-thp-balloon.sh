# SPDX-License-Identifier: Apache-2.0
# 512 MiB of a stock 1 GiB guest inflated after work: whole huge pages go, at least 50 times fewer are split than page by page, and the host has the memory.
# timeout: 300
# cost: 65
# archs: x86
# hosts: sid
# root-beside: it sets the host's lists of free pages and a control group

need jq
[ -r /proc/vmstat ] || skip "no /proc/vmstat"
[ "$(cut -d' ' -f1 /sys/kernel/mm/transparent_hugepage/enabled)" != "[never]" ] || skip "this host has no huge pages"
# Free memory of a nested host that waits in lists of a CPU is not counted as free.
[ "$HOST_KIND" != nested ] || echo 100000 >/proc/sys/vm/percpu_pagelist_high_fraction

# worked NAME: a guest that wrote, compressed and removed files, and used all its memory.
worked() {
	guest_start "$1" "$DEFAULT_GUEST" -m 1024 --balloon free-page-reporting=off --timeout 290 <<-'END'
		mkdir /tmp/work && cd /tmp/work
		i=0
		while [ $i -lt 400 ]; do
			dd if=/dev/zero of=f$i bs=4k count=$((1 + i % 61)) 2>/dev/null
			[ $((i % 3)) = 0 ] || gzip -1 f$i
			i=$((i + 1))
		done
		tar cf all.tar f*
		memhog 500
		i=0
		while [ $i -lt 400 ]; do rm -f f$i f$i.gz; i=$((i + 2)); done
		free=$(sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo)
		memhog $((free / 1024 - 80))
		echo ready
		read -r line
	END
	guest_expect '^ready' 120 || fail "$1: the guest does not come up"
}

set_inflate() {
	"$EBB" qmp "$GUEST" "{\"execute\": \"x-ebb-set-inflate\", \"arguments\": {$1}}" >"$W/set.answer" ||
		fail "x-ebb-set-inflate: $(cat "$W/set.answer")"
}

# Those that lost their huge mapping, and those that were taken apart.
splits() {
	awk '/^thp_split_page |^thp_split_pmd / { sum += $2 } END { print sum + 0 }' /proc/vmstat
}

split_kinds() {
	awk '/^thp_split_page |^thp_split_pmd |^thp_deferred_split_page / { printf "%s %s ", $1, $2 }' /proc/vmstat
}

available_kib() {
	sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

balloon() {
	"$EBB" balloon "$GUEST" "$1" --wait >"$W/balloon.err" 2>&1 || fail "balloon $1: $(cat "$W/balloon.err")"
}

worked whole
before=$(available_kib) split_before=$(splits) resident_before=$(ram_rss_kib "$PID")
balloon 512M
sleep 2
# What went until now went as whole blocks.
waits=$(ebb_stat .reclaim.deferred_bytes)
calls=$(ebb_stat .reclaim.inflate.syscalls)
released=$(ebb_stat .reclaim.inflate.bytes_released)
# Parts of huge pages wait for 10 s; then those go that are worth it.
sleep 11
split=$(($(splits) - split_before))
waits_on=$(ebb_stat .reclaim.deferred_bytes)
fallen=$((resident_before - $(ram_rss_kib "$PID")))
gained() {
	rise=$(($(available_kib) - before))
	[ $rise -ge $((524288 * 97 / 100)) ] && [ $rise -le $((524288 * 103 / 100)) ]
}
within 15 gained
missed=$?
figure "512 MiB inflated: $((released >> 20)) MiB released in whole blocks by $calls calls; $((waits >> 10)) KiB waited for the rest of their huge pages," \
	"$((waits_on >> 10)) KiB after 10 s; resident memory fell by $((fallen / 1024)) MiB, the host's MemAvailable rose by $((rise / 1024)) MiB"
[ $((released * 100)) -ge $((512 * 1048576 * 80)) ] || fail "only $((released >> 20)) MiB of 512 left by whole blocks"
[ $((calls * 2)) -le 64 ] || fail "$((calls * 2)) release calls per GiB, 64 allowed"
set_inflate '"hold": 0'
sleep 1
parts=$(($(splits) - split_before - split))
figure "huge pages split: $split when the time of the parts was up, that is $((split * 2)) per GiB; $parts more, $((parts * 2)) per GiB, and" \
	"$((($(available_kib) - before - rise))) KiB more available, when the parts are asked for"
[ "$(ebb_stat .reclaim.deferred_bytes)" = 0 ] || fail "parts that were asked for still wait"

# A process that may have no more memory, and waits for it: the host's pressure, as PSI tells it.
squeeze() {
	mkdir "$W/cgroup" && mount -t cgroup2 none "$W/cgroup" && echo +memory >"$W/cgroup/cgroup.subtree_control" || return 1
	mkdir "$W/cgroup/squeezed" && echo 4M >"$W/cgroup/squeezed/memory.high" || return 1
	sh -c 'echo $$ >"$1/cgroup.procs"; exec dd if=/dev/zero of="$2" bs=256k count=64' squeezed "$W/cgroup/squeezed" "$W/filler" 2>/dev/null &
	squeezed=$!
}
nothing_waits() {
	[ "$(ebb_stat .reclaim.deferred_bytes)" = 0 ]
}
stalled_us() {
	sed -n 's/^some.* total=//p' /proc/pressure/memory
}
set_inflate '"hold": 60000'
balloon 509M
balloon 512M
sleep 1
waits=$(ebb_stat .reclaim.deferred_bytes)
[ "$waits" -gt 0 ] || fail "3 MiB more in the balloon are whole blocks of 2 MiB"
[ -r /proc/pressure/memory ] || fail "this host has no PSI"
stalled=$(stalled_us)
if squeeze 2>"$W/squeeze.err"; then
	within 15 nothing_waits || fail "$waits bytes wait while the host's processes wait for memory: $(tr "\n" ";" </proc/pressure/memory)"
	kill "$squeezed" 2>/dev/null
	figure "$((waits >> 10)) KiB that would have waited for 60 s went when the host's processes had waited for memory for" \
		"$((($(stalled_us) - stalled) / 1000)) ms"
else
	note "no cgroup to be short of memory in: $(cat "$W/squeeze.err")"
fi
umount "$W/cgroup" 2>/dev/null
rm -f "$W/filler"
guest_type off
guest_wait 30 || fail "still running after poweroff"

worked pages
set_inflate '"page-by-page": true'
split_before=$(splits)
balloon 128M
sleep 1
by_page=$(($(splits) - split_before))
figure "page by page: $by_page split for 128 MiB, that is $((by_page * 8)) per GiB, in $(ebb_stat .reclaim.inflate.syscalls) calls"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ $by_page -gt 0 ] || fail "no huge page was split page by page: there were none to split"
[ $((by_page * 8)) -ge $((50 * split * 2)) ] ||
	fail "$((split * 2)) huge pages split per GiB, $((by_page * 8)) page by page: not 50 times fewer"
note "of all: $(split_kinds)"
[ $missed = 0 ] || fail "MemAvailable of the host rose by $rise KiB for 524288 KiB in the balloon: more than 3 % apart"
pass
