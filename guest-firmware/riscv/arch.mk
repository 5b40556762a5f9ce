# SPDX-License-Identifier: Apache-2.0
# RISC-V's share of firmware.mk: which files, which flags, and how a bare test kernel is finished.

FIRMWARE_ARCH_SOURCES := $(wildcard $(FIRMWARE_ARCH_DIR)/*.c) $(filter-out %/start.S,$(wildcard $(FIRMWARE_ARCH_DIR)/*.S))
FIRMWARE_BOOT_SOURCES := $(FIRMWARE_ARCH_DIR)/start.S
FIRMWARE_BARE_BOOT_SOURCES := $(FIRMWARE_ARCH_DIR)/start.S

# No F and D: nothing saves their registers. Every address is relative to the program counter.
FIRMWARE_ARCH_CFLAGS := -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -mno-relax -msmall-data-limit=0
FIRMWARE_ARCH_LDFLAGS := -march=rv64imac_zicsr_zifencei -mabi=lp64 -Wl,-melf64lriscv -Wl,--no-relax

# A bare test kernel is a flat, position independent Image.
FIRMWARE_BARE_LDFLAGS := -Wl,-pie -Wl,--no-dynamic-linker -Wl,-z,norelro -Wl,--defsym=firmware_base=0
FIRMWARE_BARE_FINISH = $(FIRMWARE_OBJCOPY) -O binary $$@
ifneq ($(shell uname -m),riscv64)
FIRMWARE_CC := riscv64-linux-gnu-gcc
FIRMWARE_OBJCOPY := riscv64-linux-gnu-objcopy
endif
