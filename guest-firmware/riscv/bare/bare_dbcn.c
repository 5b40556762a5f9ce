/* SPDX-License-Identifier: Apache-2.0 */
/* The debug console as a bare test kernel uses it (SBI 2.0, chapter 12): write, write_byte, read,
 * and the refusal of an address outside RAM. */
#include "platform_riscv.h"
#include "report.h"

static const char text[] = "dbcn: this line came through the debug console\n";

void test_main(void)
{
	static char typed[8];
	struct sbi_result result;
	unsigned int done = 0, tries = 0;

	if (!CHECK("DBCN is there", sbi_has(SBI_DBCN)))
		return;
	while (done < sizeof(text) - 1 && tries++ < 100) {
		result = sbi_call(SBI_DBCN, SBI_DBCN_WRITE, sizeof(text) - 1 - done,
		                  (uintptr_t)text + done, 0);
		if (result.error)
			break;
		done += (unsigned int)result.value;
	}
	CHECK_EQUAL("write: all of it", done, sizeof(text) - 1);
	CHECK_EQUAL("write_byte", sbi_call(SBI_DBCN, SBI_DBCN_WRITE_BYTE, '\n', 0, 0).error, 0);
	result = sbi_call(SBI_DBCN, SBI_DBCN_READ, sizeof(typed), (uintptr_t)typed, 0);
	CHECK("read: nothing was typed", !result.error && !result.value);
	CHECK_EQUAL("write from 0", sbi_call(SBI_DBCN, SBI_DBCN_WRITE, 1, 0, 0).error,
	            SBI_INVALID_PARAM);
	CHECK_EQUAL("write from below RAM",
	            sbi_call(SBI_DBCN, SBI_DBCN_WRITE, 16, 0x7ffffff8, 0).error, SBI_INVALID_PARAM);
	CHECK_EQUAL("write from the end of the address space",
	            sbi_call(SBI_DBCN, SBI_DBCN_WRITE, 16, ~0ull - 7, ~0ull).error,
	            SBI_INVALID_PARAM);
	CHECK_EQUAL("read to 0", sbi_call(SBI_DBCN, SBI_DBCN_READ, 1, 0, 0).error,
	            SBI_INVALID_PARAM);
}
