/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_console */
/*
 * A guest that makes any SBI call, while somebody types. The room has nothing of RISC-V's own
 * headers, so it is compiled in here and fuzzed on any build host.
 */
#include <assert.h>
#include <stddef.h>

#include "../../arch/riscv/sbi.c"
#include "ebb/bytes.h"
#include "fake_console.h"

#define RAM_GPA   UINT64_C(0x80000000)
#define RAM_BYTES (64 * KIB)
#define OP_BYTES  32 /* extension, function, two selectors; three arguments */

static uint64_t extension(const uint8_t *op)
{
	static const uint64_t known[] = { SBI_EXT_DBCN, SBI_EXT_DBCN, SBI_EXT_LEGACY_PUTCHAR,
		                          SBI_EXT_LEGACY_GETCHAR };

	return op[0] < 0xc0 ? known[op[0] % ARRAY_SIZE(known)] : load_le32(op);
}

static void step(struct sbi *sbi, const uint8_t *op)
{
	struct sbi_call call = {
		.extension = extension(op),
		.function = op[4],
		.args = { load_le64(op + 8), load_le64(op + 16), load_le64(op + 24) },
	};
	size_t before = fake_console.output_bytes;
	struct sbi_result result;
	bool in_ram;

	if (op[5] & 1) /* mostly near RAM's ends */
		call.args[1] = RAM_GPA + (op[5] & 2 ? RAM_BYTES : 0) + (int8_t)op[16];
	if (op[5] & 4)
		call.args[0] %= 2 * RAM_BYTES;
	if (op[5] & 8)
		call.args[2] = 0;
	in_ram = range_contains(RAM_GPA, RAM_BYTES, call.args[1], call.args[0]) && !call.args[2];
	result = sbi_handle(sbi, &call);
	if (call.extension == SBI_EXT_DBCN && call.function <= SBI_DBCN_READ && call.args[0]) {
		assert(result.error == (in_ram ? SBI_SUCCESS : SBI_ERR_INVALID_PARAM));
		assert(result.value <= call.args[0]);
		if (call.function == SBI_DBCN_WRITE)
			assert(fake_console.output_bytes - before == result.value);
	}
	if (op[6] & 1)
		(void)fake_console_type((const char *)op, OP_BYTES);
	if (op[6] == 0xfe)
		sbi_reset(sbi);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory *memory = NULL;
	struct sbi *sbi = NULL;

	fake_console_clear();
	if (!guest_memory_create(&memory, NULL) &&
	    !gmem_add_region(memory, RAM_GPA, RAM_BYTES, false, NULL) &&
	    !sbi_create(memory, NULL, &sbi))
		for (; size >= OP_BYTES; data += OP_BYTES, size -= OP_BYTES)
			step(sbi, data);
	sbi_destroy(sbi);
	guest_memory_destroy(memory);
	return 0;
}
