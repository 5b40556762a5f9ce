/* SPDX-License-Identifier: Apache-2.0 */
/* Has the images that the configuration names loaded, at the start and again at each reset. */
#include <unistd.h>

#include "ebb/log.h"
#include "x86.h"

/* A KVM whose guests' kernels run in its instruction emulator: fine for small guests, far too slow
 * for Linux. */
#define PVM_MODULE_PATH "/sys/module/kvm_pvm"

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
		.default_params = vm_config_default_params(vm->config),
	};
	bool is_linux = false;
	int rc = image_set_open(&arch->images, vm->config, err);

	if (rc)
		return rc;
	request.kernel = arch->images.kernel;
	request.initrds = arch->images.initrds;
	request.initrd_count = arch->images.initrd_count;
	rc = boot_load(&request, &arch->entry, &is_linux, err);
	if (!rc)
		remark_on_host(vm, is_linux);
	return rc;
}
