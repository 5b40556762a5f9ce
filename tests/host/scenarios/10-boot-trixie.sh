# SPDX-License-Identifier: Apache-2.0
# Trixie's standard kernel boots to userspace with 1, 2 and 4 vCPUs over PCI, and every virtio device gets its driver.
# timeout: 120
# cost: 35
# guests: trixie-standard

for cpus in 1 2 4; do
	boot_check trixie-standard $cpus
done
pass
