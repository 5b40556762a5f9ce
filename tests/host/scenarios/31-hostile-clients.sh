# SPDX-License-Identifier: Apache-2.0
# Control clients that send garbage, half a line, 100 MB without a newline, or hang up: the guest and other clients live.
# timeout: 120
# only-riscv: riscv-plic
# slow-riscv: what of ebb it tries is the same C on both architectures; x86 has it in every check
# cost: 20

need socat jq
guest_start control "$DEFAULT_GUEST" -m 256 --timeout 110 <<-'END'
	echo ready
	read -r line
END
guest_expect '^ready' 50 || fail "the guest does not come up"
socket=$(guest_socket)
[ -S "$socket" ] || fail "no control socket $socket"
[ "$(stat -c %a "$socket")" = 600 ] || fail "the socket's mode is $(stat -c %a "$socket")"

lives() {
	[ "$(timeout 10 "$EBB" stat control --json | jq -r .name)" = control ] || fail "after $1: ebb stat does not answer"
	alive "$PID" || fail "after $1: ebb is gone"
}
send() {
	timeout 20 socat -t 2 - "UNIX-CONNECT:$socket" 2>/dev/null
}

lives nothing
own_before=$(own_kib "$PID")
fds_before=$(find "/proc/$PID/fd" -type l | wc -l)

echo 'no json at all' | send >answer
grep -q '"error"' answer || fail "garbage is not answered by a QMP error: $(cat answer)"
lives garbage
printf '{"execute":"qmp_capabilities"}\n{"execute":"no-such-command"}\n' | send >answer
grep -q CommandNotFound answer || fail "an unknown command is not CommandNotFound: $(cat answer)"
printf '{"execute":"qmp_capabilities"}\n{"execute":"balloon","arguments":{"value":"much"}}\n' | send >answer
grep -q '"error"' answer || fail "a wrong argument is not a QMP error: $(cat answer)"
lives "wrong commands"
printf '{"execute":"qmp_cap' | send >answer
lives "half a line"
head -c 100000 /dev/urandom | send >answer
lives "random bytes"
head -c 100000000 /dev/zero | tr '\0' 'a' | send >answer
lives "100 MB without a newline"
printf '[%.0s' $(seq 5000) | send >answer
lives "deep nesting"
# Clients that connect and stay silent, more of them than are served at once.
clients=
mkfifo silent
exec 7<>silent
for client in $(seq 30); do
	socat - "UNIX-CONNECT:$socket" <&7 >/dev/null 2>&1 &
	clients="$clients $!"
done
sleep 1
# shellcheck disable=SC2086 # numbers
kill $clients 2>/dev/null
# shellcheck disable=SC2086
wait $clients 2>/dev/null
lives "30 clients at once"
printf '{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n' | send >answer
grep -q running answer || fail "query-status: $(cat answer)"

settled() {
	[ "$(find "/proc/$PID/fd" -type l | wc -l)" -le "$fds_before" ]
}
within 5 settled || fail "$(find "/proc/$PID/fd" -type l | wc -l) file descriptors, $fds_before before"
[ "$(own_kib "$PID")" -le $((own_before + 1024)) ] || fail "$(own_kib "$PID") KiB of its own, $own_before before"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
