# SPDX-License-Identifier: Apache-2.0
# The host's disk is full: the guest has I/O errors and lives, as does ebb; with room again, writes succeed and nothing is wrong.
# timeout: 120
# cost: 15
# only-riscv: riscv-plic
# disk: 3G
# root-beside: it mounts the small file system

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
disk_begin "$1"
mkdir "$W/small"
mount -t tmpfs -o size=12m tmpfs "$W/small" || fail "no small file system"
truncate -s 64M "$W/small/disk.img" && for_ebb "$W/small/disk.img" || fail "no image"
{ disk_guest && echo serve_console; } >"$W/script"
guest_start full "$DEFAULT_GUEST" -m 192 -d "$W/small/disk.img" --timeout 110 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"
guest_must 30 'diskbench /dev/vda write 65536 8 64 4'
[ "$(disk_metric host_errors)" = 0 ] || fail "ebb counts $(disk_metric host_errors) errors though there is room"
guest_run 40 'diskbench /dev/vda write 65536 8 320 20' && fail "20 MiB fit into 12"
case $ANSWER in *Input/output\ error* | *I/O\ error*) ;; *) fail "on a full disk the guest's program has no EIO: $ANSWER" ;; esac
figure "full: the guest's program says '$ANSWER'"
guest_run 20 complaints && fail "the guest's kernel says nothing of an error"
note "$ANSWER"
case $ANSWER in *I/O\ error*vda*) ;; *) fail "the guest's kernel says something else: $ANSWER" ;; esac
errors=$(disk_metric host_errors)
[ "$errors" -gt 0 ] || fail "ebb counts no error"
figure "full: ebb counts $errors errors"
guest_must 30 'diskbench /dev/vda check 65536 8 64 4'
mount -o remount,size=40m "$W/small" || fail "no room can be made"
guest_must 40 'diskbench /dev/vda write 65536 8 320 20'
guest_must 40 'diskbench /dev/vda check 65536 8 320 20'
[ "$(disk_metric host_errors)" = "$errors" ] || fail "with room again there are $(disk_metric host_errors) errors, not $errors"
guest_type poweroff
alive "$PID" || fail "ebb ended: $(cat "$W/full.err")"
guest_stop
pass
