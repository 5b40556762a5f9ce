# SPDX-License-Identifier: Apache-2.0
# x86-64's share of firmware.mk: which files, which flags, and how a bare test kernel is finished.

FIRMWARE_ARCH_SOURCES := $(filter-out $(FIRMWARE_ARCH_DIR)/boot_%,\
	$(wildcard $(FIRMWARE_ARCH_DIR)/*.c) $(wildcard $(FIRMWARE_ARCH_DIR)/*.S))
FIRMWARE_BOOT_SOURCES := $(FIRMWARE_ARCH_DIR)/boot_pvh.S $(FIRMWARE_ARCH_DIR)/boot_pvh_info.c
FIRMWARE_BARE_BOOT_SOURCES := $(FIRMWARE_ARCH_DIR)/boot_multiboot.S $(FIRMWARE_ARCH_DIR)/boot_multiboot_info.c

FIRMWARE_ARCH_CFLAGS := -m64 -march=x86-64 -mgeneral-regs-only -mno-red-zone -mcmodel=small -fcf-protection=none
FIRMWARE_ARCH_LDFLAGS := -m64

# Multiboot 1 loaders take ELF32; the code inside switches to 64-bit mode by itself.
FIRMWARE_BARE_FINISH = $(FIRMWARE_OBJCOPY) -O elf32-i386 $$@
