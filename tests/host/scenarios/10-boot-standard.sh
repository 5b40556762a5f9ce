# SPDX-License-Identifier: Apache-2.0
# Bookworm's standard kernel boots to userspace with 1 and 4 vCPUs (with SLOW=1 also 2) over PCI, and every virtio device gets its driver.
# timeout: 120
# cost: 35
# archs: x86
# guests: bookworm-standard

some="1 4"
[ "$SLOW" != 1 ] || some="1 2 4"
for cpus in $some; do
	boot_check bookworm-standard $cpus
done
pass
