# SPDX-License-Identifier: Apache-2.0
# A guest's shutdown (RISC-V: by SRST, x86: by ACPI) ends ebb within a second.
# timeout: 60
# cost: 4
# pack: tests/guest/run poweroff --pack

# The program says so and shuts down in the next instruction or two. The best of three counts: a busy build machine takes time that
# ebb does not.
for round in 1 2 3; do
	stopwatch --to-end 'powering off' "$EBB" run -m 64 --params-only -p "" -k "$RIG/shutdown-time/poweroff.elf" --timeout 15 \
		</dev/null >"$W/time.$round" 2>"$W/time.err" || fail "$(cat "$W/time.err" "$W/time.$round")"
	read -r taken status <"$W/time.$round"
	[ "$status" = 0 ] || fail "status $status instead of 0"
	note "shutdown to the end of ebb: $taken ms"
done
best=$(sort -n "$W"/time.[123] | head -n 1)
figure "shutdown to the end of ebb: ${best% *} ms (1000 allowed)"
[ "${best%%.*}" -lt 1000 ] || fail "${best% *} ms from the guest's shutdown to ebb's end, 1000 allowed"
pass
