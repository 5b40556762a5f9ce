# SPDX-License-Identifier: Apache-2.0
# `ebb stat --json` has the same keys, types and exit-reason names on every architecture: those listed here.
# timeout: 60
# cost: 4
# pack: tests/guest/run serial --pack

need jq
: >"$W/shape.console"
mkfifo "$W/stdin"
exec 8<>"$W/stdin"
"$EBB" run --name shape -m 64 -c 2 --virtio-mem id=vm0,size=1G --params-only -p input -k "$RIG/stat-shape/serial.elf" \
	--timeout 50 <&8 >"$W/shape.console" 2>"$W/shape.err" 8>&- &
PID=$!
GUEST=shape
echo "$PID" >>"$W/pids"
guest_expect '^type a line' 40 || fail "the guest program does not come up"
"$EBB" stat shape --json >"$W/stat.json" || fail "ebb stat"
guest_stop

# One line an object: its keys, each with its type if that is not a number. Of devices, those that every architecture has, by
# name, and what any looks like. (`tests/host/run --native 07` does on every /dev/kvm.)
jq -r '
	def type_of:
		{number: "", string: ":string", boolean: ":boolean", null: ":null", array: "[]", object: "{}"}[type];
	def shape(path):
		if type == "object" then
			path + " " + (to_entries | map(.key + (.value | type_of)) | sort | join(" ")),
			(to_entries[] | .key as $key | .value | shape(path + "." + $key))
		elif type == "array" then .[] | shape(path + "[]")
		else empty
		end;
	(.devices |= (map(select(.class | test("^(virtio|serial)-")) | {key: .class, value: .metrics}) | from_entries)
		| shape("stat")),
	(.devices[] | .metrics |= with_entries(.key = "*") | shape("device"))' "$W/stat.json" |
	sed 's/ *$//' | LC_ALL=C sort -u >"$W/got"
cat >"$W/wanted" <<'END'
device class:string id:string metrics{}
device.metrics
device.metrics *
stat arch:string balloon{} devices{} exits[] memory{} name:string pid reclaim{} state:string unclaimed_accesses uptime_ms virtio_mem[]
stat.balloon actual_bytes driver_ready:boolean features[] free_page_hint{} guest_stats{} poison_value stats_interval_s stats_last_update target_bytes
stat.balloon.free_page_hint command_id hinted_bytes ignored_bytes kept_bytes released_bytes rounds sees_writes:boolean state:string touched_bytes zero_bytes
stat.balloon.guest_stats
stat.devices serial-16550{} virtio-balloon{} virtio-console{} virtio-mem{} virtio-rng{}
stat.devices.serial-16550 bytes_in bytes_out
stat.devices.virtio-balloon
stat.devices.virtio-console bytes_dropped bytes_in bytes_out
stat.devices.virtio-mem bytes_plugged bytes_unplugged unplugged_touches
stat.devices.virtio-rng random_bytes
stat.exits[] error firmware_call halt interrupted memory_fault mmio other pio register shutdown system_event
stat.memory balloon_bytes plugged_bytes ram_bytes resident_bytes
stat.reclaim deferred_bytes hint{} inflate{} look{} refault_bytes refill{} report{} reset{} trace{} unplug{}
stat.reclaim.hint bytes_absent bytes_in bytes_lazy bytes_refused bytes_released errors latency_ns{} ranges_in ranges_released refault_bytes refused{} requests syscalls
stat.reclaim.hint.latency_ns max p50 p99
stat.reclaim.hint.refused host inhibited limit locked outside paused poison unaligned
stat.reclaim.inflate bytes_absent bytes_in bytes_lazy bytes_refused bytes_released errors latency_ns{} ranges_in ranges_released refault_bytes refused{} requests syscalls
stat.reclaim.inflate.latency_ns max p50 p99
stat.reclaim.inflate.refused host inhibited limit locked outside paused poison unaligned
stat.reclaim.look latency_ns looked_bytes of_bytes
stat.reclaim.refill blocks_copied blocks_moved bytes errors faults guarded_bytes
stat.reclaim.report bytes_absent bytes_in bytes_lazy bytes_refused bytes_released errors latency_ns{} ranges_in ranges_released refault_bytes refused{} requests syscalls
stat.reclaim.report.latency_ns max p50 p99
stat.reclaim.report.refused host inhibited limit locked outside paused poison unaligned
stat.reclaim.reset bytes_absent bytes_in bytes_lazy bytes_refused bytes_released errors latency_ns{} ranges_in ranges_released refault_bytes refused{} requests syscalls
stat.reclaim.reset.latency_ns max p50 p99
stat.reclaim.reset.refused host inhibited limit locked outside paused poison unaligned
stat.reclaim.trace active:boolean dropped failed rows
stat.reclaim.unplug bytes_absent bytes_in bytes_lazy bytes_refused bytes_released errors latency_ns{} ranges_in ranges_released refault_bytes refused{} requests syscalls
stat.reclaim.unplug.latency_ns max p50 p99
stat.reclaim.unplug.refused host inhibited limit locked outside paused poison unaligned
stat.virtio_mem[] answers{} block_size driver_ready:boolean gpa id:string last_touch:null node plugged_bytes region_bytes requested_bytes slots touches usable_bytes
stat.virtio_mem[].answers invalid{} plug{} state{} unplug_all{} unplug{}
stat.virtio_mem[].answers.invalid ack busy error nack
stat.virtio_mem[].answers.plug ack busy error nack
stat.virtio_mem[].answers.state ack busy error nack
stat.virtio_mem[].answers.unplug ack busy error nack
stat.virtio_mem[].answers.unplug_all ack busy error nack
END
diff -u "$W/wanted" "$W/got" >"$W/diff" || {
	cat "$W/diff"
	fail "ebb stat --json has other keys or types than this scenario lists"
}
figure "ebb stat --json: $(grep -c . "$W/got") kinds of objects with the keys listed, $(jq '.exits[0] | length' "$W/stat.json") exit reasons"
pass
