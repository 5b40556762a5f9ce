# SPDX-License-Identifier: Apache-2.0
# What the scenarios of the network share; they say `. "$RIG/net.sh"`. POSIX sh (busybox ash).
# shellcheck shell=dash
# shellcheck disable=SC2034 # PID, GUEST and ANSWER are the scenarios'

# Of the rig's busybox, whatever the host has.
ip() {
	"$RIG/busybox" ip "$@"
}

brctl() {
	"$RIG/busybox" brctl "$@"
}

# net_begin "$1": the scenario goes on in namespaces of its own for the network and mounts. Nothing of the machine's network is touched, and nothing
# stays behind. To be called before anything else.
net_begin() {
	if [ -z "${NET_BEGUN:-}" ]; then
		need jq
		[ -c /dev/net/tun ] || skip "no /dev/net/tun on this host"
		net_unshare=-nm
		"$RIG/busybox" unshare $net_unshare true 2>/dev/null || net_unshare=-Urnm
		"$RIG/busybox" unshare $net_unshare true 2>/dev/null || skip "no network namespace can be made on this host"
		export NET_BEGUN=1
		# shellcheck disable=SC2016 # expanded by that shell
		exec "$RIG/busybox" unshare $net_unshare sh -c '. "$RIG/lib.sh"; . "$1"' sh "$1"
	fi
	# /sys/class/net is that of who mounts it.
	"$RIG/busybox" mount --make-rprivate / && "$RIG/busybox" mount -t sysfs sys /sys || fail "no /sys of its own"
	ip link set lo up
	dmesg >"$W/dmesg.before" 2>/dev/null
}

# net_vhost net|vsock: skips where that cannot be opened.
net_vhost() {
	if [ "$1" = vsock ] && [ "$HOST_KIND" = nested ]; then
		load vsock
	fi
	if [ -n "${EBB_USER:-}" ]; then
		. "$RIG/user.sh"
		user_host
	fi
	[ -r "/dev/vhost-$1" ] && [ -w "/dev/vhost-$1" ] || skip "no /dev/vhost-$1 that may be opened on this host"
}

# net_tap NAME NETWORK [QUEUES]: a TAP that stays, ebb's, NETWORK.1 on it; NETWORK "-": none.
net_tap() {
	maketap "$1" "${3:-1}" ${EBB_USER:+"$EBB_USER"} || fail "no TAP can be made"
	[ "$2" = - ] || ip address add "$2.1/24" dev "$1" || fail "$1 does not take an address"
	ip link set "$1" up
}

# net_dhcpd INTERFACE NETWORK: gives NETWORK.100 to NETWORK.109 to who asks there.
net_dhcpd() {
	cat >"$W/dhcpd-$1.conf" <<-END
		start $2.100
		end $2.109
		interface $1
		lease_file $W/dhcpd-$1.leases
		pidfile $W/dhcpd-$1.pid
		option subnet 255.255.255.0
		option router $2.1
	END
	: >"$W/dhcpd-$1.leases"
	"$RIG/busybox" udhcpd -f -a 100 "$W/dhcpd-$1.conf" >"$W/dhcpd-$1.log" 2>&1 &
	echo $! >>"$W/pids"
}

# net_serve ADDRESS PORT: a netstream server of the host; what it says is in $W/server.log, and what it complains of in $W/server.err.
net_serve() {
	netstream serve "$1" "$2" >>"$W/server.log" 2>>"$W/server.err" &
	echo $! >>"$W/pids"
	within 10 grep -q "^netstream serves $1 $2\$" "$W/server.log" || fail "netstream does not serve"
}

# net_dmesg: fails if the host's kernel has complained since net_begin.
net_dmesg() {
	dmesg >"$W/dmesg.after" 2>/dev/null
	tail -n +$(($(wc -l <"$W/dmesg.before") + 1)) "$W/dmesg.after" >"$W/dmesg.new"
	if grep -E 'BUG|WARNING|Oops|Call Trace|general protection|vhost|refcount|leak|unregister_netdevice' "$W/dmesg.new" >"$W/dmesg.bad"; then
		cat "$W/dmesg.bad"
		fail "the host's kernel complains: $(head -n 1 "$W/dmesg.bad")"
	fi
}

# net_guest: the start of a guest's script that does what guest_run asks for. In it, `dhcp INTERFACE` gets an address; its
# last line is "dhcp INTERFACE ADDRESS".
net_guest() {
	guest_console
	cat <<-'END'
		cat >/dhcp.sh <<-'INNER'
			#!/bin/sh
			[ "$1" = bound ] || [ "$1" = renew ] || exit 0
			ip addr flush dev "$interface"
			ip addr add "$ip/$mask" dev "$interface"
			[ -z "$router" ] || ip route add default via "${router%% *}" dev "$interface" 2>/dev/null
			[ -z "$dns" ] || for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
			echo "dhcp $interface $ip"
		INNER
		chmod 755 /dhcp.sh
		mkdir -p /etc
		ip link set lo up
		dhcp() {
			ip link set "$1" up
			udhcpc -i "$1" -s /dhcp.sh -f -n -q -t 20 -T 1 2>/dev/null | grep "^dhcp"
		}
		dmesg >/dmesg.start
		complaints() {
			! dmesg | tail -n +$(($(wc -l </dmesg.start) + 1)) | grep -E 'BUG:|Oops|WARNING:|Call Trace|bad page|NETDEV WATCHDOG|virtio_net.*(fail|error|bad|wrong)|vsock.*(fail|error)'
		}
	END
}

# net_must SECONDS COMMAND…: it must succeed in the guest.
net_must() {
	guest_must "$@"
}

# stream_rate ANSWER: MiB/s of a line of netstream's.
stream_rate() {
	echo "$1" | sed -n 's/.* \([0-9]*\) bytes \([0-9]*\) ns.*/\1 \2/p' | awk '{ printf "%.0f\n", $1 / 1048576 / ($2 / 1e9) }'
}

# exits [JQ-FILTER]: how often vCPUs came to ebb, of all reasons or of those that the filter leaves of an object of them.
exits() {
	ebb_stat "[.exits[] | ${1:-.} | add] | add"
}

# net_metric INDEX NAME: of the INDEXth network device.
net_metric() {
	ebb_stat "[.devices[] | select(.class == \"virtio-net\")][$1].metrics.$2 // 0"
}

fds() {
	find "/proc/$PID/fd" -type l | wc -l
}

# open_fds: what ebb's descriptors are, in order.
open_fds() {
	find "/proc/$PID/fd" -type l -exec readlink {} \; | sort
}
