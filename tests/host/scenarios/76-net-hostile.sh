# SPDX-License-Identifier: Apache-2.0
# Guest programs that drive network devices badly, and well, over vhost-net and by ebb itself: the host's kernel has no complaint.
# timeout: 300
# hosts-x86: sid
# only-riscv: riscv-aia
# cost: 10
# pack: tests/guest/run virtio_net virtio_net_pairs virtio_net_hostile virtio_net_hostile_vhost --pack
# pack-riscv: tests/guest/run virtio_net virtio_net_hostile virtio_net_hostile_vhost --pack
# root: the guest programs with a TAP want to make it

# shellcheck source=../net.sh
. "$RIG/net.sh"
net_vhost net
dmesg >"$W/dmesg.before"
firmware "$RIG/net-hostile"
[ "$skipped" = 0 ] || fail "$skipped guest programs are skipped"
figure "guest programs with a network: $passed passed"
net_dmesg
pass
