# SPDX-License-Identifier: Apache-2.0
# Shared by the parts of the rig that run on the build host (bash): places, messages, atomic steps.
# shellcheck shell=bash

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${BUILD:-$top/build}
case $build in
/*) ;;
*) build=$top/$build ;;
esac
# What was downloaded outlives `make clean` only if the caller says so; it is never fetched twice.
# shellcheck disable=SC2034
cache=${EBB_CACHE:-$build/cache}

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

# need PROGRAM PACKAGE: a program of the build host, with the package that has it.
need() {
	command -v "$1" >/dev/null 2>&1 ||
		die "$1 is missing (install the Debian package $2)"
}

# lock FILE: one process at a time works below FILE's folder; released when this process ends.
lock() {
	mkdir -p "$(dirname "$1")"
	exec 9>"$1"
	flock 9
}

# key_of FILE-OR-WORD…: one checksum of words and of the contents of files.
key_of() {
	local item
	for item; do
		if [ -f "$item" ]; then
			sha256sum <"$item"
		else
			printf '%s\n' "$item"
		fi
	done | sha256sum | cut -c1-32
}
