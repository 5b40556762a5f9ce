# SPDX-License-Identifier: Apache-2.0
# Builds the initramfs images of the rig, each once for its inputs (bash, sourced by run and demo).
# shellcheck shell=bash
# shellcheck disable=SC2154 # build and here are common.sh's, the rest arch.sh's

# once FILE KEY FUNCTION ARGS…: FILE was made by FUNCTION (which gets FILE.new first) for this KEY, or is made now.
once() {
	local file=$1 key=$2 make=$3
	shift 3
	if [ ! -f "$file" ] || [ "$(cat "$file.key" 2>/dev/null)" != "$key" ]; then
		mkdir -p "$(dirname "$file")"
		rm -rf "$file.key" "$file.new"
		"$make" "$file.new" "$@"
		[ ! -d "$file" ] || rm -rf "$file"
		mv "$file.new" "$file"
		printf '%s\n' "$key" >"$file.key"
	fi
}

# pack CPIO FOLDER: an uncompressed archive, everything owned by root.
pack() {
	(cd "$2" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$1"
}

# add_program FOLDER PROGRAM [NAME]: a program in FOLDER/bin with the libraries it is linked to.
add_program() {
	local folder=$1 program=$2 name=${3:-${2##*/}} library
	mkdir -p "$folder/bin"
	cp -L "$program" "$folder/bin/$name"
	ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$folder${library%/*}"
		cp -L "$library" "$folder$library"
	done || true
}

# add_qemu FOLDER: this machine's qemu-system-x86_64 in FOLDER/usr/bin with its libraries, and the ROMs, which it finds from there.
# False without one.
add_qemu() {
	local folder=$1 program rom from
	program=$(command -v qemu-system-x86_64) || return
	add_program "$folder" "$program" qemu-system-x86_64
	mkdir -p "$folder/usr/bin" "$folder/usr/share/qemu"
	mv "$folder/bin/qemu-system-x86_64" "$folder/usr/bin/"
	for rom in bios-256k.bin bios-microvm.bin kvmvapic.bin linuxboot_dma.bin pvh.bin efi-virtio.rom; do
		for from in /usr/share/qemu /usr/share/seabios /usr/lib/ipxe/qemu; do
			[ ! -e "$from/$rom" ] || cp -L "$from/$rom" "$folder/usr/share/qemu/"
		done
	done
}

# module_order host|guest KERNEL-FOLDER [GROUP]: names to load, in order.
module_order() {
	local name use group
	while read -r name use group; do
		[ "$use" = "$1" ] && [ "$group" = "${3:-}" ] && [ -f "$2/modules/$name.ko" ] && printf '%s\n' "$name"
	done <"$here/modules"
	return 0
}

# strip_modules FILE…: without what no kernel needs of them. For RISC-V three quarters are local symbols, and each page of a guest there
# is a fault of an emulated KVM.
strip_modules() {
	local what=--strip-debug
	[ "$arch" != riscv ] || what=--strip-unneeded
	"${cross}strip" $what "$@" 2>/dev/null || true
}

# base FOLDER KERNEL-FOLDER host|guest: busybox with its names, the modules and `load`, the mount points.
base() {
	local folder=$1 kernel=$2 name group
	mkdir -p "$folder"/{bin,usr/bin,proc,sys,dev,run,tmp,modules}
	cp "$busybox" "$folder/bin/busybox"
	for name in $(runs_here "$busybox" --list); do
		[ "$name" = busybox ] || ln -s busybox "$folder/bin/$name"
	done
	cp "$here/load" "$folder/bin/"
	module_order "$3" "$kernel" >"$folder/modules/order"
	for group in $(awk -v use="$3" '$2 == use && $3 != "" && !seen[$3]++ { print $3 }' "$here/modules"); do
		module_order "$3" "$kernel" "$group" >"$folder/modules/order.$group"
	done
	cat "$folder"/modules/order* | while read -r name; do
		cp "$kernel/modules/$name.ko" "$folder/modules/"
	done
	strip_modules "$folder"/modules/*.ko
}

make_l1() {
	local out=$1 kernel=$2
	mkdir "$out.d"
	base "$out.d" "$kernel" host
	mkdir "$out.d/etc"
	printf '%s\n' root:x:0:0::/:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$out.d/etc/passwd"
	cp "$here/l1-init" "$out.d/init"
	chmod 755 "$out.d/init"
	pack "$out" "$out.d"
	rm -rf "$out.d"
}

make_guest() {
	local out=$1 kernel=$2 program
	mkdir "$out.d"
	base "$out.d" "$kernel" guest
	cp "$here/guest-init" "$out.d/init"
	chmod 755 "$out.d/init"
	for program in "$here"/programs/*.c; do
		cp "$host_dir/programs/$(basename "$program" .c)" "$out.d/bin/"
	done
	pack "$out" "$out.d"
	rm -rf "$out.d"
}

# add_foreign FOLDER TREE PROGRAM…: programs of another architecture with the libraries they name, out of an unpacked TREE.
add_foreign() {
	local folder=$1 tree=$2 name file todo done=' '
	shift 2
	mkdir -p "$folder/bin" "$folder/lib"
	todo=$*
	while [ -n "$todo" ]; do
		# shellcheck disable=SC2086 # a list of words
		set -- $todo
		todo=
		for name; do
			case $done in *" $name "*) continue ;; esac
			done+="$name "
			file=$(find "$tree/usr/bin" "$tree/usr/sbin" "$tree/usr/lib" -name "$name" -not -type d | head -n 1)
			[ -n "$file" ] || die "$name is not in $tree"
			case $name in
			*.so*) cp -L "$file" "$folder/lib/$name" ;;
			*) cp -L "$file" "$folder/bin/$name" ;;
			esac
			todo+=" $(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' | tr '\n' ' ')"
			todo+=" $(readelf -l "$file" | sed -n 's|.*program interpreter: .*/\(.*\)\]$|\1|p')"
		done
		todo=$(printf '%s' "$todo" | xargs)
	done
}

make_tools() {
	local out=$1 program tree
	mkdir "$out.d"
	if [ -n "$cross" ]; then
		tree=$("$here/fetch" --arch "$debian_arch" tree trixie strace jq socat device-tree-compiler passt e2fsprogs)
		add_foreign "$out.d" "$tree" "${tools[@]}"
	else for program in "${tools[@]}"; do
		[ -z "$(command -v "$program")" ] || add_program "$out.d" "$(command -v "$program")"
	done; fi
	pack "$out" "$out.d"
	rm -rf "$out.d"
}

make_program() {
	local compiler=${CC:-cc}
	[ -z "$cross" ] || compiler=${cross}gcc
	$compiler -O2 -Wall -Wextra -Werror -static -s -o "$1" "$2"
}

# make_vmlinux OUT VMLINUZ: what a bzImage carries, unpacked here because L1 would take seconds for it.
make_vmlinux() {
	local out=$1 image=$2 setup offset length
	if [ "$arch" != x86 ]; then
		cp "$image" "$out"
		return
	fi
	setup=$(od -An -tu1 -j497 -N1 "$image" | tr -d ' ')
	[ "$setup" -gt 0 ] || setup=4
	offset=$(($(od -An -tu4 -j584 -N4 "$image") + (setup + 1) * 512))
	length=$(($(od -An -tu4 -j588 -N4 "$image")))
	dd if="$image" of="$out.payload" bs=1M iflag=skip_bytes,count_bytes skip=$offset count=$length status=none
	case $(od -An -tx1 -N4 "$out.payload" | tr -d ' ') in
	fd377a58) xz -dc --single-stream <"$out.payload" >"$out" 2>/dev/null ;;
	28b52ffd) zstd -dcq <"$out.payload" >"$out" 2>/dev/null ;;
	02214c18) lz4 -dcq <"$out.payload" >"$out" 2>/dev/null ;;
	1f8b*) gzip -dc <"$out.payload" >"$out" 2>/dev/null ;;
	*) : >"$out" ;;
	esac || true
	rm -f "$out.payload"
	# Not unpacked after all: the image itself does as well, only slower.
	[ "$(od -An -tx1 -N4 "$out" | tr -d ' ')" = 7f454c46 ] || cp "$image" "$out"
}

# make_modules OUT KERNEL-FOLDER: what the rig has of a kernel's modules as a system has them, for `ebb run --root …,modules=OUT`.
make_modules() {
	local out=$1 kernel=$2 release name
	release=$(cat "$kernel/release")
	mkdir -p "$out/lib/modules/$release/kernel"
	while read -r name; do
		[ ! -f "$kernel/modules/$name.ko" ] || cp "$kernel/modules/$name.ko" "$out/lib/modules/$release/kernel/"
	done < <(awk '$2 == "guest" { print $1 }' "$here/modules")
	strip_modules "$out/lib/modules/$release"/kernel/*.ko
	# Debian packs its own from 6.12 on, and the guest's kernel unpacks them.
	case $release in 6.1.*) ;; *) xz --check=crc32 "$out/lib/modules/$release"/kernel/*.ko ;; esac
	cp "$kernel/modules.builtin" "$out/lib/modules/$release/"
	depmod -b "$out" "$release" 2>/dev/null
}

# prepare_modules SUITE-FLAVOUR: $host_dir/guests/SUITE-FLAVOUR/root.
prepare_modules() {
	local kernel
	need depmod kmod
	kernel=$("$here/fetch" --arch "$debian_arch" kernel "${1%-*}" "${1##*-}")
	once "$host_dir/guests/$1/root" "$(key_of "$kernel/key" "$kernel/release" "$here/modules" 3)" make_modules "$kernel"
}

# prepare_common: busybox, the guest programs, the tools.
prepare_common() {
	local source
	busybox=$("$here/fetch" --arch "$debian_arch" file "${busybox_from[@]}")
	for source in "$here"/programs/*.c; do
		once "$host_dir/programs/$(basename "$source" .c)" "$(key_of "$source")" make_program "$source"
	done
	once "$host_dir/tools.cpio" "$(key_of "$here/image.sh" "${tools[*]}" "${cross:-$(command -v "${tools[@]}" |
		xargs -r ls -lL --time-style=full-iso)}")" make_tools
}

# prepare_guest SUITE-FLAVOUR: $host_dir/guests/SUITE-FLAVOUR/{vmlinuz,initrd}; own-mem is the kernel of kernel-riscv, and where nobody
# built that the files are empty.
prepare_guest() {
	local kernel folder=$host_dir/guests/$1
	if [ "$1" != own-mem ]; then
		kernel=$("$here/fetch" --arch "$debian_arch" kernel "${1%-*}" "${1##*-}")
	elif ! kernel=$("$here/kernel-riscv" --built); then
		mkdir -p "$folder"
		rm -f "$folder"/*
		: >"$folder/vmlinuz"
		: >"$folder/initrd"
		return
	fi
	once "$folder/initrd" "$(key_of "$kernel/key" "$kernel/release" "$here/guest-init" "$here/load" "$here/image.sh" \
		"$here"/programs/*.c)" make_guest "$kernel"
	[ "$folder/vmlinuz" -ef "$kernel/vmlinuz" ] || ln -f "$kernel/vmlinuz" "$folder/vmlinuz" 2>/dev/null ||
		cp "$kernel/vmlinuz" "$folder/vmlinuz"
}

# make_disk OUT SIZE [debian]: a raw ext4 file system for L1; in it, where asked for, debian.img.
make_disk() {
	local out=$1 size=$2
	mkdir "$out.d"
	[ -z "${3:-}" ] || zstd -dq "$distribution" -o "$out.d/debian.img"
	truncate -s "$size" "$out"
	mke2fs -q -t ext4 -m 0 -N 4096 -O ^has_journal -E root_owner=0:0 -d "$out.d" -F "$out"
	rm -rf "$out.d"
}

# prepare_disk SIZE [debian]: sets L1_DISK, which is never written: QEMU keeps what L1 writes beside it.
# shellcheck disable=SC2034 # the caller's
prepare_disk() {
	local distribution=
	need mke2fs e2fsprogs
	[ -z "${2:-}" ] || distribution=$("$here/distribution" "$arch" "$distribution_suite")
	L1_DISK=$host_dir/disks/$1${2:+-$2}.img
	once "$L1_DISK" "$(key_of "$*" "${distribution:+$distribution.key}" 1)" make_disk "$@"
}

# prepare_l1 SUITE FLAVOUR: sets L1_KERNEL and L1_INITRD.
# shellcheck disable=SC2034 # the caller's
prepare_l1() {
	local kernel folder=$host_dir/l1/$1-$2
	kernel=$("$here/fetch" --arch "$debian_arch" kernel "$1" "$2")
	once "$folder/initrd" "$(key_of "$kernel/key" "$kernel/release" "$here/l1-init" "$here/load" "$here/image.sh" \
		"$here/modules")" make_l1 "$kernel"
	once "$folder/vmlinux" "$(key_of "$kernel/key" "$kernel/release" "$here/image.sh")" \
		make_vmlinux "$kernel/vmlinuz"
	L1_KERNEL=$folder/vmlinux
	L1_INITRD=$folder/initrd
}
