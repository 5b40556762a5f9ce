# SPDX-License-Identifier: Apache-2.0
# Guest programs that drive network devices badly, and well, over vhost-net and by ebb itself: the host's kernel has no complaint.
# timeout: 300
# hosts-x86: sid
# only-riscv: riscv-aia
# cost: 10
# pack: tests/guest/run virtio_net virtio_net_pairs virtio_net_hostile virtio_net_hostile_vhost --pack

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_vhost net
[ -s "$RIG/net-hostile/list" ] || skip "no guest programs were packed for this host"
dmesg >"$W/dmesg.before"
passed=0
failures=
while read -r program; do
	EBB=$EBB sh "$RIG/net-hostile/one.sh" "$RIG/net-hostile" "$program" </dev/null
	case $? in
	0) passed=$((passed + 1)) ;;
	2) failures="$failures $program (skipped)" ;;
	*) failures="$failures $program" ;;
	esac
done <"$RIG/net-hostile/list"
figure "guest programs with a network: $passed passed"
[ -z "$failures" ] || fail "guest programs:$failures"
[ $passed -gt 0 ] || fail "not one guest program ran"
net_dmesg
pass
