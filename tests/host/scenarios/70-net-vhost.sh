# SPDX-License-Identifier: Apache-2.0
# A guest over vhost-net, with one queue pair and with two: DHCP, ping, a TCP stream each way; and no packet passes through ebb.
# timeout: 900
# hosts-x86: bookworm
# cost: 20
# root-beside: it makes the TAPs and a network for them

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_begin "$1"
need strace
net_vhost net
size=$(mib 8 2)
count=$(mib 1000 200)
if [ "$SLOW" = 1 ]; then
	size=$(mib 64 16)
	count=50000
fi
net_tap tap0 10.7.0
net_tap tap1 10.7.1 2
net_dhcpd tap0 10.7.0
net_dhcpd tap1 10.7.1
net_serve 0.0.0.0 7000
{ net_guest && echo serve_console; } >"$W/script"
guest_start vhost "$DEFAULT_GUEST" -c 2 -m 256 -n tap,ifname=tap0,vhost=on -n tap,ifname=tap1,vhost=on,queues=2 --timeout 890 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"

# streams INTERFACE NETWORK PAIRS
streams() {
	net_must 60 dhcp "$1"
	case $ANSWER in "dhcp $1 $2.10"?) ;; *) fail "$1: no address of $2: $ANSWER" ;; esac
	net_must 20 "find /sys/class/net/$1/queues -name 'rx-*' | wc -l"
	[ "$ANSWER" = "$3" ] || fail "$1: $ANSWER queue pairs in the guest, not $3"
	net_must 20 ping -c 2 -W 5 "$2.1"
	net_must 60 netstream send "$2.1" 7000 "$size"
	out=$(stream_rate "$ANSWER")
	net_must 60 netstream receive "$2.1" 7000 "$size"
	figure "$3 queue pair$([ "$3" = 1 ] || echo s): $size MiB with the right bytes out of the guest ($out MiB/s) and into it ($(stream_rate "$ANSWER") MiB/s)"
}
streams eth0 10.7.0 1
streams eth1 10.7.1 2

# With each processor's own flow, both pairs of eth1 are at work: the guest's interrupts of its second pair say so.
net_must 60 'for cpu in 0 1; do taskset $((1 << cpu)) netstream send 10.7.1.1 7000 2 & done; wait'
# (Without MSI they are all of one line.)
if guest_run 20 "grep -q 'virtio.*-input.0' /proc/interrupts"; then
	net_must 20 "awk '/virtio[0-9]+-(input|output).1\$/ { for (i = 2; i <= 3; i++) sum += \$i } END { print sum + 0 }' /proc/interrupts"
	[ "$ANSWER" -gt 0 ] || fail "the second queue pair has had no interrupt"
	figure "two processors send: $ANSWER interrupts of the second pair"
fi

# Small packets to the guest and back, which says nothing on its console meanwhile.
net_must 20 'netstream serve 0.0.0.0 7001 >/dev/null 2>&1 & sleep 0.5; echo serving'
dhcp_address=$(grep -o '10\.7\.0\.10[0-9]' "$W/vhost.console" | tail -n 1)
before=$(exits)
netstream packets "$dhcp_address" 7001 $count >"$W/packets" || fail "packets: $(cat "$W/packets")"
after=$(exits)
cat "$W/packets"
syscalls_while netstream packets "$dhcp_address" 7001 $count >"$W/packets" || fail "packets: $(cat "$W/packets")"
cat "$W/calls"
figure "$((2 * count)) packets: $((after - before)) exits to ebb; $((2 * count)) more under strace: $SYSCALLS system calls of ebb"
# An attached strace interrupts each thread, and `ebb stat` is a few as well. Where the host's KVM has no irqchip (RISC-V without AIA) ebb
# relays what vhost says, and the guest's driver comes to it at every interrupt.
if [ "$ARCH" = x86 ] || grep -q _ssaia /proc/cpuinfo; then
	[ $((after - before)) -le $((count / 500 + 4)) ] || fail "$((after - before)) exits with $((2 * count)) packets"
	[ "$SYSCALLS" -le $((count / 500 + 20)) ] || fail "$SYSCALLS system calls with $((2 * count)) packets"
else
	note "no irqchip in this host's KVM: exits and system calls are not judged"
fi
net_must 20 complaints
net_dmesg
guest_stop
pass
