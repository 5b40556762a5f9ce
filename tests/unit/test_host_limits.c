/* SPDX-License-Identifier: Apache-2.0 */
/* What the host allows against what a configuration takes: memory, descriptors, and the texts of
 * limits that were met. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "../../src/host_limits.h"
#include "ebb/control.h"
#include "ebb/device.h"

static struct vm_config config;
static struct error err;

static struct device_config *add_device(const char *class, const char *key, uint64_t number)
{
	struct device_config *device = vm_config_device(&config, device_class_find(class));

	assert_non_null(device);
	if (key)
		device_config_set_number(device, key, number);
	return device;
}

static void fresh(void)
{
	vm_config_init(&config);
	config.memory.size_bytes = 512 * MIB;
	err = (struct error)ERROR_INIT;
}

static int judge(uint64_t limit_bytes, bool soft)
{
	struct cgroup_limit limit = { .value = limit_bytes, .path = "/the/file" };
	struct cgroup_memory group = { .max = { .value = UINT64_MAX },
		                       .high = { .value = UINT64_MAX } };

	*(soft ? &group.high : &group.max) = limit;
	err = (struct error)ERROR_INIT;
	return host_limits_judge_memory(&config, &group, &err);
}

static void test_memory_fits(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(host_limits_own_bytes(512 * MIB), 10 * MIB);
	assert_int_equal(judge(522 * MIB, false), 0);
	assert_string_equal(err.message, "");
	assert_int_equal(judge(522 * MIB - 1, false), 1);
	assert_int_equal(judge(UINT64_MAX, false), 0);
}

static void test_memory_on_demand(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(judge(256 * MIB, false), 1);
	assert_int_equal(err.code, 0);
	assert_string_equal(err.message,
	                    "memory: 512M of RAM and 10M of ebb's own do not fit into the 256M "
	                    "that this control group may use: a guest that uses it all is ended "
	                    "by the host (ask for less, or raise /the/file)");
	assert_int_equal(judge(256 * MIB, true), 1);
	assert_non_null(strstr(err.message, "is slowed down by the host"));
}

static void test_memory_pluggable(void **state)
{
	(void)state;
	fresh();
	add_device("virtio-mem", "size", 8 * GIB);
	assert_int_equal(judge(GIB, false), 1);
	assert_non_null(strstr(err.message, "512M of RAM, 8G of virtio-mem and 42M of ebb's own"));
	assert_non_null(strstr(err.message, "into the 1G that"));
	assert_int_equal(judge(9 * GIB, false), 0);
	/* Docker's and Kubernetes' round numbers are no powers of two. */
	assert_int_equal(judge(UINT64_C(1000000000), false), 1);
	assert_non_null(strstr(err.message, "into the 954M that"));
}

static void test_memory_at_once(void **state)
{
	(void)state;
	fresh();
	config.memory.backing.prealloc = true;
	assert_int_equal(judge(521 * MIB, false), -ENOMEM);
	assert_int_equal(err.code, -ENOMEM);
	assert_string_equal(err.message,
	                    "--mem 512M,prealloc: with 10M of ebb's own it does not fit into the "
	                    "521M of memory that this control group may use (ask for less, leave "
	                    "out prealloc, or raise /the/file)");
	assert_int_equal(judge(522 * MIB, false), 0);
	/* What only slows down is no reason to refuse; and what is plugged later is not taken now.
	 */
	assert_int_equal(judge(100 * MIB, true), 1);
	add_device("virtio-mem", "size", 8 * GIB);
	assert_int_equal(judge(522 * MIB, false), 1);
	config.memory.backing.prealloc = false;
	config.memory.backing.lock = true;
	assert_int_equal(judge(500 * MIB, false), -ENOMEM);
	assert_non_null(strstr(err.message, "--mem 512M,lock: "));
}

/* What slows down comes first, and what ends is certain all the same. */
static void test_memory_at_once_with_both(void **state)
{
	const struct cgroup_memory group = { .max = { .value = 500 * MIB, .path = "/the/max" },
		                             .high = { .value = 400 * MIB, .path = "/the/high" } };

	(void)state;
	fresh();
	config.memory.backing.prealloc = true;
	assert_int_equal(host_limits_judge_memory(&config, &group, &err), -ENOMEM);
	assert_non_null(strstr(err.message, "into the 500M of memory"));
	assert_non_null(strstr(err.message, "raise /the/max)"));
	fresh();
	assert_int_equal(host_limits_judge_memory(&config, &group, &err), 1);
	assert_non_null(strstr(err.message, "into the 400M that"));
	assert_non_null(strstr(err.message, "is slowed down by the host"));
	assert_non_null(strstr(err.message, "raise /the/high)"));
}

static void test_memory_elsewhere(void **state)
{
	(void)state;
	fresh();
	config.memory.backing.prealloc = true;
	config.memory.backing.kind = GMEM_HUGETLB;
	assert_int_equal(judge(MIB, false), 0);
	config.memory.backing.kind = GMEM_FILE;
	assert_int_equal(judge(MIB, false), 0);
	config.memory.backing.kind = GMEM_MEMFD;
	assert_int_equal(judge(MIB, false), -ENOMEM);
}

static void test_descriptors(void **state)
{
	uint64_t plain, four, net, queues;

	(void)state;
	fresh();
	plain = host_limits_descriptors(&config);
	config.cpu_count = 4;
	four = host_limits_descriptors(&config);
	assert_int_equal(four - plain, 3 * 2);
	add_device("virtio-net", NULL, 0);
	net = host_limits_descriptors(&config);
	add_device("virtio-net", "queues", 8);
	queues = host_limits_descriptors(&config);
	assert_true(net > four);
	assert_int_equal(queues - net, net - four + 7 * 8);
	/* A client passes descriptors beside having a socket. */
	assert_true(plain > CONTROL_CLIENTS_MAX * 6);
	/* What every host allows is enough for what most run. */
	assert_true(plain < 256);
}

static void limit_to(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_raises_descriptors(void **state)
{
	struct rlimit now;
	uint64_t wanted;

	(void)state;
	fresh();
	config.memory.backing.kind = GMEM_FILE; /* memory is no part of this */
	wanted = host_limits_descriptors(&config);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_true(now.rlim_max > wanted + 1);
	limit_to(wanted + 1, now.rlim_max);
	assert_int_equal(host_limits_apply(&config, NULL, &err), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, wanted + 1); /* never lowered */
	limit_to(64, now.rlim_max);
	assert_int_equal(host_limits_apply(&config, NULL, &err), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(now.rlim_cur, wanted);
	limit_to(64, 64); /* for good */
	assert_int_equal(host_limits_apply(&config, NULL, &err), -EMFILE);
	assert_non_null(strstr(err.message, "file descriptors, and the host's hard limit is 64 "
	                                    "(raise `ulimit -n`"));
}

static void test_explains(void **state)
{
	(void)state;
	host_limits_explain(NULL);
	err = (struct error)ERROR_INIT;
	host_limits_explain(&err);
	assert_string_equal(err.message, "");

	error_set_errno(&err, -ENOMEM, "eventfd");
	host_limits_explain(&err);
	assert_null(strchr(err.message, '('));

	error_set_errno(&err, -EMFILE, "eventfd");
	host_limits_explain(&err);
	assert_string_equal(err.message,
	                    "eventfd: Too many open files (raise `ulimit -n`, which is 64)");
	error_set_errno(&err, -ENFILE, "eventfd");
	host_limits_explain(&err);
	assert_non_null(strstr(err.message, "(the whole host's limit: raise fs.file-max)"));

	error_set(&err, -EAGAIN, "says (already)");
	host_limits_explain(&err);
	assert_string_equal(err.message, "says (already)");
}

static void test_explains_threads(void **state)
{
	struct rlimit now;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NPROC, &now), 0);
	now.rlim_cur = now.rlim_max == RLIM_INFINITY || now.rlim_max > 7777 ? 7777 : now.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NPROC, &now), 0);
	error_set_errno(&err, -EAGAIN, "vCPU 3: thread");
	host_limits_explain(&err);
	assert_non_null(strstr(err.message,
	                       "vCPU 3: thread: Resource temporarily unavailable (this user or "
	                       "control group may have no more threads: raise `ulimit -u`, which "
	                       "is "));
	assert_int_equal(err.message[strlen(err.message) - 1], ')');
	/* A message that is long already stays within its room. */
	error_set(&err, -EAGAIN, "%0500d", 0);
	host_limits_explain(&err);
	assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_fits),        cmocka_unit_test(test_memory_on_demand),
		cmocka_unit_test(test_memory_pluggable),   cmocka_unit_test(test_memory_at_once),
		cmocka_unit_test(test_memory_at_once_with_both),
		cmocka_unit_test(test_memory_elsewhere),   cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_raises_descriptors), cmocka_unit_test(test_explains),
		cmocka_unit_test(test_explains_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
