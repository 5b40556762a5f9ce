# SPDX-License-Identifier: Apache-2.0
# Ten boots in a row with each of 1, 2 and 4 vCPUs, without one failure.
# timeout: 500
# cost: 180
# slow: three minutes

boot=0
while [ $boot -lt 10 ]; do
	boot=$((boot + 1))
	for cpus in 1 2 4; do
		boot_check "$DEFAULT_GUEST" $cpus
	done
done
pass
