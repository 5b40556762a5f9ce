/* SPDX-License-Identifier: Apache-2.0 */
/* Entry: the subcommand table, how errors are told, exit statuses. The only exit() is the return of
 * main. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "cmdline.h"
#include "ebb/config.h"
#include "ebb/machine.h"
#include "ebb/share_server.h"
#include "standard_fds.h"

/* `ebb: message`, on one line whatever is in it. */
static void print_error(const struct error *err)
{
	char line[ERROR_MESSAGE_MAX];

	strcpy(line, err->message);
	for (char *byte = line; *byte; byte++) {
		if ((unsigned char)*byte < ' ' || *byte == 0x7f)
			*byte = '?';
	}
	fprintf(stderr, "ebb: %s\n", line);
}

static int run_machine(const struct cmdline_command *command, int argc, char **argv,
                       struct error *err)
{
	struct vm_config config;
	int ret;

	vm_config_init(&config);
	ret = cmdline_parse(command, argc, argv, &config, err);
	if (ret > 0) {
		cmdline_print_help(stdout, command);
		return 0;
	}
	if (!ret)
		ret = vm_config_complete(&config, (unsigned int)getpid(), err);
	if (!ret)
		ret = machine_run(&config, err);
	if (ret >= 0)
		return ret;
	return ret == -EINVAL ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILURE;
}

static int print_version(const struct cmdline_command *command, int argc, char **argv,
                         struct error *err)
{
	int ret = cmdline_parse(command, argc, argv, NULL, err);

	if (ret < 0)
		return EXIT_STATUS_USAGE;
	if (ret)
		cmdline_print_help(stdout, command);
	else
		puts("ebb " EBB_VERSION);
	return 0;
}

static int print_help(const struct cmdline_command *command, int argc, char **argv,
                      struct error *err);

static const struct cmdline_command run_command = {
	.name = "run",
	.arguments = "[OPTIONS] [KERNEL]",
	.help = "launch a guest in the foreground",
	.details = "KERNEL is the same as --kernel KERNEL. With none, the built-in selftest guest "
		   "runs.\n\n"
		   "Keys on the console, after Ctrl-A: x ends the guest, h lists the keys, Ctrl-A "
		   "sends one.\n\n"
		   "Exit status: 0 the guest powered off, or --expect matched; 64 usage; 124 "
		   "--timeout ran\nout; 125 ebb or the host failed; 126 the guest kernel panicked; "
		   "127 a vCPU could not go\non; (V << 1) | 1 when the guest writes V to the "
		   "debug-exit port.\n",
	.options = cmdline_run_options,
	.option_count = CMDLINE_RUN_OPTION_COUNT,
	.device_options = true,
	.positional_max = 1,
	.positional = cmdline_run_positional,
	.run = run_machine,
};

/* The word behind `ebb help`. */
static int take_help_topic(void *target, size_t index, const char *value, struct error *err)
{
	(void)index;
	(void)err;
	*(const char **)target = value;
	return 0;
}

static const struct cmdline_command help_command = {
	.name = "help",
	.arguments = "[COMMAND]",
	.help = "say what a command does and takes",
	.positional_max = 1,
	.positional = take_help_topic,
	.run = print_help,
};

static const struct cmdline_command version_command = {
	.name = "version",
	.arguments = "",
	.help = "print the version",
	.run = print_version,
};

static const struct cmdline_command *const commands[] = {
	&run_command,
	&client_list_command,
	&client_stat_command,
	&client_balloon_command,
	&client_reclaim_command,
	&client_mem_command,
	&client_pause_command,
	&client_resume_command,
	&client_reset_command,
	&client_powerdown_command,
	&client_stop_command,
	&client_qmp_command,
	&help_command,
	&version_command,
};

static int print_help(const struct cmdline_command *command, int argc, char **argv,
                      struct error *err)
{
	const char *topic = NULL;
	int ret = cmdline_parse(command, argc, argv, &topic, err);

	if (ret < 0)
		return EXIT_STATUS_USAGE;
	if (ret == 0 && !topic) {
		cmdline_print_overview(stdout, commands, ARRAY_SIZE(commands));
		return 0;
	}
	if (topic)
		command = cmdline_find(commands, ARRAY_SIZE(commands), topic, err);
	if (!command)
		return EXIT_STATUS_USAGE;
	cmdline_print_help(stdout, command);
	return 0;
}

/* What ebb starts of itself; no help lists it. */
static int serve_share(const struct cmdline_command *command, int argc, char **argv,
                       struct error *err)
{
	(void)command;
	return share_server_main(argc, argv, err);
}

static const struct cmdline_command share_server_command = {
	.name = SHARE_SERVER_COMMAND,
	.run = serve_share,
};

/* Options in place of a command, as every program has them. */
static const char *command_word(const char *word)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return "help";
	if (strcmp(word, "--version") == 0)
		return "version";
	return word;
}

/* What was printed and did not arrive is an error of its own. */
static int finish_output(int status)
{
	int ret;

	errno = 0;
	ret = fflush(stdout);
	if ((ret == 0 && !ferror(stdout)) || status != 0)
		return status;
	fprintf(stderr, "ebb: stdout: %s\n", errno ? strerror(errno) : "cannot be written");
	return EXIT_STATUS_FAILURE;
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	const struct cmdline_command *command;
	int status;

	if (standard_fds_fill())
		return EXIT_STATUS_FAILURE; /* with nobody to tell */
	if (argc < 2) {
		cmdline_print_overview(stderr, commands, ARRAY_SIZE(commands));
		return EXIT_STATUS_USAGE;
	}
	if (strcmp(argv[1], SHARE_SERVER_COMMAND) == 0)
		command = &share_server_command;
	else
		command = cmdline_find(commands, ARRAY_SIZE(commands), command_word(argv[1]), &err);
	status = command ? command->run(command, argc - 1, argv + 1, &err) : EXIT_STATUS_USAGE;
	if (err.code)
		print_error(&err);
	return finish_output(status);
}
