# SPDX-License-Identifier: Apache-2.0
# The same TAP without vhost, by ebb itself: streams each way with one queue pair and two, much with each system call, and its speed against vhost-net's.
# timeout: 300
# hosts-x86: bookworm
# only-riscv: riscv-plic
# cost: 20
# root-beside: it makes the TAPs and a network for them

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_begin "$1"
size=$(mib 12 3)
[ "$SLOW" != 1 ] || size=$(mib 64 16)
net_tap tap0 10.7.0
net_tap tap1 10.7.1 2
net_serve 0.0.0.0 7000
net_dhcpd tap0 10.7.0
net_dhcpd tap1 10.7.1
vhost=
if [ -c /dev/vhost-net ] && { [ "$SIZES" != small ] || [ "$SLOW" = 1 ]; }; then
	net_tap tap2 10.7.2
	vhost="-n tap,ifname=tap2,vhost=on"
fi
{ net_guest && echo serve_console; } >"$W/script"
# shellcheck disable=SC2086 # words
guest_start userspace "$DEFAULT_GUEST" -c 2 -m 256 -n tap,ifname=tap0,vhost=off -n tap,ifname=tap1,vhost=off,queues=2 $vhost \
	--timeout 290 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"
# Where a round trip takes as long as in an emulated host, TCP makes frames of a few KiB, lest they come in bursts. Elsewhere they are large.
echo 45 >/proc/sys/net/ipv4/tcp_min_tso_segs || fail "no tcp_min_tso_segs on this host"
net_must 20 'echo 45 >/proc/sys/net/ipv4/tcp_min_tso_segs'

# stream INTERFACE NETWORK send|receive: sets RATE.
stream() {
	net_must 60 netstream "$3" "$2.1" 7000 "$size"
	RATE=$(stream_rate "$ANSWER")
}

# counters DEVICE: bytes, system calls, frames out and in, interrupts.
counters() {
	ebb_stat "[.devices[] | select(.class == \"virtio-net\")][$1].metrics | \"\(.bytes_sent + .bytes_received) \(.backend_syscalls)\" +
		\" \(.frames_sent) \(.frames_received) \(.interrupts)\""
}

for n in 0 1; do
	net_must 60 dhcp eth$n
	case $ANSWER in "dhcp eth$n 10.7.$n.10"?) ;; *) fail "eth$n: no address: $ANSWER" ;; esac
	net_must 20 ping -c 2 -W 5 10.7.$n.1
	# TCP begins slowly; it has found its pace when it counts.
	net_must 60 netstream send 10.7.$n.1 7000 $((size / 3))
	for way in send receive; do
		counts=$(counters $n)
		stream eth$n 10.7.$n $way
		counts="$counts $(counters $n)"
		# shellcheck disable=SC2086 # words
		set -- $counts
		bytes=$(($6 - $1))
		calls=$(($7 - $2))
		[ $calls -gt 0 ] || fail "no system call is counted"
		note "$(($8 - $3)) frames sent and $(($9 - $4)) received, $((${10} - $5)) interrupts, $calls system calls"
		figure "$((n + 1)) queue pair(s), guest's $way: $size MiB with the right bytes, $RATE MiB/s; $((bytes / calls)) bytes a system call"
		[ $((bytes / calls)) -ge 16384 ] || fail "$((bytes / calls)) bytes a system call, 16384 wanted"
		[ $n = 1 ] || eval "own_$way=$RATE"
	done
done
if [ -n "$vhost" ]; then
	net_must 20 'ip addr add 10.7.2.2/24 dev eth2; ip link set eth2 up; ping -c 1 -W 5 10.7.2.1'
	net_must 60 netstream send 10.7.2.1 7000 $((size / 3))
	for way in send receive; do
		stream eth2 10.7.2 $way
		eval "own=\$own_$way"
		# shellcheck disable=SC2154 # set by eval
		figure "guest's $way over vhost-net: $RATE MiB/s; the userspace path is $(ratio "$own" "$RATE") of it"
	done
fi
net_must 20 complaints
net_dmesg
guest_stop
pass
