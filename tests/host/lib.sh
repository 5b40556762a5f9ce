# SPDX-License-Identifier: Apache-2.0
# What a scenario may use. POSIX sh (busybox ash), on the machine whose KVM is used: L1, or the user's own.
# shellcheck shell=dash
#
#   $EBB  the program    $W  the scenario's own folder (and its working directory)    $RIG  the rig's files
#   $SCRATCH  a folder on the host's disk, where "# disk:" asks for one; $DISK/debian.img: a distribution's root file system
#
# A scenario ends by pass, fail WHY or skip WHY; the first verdict counts. Its head may say
#   # timeout: SECONDS   # timeout-slow: SECONDS (with SLOW=1)   # cost: SECONDS (about; for sharing out)
#   # archs: x86 (not others)   # only-riscv: KIND (what does not depend on the host's kind runs on one of them, but with SLOW=1)
#   # guests: SUITE-FLAVOUR… (kernels it boots beside $DEFAULT_GUEST; "standard" is $STANDARD_GUEST)
#   # root: WHY (not with --as-user)   # root-beside: WHY (root prepares and looks on: with --as-user only ebb is the user's)
#   # hosts: sid bookworm (L1 kernels, instead of the usual one)   # slow: WHY (runs only with SLOW=1 or by name)
#   # modules: standard (of its "# guests:", those whose modules lie in $RIG/guests/NAME/root, for --root's modules=)
#   # disk: 4G debian (the nested host has a disk of at least that size; in it debian.img)   # denied: WHY (that the host's kernel logs
#   system calls of ebb's as denied by its filter is no failure)
# and "# KEY-riscv: VALUE" in place of "# KEY: VALUE" for one architecture.

PATH=$RIG/bin:$PATH
EBB=${EBB:-$RIG/bin/ebb}

note() {
	echo "  $*"
}

# figure TEXT: a number for the reader of `make check`, shown also when the scenario passes.
# shellcheck disable=SC2154 # name is the runner's
figure() {
	echo "@@ FIGURE $name $*"
}

verdict() {
	[ -s "$W/verdict" ] || echo "$*" >"$W/verdict"
	exit 0
}

pass() {
	verdict PASS
}

skip() {
	verdict SKIP "$*"
}

fail() {
	echo "failed: $*"
	show_logs
	verdict FAIL "$*"
}

# show_logs: the last of what each guest and each ebb wrote.
show_logs() {
	for log in "$W"/*.console "$W"/*.err; do
		[ -s "$log" ] || continue
		echo "--- ${log##*/} (last 40 lines)"
		tail -n 40 "$log" | tr -d '\r' | cat -v
	done
}

# for_ebb FILE…: belongs to whom ebb runs as, where that is not this scenario's user.
for_ebb() {
	[ -z "${EBB_USER:-}" ] || chown "$EBB_USER" "$@"
}

# need PROGRAM…
need() {
	for program; do
		command -v "$program" >/dev/null 2>&1 || skip "no $program on this host"
	done
}

# within SECONDS COMMAND…: repeats COMMAND every 0.1 s until it succeeds. The time is longer by TIMEOUT_FACTOR.
within() {
	within_end=$(($(now_ms) + $1 * 1000 * TIMEOUT_FACTOR))
	shift
	while ! "$@"; do
		[ "$(now_ms)" -lt $within_end ] || return 1
		sleep 0.1
	done
}

now_ms() {
	read -r now_up _ </proc/uptime
	now_frac=${now_up#*.}
	echo "${now_up%.*}${now_frac}0"
}

# ratio A B: A/B with two places.
ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", b ? a / b : 0 }'
}

# firmware FOLDER: runs the guest programs that "# pack: tests/guest/run …" has put into FOLDER. Sets passed, skipped (how many) and
# failures (their names).
firmware() {
	passed=0
	skipped=0
	failures=
	[ -s "$1/list" ] || skip "no guest programs were packed for this host"
	while read -r program; do
		EBB=$EBB sh "$1/one.sh" "$1" "$program" </dev/null
		case $? in
		0) passed=$((passed + 1)) ;;
		2) skipped=$((skipped + 1)) ;;
		*) failures="$failures $program" ;;
		esac
	done <"$1/list"
	[ -z "$failures" ] || fail "guest programs:$failures"
	[ $passed -gt 0 ] || fail "not one guest program ran"
}

# kernel_before MAJOR MINOR: this host's kernel is older than that.
kernel_before() {
	kernel_is=$(uname -r)
	kernel_minor=${kernel_is#*.}
	kernel_minor=${kernel_minor%%[!0-9]*}
	[ "${kernel_is%%.*}" -lt "$1" ] || { [ "${kernel_is%%.*}" = "$1" ] && [ "$kernel_minor" -lt "$2" ]; }
}

# mib NUMBER SMALL: NUMBER of MiB, or SMALL where the host is slow. For sizes that do not matter in themselves.
mib() {
	if [ "$SIZES" = small ]; then echo "$2"; else echo "$1"; fi
}

alive() {
	[ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

# guest_pack FILE: makes an initrd that holds the guest script on stdin as /guest.sh.
guest_pack() {
	mkdir -p "$W/pack"
	cat >"$W/pack/guest.sh"
	(cd "$W/pack" && echo guest.sh | cpio -o -H newc 2>/dev/null) >"$1"
}

# guest_start NAME SUITE-FLAVOUR [ebb options]: starts a guest in the background; its script is stdin.
#   Sets PID (ebb's). Console in $W/NAME.console, ebb's own words in $W/NAME.err, guest_type types.
#   WRAP="strace -D …" in the environment runs ebb under it; EXTRA_PARAMS adds to the guest's command line; STOCK=1: and nothing else.
guest_start() {
	GUEST=$1
	guest_dir=$RIG/guests/$2
	shift 2
	[ -f "$guest_dir/vmlinuz" ] || skip "no guest kernel ${guest_dir##*/}"
	# --timeout is as patient as the rest of the rig.
	guest_before=
	for guest_word; do
		[ "$guest_before" != --timeout ] || guest_word=$((guest_word * TIMEOUT_FACTOR))
		guest_before=$guest_word
		set -- "$@" "$guest_word"
		shift
	done
	guest_pack "$W/$GUEST.cpio"
	rm -f "$W/$GUEST.stdin"
	mkfifo "$W/$GUEST.stdin"
	# Opened for both, so that neither side waits and the guest never sees an end of file.
	exec 8<>"$W/$GUEST.stdin"
	: >"$W/$GUEST.console"
	# What a kernel's cryptography tries of itself is a fifth of its start, where one processor emulates host and guest.
	guest_params=quiet
	[ "$HOST_KIND" != nested ] || [ -n "${STOCK:-}" ] ||
		guest_params="quiet cryptomgr.notests initcall_blacklist=crypto_kdf108_init,jent_mod_init"
	# shellcheck disable=SC2086 # WRAP is words
	${WRAP:-} "$EBB" run --name "$GUEST" -k "$guest_dir/vmlinuz" -i "$guest_dir/initrd" -i "$W/$GUEST.cpio" \
		-p "$guest_params ${EXTRA_PARAMS:-}" "$@" <&8 >>"$W/$GUEST.console" 2>"$W/$GUEST.err" 8>&- &
	PID=$!
	echo "$PID" >>"$W/pids"
}

# guest_saw REGEX [NAME]: the guest's console has a line that matches (carriage returns taken off).
guest_saw() {
	tr -d '\r' <"$W/${2:-$GUEST}.console" | grep -qE "$1"
}

guest_saw_or_ended() {
	guest_saw "$1" || ! alive "$PID"
}

# guest_expect REGEX SECONDS: waits for a console line; no success if ebb ended without it.
guest_expect() {
	within "$2" guest_saw_or_ended "$1" && guest_saw "$1" && ebb_is_users
}

# ebb_is_users: where ebb alone has to be the user's, it is.
ebb_is_users() {
	[ -z "${EBB_USER:-}" ] || [ "$(cat "/proc/$PID/comm" 2>/dev/null)" != ebb ] ||
		grep -q "^Uid:	$EBB_USER	$EBB_USER	$EBB_USER	$EBB_USER\$" "/proc/$PID/status" || fail "ebb does not run as user $EBB_USER"
}

# guest_answer KEY: the rest of the last console line "KEY REST".
guest_answer() {
	tr -d '\r' <"$W/$GUEST.console" | sed -n "s/^$1 //p" | tail -n 1
}

guest_ended() {
	! alive "$PID"
}

# guest_wait SECONDS: waits for ebb's end and sets STATUS; false if it is still there.
guest_wait() {
	within "$1" guest_ended || return 1
	wait "$PID"
	STATUS=$?
}

guest_type() {
	printf '%s\n' "$1" >"$W/$GUEST.stdin"
}

# guest_console: the start of a guest's script that ends with serve_console, which does what guest_run asks for.
guest_console() {
	cat <<-'END'
		serve_console() {
			echo ready
			while read -r count command; do
				eval "$command" >"/out.$count" 2>&1
				echo "ran $count $? $(tail -n 1 "/out.$count")"
			done
		}
	END
}

# guest_run SECONDS COMMAND…: runs it in the guest (guest_console). ANSWER is the last line of what it said; false where its status
# is not 0 or nothing comes.
guest_run() {
	run_limit=$1
	shift
	run_count=$((${run_count:-0} + 1))
	guest_type "$run_count $*"
	ANSWER="no answer"
	guest_expect "^ran $run_count " "$run_limit" || return 1
	ANSWER=$(guest_answer "ran $run_count")
	run_status=${ANSWER%% *}
	ANSWER=${ANSWER#"$run_status"}
	ANSWER=${ANSWER# }
	[ "$run_status" = 0 ]
}

# guest_must SECONDS COMMAND…: it must succeed in the guest.
guest_must() {
	guest_run "$@" || fail "in the guest: $*: $ANSWER"
	note "$ANSWER"
}

# guest_hog MIB: lines of a guest's script: so much is touched ("touched") and, after a line, let go ("freed").
guest_hog() {
	cat <<-END
		memhog $1 1000 >/hog.out &
		hog=\$!
		until grep -qs touched /hog.out; do sleep 0.2; done
		echo touched
		read -r line
		kill \$hog
		wait \$hog
		echo freed
	END
}

# guest_stop: the hard way; for guests whose end is not the point.
guest_stop() {
	kill -9 "$PID" 2>/dev/null
	wait "$PID" 2>/dev/null
	return 0
}

# boot_check SUITE-FLAVOUR CPUS [ebb options]: boots to userspace, looks at processors and drivers, powers off.
boot_check() {
	boot_what="$1 with $2 vCPUs"
	boot_cpus=$2
	boot_name=boot-$1-$2
	boot_script >"$W/boot.script"
	boot_kernel=$1
	shift 2
	STOCK=1 guest_start "$boot_name" "$boot_kernel" -c "$boot_cpus" -m 256 --timeout 100 "$@" <"$W/boot.script"
	guest_wait 110 || fail "$boot_what: still running"
	[ "$STATUS" = 0 ] || fail "$boot_what: status $STATUS after poweroff"
	guest_saw "^cpus $boot_cpus\$" || fail "$boot_what: not that many in the guest"
	guest_saw "^no driver for" && fail "$boot_what: a virtio device has no driver"
	for driver in virtio_balloon virtio_rng; do
		guest_saw "^bound $driver" || fail "$boot_what: $driver is not bound"
	done
	guest_saw "^random 64" || fail "$boot_what: no random bytes from /dev/hwrng"
	[ "$ARCH" != riscv ] || boot_check_fdt
	figure "$boot_what: userspace after $(guest_answer 'ebb-guest: up' | cut -d' ' -f1) s of guest time"
}

# boot_check_fdt: the kernel had no complaint about its FDT, and dtc has none.
boot_check_fdt() {
	guest_saw '^complaint ' && fail "$boot_what: the kernel's log: $(guest_answer complaint)"
	tr -d '\r' <"$W/$GUEST.console" | sed -n 's/^fdt //p' | base64 -d | gzip -dc >"$W/fdt.dtb"
	[ -s "$W/fdt.dtb" ] || fail "$boot_what: no FDT in the guest's /sys/firmware"
	if ! command -v dtc >/dev/null; then
		[ "$HOST_KIND" != nested ] || fail "$boot_what: no dtc in the nested host"
		note "no dtc on this host"
		return
	fi
	dtc -I dtb -O dtb -o "$W/fdt.out" -Wunit_address_format -Winterrupt_provider "$W/fdt.dtb" 2>"$W/fdt.err" ||
		fail "$boot_what: dtc fails on the FDT: $(cat "$W/fdt.err")"
	[ ! -s "$W/fdt.err" ] || fail "$boot_what: dtc about the FDT: $(cat "$W/fdt.err")"
	note "FDT of $(wc -c <"$W/fdt.dtb") bytes: neither dtc nor the kernel has a complaint"
}

# What a kernel says of a device tree it does not like, whatever the level; and warnings of whoever reads one. That a host is
# slow is no fault of the tree.
boot_script() {
	cat <<-'END'
		dmesg -r | grep -vE 'hrtimer|sched|rcu|workqueue|clocksource|watchdog|perf' | grep -E \
			-e '^<[0-9]+>.*(OF: |FDT|fdt|DTB|[Dd]evice.?[Tt]ree)' \
			-e '^<[0-4]>.*(riscv|cpu|isa|timebase|interrupt|irq|plic|aplic|imsic|msi|pci|serial|8250|tty|sbi|memory|virtio)' |
			sed 's/^/complaint /'
		[ ! -e /sys/firmware/fdt ] || gzip </sys/firmware/fdt | base64 | sed 's/^/fdt /'
		echo "cpus $(grep -c '^processor' /proc/cpuinfo)"
		for device in /sys/bus/virtio/devices/*; do
			[ -e "$device/driver" ] && echo "bound $(basename "$(readlink "$device/driver")")"
			[ -e "$device/driver" ] || echo "no driver for $device"
		done
		dd if=/dev/hwrng bs=16 count=4 2>/dev/null | wc -c | sed 's/^/random /'
	END
}

# ebb_stat JQ-EXPRESSION: from `ebb stat --json` of the current guest.
ebb_stat() {
	"$EBB" stat "$GUEST" --json | jq -r "$1"
}

# guest_socket: where the current guest's control socket is.
guest_socket() {
	if [ -n "${XDG_RUNTIME_DIR:-}" ]; then
		echo "$XDG_RUNTIME_DIR/ebb/$GUEST.sock"
	else
		echo "/run/ebb/$GUEST.sock"
	fi
}

# steady PID SECONDS: waits (at most) until resident guest RAM has not changed by 256 KiB for two seconds.
steady() {
	steady_last=-1
	steady_tries=$2
	while [ "$steady_tries" -gt 0 ]; do
		steady_now=$(ram_rss_kib "$1")
		[ $((steady_now - steady_last)) -lt 256 ] && [ $((steady_last - steady_now)) -lt 256 ] && return
		steady_last=$steady_now
		steady_tries=$((steady_tries - 2))
		sleep 2
	done
	return 1
}

# Guest RAM is what of ebb's mappings is private or shared memory of 96 MiB and more; the rest is ebb's own.
smaps_sum() {
	awk -v ram="$2" -v fields="$3" '
		/^[0-9a-f]+-[0-9a-f]+ / { next }
		/^Size:/ { big = $2 >= 98304 ? 1 : 0; next }
		big == ram && index(fields, " " $1 " ") { sum += $2 }
		END { print sum + 0 }' "/proc/$1/smaps"
}

# ram_rss_kib PID: resident guest RAM. own_kib PID: ebb's own private memory.
ram_rss_kib() {
	smaps_sum "$1" 1 " Rss: "
}

own_kib() {
	smaps_sum "$1" 0 " Private_Clean: Private_Dirty: "
}

# trace_start FILE PID CALLS: counts system calls of every thread of PID from now on.
trace_start() {
	strace -f -qq -o "$1" -e trace="$3" -p "$2" 2>"$1.err" &
	TRACER=$!
	echo "$TRACER" >>"$W/pids"
	within 10 traced "$2" || fail "strace does not attach: $(cat "$1.err")"
}

traced() {
	! grep -h '^TracerPid:' "/proc/$1/task"/*/status | grep -q '	0$'
}

trace_stop() {
	kill -INT "$TRACER"
	wait "$TRACER"
	return 0
}

# syscalls_while COMMAND…: runs it with every thread of ebb's traced; SYSCALLS is how many there were, $W/calls a table of them.
syscalls_while() {
	strace -f -qq -c -o "$W/calls" -p "$PID" 2>"$W/calls.err" &
	TRACER=$!
	echo "$TRACER" >>"$W/pids"
	within 10 traced "$PID" || fail "strace does not attach: $(cat "$W/calls.err")"
	"$@"
	syscalls_status=$?
	trace_stop
	# Seconds, share, microseconds, calls, errors or nothing, name.
	# shellcheck disable=SC2034 # the scenarios'
	SYSCALLS=$(awk '$NF ~ /^[a-z_0-9]+$/ && $NF != "total" && $4 ~ /^[0-9]+$/ { sum += $4 } END { print sum + 0 }' "$W/calls")
	return $syscalls_status
}

# count_release_calls FILE: those that can give memory back; ebb's own new mappings, which it looks at the guest with, cannot.
count_release_calls() {
	grep -vE 'mmap\(NULL,' "$1" >"$1.release"
	count_calls "$1.release" 'madvise|process_madvise|fallocate|mmap|munmap'
}

# count_calls FILE REGEX: calls begun (a resumed line is no second call).
count_calls() {
	grep -v 'resumed>' "$1" | grep -cE "^[0-9]+ +($2)\("
}
