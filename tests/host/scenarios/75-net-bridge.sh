# SPDX-License-Identifier: Apache-2.0
# Two guests on one bridge talk to each other; one that floods stops neither the other nor the control socket.
# timeout: 120
# hosts-x86: bookworm
# archs: x86
# cost: 25
# root-beside: it makes the TAPs and a network for them

# shellcheck source=../net.sh
. "$RIG/net.sh"
[ "$HOST_KIND" != nested ] || load bridge
net_begin "$1"
brctl addbr br0 2>/dev/null || skip "no bridge can be made on this host"
net_tap tap0 -
net_tap tap1 -
brctl addif br0 tap0
brctl addif br0 tap1
ip address add 10.7.0.1/24 dev br0
ip link set br0 up
net_dhcpd br0 10.7.0
net_serve 0.0.0.0 7000
size=2
[ "$SLOW" != 1 ] || size=32
{ net_guest && echo serve_console; } >"$W/script"
vhost=on
[ -c /dev/vhost-net ] || vhost=off
guest_start quiet "$DEFAULT_GUEST" -m 192 -n tap,ifname=tap0,vhost=$vhost --timeout 110 <"$W/script"
quiet=$PID
guest_start loud "$DEFAULT_GUEST" -m 192 -n tap,ifname=tap1,vhost=off --timeout 110 <"$W/script"
loud=$PID

use() {
	GUEST=$1
	eval "PID=\$$1"
}

for guest in quiet loud; do
	use $guest
	guest_expect '^ready' 60 || fail "$guest does not come up"
	net_must 60 dhcp eth0
	eval "address_$guest=${ANSWER##* }"
done
# shellcheck disable=SC2154 # set by eval
[ "$address_quiet" != "$address_loud" ] || fail "both guests have $address_quiet"
use quiet
net_must 20 'netstream serve 0.0.0.0 7000 >/dev/null 2>&1 & sleep 0.5; echo serving'
use loud
net_must 20 ping -c 2 -W 5 "$address_quiet"
begun=$(now_ms)
net_must 60 netstream send "$address_quiet" 7000 "$size"
net_must 60 netstream receive "$address_quiet" 7000 "$size"
figure "guest to guest over a bridge: $size MiB each way with the right bytes, $(($(now_ms) - begun)) ms together"

# At the host and at the other guest.
before=$(cat /sys/class/net/tap1/statistics/rx_packets)
net_must 20 "for to in 10.7.0.1 $address_quiet $address_quiet; do netstream flood \$to 7009 60 200 >/dev/null 2>&1 & done; sleep 1; echo floods"
worst=0
asked=0
use quiet
begun=$(now_ms)
net_must 60 netstream send 10.7.0.1 7000 "$size"
net_must 60 netstream receive 10.7.0.1 7000 "$size"
streamed=$(($(now_ms) - begun))
use loud
while [ $asked -lt 10 ]; do
	for guest in loud quiet; do
		begun=$(now_ms)
		timeout 20 "$EBB" stat $guest --json >/dev/null || fail "the control socket of $guest does not answer beside a flood"
		took=$(($(now_ms) - begun))
		[ $took -le $worst ] || worst=$took
		asked=$((asked + 1))
	done
done
flooded=$(($(cat /sys/class/net/tap1/statistics/rx_packets) - before))
[ $flooded -gt 500 ] || fail "only $flooded packets came of the flood"
figure "beside a flood of $flooded packets: the other guest's streams of $size MiB take $streamed ms together; ebb stat answers $asked times, after $worst ms at the longest"
alive "$quiet" || fail "the quiet guest's ebb has ended"
alive "$loud" || fail "the loud guest's ebb has ended"
net_must 20 'killall -9 netstream; echo calm'
net_must 20 complaints
net_dmesg
pass
