# SPDX-License-Identifier: Apache-2.0
# Programs of the host and of a guest exchange data over vsock, each calling the other (100 MiB each way with SLOW=1).
# timeout: 120
# hosts-x86: bookworm
# only-riscv: riscv-aia
# cost: 12
# root-beside: it loads the host's vsock

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_vhost vsock
dmesg >"$W/dmesg.before"
size=$(mib 8 2)
[ "$SLOW" != 1 ] || size=100
# Numbers are the whole machine's.
cid=$((1000 + $$))
port=$((20000 + $$ % 10000))
net_serve vsock:any $port
{ net_guest && printf 'load vsock\nserve_console\n'; } >"$W/script"
guest_start vsock "$DEFAULT_GUEST" -m 192 --vsock $cid --timeout 110 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"
net_must 60 netstream send vsock:2 $port "$size"
out=$(stream_rate "$ANSWER")
net_must 60 netstream receive vsock:2 $port "$size"
figure "the guest calls: $size MiB with the right bytes out ($out MiB/s) and in ($(stream_rate "$ANSWER") MiB/s)"
net_must 20 'netstream serve vsock:any 7000 >/dev/null 2>&1 & sleep 0.5; echo serving'
netstream send vsock:$cid 7000 "$size" >"$W/sent" 2>&1 || fail "the host sends: $(cat "$W/sent")"
netstream receive vsock:$cid 7000 "$size" >"$W/received" 2>&1 || fail "the host receives: $(cat "$W/received")"
figure "the host calls: $size MiB with the right bytes in ($(stream_rate "$(cat "$W/sent")") MiB/s) and out ($(stream_rate "$(cat "$W/received")") MiB/s)"
# What ebb opens for a queue's first interrupt is there now.
fds_before=$(fds)
open_fds >"$W/fds.before"
for way in send receive; do
	net_must 60 netstream $way vsock:2 $port 1
	netstream $way vsock:$cid 7000 1 >"$W/again" 2>&1 || fail "again, $way: $(cat "$W/again")"
done
open_fds | diff "$W/fds.before" - || fail "$(fds) descriptors of ebb, $fds_before before"
grep 'server' "$W/server.log" | grep -v 'wrong 0$' && fail "the host's side saw wrong bytes"

# A second guest cannot have the number.
timeout 20 "$EBB" run --name other -m 64 --vsock $cid -k "$RIG/guests/$DEFAULT_GUEST/vmlinuz" </dev/null >"$W/other.out" 2>"$W/other.say"
status=$?
[ $status = 125 ] || [ $status = 64 ] || fail "a second guest with CID $cid: status $status"
grep -q "$cid" "$W/other.say" || fail "a second guest with CID $cid: $(cat "$W/other.say")"
note "$(cat "$W/other.say")"

# After a reboot it is there again.
if [ "$SIZES" != small ] || [ "$SLOW" = 1 ]; then
	: >"$W/vsock.console"
	guest_type "0 reboot -f"
	guest_expect '^ready' 60 || fail "the guest does not come up again"
	net_must 60 netstream send vsock:2 $port 1
fi
open_fds | diff "$W/fds.before" -
[ "$(fds)" = "$fds_before" ] || fail "$(fds) descriptors of ebb after a reboot, $fds_before before"
net_must 20 complaints
net_dmesg
guest_stop
pass
