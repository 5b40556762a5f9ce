# SPDX-License-Identifier: Apache-2.0
# In the guest: page_fault1, then page_fault2, a process for each of CPUS processors. Each makes PASSES passes (page_fault2: PASSES2, a
# quarter of that if nobody says: about the same time) or, where that is 0, runs for SECONDS_EACH. The files of page_fault2 lie in
# memory (tmpfs), so that no disk is measured. A processor needs 128 MiB for page_fault1, twice that for page_fault2: with four of
# them that is a guest of 1.5 GiB.
# shellcheck shell=dash

: "${CPUS:=1}" "${SECONDS_EACH:=3}" "${PASSES:=0}"
: "${PASSES2:=$(((PASSES + 3) / 4))}"

# ask NAME: what is to be done at NAME is done when there is a line to read.
ask() {
	echo "bench: ask $1"
	read -r _
}

# run MODE PASSES
run() {
	echo "bench: mark page_fault$1"
	if [ "$2" = 0 ]; then
		page_fault "$1" "$CPUS" "$SECONDS_EACH" /files
	else
		page_fault "$1" "$CPUS" "passes=$2" /files
	fi || echo "bench: result page_fault$1 failed: status $?, of $(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo) MiB"
}

mkdir /files
mount -t tmpfs -o size=90% files /files
ask ready
run 1 "$PASSES"
run 2 "$PASSES2"
echo "bench: over"
