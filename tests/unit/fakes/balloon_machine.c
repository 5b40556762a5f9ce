/* SPDX-License-Identifier: Apache-2.0 */
/* A balloon in a VM by hand: balloon_machine.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "balloon_machine.h"

int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_reclaim_host_reset();
	fake_transport_clear();
	fake_vm_clear();
	f->vm.config = &f->vm_config;
	list_init(&f->vm.devices);
	assert_int_equal(guest_memory_create(&f->vm.memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->vm.memory, 0, RAM_BYTES,
	                                 &(struct gmem_backing){ .thp = true }, NULL),
	                 0);
	assert_int_equal(reclaim_create(f->vm.memory, &f->vm.reclaim, NULL), 0);
	assert_int_equal(event_loop_create("reclaim", &f->vm.reclaim_loop, NULL), 0);
	f->config.class = &virtio_balloon_class;
	*state = f;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_balloon_class.destroy(f->device);
	assert_null(f->vm.balloon);
	event_loop_destroy(f->vm.reclaim_loop);
	reclaim_destroy(f->vm.reclaim);
	guest_memory_destroy(f->vm.memory);
	free(f);
	return 0;
}

void create(struct fixture *f)
{
	struct error err = ERROR_INIT;

	assert_int_equal(virtio_balloon_class.create(&f->vm, &f->config, &f->device, &err), 0);
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
}

void start(struct fixture *f, uint64_t features)
{
	unsigned int queues = 2 + !!(features & FEATURE(STATS_VQ)) +
	                      !!(features & FEATURE(FREE_PAGE_HINT)) +
	                      !!(features & FEATURE(REPORTING));

	if (!f->device)
		create(f);
	assert_true(fake_driver_start(&f->driver, features, queues, 128));
}

uint8_t *hva(struct fixture *f, gpa_t gpa)
{
	return gmem_span(f->vm.memory, gpa, 1);
}

void touch(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	for (uint64_t offset = 0; offset < size_bytes; offset += PAGE)
		*hva(f, gpa + offset) = 0x5a;
}

struct reclaim_source_stats stats_of(struct fixture *f, enum reclaim_source source)
{
	struct reclaim_stats stats;

	reclaim_query(f->vm.reclaim, &stats);
	return stats.sources[source];
}

struct balloon_status status(struct fixture *f)
{
	struct balloon_status status;

	balloon_query(f->vm.balloon, &status);
	return status;
}

void store_pfns(struct fixture *f, gpa_t at, uint32_t first, int step, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		store_le32(hva(f, at + i * 4), first + (uint32_t)((int)i * step));
}

void add_pfns(struct fixture *f, unsigned int queue, gpa_t at, uint32_t size_bytes)
{
	fake_driver_add(&f->driver, queue, &(struct fake_driver_buffer){ at, size_bytes, false },
	                1);
}

unsigned int take_all_used(struct fixture *f, unsigned int queue)
{
	unsigned int count = 0;
	uint32_t head, size_bytes;

	while (fake_driver_take_used(&f->driver, queue, &head, &size_bytes)) {
		assert_int_equal(size_bytes, 0);
		count++;
	}
	return count;
}

unsigned int release_calls(void)
{
	return fake_reclaim_host.madvise_calls + fake_reclaim_host.vector_calls;
}

void write_config(struct fixture *f, size_t offset, uint32_t value)
{
	uint8_t bytes[4];

	store_le32(bytes, value);
	virtio_config_write(f->driver.vdev, offset, bytes, sizeof(bytes));
}

uint32_t read_config(struct fixture *f, size_t offset)
{
	uint8_t bytes[4];

	virtio_config_read(f->driver.vdev, offset, bytes, sizeof(bytes));
	return load_le32(bytes);
}
