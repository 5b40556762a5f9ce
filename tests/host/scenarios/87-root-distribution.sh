# SPDX-License-Identifier: Apache-2.0
# `ebb run --root` of a folder with Debian in it, under a stock kernel: its shell; and with SLOW=1 its systemd to the login prompt.
# timeout: 200
# timeout-slow: 900
# cost: 25
# only-riscv: riscv-aia
# slow-riscv: minutes, where one processor emulates host and guest
# guests: standard
# modules: standard
# disk: 4G debian
# root-beside: it mounts the folder

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
disk_begin "$1"
disk_mount "$DISK/debian.img" "$W/debian" || fail "debian.img cannot be mounted"
folder=$RIG/guests/$STANDARD_GUEST

# start NAME PARAMS: with the folder as its root, read-only, and its console here.
start() {
	GUEST=$1
	mkfifo "$W/$1.stdin"
	exec 8<>"$W/$1.stdin"
	: >"$W/$1.console"
	"$EBB" run --name "$1" -k "$folder/vmlinuz" --root "$W/debian,modules=$folder/root" -m 512 --timeout 890 -p "quiet $2" \
		<&8 >>"$W/$1.console" 2>"$W/$1.err" 8>&- &
	PID=$!
	echo "$PID" >>"$W/pids"
}

# type_and_see LINE REGEX SECONDS
type_and_see() {
	guest_type "$1"
	guest_expect "$2" "$3" || fail "after '$1' no '$2' on the console"
}

ls -lR "$W/debian/etc" >"$W/etc.before"
begun=$(now_ms)
start shell ""
guest_expect '[#$] $' 100 || fail "no shell's prompt"
figure "a shell in Debian's folder after $((($(now_ms) - begun) / 1000)) s"
type_and_see 'echo; . /etc/os-release; echo "id $ID"; echo "packages $(dpkg -l | grep -c ^ii)"; touch /etc/mine && echo "mine $(ls /etc/mine)"; echo "end 1"' '^end 1' 60
[ "$(guest_answer id)" = debian ] || fail "this is '$(guest_answer id)', not Debian"
[ "$(guest_answer packages)" -gt 50 ] || fail "dpkg knows '$(guest_answer packages)' packages"
# What the guest writes is in its memory only.
[ "$(guest_answer mine)" = /etc/mine ] || fail "nothing can be written above the folder"
ls -lR "$W/debian/etc" >"$W/etc.after"
cmp "$W/etc.before" "$W/etc.after" || fail "the folder has changed"
guest_type exit
guest_wait 60 || fail "still running after the shell's end"
note "status $STATUS after the shell's end"
[ "$SLOW" = 1 ] || pass
# Whoever logs in is looked up in files that only root may read.
[ -z "${EBB_USER:-}" ] || pass

begun=$(now_ms)
start systemd "init=/sbin/init"
guest_expect 'distribution login:' 600 || fail "no login prompt of systemd"
figure "systemd's login prompt from Debian's folder after $((($(now_ms) - begun) / 1000)) s"
type_and_see root 'Password:' 60
type_and_see ebb '^.*root@distribution:.*#' 90
type_and_see 'echo; echo "state $(systemctl is-system-running --wait)"; echo "end 2"' '^end 2' 240
type_and_see 'echo; systemctl list-units --failed --no-legend --plain --no-pager | sed "s/^/unit-failed /"; echo "end 3"' '^end 3' 60
figure "systemd says it is $(guest_answer state) $(guest_answer unit-failed)"
[ "$(guest_answer state)" = running ] || fail "systemd is $(guest_answer state): $(guest_answer unit-failed)"
guest_type 'systemctl poweroff'
guest_wait 200 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
