# SPDX-License-Identifier: Apache-2.0
# The driver of a network device is unbound and bound, and the guest reboots, in full traffic: the network comes back, and nothing leaks (20 times with SLOW=1).
# timeout: 1800
# hosts-x86: bookworm
# archs: x86
# cost: 30
# root-beside: it makes the TAPs and a network for them

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_begin "$1"
binds=2
reboots=1
if [ "$SLOW" = 1 ]; then
	binds=20
	reboots=20
fi
net_tap tap0 10.7.0
net_tap tap1 10.7.1
net_dhcpd tap0 10.7.0
net_dhcpd tap1 10.7.1
net_serve 0.0.0.0 7000
first=on
[ -c /dev/vhost-net ] || first=off
{ net_guest && echo serve_console; } >"$W/script"
guest_start reset "$DEFAULT_GUEST" -m 192 -n tap,ifname=tap0,vhost=$first -n tap,ifname=tap1,vhost=off --timeout 1790 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"

# traffic: floods from both sides and a stream each way on both devices; what becomes of them is not asked.
traffic() {
	for n in 0 1; do
		net_must 60 dhcp eth$n
		guest_address=${ANSWER##* }
		net_must 20 "for n in 1 2; do netstream flood 10.7.$n.1 7009 600 1400; done >/dev/null 2>&1 &"
		net_must 20 "netstream send 10.7.$n.1 7000 0 until=/never >/dev/null 2>&1 &"
		net_must 20 "netstream receive 10.7.$n.1 7000 4000 >/dev/null 2>&1 &"
		netstream flood "$guest_address" 7009 2 1000 >/dev/null 2>&1 &
		echo $! >>"$W/pids"
	done
	net_must 20 'sleep 0.3; echo traffic'
}

calm() {
	net_must 20 'killall -9 netstream; sleep 0.2; echo calm'
}

works() {
	for n in 0 1; do
		net_must 60 dhcp eth$n
		net_must 60 netstream send 10.7.$n.1 7000 2
		net_must 60 netstream receive 10.7.$n.1 7000 2
	done
}

works
calm
fds_before=$(fds)
threads_before=$(find "/proc/$PID/task" -maxdepth 1 -mindepth 1 | wc -l)
own_before=$(own_kib "$PID")
round=0
while [ $round -lt $binds ]; do
	round=$((round + 1))
	traffic
	# Each device by itself, the other in traffic.
	for n in 0 1; do
		net_must 30 "device=\$(basename \$(readlink /sys/class/net/eth$n/device)); cd /sys/bus/virtio/drivers/virtio_net; \
			echo \$device >unbind && echo \$device >bind && cd / && echo bound \$device"
	done
	calm
	works
done
calm
figure "$binds times unbound and bound in full traffic: $fds_before descriptors of ebb before, $(fds) after"
[ "$(fds)" = "$fds_before" ] || fail "$(fds) descriptors after rebinding, $fds_before before"
round=0
while [ $round -lt $reboots ]; do
	round=$((round + 1))
	traffic
	: >"$W/reset.console"
	if [ $((round % 2)) = 1 ]; then
		guest_type "0 reboot -f"
	else
		"$EBB" reset reset || fail "ebb reset"
	fi
	guest_expect '^ready' 60 || fail "reboot $round: the guest does not come up again"
	works
done
calm
figure "$reboots reboots in full traffic: $(fds) descriptors and $(find "/proc/$PID/task" -maxdepth 1 -mindepth 1 | wc -l) threads after" \
	"($fds_before and $threads_before before), $(own_kib "$PID") KiB of its own ($own_before before)"
[ "$(fds)" = "$fds_before" ] || fail "$(fds) descriptors after reboots, $fds_before before"
[ "$(find "/proc/$PID/task" -maxdepth 1 -mindepth 1 | wc -l)" = "$threads_before" ] || fail "threads came or went: $threads_before before"
[ "$(own_kib "$PID")" -le $((own_before + 2048)) ] || fail "$(own_kib "$PID") KiB of its own, $own_before before"
net_must 20 complaints
net_dmesg
guest_stop
pass
