# SPDX-License-Identifier: Apache-2.0
# In the guest: most of its memory is used and let go of (HOG_MIB), so that the host has pages behind it; then the host's side moves
# the balloon, out and back, while the guest does nothing.
# shellcheck shell=dash

: "${HOG_MIB:=700}"

# ask NAME: what is to be done at NAME is done when there is a line to read.
ask() {
	echo "bench: ask $1"
	read -r _
}

ask ready
echo "bench: mark hog"
memhog "$HOG_MIB" >/dev/null || echo "bench: result hog failed: $HOG_MIB MiB are not to be had"
ask freed
ask inflate
ask deflate
echo "bench: result complaints wrong=$(dmesg | grep -ciE 'corrupt|bad page|BUG:|Oops|out of memory')"
echo "bench: over"
