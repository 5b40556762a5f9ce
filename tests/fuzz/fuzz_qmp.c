/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table */
/*
 * What a client may say on the control socket. The first byte: bits 0 to 6, the size of the pieces
 * in which the rest arrives (0: all at once); bit 7, not negotiated yet. The rest: its bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/control_private.h"
#include "control_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Every reply is one line, ends in a line end, and has no other. */
static void check_output(struct control_session *session, const char *data, size_t size_bytes)
{
	const char *end = memchr(data, '\n', size_bytes);

	(void)session;
	if (end && (end != data || size_bytes != 1))
		abort();
}

/* The machine must be as it could be after any requests. */
static void check_guest(const struct control_guest *guest)
{
	if (guest->balloon.status.target_bytes > CONTROL_GUEST_RAM_BYTES)
		abort();
	if (guest->balloon.status.stats_interval_s > UINT32_MAX)
		abort();
	for (size_t i = 0; i < guest->memory_device_count; i++) {
		const struct memory_device_status *status = &guest->memory_devices[i].status;

		if (status->requested_bytes > status->region_bytes ||
		    status->requested_bytes % status->block_bytes)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct control_guest guest;
	struct control_shared shared = { .vm = &guest.vm };
	struct control_session session;
	size_t step_bytes;

	if (!size_bytes)
		return 0;
	control_guest_create(&guest);
	control_guest_add_memory(&guest, "vm0");
	control_guest_add_memory(&guest, "vm1");
	if (control_session_init(&session, &shared))
		abort();
	session.send = check_output;
	session.negotiated = !(data[0] & 0x80);
	step_bytes = data[0] & 0x7f ? data[0] & 0x7f : CONTROL_REQUEST_MAX_BYTES;
	data++;
	size_bytes--;
	while (size_bytes && !session.closing) {
		size_t room_bytes, chunk_bytes;
		char *room = control_framer_space(&session.framer, &room_bytes);

		if (!room_bytes)
			abort();
		chunk_bytes = min_u64(min_u64(room_bytes, step_bytes), size_bytes);
		memcpy(room, data, chunk_bytes);
		control_framer_added(&session.framer, chunk_bytes);
		data += chunk_bytes;
		size_bytes -= chunk_bytes;
		while (control_session_step(&session))
			;
	}
	check_guest(&guest);
	control_session_fini(&session);
	control_guest_destroy(&guest);
	return 0;
}
