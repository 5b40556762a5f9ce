# SPDX-License-Identifier: Apache-2.0
# Bad input on a real host: one line on stderr, the right status, nothing left behind.
# timeout: 120
# only-riscv: riscv-plic
# cost: 15

kernel=$RIG/guests/$DEFAULT_GUEST/vmlinuz
number=0

# refused STATUS PATTERN WORD…: `ebb run WORD…` ends with STATUS and one line that matches PATTERN; nothing is left.
refused() {
	want=$1
	pattern=$2
	shift 2
	number=$((number + 1))
	GUEST=refused-$number
	timeout 20 "$EBB" run --name "$GUEST" "$@" </dev/null >"$W/out" 2>"$W/err"
	got=$?
	refused_check "$*"
}

refused_check() {
	[ "$got" = "$want" ] || fail "$1: status $got instead of $want: $(cat "$W/err")"
	[ "$(wc -l <"$W/err")" = 1 ] || fail "$1: not one line on stderr: $(cat "$W/err")"
	grep -E "^ebb: " "$W/err" | grep -qiE "$pattern" || fail "$1: the message is: $(cat "$W/err")"
	[ ! -e "$(guest_socket)" ] || fail "$1: a control socket is left"
	note "$(cat "$W/err")"
}

echo "this is no kernel" >text
seq 1 20000 >longer-text
head -c 1000000 "$kernel" >truncated
head -c 300 "$kernel" >stump
refused 64 'text|kernel' -k text
refused 64 'longer-text|kernel' -k longer-text
refused 64 'truncated' -k truncated
refused 64 'stump' -k stump
refused 64 'no-such-file' -k no-such-file
refused 64 'no-such-initrd' -k "$kernel" -i no-such-initrd
truncate -s 300M large
refused 64 'large|initrd' -k "$kernel" -i large -m 256

refused 64 'mem' -k "$kernel" -m 0
refused 64 'cpus' -k "$kernel" -c 0
refused 64 'cpus' -k "$kernel" -c 5000
refused 64 'page-poison' -k "$kernel" --balloon page-posion
refused 64 'timeout' -k "$kernel" --timeout never
refused 64 'did you mean tap' -k "$kernel" -n tpa
refused 64 'mac=.*address' -k "$kernel" -n user,mac=1
refused 64 'vsock 2.*3 to' -k "$kernel" --vsock 2
refused 64 'expect' -k "$kernel" --expect '(('

# A host that refuses: address space for less than the guest wants.
(
	ulimit -v 4000000
	timeout 20 "$EBB" run --name refused-vm -k "$kernel" -m 1T </dev/null >"$W/out" 2>"$W/err"
	echo $? >"$W/got"
)
GUEST=refused-vm want=125 got=$(cat "$W/got") pattern='1T|1024|mem'
refused_check "-m 1T within ulimit -v"

if [ "$(id -u)" = 0 ] && [ "$HOST_KIND" = nested ]; then
	mv /dev/kvm /dev/kvm.away
	refused 125 '/dev/kvm' -k "$kernel"
	mv /dev/kvm.away /dev/kvm
	chmod 600 /dev/kvm
	mkdir -p /tmp/nobody && chmod 777 /tmp/nobody
	timeout 20 su -s /bin/sh nobody -c "XDG_RUNTIME_DIR=/tmp/nobody $EBB run --name refused-user -k $kernel" \
		</dev/null >"$W/out" 2>"$W/err"
	got=$? GUEST=refused-user want=125 pattern='/dev/kvm.*permission'
	refused_check "a user without permission"
else
	note "not as a user's own root: a missing and a forbidden /dev/kvm"
fi

# A full disk under the console's log: the guest's output has nowhere to go, and ebb says so once and ends.
if [ -c /dev/full ]; then
	timeout 60 "$EBB" run --name full -k "$kernel" -i "$RIG/guests/$DEFAULT_GUEST/initrd" -m 256 --timeout 50 \
		</dev/null >/dev/full 2>"$W/err"
	got=$?
	[ $got -lt 124 ] || [ $got = 125 ] || fail "a full disk under the console: status $got: $(cat "$W/err")"
	[ "$(wc -l <"$W/err")" = 1 ] || fail "a full disk under the console: $(wc -l <"$W/err") lines: $(cat "$W/err")"
	note "full disk: status $got: $(cat "$W/err")"
fi

[ -z "$("$EBB" list --json | jq -r '.[]?.name // empty')" ] || fail "ebb list is not empty: $("$EBB" list --json)"
pass
