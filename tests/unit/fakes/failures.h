/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host calls that fail on demand: allocation, descriptors, mappings, threads. A test that uses it
 * has the linker send them here:
 *
 *	fakes: failures
 *	wraps: malloc calloc realloc reallocarray strdup mmap pthread_create
 *	wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create
 *
 * Only calls of the arming thread count, and of ebb's code: a library's own are not wrapped.
 */
#ifndef FAILURES_H
#define FAILURES_H

#include "ebb/error.h"
#include "ebb/types.h"
#include "open_fds.h"

/* The nth call from now (0: the next) fails, once: with ENOMEM, EMFILE or EAGAIN as fits it. */
void failures_arm(unsigned int n);
bool failures_disarm(void); /* whether that call came */

/*
 * Creates and destroys once for each call that can fail, with that one failing. A create that fails
 * must say why, and nobody may leave a descriptor; memory is the leak checker's. Returns how many
 * creates failed; a create may also do without.
 */
typedef int (*failures_create_fn)(void *ctx, struct error *err);
unsigned int failures_run(failures_create_fn create, void (*destroy)(void *ctx), void *ctx);

#endif
