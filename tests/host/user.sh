# SPDX-License-Identifier: Apache-2.0
# An ordinary user in group kvm, on a host that nobody has set up for one. Read by scenarios and, for --as-user, by the runner.
# shellcheck shell=sh

user=1000
group=1000
kvm_group=106

# user_host: what a distribution does: /dev/kvm and vhost's devices are the group's, TAPs anybody's whom they belong to, and who
# logs in has a folder for what runs.
user_host() {
	chown "0:$kvm_group" /dev/kvm && chmod 660 /dev/kvm || return
	for user_device in /dev/vhost-net /dev/vhost-vsock; do
		[ ! -c $user_device ] || { chown "0:$kvm_group" $user_device && chmod 660 $user_device; }
	done
	[ ! -c /dev/net/tun ] || chmod 666 /dev/net/tun
	# The user looks at guests of its own from beside them (strace).
	[ ! -e /proc/sys/kernel/yama/ptrace_scope ] || echo 0 >/proc/sys/kernel/yama/ptrace_scope
	mkdir -p "/run/user/$user" && chown "$user:$group" "/run/user/$user" && chmod 700 "/run/user/$user"
}

# user_may_refill: what the administrator adds for memory that guests poison (see ebb(1)), where the kernel has it.
user_may_refill() {
	[ ! -e /dev/userfaultfd ] || { chown "0:$kvm_group" /dev/userfaultfd && chmod 660 /dev/userfaultfd; }
}

# The words that make a command the user's.
user_words() {
	echo "$RIG/bin/asuser $user $group,$kvm_group env HOME=/tmp USER=user XDG_RUNTIME_DIR=/run/user/$user"
}
