# SPDX-License-Identifier: Apache-2.0
# `ebb run --share`: a stock kernel mounts a folder by 9P, reads, writes, runs programs from it; what is read-only stays as it is, nothing
# outside is reached, and the server's end is an error to the guest and no more.
# timeout: 120
# cost: 30
# archs: x86
# hosts-x86: bookworm
# guests: standard

mkdir -p "$W/shared/sub" "$W/outside"
echo outside >"$W/outside/secret"
echo inside >"$W/shared/sub/secret"
cp "$RIG/busybox" "$W/shared/busybox"
head -c $(($(mib 4 1) * 262144)) "$RIG/busybox" >"$W/shared/data"
mkfifo "$W/shared/fifo"
ln -s ../outside/secret "$W/shared/relative"
ln -s "$W/outside/secret" "$W/shared/absolute"
ln -s .. "$W/shared/up"
mkdir "$W/shared/swap"
echo inside >"$W/shared/swap/secret"
ln -s ../outside "$W/shared/link"

# servers: their numbers, the writable share's first.
servers() {
	grep -lE '^ebb-share' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | while read -r server; do
		! grep -q "^PPid:	$PID\$" "/proc/$server/status" || echo "$server"
	done | sort -n
}

# listing: everything there is, with times.
listing() {
	(cd "$W/shared" && find . -exec ls -lnd --full-time {} + && md5sum data sub/secret)
}

guest_console >"$W/script"
cat >>"$W/script" <<'END'
load 9p
mkdir /rw /ro
mount -t 9p -o trans=virtio,version=9p2000.L writable /rw || echo "no mount"
mount -t 9p -o trans=virtio,version=9p2000.L share1 /ro || echo "no mount"
failures=
# refused COMMAND…: it fails, and in time.
refused() {
	! timeout 5 "$@" 2>/dev/null || failures="$failures; $*"
}
# what SECRET: what a way to the secret leads to.
what() {
	cat "$1" 2>/dev/null || echo nothing
}
change_readonly() {
	cd /ro || return
	for command in "touch new" "mkdir new" "rm data" "rmdir swap" "mv sub new" "ln data new" "ln -s x new" "mknod new p" \
		"chmod 0 data" "chown 1 data" "truncate -s 0 data" "dd if=/dev/zero of=data count=1 conv=notrunc" \
		"touch sub/secret"; do
		# shellcheck disable=SC2086 # words
		refused $command
	done
	cd /
	echo "tried$failures"
}
make_names() {
	cd /rw && mkdir made && ln copy made/linked && ln -s copy made/symlink && mv made/linked made/moved && chmod 4751 made/moved &&
		echo more >>sub/secret && truncate -s 5 made/new && rm copy && cd / &&
		stat -c "%h %a %s" /rw/made/moved /rw/made/new | xargs
}
make_owners() {
	mkdir -p /etc
	echo "guest:x:1000:1001::/:/bin/sh" >>/etc/passwd
	chmod 777 /rw/made && chown 12:34 /rw/made/new && su -s /bin/sh -c "echo x >/rw/made/own" guest && echo made
}
make_many() {
	mkdir /rw/many
	for part in 1 2 3; do
		(for i in $(seq 20); do echo "$part-$i" >"/rw/many/$part-$i"; done) &
	done
	wait
	ls /rw/many | wc -l
	cat /rw/many/* | sort -u | wc -l
}
serve_console
END
guest_start share "$STANDARD_GUEST" -m 256 --timeout 110 \
	--share "$W/shared,tag=writable" --share "$W/shared,readonly" <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"
guest_saw '^no mount' && fail "a share cannot be mounted"
listing >"$W/before"

# Read, and run from it.
guest_must 20 'md5sum </ro/data'
[ "$ANSWER" = "$(md5sum <"$W/shared/data")" ] || fail "read: $ANSWER"
guest_must 20 '/rw/busybox echo it runs'
[ "$ANSWER" = "it runs" ] || fail "a program of the share: $ANSWER"

# Read-only is read-only.
guest_must 30 change_readonly
[ "$ANSWER" = tried ] || fail "read-only: $ANSWER"
listing | cmp -s "$W/before" - || fail "a read-only share was changed: $(listing | diff "$W/before" -)"

# Nothing outside is reached, nothing special is made or opened on the host.
for way in relative absolute up/outside/secret ../outside/secret link/secret; do
	guest_must 5 "what /rw/$way"
	[ "$ANSWER" = nothing ] || fail "$way leads out: $ANSWER"
done
guest_must 20 'refused mknod /rw/null c 1 3; refused mknod /rw/disk b 8 0; refused timeout 1 cat /rw/fifo; echo "tried$failures"'
[ "$ANSWER" = tried ] || fail "special files: $ANSWER"
while :; do
	mv "$W/shared/swap" "$W/shared/kept" && mv "$W/shared/link" "$W/shared/swap"
	mv "$W/shared/swap" "$W/shared/link" && mv "$W/shared/kept" "$W/shared/swap"
done 2>/dev/null &
swapper=$!
echo $swapper >>"$W/pids"
guest_must 30 'for i in $(seq 40); do what /rw/swap/secret; done | sort | uniq -c | xargs'
kill $swapper
wait $swapper 2>/dev/null
case $ANSWER in *outside*) fail "a folder that becomes a symlink leads out: $ANSWER" ;; esac
note "a folder that becomes a symlink and back: $ANSWER"

# Write: contents, names, owners, modes, many files.
guest_must 30 'cp /rw/data /rw/copy && sync && cmp /rw/data /rw/copy && echo same'
cmp -s "$W/shared/data" "$W/shared/copy" || fail "what the guest wrote is not on the host"
guest_must 10 make_names
[ "$ANSWER" = "1 4751 $(wc -c <"$W/shared/data") 1 644 5" ] || fail "names and modes: $ANSWER"
[ "$(stat -c '%a' "$W/shared/made/moved")" = 4751 ] && [ "$(readlink "$W/shared/made/symlink")" = copy ] &&
	[ "$(tail -n 1 "$W/shared/sub/secret")" = more ] && [ ! -e "$W/shared/copy" ] || fail "names and modes are not on the host"
if [ "$(id -u)" = 0 ]; then
	guest_must 10 make_owners
	[ "$(stat -c '%u:%g' "$W/shared/made/new" "$W/shared/made/own" | xargs)" = "12:34 1000:1001" ] || fail "owners: $(ls -ln "$W/shared/made")"
fi
guest_must 60 make_many
[ "$ANSWER" = 60 ] || fail "many files: $ANSWER"
[ "$(cat "$W/shared/many/"* | sort -u | wc -l)" = 60 ] || fail "many files are not on the host"
guest_must 30 'rm -r /rw/many /rw/made && echo gone'
[ ! -e "$W/shared/many" ] || fail "many files are still there"

# What the servers hold: the folder, and what of root's rights it takes.
# shellcheck disable=SC2046 # numbers
set -- $(servers)
[ $# = 2 ] || fail "servers: $*"
for server; do
	grep -q '^NoNewPrivs:	1' "/proc/$server/status" && grep -q '^Seccomp:	2' "/proc/$server/status" || fail "server $server is not in a sandbox: $(cat "/proc/$server/status")"
	! find "/proc/$server/fd" -type l -exec readlink {} \; | grep -E 'kvm|memfd' || fail "server $server has what it should not"
done
if [ "$(id -u)" = 0 ]; then
	# shellcheck disable=SC2046 # words
	set -- $(for server; do sed -n 's/^CapEff:	0*//p' "/proc/$server/status"; done | sort)
	[ "$*" = "4 df" ] || fail "capabilities of the servers: $*"
fi
figure "requests of a guest: $(ebb_stat '[.devices[] | select(.class == "virtio-9p") | .metrics.requests] | add')"

# One server's end is an error; the other share goes on. ebb's end is theirs.
# shellcheck disable=SC2046 # numbers
set -- $(servers)
kill -9 "$1"
within 5 grep -q 'share0: the server of the folder was ended by signal 9' "$W/share.err" || fail "nobody says that a server ended: $(cat "$W/share.err")"
guest_must 10 'refused ls /rw/sub; echo "$(what /ro/sub/secret | xargs)$failures"'
[ "$ANSWER" = "inside more" ] || fail "the other share: $ANSWER"
server=$2
guest_stop
gone() {
	! alive "$server"
}
within 5 gone || fail "a server outlives ebb"
pass
