# SPDX-License-Identifier: Apache-2.0
# From exec to the first KVM_RUN: at most 120 system calls, and 39 for the sandbox, no guest page beyond what was loaded; own memory at most 1 MiB.
# timeout: 120
# only-riscv: riscv-plic
# cost: 25

need strace jq
# Some builds of strace know the numbers of KVM's requests but not the names.
kvm_run='KVM_RUN|0xae, 0x80, 0'
WRAP="strace -D -f -qq -o $W/start" guest_start start "$DEFAULT_GUEST" -m 256 --timeout 60 </dev/null
ran() {
	grep -qE "$kvm_run" "$W/start" 2>/dev/null
}
within 60 ran || { grep ioctl "$W/start" | tail -n 30; fail "no KVM_RUN"; }
guest_stop
# Up to and with the first KVM_RUN, every thread; a resumed line is no second call.
sed -E "/$kvm_run/q" "$W/start" | grep -v 'resumed>' | grep -E '^[0-9]+ +[a-z_0-9]+\(' >"$W/until"
calls=$(grep -c . "$W/until")
figure "exec to first KVM_RUN: $calls system calls (159 allowed: 120, and the sandbox; kvmtool 169 and QEMU 1129 to the exit of a guest that leaves at once)"
sed 's/^[0-9]* *//; s/(.*//' "$W/until" | sort | uniq -c | sort -rn | head -n 12

# Once more, and the vCPU's thread is held for a while as it calls KVM_RUN the first time.
thread=$(tail -n 1 "$W/until" | cut -d' ' -f1)
nth=$(grep -cE "^$thread +ioctl\(" "$W/until")
WRAP="strace -D -f -qq -o $W/held -e trace=ioctl -e inject=ioctl:delay_enter=8000000:when=$nth" \
	guest_start held "$DEFAULT_GUEST" -m 256 --timeout 60 </dev/null
loading() {
	[ "$(ram_rss_kib "$PID")" -gt 0 ]
}
within 30 loading || fail "no guest RAM becomes resident"
steady "$PID" 5
grep -qE "($kvm_run).* = 0" "$W/held" && fail "the vCPU was not held"
touched=$(ram_rss_kib "$PID")
loaded=$(cat "$RIG/guests/$DEFAULT_GUEST/vmlinuz" "$RIG/guests/$DEFAULT_GUEST/initrd" "$W/held.cpio" | wc -c)
guest_stop
figure "guest RAM resident before the first instruction: $touched KiB; loaded: $((loaded / 1024)) KiB"
[ "$touched" -gt 0 ] || fail "no guest RAM found in smaps"
# A huge page may hold the edges of what was loaded: kernel, initrd, boot parameters, tables.
[ "$touched" -le $((loaded / 1024 + 5 * 2048)) ] || fail "$touched KiB of guest RAM touched, $((loaded / 1024)) KiB loaded"

guest_start own "$DEFAULT_GUEST" -m 256 --timeout 60 <<-'END'
	echo ready
	read -r line
END
guest_expect '^ready' 50 || fail "the guest does not come up"
sleep 1
# The binary here carries the C library: its unwritten pages are named apart (the shared one is judged by `make figures`). A file
# of a memory file system is always dirty: anonymous is what ebb has of its own.
own=$(smaps_sum "$PID" 0 " Anonymous: ")
figure "own private memory of a 1-vCPU guest: $own KiB (1024 allowed), beside $(($(own_kib "$PID") - own)) KiB of static code"
guest_type off
guest_wait 20 || fail "still running"
[ "$calls" -le 159 ] || fail "$calls system calls from exec to the first KVM_RUN, 159 allowed"
[ "$own" -le 1024 ] || fail "$own KiB of private memory, 1024 allowed"
pass
