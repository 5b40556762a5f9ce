# SPDX-License-Identifier: Apache-2.0
# What the scenarios of disks share; they say `. "$RIG/disk.sh"`. POSIX sh (busybox ash).
# shellcheck shell=dash
# shellcheck disable=SC2034 # PID, GUEST and ANSWER are the scenarios'

# disk_begin "$1": the scenario goes on in a mount namespace of its own; nothing of its mounts stays behind. To be called before
# anything else.
disk_begin() {
	[ -n "${SCRATCH:-}" ] || fail "no disk: the scenario's head has to ask for one"
	need jq mkfs.ext4 e2fsck
	[ "$(id -u)" = 0 ] || skip "images are mounted to be looked at, which needs root"
	if [ -z "${DISK_BEGUN:-}" ]; then
		export DISK_BEGUN=1
		# shellcheck disable=SC2016 # expanded by that shell
		exec "$RIG/busybox" unshare -m sh -c '. "$RIG/lib.sh"; . "$1"' sh "$1"
	fi
	"$RIG/busybox" mount --make-rprivate / || fail "no mounts of its own"
}

# disk_image FILE SIZE: a sparse image with an empty ext4.
disk_image() {
	rm -f "$1"
	truncate -s "$2" "$1" && mkfs.ext4 -q -m 0 -F "$1" && for_ebb "$1" || fail "no file system can be made in $1"
}

# disk_kib FILE: what it takes of the host's disk.
disk_kib() {
	sync "$1"
	echo $(($(stat -c %b "$1") / 2))
}

# disk_mount FILE FOLDER: on the host.
disk_mount() {
	mkdir -p "$2"
	"$RIG/busybox" mount -t ext4 -o loop "$1" "$2"
}

# disk_clean FILE: nothing is wrong with the file system, nor anything left to do for it.
disk_clean() {
	e2fsck -fn "$1" >"$W/e2fsck" 2>&1 || fail "e2fsck is not content with $1: $(tail -n 5 "$W/e2fsck" | tr '\n' ' ')"
}

# disk_metric NAME [INDEX]: of the first or the INDEXth disk.
disk_metric() {
	ebb_stat "[.devices[] | select(.class == \"virtio-blk\")][${2:-0}].metrics.$1 // 0"
}

# disk_guest: the start of a guest's script, which ends with serve_console: the driver is there, and /mnt.
disk_guest() {
	guest_console
	cat <<-'END'
		load disk
		mkdir /mnt
		dmesg >/dmesg.start
		complaints() {
			! dmesg | tail -n +$(($(wc -l </dmesg.start) + 1)) | grep -E 'BUG:|Oops|WARNING:|Call Trace|bad page|I/O error|EXT4-fs error|JBD2.*[Ee]rror'
		}
	END
}
