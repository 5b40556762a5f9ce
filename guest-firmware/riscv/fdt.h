/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the flattened device tree (Devicetree Specification 0.4, chapter 5) where it lies. */
#ifndef FIRMWARE_RISCV_FDT_H
#define FIRMWARE_RISCV_FDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FDT_DEPTH_MAX 8

struct fdt_node {
	const char *name;
	unsigned int depth;                 /* the root is at 0 */
	uint32_t address_cells, size_cells; /* the parent's: they give reg its shape */
	const uint8_t *properties;
};

/* A walk over all nodes in the tree's order; starts zeroed. */
struct fdt_walk {
	const uint8_t *at;
	unsigned int depth; /* of the open node, counting from 1 */
	struct {
		uint32_t address, size;
	} cells[FDT_DEPTH_MAX];
};

/* False where there is no tree; every function below then finds nothing. */
bool fdt_open(uint64_t gpa);
uint64_t fdt_gpa(void);
uint32_t fdt_size_bytes(void);
/* The index-th entry of the memory reservation block. */
bool fdt_reservation(unsigned int index, uint64_t *ret_gpa, uint64_t *ret_size_bytes);

bool fdt_next(struct fdt_walk *walk, struct fdt_node *ret_node);
/* NULL when the node has no such property. */
const uint8_t *fdt_property(const struct fdt_node *node, const char *name,
                            uint32_t *ret_size_bytes);
bool fdt_string_is(const struct fdt_node *node, const char *property, const char *value);
bool fdt_is_compatible(const struct fdt_node *node, const char *compatible);
bool fdt_is_enabled(const struct fdt_node *node);
/* The first cell of a property, or fallback. */
uint32_t fdt_u32(const struct fdt_node *node, const char *property, uint32_t fallback);
/* The index-th (address, size) pair of reg. */
bool fdt_reg(const struct fdt_node *node, unsigned int index, uint64_t *ret_gpa,
             uint64_t *ret_size_bytes);

/* The index-th enabled node with this word in its "compatible". */
bool fdt_find_compatible(const char *compatible, unsigned int index, struct fdt_node *ret_node);
/* The index-th enabled node of this "device_type". */
bool fdt_find_type(const char *device_type, unsigned int index, struct fdt_node *ret_node);
bool fdt_find_phandle(uint32_t phandle, struct fdt_node *ret_node);
/* A child of the root. */
bool fdt_find_child(const char *name, struct fdt_node *ret_node);

/* Cells are big endian. */
uint32_t fdt_cell(const uint8_t *cells, unsigned int index);
uint64_t fdt_number(const uint8_t *cells, unsigned int index, unsigned int count);

#endif
