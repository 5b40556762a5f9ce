# SPDX-License-Identifier: Apache-2.0
# The bare-metal guest programs, each under ebb, as tests/guest runs them on the build host.
# timeout: 400
# cost: 60
# pack: tests/guest/run --pack

firmware "$RIG/firmware"
figure "guest programs: $passed passed, $skipped skipped"
pass
