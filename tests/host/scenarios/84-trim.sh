# SPDX-License-Identifier: Apache-2.0
# What a guest trims or discards, the host's disk has back: fstrim, a mount with discard, blkdiscard; the rest stays as it was.
# timeout: 150
# cost: 20
# only-riscv: riscv-plic
# slow-riscv: minutes, where one processor emulates host and guest
# disk: 3G
# root-beside: it looks into the image

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
disk_begin "$1"
size=$(mib 32 16)
image=$SCRATCH/trim.img
disk_image "$image" 128M
{
	disk_guest
	echo "fill() { tr '\\0' x </dev/zero | dd of=\$1 bs=64k iflag=fullblock count=\$((\$2 * 16)) conv=fsync 2>/dev/null; }"
	echo serve_console
} >"$W/script"
guest_start trim "$DEFAULT_GUEST" -m 192 -d "$image" --timeout 140 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"

# fell FROM WHAT: the image has shrunk by about the file's size.
shrunk() {
	now=$(disk_kib "$image")
	[ $((from - now)) -ge $((size * 1024 * 95 / 100)) ]
}
fell() {
	from=$1
	within 10 shrunk || fail "$2: the image took $from KiB and still takes $now"
	figure "$2: the image took $from KiB, then $now"
}

guest_must 20 'mount -t ext4 /dev/vda /mnt'
guest_must 40 "fill /mnt/kept 4 && md5sum /mnt/kept"
kept=$ANSWER
empty=$(disk_kib "$image")
guest_must 60 "fill /mnt/file $size"
full=$(disk_kib "$image")
[ $((full - empty)) -ge $((size * 1024 * 95 / 100)) ] || fail "$size MiB were written, and the image grew from $empty to $full KiB"
guest_must 30 'rm /mnt/file && sync && fstrim -v /mnt'
fell "$full" fstrim
guest_must 30 'umount /mnt && mount -t ext4 -o discard /dev/vda /mnt'
guest_must 60 "fill /mnt/file $size"
full=$(disk_kib "$image")
# Not before the umount: the guest discards behind the sync, and gives up what is left when the file system goes.
guest_must 30 'rm /mnt/file && sync'
fell "$full" "mount -o discard"
guest_must 30 'umount /mnt && mount -t ext4 /dev/vda /mnt'
guest_must 40 'echo 3 >/proc/sys/vm/drop_caches; md5sum /mnt/kept'
[ "$ANSWER" = "$kept" ] || fail "a file that was kept has changed: $kept, then $ANSWER"
guest_must 20 'umount /mnt && complaints'
disk_clean "$image"
guest_must 20 'blkdiscard /dev/vda && dd if=/dev/vda bs=64k count=64 iflag=direct 2>/dev/null | tr -d "\0" | wc -c'
[ "$ANSWER" = 0 ] || fail "after blkdiscard the first 4 MiB have $ANSWER bytes that are not zero"
left=$(disk_kib "$image")
[ "$left" -le 64 ] || fail "after blkdiscard of the whole disk the image still takes $left KiB"
figure "blkdiscard: the image takes $left KiB"
guest_type poweroff
guest_stop
pass
