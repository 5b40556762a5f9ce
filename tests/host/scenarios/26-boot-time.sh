# SPDX-License-Identifier: Apache-2.0
# Time from exec to the guest's init, instruction-counted, cloud kernel, 256 MiB: not above kvmtool's 1488 ms.
# timeout: 200
# cost: 40
# archs: x86
# hosts: bookworm
# icount: yes
# guests: bookworm-cloud

[ "$EBB_CLOCK" = icount ] || skip "time is only comparable where it counts instructions (nested, icount)"
mkdir -p "$W/root/bin" "$W/root/dev" && cd "$W/root" || exit 1
cp "$RIG/busybox" bin/busybox
ln -s busybox bin/sh
cat >init <<-'END'
	#!/bin/sh
	echo "ebb-guest: init"
	busybox poweroff -f
END
chmod 755 init
find . | cpio -o -H newc 2>/dev/null >"$W/small.cpio"
cd "$W" || exit 1
for round in 1 2; do
	stopwatch 'ebb-guest: init' "$EBB" run -k "$RIG/guests/bookworm-cloud/vmlinuz" -i "$W/small.cpio" -m 256 -c 1 \
		-p quiet --timeout 60 >"$W/time.$round" 2>"$W/time.err" || fail "$(cat "$W/time.err" "$W/time.$round")"
done
sed 's/^/  /' "$W/time.1" "$W/time.2"
figure "exec to the guest's init: $(cat "$W/time.1") and $(cat "$W/time.2") ms (kvmtool 1488, QEMU microvm 2729)"
best=$(sort -n "$W/time.1" "$W/time.2" | head -n 1)
[ "${best%.*}" -le 1488 ] || fail "$best ms to the guest's init, 1488 allowed"
pass
