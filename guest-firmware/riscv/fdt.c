/* SPDX-License-Identifier: Apache-2.0 */
/* The device tree, read token by token: no index, no copy. */
#include "fdt.h"
#include "string.h"

#define FDT_MAGIC 0xd00dfeed

#define TOKEN_BEGIN_NODE 1
#define TOKEN_END_NODE   2
#define TOKEN_PROPERTY   3
#define TOKEN_NOP        4

#define HEADER_TOTAL_BYTES 1
#define HEADER_STRUCTURE   2
#define HEADER_STRINGS     3
#define HEADER_RESERVATION 4

static const uint8_t *tree;

uint32_t fdt_cell(const uint8_t *cells, unsigned int index)
{
	const uint8_t *b = cells + 4 * index;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

uint64_t fdt_number(const uint8_t *cells, unsigned int index, unsigned int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 32 | fdt_cell(cells, index++);
	return value;
}

bool fdt_open(uint64_t gpa)
{
	tree = (const uint8_t *)(uintptr_t)gpa;
	if (!gpa || (gpa & 7) || fdt_cell(tree, 0) != FDT_MAGIC)
		tree = NULL;
	return tree != NULL;
}

uint64_t fdt_gpa(void)
{
	return (uintptr_t)tree;
}

uint32_t fdt_size_bytes(void)
{
	return tree ? fdt_cell(tree, HEADER_TOTAL_BYTES) : 0;
}

bool fdt_reservation(unsigned int index, uint64_t *ret_gpa, uint64_t *ret_size_bytes)
{
	const uint8_t *rows;
	unsigned int i;

	if (!tree)
		return false;
	rows = tree + fdt_cell(tree, HEADER_RESERVATION);
	for (i = 0; i <= index; i++) {
		*ret_gpa = fdt_number(rows, 4 * i, 2);
		*ret_size_bytes = fdt_number(rows, 4 * i + 2, 2);
		if (!*ret_gpa && !*ret_size_bytes)
			return false;
	}
	return true;
}

static const uint8_t *behind(const uint8_t *bytes, size_t size_bytes)
{
	return bytes + ((size_bytes + 3) & ~(size_t)3);
}

static const char *property_name(const uint8_t *property)
{
	return (const char *)tree + fdt_cell(tree, HEADER_STRINGS) + fdt_cell(property, 2);
}

static void take_cells(struct fdt_walk *walk, const uint8_t *property)
{
	const char *name = property_name(property);

	if (walk->depth > FDT_DEPTH_MAX)
		return;
	if (!strcmp(name, "#address-cells"))
		walk->cells[walk->depth - 1].address = fdt_cell(property, 3);
	else if (!strcmp(name, "#size-cells"))
		walk->cells[walk->depth - 1].size = fdt_cell(property, 3);
}

static void open_node(struct fdt_walk *walk, struct fdt_node *ret_node)
{
	ret_node->name = (const char *)walk->at + 4;
	ret_node->depth = walk->depth;
	ret_node->address_cells = 2;
	ret_node->size_cells = 1;
	if (walk->depth && walk->depth <= FDT_DEPTH_MAX) {
		ret_node->address_cells = walk->cells[walk->depth - 1].address;
		ret_node->size_cells = walk->cells[walk->depth - 1].size;
	}
	walk->at = behind(walk->at, 4 + strlen(ret_node->name) + 1);
	ret_node->properties = walk->at;
	if (walk->depth++ < FDT_DEPTH_MAX) {
		walk->cells[walk->depth - 1].address = 2;
		walk->cells[walk->depth - 1].size = 1;
	}
}

bool fdt_next(struct fdt_walk *walk, struct fdt_node *ret_node)
{
	if (!tree)
		return false;
	if (!walk->at)
		walk->at = tree + fdt_cell(tree, HEADER_STRUCTURE);
	for (;;) {
		switch (fdt_cell(walk->at, 0)) {
		case TOKEN_BEGIN_NODE:
			open_node(walk, ret_node);
			return true;
		case TOKEN_PROPERTY:
			take_cells(walk, walk->at);
			walk->at = behind(walk->at, 12 + fdt_cell(walk->at, 1));
			break;
		case TOKEN_END_NODE:
			walk->depth--;
			walk->at += 4;
			break;
		case TOKEN_NOP:
			walk->at += 4;
			break;
		default:
			return false;
		}
	}
}

const uint8_t *fdt_property(const struct fdt_node *node, const char *name, uint32_t *ret_size_bytes)
{
	const uint8_t *at = node->properties;

	for (;;) {
		uint32_t token = fdt_cell(at, 0);

		if (token == TOKEN_NOP) {
			at += 4;
			continue;
		}
		if (token != TOKEN_PROPERTY)
			return NULL;
		if (!strcmp(property_name(at), name)) {
			if (ret_size_bytes)
				*ret_size_bytes = fdt_cell(at, 1);
			return at + 12;
		}
		at = behind(at, 12 + fdt_cell(at, 1));
	}
}

bool fdt_string_is(const struct fdt_node *node, const char *property, const char *value)
{
	const uint8_t *text = fdt_property(node, property, NULL);

	return text && !strcmp((const char *)text, value);
}

bool fdt_is_compatible(const struct fdt_node *node, const char *compatible)
{
	uint32_t size_bytes, at;
	const uint8_t *list = fdt_property(node, "compatible", &size_bytes);

	for (at = 0; list && at < size_bytes; at += (uint32_t)strlen((const char *)list + at) + 1)
		if (!strcmp((const char *)list + at, compatible))
			return true;
	return false;
}

bool fdt_is_enabled(const struct fdt_node *node)
{
	const uint8_t *status = fdt_property(node, "status", NULL);

	return !status || !strcmp((const char *)status, "okay") ||
	       !strcmp((const char *)status, "ok");
}

uint32_t fdt_u32(const struct fdt_node *node, const char *property, uint32_t fallback)
{
	uint32_t size_bytes;
	const uint8_t *cells = fdt_property(node, property, &size_bytes);

	return cells && size_bytes >= 4 ? fdt_cell(cells, 0) : fallback;
}

bool fdt_reg(const struct fdt_node *node, unsigned int index, uint64_t *ret_gpa,
             uint64_t *ret_size_bytes)
{
	uint32_t size_bytes, pair = node->address_cells + node->size_cells;
	const uint8_t *cells = fdt_property(node, "reg", &size_bytes);

	if (!cells || !pair || (index + 1) * pair * 4 > size_bytes)
		return false;
	*ret_gpa = fdt_number(cells, index * pair, node->address_cells);
	*ret_size_bytes = fdt_number(cells, index * pair + node->address_cells, node->size_cells);
	return true;
}

bool fdt_find_compatible(const char *compatible, unsigned int index, struct fdt_node *ret_node)
{
	struct fdt_walk walk = { 0 };

	while (fdt_next(&walk, ret_node))
		if (fdt_is_compatible(ret_node, compatible) && fdt_is_enabled(ret_node) && !index--)
			return true;
	return false;
}

bool fdt_find_type(const char *device_type, unsigned int index, struct fdt_node *ret_node)
{
	struct fdt_walk walk = { 0 };

	while (fdt_next(&walk, ret_node))
		if (fdt_string_is(ret_node, "device_type", device_type) &&
		    fdt_is_enabled(ret_node) && !index--)
			return true;
	return false;
}

bool fdt_find_phandle(uint32_t phandle, struct fdt_node *ret_node)
{
	struct fdt_walk walk = { 0 };

	while (fdt_next(&walk, ret_node))
		if (fdt_u32(ret_node, "phandle", 0) == phandle)
			return phandle != 0;
	return false;
}

bool fdt_find_child(const char *name, struct fdt_node *ret_node)
{
	struct fdt_walk walk = { 0 };

	while (fdt_next(&walk, ret_node))
		if (ret_node->depth == 1 && !strcmp(ret_node->name, name))
			return true;
	return false;
}
