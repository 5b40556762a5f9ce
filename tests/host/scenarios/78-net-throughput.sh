# SPDX-License-Identifier: Apache-2.0
# Streams and packets over vhost-net and without it, of ebb and of Debian's QEMU, with one queue pair and instructions for a clock.
# timeout: 300
# cost: 150
# archs: x86
# hosts: bookworm
# icount: yes
# slow: for its figures
# pack: tests/host/pack-qemu
# root-beside: it makes the TAPs and a network for them

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_begin "$1"
net_vhost net
size=32
count=500
net_tap tap0 10.7.0
net_tap tap1 10.7.1
net_serve 0.0.0.0 7000
{ net_guest && echo serve_console; } >"$W/script"

# qemu_start NAME SUITE-FLAVOUR: the same guest under QEMU, its script is stdin.
qemu_start() {
	GUEST=$1
	guest_pack "$W/$GUEST.cpio"
	cat "$RIG/guests/$2/initrd" "$W/$GUEST.cpio" >"$W/$GUEST.initrd"
	mkfifo "$W/$GUEST.stdin"
	exec 8<>"$W/$GUEST.stdin"
	"$RIG/net-throughput/qemu" -M q35,accel=kvm -cpu host -m 256 -nodefaults -display none -serial stdio -no-reboot \
		-kernel "$RIG/guests/$2/vmlinuz" -initrd "$W/$GUEST.initrd" -append 'console=ttyS0 quiet' \
		-netdev tap,id=n0,ifname=tap0,script=no,downscript=no,vhost=on -device virtio-net-pci,netdev=n0,romfile= \
		-netdev tap,id=n1,ifname=tap1,script=no,downscript=no,vhost=off -device virtio-net-pci,netdev=n1,romfile= \
		<&8 >"$W/$GUEST.console" 2>"$W/$GUEST.err" 8>&- &
	PID=$!
	echo "$PID" >>"$W/pids"
}

# measure WHO: into WHO_send_0 and so on; device 0 is vhost's.
measure() {
	guest_expect '^ready' 150 || fail "$1: the guest does not come up"
	for n in 0 1; do
		net_must 30 "ip addr add 10.7.$n.2/24 dev eth$n; ip link set eth$n up; ping -c 1 -W 5 10.7.$n.1"
		for way in send receive; do
			net_must 60 netstream $way 10.7.$n.1 7000 4 fast
			net_must 100 netstream $way 10.7.$n.1 7000 $size fast
			eval "$1_${way}_$n=$(stream_rate "$ANSWER")"
		done
	done
	for n in 0 1; do
		net_must 20 'netstream serve 0.0.0.0 7001 >/dev/null 2>&1 & sleep 0.5; echo serving'
		netstream packets 10.7.$n.2 7001 $count >"$W/packets" || fail "packets: $(cat "$W/packets")"
		eval "$1_packets_$n=$(sed -n 's/.* \([0-9]*\) ns$/\1/p' "$W/packets" | awk -v count=$count '{ printf "%.0f\n", count * 1e9 / $1 }')"
		net_must 20 'killall netstream; echo killed'
	done
	guest_stop
}

# compare WHAT KEY UNIT
compare() {
	for n in 0 1; do
		path=vhost-net
		[ $n = 0 ] || path="without vhost"
		eval "own=\$ebb_$2_$n other=\${qemu_$2_$n:-}"
		# shellcheck disable=SC2154 # set by eval
		figure "$1, $path: ebb $own $3${other:+, QEMU $other ($(ratio "$own" "$other"))}"
	done
	eval "figure \"$1: ebb without vhost-net is \$(ratio \$ebb_$2_1 \$ebb_$2_0) of ebb with it\""
}

guest_start ebb "$DEFAULT_GUEST" -m 256 -n tap,ifname=tap0,vhost=on -n tap,ifname=tap1,vhost=off --timeout 290 <"$W/script"
measure ebb
if [ -x "$RIG/net-throughput/qemu" ]; then
	qemu_start qemu "$DEFAULT_GUEST" <"$W/script"
	measure qemu
fi
compare "$size MiB out of the guest" send MiB/s
compare "$size MiB into the guest" receive MiB/s
compare "packets there and back, $count" packets "a second"
net_dmesg
pass
