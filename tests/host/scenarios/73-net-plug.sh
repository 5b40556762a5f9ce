# SPDX-License-Identifier: Apache-2.0
# Memory is plugged and unplugged while a guest sends out of plugged memory and receives, over vhost-net: no stream breaks (100 rounds with SLOW=1).
# timeout: 1800
# hosts-x86: bookworm
# cost: 30
# root-beside: it makes the TAPs and a network for them
# archs: x86

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_begin "$1"
net_vhost net
rounds=2
[ "$SLOW" != 1 ] || rounds=100
net_tap tap0 10.7.0
net_serve 0.0.0.0 7000
{ net_guest && echo serve_console; } >"$W/script"
# 160 MiB that the guest sends from are more than boot memory has left. What is plugged first the kernel may use for itself, for
# buffers that it receives into; what comes later is there for programs only, so that it can go again.
EXTRA_PARAMS=memhp_default_state=online
guest_start plug "$DEFAULT_GUEST" -c 2 -m 192 --virtio-mem id=vm0,size=2G,requested-size=128M -n tap,ifname=tap0,vhost=on \
	--timeout 1790 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"

# plug MIB: asks for it and waits.
plug() {
	"$EBB" mem plug vm0 "$1M" --wait=60 >"$W/mem.out" 2>&1
}

plug 128 || fail "128 MiB: $(cat "$W/mem.out")"
net_must 20 'ip addr add 10.7.0.2/24 dev eth0; ip link set eth0 up; ping -c 1 -W 5 10.7.0.1'
net_must 20 'echo online_movable >/sys/devices/system/memory/auto_online_blocks'
plug 384 || fail "384 MiB: $(cat "$W/mem.out")"
net_must 20 '(netstream send 10.7.0.1 7000 0 until=/stop buffer=160 zerocopy; echo "status $?") >/send.out 2>&1 &'
net_must 20 'while [ ! -e /stop ]; do netstream receive 10.7.0.1 7000 64 >>/receive.out 2>&1 || echo broken >>/receive.out; done &'
moved() {
	cat /sys/class/net/tap0/statistics/tx_bytes /sys/class/net/tap0/statistics/rx_bytes | xargs
}
slots_most=0
round=0
begun=$(now_ms)
first=$(moved)
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	was=$(moved)
	plug 512 || fail "round $round, 512 MiB: $(cat "$W/mem.out")"
	[ "$(ebb_stat '.virtio_mem[0].slots')" -le $slots_most ] || slots_most=$(ebb_stat '.virtio_mem[0].slots')
	plug 384 || fail "round $round, 384 MiB: $(cat "$W/mem.out")"
	flowed() {
		is=$(moved)
		[ "${is% *}" != "${was% *}" ] && [ "${is#* }" != "${was#* }" ]
	}
	within 10 flowed || fail "round $round: the traffic stands still ($was, $is)"
	alive "$PID" || fail "round $round: ebb has ended"
done
taken=$(($(now_ms) - begun))
last=$(moved)
net_must 30 'touch /stop; until grep -q status /send.out; do sleep 0.1; done; sleep 1; cat /send.out | xargs'
case $ANSWER in *'wrong 0 status 0') ;; *) fail "the guest's stream out: $ANSWER" ;; esac
net_must 60 'while pgrep netstream >/dev/null; do sleep 0.1; done; ! grep -v "wrong 0" /receive.out && grep -c "wrong 0" /receive.out'
grep 'server' "$W/server.log" | grep -v 'wrong 0$' && fail "the host's side saw wrong bytes"
into=$((${last% *} - ${first% *}))
outof=$((${last#* } - ${first#* }))
figure "$rounds rounds of 384 and 512 MiB in $((taken / 1000)) s: $((outof >> 20)) MiB out of plugged memory and $((into >> 20)) MiB in, no stream lost;" \
	"$slots_most slots at most"
net_must 20 complaints
net_dmesg
guest_stop
pass
