/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `ebb run`: rows of the table, and what each does to the configuration. */
#include "cmdline.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "ebb/reclaim.h"

static int parse_kernel(void *target, const struct cmdline_option *option, const char *value,
                        struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	if (!*value)
		return error_set(err, -EINVAL, "--kernel: empty (give a file)");
	if (config->kernel_path)
		return error_set(err, -EINVAL, "--kernel %s: one kernel is named already: %s",
		                 value, config->kernel_path);
	config->kernel_path = value;
	return 0;
}

int cmdline_run_positional(void *target, size_t index, const char *value, struct error *err)
{
	(void)index;
	return parse_kernel(target, NULL, value, err);
}

static int parse_initrd(void *target, const struct cmdline_option *option, const char *value,
                        struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	if (!*value)
		return error_set(err, -EINVAL, "--initrd: empty (give a file)");
	if (config->initrd_count == VM_INITRDS_MAX)
		return error_set(err, -EINVAL, "--initrd %s: one too many (the limit is %d)", value,
		                 VM_INITRDS_MAX);
	config->initrd_paths[config->initrd_count++] = value;
	return 0;
}

static int parse_params(void *target, const struct cmdline_option *option, const char *value,
                        struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	(void)err;
	config->params = value;
	return 0;
}

static int parse_params_only(void *target, const struct cmdline_option *option, const char *value,
                             struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	(void)value;
	(void)err;
	config->params_only = true;
	return 0;
}

static int parse_cpus(void *target, const struct cmdline_option *option, const char *value,
                      struct error *err)
{
	struct vm_config *config = target;
	uint64_t count;

	if (cmdline_parse_uint(value, &count))
		count = 0;
	if (count < 1 || count > VM_CPUS_MAX)
		return error_set(err, -EINVAL, "--%s %s: not a number of vCPUs (give 1 to %d)",
		                 option->name, value, VM_CPUS_MAX);
	config->cpu_count = (unsigned int)count;
	return 0;
}

static int parse_name(void *target, const struct cmdline_option *option, const char *value,
                      struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	if (!vm_name_is_valid(value))
		return error_set(err, -EINVAL,
		                 "--name %s: not a name (give 1 to %d letters, digits, '.', '_' "
		                 "or '-', with no leading '.' or '-')",
		                 value, VM_NAME_MAX - 1);
	strcpy(config->name, value);
	return 0;
}

/* The index of value in words[0..count), or -EINVAL with the words in the message. */
static int parse_word(const struct cmdline_option *option, const char *value,
                      const char *const *words, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], value) == 0)
			return (int)i;
	}
	return error_set(err, -EINVAL, "--%s %s: unknown (give %s)", option->name, value,
	                 option->argument);
}

static int parse_console(void *target, const struct cmdline_option *option, const char *value,
                         struct error *err)
{
	static const char *const words[] = {
		[CONSOLE_SERIAL] = "serial", [CONSOLE_VIRTIO] = "virtio", [CONSOLE_NONE] = "none"
	};
	int kind = parse_word(option, value, words, ARRAY_SIZE(words), err);

	if (kind < 0)
		return kind;
	((struct vm_config *)target)->console = (enum console_kind)kind;
	return 0;
}

static int parse_transport(void *target, const struct cmdline_option *option, const char *value,
                           struct error *err)
{
	static const char *const words[] = { [TRANSPORT_PCI] = "pci", [TRANSPORT_MMIO] = "mmio" };
	int kind = parse_word(option, value, words, ARRAY_SIZE(words), err);

	if (kind < 0)
		return kind;
	((struct vm_config *)target)->transport = (enum transport_kind)kind;
	return 0;
}

static int parse_timeout(void *target, const struct cmdline_option *option, const char *value,
                         struct error *err)
{
	uint64_t timeout_ns;
	int ret = cmdline_parse_seconds(value, &timeout_ns);

	if (ret || !timeout_ns || timeout_ns / (uint64_t)NS_PER_S > VM_TIMEOUT_MAX_S)
		return error_set(err, -EINVAL,
		                 "--%s %s: not a time (give seconds, above 0 and up to %" PRIu64
		                 ")",
		                 option->name, value, VM_TIMEOUT_MAX_S);
	((struct vm_config *)target)->timeout_ns = timeout_ns;
	return 0;
}

static int parse_expect(void *target, const struct cmdline_option *option, const char *value,
                        struct error *err)
{
	if (!*value)
		return error_set(err, -EINVAL, "--%s: empty (give a regular expression)",
		                 option->name);
	((struct vm_config *)target)->expect_pattern = value;
	return 0;
}

static int parse_trace_reclaim(void *target, const struct cmdline_option *option, const char *value,
                               struct error *err)
{
	struct vm_config *config = target;
	char *comma = strrchr((char *)(uintptr_t)value, ','); /* a file's name may have others */

	if (comma && strncmp(comma + 1, "limit=", 6) == 0) {
		if (cmdline_parse_size(comma + 7, MIB, &config->trace_reclaim_limit_bytes) ||
		    config->trace_reclaim_limit_bytes < RECLAIM_TRACE_LIMIT_MIN_BYTES)
			return error_set(err, -EINVAL,
			                 "--%s limit=%s: not a size (give 64K or more, such as 1G)",
			                 option->name, comma + 7);
		*comma = '\0';
	}
	if (!*value)
		return error_set(err, -EINVAL, "--%s: empty (give a file)", option->name);
	config->trace_reclaim_path = value;
	return 0;
}

static int parse_test_devices(void *target, const struct cmdline_option *option, const char *value,
                              struct error *err)
{
	(void)option;
	(void)value;
	(void)err;
	((struct vm_config *)target)->test_devices = true;
	return 0;
}

static int parse_no_reboot(void *target, const struct cmdline_option *option, const char *value,
                           struct error *err)
{
	(void)option;
	(void)value;
	(void)err;
	((struct vm_config *)target)->no_reboot = true;
	return 0;
}

static int parse_user(void *target, const struct cmdline_option *option, const char *value,
                      struct error *err)
{
	if (!*value)
		return error_set(err, -EINVAL, "--%s: empty (give a user's name or number)",
		                 option->name);
	((struct vm_config *)target)->user_name = value;
	return 0;
}

static int parse_no_sandbox(void *target, const struct cmdline_option *option, const char *value,
                            struct error *err)
{
	(void)option;
	(void)value;
	(void)err;
	((struct vm_config *)target)->sandbox = false;
	return 0;
}

static int parse_verbose(void *target, const struct cmdline_option *option, const char *value,
                         struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	(void)value;
	(void)err;
	if (config->log_level < LOG_DEBUG)
		config->log_level++;
	return 0;
}

static int parse_debug(void *target, const struct cmdline_option *option, const char *value,
                       struct error *err)
{
	struct vm_config *config = target;

	(void)option;
	(void)value;
	(void)err;
	config->trace_exits = true;
	config->log_level = LOG_DEBUG;
	return 0;
}

const struct cmdline_option cmdline_run_options[CMDLINE_RUN_OPTION_COUNT] = {
	{ 'k', "kernel", "FILE", "bzImage, vmlinux (ELF) or multiboot ELF, told by its content",
	  parse_kernel },
	{ 'i', "initrd", "FILE", "initial ramdisk; repeatable, files are concatenated",
	  parse_initrd },
	{ 'p', "params", "STRING", "kernel command line, behind the console's defaults",
	  parse_params },
	{ 0, "params-only", NULL, "leave out those defaults", parse_params_only },
	{ 0, "root", "DIR[,rw][,modules=DIR]",
	  "a folder as the guest's root: a shell in it, or -p init=PROGRAM;\n"
	  "          without --kernel, under the host's own\n"
	  "          rw                        changes go to DIR (default off: to guest memory)\n"
	  "          modules=DIR               it has lib/modules/RELEASE of the kernel\n"
	  "                                    (default the root has it)",
	  cmdline_parse_root },
	{ 'm', "mem", "SIZE[,KEY[=VALUE],...]",
	  "guest RAM (default 512M; a bare number is MiB)\n"
	  "          backing=anon|memfd|hugetlb|file  what is behind it (default anon)\n"
	  "          page-size=2M|1G           the pages of hugetlb (default 2M)\n"
	  "          path=FILE                 the file of backing=file, as large as the RAM\n"
	  "          lock                      never swapped, never given back (default off)\n"
	  "          prealloc                  all there from the start (default off)\n"
	  "          thp                       huge pages, with anon and memfd (default on)",
	  cmdline_parse_memory },
	{ 'c', "cpus", "N", "vCPUs, 1 to 64 (default 1)", parse_cpus },
	{ 0, "numa", "node=N[,KEY=VALUE,...]",
	  "a NUMA node of the guest's; repeatable, numbered from 0\n"
	  "          mem=SIZE                  its part of --mem (one node may leave it to the "
	  "rest)\n"
	  "          cpus=N|FIRST-LAST         its vCPUs; repeatable (default the same in each "
	  "node;\n"
	  "                                    with some given, node 0 has the others)\n"
	  "          host-node=N               where the host takes its memory from (default any)",
	  cmdline_parse_numa },
	{ 0, "name", "NAME", "what the other commands call this guest (default ebb-PID)",
	  parse_name },
	{ 0, "transport", "pci|mmio", "how virtio devices are attached (default pci)",
	  parse_transport },
	{ 0, "console", "serial|virtio|none", "the guest's console (default serial)",
	  parse_console },
	{ 0, "timeout", "SECONDS", "stop with status 124 when time is up", parse_timeout },
	{ 0, "expect", "REGEX", "stop with status 0 as soon as the console matches", parse_expect },
	{ 0, "no-reboot", NULL, "a guest that reboots ends ebb, with status 0", parse_no_reboot },
	{ 0, "trace-reclaim", "FILE[,limit=SIZE]",
	  "every released batch, as CSV, or JSON lines where FILE ends in .json or .jsonl\n"
	  "          limit=SIZE                how long the file becomes (default 1G)",
	  parse_trace_reclaim },
	{ 0, "test-devices", NULL, "x86: the devices of bare test kernels", parse_test_devices },
	{ 0, "user", "NAME", "as root: become this user once all is set up", parse_user },
	{ 0, "no-sandbox", NULL,
	  "keep capabilities, files and system calls that are not needed; for debugging",
	  parse_no_sandbox },
	{ 'v', "verbose", NULL, "more log; twice: more still", parse_verbose },
	{ 0, "debug", NULL, "print every exit that reached userspace", parse_debug },
};
