# SPDX-License-Identifier: Apache-2.0
# Guest firmware: freestanding programs that run on /dev/kvm (guest-firmware/, tests/guest/). Included by the top Makefile,
# which sets BUILD and ARCH.
#
# A test is one file: guest-firmware/tests/NAME.c (every architecture), guest-firmware/$(ARCH)/tests/NAME.c (this one), or
# guest-firmware/$(ARCH)/bare/NAME.c (entered as a bare test kernel is). Each becomes $(FIRMWARE_BUILD)/tests/NAME.elf.

FIRMWARE_DIR := guest-firmware
FIRMWARE_Q := $(Q)
FIRMWARE_BUILD := $(BUILD)/$(ARCH)-firmware
FIRMWARE_CC ?= $(CC)
FIRMWARE_OBJCOPY ?= objcopy
FIRMWARE_BARE_LDFLAGS :=

FIRMWARE_ARCH_DIR := $(FIRMWARE_DIR)/$(ARCH)
include $(FIRMWARE_ARCH_DIR)/arch.mk

# The processor may be one that interprets every instruction: no vector registers, no control-flow marks, no profiling.
FIRMWARE_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-common -fno-builtin -fno-strict-aliasing \
	-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -fno-jump-tables \
	-ffunction-sections -fdata-sections -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wno-unused-parameter -I$(FIRMWARE_DIR)/lib -I$(FIRMWARE_ARCH_DIR) $(FIRMWARE_ARCH_CFLAGS)
FIRMWARE_LDFLAGS := -nostdlib -static -no-pie -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack \
	-Wl,-z,max-page-size=4096 -Wl,-T,$(FIRMWARE_ARCH_DIR)/firmware.lds $(FIRMWARE_ARCH_LDFLAGS)

FIRMWARE_LIB_SOURCES := $(wildcard $(FIRMWARE_DIR)/lib/*.c) $(FIRMWARE_ARCH_SOURCES)
FIRMWARE_LIB_OBJECTS := $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(FIRMWARE_LIB_SOURCES))
FIRMWARE_BOOT_OBJECTS := $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(FIRMWARE_BOOT_SOURCES))
FIRMWARE_BARE_BOOT_OBJECTS := $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(FIRMWARE_BARE_BOOT_SOURCES))
FIRMWARE_SELFTEST_OBJECTS := $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(wildcard $(FIRMWARE_DIR)/selftest/*.c))

FIRMWARE_TEST_SOURCES := $(wildcard $(FIRMWARE_DIR)/tests/*.c) $(wildcard $(FIRMWARE_ARCH_DIR)/tests/*.c)
FIRMWARE_BARE_SOURCES := $(wildcard $(FIRMWARE_ARCH_DIR)/bare/*.c)
FIRMWARE_TESTS := $(patsubst %.c,$(FIRMWARE_BUILD)/tests/%.elf,$(notdir $(FIRMWARE_TEST_SOURCES)))
FIRMWARE_BARE_TESTS := $(patsubst %.c,$(FIRMWARE_BUILD)/tests/%.elf,$(notdir $(FIRMWARE_BARE_SOURCES)))
FIRMWARE_SELFTEST := $(FIRMWARE_BUILD)/selftest.elf

# The first program of a guest whose root is a folder: no firmware, a program for Linux, static and without a C library.
FIRMWARE_INIT := $(FIRMWARE_BUILD)/root-init.elf
FIRMWARE_INIT_OBJECTS := $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(wildcard $(FIRMWARE_DIR)/init/*.c) \
	$(FIRMWARE_ARCH_DIR)/user/start.S $(FIRMWARE_DIR)/lib/string.c $(filter %/memory_ops.c %/memory_ops.S,$(FIRMWARE_ARCH_SOURCES)))

.PHONY: firmware firmware-tests
firmware: firmware-tests
firmware-tests: $(FIRMWARE_TESTS) $(FIRMWARE_BARE_TESTS) $(FIRMWARE_SELFTEST)

$(FIRMWARE_BUILD)/%.c.o: $(FIRMWARE_DIR)/%.c $(FIRMWARE_DIR)/firmware.mk $(FIRMWARE_ARCH_DIR)/arch.mk
	@mkdir -p $(@D)
	@$(if $(FIRMWARE_Q),echo "  CC    $@")
	$(FIRMWARE_Q)$(FIRMWARE_CC) $(FIRMWARE_CFLAGS) -MMD -MP -c -o $@ $<

$(FIRMWARE_BUILD)/%.S.o: $(FIRMWARE_DIR)/%.S $(FIRMWARE_DIR)/firmware.mk $(FIRMWARE_ARCH_DIR)/arch.mk
	@mkdir -p $(@D)
	@$(if $(FIRMWARE_Q),echo "  CC    $@")
	$(FIRMWARE_Q)$(FIRMWARE_CC) $(FIRMWARE_CFLAGS) -MMD -MP -c -o $@ $<

# $(1): test source, $(2): entry objects, $(3): step from the linked ELF64 to the file, $(4): more flags for the linker
define firmware_test
$(FIRMWARE_BUILD)/tests/$(basename $(notdir $(1))).elf: $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.o,$(1)) \
		$(2) $(FIRMWARE_LIB_OBJECTS) $(FIRMWARE_ARCH_DIR)/firmware.lds
	@mkdir -p $$(@D)
	@$$(if $$(FIRMWARE_Q),echo "  LD    $$@")
	$$(FIRMWARE_Q)$$(FIRMWARE_CC) $(4) $$(FIRMWARE_LDFLAGS) -o $$@ $$(filter %.o,$$^)
	$(3)
endef
$(foreach source,$(FIRMWARE_TEST_SOURCES),$(eval $(call firmware_test,$(source),$(FIRMWARE_BOOT_OBJECTS),)))
$(foreach source,$(FIRMWARE_BARE_SOURCES),$(eval $(call firmware_test,$(source),$(FIRMWARE_BARE_BOOT_OBJECTS),\
	$$(FIRMWARE_Q)$(FIRMWARE_BARE_FINISH),$(FIRMWARE_BARE_LDFLAGS))))

$(FIRMWARE_SELFTEST): $(FIRMWARE_SELFTEST_OBJECTS) $(FIRMWARE_BOOT_OBJECTS) $(FIRMWARE_LIB_OBJECTS) \
		$(FIRMWARE_ARCH_DIR)/firmware.lds
	@mkdir -p $(@D)
	@$(if $(FIRMWARE_Q),echo "  LD    $@")
	$(FIRMWARE_Q)$(FIRMWARE_CC) $(FIRMWARE_LDFLAGS) -s -o $@ $(filter %.o,$^)

$(FIRMWARE_INIT): $(FIRMWARE_INIT_OBJECTS)
	@mkdir -p $(@D)
	@$(if $(FIRMWARE_Q),echo "  LD    $@")
	$(FIRMWARE_Q)$(FIRMWARE_CC) -nostdlib -static -no-pie -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,-z,max-page-size=4096 $(FIRMWARE_ARCH_LDFLAGS) -s -o $@ $^

-include $(FIRMWARE_INIT_OBJECTS:.o=.d)
-include $(FIRMWARE_LIB_OBJECTS:.o=.d) $(FIRMWARE_BOOT_OBJECTS:.o=.d) $(FIRMWARE_BARE_BOOT_OBJECTS:.o=.d)
-include $(FIRMWARE_SELFTEST_OBJECTS:.o=.d)
-include $(patsubst $(FIRMWARE_DIR)/%,$(FIRMWARE_BUILD)/%.d,$(FIRMWARE_TEST_SOURCES) $(FIRMWARE_BARE_SOURCES))
