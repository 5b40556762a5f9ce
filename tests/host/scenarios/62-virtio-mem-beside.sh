# SPDX-License-Identifier: Apache-2.0
# Plugged memory beside the rest: pause and resume, reporting and balloon on it; a reset unplugs all, and the next boot gets what is asked.
# timeout: 200
# cost: 30
# slow-riscv: Debian's kernels have no virtio-mem there: one is built on demand (make kernel-riscv)
# guests-riscv: own-mem

need jq
kernel=$DEFAULT_GUEST
[ "$ARCH" != riscv ] || kernel=own-mem
[ -s "$RIG/guests/$kernel/vmlinuz" ] || skip "no kernel with virtio-mem was built (make kernel-riscv)"
more=$(mib 640 384) # plugged at the most
hog=$((more - 80))
EXTRA_PARAMS=memhp_default_state=online_movable
guest_start beside "$kernel" -m 256 --virtio-mem id=vm0,size=2G,requested-size=256M --timeout 190 <<-END
	echo "ready \$(cut -d' ' -f1 /proc/uptime)"
	while read -r word; do
		case \$word in
		hog)
			memhog $hog 1000 >/hog.out &
			hog=\$!
			until grep -q touched /hog.out; do sleep 0.1; done
			echo touched
			;;
		free)
			kill \$hog
			wait \$hog
			echo freed
			;;
		complaints)
			dmesg | grep -iE 'BUG:|Oops|bad page|out of memory|Killed process|WARNING:.*(mm/|virtio|memory)|virtio_mem.*(unknown|fail|error)' | sed 's/^/guest complains: /'
			echo told
			;;
		off) break ;;
		esac
	done
END

# at DEVICE-MIB: that much is plugged.
at() {
	[ "$(ebb_stat '.virtio_mem[0].plugged_bytes')" = $(($1 << 20)) ]
}

guest_expect '^ready' 60 || fail "the guest does not come up"
within 20 at 256 || fail "what was requested at the start is not plugged: $(ebb_stat '.virtio_mem | tostring')"

# A paused guest does nothing; when it goes on, it follows.
"$EBB" pause beside || fail "pause"
"$EBB" mem beside vm0 ${more}M >"$W/mem.out" 2>&1 || fail "ebb mem of a paused guest: $(cat "$W/mem.out")"
sleep 2
at 256 || fail "a paused guest plugs memory"
"$EBB" resume beside || fail "resume"
within 30 at "$more" || fail "after resume: $(ebb_stat '.virtio_mem | tostring')"

# Free page reporting, on memory of which most was plugged.
guest_type hog
guest_expect '^touched' 60 || fail "plugged memory cannot be used"
resident_mib() {
	awk '/^Rss(Anon|Shmem):/ { sum += $2 } END { print int(sum / 1024) }' "/proc/$PID/status"
}
peak=$(resident_mib)
[ "$peak" -ge $hog ] || fail "$peak MiB resident with $hog MiB in use"
guest_type free
guest_expect '^freed' 20 || fail "memhog does not end"
reported() {
	[ $((peak - $(resident_mib))) -ge $((hog * 8 / 10)) ]
}
begun=$(now_ms)
within 40 reported || fail "of $hog MiB that the guest let go only $((peak - $(resident_mib))) MiB came back"
figure "reporting: $peak MiB resident with $hog MiB in use (256 of boot, $more plugged), $(resident_mib) MiB $((($(now_ms) - begun) / 1000)) s after"

# A balloon that takes more than boot memory has.
"$EBB" balloon beside "$((more - 240))M" --wait >"$W/balloon.err" 2>&1 || fail "balloon: $(cat "$W/balloon.err")"
at "$more" || fail "the balloon unplugs"
figure "balloon of $((more - 240)) MiB: $(resident_mib) MiB resident"
"$EBB" balloon beside 0 --wait >"$W/balloon.err" 2>&1 || fail "balloon 0: $(cat "$W/balloon.err")"
"$EBB" mem beside vm0 128M --wait >"$W/mem.out" 2>&1 || fail "ebb mem 128M: $(cat "$W/mem.out")"
guest_type complaints
guest_expect '^told' 20 || fail "the guest does not answer"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"

# A guest that was shrunk has no more after a reboot; until its driver is up it has nothing.
: >"$W/beside.console"
"$EBB" reset beside || fail "reset"
within 5 at 0 || fail "after the reset $(ebb_stat '.virtio_mem[0].plugged_bytes') bytes are plugged"
figure "reset: $(ebb_stat '.virtio_mem[0] | "\(.plugged_bytes) of \(.requested_bytes) bytes plugged, \(.slots) slots"'), $(resident_mib) MiB resident"
guest_expect '^ready' 60 || fail "the guest does not come up again"
within 20 at 128 || fail "after the reset: $(ebb_stat '.virtio_mem | tostring')"
"$EBB" mem beside vm0 256M --wait >"$W/mem.out" 2>&1 || fail "ebb mem 256M after the reset: $(cat "$W/mem.out")"
guest_type complaints
guest_expect '^told' 20 || fail "the guest does not answer"
guest_saw '^guest complains' && fail "the guest complains after the reset: $(guest_answer 'guest complains:')"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
