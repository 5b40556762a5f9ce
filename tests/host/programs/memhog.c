/* SPDX-License-Identifier: Apache-2.0 */
/* Touches memory and lets go of it: memhog MIB [SECONDS-TO-HOLD]. Runs in the guest. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size_bytes, offset;
	unsigned char *memory;

	if (argc < 2)
		return 2;
	size_bytes = strtoul(argv[1], NULL, 10) << 20;
	memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("memhog");
		return 1;
	}
	for (offset = 0; offset < size_bytes; offset += 4096)
		*(volatile size_t *)(memory + offset) = offset ^ 0x5aa5;
	printf("memhog touched %zu MiB\n", size_bytes >> 20);
	fflush(stdout);
	if (argc > 2)
		sleep((unsigned int)strtoul(argv[2], NULL, 10));
	return 0;
}
