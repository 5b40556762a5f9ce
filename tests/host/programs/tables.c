/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills memory with page tables, which a kernel cannot move: tables MIB SECONDS-TO-HOLD. One word
 * in each 2 MiB of its addresses costs a page and a table. Runs in the guest.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP  (2ul << 20)
#define TABLE 4096ul

int main(int argc, char **argv)
{
	size_t tables, index;
	unsigned char *memory;

	if (argc < 3)
		return 2;
	tables = (strtoul(argv[1], NULL, 10) << 20) / TABLE;
	memory = mmap(NULL, tables * STEP, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || madvise(memory, tables * STEP, MADV_NOHUGEPAGE)) {
		perror("tables");
		return 1;
	}
	for (index = 0; index < tables; index++)
		*(volatile size_t *)(memory + index * STEP) = index;
	printf("tables filled %zu MiB\n", tables * TABLE >> 20);
	fflush(stdout);
	sleep((unsigned int)strtoul(argv[2], NULL, 10));
	return 0;
}
