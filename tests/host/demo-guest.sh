# SPDX-License-Identifier: Apache-2.0
# What `make run` shows of a Debian guest: it touches 700 MiB, frees them, and the host sees them come back.
# timeout: 180

show() {
	echo "@@ SHOW $*"
}

# bar MIB: a bar of 52 columns for 1024 MiB.
bar() {
	awk -v mib="$1" 'BEGIN {
		full = int(mib * 52 / 1024 + 0.5)
		for (i = 0; i < 52; i++)
			line = line (i < full ? "#" : ".")
		print line
	}'
}

resident_mib() {
	echo $(($(ram_rss_kib "$PID") / 1024))
}

line() {
	show "$(printf '  %-22s %5d MiB  %s' "$1" "$2" "$(bar "$2")")"
}

show "  starting a stock Debian guest with 1024 MiB of memory"
guest_start demo "$DEFAULT_GUEST" -m 1024 --timeout 170 <<-'END'
	echo "total $(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
	echo settled
	read -r line
	memhog 700 1000 >/hog.out &
	hog=$!
	until grep -q touched /hog.out; do sleep 0.2; done
	echo touched
	read -r line
	kill $hog
	wait $hog
	echo freed
	read -r line
END
guest_expect '^settled' 70 || fail "the guest does not come up"
show "  Linux $(guest_answer 'ebb-guest: up' | cut -d' ' -f2) is up; memory of the guest that is resident in ebb:"
show ""
line "after boot" "$(resident_mib)"
guest_type touch
guest_expect '^touched' 60 || fail "the program in the guest does not get its memory"
peak=$(resident_mib)
line "a program has 700 MiB" "$peak"
guest_type free
guest_expect '^freed' 20 || fail "the program in the guest does not end"
begun=$(now_ms)
after=$peak
quiet=0
while [ $(($(now_ms) - begun)) -lt 60000 ]; do
	sleep 2
	after=$(resident_mib)
	line "freed, $((($(now_ms) - begun + 500) / 1000)) s later" "$after"
	# 95 % are back; one more look, and that is it.
	if [ $((peak - after)) -ge 665 ]; then
		quiet=$((quiet + 1))
		[ $quiet -lt 2 ] || break
	fi
done
back=$((peak - after))
show ""
show "  guest memory, total                     1024 MiB"
show "$(printf '  resident in ebb at its peak            %5d MiB' "$peak")"
show "$(printf '  resident in ebb after the guest freed  %5d MiB' "$after")"
show "$(printf '  came back to the host                  %5d MiB, %d %% of the 700 the program had' "$back" $((back * 100 / 700)))"
show "$(ebb_stat '.reclaim.report | "  free page reporting: \(.requests) requests, \(.syscalls) release system calls"')"
guest_type off
guest_wait 30 || fail "the guest does not power off"
[ "$STATUS" = 0 ] || fail "ebb ended with status $STATUS"
[ $back -ge 630 ] || fail "only $back of 700 MiB came back"
pass
