/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* The parser of the tables, `ebb run`'s options, and every message a user's mistake gets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cmdline.h"
#include "ebb/device.h"

#define WORDS_MAX 64

static const struct cmdline_command run_command = {
	.name = "run",
	.arguments = "[OPTIONS] [KERNEL]",
	.help = "launch",
	.details = "More.\n",
	.options = cmdline_run_options,
	.option_count = CMDLINE_RUN_OPTION_COUNT,
	.device_options = true,
	.positional_max = 1,
	.positional = cmdline_run_positional,
};

/* The words of a line, split at blanks; strings borrowed by the configuration live here. */
struct line {
	char text[512];
	char *argv[WORDS_MAX];
	int argc;
};

static void split(struct line *line, const char *text)
{
	char *rest = line->text;

	strcpy(line->text, text);
	line->argc = 0;
	line->argv[line->argc++] = strcpy(malloc(4), "run");
	while ((line->argv[line->argc] = strsep(&rest, " ")))
		line->argc += line->argv[line->argc][0] != '\0';
}

static int parse(struct line *line, const char *text, struct vm_config *config, struct error *err)
{
	int ret;

	split(line, text);
	vm_config_init(config);
	ret = cmdline_parse(&run_command, line->argc, line->argv, config, err);
	if (!ret)
		ret = vm_config_complete(config, 42, err);
	free(line->argv[0]);
	return ret;
}

static void parse_ok(struct line *line, const char *text, struct vm_config *config)
{
	struct error err = ERROR_INIT;
	int ret = parse(line, text, config, &err);

	if (ret)
		print_error("%s: %s\n", text, err.message);
	assert_int_equal(ret, 0);
}

static void nothing_given_is_the_defaults(void **state)
{
	struct vm_config config;
	struct line line;

	(void)state;
	parse_ok(&line, "", &config);
	assert_string_equal(config.name, "ebb-42");
	assert_null(config.kernel_path);
	assert_string_equal(config.params, "");
	assert_int_equal(config.memory.size_bytes, 512 * MIB);
	assert_true(config.memory.backing.thp);
	assert_int_equal(config.cpu_count, 1);
	assert_int_equal(config.transport, TRANSPORT_PCI);
	assert_int_equal(config.console, CONSOLE_SERIAL);
	assert_int_equal(config.timeout_ns, 0);
	assert_int_equal(config.log_level, LOG_WARN);
	assert_int_equal(config.device_count, 1);
	assert_ptr_equal(config.devices[0].class, device_class_find("virtio-balloon"));
	assert_true(device_config_bool(&config.devices[0], "free-page-reporting"));
}

static void every_option_is_taken(void **state)
{
	struct vm_config config;
	struct line line;

	(void)state;
	parse_ok(&line,
	         "-k bzImage --initrd a --initrd=b -ic -p quiet --params-only -m 2G,thp=off -c4 "
	         "--name vm.1 --transport mmio --console none --timeout 1.5 --no-reboot "
	         "--trace-reclaim t.csv --test-devices -v",
	         &config);
	assert_string_equal(config.kernel_path, "bzImage");
	assert_int_equal(config.initrd_count, 3);
	assert_string_equal(config.initrd_paths[0], "a");
	assert_string_equal(config.initrd_paths[1], "b");
	assert_string_equal(config.initrd_paths[2], "c");
	assert_string_equal(config.params, "quiet");
	assert_true(config.params_only);
	assert_int_equal(config.memory.size_bytes, 2 * GIB);
	assert_false(config.memory.backing.thp);
	assert_int_equal(config.cpu_count, 4);
	assert_string_equal(config.name, "vm.1");
	assert_int_equal(config.transport, TRANSPORT_MMIO);
	assert_int_equal(config.console, CONSOLE_NONE);
	assert_int_equal(config.timeout_ns, 1500 * NS_PER_MS);
	assert_true(config.no_reboot);
	assert_string_equal(config.trace_reclaim_path, "t.csv");
	assert_true(config.test_devices);
	assert_int_equal(config.log_level, LOG_INFO);
	assert_false(config.trace_exits);
	/* A comma in a file's name is none of ours. */
	assert_int_equal(config.trace_reclaim_limit_bytes, 0);
	parse_ok(&line, "--trace-reclaim a,b.csv", &config);
	assert_string_equal(config.trace_reclaim_path, "a,b.csv");
	parse_ok(&line, "--trace-reclaim a,b.csv,limit=5M", &config);
	assert_string_equal(config.trace_reclaim_path, "a,b.csv");
	assert_int_equal(config.trace_reclaim_limit_bytes, 5 * MIB);
}

static void words_may_stand_in_any_order(void **state)
{
	struct vm_config config;
	struct line line;

	(void)state;
	parse_ok(&line, "bzImage -vv --expect login: --debug", &config);
	assert_string_equal(config.kernel_path, "bzImage");
	assert_string_equal(config.expect_pattern, "login:");
	assert_int_equal(config.log_level, LOG_DEBUG);
	assert_true(config.trace_exits);
	parse_ok(&line, "-vm1G -- -odd-name", &config);
	assert_string_equal(config.kernel_path, "-odd-name");
	assert_int_equal(config.memory.size_bytes, GIB);
	/* The last one counts. */
	parse_ok(&line, "-m 1G -m 2G -c 2 -c 3 --mem=thp=off", &config);
	assert_int_equal(config.memory.size_bytes, 2 * GIB);
	assert_int_equal(config.cpu_count, 3);
	assert_false(config.memory.backing.thp);
}

static void memory_has_backings(void **state)
{
	struct vm_config config;
	struct line line;

	(void)state;
	parse_ok(&line, "-m 1G", &config);
	assert_int_equal(config.memory.backing.kind, GMEM_ANON);
	assert_false(config.memory.backing.lock || config.memory.backing.prealloc);
	parse_ok(&line, "-m 1G,backing=memfd,lock,prealloc", &config);
	assert_int_equal(config.memory.backing.kind, GMEM_MEMFD);
	assert_true(config.memory.backing.lock && config.memory.backing.prealloc);
	assert_true(config.memory.backing.thp);
	parse_ok(&line, "-m 1G,backing=hugetlb,prealloc=off", &config);
	assert_int_equal(config.memory.backing.kind, GMEM_HUGETLB);
	assert_int_equal(config.memory.backing.page_bytes, PAGE_2M_BYTES);
	assert_false(config.memory.backing.thp);
	parse_ok(&line, "-m 2G,backing=hugetlb,page-size=1G,thp=off", &config);
	assert_int_equal(config.memory.backing.page_bytes, PAGE_1G_BYTES);
	/* Keys may come without a size, and before the option with the size. */
	parse_ok(&line, "--mem=lock -m backing=file,path=ram -m 1G", &config);
	assert_int_equal(config.memory.backing.kind, GMEM_FILE);
	assert_string_equal(config.memory.backing.path, "ram");
	assert_true(config.memory.backing.lock);
	assert_int_equal(config.memory.size_bytes, GIB);
}

static void devices_follow_their_classes(void **state)
{
	const struct device_class *balloon = device_class_find("virtio-balloon");
	struct vm_config config;
	struct line line;

	(void)state;
	parse_ok(&line, "--balloon off", &config);
	assert_int_equal(config.device_count, 0);
	parse_ok(&line, "--balloon off --balloon on", &config);
	assert_int_equal(config.device_count, 1);
	parse_ok(&line, "--rng on", &config);
	assert_int_equal(config.device_count, 2);
	/* In the order of the table, not of the line. */
	assert_string_equal(config.devices[0].class->name, "virtio-rng");
	assert_ptr_equal(config.devices[1].class, balloon);
	parse_ok(&line, "--console virtio", &config);
	assert_int_equal(config.device_count, 2);
	assert_string_equal(config.devices[0].class->name, "virtio-console");

	parse_ok(&line, "--balloon free-page-reporting=off,target=256,stats-interval=5,label=x=y",
	         &config);
	assert_false(device_config_bool(&config.devices[0], "free-page-reporting"));
	assert_int_equal(device_config_number(&config.devices[0], "target"), 256 * MIB);
	assert_int_equal(device_config_number(&config.devices[0], "stats-interval"), 5);
	assert_string_equal(device_config_string(&config.devices[0], "label"), "x=y");
	parse_ok(&line, "--balloon free-page-reporting=no --balloon free-page-reporting", &config);
	assert_true(device_config_bool(&config.devices[0], "free-page-reporting"));
}

static void some_devices_may_be_several(void **state)
{
	struct vm_config config;
	struct line line;

	(void)state;
	/* In the order of the line; who has no id gets the next number that is free. */
	parse_ok(&line,
	         "--virtio-mem size=1G --virtio-mem id=vm0,size=2,requested-size=2M "
	         "--virtio-mem size=8G,block-size=4M --balloon off",
	         &config);
	assert_int_equal(config.device_count, 3);
	assert_string_equal(config.devices[0].id, "vm1");
	assert_string_equal(config.devices[1].id, "vm0");
	assert_string_equal(config.devices[2].id, "vm2");
	assert_int_equal(device_config_number(&config.devices[0], "size"), GIB);
	assert_int_equal(device_config_number(&config.devices[0], "requested-size"), 0);
	assert_int_equal(device_config_number(&config.devices[0], "block-size"), 2 * MIB);
	assert_int_equal(device_config_number(&config.devices[1], "requested-size"), 2 * MIB);
	assert_int_equal(device_config_number(&config.devices[2], "block-size"), 4 * MIB);
	parse_ok(&line, "--virtio-mem id=a,size=1G --virtio-mem off --virtio-mem size=4M", &config);
	assert_int_equal(config.device_count, 2);
	assert_string_equal(config.devices[1].id, "vm0");
	/* A block is a huge page at least. */
	parse_ok(&line, "-m 2G,backing=hugetlb,page-size=1G --virtio-mem size=4G", &config);
	assert_int_equal(device_config_number(&config.devices[1], "block-size"), GIB);
	parse_ok(&line, "--numa node=0 --numa node=1,mem=0 --virtio-mem size=4G,node=1", &config);
	assert_int_equal(device_config_number(&config.devices[1], "node"), 1);
}

/* `-n tap,…`, `--vsock 42`, `-d FILE,…`: the first item is a value without its key. */
static void the_first_key_may_go_without_saying(void **state)
{
	struct vm_config config;
	struct line line;
	const struct device_config *devices = config.devices;

	(void)state;
	parse_ok(&line, "--balloon off -n tap,ifname=tap0,queues=2 -nuser --network=kind=user",
	         &config);
	assert_int_equal(config.device_count, 3);
	assert_string_equal(devices[0].id, "net0");
	assert_string_equal(device_config_string(&devices[0], "kind"), "tap");
	assert_string_equal(device_config_string(&devices[0], "ifname"), "tap0");
	assert_int_equal(device_config_number(&devices[0], "queues"), 2);
	assert_string_equal(device_config_string(&devices[1], "kind"), "user");
	assert_string_equal(device_config_string(&devices[2], "kind"), "user");
	/* A key may come first, and the kind by its name behind it. */
	parse_ok(&line, "--balloon off -n queues=3,kind=tap --vsock 42", &config);
	assert_string_equal(device_config_string(&devices[0], "kind"), "tap");
	assert_int_equal(device_config_number(&devices[1], "cid"), 42);
	parse_ok(&line, "--balloon off --vsock 42 --vsock=cid=43", &config);
	assert_int_equal(config.device_count, 1);
	assert_int_equal(device_config_number(&devices[0], "cid"), 43);
	parse_ok(&line, "--balloon off -n tap -n user --vsock 9 -n none --vsock none", &config);
	assert_int_equal(config.device_count, 0);
	parse_ok(&line, "--balloon none", &config);
	assert_int_equal(config.device_count, 0);
	/* A file's name may have a '=', but for what a key is called. */
	parse_ok(&line, "--balloon off -d a=b.img,readonly -d readonly=on,file=c=d -d ids=x -d on",
	         &config);
	assert_string_equal(device_config_string(&devices[0], "file"), "a=b.img");
	assert_true(device_config_bool(&devices[0], "readonly"));
	assert_string_equal(device_config_string(&devices[1], "file"), "c=d");
	assert_true(device_config_bool(&devices[1], "readonly"));
	assert_string_equal(device_config_string(&devices[2], "file"), "ids=x");
	assert_string_equal(device_config_string(&devices[3], "file"), "on");
	parse_ok(&line, "--balloon off -d id=x,file=y -d a-name-that-is-longer-than-any-id.img=x",
	         &config);
	assert_string_equal(devices[0].id, "x");
	assert_string_equal(device_config_string(&devices[1], "file"),
	                    "a-name-that-is-longer-than-any-id.img=x");
}

static void keys_may_repeat(void **state)
{
	struct error err = ERROR_INIT;
	struct vm_config config;
	char text[512] = "--balloon off -n user";
	struct line line;

	(void)state;
	parse_ok(&line,
	         "--balloon off -n user,forward=2222:22,mac=52:54:00:00:00:01,"
	         "forward=udp:53:53,vhost=off",
	         &config);
	assert_string_equal(device_config_string_at(&config.devices[0], "forward", 0), "2222:22");
	assert_string_equal(device_config_string_at(&config.devices[0], "forward", 1), "udp:53:53");
	assert_null(device_config_string_at(&config.devices[0], "forward", 2));
	assert_true(device_config_given(&config.devices[0], "vhost"));
	assert_false(device_config_bool(&config.devices[0], "vhost"));
	assert_false(device_config_given(&config.devices[0], "queues"));
	for (unsigned int i = 0; i < DEVICE_REPEATS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ",forward=%u:1", i + 1);
	parse_ok(&line, text, &config);
	strcat(text, ",forward=99:1");
	assert_int_equal(parse(&line, text, &config, &err), -EINVAL);
	assert_string_equal(err.message, "--network forward=99:1: one too many (the limit is 16)");
}

static void mistakes_name_option_value_and_limit(void **state)
{
	static const struct {
		const char *line, *message;
	} rows[] = {
		{ "-m 0", "--mem 0: too little memory (give 1M to 16T)" },
		{ "-m 512K", "--mem 512K: too little memory (give 1M to 16T)" },
		{ "-m 1025K", "--mem 1025K: not whole pages (give a multiple of 4K)" },
		{ "-m 17T", "--mem 17T: too much memory (give 1M to 16T)" },
		{ "-m 99999999T", "--mem 99999999T: more than any guest (give 1M to 16T)" },
		{ "-m 1.5G", "--mem 1.5G: not a size (give whole K, M, G or T, such as 512M; a "
		             "bare number is MiB)" },
		{ "-m", "--mem: no value (give --mem SIZE[,KEY[=VALUE],...])" },
		{ "-m 1G,thb=on", "--mem thb: unknown key (did you mean thp?)" },
		{ "-m 1G,huge", "--mem huge: unknown key (the keys are: backing, page-size, path, "
		                "lock, prealloc, thp)" },
		{ "-m 1G,backing=shm",
		  "--mem backing=shm: unknown (give anon, memfd, hugetlb or file)" },
		{ "-m 1G,backing", "--mem backing=: unknown (give anon, memfd, hugetlb or file)" },
		{ "-m 1G,backing=hugetlb,page-size=4M",
		  "--mem page-size=4M: no huge page (give 2M or 1G)" },
		{ "-m 1G,page-size=2M",
		  "--mem page-size=2M: goes with backing=hugetlb alone (add it, "
		  "or leave page-size out)" },
		{ "-m 1G,backing=memfd,path=x",
		  "--mem path=x: goes with backing=file alone (add it, or leave path out)" },
		{ "-m 1G,backing=file", "--mem backing=file: without a file (add path=FILE)" },
		{ "-m 1G,backing=file,path=", "--mem path: empty (give path=FILE)" },
		{ "-m 1G,backing=hugetlb,thp=on",
		  "--mem thp=on: goes with backing=anon and memfd (leave it out)" },
		{ "-m 1025M,backing=hugetlb",
		  "--mem 1025M: not whole huge pages (give a multiple of 2M)" },
		{ "-m 1538M,backing=hugetlb,page-size=1G",
		  "--mem 1538M: not whole huge pages (give a multiple of 1G)" },
		{ "-m 1G,lock=maybe", "--mem lock=maybe: cannot be read (give on or off)" },
		{ "-m 1G,prealloc=5", "--mem prealloc=5: cannot be read (give on or off)" },
		{ "-m 1G,thp=perhaps", "--mem thp=perhaps: cannot be read (give on or off)" },
		{ "-c 0", "--cpus 0: not a number of vCPUs (give 1 to 64)" },
		{ "-c 65", "--cpus 65: not a number of vCPUs (give 1 to 64)" },
		{ "-c 5000", "--cpus 5000: not a number of vCPUs (give 1 to 64)" },
		{ "-c two", "--cpus two: not a number of vCPUs (give 1 to 64)" },
		{ "--cpus=-1", "--cpus -1: not a number of vCPUs (give 1 to 64)" },
		{ "--cpus", "--cpus: no value (give --cpus N)" },
		{ "--name .x", "--name .x: not a name (give 1 to 63 letters, digits, '.', '_' or "
		               "'-', with no leading '.' or '-')" },
		{ "--name a/b", "--name a/b: not a name (give 1 to 63 letters, digits, '.', '_' or "
		                "'-', with no leading '.' or '-')" },
		{ "--name=", "--name : not a name (give 1 to 63 letters, digits, '.', '_' or '-', "
		             "with no leading '.' or '-')" },
		{ "--console tty", "--console tty: unknown (give serial|virtio|none)" },
		{ "--transport usb", "--transport usb: unknown (give pci|mmio)" },
		{ "--timeout 0", "--timeout 0: not a time (give seconds, above 0 and up to "
		                 "1000000000)" },
		{ "--timeout 2h", "--timeout 2h: not a time (give seconds, above 0 and up to "
		                  "1000000000)" },
		{ "--timeout 1000000001", "--timeout 1000000001: not a time (give seconds, above 0 "
		                          "and up to 1000000000)" },
		{ "--no-reboot=1", "--no-reboot=1: takes no value (give --no-reboot)" },
		{ "--ballon off", "--ballon: unknown option (did you mean --balloon?)" },
		{ "--kernl x", "--kernl: unknown option (did you mean --kernel?)" },
		{ "--vsok 3", "--vsok: unknown option (did you mean --vsock?)" },
		{ "-z", "-z: unknown option (see ebb help run)" },
		{ "--balloon", "--balloon: no value (give --balloon on|off|KEY[=VALUE],...)" },
		{ "-n", "--network: no value (give --network none|tap|user[,KEY[=VALUE],...])" },
		{ "--vsock", "--vsock: no value (give --vsock none|CID)" },
		{ "-n tpa", "--network tpa: unknown (did you mean tap?)" },
		{ "-n kind=usr", "--network kind=usr: unknown (did you mean user?)" },
		{ "-n bridge", "--network bridge: unknown (give none, tap or user)" },
		{ "-n kind=bridge", "--network kind=bridge: unknown (give tap or user)" },
		{ "-n non", "--network non: unknown (did you mean none?)" },
		{ "-n on", "--network on: unknown (did you mean none?)" },
		{ "-n ,queues=2", "--network kind: no value (give kind=tap|user)" },
		{ "-n tap,user", "--network user: unknown key (see ebb help run)" },
		{ "-n ifnmae=x", "--network ifnmae: unknown key (did you mean ifname?)" },
		{ "-n tap,mac=", "--network mac: no value (give mac=MAC)" },
		{ "-n tap,vhost=perhaps",
		  "--network vhost=perhaps: cannot be read (give on or off)" },
		{ "-n tap,queues=9", "--network queues=9: out of range (give 1 to 8)" },
		{ "-n ifname=tap0",
		  "--network id=net0: neither tap nor user (begin with one of them)" },
		{ "-n tap -n user,queues=2", "--network id=net1 queues=2: one with user (leave it "
		                             "out, or begin with tap)" },
		{ "--vsock 2", "--vsock 2: out of range (give 3 to 4294967294)" },
		{ "--vsock 4294967295", "--vsock 4294967295: out of range (give 3 to 4294967294)" },
		{ "--vsock cid=2", "--vsock cid=2: out of range (give 3 to 4294967294)" },
		{ "--vsock on", "--vsock on: cannot be read (give a whole number)" },
		{ "--vsock cdi=3", "--vsock cdi: unknown key (did you mean cid?)" },
		{ "--vsock 3,port=4", "--vsock port: unknown key (see ebb help run)" },
		{ "-d x,readonly=2", "--disk readonly=2: cannot be read (give on or off)" },
		{ "-d ,readonly", "--disk file: no value (give file=FILE)" },
		{ "--balloon free-page-repoting", "--balloon free-page-repoting: unknown key (did "
		                                  "you mean free-page-reporting?)" },
		{ "--balloon of", "--balloon of: unknown key (did you mean off?)" },
		{ "--balloon lazy", "--balloon lazy: unknown key (see ebb help run)" },
		{ "--balloon hidden=1", "--balloon hidden: unknown key (see ebb help run)" },
		{ "--balloon target", "--balloon target=: no value (give a size such as 256M)" },
		{ "--balloon target=lots",
		  "--balloon target=lots: cannot be read (give a size such "
		  "as 256M)" },
		{ "--balloon target=9G", "--balloon target=9G: out of range (give 0 to 8G)" },
		{ "--balloon stats-interval=3601", "--balloon stats-interval=3601: out of range "
		                                   "(give 0 to 3600)" },
		{ "--balloon label=", "--balloon label: no value (give label=VALUE)" },
		{ "--balloon free-page-reporting=maybe", "--balloon free-page-reporting=maybe: "
		                                         "cannot be read (give on or off)" },
		{ "--virtio-mem id=", "--virtio-mem id=: not an id (give 1 to 31 letters, digits, "
		                      "'.', '_' or '-', with no leading '.' or '-')" },
		{ "--virtio-mem id=a/b,size=1G",
		  "--virtio-mem id=a/b: not an id (give 1 to 31 letters, digits, '.', '_' or '-', "
		  "with no leading '.' or '-')" },
		{ "--virtio-mem id=12345678901234567890123456789012,size=1G",
		  "--virtio-mem id=12345678901234567890123456789012: not an id (give 1 to 31 "
		  "letters, digits, '.', '_' or '-', with no leading '.' or '-')" },
		{ "--balloon id=x", "--balloon id: unknown key (see ebb help run)" },
		{ "--virtio-mem ids=x", "--virtio-mem ids: unknown key (did you mean id?)" },
		{ "--virtio-mem on", "--virtio-mem id=vm0: no size (give size=SIZE)" },
		{ "--virtio-mem id=x,requested-size=1G",
		  "--virtio-mem id=x: no size (give size=SIZE)" },
		{ "--virtio-mem id=a,size=1G --virtio-mem id=a,size=1G",
		  "--virtio-mem id=a: another device has that id (choose another)" },
		{ "--virtio-mem id=virtio-balloon,size=1G",
		  "--virtio-mem id=virtio-balloon: a kind of device is called that (choose another "
		  "id)" },
		{ "--numa mem=1G", "--numa: no node (give node=N,...)" },
		{ "--numa node=0,mem=1G --numa node=1",
		  "--numa node=0 mem=1G: more than all memory (--mem is 512M)" },
		{ "a b", "b: one word too many (usage: ebb run [OPTIONS] [KERNEL])" },
		{ "-k a b", "--kernel b: one kernel is named already: a" },
		{ "-i x", "--initrd x: the built-in selftest takes none (give --kernel)" },
		{ "--expect= x", "--expect: empty (give a regular expression)" },
		{ "--kernel=", "--kernel: empty (give a file)" },
		{ "--trace-reclaim=", "--trace-reclaim: empty (give a file)" },
		{ "--trace-reclaim=,limit=1G", "--trace-reclaim: empty (give a file)" },
		{ "--trace-reclaim t.csv,limit=63K",
	          "--trace-reclaim limit=63K: not a size (give 64K or more, such as 1G)" },
		{ "--trace-reclaim t.csv,limit=",
	          "--trace-reclaim limit=: not a size (give 64K or more, such as 1G)" },
		{ "--expect x --console none", "--expect x: there is no console to watch with "
		                               "--console none (leave one of them out)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		struct vm_config config;
		struct line line;

		assert_int_equal(parse(&line, rows[i].line, &config, &err), -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(err.code, -EINVAL);
	}
}

static void too_many_initrds_are_refused(void **state)
{
	struct error err = ERROR_INIT;
	struct vm_config config;
	char text[512] = "-k x";
	struct line line;

	(void)state;
	for (size_t i = 0; i < VM_INITRDS_MAX; i++)
		strcat(text, " -if");
	parse_ok(&line, text, &config);
	strcat(text, " -ig");
	assert_int_equal(parse(&line, text, &config, &err), -EINVAL);
	assert_string_equal(err.message, "--initrd g: one too many (the limit is 16)");
}

static void too_many_devices_are_refused(void **state)
{
	struct error err = ERROR_INIT;
	struct vm_config config;
	char text[512] = "--balloon off";
	struct line line;

	(void)state;
	for (size_t i = 0; i < 14; i++)
		strcat(text, " --virtio-mem size=1G");
	parse_ok(&line, text, &config);
	assert_int_equal(config.device_count, 14);
	assert_string_equal(config.devices[13].id, "vm13");
	vm_config_init(&config);
	config.device_count = VM_DEVICES_MAX;
	strcpy(text, "size=1G");
	assert_int_equal(cmdline_parse_device(&config, device_class_find("virtio-mem"), text, &err),
	                 -EINVAL);
	assert_string_equal(err.message,
	                    "--virtio-mem size=1G: too many devices (the limit is 32)");
}

static void help_comes_from_the_tables(void **state)
{
	static const char *const expected[] = {
		"usage: ebb run [OPTIONS] [KERNEL]\n",
		"  -k, --kernel FILE ",
		"      --params-only ",
		"      --balloon on|off|KEY[=VALUE],...\n",
		"free-page-reporting       report (default on)\n",
		"target=SIZE               size (default 0)\n",
		"      --rng on|off            ",
		"      --virtio-mem off|KEY[=VALUE],...\n",
		"memory (repeatable, default off)\n",
		"id=NAME                   what other commands call it (default vm0, vm1 ...)\n",
		"size=SIZE                 region (has to be given)\n",
		"      --numa node=N[,KEY=VALUE,...]\n",
		"random numbers (default off)\n",
		"  -n, --network none|tap|user[,KEY[=VALUE],...]\n",
		"kind=tap|user             where frames go (has to be given)\n",
		"vhost=on|off              kernel (default where it can)\n",
		"forward=VALUE             port (repeatable, default none)\n",
		"  -d, --disk none|FILE[,KEY[=VALUE],...]\n",
		"      --vsock none|CID        sockets (default off)\n",
		"cid=CID                   address (has to be given)\n",
		"\nMore.\n",
	};
	struct vm_config config;
	struct line line;
	char *text;
	size_t size_bytes;
	FILE *stream = open_memstream(&text, &size_bytes);

	(void)state;
	cmdline_print_help(stream, &run_command);
	fclose(stream);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_non_null(strstr(text, expected[i]));
	for (size_t i = 0; i < CMDLINE_RUN_OPTION_COUNT; i++)
		assert_non_null(strstr(text, cmdline_run_options[i].help));
	assert_null(strstr(text, "hidden"));
	free(text);
	assert_int_equal(parse(&line, "-m 1G --help -nonsense", &config, NULL), 1);
	assert_int_equal(parse(&line, "-h", &config, NULL), 1);
}

/* --- other commands: what `ebb run` does not use --- */

struct words {
	const char *words[2];
	const char *every;
	bool every_given;
};

static int take_word(void *target, size_t index, const char *value, struct error *err)
{
	(void)err;
	((struct words *)target)->words[index] = value;
	return 0;
}

static int take_every(void *target, const struct cmdline_option *option, const char *value,
                      struct error *err)
{
	struct words *words = target;

	(void)option;
	(void)err;
	words->every_given = true;
	words->every = value;
	return 0;
}

static const struct cmdline_option word_options[] = {
	{ 'e', "every", "[=N]", "optional value", take_every },
};

static const struct cmdline_command word_command = {
	.name = "words",
	.arguments = "NAME SIZE",
	.help = "words",
	.options = word_options,
	.option_count = ARRAY_SIZE(word_options),
	.positional_min = 2,
	.positional_max = 2,
	.positional = take_word,
};

static int parse_words(const char *text, struct words *words, struct error *err)
{
	static struct line line; /* the words are looked at afterwards */
	int ret;

	*words = (struct words){ 0 };
	split(&line, text);
	ret = cmdline_parse(&word_command, line.argc, line.argv, words, err);
	free(line.argv[0]);
	return ret;
}

static void numbers_with_a_sign_are_words(void **state)
{
	struct error err = ERROR_INIT;
	struct words words;

	(void)state;
	assert_int_equal(parse_words("vm -256M", &words, &err), 0);
	assert_string_equal(words.words[0], "vm");
	assert_string_equal(words.words[1], "-256M");
	assert_int_equal(parse_words("vm -x", &words, &err), -EINVAL);
	assert_string_equal(err.message, "-x: unknown option (see ebb help words)");
	assert_int_equal(parse_words("vm", &words, &err), -EINVAL);
	assert_string_equal(err.message,
	                    "words: something is missing (usage: ebb words NAME SIZE)");
}

static void optional_values_need_an_equals_sign(void **state)
{
	struct words words;

	(void)state;
	assert_int_equal(parse_words("--every a b", &words, NULL), 0);
	assert_true(words.every_given);
	assert_null(words.every);
	assert_int_equal(parse_words("a --every=5 b", &words, NULL), 0);
	assert_string_equal(words.every, "5");
	assert_int_equal(parse_words("-e a b", &words, NULL), 0);
	assert_true(words.every_given);
}

static void commands_are_found_or_proposed(void **state)
{
	static const struct cmdline_command *const commands[] = { &run_command, &word_command };
	struct error err = ERROR_INIT;
	char *text;
	size_t size_bytes;
	FILE *stream = open_memstream(&text, &size_bytes);

	(void)state;
	assert_ptr_equal(cmdline_find(commands, 2, "words", &err), &word_command);
	assert_int_equal(err.code, 0);
	assert_null(cmdline_find(commands, 2, "wrods", &err));
	assert_string_equal(err.message, "wrods: unknown command (did you mean ebb words?)");
	assert_null(cmdline_find(commands, 2, "mem", &err));
	assert_string_equal(err.message, "mem: unknown command (see ebb help)");
	cmdline_print_overview(stream, commands, 2);
	fclose(stream);
	assert_non_null(strstr(text, "\n  run         launch\n  words       words\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given_is_the_defaults),
		cmocka_unit_test(every_option_is_taken),
		cmocka_unit_test(words_may_stand_in_any_order),
		cmocka_unit_test(memory_has_backings),
		cmocka_unit_test(devices_follow_their_classes),
		cmocka_unit_test(some_devices_may_be_several),
		cmocka_unit_test(too_many_devices_are_refused),
		cmocka_unit_test(the_first_key_may_go_without_saying),
		cmocka_unit_test(keys_may_repeat),
		cmocka_unit_test(mistakes_name_option_value_and_limit),
		cmocka_unit_test(too_many_initrds_are_refused),
		cmocka_unit_test(help_comes_from_the_tables),
		cmocka_unit_test(numbers_with_a_sign_are_words),
		cmocka_unit_test(optional_values_need_an_equals_sign),
		cmocka_unit_test(commands_are_found_or_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
