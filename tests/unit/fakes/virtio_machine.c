/* SPDX-License-Identifier: Apache-2.0 */
/* The VM by hand, and the device that takes notes. */
#include "virtio_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"
#include "fake_arch.h"
#include "fake_kvm.h"

static const unsigned int gsis[] = { MACHINE_VIRTIO_GSI, 10 };

static const struct virtio_mmio_layout mmio_layout = {
	.base_gpa = MACHINE_VIRTIO_GPA,
	.stride_bytes = 0x1000,
	.slot_count = ARRAY_SIZE(gsis),
	.gsis = gsis,
};

static const struct pci_host_layout pci_layout = {
	.ecam_gpa = MACHINE_ECAM_GPA,
	.mmio32_gpa = MACHINE_MMIO32_GPA,
	.mmio32_bytes = 256 * MIB,
	.mmio64_gpa = MACHINE_MMIO64_GPA,
	.mmio64_bytes = 1 * GIB,
	.has_io_ports = true,
	.intx_gsis = { 16, 17, 18, 19 },
};

static void must(int ret)
{
	assert(ret == 0);
	(void)ret;
}

void virtio_machine_create(struct virtio_machine *machine, enum transport_kind transport)
{
	struct vm *vm = &machine->vm;

	memset(machine, 0, sizeof(*machine));
	pthread_mutex_init(&machine->order, NULL);
	fake_kvm_reset();
	fake_arch_reset();
	machine->config.transport = transport;
	vm->config = &machine->config;
	vm->virtio_mmio = &mmio_layout;
	list_init(&vm->devices);
	vm->kvm = fake_kvm_open();
	vm->kvm_vm = fake_kvm_vm(vm->kvm);
	must(event_loop_create("io", &vm->io_loop, NULL));
	must(guest_memory_create(&vm->memory, NULL));
	must(gmem_add_region(vm->memory, 0, MACHINE_RAM_BYTES, NULL, NULL));
	must(bus_create("pio", &vm->pio));
	must(bus_create("mmio", &vm->mmio));
	must(irq_router_create(vm, FAKE_ARCH_PINS, &vm->irq, NULL));
	must(pci_host_create(vm, &pci_layout, &vm->pci, NULL));
}

void virtio_machine_destroy(struct virtio_machine *machine)
{
	struct vm *vm = &machine->vm;

	assert(fake_kvm_ioeventfd_count() == 0 && fake_kvm_irqfd_count() == 0);
	pci_host_destroy(vm->pci);
	irq_router_destroy(vm->irq);
	bus_destroy(vm->mmio);
	bus_destroy(vm->pio);
	guest_memory_destroy(vm->memory);
	event_loop_destroy(vm->io_loop);
	kvm_vm_destroy(vm->kvm_vm);
	kvm_close(vm->kvm);
	pthread_mutex_destroy(&machine->order);
	assert(fake_kvm_open_objects() == 0);
}

static void keep_order(struct vm *vm)
{
	struct virtio_machine *machine = container_of(vm, struct virtio_machine, vm);

	pthread_mutex_lock(&machine->order);
	pthread_mutex_unlock(&machine->order);
}

uint64_t machine_read(struct virtio_machine *machine, gpa_t gpa, unsigned int size_bytes)
{
	uint8_t data[8];

	memset(data, 0x5a, sizeof(data));
	bus_read(machine->vm.mmio, gpa, data, size_bytes);
	return load_le(data, size_bytes);
}

void machine_write(struct virtio_machine *machine, gpa_t gpa, uint64_t value,
                   unsigned int size_bytes)
{
	uint8_t data[8];

	store_le(data, value, size_bytes);
	keep_order(&machine->vm);
	if (!fake_kvm_guest_write(false, gpa, value, size_bytes))
		bus_write(machine->vm.mmio, gpa, data, size_bytes);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void machine_settle(struct virtio_machine *machine)
{
	for (unsigned int i = 0; i < 4; i++)
		event_loop_call(machine->vm.io_loop, nothing, NULL);
}

static struct probe *from_vdev(const struct virtio_device *vdev)
{
	return (struct probe *)(uintptr_t)vdev; /* embedded first */
}

static int probe_activate(struct virtio_device *vdev)
{
	from_vdev(vdev)->activations++;
	return from_vdev(vdev)->activate_ret;
}

static void probe_deactivate(struct virtio_device *vdev)
{
	from_vdev(vdev)->deactivations++;
}

static void probe_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct probe *probe = from_vdev(vdev);
	struct virtqueue *vq = virtio_queue(vdev, queue_index);
	struct virtq_chain chain;
	int got = 0;

	keep_order(vdev->device.vm);
	probe->notifications[queue_index]++;
	while (!probe->keep && (got = virtqueue_pop(vq, &chain)) > 0)
		virtqueue_push(vq, &chain);
	virtio_queue_flush(vdev, queue_index);
	if (got < 0)
		virtio_device_broken(vdev, "queue %u", queue_index);
}

static void probe_config_write(struct virtio_device *vdev, size_t offset, size_t size_bytes)
{
	struct probe *probe = from_vdev(vdev);

	probe->config_writes++;
	probe->config_write_offset = offset;
	probe->config_write_bytes = size_bytes;
}

static bool probe_features_ok(const struct virtio_device *vdev, uint64_t features)
{
	return !from_vdev(vdev)->refuse_a_without_b || !(features & 1U << PROBE_FEATURE_A) ||
	       (features & 1U << PROBE_FEATURE_B);
}

static const uint16_t queue_sizes[PROBE_QUEUES] = { 16, 8 };

static const struct virtio_device_info probe_info = {
	.device_id = PROBE_DEVICE_ID,
	.device_features =
		1U << PROBE_FEATURE_A | 1U << PROBE_FEATURE_B | 1U << PROBE_FEATURE_HIDDEN,
	.queue_count = PROBE_QUEUES,
	.queue_size_max = queue_sizes,
	.config_size_bytes = PROBE_CONFIG_BYTES,
};

static const struct virtio_device_ops probe_ops = {
	.activate = probe_activate,
	.deactivate = probe_deactivate,
	.queue_notify = probe_queue_notify,
	.config_write = probe_config_write,
	.features_ok = probe_features_ok,
};

struct probe *probe_create(struct virtio_machine *machine, int *ret, struct error *err)
{
	static const struct device_class probe_class = { .name = "probe" };
	const struct device_config config = { .class = &probe_class };
	const struct virtio_device_setup setup = {
		.info = &probe_info,
		.ops = &probe_ops,
		.loop = machine->vm.io_loop,
		.offered_features = 1U << PROBE_FEATURE_A | 1U << PROBE_FEATURE_B,
	};
	struct probe *probe = calloc(1, sizeof(*probe));

	assert(probe);
	*ret = virtio_device_init(&probe->vdev, &machine->vm, &config, &setup, err);
	if (*ret) {
		virtio_device_fini(&probe->vdev); /* must be harmless */
		free(probe);
		return NULL;
	}
	for (unsigned int i = 0; i < PROBE_CONFIG_BYTES; i++)
		probe->vdev.config[i] = (uint8_t)(0xc0 + i);
	return probe;
}

void probe_destroy(struct probe *probe)
{
	if (probe)
		virtio_device_fini(&probe->vdev);
	free(probe);
}
