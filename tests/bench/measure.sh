# SPDX-License-Identifier: Apache-2.0
# One run of the bench, on the machine whose KVM is used: a scenario of tests/host that tests/bench/run has generated sets
#   id vmm config workload cpus round, and ram_mib hog_mib balloon_mib churn_mib churn_total_mib mix_jobs mix_files passes
# and reads this file. What comes out are the lines "bench …" that tests/bench/report understands (POSIX sh, busybox's awk).
#
# An adapter, vmm/NAME.sh, says how a VMM is driven. It may use the variables above, $kernel, $params, $initrd and $disk (both may be
# empty), $W, $RIG, and has
#   vmm_threads       a regular expression: the names of its vCPUs' threads
#   vmm_record        options of `record` for it (may be left out)
#   vmm_about         prints name and version
#   vmm_can           0 if it can do $config with $workload; else it prints why not
#   vmm_words         prints its command line, a word a line
#   vmm_qmp           prints where its QMP socket is; or, without one, vmm_inflate MIB and vmm_deflate MIB print a command
#   vmm_hold          for config "held": prints a command
# shellcheck shell=dash
# shellcheck disable=SC2154 # set by the generated scenario and by tests/host/lib.sh

# shellcheck disable=SC2034 # the adapters'
bench=$RIG/bench
# Debian's smaller kernel knows no page_poison.
case $config in
poison*) guest=$STANDARD_GUEST ;;
*) guest=$DEFAULT_GUEST ;;
esac
kernel=$RIG/guests/$guest/vmlinuz
PATH=$bench/programs:$PATH
out=$W/out
initrd=
disk=
params=

# Everything at once, at the end: printing costs what is measured. Of a run that failed, what the VMM and the guest said.
finish() {
	cat "$out"
	! grep -q '^bench none' "$out" || [ ! -s "$W/vmm.err" ] || tail -n 60 "$W/vmm.err" | sed 's/^/| /'
	pass
}

none() {
	printf 'bench none %s\n' "$*" >>"$out"
	finish
}

# guest_initrd SCRIPT: the guest's initrd in $W/initrd: the rig's, the workloads, and the script with its sizes.
guest_initrd() {
	{
		# shellcheck disable=SC2016 # the guest's
		printf 'PATH=/bench:$PATH\n'
		printf '%s=%s\n' CPUS "$cpus" HOG_MIB "$hog_mib" CHURN_MIB "$churn_mib" CHURN_TOTAL_MIB "$churn_total_mib" \
			MIX_JOBS "$mix_jobs" MIX_FILES "$mix_files" PASSES "$passes"
		cat "$bench/guest/$1.sh"
	} | guest_pack "$W/script.cpio"
	cat "$RIG/guests/$guest/initrd" "$bench/guest.cpio" "$W/script.cpio" >"$W/initrd"
	initrd=$W/initrd
}

guest_params() {
	case $config in
	poison | poison-off) params="$params page_poison=1" ;;
	order0) params="$params page_reporting.page_reporting_order=0" ;;
	esac
}

# A file that is all holes, with a file system in it.
guest_disk() {
	command -v mkfs.ext4 >/dev/null || return 0
	disk=$W/disk
	{ truncate -s 512M "$disk" && mkfs.ext4 -q -F "$disk"; } 2>"$W/mkfs.err" || none "no file system for the guest's disk: $(cat "$W/mkfs.err")"
}

# The words as the adapter has them, and the same for the reader.
words() {
	vmm_words >"$W/words"
	{
		printf 'bench command'
		while read -r word; do
			case $word in
			*[!A-Za-z0-9_./:=,+-]*) printf " '%s'" "$word" ;;
			*) printf ' %s' "$word" ;;
			esac
		done <"$W/words"
		echo
	} | sed "s|$W|.|g; s|$RIG/||g" >>"$out"
}

# inflate MIB, deflate MIB: the commands that move the balloon, by QMP where there is any.
inflate() {
	if command -v vmm_qmp >/dev/null; then
		echo "qmp_balloon $(vmm_qmp) $(((ram_mib - $1) << 20)) 120"
	else
		vmm_inflate "$1"
	fi
}

deflate() {
	if command -v vmm_qmp >/dev/null; then
		echo "qmp_balloon $(vmm_qmp) $((ram_mib << 20)) 120"
	else
		vmm_deflate "$1"
	fi
}

# recorded ARGUMENTS…: one guest under `record`.
recorded() {
	words
	# shellcheck disable=SC2086 # words
	record ${vmm_record:-} --limit "$((limit_s - 10))" --vcpu-threads "$vmm_threads" --ram-mib "$ram_mib" "$@" --argv "$W/words" \
		>>"$out" 2>"$W/vmm.err" || printf 'bench none record ended with %s: %s\n' $? "$(tail -n 1 "$W/vmm.err")" >>"$out"
}

at_ready() {
	if [ "$config" = held ]; then
		echo "ready=run:$(vmm_hold) && sleep 5"
	else
		echo "ready=settle:20"
	fi
}

# Where vCPUs share the host's processors, the same work in all, so that it takes about as long.
run_throughput() {
	host_cpus=$(grep -c '^processor' /proc/cpuinfo)
	[ "$host_cpus" -ge "$cpus" ] || passes=$((passes * host_cpus / cpus))
	guest_initrd throughput
	recorded --on "$(at_ready)"
}

# Fixed waits, so that every run holds its memory for the same time.
run_return() {
	guest_disk
	guest_initrd return
	recorded --on "$(at_ready)" --on touched=sleep:2 --on freed=sleep:45 --on churned=sleep:25 --on mixed=sleep:25
}

run_balloon() {
	guest_initrd balloon
	recorded "$@" --on "$(at_ready)" --on freed=settle:6 --on "inflate=run:$(inflate "$balloon_mib")" \
		--on "deflate=run:$(deflate "$balloon_mib")"
}

run_calls() {
	if [ "$config" = balloon ]; then
		run_balloon --count-calls
	else
		churn_mib=0
		mix_jobs=0
		guest_initrd return
		recorded --count-calls --on "$(at_ready)" --on touched=sleep:2 --on freed=sleep:45
	fi
}

# launch: what the VMM alone does until its guest runs, with ebb's selftest guest, a multiboot ELF of some KiB.
launch() {
	if [ ! -s "$bench/small.elf" ]; then
		echo "bench lacks launch no small guest was packed for this host" >>"$out"
		return
	fi
	# In a process of its own: the adapter's variables stay what they are.
	(
		kernel=$bench/small.elf
		initrd=
		vmm_words >"$W/words"
		# The first is the host's warming up.
		start --argv "$W/words" >/dev/null 2>&1 </dev/null
		start --argv "$W/words" >"$W/launch" 2>"$W/vmm.err" </dev/null
	)
	if [ -s "$W/launch" ]; then
		sed 's/^bench start/bench launch/' "$W/launch" >>"$out"
	else
		printf 'bench lacks launch %s\n' "$(tail -n 1 "$W/vmm.err")" >>"$out"
	fi
}

run_start() {
	launch
	guest_initrd idle
	words
	start --argv "$W/words" >>"$out" 2>"$W/vmm.err" </dev/null ||
		printf 'bench none start: %s\n' "$(tail -n 1 "$W/vmm.err")" >>"$out"
	sed -i '/^bench command/d' "$out"
	recorded --on ready=settle:10 --private-at ready-done
}

fact() {
	key=$1
	shift
	[ -z "$*" ] || printf 'bench fact %s %s\n' "$key" "$*" >>"$out"
}

# What has to be held fixed, as it is on this host.
facts() {
	fact host-kernel "$(uname -srm)"
	fact host-cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
	fact host-cpus "$(grep -c '^processor' /proc/cpuinfo)"
	fact host-memory-mib "$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)"
	fact host-thp "$(sed 's/.*\[\(.*\)\].*/\1/' /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)"
	fact host-thp-defrag "$(sed 's/.*\[\(.*\)\].*/\1/' /sys/kernel/mm/transparent_hugepage/defrag 2>/dev/null)"
	fact host-ksm "$(cat /sys/kernel/mm/ksm/run 2>/dev/null)"
	fact host-swap-kib "$(awk '/^SwapTotal:/ { print $2 }' /proc/meminfo)"
	fact host-numa-nodes "$(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' 2>/dev/null | grep -c .)"
	fact host-governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null || echo 'none (no cpufreq)')"
	fact host-turbo "$(cat /sys/devices/system/cpu/intel_pstate/no_turbo /sys/devices/system/cpu/cpufreq/boost 2>/dev/null | head -n 1)"
	fact host-cmdline "$(cut -c1-300 /proc/cmdline)"
	fact kvm "$(find /sys/module -maxdepth 1 -name 'kvm_*' | sed 's|.*/||' | sort | tr '\n' ' ')"
	for vmm_file in "$bench"/vmm/*.sh; do
		vmm_name=$(basename "$vmm_file" .sh)
		[ "$vmm_name" != qemu ] || continue
		# shellcheck source=/dev/null disable=SC2030
		fact "vmm-$vmm_name" "$(config=off && . "$vmm_file" && vmm_can >/dev/null && vmm_about)"
	done
}

run_raw() {
	facts
	rawlimit "$hog_mib" >>"$out" 2>"$W/vmm.err" || none "rawlimit: $(tail -n 1 "$W/vmm.err")"
}

: >"$out"
# shellcheck disable=SC2031 # not that one
printf 'bench run id=%s vmm=%s config=%s workload=%s cpus=%s round=%s ram_mib=%s hog_mib=%s balloon_mib=%s guest=%s clock=%s\n' \
	"$id" "$vmm" "$config" "$workload" "$cpus" "$round" "$ram_mib" "$hog_mib" "$balloon_mib" "$guest" \
	"$([ "$EBB_CLOCK" = icount ] && echo instructions || echo wall)" >>"$out"
if [ "$workload" != raw ]; then
	[ -d /sys/kernel/debug/kvm ] || mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
	# shellcheck source=/dev/null
	. "$bench/vmm/$vmm.sh"
	why=$(vmm_can) || none "$why"
	guest_params
fi
"run_$workload"
finish
