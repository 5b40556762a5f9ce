/* SPDX-License-Identifier: Apache-2.0 */
/* The SBI's consoles: legacy putchar and getchar (5.2, 5.3), DBCN (12). */
#include "sbi.h"

#include "ebb/console.h"
#include "ebb/guest_memory.h"
#include "ebb/vm.h"

#define PIECE_BYTES 1024

#define LEGACY_NO_CHARACTER ((uint64_t)-1)

/* Whether a buffer lies in RAM. It stays there: RAM does not go away while a hart runs. */
static bool is_in_ram(struct vm *vm, gpa_t gpa, uint64_t size_bytes)
{
	bool found;

	gmem_lock_shared(vm->memory);
	found = gmem_span(vm->memory, gpa, size_bytes);
	gmem_unlock_shared(vm->memory);
	return found;
}

static struct sbi_result write_buffer(struct vm *vm, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t done = 0;

	while (done < size_bytes) {
		size_t bytes = (size_t)min_u64(size_bytes - done, sizeof(piece));

		if (gmem_read(vm->memory, gpa + done, piece, bytes))
			break;
		console_write(vm->console, piece, bytes);
		done += bytes;
	}
	return (struct sbi_result){ SBI_SUCCESS, done };
}

static struct sbi_result read_buffer(struct vm *vm, gpa_t gpa, uint64_t size_bytes)
{
	(void)vm;
	(void)gpa;
	(void)size_bytes;
	return (struct sbi_result){ SBI_SUCCESS, 0 };
}

static struct sbi_result debug_console(struct vm *vm, const struct sbi_call *call)
{
	uint64_t size_bytes = call->args[0];
	gpa_t gpa = call->args[1];
	uint8_t byte = (uint8_t)call->args[0];

	switch (call->function) {
	case SBI_DBCN_WRITE_BYTE:
		console_write(vm->console, &byte, 1);
		return (struct sbi_result){ SBI_SUCCESS, 0 };
	case SBI_DBCN_WRITE:
	case SBI_DBCN_READ:
		break;
	default:
		return (struct sbi_result){ SBI_ERR_NOT_SUPPORTED, 0 };
	}
	if (!size_bytes)
		return (struct sbi_result){ SBI_SUCCESS, 0 };
	if (call->args[2] || !is_in_ram(vm, gpa, size_bytes))
		return (struct sbi_result){ SBI_ERR_INVALID_PARAM, 0 };
	size_bytes = min_u64(size_bytes, SBI_DBCN_BYTES_MAX);
	return call->function == SBI_DBCN_WRITE ? write_buffer(vm, gpa, size_bytes)
	                                        : read_buffer(vm, gpa, size_bytes);
}

struct sbi_result sbi_handle(struct vm *vm, const struct sbi_call *call)
{
	uint8_t byte = (uint8_t)call->args[0];

	switch (call->extension) {
	case SBI_EXT_LEGACY_PUTCHAR:
		console_write(vm->console, &byte, 1);
		return (struct sbi_result){ SBI_SUCCESS, 0 };
	case SBI_EXT_LEGACY_GETCHAR:
		return (struct sbi_result){ LEGACY_NO_CHARACTER, 0 };
	case SBI_EXT_DBCN:
		return debug_console(vm, call);
	default:
		return (struct sbi_result){ SBI_ERR_NOT_SUPPORTED, 0 };
	}
}
