/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ebb gives up once it is set up: capabilities, new privileges, system calls it has no use
 * for, files. By thread: each enters the sandbox by itself, with the list of its kind.
 *
 * The lists are generated from the sources: a line ` * Syscalls: KIND[,KIND…]: name name …` in a
 * comment of the file that makes the call (KIND as below; `all` for every one). A thread made by
 * one that is inside is inside with the same list.
 */
#ifndef EBB_SANDBOX_H
#define EBB_SANDBOX_H

#include "ebb/error.h"
#include "ebb/types.h"

struct sandbox;

enum sandbox_thread {
	SANDBOX_MAIN,    /* "main" */
	SANDBOX_IO,      /* "io" */
	SANDBOX_RECLAIM, /* "reclaim" */
	SANDBOX_VCPU,    /* "vcpu" */
	SANDBOX_SHARE,   /* "share": a process of its own, that serves one folder */
	SANDBOX_THREAD_COUNT
};

#endif
