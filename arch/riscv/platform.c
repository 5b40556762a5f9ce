/* SPDX-License-Identifier: Apache-2.0 */
/* The machine around the harts: interrupt controller, serial port, PCI host, the images it boots,
 * and their description for the guest. */
/* Syscalls: main: getrandom */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "ebb/device.h"
#include "ebb/guest_memory.h"
#include "ebb/numa.h"
#include "ebb/virtio.h"
#include "fdt.h"
#include "layout.h"
#include "riscv.h"
#include "sbi.h"

#define PARAMS_MAX_BYTES 4096

#define MMIO_GSIS_4(n) \
	RISCV_IRQ_VIRTIO_MMIO + (n), RISCV_IRQ_VIRTIO_MMIO + (n) + 1, \
		RISCV_IRQ_VIRTIO_MMIO + (n) + 2, RISCV_IRQ_VIRTIO_MMIO + (n) + 3

static const unsigned int virtio_mmio_gsis[RISCV_VIRTIO_MMIO_SLOTS] = {
	MMIO_GSIS_4(0),  MMIO_GSIS_4(4),  MMIO_GSIS_4(8),  MMIO_GSIS_4(12),
	MMIO_GSIS_4(16), MMIO_GSIS_4(20), MMIO_GSIS_4(24), MMIO_GSIS_4(28),
};

static const struct virtio_mmio_layout virtio_mmio_layout = {
	.base_gpa = RISCV_VIRTIO_MMIO_GPA,
	.stride_bytes = RISCV_VIRTIO_MMIO_STRIDE,
	.slot_count = RISCV_VIRTIO_MMIO_SLOTS,
	.gsis = virtio_mmio_gsis,
};

static int create_pci_host(struct vm *vm, struct error *err)
{
	vm->arch->pci_layout = (struct pci_host_layout){
		.ecam_gpa = RISCV_PCI_ECAM_GPA,
		.mmio32_gpa = RISCV_PCI_MMIO32_GPA,
		.mmio32_bytes = RISCV_PCI_MMIO32_BYTES,
		.intx_gsis = { RISCV_IRQ_PCI_INTX, RISCV_IRQ_PCI_INTX + 1, RISCV_IRQ_PCI_INTX + 2,
		               RISCV_IRQ_PCI_INTX + 3 },
	};
	return pci_host_create(vm, &vm->arch->pci_layout, &vm->pci, err);
}

static int create_serial(struct vm *vm, struct error *err)
{
	struct device_config config;

	device_config_init(&config, "serial-16550");
	device_config_set_number(&config, "mmio", 1);
	device_config_set_number(&config, "base", RISCV_SERIAL_GPA);
	device_config_set_number(&config, "gsi", RISCV_IRQ_SERIAL);
	return device_create(vm, &config, err);
}

int riscv_platform_create(struct vm *vm, struct error *err)
{
	int rc = riscv_irqchip_init(vm, err);
	struct device_config pvpanic;

	if (rc)
		return rc;
	rc = sbi_create(vm->memory, vm->console, &vm->arch->sbi);
	if (rc)
		return error_set_errno(err, rc, "SBI");
	vm->virtio_mmio = &virtio_mmio_layout;
	rc = create_serial(vm, err);
	if (rc || vm->config->transport != TRANSPORT_PCI)
		return rc;
	rc = create_pci_host(vm, err);
	if (rc)
		return rc;
	device_config_init(&pvpanic, "pvpanic");
	return device_create(vm, &pvpanic, err);
}

void riscv_platform_destroy(struct vm *vm)
{
	pci_host_destroy(vm->pci);
	vm->pci = NULL;
	vm->virtio_mmio = NULL;
	if (!vm->arch)
		return;
	sbi_destroy(vm->arch->sbi);
	vm->arch->sbi = NULL;
	riscv_irqchip_fini(vm);
}

int riscv_load_images(struct vm *vm, struct error *err)
{
	struct arch_vm *arch = vm->arch;
	int rc = image_set_open(&arch->images, vm->config, err);
	const struct boot_request request = {
		.memory = vm->memory,
		.ram_bytes = vm->config->memory.size_bytes,
		.kernel = arch->images.kernel,
		.initrds = arch->images.initrds,
		.initrd_count = arch->images.initrd_count,
	};

	return rc ? rc : boot_load(&request, &arch->entry, err);
}

/* With a console, the kernel is heard from its first line on. */
static int join_params(const struct vm_config *config, char *text, struct error *err)
{
	const char *console = vm_config_default_params(config);
	const char *params = config->params ? config->params : "";
	int length = snprintf(text, PARAMS_MAX_BYTES, "%s%s%s%s", *console ? "earlycon=sbi " : "",
	                      console, *console && *params ? " " : "", params);

	if (length < PARAMS_MAX_BYTES)
		return 0;
	return error_set(err, -EINVAL, "--params: the command line has %d bytes, the limit is %d",
	                 length, PARAMS_MAX_BYTES - 1);
}

int riscv_platform_describe(struct vm *vm, struct error *err)
{
	const struct arch_vm *arch = vm->arch;
	uint8_t seed[FDT_SEED_BYTES];
	char params[PARAMS_MAX_BYTES];
	struct numa_map map;
	struct fdt_config config = {
		.cpu_count = vm->config->cpu_count,
		.numa = &map,
		.isa = &arch->isa,
		.params = params,
		.initrd_gpa = arch->entry.initrd_gpa,
		.initrd_bytes = arch->entry.initrd_bytes,
		.has_aia = arch->aia != NULL,
		.aia_ids = arch->aia_ids,
		.pci = vm->pci ? &arch->pci_layout : NULL,
		.devices = &vm->devices,
	};
	int rc = join_params(vm->config, params, err);
	size_t bytes;
	uint8_t *fdt;

	if (!rc)
		rc = numa_map(vm->config, &map, err);
	if (rc)
		return rc;
	fdt = malloc(RISCV_FDT_BYTES);
	if (!fdt)
		return error_set_errno(err, -ENOMEM, "FDT");
	/* A host that has no randomness yet must not hold up the guest. */
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		config.seed = seed;
	rc = fdt_build(&config, fdt, RISCV_FDT_BYTES, &bytes);
	if (!rc)
		rc = gmem_write(vm->memory, arch->entry.fdt_gpa, fdt, bytes);
	free(fdt);
	return rc ? error_set_errno(err, rc, "FDT") : 0;
}
