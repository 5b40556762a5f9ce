# SPDX-License-Identifier: Apache-2.0
# ebb: `make help` prints every target. One non-recursive Makefile; objects under build/<arch>[-<flavour>]/.

VERSION := 0.1.0

HOST_MACHINE := $(shell uname -m)
ARCH  ?= $(if $(filter riscv64,$(HOST_MACHINE)),riscv,x86)
BUILD ?= build
V     ?= 0
ifeq ($(BUILD),)
$(error BUILD is empty: name a folder)
endif
Q     := $(if $(filter 1,$(V)),,@)

ifeq ($(wildcard arch/$(ARCH)/arch.c),)
$(error ARCH=$(ARCH): there is no arch/$(ARCH); this version has: $(patsubst arch/%/arch.c,%,$(wildcard arch/*/arch.c)))
endif

BUILD_DIR := $(BUILD)/$(ARCH)
FUZZ_CC   ?= clang
IASL      ?= iasl

# The machine's own compiler; for riscv64 from another machine a cross compiler and a sysroot of Debian's riscv64 packages. GNU ld
# of Debian 12 cannot link that sysroot's archives statically, so clang drives lld there.
NATIVE := $(if $(filter riscv,$(ARCH)),$(filter riscv64,$(HOST_MACHINE)),$(filter x86_64,$(HOST_MACHINE)))
ifneq ($(NATIVE),)
CC        := gcc
STRIP     := strip
STATIC_CC := $(CC) -static-pie
else
SYSROOT := $(BUILD)/cache/sysroot-riscv64
CROSS_FLAGS := --sysroot=$(SYSROOT) -isystem $(SYSROOT)/usr/include/riscv64-linux-gnu -isystem $(SYSROOT)/usr/include \
	-B$(SYSROOT)/usr/lib/riscv64-linux-gnu -L$(SYSROOT)/usr/lib/riscv64-linux-gnu
CC        := riscv64-linux-gnu-gcc $(CROSS_FLAGS)
STRIP     := riscv64-linux-gnu-strip
STATIC_CC := clang-19 --target=riscv64-linux-gnu -march=rv64gc -mabi=lp64d --ld-path=/usr/bin/ld.lld-19 $(CROSS_FLAGS) -static
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

# ---- Flags -------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes \
	    -Wimplicit-fallthrough -Wundef -Wvla -Wpointer-arith -Wwrite-strings
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection $(if $(filter x86,$(ARCH)),-fcf-protection)
CPPFLAGS_ALL = -D_GNU_SOURCE -DEBB_VERSION='"$(VERSION)"' -Iinclude
CFLAGS_ALL   = -std=gnu11 -O2 -g $(WARNINGS) -MMD -MP -pthread $(CFLAGS)
LDFLAGS_HARD := -Wl,-z,relro,-z,now -Wl,--as-needed

# Archives: a shared library would be found, opened and mapped at each start, with some ten system calls.
LIBS := -l:libjansson.a -l:liburing.a -l:libcap-ng.a $(if $(filter riscv,$(ARCH)),-lfdt)

# Objects of one source list for one flavour: $(call objects,FLAVOUR_DIR,SOURCES)
objects = $(patsubst %,$(1)/obj/%.o,$(basename $(2)))

# ---- Sources -----------------------------------------------------------------------------------------------------

SANDBOX_COMPILER := src/sandbox_compile.c
SOURCES := $(filter-out $(SANDBOX_COMPILER),$(sort $(wildcard src/*.c arch/$(ARCH)/*.c devices/*.c devices/*/*.c)))
LIBRARY_SOURCES := $(filter-out src/main.c,$(SOURCES))
# Tests and fuzzers of another architecture's rooms say so in their names: test_x86_acpi, fuzz_riscv_plic.
OTHER_ARCH := $(if $(filter x86,$(ARCH)),riscv,x86)
TESTS ?= $(filter-out test_$(OTHER_ARCH)_%,$(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c))))
# fuzz_riscv_* hold their rooms themselves, which are pure: any build host runs them.
FUZZERS ?= $(filter-out $(if $(filter riscv,$(ARCH)),fuzz_x86_%),$(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c))))

-include arch/$(ARCH)/$(ARCH).mk
-include guest-firmware/firmware.mk

SELFTEST_ELF := $(BUILD)/$(ARCH)-firmware/selftest.elf

# The selftest guest, as two symbols of include/ebb/selftest.h.
$(BUILD_DIR)/selftest.S: $(SELFTEST_ELF) Makefile
	@mkdir -p $(@D)
	$(Q)$(STRIP) -o $(BUILD_DIR)/selftest.bin $<
	$(Q)printf '%s\n' '.section .rodata' '.balign 8' \
		'.globl selftest_image' 'selftest_image: .incbin "$(BUILD_DIR)/selftest.bin"' '1:' '.balign 8' \
		'.globl selftest_image_bytes' 'selftest_image_bytes: .quad 1b - selftest_image' \
		'.section .note.GNU-stack,"",@progbits' > $@

$(BUILD_DIR)/selftest.o: $(BUILD_DIR)/selftest.S
	$(Q)$(CC) -c -o $@ $<

# The first program of a guest whose root is a folder, as two symbols of include/ebb/root_init.h.
$(BUILD_DIR)/root_init.S: $(FIRMWARE_INIT) Makefile
	@mkdir -p $(@D)
	$(Q)printf '%s\n' '.section .rodata' '.balign 8' \
		'.globl root_init_image' 'root_init_image: .incbin "$<"' '1:' '.balign 8' \
		'.globl root_init_image_bytes' 'root_init_image_bytes: .quad 1b - root_init_image' \
		'.section .note.GNU-stack,"",@progbits' > $@

$(BUILD_DIR)/root_init.o: $(BUILD_DIR)/root_init.S
	$(Q)$(CC) -c -o $@ $<

# The sandbox's filters, from the sources' Syscalls lines; compiled for ARCH by a program of the build host.
HOSTCC ?= gcc
SANDBOX_TOOL := $(BUILD)/tools/sandbox_compile
$(SANDBOX_TOOL): $(SANDBOX_COMPILER) src/sandbox_pid.h Makefile
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=gnu11 -D_GNU_SOURCE -O1 $(WARNINGS) -o $@ $< -lseccomp

$(BUILD_DIR)/sandbox_filters.c: $(SOURCES) src/sandbox_lists $(SANDBOX_TOOL)
	@mkdir -p $(@D)
	$(Q)src/sandbox_lists $(SOURCES) > $@.lists
	$(Q)$(SANDBOX_TOOL) $(ARCH) < $@.lists > $@

$(BUILD_DIR)/sandbox_filters.o: $(BUILD_DIR)/sandbox_filters.c include/ebb/sandbox.h | $(addsuffix /complete,$(SYSROOT))
	$(Q)$(CC) $(CPPFLAGS_ALL) -std=gnu11 -O2 $(WARNINGS) $(HARDENING) -c -o $@ $<

# ---- Flavours: plain (what ships), san (unit tests), tsan, fuzz -----------------------------------------------------

# $(call flavour,DIR,COMPILER,FLAGS)
define flavour
$(1)/obj/%.o: %.c Makefile | $(addsuffix /complete,$(SYSROOT))
	@mkdir -p $$(@D)
	@$$(if $$(Q),echo "  CC    $$@")
	$$(Q)$(2) $$(CPPFLAGS_ALL) $$(CFLAGS_ALL) $(3) -c -o $$@ $$<

$(1)/libebb.a: $(call objects,$(1),$(LIBRARY_SOURCES)) $(BUILD_DIR)/selftest.o $(BUILD_DIR)/sandbox_filters.o $(BUILD_DIR)/root_init.o $(ARCH_OBJECTS)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef

PLAIN_FLAGS := $(HARDENING) -D_FORTIFY_SOURCE=2
SAN_DIR  := $(BUILD)/$(ARCH)-san
TSAN_DIR := $(BUILD)/$(ARCH)-tsan
FUZZ_DIR := $(BUILD)/$(ARCH)-fuzz
SAN_FLAGS  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -Itests/unit/fakes
# The one fence of ours, in virtqueue.c, orders against the guest, which no sanitizer sees.
TSAN_FLAGS := -O1 -fsanitize=thread -Wno-tsan -Itests/unit/fakes
FUZZ_FLAGS := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Itests/unit/fakes

$(eval $(call flavour,$(BUILD_DIR),$(CC),$(PLAIN_FLAGS)))
$(eval $(call flavour,$(SAN_DIR),$(CC),$(SAN_FLAGS)))
$(eval $(call flavour,$(TSAN_DIR),$(CC),$(TSAN_FLAGS)))
$(eval $(call flavour,$(FUZZ_DIR),$(FUZZ_CC),$(FUZZ_FLAGS)))

ifneq ($(SYSROOT),)
$(SYSROOT)/complete: .ci/sysroot
	$(Q).ci/sysroot $(@D)
	@touch $@
endif

# ---- The program ---------------------------------------------------------------------------------------------------

.PHONY: all static firmware probe
all: $(BUILD_DIR)/ebb $(if $(NATIVE),ebb) compile_commands.json

$(BUILD_DIR)/ebb: $(BUILD_DIR)/obj/src/main.o $(BUILD_DIR)/libebb.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) -pie -pthread $(LDFLAGS_HARD) $(LDFLAGS) -o $@ $^ $(LIBS)

ebb: $(BUILD_DIR)/ebb
	$(Q)ln -sfn $< $@

static: $(BUILD_DIR)/ebb-static
$(BUILD_DIR)/ebb-static: $(BUILD_DIR)/obj/src/main.o $(BUILD_DIR)/libebb.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(STATIC_CC) -pthread $(LDFLAGS_HARD) $(LDFLAGS) -o $@ $^ $(LIBS)

# The same program, whose threads try what the sandbox has to refuse, and tell.
probe: $(BUILD_DIR)/ebb-probe
$(BUILD_DIR)/ebb-probe: $(BUILD_DIR)/obj/src/main.o $(BUILD_DIR)/obj/tests/guest/sandbox_probe.o $(BUILD_DIR)/libebb.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) -pie -pthread $(LDFLAGS_HARD) $(LDFLAGS) -o $@ $^ $(LIBS)

firmware: firmware-tests

# ---- Tests -----------------------------------------------------------------------------------------------------------

# The fakes that a test names in its line `/* fakes: A B */` come before the library and so stand in for rooms. A fake may be
# one an architecture, fakes/A_x86.c, or a folder of parts, fakes/A/*.c.
fakes_of = $(foreach fake,$(shell sed -n 's|^/\* fakes: \(.*\) \*/$$|\1|p' $(1)),$(or \
	$(patsubst tests/unit/fakes/%.c,%,$(wildcard tests/unit/fakes/$(fake)_$(ARCH).c tests/unit/fakes/$(fake)/*.c)),$(fake)))

# Calls that a test wants sent to its own functions, in its line `/* wraps: A B */`: ld's --wrap.
comma := ,
wraps_of = $(patsubst %,-Wl$(comma)--wrap=%,$(shell sed -n 's|^/\* wraps: \(.*\) \*/$$|\1|p' $(1)))

define unit_test
$(1)/$(2): $(1)/obj/tests/unit/$(2).o $(patsubst %,$(1)/obj/tests/unit/fakes/%.o,$(call fakes_of,tests/unit/$(2).c)) $(1)/libebb.a
	@$$(if $$(Q),echo "  LD    $$@")
	$$(Q)$$(CC) $(3) -pthread $(call wraps_of,tests/unit/$(2).c) -o $$@ $$^ $$(LIBS) -lcmocka
endef
$(foreach test,$(TESTS),$(eval $(call unit_test,$(SAN_DIR),$(test),$(SAN_FLAGS))))
$(foreach test,$(TESTS),$(eval $(call unit_test,$(TSAN_DIR),$(test),$(TSAN_FLAGS))))

define fuzzer
$(FUZZ_DIR)/$(1): $(FUZZ_DIR)/obj/tests/fuzz/$(1).o $(patsubst %,$(FUZZ_DIR)/obj/tests/unit/fakes/%.o,$(call fakes_of,tests/fuzz/$(1).c)) $(FUZZ_DIR)/libebb.a
	@$$(if $$(Q),echo "  LD    $$@")
	$$(Q)$$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -pthread -o $$@ $$^ $$(LIBS)
endef
$(foreach fuzzer_name,$(FUZZERS),$(eval $(call fuzzer,$(fuzzer_name))))

# Unit tests run under ASan and UBSan; a cross build's under user-mode emulation, which has neither.
ifneq ($(NATIVE),)
UNIT_DIR := $(SAN_DIR)
UNIT_RUNNER :=
else
UNIT_DIR := $(BUILD)/$(ARCH)-unit
UNIT_RUNNER := $(firstword $(shell command -v qemu-riscv64-static qemu-riscv64)) -L $(SYSROOT)
UNIT_FLAGS := -O1 -Itests/unit/fakes
$(eval $(call flavour,$(UNIT_DIR),$(CC),$(UNIT_FLAGS)))
$(foreach test,$(TESTS),$(eval $(call unit_test,$(UNIT_DIR),$(test),$(UNIT_FLAGS))))
endif

.PHONY: release-table disk-table unit unit-build tsan replay fuzz-build fuzz guest figures sandbox host kernel-riscv lint check run
unit-build: $(addprefix $(UNIT_DIR)/,$(TESTS))
unit: unit-build
	@ARCH=$(ARCH) RUNNER="$(UNIT_RUNNER)" tests/unit/run $(UNIT_DIR) $(TESTS)

tsan: $(addprefix $(TSAN_DIR)/,$(TESTS))
	@tests/unit/run $(TSAN_DIR) $(TESTS)

fuzz-build: $(addprefix $(FUZZ_DIR)/,$(FUZZERS))
replay: fuzz-build
	@tests/fuzz/run replay $(FUZZ_DIR) $(FUZZERS)

FUZZ_SECONDS ?= 600
fuzz: fuzz-build
	@tests/fuzz/run fuzz $(FUZZ_DIR) $(FUZZ_SECONDS) $(FUZZERS)

guest: all firmware
	@EBB=$(BUILD_DIR)/ebb BUILD=$(BUILD) ARCH=$(ARCH) tests/guest/run

figures: all static firmware
	@BUILD=$(BUILD) ARCH=$(ARCH) tests/guest/figures

sandbox: all probe firmware
	@BUILD=$(BUILD) ARCH=$(ARCH) tests/guest/sandbox

$(BUILD_DIR)/release_table $(BUILD_DIR)/disk_table: $(BUILD_DIR)/%: $(BUILD_DIR)/obj/tests/bench/%.o $(BUILD_DIR)/libebb.a
	@$(if $(Q),echo "  LD    $@")
	$(Q)$(CC) -pie -pthread $(LDFLAGS_HARD) $(LDFLAGS) -o $@ $^ $(LIBS)

release-table: $(BUILD_DIR)/release_table
	@$<

disk-table: $(BUILD_DIR)/disk_table
	@$<

# The bench's programs: those of the KVM host in programs/, those of the guest in workloads/; static, of libc alone.
BENCH_DIR := $(BUILD)/$(ARCH)-bench
BENCH_CC  := $(if $(NATIVE),$(CC),riscv64-linux-gnu-gcc)
# NAME.c's sources beside it, where it has any; what is none of them, and no workload, is a program.
BENCH_PARTS := action common console counters private tracer
BENCH_PARTS_record      := $(BENCH_PARTS)
BENCH_PARTS_start       := common tracer
BENCH_PARTS_rawlimit    := common
BENCH_PARTS_qmp_balloon := common
BENCH_PROGRAMS := $(filter-out $(BENCH_PARTS:%=programs/%),$(patsubst tests/bench/%.c,%,$(sort $(wildcard tests/bench/*/*.c))))

define bench_program
$(BENCH_DIR)/$(1): $(patsubst %,tests/bench/programs/%.c,$(BENCH_PARTS_$(notdir $(1))))
endef
$(foreach program,$(BENCH_PROGRAMS),$(eval $(call bench_program,$(program))))

$(BENCH_DIR)/%: tests/bench/%.c $(wildcard tests/bench/*/*.h) Makefile
	@mkdir -p $(@D)
	@$(if $(Q),echo "  CC    $@")
	$(Q)$(BENCH_CC) -std=gnu11 -D_GNU_SOURCE -O2 -s $(WARNINGS) -static -o $@ $(filter %.c,$^)

.PHONY: bench-programs bench bench-test
bench-programs: $(BENCH_PROGRAMS:%=$(BENCH_DIR)/%)

# The tables by which page reporting is judged, for ebb and its peers (docs/benchmarking.md).
bench:
	@.ci/setup build check run bench
	@$(MAKE) -s static bench-programs
	@BUILD=$(BUILD) ARCH=$(ARCH) tests/bench/run

# Whether the bench itself tells the truth.
bench-test: all
	@BUILD=$(BUILD) ARCH=$(ARCH) tests/bench/test

host: all static firmware
	@BUILD=$(BUILD) tests/host/run --arch $(ARCH)

# A guest kernel that Debian has not: riscv64 with virtio-mem. Scenarios 60 to 62 use it where SLOW=1 or their names ask for them.
kernel-riscv:
	@.ci/setup riscv kernel
	@BUILD=$(BUILD) tests/host/kernel-riscv

lint: $(BUILD_DIR)/libebb.a
	@tests/lint/run $(BUILD_DIR)

# Set-up, then every layer; ends with `N passed, N failed, N skipped`.
check:
	@.ci/setup build riscv check
	@BUILD=$(BUILD) ARCH=$(ARCH) MAKE="$(MAKE)" tests/check

run:
	@.ci/setup build run
	@BUILD=$(BUILD) ARCH=$(ARCH) MAKE="$(MAKE)" tests/run

# What `ebb run --trace-reclaim FILE` wrote, as FILE's name with .png and .svg.
.PHONY: plot
plot:
	@.ci/setup bench
	@tests/bench/plot "$(TRACE)"

# ---- Conveniences ----------------------------------------------------------------------------------------------------

compile_commands.json: Makefile
	@printf '[\n' > $@; first=1; for source in $(SOURCES) $(wildcard tests/unit/*.c tests/unit/fakes/*.c tests/unit/fakes/*/*.c tests/fuzz/*.c); do \
		[ $$first = 1 ] || printf ',\n' >> $@; first=0; \
		printf '{"directory":"%s","file":"%s","command":"%s -D_GNU_SOURCE -Iinclude -Itests/unit/fakes -std=gnu11 -c %s"}' \
			"$(CURDIR)" "$$source" "$(CC)" "$$source" >> $@; \
	done; printf '\n]\n' >> $@

PREFIX  ?= /usr/local
DESTDIR ?=
.PHONY: install format clean help deps
install: $(BUILD_DIR)/ebb
	install -D -m 755 $(BUILD_DIR)/ebb $(DESTDIR)$(PREFIX)/bin/ebb
	install -D -m 644 docs/ebb.1 $(DESTDIR)$(PREFIX)/share/man/man1/ebb.1

deps:
	@.ci/setup build riscv check run bench

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(filter-out $(BUILD)/cache,$(wildcard $(BUILD)/*)) ebb compile_commands.json

help:
	@printf '%s\n' \
	'make               build $(BUILD_DIR)/ebb and the link ./ebb' \
	'make run           build, then show it: selftest guest, then a Debian guest whose memory comes back' \
	'make check         everything: lint, unit, replay, guest, host' \
	'make static        $(BUILD_DIR)/ebb-static' \
	'make ARCH=riscv    cross-build for riscv64 (also static, unit, firmware)' \
	'make firmware      the bare-metal guests of guest-firmware/' \
	'make unit          unit tests under ASan and UBSan (TESTS="test_a test_b" for some)' \
	'make tsan          the same under ThreadSanitizer' \
	'make replay        replay of the fuzz corpora' \
	'make fuzz          fuzz each target FUZZ_SECONDS=600 seconds (FUZZERS="fuzz_a" for some)' \
	'make guest         firmware tests on /dev/kvm' \
	'make release-table what the memory-return engine really frees, on each backing' \
	'make disk-table    system calls and time of a disk with 32 requests in flight, beside plain reads and writes' \
	'make sandbox       what each thread of a running guest has left, and is refused (make probe: the build that tries)' \
	'make bench         page reporting, memory returned and its cost, start, for ebb and QEMU: tables and plots (QUICK=1: 10 minutes)' \
	'make bench-test    whether the bench itself tells the truth' \
	'make figures       what a start costs: system calls, memory, sizes' \
	'make host          Debian guests under a real KVM: native, or nested in an emulator' \
	'make kernel-riscv  a riscv64 guest kernel with virtio-mem, out of Debian linux-source (a quarter of an hour, once)' \
	'make plot          TRACE=FILE: a picture of a reclaim trace, as PNG and SVG' \
	'make lint          layering, writable globals, headers, style' \
	'make deps          install the Debian packages that all of this needs' \
	'make install       to DESTDIR PREFIX=/usr/local' \
	'make format clean help' \
	'Variables: ARCH=x86 BUILD=build V=1 CC CFLAGS LDFLAGS'

# Of this architecture alone: the other one's may just be written.
-include $(shell find $(wildcard $(BUILD)/$(ARCH) $(BUILD)/$(ARCH)-*) /dev/null -type f -name '*.d' 2>/dev/null)
