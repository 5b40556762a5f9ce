# SPDX-License-Identifier: Apache-2.0
# Bookworm's cloud kernel boots to userspace with 1, 2 and 4 vCPUs over PCI, and every virtio device gets its driver.
# timeout: 120
# cost: 20
# archs: x86
# guests: bookworm-cloud

for cpus in 1 2 4; do
	boot_check bookworm-cloud $cpus
done
pass
