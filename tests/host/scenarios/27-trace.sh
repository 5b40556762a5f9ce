# SPDX-License-Identifier: Apache-2.0
# The trace of a run (report, inflate, reset), added up, is the accounting, and within 1 % what smaps says; a full disk under it costs
# rows, not the guest, and not the sums.
# timeout: 200
# only-riscv: riscv-plic
# slow-riscv: what of ebb it tries is the same C on both architectures; x86 has it in every check
# cost: 15
# cost-riscv: 40

need jq
hog=$(mib 160 96)
# Without it a guest writes to all that it gives to the balloon: memory that it never had becomes resident, and nothing tells how much.
EXTRA_PARAMS=init_on_alloc=0
guest_start trace "$DEFAULT_GUEST" -m "$(mib 512 320)" --trace-reclaim "$W/trace.csv" --timeout 190 <<-END
	$(guest_hog "$hog")
	while read -r line; do echo "heard \$line"; done
END

# trace_sum SOURCE COLUMN [FILE]: added up over the trace's rows.
trace_sum() {
	awk -F, -v source="$1" -v name="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i; next }
		$2 == source || source == "all" { sum += $column }
		END { printf "%.0f\n", sum }' "${3:-$W/trace.csv}"
}

# The trace and the accounting, number for number.
adds_up() {
	"$EBB" stat trace --json >"$W/stat.json" || return 1
	jq -r '.reclaim | ("inflate", "report", "hint", "unplug", "reset") as $source | .[$source] |
		[$source, .requests, .ranges_in, .ranges_released, .bytes_in, .bytes_released, .bytes_lazy, .bytes_absent, .bytes_refused,
			.syscalls, .errors] | map(tostring) | join(" ")' "$W/stat.json" >"$W/counted"
	awk -F, '
		BEGIN {
			sources = split("inflate report hint unplug reset", source, " ")
			names = split("batches ranges_in ranges_released bytes_in bytes_released bytes_lazy bytes_absent bytes_refused syscalls errors", \
				name, " ")
		}
		NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
		{ for (i = 1; i <= names; i++) sum[$2, i] += $column[name[i]] }
		END {
			for (s = 1; s <= sources; s++) {
				printf "%s", source[s]
				for (i = 1; i <= names; i++) printf " %.0f", sum[source[s], i]
				print ""
			}
		}' "$W/trace.csv" >"$W/traced"
	cmp -s "$W/traced" "$W/counted"
}

# within_percent A B LIMIT: A is B within LIMIT percent of B.
within_percent() {
	apart=$(($1 - $2))
	[ $apart -ge 0 ] || apart=$((-apart))
	[ $((apart * 100)) -le $(($2 * $3)) ]
}

# hold: pauses the guest and takes KIB_RESIDENT (smaps), RELEASED (the trace) and REFAULT, all of the same moment.
hold() {
	"$EBB" pause trace || fail "pause"
	sleep 0.5 # what was put off or is under way
	within 10 adds_up || fail "the trace and the accounting differ: $(diff "$W/traced" "$W/counted" | tr "\n" ";")"
	KIB_RESIDENT=$(ram_rss_kib "$PID")
	RELEASED=$(trace_sum all bytes_released)
	REFAULT=$(jq -r .reclaim.refault_bytes "$W/stat.json")
}

balloon() {
	"$EBB" balloon trace "$1" --wait >"$W/balloon.err" 2>&1 || fail "balloon $1: $(cat "$W/balloon.err")"
}

guest_expect '^touched' 60 || fail "the guest does not come up"
steady "$PID" 12 || note "resident memory still moves at the peak"
hold
peak=$KIB_RESIDENT released=$RELEASED refault=$REFAULT
"$EBB" resume trace
guest_type free
guest_expect '^freed' 20 || fail "memhog does not end"
reported() {
	[ $((peak - $(ram_rss_kib "$PID"))) -ge $((hog * 1024 / 2)) ]
}
# At once, so that the balloon finds what reporting has not come to yet.
balloon "$(mib 96 48)M"
within 40 reported || fail "half of what the guest let go of is still resident after 40 s"
steady "$PID" 12 || true
hold
fallen=$(((peak - KIB_RESIDENT) * 1024))
gone=$((RELEASED - released - (REFAULT - refault)))
figure "traced $(((RELEASED - released) >> 20)) MiB released (report $(($(trace_sum report bytes_released) >> 20)), inflate" \
	"$(($(trace_sum inflate bytes_released) >> 20)) in all), $(((REFAULT - refault) >> 20)) MiB back; smaps fell by $((fallen >> 20)) MiB"
[ "$(trace_sum inflate bytes_released)" -gt 0 ] && [ "$(trace_sum report bytes_released)" -gt 0 ] ||
	fail "not both inflate and report are in the trace"
within_percent $gone $fallen 1 || fail "the trace says that $gone bytes are gone, smaps $fallen"

# By the kernel's word in the trace itself: the process, so with what is ebb's own.
sampled=$(tail -n 1 "$W/trace.csv" | cut -d, -f13)
[ -n "$sampled" ] || sampled=$(grep ',sample,' "$W/trace.csv" | tail -n 1 | cut -d, -f13)
within_percent $((sampled / 1024)) $((KIB_RESIDENT + 4096)) 6 || fail "sampled $sampled bytes, resident $KIB_RESIDENT KiB"
"$EBB" resume trace

# A trace begun at run time, on a disk that is full.
begin_trace() {
	trace_json=false
	[ "${1%.jsonl}" = "$1" ] || trace_json=true
	"$EBB" qmp trace '{"execute": "x-ebb-trace", "arguments": {"action": "start", "fdname": "file", "json": '$trace_json'}}' "$1"
}
end_trace() {
	"$EBB" qmp trace '{"execute": "x-ebb-trace", "arguments": {"action": "stop"}}' >/dev/null
}
mkdir "$W/small"
if mount -t tmpfs -o size=64k tmpfs "$W/small" 2>/dev/null; then
	trap 'umount -l "$W/small"' EXIT
	begin_trace "$W/trace.csv" >"$W/begin.out" && fail "two traces at once: $(cat "$W/begin.out")"
	end_trace || fail "the first trace does not end"
	begin_trace "$W/trace.csv" >"$W/begin.out" && fail "a trace over a file that is there: $(cat "$W/begin.out")"
	"$EBB" stat trace --json >"$W/before.json"
	begin_trace "$W/small/trace.jsonl" >"$W/begin.out" || fail "x-ebb-trace: $(cat "$W/begin.out")"
	dd if=/dev/zero of="$W/small/filler" bs=4k 2>/dev/null
	refused() {
		balloon 0
		balloon "$(mib 96 48)M"
		[ "$(ebb_stat .reclaim.trace.failed)" -gt 0 ]
	}
	within 60 refused || fail "the full disk is not noticed: $(ebb_stat '.reclaim.trace | tostring')"
	guest_type still-there
	guest_expect '^heard still-there' 20 || fail "the guest does not answer while the trace's disk is full"
	note "while it is full: $(ebb_stat '.reclaim.trace | tostring')"
	rm "$W/small/filler"
	end_trace || fail "the second trace does not end"
	"$EBB" stat trace --json >"$W/stat.json"
	# Those that came: of what is given again without having been used, nothing is left to release.
	wanted=$(jq -s '[.[1], .[0]] | map([.reclaim[] | objects | .bytes_in // 0] | add) | .[0] - .[1]' "$W/before.json" "$W/stat.json")
	got=$(jq -s 'map(.bytes_in) | add' "$W/small/trace.jsonl") || fail "the trace on the full disk has a torn row"
	[ "$got" -gt 0 ] || fail "nothing came while the trace's disk was full"
	[ "$got" = "$wanted" ] || fail "the trace over a full disk adds up to $got of $wanted bytes"
	[ "$(grep -c 'the reclaim trace cannot be written' "$W/trace.err")" = 1 ] || fail "not one log line about the full disk"
	figure "full disk: $(jq -c .reclaim.trace "$W/stat.json"), $((got >> 20)) MiB in $(wc -l <"$W/small/trace.jsonl") rows"
	begin_trace "$W/last.csv" >"$W/begin.out" || fail "x-ebb-trace: $(cat "$W/begin.out")"
else
	note "no tmpfs to be had: the full disk is left out"
	end_trace
	begin_trace "$W/last.csv" >"$W/begin.out" || fail "x-ebb-trace: $(cat "$W/begin.out")"
fi

# A reset releases what is resident, all of it: what waited in the balloon as the balloon's.
"$EBB" pause trace || fail "pause"
sleep 0.5
resident=$(($(ram_rss_kib "$PID") * 1024))
before=$(trace_sum all bytes_released "$W/last.csv")
"$EBB" reset trace || fail "reset"
"$EBB" resume trace || fail "resume"
was_reset() {
	[ "$(trace_sum reset batches "$W/last.csv")" = 1 ]
}
within 20 was_reset || fail "the reset is not in the trace"
released=$(($(trace_sum all bytes_released "$W/last.csv") - before))
figure "reset: traced $((released >> 20)) MiB released ($(($(trace_sum reset bytes_released "$W/last.csv") >> 20)) of them by source" \
	"reset), smaps said $((resident >> 20)) MiB"
within_percent "$released" "$resident" 1 || fail "the reset released $released bytes of $resident resident"
"$EBB" stop trace || fail "stop"
pass
