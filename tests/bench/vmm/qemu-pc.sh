# SPDX-License-Identifier: Apache-2.0
# How the bench drives QEMU's usual machine, with PCI (sh, read by measure.sh).
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # measure.sh's
# shellcheck source-path=SCRIPTDIR source=qemu.sh
. "$bench/vmm/qemu.sh"

vmm_words() {
	qemu_words pc pci
}
