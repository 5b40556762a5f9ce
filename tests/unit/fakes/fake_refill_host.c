/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/reclaim_refill_host.c: does the same, counts, and fails when told. */
#include "fake_refill_host.h"

#include <errno.h>
#include <string.h>

/* The real ones, under other names. */
#define refill_host_open_device  real_open_device
#define refill_host_new          real_new
#define refill_host_open_syscall real_open_syscall
#define refill_host_handshake    real_handshake
#define refill_host_register     real_register
#define refill_host_unregister   real_unregister
#define refill_host_wake         real_wake
#define refill_host_copy         real_copy
#define refill_host_move         real_move
#define refill_host_next         real_next
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#include "../../../src/reclaim_refill_host.c"
#pragma GCC diagnostic pop
#undef refill_host_open_device
#undef refill_host_new
#undef refill_host_open_syscall
#undef refill_host_handshake
#undef refill_host_register
#undef refill_host_unregister
#undef refill_host_wake
#undef refill_host_copy
#undef refill_host_move
#undef refill_host_next

struct fake_refill_host fake_refill_host;

void fake_refill_host_reset(void)
{
	memset(&fake_refill_host, 0, sizeof(fake_refill_host));
}

/* 0: go on. */
static int verdict(enum fake_refill_call call)
{
	struct fake_refill_host *fake = &fake_refill_host;
	unsigned int number = ++fake->all_calls;
	int error = number == fake->fail_at ? fake->fail_with : fake->errors[call];

	fake->calls[call]++;
	if (error && fake->errors[call] && fake->rounds[call] && --fake->rounds[call] == 0)
		fake->errors[call] = 0;
	fake->failures += error != 0;
	return error;
}

int refill_host_open_device(void)
{
	int r = verdict(FAKE_OPEN_DEVICE);

	return r ? r : real_open_device();
}

int refill_host_new(int device_fd)
{
	return real_new(device_fd);
}

int refill_host_open_syscall(void)
{
	int r = verdict(FAKE_OPEN_SYSCALL);

	return r ? r : real_open_syscall();
}

int refill_host_handshake(int fd, uint64_t *ret_features)
{
	int r = verdict(FAKE_HANDSHAKE);

	if (!r)
		r = real_handshake(fd, ret_features);
	if (fake_refill_host.no_move)
		*ret_features &= ~REFILL_HOST_MOVE;
	if (fake_refill_host.no_shared)
		*ret_features &= ~REFILL_HOST_SHARED;
	return r;
}

/* The first half of size_bytes, or a page of it, where there is more than one. */
static size_t half_of(size_t size_bytes)
{
	return fake_refill_host.half ? align_down(size_bytes / 2, PAGE_4K_BYTES) : 0;
}

int refill_host_register(int fd, void *hva, size_t size_bytes)
{
	int r = verdict(FAKE_REGISTER);

	if (!r)
		return real_register(fd, hva, size_bytes);
	if (half_of(size_bytes))
		(void)!real_register(fd, hva, half_of(size_bytes));
	return r;
}

int refill_host_unregister(int fd, void *hva, size_t size_bytes)
{
	int r = verdict(FAKE_UNREGISTER);

	return r ? r : real_unregister(fd, hva, size_bytes);
}

int refill_host_wake(int fd, void *hva, size_t size_bytes)
{
	int r = verdict(FAKE_WAKE);

	return r ? r : real_wake(fd, hva, size_bytes);
}

ssize_t refill_host_copy(int fd, void *hva, const void *source, size_t size_bytes)
{
	int r = verdict(FAKE_COPY);

	if (!r)
		return real_copy(fd, hva, source, size_bytes);
	return half_of(size_bytes) ? real_copy(fd, hva, source, half_of(size_bytes)) : r;
}

ssize_t refill_host_move(int fd, void *hva, void *source, size_t size_bytes)
{
	int r = verdict(FAKE_MOVE);

	if (!r)
		return real_move(fd, hva, source, size_bytes);
	return half_of(size_bytes) ? real_move(fd, hva, source, half_of(size_bytes)) : r;
}

int refill_host_next(int fd, uintptr_t *ret_hva)
{
	return real_next(fd, ret_hva);
}
