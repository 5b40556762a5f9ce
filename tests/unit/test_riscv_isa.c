/* SPDX-License-Identifier: Apache-2.0 */
/* Names of instruction set extensions: order, separators, lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "../../arch/riscv/isa.h"

static struct isa with(const unsigned int *numbers, size_t count)
{
	struct isa isa = { 0 };

	for (size_t i = 0; i < count; i++)
		bitmap_set(isa.extensions, numbers[i]);
	return isa;
}

static void test_string(void **state)
{
	static const unsigned int numbers[] = {
		KVM_RISCV_ISA_EXT_SSTC, KVM_RISCV_ISA_EXT_C, KVM_RISCV_ISA_EXT_ZBB,
		KVM_RISCV_ISA_EXT_D,    KVM_RISCV_ISA_EXT_I, KVM_RISCV_ISA_EXT_F,
		KVM_RISCV_ISA_EXT_A,    KVM_RISCV_ISA_EXT_M, KVM_RISCV_ISA_EXT_ZICBOM,
	};
	struct isa isa = with(numbers, ARRAY_SIZE(numbers));
	static const char list[] = "i\0m\0a\0f\0d\0c\0zicbom\0zbb\0sstc";
	char text[ISA_STRING_MAX_BYTES];

	(void)state;
	assert_int_equal(isa_string(&isa, text), strlen(text));
	assert_string_equal(text, "rv64imafdc_zicbom_zbb_sstc");
	assert_int_equal(isa_extension_list(&isa, text), sizeof(list));
	assert_memory_equal(text, list, sizeof(list));
	assert_true(isa_has(&isa, KVM_RISCV_ISA_EXT_SSTC));
	assert_false(isa_has(&isa, KVM_RISCV_ISA_EXT_V));
	assert_false(isa_has(&isa, UINT32_MAX));
}

/* Every number that KVM's header has is named, once. */
static void test_all(void **state)
{
	struct isa all = { .extensions = { UINT64_MAX } };
	char text[ISA_STRING_MAX_BYTES], list[ISA_STRING_MAX_BYTES];
	size_t count = 0, bytes;

	(void)state;
	assert_in_range(isa_string(&all, text), 1, sizeof(text) - 1);
	bytes = isa_extension_list(&all, list);
	assert_in_range(bytes, 1, sizeof(list));
	for (const char *name = list; name < list + bytes; name += strlen(name) + 1) {
		for (const char *other = name + strlen(name) + 1; other < list + bytes;
		     other += strlen(other) + 1)
			assert_string_not_equal(name, other);
		count++;
	}
	assert_true(count >= KVM_RISCV_ISA_EXT_ZAWRS + 1);
	for (unsigned int i = 0; i <= KVM_RISCV_ISA_EXT_ZAWRS; i++) {
		struct isa one = with(&i, 1);

		assert_int_not_equal(isa_extension_list(&one, list), 0);
	}
}

static void test_mmu(void **state)
{
	(void)state;
	assert_string_equal(isa_mmu_type(&(struct isa){ .satp_mode = 0 }), "riscv,none");
	assert_string_equal(isa_mmu_type(&(struct isa){ .satp_mode = 8 }), "riscv,sv39");
	assert_string_equal(isa_mmu_type(&(struct isa){ .satp_mode = 9 }), "riscv,sv48");
	assert_string_equal(isa_mmu_type(&(struct isa){ .satp_mode = 10 }), "riscv,sv57");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_mmu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
