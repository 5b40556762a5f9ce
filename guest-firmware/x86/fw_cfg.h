/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's firmware configuration ports: select a key, then read its bytes. */
#ifndef FIRMWARE_X86_FW_CFG_H
#define FIRMWARE_X86_FW_CFG_H

#include "io.h"

#define FW_CFG_SELECT        0x510
#define FW_CFG_DATA          0x511
#define FW_CFG_KEY_RAM_SIZE  3
#define FW_CFG_KEY_CPU_COUNT 5

static inline uint64_t fw_cfg_read(uint16_t key, unsigned int size_bytes)
{
	uint64_t value = 0;
	unsigned int i;

	out16(FW_CFG_SELECT, key);
	for (i = 0; i < size_bytes; i++)
		value |= (uint64_t)in8(FW_CFG_DATA) << 8 * i;
	return value;
}

#endif
