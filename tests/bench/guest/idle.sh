# SPDX-License-Identifier: Apache-2.0
# In the guest: nothing. It is up, waits to be looked at, and ends.
# shellcheck shell=dash

echo "bench: ask ready"
read -r _
echo "bench: over"
