# SPDX-License-Identifier: Apache-2.0
# How the bench drives ebb (sh, read by measure.sh, which says what each function is for).
# shellcheck shell=dash
# shellcheck disable=SC2034,SC2154 # measure.sh's

vmm_threads='^vcpu'

vmm_about() {
	"$EBB" version
}

vmm_can() {
	:
}

vmm_words() {
	case $config in
	off | poison-off | balloon) ebb_balloon=free-page-reporting=off ;;
	lazy) ebb_balloon=free-page-reporting=on,lazy=on ;;
	*) ebb_balloon=free-page-reporting=on ;;
	esac
	printf '%s\n' "$EBB" run --name bench -k "$kernel" -m "$ram_mib" -c "$cpus" \
		--rng off --virtio-console off --balloon "$ebb_balloon" -p "quiet $params"
	[ -z "$initrd" ] || printf '%s\n' -i "$initrd"
	[ -z "$disk" ] || printf '%s\n' -d "$disk"
}

vmm_qmp() {
	if [ -n "${XDG_RUNTIME_DIR:-}" ]; then
		echo "$XDG_RUNTIME_DIR/ebb/bench.sock"
	elif [ "$(id -u)" = 0 ]; then
		echo /run/ebb/bench.sock
	else
		echo "/tmp/ebb-$(id -u)/bench.sock"
	fi
}

# Reports are taken and answered as ever, and nothing is released.
vmm_hold() {
	echo "'$EBB' qmp bench '{\"execute\": \"x-ebb-set-reporting\", \"arguments\": {\"paused\": true}}'"
}
