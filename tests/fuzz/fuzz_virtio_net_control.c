/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of virtio-net's control queue: what is read of them stays inside them, and none that is
 * allowed is what it must not be. The first bytes are what was negotiated, the rest the command.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/virtio/virtio_net_private.h"
#include "ebb/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void judge(const struct net_command *command, const struct net_control_state *state,
                  size_t size_bytes)
{
	bool right = true;

	switch (command->kind) {
	case NET_COMMAND_MALFORMED:
		right = false;
		break;
	case NET_COMMAND_PAIRS:
		right = command->pairs >= 1 && command->pairs <= state->pairs_max;
		break;
	case NET_COMMAND_MAC_ADDRESS:
		right = !(command->mac[0] & 1);
		break;
	case NET_COMMAND_MAC_TABLE:
		right = size_bytes == 10 + (size_t)MAC_BYTES * ((size_t)command->unicast_count +
		                                                command->multicast_count);
		break;
	case NET_COMMAND_OFFLOADS:
		right = !(command->offloads & ~(state->features & NET_GUEST_OFFLOADS));
		break;
	default:
		break;
	}
	assert(right);
	(void)right;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	const size_t head_bytes = sizeof(uint64_t) + 1;
	struct net_control_state state;
	struct net_command command;
	uint8_t *bytes;

	if (size_bytes < head_bytes)
		return 0;
	state.features = load_le64(data);
	state.pairs_max = 1 + data[8] % NET_QUEUE_PAIRS_MAX;
	size_bytes -= head_bytes;
	/* Of its own, so that every byte too many is seen. */
	bytes = malloc(size_bytes ? size_bytes : 1);
	assert(bytes);
	memcpy(bytes, data + head_bytes, size_bytes);
	command = net_control_parse(bytes, size_bytes);
	free(bytes);
	if (net_control_allowed(&command, &state))
		judge(&command, &state, size_bytes);
	return 0;
}
