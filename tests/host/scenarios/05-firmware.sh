# SPDX-License-Identifier: Apache-2.0
# The bare-metal guest programs, each under ebb, as tests/guest runs them on the build host.
# timeout: 400
# cost: 60
# pack: tests/guest/run --pack

[ -s "$RIG/firmware/list" ] || skip "no guest programs were packed for this host"
passed=0
skipped=0
failures=
while read -r program; do
	EBB=$EBB sh "$RIG/firmware/one.sh" "$RIG/firmware" "$program" </dev/null
	case $? in
	0) passed=$((passed + 1)) ;;
	2) skipped=$((skipped + 1)) ;;
	*) failures="$failures $program" ;;
	esac
done <"$RIG/firmware/list"
figure "guest programs: $passed passed, $skipped skipped"
[ -z "$failures" ] || fail "guest programs:$failures"
[ $passed -gt 0 ] || fail "not one guest program ran"
pass
