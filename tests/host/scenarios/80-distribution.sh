# SPDX-License-Identifier: Apache-2.0
# Debian with systemd (some of its units only with SLOW=1) boots from a raw image; log in, write and verify, power off: the file system is clean.
# timeout: 400
# timeout-slow: 900
# cost: 65
# only-riscv: riscv-aia
# slow-riscv: minutes, where one processor emulates host and guest
# disk: 4G debian
# root-beside: it owns the image

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
need e2fsck
[ -s "$DISK/debian.img" ] || fail "no debian.img on the host's disk"
for_ebb "$DISK/debian.img"
begun=$(now_ms)
# Emulation under emulation is slow: only with SLOW=1 all of it runs, else without the units that this proves nothing by.
cut="systemd.show_status=no"
for unit in modprobe@loop.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@dm_mod.service \
	modprobe@configfs.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
	systemd-modules-load.service systemd-sysctl.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	systemd-random-seed.service systemd-journal-flush.service dbus.socket dbus.service systemd-logind.service; do
	cut="$cut systemd.mask=$unit"
done
[ "$SLOW" != 1 ] || cut=
EXTRA_PARAMS="root=/dev/vda rw $cut" guest_start debian "$DEFAULT_GUEST" -m 512 -d "$DISK/debian.img" --timeout 890 </dev/null

# type_and_see LINE REGEX SECONDS
type_and_see() {
	guest_type "$1"
	guest_expect "$2" "$3" || fail "after '$1' no '$2' on the console"
}

guest_expect 'distribution login:' 240 || fail "no login prompt"
figure "login prompt of Debian's systemd after $((($(now_ms) - begun) / 1000)) s"
type_and_see root 'Password:' 60
type_and_see ebb '^.*root@distribution:.*#' 90
# bash marks its prompts with escapes, which end up at the start of the next line: so an empty one first.
type_and_see 'echo; echo "state $(systemctl is-system-running --wait)"; echo "end 1"' '^end 1' 240
figure "systemd says it is $(guest_answer state)"
type_and_see 'echo; systemctl list-units --failed --no-legend --plain --no-pager | sed "s/^/unit-failed /"; echo "end 2"' '^end 2' 60
[ "$(guest_answer state)" = running ] || fail "systemd is $(guest_answer state): $(guest_answer unit-failed)"
# 16 copies of random bytes are read back past the page cache.
seed=4
[ "$SLOW" != 1 ] || seed=64
begun=$(now_ms)
type_and_see "cd /var/tmp; dd if=/dev/urandom of=seed bs=1M count=$seed; s='seed seed seed seed'; s=\"\$s \$s \$s \$s\"; echo; echo \"end 3\"" '^end 3' 200
type_and_see 'cat $s >data && sync && echo 3 >/proc/sys/vm/drop_caches; echo; cat $s | cmp - data && echo "verified $(stat -c %s data)"; echo "end 4"' '^end 4' 400
[ "$(guest_answer verified)" = $((seed * 16 << 20)) ] || fail "what was written is not what is read"
figure "$((seed * 16)) MiB written, synced, read back and compared in $((($(now_ms) - begun) / 1000)) s"
type_and_see 'rm -f seed data; echo; dmesg -l emerg,alert,crit,err | sed "s/^/complaint /"; findmnt -n -o SOURCE / | sed "s/^/on /"; echo "end 5"' '^end 5' 60
[ "$(guest_answer on)" = /dev/vda ] || fail "the root is not the disk: $(guest_answer on)"
note "the guest's kernel says: $(guest_answer complaint)"
guest_type 'systemctl poweroff'
guest_wait 200 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
disk_clean "$DISK/debian.img"
pass
