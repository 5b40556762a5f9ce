/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine gives up once it is set up, and the threads that it makes then.
 *
 * DOC: the main thread is the only one until machine_give_up. That gives up all that is not needed
 * any more, and then lets the loops go; each thread enters its own list of system calls first of
 * all (sandbox.c). The main thread does so in vm_run, behind the vCPUs' threads. The trace's thread
 * is made by the reclaim loop's, whose list it inherits.
 *
 * Syscalls: none after set-up
 */
#include "machine_sandbox.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ebb/config.h"
#include "ebb/event_loop.h"
#include "ebb/log.h"
#include "ebb/reclaim.h"

int machine_find_user(struct vm *vm, struct sandbox_user *room, struct error *err)
{
	const char *name = vm->config->user_name;

	if (!name)
		return 0;
	if (geteuid() != 0)
		return error_set(err, -EPERM,
		                 "--user %s: only root can become another user (run ebb as that "
		                 "user)",
		                 name);
	if (sandbox_find_user(name, room, err) < 0) {
		error_prefix(err, "--user");
		return -EINVAL;
	}
	vm->user = room;
	return 0;
}

static void enter_sandbox(struct vm *vm, enum sandbox_thread kind)
{
	struct error err = ERROR_INIT;

	if (sandbox_enter(kind, vm->pid, &err) >= 0)
		return;
	log_error(vm->log, "%s", err.message);
	vm_request_end(vm, VM_END_HOST_FAILURE, 0);
}

static void io_begins(void *ctx)
{
	enter_sandbox(ctx, SANDBOX_IO);
}

static void reclaim_begins(void *ctx)
{
	enter_sandbox(ctx, SANDBOX_RECLAIM);
}

/* Memory that is plugged later is locked by who has no capability any more: within the limit, which
 * root may lift. Whom the host does not let has that memory refused, and counted. */
static void keep_right_to_lock(const struct vm_config *config)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	if (config->memory.backing.lock)
		(void)setrlimit(RLIMIT_MEMLOCK, &none);
}

int machine_give_up(struct vm *vm, int folder_fd, struct error *err)
{
	const struct sandbox_needs needs = {
		.user = vm->user,
		.files = SANDBOX_FILES_REMOVE, /* the name's, at the end */
		.folder_fd = folder_fd,
		.log = vm->log,
	};
	int ret;

	if (!vm->config->sandbox) {
		log_warn(vm->log, "--no-sandbox: a guest that breaks out of ebb has all that this "
		                  "user has");
		return 0;
	}
	reclaim_open_files(vm->reclaim);
	keep_right_to_lock(vm->config);
	ret = sandbox_give_up(&needs, err);
	if (ret)
		return ret;
	vm->sandboxed = true;
	vm->pid = getpid();
	ret = event_loop_let_go(vm->io_loop, io_begins, vm);
	if (!ret)
		ret = event_loop_let_go(vm->reclaim_loop, reclaim_begins, vm);
	return ret ? error_set_errno(err, ret, "threads") : 0;
}

struct trace_start {
	struct vm *vm;
	struct error *err;
	int ret;
};

static void start_trace(void *ctx)
{
	struct trace_start *start = ctx;

	start->ret = reclaim_trace_start_prepared(start->vm->reclaim, start->vm->log, start->err);
}

int machine_start_trace(struct vm *vm, struct error *err)
{
	struct trace_start start = { .vm = vm, .err = err };
	const struct vm_config *config = vm->config;

	if (config->trace_reclaim_path)
		event_loop_call(vm->reclaim_loop, start_trace, &start);
	if (!start.ret && config->trace_reclaim_limit_bytes)
		reclaim_trace_set_limit(vm->reclaim, config->trace_reclaim_limit_bytes);
	return start.ret;
}
