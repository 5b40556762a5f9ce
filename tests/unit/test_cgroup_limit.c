/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of control groups: both versions, containers with and without a namespace, levels, files
 * that are not there or say odd things. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cgroup_limit.h"

#define SELF "/proc/self/cgroup"
#define V2   "/sys/fs/cgroup"
#define V1   "/sys/fs/cgroup/memory"

struct file {
	const char *path, *text;
};

static const struct file *files; /* up to one without a path */
static unsigned int reads;

static ssize_t read_file(const char *path, char *text, size_t size_bytes)
{
	reads++;
	for (const struct file *file = files; file->path; file++) {
		if (strcmp(file->path, path) == 0) {
			size_t length = strlen(file->text);

			if (length > size_bytes)
				length = size_bytes;
			memcpy(text, file->text, length);
			return (ssize_t)length;
		}
	}
	return -ENOENT;
}

static struct cgroup_memory both_of(const struct file *these)
{
	struct cgroup_memory memory;

	files = these;
	reads = 0;
	cgroup_memory_limit(read_file, &memory);
	return memory;
}

static struct cgroup_limit memory_of(const struct file *these)
{
	return both_of(these).max;
}

static void assert_none(const struct file *these, unsigned int reads_max)
{
	struct cgroup_memory memory = both_of(these);

	assert_true(memory.max.value == UINT64_MAX && memory.high.value == UINT64_MAX);
	assert_string_equal(memory.max.path, "");
	assert_true(reads <= reads_max);
}

static void test_no_limit(void **state)
{
	static const struct file nothing[] = { { NULL, NULL } };
	static const struct file host[] = { { SELF, "0::/\n" }, { NULL, NULL } };
	static const struct file said_max[] = { { SELF, "0::/\n" },
		                                { V2 "/memory.max", "max\n" },
		                                { NULL, NULL } };
	static const struct file without_memory[] = {
		{ SELF, "3:cpu,cpuacct:/a\n1:name=systemd:/a\n" }, { NULL, NULL }
	};
	static const struct file v1[] = { { SELF, "4:memory:/a\n0::/\n" },
		                          { V1 "/a/memory.stat",
		                            "cache 0\nhierarchical_memory_limit "
		                            "9223372036854771712\ntotal_cache 0\n" },
		                          { NULL, NULL } };

	(void)state;
	assert_none(nothing, 1);
	assert_none(host, 2);
	assert_none(said_max, 2);
	assert_none(without_memory, 1);
	assert_none(v1, 2);
}

static void test_version_2(void **state)
{
	static const struct file container[] = { { SELF, "0::/\n" },
		                                 { V2 "/memory.max", "1073741824\n" },
		                                 { V2 "/memory.high", "max\n" },
		                                 { NULL, NULL } };
	static const struct file slices[] = {
		{ SELF, "0::/user.slice/user-1000.slice/run.scope\n" },
		{ V2 "/user.slice/user-1000.slice/run.scope/memory.max", "max\n" },
		{ V2 "/user.slice/user-1000.slice/run.scope/memory.high", "max\n" },
		{ V2 "/user.slice/user-1000.slice/memory.max", "500000000\n" },
		{ V2 "/user.slice/memory.max", "600000000\n" },
		{ NULL, NULL }
	};
	static const struct file high[] = { { SELF, "0::/a\n" },
		                            { V2 "/a/memory.max", "3000\n" },
		                            { V2 "/a/memory.high", "2000\n" },
		                            { NULL, NULL } };
	struct cgroup_limit limit = memory_of(container);
	struct cgroup_memory memory;

	(void)state;
	assert_int_equal(limit.value, GIB);
	assert_string_equal(limit.path, V2 "/memory.max");
	assert_true(reads <= 3);

	limit = memory_of(slices);
	assert_int_equal(limit.value, 500000000);
	assert_string_equal(limit.path, V2 "/user.slice/user-1000.slice/memory.max");

	/* What slows down does not hide what ends. */
	memory = both_of(high);
	assert_int_equal(memory.high.value, 2000);
	assert_string_equal(memory.high.path, V2 "/a/memory.high");
	assert_int_equal(memory.max.value, 3000);
	assert_string_equal(memory.max.path, V2 "/a/memory.max");
}

/* The path is the host's, the mount shows the container's group as its own folder. */
static void test_container_without_namespace(void **state)
{
	static const struct file v2[] = { { SELF, "0::/docker/abc\n" },
		                          { V2 "/memory.max", "4096\n" },
		                          { NULL, NULL } };
	static const struct file v1[] = {
		{ SELF, "9:pids:/docker/abc\n4:hugetlb,memory:/docker/abc\n0::/docker/abc\n" },
		{ V1 "/memory.stat", "hierarchical_memory_limit 8192\n" },
		{ NULL, NULL }
	};
	static const struct file outside[] = { { SELF, "0::/../other\n" },
		                               { V2 "/memory.max", "77\n" },
		                               { NULL, NULL } };
	struct cgroup_limit limit = memory_of(v2);

	(void)state;
	assert_int_equal(limit.value, 4096);
	assert_string_equal(limit.path, V2 "/memory.max");
	limit = memory_of(v1);
	assert_int_equal(limit.value, 8192);
	assert_string_equal(limit.path, V1 "/memory.limit_in_bytes");
	limit = memory_of(outside);
	assert_int_equal(limit.value, 77);
}

static void test_version_1(void **state)
{
	static const struct file v1[] = { { SELF, "2:cpuset:/\n4:memory:/job/7\n0::/x\n" },
		                          { V1 "/job/7/memory.stat",
		                            "cache 5\nhierarchical_memory_limit 1048576\n" },
		                          { V1 "/memory.stat", "hierarchical_memory_limit 1\n" },
		                          { NULL, NULL } };
	struct cgroup_limit limit = memory_of(v1);

	(void)state;
	assert_int_equal(limit.value, MIB);
	assert_string_equal(limit.path, V1 "/job/7/memory.limit_in_bytes");
	assert_int_equal(reads, 2);
}

static void test_odd_texts(void **state)
{
	static char long_path[CGROUP_TEXT_MAX], deep[CGROUP_TEXT_MAX] = "0::";
	const char *const texts[] = { "",         "\n\n",      ":",
		                      "::",       "0:",        "0::",
		                      "7:memory", "7:memory:", "0:memory:relative",
		                      "1::/a",    long_path,   deep };
	struct cgroup_limit limit;

	(void)state;
	snprintf(long_path, sizeof(long_path), "0::/%01000d\n", 0);
	for (int i = 0; i < 100; i++)
		strcat(deep, "/d");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct file odd[] = { { SELF, texts[i] }, { NULL, NULL } };

		limit = memory_of(odd);
		assert_true(limit.value == UINT64_MAX);
		assert_true(reads <= CGROUP_LEVELS_MAX + 2);
	}
	{
		static const struct file odd_number[] = { { SELF, "0::/\n" },
			                                  { V2 "/memory.max", "nonsense\n" },
			                                  { NULL, NULL } };

		assert_none(odd_number, 3);
	}
}

static void test_processes(void **state)
{
	static const struct file v2[] = { { SELF, "0::/a/b\n" },
		                          { V2 "/a/b/pids.max", "max\n" },
		                          { V2 "/a/pids.max", "33\n" },
		                          { NULL, NULL } };
	static const struct file v1[] = { { SELF, "8:pids:/p\n0::/a\n" },
		                          { "/sys/fs/cgroup/pids/p/pids.max", "12\n" },
		                          { V2 "/a/pids.max", "5\n" },
		                          { NULL, NULL } };
	static const struct file none[] = { { SELF, "0::/\n" }, { NULL, NULL } };
	struct cgroup_limit limit;

	(void)state;
	files = v2;
	cgroup_process_limit(read_file, &limit);
	assert_int_equal(limit.value, 33);
	assert_string_equal(limit.path, V2 "/a/pids.max");
	files = v1;
	cgroup_process_limit(read_file, &limit);
	assert_int_equal(limit.value, 12);
	files = none;
	cgroup_process_limit(read_file, &limit);
	assert_true(limit.value == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_version_2),
		cmocka_unit_test(test_container_without_namespace),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_odd_texts),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
