# SPDX-License-Identifier: Apache-2.0
# `kill -9` of ebb while its guest writes and syncs: all that the guest was told is synced is in the image, whose file system recovers.
# timeout: 240
# timeout-slow: 1800
# cost: 30
# only-riscv: riscv-plic
# slow-riscv: minutes, where one processor emulates host and guest
# disk: 3G
# root-beside: it looks into the image

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
disk_begin "$1"
rounds=$(mib 3 2)
[ "$SLOW" != 1 ] || rounds=50
image=$SCRATCH/kill9.img
disk_image "$image" 192M

# A second program keeps the journal and the queue busy. ROUND is the folder's name too.
script() {
	cat <<-END
		load disk
		mkdir /mnt
		mount -t ext4 /dev/vda /mnt || echo "no mount"
		mkdir /mnt/$1
		sync
		(while :; do dd if=/dev/zero of=/mnt/noise bs=64k count=32 conv=fsync 2>/dev/null; done) &
		syncwriter write /mnt/$1 $1
		poweroff -f
	END
}

pause_ms() {
	echo $(($(od -An -tu2 -N2 /dev/urandom) % 900))
}

round=0
synced_all=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	script $round >"$W/script"
	guest_start kill9-$round "$DEFAULT_GUEST" -m 192 -d "$image" --timeout 100 <"$W/script"
	guest_expect "^synced $round 12\$" 60 || fail "round $round: the guest does not write"
	sleep "0.$(printf %03d "$(pause_ms)")"
	alive "$PID" || fail "round $round: ebb ended by itself"
	guest_stop
	guest_saw '^syncwriter fails' && fail "round $round: $(guest_answer 'syncwriter fails:')"
	synced=$(tr -d '\r' <"$W/$GUEST.console" | sed -n "s/^synced $round \([0-9]*\)\$/\1/p" | tail -n 1)
	disk_mount "$image" "$W/mnt" || fail "round $round: the journal is not replayed"
	# What earlier rounds synced is there as well.
	echo "$round $synced" >>"$W/synced"
	while read -r number last; do
		syncwriter verify "$W/mnt/$number" "$number" "$last" >"$W/verify" || fail "round $round: of round $number, synced up to $last: $(cat "$W/verify")"
	done <"$W/synced"
	rm -rf "${W:?}/mnt/$((round - 5))"
	sed -i "/^$((round - 5)) /d" "$W/synced"
	umount "$W/mnt" || fail "round $round: no umount"
	disk_clean "$image"
	synced_all=$((synced_all + synced + 1))
	rm -f "$W/$GUEST.console"
done
figure "$rounds kills: $synced_all records that were synced are all there, and the file system is clean after its journal's replay"
pass
