# SPDX-License-Identifier: Apache-2.0
# `ebb run --root`: a stock kernel boots into a folder, where changes stay in the guest or, with rw, arrive; what is missing is said.
# timeout: 200
# timeout-slow: 500
# cost: 42
# only-riscv: riscv-aia
# guests: standard
# modules: standard
# shellcheck disable=SC2016 # the guest expands what is typed

kernel=$RIG/guests/$STANDARD_GUEST/vmlinuz
modules=$RIG/guests/$STANDARD_GUEST/root
[ -f "$kernel" ] || skip "no guest kernel $STANDARD_GUEST"
root=$W/root
mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/run"
cp "$RIG/busybox" "$root/bin/busybox"
for name in sh cat grep id mkdir poweroff sync tr tty uname; do
	ln -s busybox "$root/bin/$name"
done
echo host >"$root/etc/origin"

# start NAME DIR-AND-KEYS [ebb options]
start() {
	GUEST=$1
	start_root=$2
	shift 2
	mkfifo "$W/$GUEST.stdin"
	exec 8<>"$W/$GUEST.stdin"
	: >"$W/$GUEST.console"
	TERM=vt102 "$EBB" run --name "$GUEST" -k "$kernel" --root "$start_root" -m 256 \
		--timeout $((100 * TIMEOUT_FACTOR)) "$@" <&8 >>"$W/$GUEST.console" 2>"$W/$GUEST.err" 8>&- &
	PID=$!
	echo "$PID" >>"$W/pids"
}

# answer KEY WANTED
answer() {
	[ "$(guest_answer "$1")" = "$2" ] || fail "$1 is '$(guest_answer "$1")' instead of '$2'"
}

# A shell, and everything may be changed.
start shell "$root,modules=$modules" -p quiet
guest_expect 'Enter .help.' 90 || fail "no shell"
guest_type 'echo; echo "user $(id -u)"; echo "tty $(tty)"; echo "term $TERM"; echo "home $PWD"; echo "host $(uname -n)"'
guest_type 'echo; echo "origin $(cat /etc/origin)"; echo guest >/etc/origin; echo new >/etc/new; echo "now $(cat /etc/origin /etc/new | tr "\n" " ")"'
guest_type 'echo; echo "root $(grep " / " /proc/mounts)"; : </dev/null; echo "end $?"'
guest_expect '^end 0' 20 || fail "the shell does not answer"
answer user 0
answer tty /dev/ttyS0
answer term vt102
answer home /root
answer host shell
answer origin host
answer now "guest new "
guest_saw '^root overlay / overlay' || fail "the root is no overlay: $(guest_answer root)"
guest_type exit
guest_wait 20 || fail "still running after the shell's end"
[ "$STATUS" = 0 ] || fail "status $STATUS after the shell's end"
[ "$(cat "$root/etc/origin")" = host ] || fail "the guest changed a file of the host's"
[ ! -e "$root/etc/new" ] || fail "the guest made a file on the host"

# The folder itself, with the modules in it, and a first program of the user's.
cp -r "$modules/lib" "$root/"
cat >"$root/bin/first" <<'END'
#!/bin/sh
echo "pid $$ $*"
echo guest >/etc/origin
echo new >/etc/new
mkdir /etc/folder
grep ' / ' /proc/mounts
sync
poweroff -f
END
chmod 755 "$root/bin/first"
start writes "$root,rw" -p "quiet init=/bin/first single"
guest_wait 90 || fail "rw: still running"
[ "$STATUS" = 0 ] || fail "rw: status $STATUS"
answer pid "1 single"
[ "$(cat "$root/etc/origin" "$root/etc/new" | tr '\n' ' ')" = "guest new " ] || fail "rw: what the guest wrote is not on the host"
[ -d "$root/etc/folder" ] || fail "rw: a folder is not on the host"
[ "$SLOW" = 1 ] || pass

# A guest that reboots finds its root again; over virtio-mmio too.
cat >"$root/bin/first" <<'END'
#!/bin/sh
cat /etc/booted 2>/dev/null && poweroff -f
echo 'booted again' >/etc/booted
sync
reboot -f
END
ln -s busybox "$root/bin/reboot"
start again "$root,rw" -p "quiet init=/bin/first" --transport mmio
guest_wait 120 || fail "reboot: still running"
[ "$STATUS" = 0 ] || fail "reboot: status $STATUS"
answer booted again

# A kernel that has no 9P says what to do.
rm -r "$W/root/lib"
start without "$root" -p quiet
guest_wait 90 || fail "without modules: still running"
guest_saw '^ebb: the kernel has no 9P: .*CONFIG_9P_FS' || fail "without modules: no word of what is missing"
[ "$STATUS" = 0 ] || fail "without modules: status $STATUS"
# So does a folder without a shell.
rm "$root/bin/sh"
start shellless "$root,modules=$modules" -p quiet
guest_wait 90 || fail "without a shell: still running"
guest_saw '^ebb: no shell in the folder' || fail "without a shell: no word of it"
pass
