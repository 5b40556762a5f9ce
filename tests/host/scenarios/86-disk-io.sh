# SPDX-License-Identifier: Apache-2.0
# Sequential and random I/O at depth 32 in a guest beside the same on the host's file, both past the page cache; at most 0.2 system calls of ebb a request.
# timeout: 200
# cost: 30
# archs: x86
# disk: 3G
# root-beside: it traces and has the host's file

# shellcheck source=../disk.sh
. "$RIG/disk.sh"
disk_begin "$1"
need strace
span=$(mib 32 16)
count=$(mib 2000 800)
[ "$SLOW" != 1 ] || count=20000
image=$SCRATCH/io.img
for file in "$image" "$SCRATCH/cached.img"; do
	truncate -s "${span}M" "$file"
	for_ebb "$file"
	diskbench "$file" write 65536 32 $((span * 16)) "$span" || fail "the host's own file cannot be written so"
done
{ disk_guest && echo serve_console; } >"$W/script"
guest_start io "$DEFAULT_GUEST" -m 192 -d "$image,direct" -d "$SCRATCH/cached.img" --timeout 190 <"$W/script"
guest_expect '^ready' 60 || fail "the guest does not come up"

# rate ANSWER: requests a second of diskbench's line.
rate() {
	echo "$1" | awk '/^diskbench .* ns$/ { printf "%.0f\n", $3 / ($5 / 1e9) }'
}

# beside KIND BLOCK REQUESTS: the guest's rate and the host's.
beside() {
	guest_must 60 "diskbench /dev/vda $1 $2 32 $3 $span"
	inside=$(rate "$ANSWER")
	outside=$(rate "$(diskbench "$image" "$1" "$2" 32 "$3" "$span")")
	figure "$1, $(($2 / 1024)) KiB a request: $inside requests/s in the guest, $outside on the host's file: $(ratio "$inside" "$outside")"
}

# calls DISK KIND HOW: ebb's system calls for so many requests of 4 KiB, less those that the same words on the console take. Where an
# emulated host has other things to do it wakes ebb before a batch is full: two more tries.
calls() {
	line="diskbench /dev/$1 $2 4096 32 $count $span"
	for try in 1 2 3; do
		syscalls_while guest_run 20 "echo $2 $count requests 1234567890 ns # $line" || fail "in the guest: $ANSWER"
		console=$SYSCALLS
		syscalls_while guest_run 100 "$line" || fail "in the guest: $2: $ANSWER"
		made=$((SYSCALLS - console))
		per_request=$(ratio "$made" "$count")
		[ $((made * 5)) -gt "$count" ] || break
		cat "$W/calls"
	done
	figure "$2 of 4 KiB, depth 32, $3: $made system calls of ebb for $count requests ($per_request), and $console for the console"
	[ $((made * 5)) -le "$count" ] || fail "$2, $3: $per_request system calls a request in each of $try tries"
}

calls vdb randread "by the host's page cache"
calls vdb randwrite "by the host's page cache"
calls vda randread "past it"
calls vda randwrite "past it"
guest_must 60 "diskbench /dev/vda check 65536 32 $((span * 16)) $span"
guest_must 20 complaints
guest_type poweroff
guest_stop
pass
