# SPDX-License-Identifier: Apache-2.0
# The DSDT: ASL through the preprocessor and iasl into an object with the symbols of arch/x86/dsdt.h.

ARCH_OBJECTS := $(BUILD_DIR)/arch/x86/dsdt.o

$(BUILD_DIR)/arch/x86/dsdt.asl: arch/x86/dsdt.asl arch/x86/layout.h include/ebb/acpi_pm.h
	@mkdir -p $(@D)
	$(Q)$(CC) -E -P -x assembler-with-cpp -Iarch/x86 -Iinclude -o $@ $<

$(BUILD_DIR)/arch/x86/dsdt.aml: $(BUILD_DIR)/arch/x86/dsdt.asl
	@$(if $(Q),echo "  IASL  $@")
	$(Q)$(IASL) -we -p $(basename $@) $< >$(basename $@).log 2>&1 || { cat $(basename $@).log; exit 1; }

$(BUILD_DIR)/arch/x86/dsdt.S: $(BUILD_DIR)/arch/x86/dsdt.aml
	$(Q)printf '%s\n' '.section .rodata' '.balign 8' \
		'.globl dsdt_aml' 'dsdt_aml: .incbin "$<"' '1:' '.balign 8' \
		'.globl dsdt_aml_bytes' 'dsdt_aml_bytes: .quad 1b - dsdt_aml' \
		'.section .note.GNU-stack,"",@progbits' > $@

$(BUILD_DIR)/arch/x86/dsdt.o: $(BUILD_DIR)/arch/x86/dsdt.S
	$(Q)$(CC) -c -o $@ $<
