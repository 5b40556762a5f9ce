# SPDX-License-Identifier: Apache-2.0
# `kill -9` of ebb leaves nothing that stops the next start under the same name; a running name is refused.
# timeout: 120
# only-riscv: riscv-plic
# slow-riscv: what of ebb it tries is the same C on both architectures; x86 has it in every check
# cost: 25

script() {
	cat <<-'END'
		echo ready
		read -r line
	END
}
script >"$W/script"

guest_start again "$DEFAULT_GUEST" -m 256 --timeout 100 <"$W/script"
guest_expect '^ready' 50 || fail "the guest does not come up"
first=$PID
timeout 20 "$EBB" run --name again -k "$RIG/guests/$DEFAULT_GUEST/vmlinuz" -m 256 --timeout 10 \
	</dev/null >"$W/second.out" 2>"$W/second.err"
got=$?
[ $got = 64 ] || [ $got = 125 ] || fail "a second guest of the same name: status $got"
[ "$(wc -l <"$W/second.err")" = 1 ] || fail "a second guest of the same name: $(cat "$W/second.err")"
grep -q '^ebb: .*again' "$W/second.err" || fail "a second guest of the same name: $(cat "$W/second.err")"
alive "$first" || fail "the first guest did not survive that"
"$EBB" list --json | grep -q '"again"' || fail "ebb list does not know it"

guest_stop
alive "$first" && fail "kill -9 did not end it"
"$EBB" list --json >"$W/list" 2>&1 || fail "ebb list after kill -9: $(cat "$W/list")"
grep -q '"again"' "$W/list" && fail "ebb list still shows a killed guest"
# Who lists the guests clears up behind the killed; but nobody has to have listed them.
lock=$(guest_socket)
lock=${lock%.sock}.lock
[ ! -e "$lock" ] && [ ! -e "$(guest_socket)" ] || fail "ebb list leaves $lock or the socket of a killed guest"
guest_start again "$DEFAULT_GUEST" -m 256 --timeout 100 </dev/null
taken() {
	[ -S "$(guest_socket)" ]
}
within 20 taken || fail "no control socket"
guest_stop
[ -e "$lock" ] && [ -S "$(guest_socket)" ] || fail "kill -9 left no socket: what follows would prove nothing"

guest_start again "$DEFAULT_GUEST" -m 256 --timeout 100 <"$W/script"
guest_expect '^ready' 50 || fail "the next start under the same name fails: $(cat "$W/again.err")"
grep -q . "$W/again.err" && fail "the next start under the same name complains: $(cat "$W/again.err")"
[ "$(ebb_stat .name)" = again ] || fail "ebb stat does not reach the new guest"
guest_type off
guest_wait 30 || fail "still running after poweroff"
[ "$STATUS" = 0 ] || fail "status $STATUS after poweroff"
[ ! -e "$(guest_socket)" ] || fail "the socket is left after an orderly end"
pass
