/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* Images that the configuration names: opened once, loaded again at a reset. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bytes.h"
#include "ebb/selftest.h"

#include "../../arch/x86/x86.h"

#include "kernel_images.h"

struct fixture {
	struct boot_guest guest; /* for its memory */
	struct vm vm;
	struct vm_config config;
	struct arch_vm arch;
	char kernel[32], initrd[32];
};

static uint8_t image[TEST_IMAGE_MAX];

static void write_file(char *path, const char *template, const void *bytes, size_t count)
{
	int fd;

	strcpy(path, template);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	close(fd);
}

static int set_up(void **state)
{
	static struct fixture fixture;

	memset(&fixture, 0, sizeof(fixture));
	boot_guest_create(&fixture.guest, 64 * MIB);
	fixture.vm.memory = fixture.guest.memory;
	fixture.vm.config = &fixture.config;
	fixture.vm.arch = &fixture.arch;
	fixture.config.memory.size_bytes = 64 * MIB;
	fixture.config.cpu_count = 1;
	write_file(fixture.kernel, "/tmp/ebb-kernel-XXXXXX", image,
	           test_bzimage_build(image, 4096));
	write_file(fixture.initrd, "/tmp/ebb-initrd-XXXXXX", "0123456789", 10);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	image_set_close(&fixture->arch.images);
	unlink(fixture->kernel);
	unlink(fixture->initrd);
	boot_guest_destroy(&fixture->guest);
	return 0;
}

static void expect_params(struct fixture *fixture, const char *text)
{
	char params[64];

	assert_int_equal(x86_load_images(&fixture->vm, NULL), 0);
	boot_guest_read(&fixture->guest, 0x92000, params, sizeof(params));
	assert_string_equal(params, text);
	image_set_close(&fixture->arch.images);
}

static void test_default_params(void **state)
{
	struct fixture *fixture = *state;

	fixture->config.kernel_path = fixture->kernel;
	expect_params(fixture, "console=ttyS0");
	fixture->config.params = "quiet";
	expect_params(fixture, "console=ttyS0 quiet");
	fixture->config.console = CONSOLE_VIRTIO;
	expect_params(fixture, "console=hvc0 quiet");
	fixture->config.console = CONSOLE_NONE;
	expect_params(fixture, "quiet");
	fixture->config.console = CONSOLE_SERIAL;
	fixture->config.params_only = true;
	expect_params(fixture, "quiet");
}

static void test_selftest(void **state)
{
	struct fixture *fixture = *state;

	fixture->config.params = "a=b";
	assert_true(selftest_image_bytes > sizeof(Elf64_Ehdr));
	expect_params(fixture, "a=b"); /* and no console: it knows its own */
	assert_int_equal(fixture->arch.entry.mode, BOOT_MODE_PROTECTED);
	assert_int_equal(fixture->arch.entry.rbx, 0x90100);
}

/* The files are gone when the guest is reset: what was opened is loaded again. */
static void test_reload(void **state)
{
	struct fixture *fixture = *state;
	uint8_t zero[16] = { 0 }, initrd[10];

	fixture->config.kernel_path = fixture->kernel;
	fixture->config.initrd_paths[0] = fixture->initrd;
	fixture->config.initrd_count = 1;
	assert_int_equal(x86_load_images(&fixture->vm, NULL), 0);
	unlink(fixture->kernel);
	unlink(fixture->initrd);
	assert_int_equal(gmem_write(fixture->vm.memory, 16 * MIB, zero, sizeof(zero)), 0);
	assert_int_equal(gmem_write(fixture->vm.memory, 64 * MIB - 4096, zero, 10), 0);
	assert_int_equal(x86_load_images(&fixture->vm, NULL), 0);
	assert_int_equal(boot_guest_read_le64(&fixture->guest, 16 * MIB), load_le64(image + 1024));
	boot_guest_read(&fixture->guest, 64 * MIB - 4096, initrd, sizeof(initrd));
	assert_memory_equal(initrd, "0123456789", 10);
	assert_int_equal(fixture->arch.images.initrd_count, 1);
}

static void test_missing_files(void **state)
{
	struct fixture *fixture = *state;
	struct error err = ERROR_INIT;

	fixture->config.kernel_path = "/nowhere/vmlinuz";
	assert_int_equal(x86_load_images(&fixture->vm, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--kernel /nowhere/vmlinuz: No such file"));
	fixture->config.kernel_path = fixture->kernel;
	fixture->config.initrd_paths[0] = fixture->initrd;
	fixture->config.initrd_paths[1] = "/nowhere/initrd";
	fixture->config.initrd_count = 2;
	assert_int_equal(x86_load_images(&fixture->vm, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--initrd /nowhere/initrd: No such file"));
	image_set_close(&fixture->arch.images);
	image_set_close(&fixture->arch.images); /* nothing is open any more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_default_params, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_selftest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_files, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
