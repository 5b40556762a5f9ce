# SPDX-License-Identifier: Apache-2.0
# An ordinary user in group kvm, without a session: a guest boots, reports, is ballooned, typed to and reset; limits say their names.
# timeout: 120
# only-riscv: riscv-plic
# slow-riscv: a minute, for what is the same on x86
# root: it becomes the user itself
# cost: 30

. "$RIG/user.sh"
need jq
user_host || fail "no user"
chown "$user:$group" "$W"
# As in a container: no session, so no folder of one. And no more descriptors at first than a program of old needs.
rmdir "/run/user/$user" 2>/dev/null
home=/tmp/ebb-$user
WRAP="$RIG/bin/asuser $user $group,$kvm_group env -u XDG_RUNTIME_DIR"

# refused WHAT REGEX COMMAND…: one line that says so, and status 125.
refused() {
	what=$1 regex=$2
	shift 2
	timeout 30 "$@" </dev/null >"$W/refused.out" 2>"$W/refused.words"
	got=$?
	note "$what: $(cat "$W/refused.words")"
	[ $got = 125 ] || fail "$what: status $got"
	[ "$(wc -l <"$W/refused.words")" = 1 ] || fail "$what: not one line"
	grep -qE -e "$regex" "$W/refused.words" || fail "$what: the line does not say $regex"
}

refused "not in the group" '/dev/kvm: permission denied .*group kvm' "$RIG/bin/asuser" "$user" "$group" "$EBB" run --name refused
# shellcheck disable=SC2086 # words
refused "few descriptors" 'file descriptors.*hard limit is 60 .*ulimit -n' $WRAP sh -c 'ulimit -n 60; exec "$0" "$@"' "$EBB" run --name refused
# shellcheck disable=SC2086
refused "few threads" 'no more threads: raise .ulimit -u., which is 1' $WRAP sh -c 'ulimit -u 1; exec "$0" "$@"' "$EBB" run --name refused
# shellcheck disable=SC2086
refused "locked memory" '--mem lock: .*more than this user may lock.*ulimit -l' $WRAP sh -c 'ulimit -l 64; exec "$0" "$@"' "$EBB" run --name refused -m 64,lock
[ -z "$(ls -A "$home")" ] || fail "refused starts left $(ls -A "$home")"

# A control group that the guest does not fit into: said where it may become too large, refused where it is so at once.
if [ "$HOST_KIND" = nested ] && mount -t cgroup2 none /sys/fs/cgroup; then
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/small || fail "no control group"
	(
		read -r own _ </proc/self/stat
		echo "$own" >/sys/fs/cgroup/small/cgroup.procs
		echo 64M >/sys/fs/cgroup/small/memory.max
		# shellcheck disable=SC2086 # words
		refused "a small group" 'mem 256M,prealloc: .* 64M .*small/memory.max' $WRAP "$EBB" run --name group -m 256,prealloc
		echo 260M >/sys/fs/cgroup/small/memory.max
		$WRAP "$EBB" run --name group -m 256 --timeout 60 </dev/null >"$W/group.out" 2>"$W/group.words" ||
			fail "in a group of 260 MiB: $(cat "$W/group.out" "$W/group.words")"
	)
	[ ! -s "$W/verdict" ] || exit 0
	note "$(cat "$W/group.words")"
	grep -q '256M of RAM and .* do not fit into the 260M .*/small/memory.max' "$W/group.words" || fail "no line about the group of 260 MiB"
	grep -q 'selftest passed' "$W/group.out" || fail "the selftest in a group: $(cat "$W/group.out")"
	rmdir /sys/fs/cgroup/small
	umount /sys/fs/cgroup
else
	note "not on a host that is used otherwise: a control group of its own"
fi

hog=$(mib 96 32)
guest_start user "$DEFAULT_GUEST" -m 256 --timeout 110 <<-END
	echo ready
	read -r word
	echo "got \$word"
	$(guest_hog "$hog")
	read -r line
	reboot -f
END
guest_expect '^ready' 60 || fail "the guest does not come up"
grep -q "^Uid:	$user	$user	$user	$user\$" "/proc/$PID/status" || fail "ebb does not run as the user"
[ -S "$home/user.sock" ] || fail "no control socket in $home: $(ls -lR "$home")"
limit=$(awk '/^Max open files/ { print $4 }' "/proc/$PID/limits")
fds=$(find "/proc/$PID/fd" -type l | wc -l)
note "$fds descriptors of $limit"
[ "$fds" -lt "$limit" ] || fail "$fds descriptors and a limit of $limit"

# own COMMAND…: the user's, of the same session.
own() {
	$WRAP "$EBB" "$@"
}
own list | grep -q '^user ' || fail "the user's guest is not in its list: $(own list 2>&1)"
guest_type hello
guest_expect '^got hello' 20 || fail "what is typed does not arrive"
guest_expect '^touched' 30 || fail "memhog does not get its memory"
resident() {
	own stat user --json | jq -r .memory.resident_bytes
}
peak=$(resident)
guest_type free
guest_expect '^freed' 20 || fail "memhog does not end"
is_back() {
	[ $((peak - $(resident))) -ge $((hog * 1024 * 1024 * 75 / 100)) ]
}
within 30 is_back || fail "$(resident) bytes are resident, $peak were, and the guest let go of $hog MiB"
figure "reported as a user: $hog MiB of $((peak >> 20)) came back"
own balloon user 64M --wait >"$W/balloon.words" 2>&1 || fail "balloon: $(cat "$W/balloon.words")"
[ "$(own stat user --json | jq -r .balloon.actual_bytes)" = $((64 << 20)) ] || fail "the balloon is not as large as asked"
own balloon user 0 --wait >"$W/balloon.words" 2>&1 || fail "balloon: $(cat "$W/balloon.words")"

: >"$W/user.console"
guest_type again
guest_expect '^ready' 60 || fail "the guest does not come up again"
own stop user || fail "ebb stop"
guest_wait 20 || fail "still running"
[ "$STATUS" = 0 ] || fail "status $STATUS"
[ -z "$(ls -A "$home")" ] || fail "it left $(ls -A "$home")"
pass
