# SPDX-License-Identifier: Apache-2.0
# A guest grows by 512 MiB and shrinks back, twice (6 GiB, 20 times with SLOW=1 and L1_MEM=8704), as a program allocates and frees.
# timeout: 200
# timeout-slow: 3000
# cost: 50
# slow-riscv: Debian's kernels have no virtio-mem there: one is built on demand (make kernel-riscv)
# guests-riscv: own-mem

need jq
kernel=$DEFAULT_GUEST
[ "$ARCH" != riscv ] || kernel=own-mem
[ -s "$RIG/guests/$kernel/vmlinuz" ] || skip "no kernel with virtio-mem was built (make kernel-riscv)"
rounds=2
size=$(mib 512 256)
boot=256
if [ "$SLOW" = 1 ] && [ "$SIZES" != small ]; then
	rounds=20
	size=6144
	boot=512
	host=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
	# The guest's memory, this machine's own, and what keeps both alive.
	[ $((size + boot + 1024)) -le "$host" ] || size=$(((host - boot - 1024) / 128 * 128))
	[ $size -ge 512 ] || skip "this host has $host MiB, too little for a guest of 1 GiB"
fi
# More than boot memory has room for: a part of it, at least, lies in what was plugged.
hog=$((size + 32))
EXTRA_PARAMS=memhp_default_state=online_movable
guest_start rounds "$kernel" -m $boot --virtio-mem "id=vm0,size=8G,requested-size=0" --timeout 2990 <<-END
	churn 48 /stop >/churn.out 2>&1 &
	echo ready
	while read -r word count; do
		case \$word in
		hog)
			memhog $hog 1000 >/hog.out &
			hog=\$!
			until grep -q touched /hog.out || ! kill -0 \$hog; do sleep 0.1; done
			grep -q touched /hog.out && echo "touched \$count"
			;;
		free)
			kill \$hog
			wait \$hog
			echo "freed \$count"
			;;
		tables)
			# From here on the kernel uses for itself what is plugged.
			echo online >/sys/devices/system/memory/auto_online_blocks
			echo "tables next"
			;;
		fill)
			tables 40 1000 >/tables.out &
			until grep -q filled /tables.out; do sleep 0.1; done
			echo "tables filled"
			;;
		off) break ;;
		esac
	done
	touch /stop
	killall tables
	wait
	cat /churn.out
	dmesg | grep -iE 'BUG:|Oops|bad page|out of memory|Killed process|WARNING:.*(mm/|virtio|memory)|virtio_mem.*(unknown|fail|error)' | sed 's/^/guest complains: /'
	echo over
	read -r line
END

# resident_mib: what ebb has that is no file's.
resident_mib() {
	awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print int(sum / 1024) }' "/proc/$PID/status"
}

# hidden_kib: resident in mappings that nobody may access: unplugged, and not given back.
hidden_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { hidden = $2 ~ /^---/; next } hidden && $1 == "Rss:" { sum += $2 } END { print sum + 0 }' "/proc/$PID/smaps"
}

# mem SIZE [--wait=SECONDS]
mem() {
	"$EBB" mem rounds vm0 "$1" "${2:---wait}" >"$W/mem.out" 2>&1
}

plugged_mib() {
	echo $(($(ebb_stat '.virtio_mem[0].plugged_bytes') >> 20))
}

slots() {
	ebb_stat '.virtio_mem[0].slots'
}

guest_expect '^ready' 60 || fail "the guest does not come up"
[ "$(slots)" = 0 ] || fail "$(slots) slots with nothing plugged"
round=0
grew=0 shrank=0 slots_most=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	begun=$(now_ms)
	mem ${size}M || fail "round $round: $(cat "$W/mem.out")"
	grew=$((grew + $(now_ms) - begun))
	[ "$(plugged_mib)" = $size ] || fail "round $round: $(plugged_mib) of $size MiB are plugged"
	[ "$(slots)" -le $slots_most ] || slots_most=$(slots)
	guest_type "hog $round"
	guest_expect "^touched $round\$" 120 || fail "round $round: what is plugged cannot be used"
	peak=$(resident_mib)
	[ "$peak" -ge $((hog)) ] || fail "round $round: $peak MiB resident with $hog MiB in use"
	[ "$peak" -le $((boot + size + 16)) ] || fail "round $round: $peak MiB resident of $boot and $size"
	guest_type "free $round"
	guest_expect "^freed $round\$" 60 || fail "round $round: memhog does not end"
	begun=$(now_ms)
	mem 0 || fail "round $round: $(cat "$W/mem.out")"
	shrank=$((shrank + $(now_ms) - begun))
	[ "$(plugged_mib)" = 0 ] || fail "round $round: $(plugged_mib) MiB stay plugged"
	rest=$(resident_mib)
	[ "$rest" -le $((boot + 16)) ] || fail "round $round: $rest MiB resident with nothing plugged, of $boot MiB of boot memory"
	[ "$(hidden_kib)" = 0 ] || fail "round $round: $(hidden_kib) KiB of unplugged memory are resident"
	[ "$(slots)" = 0 ] || fail "round $round: $(slots) slots are left"
	note "round $round: $peak MiB resident at the peak, $rest behind; slots $slots_most at most"
done
figure "$rounds rounds of $size MiB: grown in $((grew / rounds)) ms, shrunk in $((shrank / rounds)) ms; resident $peak MiB at the peak," \
	"$rest MiB behind; $slots_most slots at most, none behind"
figure "unplugged: $(ebb_stat '.reclaim.unplug | "\(.bytes_in / 1048576) MiB in \(.requests) requests, \(.bytes_released / 1048576) MiB released in \(.syscalls) calls, \(.errors) errors"')"
[ "$(ebb_stat .reclaim.unplug.errors)" = 0 ] || fail "the host refused a release"
[ "$(ebb_stat '.virtio_mem[0].touches')" = 0 ] || fail "the guest's kernel touched what it has not got"

# Memory that the guest's kernel has taken for itself does not come back: what was asked for stays, and is reported as not reached.
guest_type tables
guest_expect '^tables next' 20 || fail "the guest does not answer"
mem 256M || fail "256 MiB: $(cat "$W/mem.out")"
guest_type fill
guest_expect '^tables filled' 60 || fail "page tables do not get their memory"
mem 0 --wait=6 && fail "all of it is unplugged, page tables too"
grep -qE 'still at [0-9.]+ ?[KMG]i?B? of 0' "$W/mem.out" || fail "a request that cannot be met: $(cat "$W/mem.out")"
figure "page tables in it: $(cat "$W/mem.out")"
left=$(plugged_mib)
[ "$left" -gt 0 ] && [ "$left" -lt 256 ] || fail "$left MiB are plugged with 40 MiB of page tables"
[ "$(ebb_stat '.virtio_mem[0].requested_bytes')" = 0 ] || fail "the request is forgotten"
guest_type off
guest_expect '^over' 60 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
guest_saw '^churn intact' || fail "the program that allocates and frees: $(guest_answer 'churn broken:')"
figure "churn: $(guest_answer 'churn intact:')"
guest_type off
guest_wait 30 || fail "still running after poweroff"
pass
