/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a TAP interface that stays: maketap NAME [QUEUES [UID]]. What `ip tuntap add NAME mode
 * tap [multi_queue] [user UID]` does, for hosts whose ip knows no tuntap. Runs beside ebb.
 */

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct ifreq request;
	int fd;

	if (argc < 2 || strlen(argv[1]) >= sizeof(request.ifr_name))
		return 2;
	memset(&request, 0, sizeof(request));
	strcpy(request.ifr_name, argv[1]);
	request.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (argc > 2 && atoi(argv[2]) > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		perror("maketap: /dev/net/tun");
		return 1;
	}
	if (ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETPERSIST, 1)) {
		perror("maketap");
		return 1;
	}
	if (argc > 3 && ioctl(fd, TUNSETOWNER, strtoul(argv[3], NULL, 10))) {
		perror("maketap: owner");
		return 1;
	}
	return 0;
}
