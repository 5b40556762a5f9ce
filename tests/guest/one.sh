# SPDX-License-Identifier: Apache-2.0
# Runs one guest program under ebb and judges it: sh one.sh FOLDER NAME. POSIX sh, for the nested host's busybox too.
# shellcheck shell=sh disable=SC2154 # the stanza sets them
#
# FOLDER/NAME.stanza sets the keys of tests/guest/run as variables, FOLDER/NAME.arguments has ebb's arguments, one a line, @/FILE for
# a file in FOLDER. Prints one line of verdict and, where it failed, why. Status 0 passed, 1 failed, 2 skipped.
# A guest program with "harness" on its command line talks to us (guest-firmware/lib/harness.h): a console line "harness: REQUEST;" is
# answered with a line that has a number.
# EBB is the program, LAYER what stands before a name in a verdict (guest), VERBOSE=1 shows the console, TIMEOUT_FACTOR stretches time limits.

set -u
folder=$1
name=$2
work=$(mktemp -d)
pool=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
pool_before=
trap 'rm -rf "$work"; [ -z "$pool_before" ] || echo "$pool_before" >$pool' EXIT
# shellcheck source=/dev/null
. "$folder/$name.stanza"
limit=$((timeout * ${TIMEOUT_FACTOR:-1}))
harness=$(grep -Ex '(.* )?harness( .*)?' "$folder/$name.arguments")

verdict() {
	echo "$1 ${LAYER:-guest}/$name$2"
	case $1 in PASS) exit 0 ;; FAIL) return ;; *) exit 2 ;; esac
}

now_ms() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}0"
}

all_may_use_userfaultfd() {
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd 2>/dev/null)" = 1 ]
}

may_use_userfaultfd() {
	[ "$(id -u)" = 0 ] || [ -w /dev/userfaultfd ] || all_may_use_userfaultfd
}

# unprivileged COMMAND…: without userfaultfd. Root of a user namespace owns its files as before, but has no CAP_SYS_PTRACE.
unprivileged() {
	may_use_userfaultfd || {
		"$@"
		return
	}
	unshare -U -r -m sh -c '[ ! -e /dev/userfaultfd ] || mount -o bind /dev/null /dev/userfaultfd || exit; exec "$@"' sh "$@"
}

# networked COMMAND…: in a network of its own, whose tap7, once the command makes it, is up and answers pings to 10.77.0.1.
networked() {
	# shellcheck disable=SC2016,SC2317 # its own variables; called by its name in a variable
	unshare -n sh -c '
		while [ -d /proc/$$ ] && ! ip addr add 10.77.0.1/24 dev tap7; do sleep 0.05; done >/dev/null 2>&1 </dev/null &&
			ip link set tap7 up >/dev/null 2>&1 </dev/null &
		exec "$@"' sh "$@"
}

# As many huge pages of 2 MiB for ebb, which root may take for as long as a test runs.
huge_pages() {
	read -r pool_size 2>/dev/null <$pool || return
	read -r free_pages <${pool%/*}/free_hugepages
	read -r reserved <${pool%/*}/resv_hugepages
	[ $((free_pages - reserved)) -lt "$1" ] || return 0
	[ -w $pool ] || return
	pool_before=$pool_size
	echo $((pool_size + $1 - free_pages + reserved)) >$pool
	read -r pool_size <$pool
	[ $((pool_size - pool_before)) -ge $(($1 - free_pages + reserved)) ]
}

# Why this machine cannot run it, or nothing.
missing_need() {
	[ -e /dev/kvm ] || { echo "no /dev/kvm" && return; }
	[ -w /dev/kvm ] || { echo "no permission for /dev/kvm" && return; }
	for need in $needs; do
		case $need in
		hardware) [ ! -e /sys/module/kvm_pvm ] || { echo "this /dev/kvm interprets guest code" && return; } ;;
		msi) [ "$(uname -m)" != riscv64 ] || grep -q _ssaia /proc/cpuinfo ||
			{ echo "this host's KVM takes no messages (no AIA)" && return; } ;;
		plic) ! grep -q _ssaia /proc/cpuinfo || { echo "this host's KVM has an AIA, and guests no PLIC" && return; } ;;
		userfaultfd) may_use_userfaultfd || { echo "no permission for userfaultfd" && return; } ;;
		memlock) [ "$(id -u)" = 0 ] || [ "$(ulimit -l)" = unlimited ] || { echo "a limit on locked memory (ulimit -l)" && return; } ;;
		tap) { [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] && command -v ip >/dev/null && unshare -n true 2>/dev/null; } ||
			{ echo "no permission for a TAP interface in a network of its own" && return; } ;;
		direct) dd if=/dev/zero of="$work/direct" bs=4096 count=1 oflag=direct 2>/dev/null || { echo "no O_DIRECT in $work" && return; } ;;
		vhost) [ -w /dev/vhost-net ] || { echo "no /dev/vhost-net that may be opened" && return; } ;;
		passt)
			command -v passt >/dev/null || { echo "no passt" && return; }
			# It puts itself into an empty root, which the kernel does not let it do there.
			! grep -q '^rootfs / ' /proc/mounts || { echo "passt does not run in an initramfs" && return; }
			;;
		hugetlb) ;; # below: it is a change, and this is a subshell
		*) echo "unknown need $need" && return ;;
		esac
	done
	[ -z "$harness" ] || command -v jq >/dev/null || { echo "no jq to answer the guest with" && return; }
	[ -n "$without" ] || return
	[ "$(id -u)" = 0 ] || ! [ -w /dev/userfaultfd ] || { echo "this user may use userfaultfd" && return; }
	! all_may_use_userfaultfd || { echo "vm.unprivileged_userfaultfd is 1, so anyone may use it" && return; }
	unprivileged true 2>/dev/null || echo "no user and mount namespace of one's own"
}

# What the user types, once the guest asks for it.
type_input() {
	tries=$((limit * 20))
	while [ -n "$prompt" ] && [ "$tries" -gt 0 ] && ! grep -Eqs -e "$prompt" "$work/console"; do
		tries=$((tries - 1))
		sleep 0.05
	done
	printf '%b' "$stdin"
}

# What the user asks of ebb meanwhile, once the guest says that it is ready for it.
ask() {
	tries=$((limit * 20))
	while [ "$tries" -gt 0 ] && ! grep -Eqs -e "$prompt" "$work/console"; do
		tries=$((tries - 1))
		sleep 0.05
	done
	"${EBB:-ebb}" qmp "guest-$$" "$qmp" >"$work/answer" 2>&1
}

# resident_kib: what ebb has of memory that is no file's.
resident_kib() {
	sed -n 's/^Rss\(Anon\|Shmem\): *//p; s/^HugetlbPages: *//p' "/proc/$1/status" | awk '{ sum += $1 } END { print sum + 0 }'
}

# The most that is resident, in a file, from now on until the guest is over.
watch_resident() {
	most=0
	while [ -d "/proc/$1" ] && [ -d "$work" ] && [ ! -e "$work/over" ]; do
		now=$(resident_kib "$1" 2>/dev/null)
		[ "$now" -le "$most" ] || { most=$now && echo "$most" >"$work/peak.new" && mv "$work/peak.new" "$work/peak"; }
		sleep 0.03
	done
}

# answer REQUEST: one number.
answer() {
	case $1 in
	memory | watch) [ -n "$pid" ] || pid=$("${EBB:-ebb}" stat "guest-$$" --json 2>/dev/null | jq .pid) ;;
	esac
	case $1 in
	"mem "*)
		# shellcheck disable=SC2086 # words
		"${EBB:-ebb}" mem "guest-$$" ${1#mem } >>"$work/answer" 2>&1
		echo $?
		;;
	"stat "*) "${EBB:-ebb}" stat "guest-$$" --json 2>>"$work/answer" | jq -r "${1#stat }" 2>>"$work/answer" ;;
	memory) resident_kib "$pid" ;;
	watch)
		rm -f "$work/peak"
		watch_resident "$pid" >/dev/null 2>&1 &
		echo $! >"$work/watcher"
		echo 0
		;;
	peak) cat "$work/peak" ;;
	*) echo "unknown request $1" >>"$work/answer" ;;
	esac
}

# Answers what the guest asks, until it is over.
converse() {
	asked=0
	pid=
	while [ -d "$work" ] && [ ! -e "$work/over" ]; do
		request=$(tr -d '\r' <"$work/console" | sed -n 's/^harness: \(.*\);$/\1/p' | sed -n "$((asked + 1))p")
		if [ -n "$request" ]; then
			asked=$((asked + 1))
			answer "$request" >"$work/number" # a file: who watches keeps what was its output
			read -r number <"$work/number" || number=none
			echo "$request = $number" >>"$work/answer"
			echo "$number"
		else
			sleep 0.02
		fi
	done
}

# What ebb has as its input.
input() {
	if [ -n "$harness" ]; then converse; else type_input; fi
}

# A folder to be shared, with ways out of it (guest-firmware/tests/virtio_9p.c).
make_folder() {
	mkdir -p "$1/sub" && mkfifo "$1/fifo" && ln -s /etc/passwd "$1/out" && ln -s .. "$1/up" &&
		echo "hello from the host" >"$1/hello" && echo file >"$1/sub/file"
}

# expand WORD: an argument of ebb's, in $word; files that it names are made.
expand() {
	word=$1
	case $word in
	@/*) word=$folder/${word#@/} ;;
	@disk | @disk,*) word=$work/${word#@} && truncate -s 8M "$work/disk" ;;
	@disk2 | @disk2,*) word=$work/${word#@} && truncate -s 4M "$work/disk2" ;;
	@folder | @folder,*) word=$work/${word#@} && make_folder "$work/folder" ;;
	*path=@used) word=${word%@used}$work/used && head -c 67108864 /dev/zero | tr '\000' '\377' >"$work/used" ;;
	*path=@ram) word=${word%@ram}$work/ram && truncate -s 64M "$work/ram" ;;
	esac
}

# lost TAG: which sector of the disk has not its number, though the guest said that it is kept; nothing if all have.
lost() {
	kept=$(awk '/^kept [0-9]+\r$/ { kept = $2 + 1 } END { print kept + 0 }' "$work/console") # a line that is cut off does not count
	total=$((total + kept))
	od -An -v -tu4 -N $((kept * 512)) "$work/disk" |
		awk -v tag="$1" '{ sector = int((NR - 1) / 32) } $1 != sector || $3 != sector || $2 != tag || $4 != tag { print "sector " sector; exit }'
}

# Runs the program, kills ebb in the middle, and looks at its disk, so many times; why it failed, or nothing.
kill_often() {
	round=0
	total=0
	busy=0
	while [ $round -lt "$kills" ]; do
		round=$((round + 1))
		set -- run --timeout "$limit"
		while IFS= read -r line; do
			expand "$line"
			case $word in *tag=@round*) word="${word%@round*}$round${word#*@round}" ;; esac
			set -- "$@" "$word"
		done <"$folder/$name.arguments"
		: >"$work/console"
		"${EBB:-ebb}" "$@" </dev/null >"$work/console" 2>"$work/errors" &
		killed=$!
		tries=$((limit * 100))
		until [ "$(grep -c ^kept "$work/console")" -gt $((round % 8)) ] || [ ! -d /proc/$killed ] || [ $tries = 0 ]; do
			tries=$((tries - 1))
			sleep 0.01
		done
		sleep 0.00$((round % 10))
		if ! kill -9 $killed 2>/dev/null; then
			# what the one before had in flight holds the disk until it is done
			grep -q 'another VM has it' "$work/errors" && round=$((round - 1)) && busy=$((busy + 1)) && [ $busy -lt 50 ] && continue
			why="ebb ended by itself" && return
		fi
		wait $killed 2>/dev/null
		[ $tries -gt 0 ] || { why="round $round keeps nothing" && return; }
		why=$(lost $round)
		[ -z "$why" ] || { why="$why was said to be kept, and is not, after kill $round" && return; }
		lost $round >/dev/null # adds to the total, which a subshell cannot
	done
	[ "$total" -gt "$kills" ] || why="only $total sectors were written in $kills rounds"
}

why=$(missing_need)
[ -z "$why" ] || verdict SKIP ": $why"
case " $needs " in *" hugetlb "*) huge_pages 32 || verdict SKIP ": no pool of 32 huge pages of 2 MiB, and no leave to make one" ;; esac
set -- run --timeout "$limit"
[ -z "$qmp$harness" ] || set -- "$@" --name "guest-$$"
while IFS= read -r word; do
	expand "$word"
	set -- "$@" "$word"
done <"$folder/$name.arguments"

case " $needs " in *" tap "*) networked=networked ;; *) networked= ;; esac

begun=$(now_ms)
if [ -n "$kills" ]; then
	kill_often
	taken=$(($(now_ms) - begun))
	[ -n "$why" ] || verdict PASS " ($((taken / 1000)).$((taken / 100 % 10)) s; $total sectors kept)"
	verdict FAIL ": $why"
	tail -n 3 "$work/console" "$work/errors" | sed 's/^/    /'
	exit 1
fi
asker=
if [ -n "$qmp" ]; then
	ask &
	asker=$!
fi
: >"$work/console"
# ebb's own time limit comes first; the outer one only catches an ebb that hangs
# shellcheck disable=SC2094 # the one who types waits for what the other writes
input | {
	${without:+unprivileged} $networked timeout -k 5 $((limit + 15)) "${EBB:-ebb}" "$@" >"$work/console" 2>"$work/errors"
	echo $? >"$work/over"
}
got=$(cat "$work/over")
while [ -s "$work/watcher" ] && [ -d "/proc/$(cat "$work/watcher")" ]; do sleep 0.01; done
taken=$(($(now_ms) - begun))
[ -z "$asker" ] || { kill "$asker" 2>/dev/null || wait "$asker"; }
tr -d '\r' <"$work/console" >"$work/text"
# Where there is no debug-exit port, a shutdown or a reported failure ends ebb, and a line carries the status.
exit_line=$(sed -n 's/^EXIT: STATUS=\([0-9]*\)$/\1/p' "$work/text" | tail -n 1)
case $got in 0 | 126) got=${exit_line:-$got} ;; esac

why=
[ "$got" = "$status" ] || why="exit status $got, expected $status"
for regex in "$expect" "$also"; do
	[ -n "$why" ] || [ -z "$regex" ] || grep -Eq -e "$regex" "$work/text" || why="no console line matches $regex"
done
[ -n "$why" ] || [ -z "$allocated" ] || [ "$(du -k "$work/disk" | cut -f 1)" -le "$allocated" ] || why="the disk takes $(du -k "$work/disk" | cut -f 1) KiB, more than $allocated"
[ -n "$why" ] || [ -z "$says" ] || [ "$(grep -Ec -e "$says" "$work/errors")" = 1 ] || why="no line or many say $says"
if [ -z "$why" ]; then
	[ "${VERBOSE:-0}" = 0 ] || sed 's/^/    /' "$work/text"
	verdict PASS " ($((taken / 1000)).$((taken / 100 % 10)) s)"
fi
[ "$got" != 97 ] || verdict SKIP ": $(sed -n 's/^SKIP //p' "$work/text" | head -n 1)"
verdict FAIL ": $why"
{
	grep '^FAIL' "$work/text" | head -n 20
	tail -n 12 "$work/text"
} | sed 's/^/    /'
head -n 5 "$work/errors" | sed 's/^/    stderr: /'
[ ! -s "$work/answer" ] || tail -n 12 "$work/answer" | sed 's/^/    answer: /'
exit 1
