# SPDX-License-Identifier: Apache-2.0
# Free page hinting of stock guests: rounds beside work with verified patterns break nothing, and give memory back.
# timeout: 240
# cost: 60
# archs: x86

need jq
hog=$(mib 200 96)
hint() {
	"$EBB" qmp "$GUEST" "{\"execute\": \"x-ebb-free-page-hint\", \"arguments\": {\"action\": \"$1\"}}"
}

idle() {
	[ "$(ebb_stat .balloon.free_page_hint.state)" = idle ]
}

# round: one, to its end; sets what it said: hinted, released, zero, touched, kept (KiB), sees.
round() {
	rounds_before=$(ebb_stat .balloon.free_page_hint.rounds)
	hint start >"$W/started" || fail "$GUEST: $(cat "$W/started")"
	within 20 idle || fail "$GUEST: the round does not end"
	ebb_stat '.balloon.free_page_hint | ([.rounds] + ([.hinted_bytes, .released_bytes, .zero_bytes, .touched_bytes, .kept_bytes]
		| map(. / 1024 | floor)) + [.sees_writes]) | join(" ")' >"$W/round"
	read -r rounds hinted released zero touched kept sees <"$W/round"
	[ "$rounds" -gt "$rounds_before" ] || fail "$GUEST: the round came to no decision"
	[ "$hinted" -gt 0 ] || fail "$GUEST: nothing was hinted"
}

# settle NAME PARAMETERS: a guest that has let go of memory and waits for a line; its script on stdin goes on from there.
settle() {
	EXTRA_PARAMS=$2 guest_start "$1" "$DEFAULT_GUEST" -c 2 -m "$(mib 512 288)" --timeout 110 \
		--balloon free-page-hint,free-page-reporting=off
	guest_expect '^settled' 90 || fail "$1: the guest does not come up"
	ebb_stat '.balloon.features | join(" ")' | grep -q free-page-hint || fail "$1: free-page-hint was not negotiated"
	before=$(ram_rss_kib "$PID")
	round
	after=$(ram_rss_kib "$PID")
	figure "$1: of $((hinted / 1024)) MiB hinted $((released / 1024)) were resident and released, $((zero / 1024)) held zeroes," \
		"$((touched / 1024)) touched, $((kept / 1024)) kept with them; resident $((before / 1024)) MiB before, $((after / 1024)) after"
}

# Pages that the guest does not write before it hints them; afterwards it uses them again, during rounds.
settle untouched init_on_alloc=0 <<-END
	pattern $(mib 24 16) 5 2 &
	memhog $hog
	echo settled
	read -r line
	while [ ! -e /over ]; do
		pattern $(mib 48 24) 1
	done >/again &
	again=\$!
	echo working
	read -r line
	touch /over
	wait \$again
	echo "again \$(grep -c '^pattern intact' /again) \$(grep -c '^pattern broken' /again)"
	wait
	dmesg | grep -iE 'corrupt|bad page|BUG:|Oops|Out of memory' | sed 's/^/guest complains: /'
	echo over
	read -r line
END
# Where KVM's log is not relied on, such pages stay.
if [ "$sees" = true ]; then
	[ $(((before - after) / 1024)) -ge $((hog * 6 / 10)) ] || fail "a guest that let $hog MiB go lost $((before - after)) KiB"
else
	[ "$released" -le "$zero" ] || fail "released what cannot be proven"
fi
guest_type work
guest_expect '^working' 10 || fail "no work"
for _ in 1 2 3; do
	round
done
guest_type enough
guest_expect '^over' 60 || fail "the guest does not get through"
guest_saw '^pattern intact 5 rounds' || fail "the pattern that was there all the time is broken"
guest_saw '^again [1-9][0-9]* 0$' || fail "patterns written during rounds: $(guest_answer again)"
guest_saw '^guest complains' && fail "the guest complains"
figure "at work: in the last of three rounds $((hinted / 1024)) MiB hinted, $((released / 1024)) released, $((touched / 1024))" \
	"touched; $(guest_answer again | cut -d' ' -f1) patterns written meanwhile, all intact"
guest_stop

# Pages that the guest clears before it hints them, Debian's default: they come and go again.
settle cleared init_on_alloc=1 <<-END
	memhog $hog
	echo settled
	read -r line
END
[ $((zero * 100)) -ge $((hinted * 80)) ] || fail "of $hinted KiB hinted $zero held zeroes"
[ $((released * 100)) -ge $((hinted * 80)) ] || fail "of $hinted KiB hinted $released were released"
[ "$after" -le $((before + 2048)) ] || fail "a round made $((after - before)) KiB resident"
guest_stop
pass
