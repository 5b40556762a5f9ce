# SPDX-License-Identifier: Apache-2.0
# What is typed reaches the guest and its answer comes back, on the serial port and on virtio-console.
# timeout: 120
# only-riscv: riscv-plic
# cost: 20

talk() {
	guest_start "$1" "$DEFAULT_GUEST" -m 256 --console "$1" --timeout 60 <<-'END'
		echo "drivers $(ls /sys/bus/virtio/drivers/virtio_console 2>/dev/null | grep -c ^virtio)"
		echo "listening"
		read -r line
		echo "you said <$line>"
		read -r line
		echo "and then <$(echo "$line" | wc -c)>"
	END
	guest_expect '^listening' 50 || fail "$1: the guest does not come up"
	guest_type "hello from the host"
	guest_expect '^you said <hello from the host>' 10 || fail "$1: the line did not arrive"
	# Longer than any FIFO: nothing may be lost under flow control.
	long=$(printf '%0200d' 7)
	guest_type "$long"
	guest_expect '^and then <201>' 10 || fail "$1: a line of 200 characters arrived cut"
	guest_wait 20 || fail "$1: still running"
	[ "$STATUS" = 0 ] || fail "$1: status $STATUS"
}

talk serial
talk virtio
guest_saw '^drivers 1' || fail "virtio-console is not bound"
pass
