# SPDX-License-Identifier: Apache-2.0
# A network without root: an unprivileged user's ebb and passt; DHCP, DNS, ping, TCP and UDP, out and in, and both programs' ends.
# timeout: 150
# only-riscv: riscv-plic
# slow-riscv: what of ebb it tries is the same C on both architectures; x86 has it in every check
# cost: 30
# hosts-x86: bookworm
# root: it becomes nobody itself

. "$RIG/net.sh"
need passt socat
[ "$(id -u)" = 0 ] || skip "the user's network is no place for this: as root, in namespaces of its own"
[ -n "${ROOT_BEGUN:-}" ] || net_begin "$1"

# passt puts itself into an empty root, which the kernel does not let it do from the initramfs: the same files, as a mount.
if [ "$HOST_KIND" = nested ] && [ -z "${ROOT_BEGUN:-}" ]; then
	mkdir -p "$W/root"
	"$RIG/busybox" mount --rbind / "$W/root" || fail "the root cannot be mounted once more"
	cd "$W/root" || fail "no root"
	"$RIG/busybox" mount --move . / || fail "no root that is a mount"
	export ROOT_BEGUN=1
	# shellcheck disable=SC2016 # expanded by that shell
	exec "$RIG/busybox" chroot . /bin/sh -c 'cd "$W"; . "$RIG/lib.sh"; . "$1"' sh "$1"
fi

# The world: an address of this host that the guest does not have. An interface with a default route is all passt looks for;
# nobody is behind this one.
net_tap up0 10.72.0
ip route add default via 10.72.0.254 dev up0
ip address add 10.72.1.1/32 dev lo
echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range
mkdir -p /etc
echo "nameserver 10.72.1.1" >"$W/resolv.conf"
touch /etc/resolv.conf
"$RIG/busybox" mount --bind "$W/resolv.conf" /etc/resolv.conf || fail "no /etc/resolv.conf of its own"
net_serve 10.72.1.1 5000

# Every name has that address, and no other kind of record.
cat >"$W/dns.sh" <<-'END'
	xxd -p | tr -d '\n' | awk '
		function number(digits, value, i) {
			for (i = 1; i <= length(digits); i++)
				value = value * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
			return value
		}
		{
			at = 25
			while ((bytes = number(substr($0, at, 2))) > 0)
				at += 2 * (bytes + 1)
			question = substr($0, 25, at + 10 - 25)
			address = substr($0, at + 2, 4) == "0001"
			printf "%s8180000100%s00000000%s", substr($0, 1, 4), address ? "01" : "00", question
			if (address)
				printf "c00c000100010000003c00040a480101"
		}' | xxd -r -p
END
PATH=$RIG/bin:$PATH socat UDP4-RECVFROM:53,bind=10.72.1.1,fork "SYSTEM:sh $W/dns.sh" 2>"$W/dns.err" &
echo $! >>"$W/pids"

# as_user PROGRAM…: as nobody, who may open /dev/kvm and nothing else.
chmod 666 /dev/kvm
chmod 755 "$W"
mkdir -p "$W/run"
chown 65534:65534 "$W/run"
cat >"$W/as-user" <<-END
	#!/bin/sh
	export XDG_RUNTIME_DIR=$W/run PATH=$RIG/bin:\$PATH
	exec "$RIG/busybox" su -s /bin/sh -c 'exec "\$0" "\$@"' -- nobody "\$@"
END
chmod 755 "$W/as-user"
[ "$("$W/as-user" id -u)" = 65534 ] || fail "nobody cannot be made"

# passts: the numbers of all that live.
passts() {
	grep -l '^passt' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | while read -r number; do
		! alive "$number" || echo "$number"
	done
}

has_passt() {
	passt=$(passts)
	[ -n "$passt" ] && grep -q "^PPid:	$PID\$" "/proc/$passt/status"
}

# Without passt: one line, that says what to install.
"$W/as-user" env PATH=/nowhere "$EBB" run --name without -n user </dev/null >"$W/without.out" 2>"$W/without.words"
got=$?
[ $got = 125 ] || fail "without passt: status $got: $(cat "$W/without.words")"
[ "$(wc -l <"$W/without.words")" = 1 ] || fail "without passt: not one line: $(cat "$W/without.words")"
grep -q 'install the Debian package passt' "$W/without.words" || fail "without passt: $(cat "$W/without.words")"
note "$(cat "$W/without.words")"
# A port that is taken: passt's own words are in ebb's.
"$W/as-user" "$EBB" run --name taken -n user,forward=5000:5000 </dev/null >"$W/taken.out" 2>"$W/taken.words"
note "status $?: $(cat "$W/taken.words")"
[ -z "$(passts)" ] || fail "passt is left behind a start that failed"

{
	net_guest
	echo 'serve_console'
} >"$W/script"
WRAP=$W/as-user
guest_start user "$DEFAULT_GUEST" -m 256 --timeout 140 -v \
	-n user,forward=2200:5001,forward=udp:2201:5001,mac=52:54:00:72:00:01 <"$W/script"
unset WRAP
guest_expect '^ready' 60 || fail "the guest does not come up"
grep '^Uid:	65534	65534	65534	65534$' "/proc/$PID/status" >/dev/null || fail "ebb does not run as nobody: $(grep '^Uid' "/proc/$PID/status")"
has_passt || fail "passt is no child of ebb's"
grep '^Uid:	65534' "/proc/$passt/status" >/dev/null || fail "passt does not run as nobody"
grep -q '^Seccomp:	2' "/proc/$passt/status" || fail "passt runs without its filter"

net_must 60 'dhcp eth0'
[ "$ANSWER" = "dhcp eth0 10.72.0.1" ] || fail "DHCP: $ANSWER"
net_must 5 'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu | xargs'
[ "$ANSWER" = "52:54:00:72:00:01 65520" ] || fail "the interface: $ANSWER"
net_must 10 'nslookup seen.ebb.test | grep -A 1 seen.ebb.test | xargs'
case $ANSWER in *10.72.1.1) ;; *) fail "DNS: $ANSWER" ;; esac
net_must 10 'ping -c 3 10.72.1.1 | grep received'
case $ANSWER in *" 3 packets received"*) ;; *) fail "ping: $ANSWER" ;; esac

# Out of the guest, every byte looked at, and small packets.
net_must 40 "netstream send 10.72.1.1 5000 $(mib 32 4)"
figure "passt: guest to host $(stream_rate "$ANSWER") MiB/s"
net_must 40 "netstream receive 10.72.1.1 5000 $(mib 32 4)"
figure "passt: host to guest $(stream_rate "$ANSWER") MiB/s"
net_must 20 "netstream packets 10.72.1.1 5000 100 1400"

# Into it, by the ports of the host that are forwarded.
net_must 5 'netstream serve 0.0.0.0 5001 >/served 2>&1 & sleep 1'
netstream send 127.0.0.1 2200 "$(mib 16 4)" >"$W/in.out" 2>&1 || fail "forwarded TCP, in: $(cat "$W/in.out")"
netstream receive 127.0.0.1 2200 "$(mib 16 4)" >"$W/out.out" 2>&1 || fail "forwarded TCP, out: $(cat "$W/out.out")"
netstream packets 127.0.0.1 2201 100 1000 >"$W/udp.out" 2>&1 || fail "forwarded UDP: $(cat "$W/udp.out")"
note "$(cat "$W/in.out" "$W/out.out" "$W/udp.out")"

# passt ends: one line names it, the guest sees that its link is down, and lives.
kill -9 "$passt"
within 5 grep -q 'net0: passt ended by signal 9' "$W/user.err" || fail "nobody says that passt ended: $(cat "$W/user.err")"
# shellcheck disable=SC2016 # the guest expands it
net_must 10 'for i in 1 2 3 4 5; do [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] || break; sleep 1; done; echo "carrier $(cat /sys/class/net/eth0/carrier)"'
[ "$ANSWER" = "carrier 0" ] || fail "the link stays up without passt: $ANSWER"
alive "$PID" || fail "ebb ended with passt"
guest_stop
[ -z "$(passts)" ] || fail "a passt is left"

# kill -9 of ebb ends passt.
WRAP=$W/as-user
guest_start killed "$DEFAULT_GUEST" -m 256 --timeout 60 -n user </dev/null
unset WRAP
within 10 has_passt || fail "no second passt"
guest_stop
gone() {
	! alive "$passt"
}
within 5 gone || fail "passt outlives ebb"
net_dmesg
pass
