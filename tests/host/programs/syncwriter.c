/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes records that are synced one by one, and says of each that it is; or looks whether all of
 * them are there.
 *
 *   syncwriter write FOLDER ROUND          until it is stopped: "synced ROUND NUMBER" for each
 * record syncwriter verify FOLDER ROUND NUMBER  all up to NUMBER are there and whole
 *
 * A record is 4 KiB in FOLDER/ROUND-FILE, of PER_FILE each; a new file's folder is synced as well.
 * Writes in a guest; verifies on the host.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_BYTES = 4096, WORDS = RECORD_BYTES / 8, PER_FILE = 32 };

static void fill(uint64_t *record, uint64_t round, uint64_t number)
{
	uint64_t state = (round << 32) + number + 1;
	size_t index;

	record[0] = round;
	record[1] = number;
	for (index = 2; index < WORDS; index++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		record[index] = state;
	}
}

static int open_file(const char *folder, uint64_t round, uint64_t number, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%llu-%llu", folder, (unsigned long long)round,
	         (unsigned long long)(number / PER_FILE));
	return open(path, flags | O_CLOEXEC, 0600);
}

static int die(const char *what)
{
	printf("syncwriter fails: %s: %s\n", what, strerror(errno));
	return 1;
}

static int sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int status = fd < 0 || fsync(fd) < 0;

	if (fd >= 0)
		close(fd);
	return status;
}

static int write_records(const char *folder, uint64_t round)
{
	uint64_t record[WORDS], number;
	int fd = -1;

	for (number = 0;; number++) {
		if (number % PER_FILE == 0) {
			if (fd >= 0)
				close(fd);
			fd = open_file(folder, round, number, O_WRONLY | O_CREAT | O_EXCL);
			if (fd < 0 || sync_folder(folder))
				return die("a new file");
		}
		fill(record, round, number);
		if (write(fd, record, sizeof(record)) != (ssize_t)sizeof(record))
			return die("write");
		if (number % 2 ? fsync(fd) : fdatasync(fd))
			return die("fsync");
		printf("synced %llu %llu\n", (unsigned long long)round, (unsigned long long)number);
		fflush(stdout);
	}
}

static int verify_records(const char *folder, uint64_t round, uint64_t last)
{
	uint64_t record[WORDS], found[WORDS], number;
	int fd = -1;

	for (number = 0; number <= last; number++) {
		if (number % PER_FILE == 0) {
			if (fd >= 0)
				close(fd);
			fd = open_file(folder, round, number, O_RDONLY);
		}
		fill(record, round, number);
		if (fd < 0 || read(fd, found, sizeof(found)) != (ssize_t)sizeof(found) ||
		    memcmp(record, found, sizeof(found)) != 0) {
			printf("record %llu of round %llu is not there\n",
			       (unsigned long long)number, (unsigned long long)round);
			return 1;
		}
	}
	printf("verified %llu\n", (unsigned long long)number);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		return write_records(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 5 && strcmp(argv[1], "verify") == 0)
		return verify_records(argv[2], strtoull(argv[3], NULL, 10),
		                      strtoull(argv[4], NULL, 10));
	return 2;
}
