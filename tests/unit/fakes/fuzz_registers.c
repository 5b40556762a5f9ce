/* SPDX-License-Identifier: Apache-2.0 */
/* Register accesses out of a fuzzer's bytes. */
#include "fuzz_registers.h"

#include <string.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"

bool fuzz_next_access(const uint8_t **data, size_t *left_bytes, const struct fuzz_area *areas,
                      unsigned int area_count, struct fuzz_access *ret_access)
{
	const uint8_t *bytes = *data;
	unsigned int value_bytes;

	if (*left_bytes < 4)
		return false;
	*ret_access = (struct fuzz_access){
		.is_write = bytes[0] & 4,
		.area = bytes[1] % area_count,
		.size_bytes = 1U << (bytes[0] & 3),
	};
	ret_access->offset = load_le16(bytes + 2) % areas[ret_access->area].size_bytes;
	if (areas[ret_access->area].is_port && ret_access->size_bytes == 8)
		ret_access->size_bytes = 4;
	value_bytes = ret_access->is_write ? ret_access->size_bytes : 0;
	if (*left_bytes - 4 < value_bytes)
		return false;
	ret_access->value = load_le(bytes + 4, value_bytes);
	*data += 4 + value_bytes;
	*left_bytes -= 4 + value_bytes;
	return true;
}

void fuzz_access(struct virtio_machine *machine, const struct fuzz_area *areas,
                 const struct fuzz_access *access)
{
	uint64_t base = areas[access->area].base + access->offset;
	uint8_t data[8];

	store_le64(data, access->value);
	if (!areas[access->area].is_port && access->is_write)
		machine_write(machine, base, access->value, access->size_bytes);
	else if (!areas[access->area].is_port)
		machine_read(machine, base, access->size_bytes);
	else if (access->is_write)
		bus_write(machine->vm.pio, base, data, access->size_bytes);
	else
		bus_read(machine->vm.pio, base, data, access->size_bytes);
}

void fuzz_transport(struct virtio_machine *machine, struct probe *probe,
                    const struct fuzz_area *areas, unsigned int area_count, const uint8_t *data,
                    size_t size_bytes)
{
	struct fuzz_access access;

	while (fuzz_next_access(&data, &size_bytes, areas, area_count, &access)) {
		if (access.area == area_count - 1 && access.is_write)
			(void)!gmem_write(machine->vm.memory, access.offset, &access.value,
			                  access.size_bytes);
		else
			fuzz_access(machine, areas, &access);
	}
	probe->vdev.device.reset(&probe->vdev.device);
}
