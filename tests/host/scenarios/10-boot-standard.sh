# SPDX-License-Identifier: Apache-2.0
# Bookworm's standard kernel boots to userspace with 1, 2 and 4 vCPUs over PCI, and every virtio device gets its driver.
# timeout: 120
# cost: 35
# archs: x86
# guests: bookworm-standard

for cpus in 1 2 4; do
	boot_check bookworm-standard $cpus
done
pass
