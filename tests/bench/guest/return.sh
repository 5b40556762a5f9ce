# SPDX-License-Identifier: Apache-2.0
# In the guest: most of its memory is used and let go of (HOG_MIB); a program that allocates, fills and frees (churn, CHURN_MIB
# at most at a time, CHURN_TOTAL_MIB in all); work like a build's (mix, MIX_JOBS processes at a time, MIX_FILES in all). After each,
# whoever waits for memory to come back has time to. CHURN_MIB=0 and MIX_JOBS=0 leave these out.
# mix has its files on a disk that the host has formatted as ext4, if there is one, and in memory (tmpfs) where there is none.
# shellcheck shell=dash

: "${HOG_MIB:=700}" "${CHURN_MIB:=512}" "${CHURN_TOTAL_MIB:=4096}" "${SEED:=1}" "${MIX_JOBS:=2}" "${MIX_FILES:=60}"

# ask NAME: what is to be done at NAME is done when there is a line to read.
ask() {
	echo "bench: ask $1"
	read -r _
}

# Before the first measurement: what this takes of memory stays taken.
work_folder() {
	mkdir /work
	load disk
	tries=30
	until [ -b /dev/vda ] || [ $((tries -= 1)) -lt 0 ]; do sleep 0.1; done
	if [ -b /dev/vda ] && mount -t ext4 /dev/vda /work; then
		mix_on=ext4
	else
		mount -t tmpfs work /work
		mix_on=tmpfs
	fi
}

[ "$MIX_JOBS" = 0 ] || work_folder
ask ready
echo "bench: mark hog"
memhog "$HOG_MIB" 100000 >/hog.out &
until grep -q touched /hog.out || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
grep -q touched /hog.out || echo "bench: result hog failed: $HOG_MIB MiB are not to be had"
ask touched
kill $!
wait
ask freed
if [ "$CHURN_MIB" != 0 ]; then
	echo "bench: mark churn"
	churn "$CHURN_MIB" "$CHURN_TOTAL_MIB" "$SEED"
	ask churned
fi
if [ "$MIX_JOBS" != 0 ]; then
	echo "bench: mark mix"
	mix /work "$MIX_JOBS" "$MIX_FILES"
	echo "bench: result mix-on=$mix_on"
	ask mixed
	umount /work
fi
# Words of the guest's kernel about memory that is not what it was.
echo "bench: result complaints wrong=$(dmesg | grep -ciE 'corrupt|bad page|BUG:|Oops|out of memory')"
echo "bench: over"
