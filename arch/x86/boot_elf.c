/* SPDX-License-Identifier: Apache-2.0 */
/* Loading an ELF kernel's segments where the x86 machine has room for them. */
#include <stdio.h>

#include "boot.h"

int boot_load_elf_segments(const struct boot_request *request, const struct elf_file *elf,
                           gpa_t *ret_end_gpa, struct error *err)
{
	gpa_t end_gpa = 0;

	for (size_t i = 0; i < elf->load_count; i++) {
		const struct elf_segment *segment = &elf->load[i];
		char what[32];
		int rc;

		snprintf(what, sizeof(what), "loadable segment %zu", i);
		rc = boot_check_range(request, what, segment->gpa, segment->memory_bytes, err);
		if (rc)
			return rc;
		end_gpa = max_u64(end_gpa, segment->gpa + segment->memory_bytes);
	}
	*ret_end_gpa = end_gpa;
	return elf_load(request->kernel, elf, request->memory, err);
}
