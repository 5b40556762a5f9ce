# SPDX-License-Identifier: Apache-2.0
# Two memory devices on two NUMA nodes of a stock guest are given 128 and 80 MiB, then 64 MiB and 1 GiB: ebb and the guest agree.
# timeout: 150
# cost: 20
# slow-riscv: Debian's kernels have no virtio-mem there: one is built on demand (make kernel-riscv)
# guests-riscv: own-mem

need jq
kernel=$DEFAULT_GUEST
[ "$ARCH" != riscv ] || kernel=own-mem
[ -s "$RIG/guests/$kernel/vmlinuz" ] || skip "no kernel with virtio-mem was built (make kernel-riscv)"
half=$(mib 2048 256)  # boot memory of each node
more=$(mib 1024 256)  # what vm1 gets in the end
taken=$(mib 256 128)  # what the kernel takes of boot memory before it counts: image, memory map, initial file system
EXTRA_PARAMS=memhp_default_state=online
guest_start seed "$kernel" -m $((2 * half))M -c 2 --numa node=0,mem=${half}M,cpus=0 --numa node=1,mem=${half}M,cpus=1 \
	--virtio-mem id=vm0,size=8G,requested-size=128M,node=0 --virtio-mem id=vm1,size=8G,requested-size=80M,node=1 --timeout 140 <<-'END'
	echo ready
	while read -r word count; do
		case $word in
		nodes)
			for node in /sys/devices/system/node/node[0-9]*; do
				echo "node ${node##*/node} $(sed -n 's/^Node [0-9]* MemTotal: *\([0-9]*\) kB/\1/p' "$node/meminfo")" \
					"cpus $(cat "$node/cpulist") distance $(cat "$node/distance")"
			done
			echo "nodes-over $count"
			;;
		off) break ;;
		esac
	done
	dmesg | grep -iE 'BUG:|Oops|bad page|out of memory|Killed process|WARNING:.*(mm/|virtio|memory)|virtio_mem.*(unknown|fail|error)' | sed 's/^/guest complains: /'
	echo over
	read -r line
END
guest_expect '^ready' 90 || fail "the guest does not come up"

# devices FIELD…: of query-memory-devices, a line a device.
devices() {
	"$EBB" qmp seed '{"execute": "query-memory-devices"}' >"$W/devices.json" || fail "query-memory-devices: $(cat "$W/devices.json")"
	jq -r '(.return? // .)[] | "\(.type) \(.data.id) \(.data.size) \(.data["requested-size"]) \(.data["max-size"]) \(.data["block-size"]) \(.data.node)"' \
		"$W/devices.json"
}

# expect_devices VM0-MIB VM1-MIB: both devices have these sizes, and were asked for them.
expect_devices() {
	devices >"$W/devices"
	cat >"$W/expected" <<-END
		virtio-mem vm0 $(($1 << 20)) $(($1 << 20)) $((8 << 30)) 2097152 0
		virtio-mem vm1 $(($2 << 20)) $(($2 << 20)) $((8 << 30)) 2097152 1
	END
	cmp -s "$W/devices" "$W/expected"
}

# ask_nodes: sets NODE0 and NODE1 to what the guest has there, in KiB.
ask_nodes() {
	asked=$((${asked:-0} + 1))
	guest_type "nodes $asked"
	guest_expect "^nodes-over $asked\$" 20 || fail "the guest does not tell of its nodes"
	NODE0=$(guest_answer 'node 0' | cut -d' ' -f1)
	NODE1=$(guest_answer 'node 1' | cut -d' ' -f1)
	note "node 0: $(guest_answer 'node 0'), node 1: $(guest_answer 'node 1')"
	[ -n "$NODE0" ] && [ -n "$NODE1" ] || fail "the guest has not two nodes"
}

within 30 expect_devices 128 80 || fail "not 128 and 80 MiB: $(cat "$W/devices")"
cat "$W/devices"
ask_nodes
[ "$(guest_answer 'node 0' | cut -d' ' -f3)" = 0 ] && [ "$(guest_answer 'node 1' | cut -d' ' -f3)" = 1 ] ||
	fail "a CPU is in another node"
first0=$NODE0 first1=$NODE1
# Linux on RISC-V has no way to find the node of memory that comes later: node 0 gets it all.
at_first="$((half + 128)) $((half + 80))" in_the_end="-64 $((more - 80))"
[ "$ARCH" != riscv ] || at_first="$((half + 208)) $half" in_the_end="$((more - 144)) 0"
within_node() {
	[ "$1" -gt $((($2 - taken) * 1024)) ] && [ "$1" -le $(($2 * 1024)) ]
}
within_node "$NODE0" "${at_first% *}" || fail "node 0 has $NODE0 KiB, not nearly ${at_first% *} MiB"
within_node "$NODE1" "${at_first#* }" || fail "node 1 has $NODE1 KiB, not nearly ${at_first#* } MiB"

# ask DEVICE SIZE
ask() {
	"$EBB" mem seed "$1" "$2" --wait >"$W/mem.out" 2>&1 || fail "ebb mem seed $1 $2: $(cat "$W/mem.out")"
}
begun=$(now_ms)
ask vm1 ${more}M
grown=$(($(now_ms) - begun))
ask vm0 64M
figure "vm1 from 80 to $more MiB in $grown ms, vm0 from 128 to 64 MiB in $(($(now_ms) - begun - grown)) ms"
expect_devices 64 "$more" || fail "not 64 and $more MiB: $(cat "$W/devices")"
cat "$W/devices"
ask_nodes
figure "node 0: $((first0 / 1024)) to $((NODE0 / 1024)) MiB, node 1: $((first1 / 1024)) to $((NODE1 / 1024)) MiB"
[ $((NODE0 - first0)) = $((${in_the_end% *} * 1024)) ] || fail "node 0 gained $((NODE0 - first0)) KiB, not ${in_the_end% *} MiB"
[ $((NODE1 - first1)) = $((${in_the_end#* } * 1024)) ] || fail "node 1 gained $((NODE1 - first1)) KiB, not ${in_the_end#* } MiB"
[ "$(ebb_stat '[.virtio_mem[] | "\(.id) \(.node) \(.plugged_bytes) \(.requested_bytes)"] | join(" ")')" = \
	"vm0 0 $((64 << 20)) $((64 << 20)) vm1 1 $((more << 20)) $((more << 20))" ] || fail "ebb stat: $(ebb_stat '.virtio_mem | tostring')"
figure "slots: $(ebb_stat '[.virtio_mem[].slots] | join(" and ")'), unplugged blocks touched: $(ebb_stat '[.virtio_mem[].touches] | add')"
[ "$(ebb_stat '[.virtio_mem[].touches] | add')" = 0 ] || fail "the guest's kernel touched what it has not got"
guest_type off
guest_expect '^over' 20 || fail "the guest does not end"
guest_saw '^guest complains' && fail "the guest complains: $(guest_answer 'guest complains:')"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
pass
