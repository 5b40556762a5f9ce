/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the images that the configuration names and has them loaded, at the start and again at each
 * reset. */
#include <string.h>
#include <unistd.h>

#include "ebb/log.h"
#include "ebb/selftest.h"
#include "x86.h"

/* A KVM whose guests' kernels run in its instruction emulator: fine for small guests, far too slow
 * for Linux. */
#define PVM_MODULE_PATH "/sys/module/kvm_pvm"

static int open_images(struct vm *vm, struct error *err)
{
	const struct vm_config *config = vm->config;
	struct arch_vm *arch = vm->arch;
	int rc = 0;

	if (!arch->kernel && config->kernel_path)
		rc = image_open("--kernel", config->kernel_path, &arch->kernel, err);
	else if (!arch->kernel)
		rc = image_create_from_memory("selftest", selftest_image, selftest_image_bytes,
		                              &arch->kernel, err);
	while (!rc && arch->initrd_count < config->initrd_count) {
		rc = image_open("--initrd", config->initrd_paths[arch->initrd_count],
		                &arch->initrds[arch->initrd_count], err);
		if (!rc)
			arch->initrd_count++;
	}
	return rc;
}

/*
 * What a Linux kernel needs to be heard on the console that the user chose. Nothing else: every
 * other parameter is the user's business.
 */
static const char *default_params(const struct vm_config *config)
{
	if (config->params_only || !config->kernel_path)
		return "";
	switch (config->console) {
	case CONSOLE_SERIAL:
		return "console=ttyS0";
	case CONSOLE_VIRTIO:
		return "console=hvc0";
	case CONSOLE_NONE:
		break;
	}
	return "";
}

static void remark_on_host(struct vm *vm, bool is_linux)
{
	if (vm->arch->host_checked)
		return;
	vm->arch->host_checked = true;
	if (is_linux && !access(PVM_MODULE_PATH, F_OK))
		log_warn(vm->log,
		         "this host's KVM is PVM (%s): small guests run, a stock Linux "
		         "kernel does not come up on it",
		         PVM_MODULE_PATH);
}

int x86_load_images(struct vm *vm, struct error *err)
{
	struct arch_vm *arch = vm->arch;
	struct boot_request request = {
		.memory = vm->memory,
		.ram_bytes = vm->config->memory.size_bytes,
		.params = vm->config->params ? vm->config->params : "",
		.default_params = default_params(vm->config),
	};
	bool is_linux = false;
	int rc = open_images(vm, err);

	if (rc)
		return rc;
	request.kernel = arch->kernel;
	request.initrds = arch->initrds;
	request.initrd_count = arch->initrd_count;
	rc = boot_load(&request, &arch->entry, &is_linux, err);
	if (!rc)
		remark_on_host(vm, is_linux);
	return rc;
}

void x86_close_images(struct arch_vm *arch)
{
	while (arch->initrd_count)
		image_close(arch->initrds[--arch->initrd_count]);
	image_close(arch->kernel);
	arch->kernel = NULL;
}
