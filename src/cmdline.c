/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of the command line's tables, and the help that is printed from them. */
#include "cmdline.h"

#include <errno.h>
#include <string.h>

#include "ebb/device.h"

#define HELP_COLUMN 30

/* What one word of argv turned out to be. */
struct found_option {
	const struct cmdline_option *option;
	const struct device_class *class; /* instead of option */
};

static bool argument_is_optional(const struct cmdline_option *option)
{
	return option->argument && option->argument[0] == '[';
}

static const struct device_class *find_device_option(const char *name)
{
	size_t count;
	const struct device_class *const *classes = device_classes(&count);

	for (size_t i = 0; i < count; i++) {
		if (classes[i]->option && strcmp(classes[i]->option, name) == 0)
			return classes[i];
	}
	return NULL;
}

static int unknown_option(const struct cmdline_command *command, const char *name,
                          struct error *err)
{
	struct cmdline_nearest nearest = { .word = name };

	for (size_t i = 0; i < command->option_count; i++)
		cmdline_nearest_offer(&nearest, command->options[i].name);
	if (command->device_options) {
		size_t count;
		const struct device_class *const *classes = device_classes(&count);

		for (size_t i = 0; i < count; i++) {
			if (classes[i]->option)
				cmdline_nearest_offer(&nearest, classes[i]->option);
		}
	}
	cmdline_nearest_offer(&nearest, "help");
	if (nearest.best)
		return error_set(err, -EINVAL, "--%s: unknown option (did you mean --%s?)", name,
		                 nearest.best);
	return error_set(err, -EINVAL, "--%s: unknown option (see ebb help %s)", name,
	                 command->name);
}

static int find_long(const struct cmdline_command *command, const char *name,
                     struct found_option *ret_found, struct error *err)
{
	*ret_found = (struct found_option){ 0 };
	for (size_t i = 0; i < command->option_count; i++) {
		if (strcmp(command->options[i].name, name) == 0) {
			ret_found->option = &command->options[i];
			return 0;
		}
	}
	if (command->device_options)
		ret_found->class = find_device_option(name);
	return ret_found->class ? 0 : unknown_option(command, name, err);
}

static int find_short(const struct cmdline_command *command, char name,
                      struct found_option *ret_found, struct error *err)
{
	size_t count;
	const struct device_class *const *classes = device_classes(&count);

	*ret_found = (struct found_option){ 0 };
	for (size_t i = 0; i < command->option_count; i++) {
		if (command->options[i].short_name == name) {
			ret_found->option = &command->options[i];
			return 0;
		}
	}
	for (size_t i = 0; command->device_options && i < count; i++) {
		if (classes[i]->option && classes[i]->short_option == name) {
			ret_found->class = classes[i];
			return 0;
		}
	}
	return error_set(err, -EINVAL, "-%c: unknown option (see ebb help %s)", name,
	                 command->name);
}

static int missing_argument(const struct found_option *found, struct error *err)
{
	const char *name = found->class ? found->class->option : found->option->name;
	char text[DEVICE_ARGUMENT_MAX];

	return error_set(err, -EINVAL, "--%s: no value (give --%s %s)", name, name,
	                 found->class ? cmdline_device_argument(found->class, text)
	                              : found->option->argument);
}

static int parse_found(const struct found_option *found, const char *value, void *target,
                       struct error *err)
{
	if (found->class)
		return cmdline_parse_device(target, found->class, value, err);
	return found->option->parse(target, found->option, value, err);
}

static bool takes_next_word(const struct found_option *found)
{
	return found->class || (found->option->argument && !argument_is_optional(found->option));
}

/* "--name", "--name=value", "--name value". *index is moved past what was used. */
static int parse_long(const struct cmdline_command *command, int argc, char **argv, int *index,
                      void *target, struct error *err)
{
	char *name = argv[*index] + 2, *value = strchr(name, '=');
	struct found_option found;
	int ret;

	if (value)
		*value++ = '\0';
	ret = find_long(command, name, &found, err);
	if (ret)
		return ret;
	if (found.option && !found.option->argument && value)
		return error_set(err, -EINVAL, "--%s=%s: takes no value (give --%s)", name, value,
		                 name);
	if (!value && takes_next_word(&found)) {
		if (*index + 1 >= argc)
			return missing_argument(&found, err);
		value = argv[++*index];
	}
	return parse_found(&found, value, target, err);
}

/* "-v", "-vv", "-m1G", "-m 1G". */
static int parse_short(const struct cmdline_command *command, int argc, char **argv, int *index,
                       void *target, struct error *err)
{
	for (const char *letter = argv[*index] + 1; *letter; letter++) {
		struct found_option found;
		const char *value = NULL;
		int ret = find_short(command, *letter, &found, err);

		if (ret)
			return ret;
		if (takes_next_word(&found)) {
			if (letter[1])
				value = letter + 1;
			else if (*index + 1 < argc)
				value = argv[++*index];
			else
				return missing_argument(&found, err);
		}
		ret = parse_found(&found, value, target, err);
		if (ret || value)
			return ret;
	}
	return 0;
}

/* "-256M" is a number, not options. */
static bool is_positional(const char *word)
{
	return word[0] != '-' || !word[1] || (word[1] >= '0' && word[1] <= '9');
}

int cmdline_parse(const struct cmdline_command *command, int argc, char **argv, void *target,
                  struct error *err)
{
	size_t positional_count = 0;
	bool options_ended = false;

	for (int i = 1; i < argc; i++) {
		int ret;

		if (!options_ended && strcmp(argv[i], "--") == 0) {
			options_ended = true;
			continue;
		}
		if (options_ended || is_positional(argv[i])) {
			if (positional_count == command->positional_max)
				return error_set(err, -EINVAL,
				                 "%s: one word too many (usage: ebb %s %s)",
				                 argv[i], command->name, command->arguments);
			ret = command->positional(target, positional_count++, argv[i], err);
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			return 1;
		} else if (argv[i][1] == '-') {
			ret = parse_long(command, argc, argv, &i, target, err);
		} else {
			ret = parse_short(command, argc, argv, &i, target, err);
		}
		if (ret)
			return ret;
	}
	if (positional_count < command->positional_min)
		return error_set(err, -EINVAL, "%s: something is missing (usage: ebb %s %s)",
		                 command->name, command->name, command->arguments);
	return 0;
}

const struct cmdline_command *cmdline_find(const struct cmdline_command *const *commands,
                                           size_t count, const char *name, struct error *err)
{
	struct cmdline_nearest nearest = { .word = name };

	for (size_t i = 0; i < count; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
		cmdline_nearest_offer(&nearest, commands[i]->name);
	}
	if (nearest.best)
		error_set(err, -EINVAL, "%s: unknown command (did you mean ebb %s?)", name,
		          nearest.best);
	else
		error_set(err, -EINVAL, "%s: unknown command (see ebb help)", name);
	return NULL;
}

void cmdline_print_row(FILE *stream, const char *left, const char *help)
{
	if (strlen(left) >= HELP_COLUMN)
		fprintf(stream, "%s\n%*s%s\n", left, HELP_COLUMN, "", help);
	else
		fprintf(stream, "%-*s%s\n", HELP_COLUMN, left, help);
}

static void print_option(FILE *stream, const struct cmdline_option *option)
{
	char left[96], short_part[8] = "    ";

	if (option->short_name)
		snprintf(short_part, sizeof(short_part), "-%c, ", option->short_name);
	if (!option->argument)
		snprintf(left, sizeof(left), "  %s--%s", short_part, option->name);
	else
		snprintf(left, sizeof(left), "  %s--%s%s%s", short_part, option->name,
		         argument_is_optional(option) ? "" : " ", option->argument);
	cmdline_print_row(stream, left, option->help);
}

void cmdline_print_help(FILE *stream, const struct cmdline_command *command)
{
	fprintf(stream, "ebb %s: %s\n\nusage: ebb %s %s\n\n", command->name, command->help,
	        command->name, command->arguments);
	for (size_t i = 0; i < command->option_count; i++)
		print_option(stream, &command->options[i]);
	if (command->device_options) {
		size_t count;
		const struct device_class *const *classes = device_classes(&count);

		for (size_t i = 0; i < count; i++) {
			if (classes[i]->option)
				cmdline_print_device_help(stream, classes[i]);
		}
	}
	cmdline_print_row(stream, "  -h, --help", "print this");
	if (command->details)
		fprintf(stream, "\n%s", command->details);
}

void cmdline_print_overview(FILE *stream, const struct cmdline_command *const *commands,
                            size_t count)
{
	fputs("ebb launches Linux guests on /dev/kvm and gives their free memory back to the "
	      "host.\n\nusage: ebb COMMAND [OPTIONS] [ARGUMENTS]\n\n",
	      stream);
	for (size_t i = 0; i < count; i++) {
		char left[64];

		snprintf(left, sizeof(left), "  %s", commands[i]->name);
		fprintf(stream, "%-14s%s\n", left, commands[i]->help);
	}
	fputs("\nebb help COMMAND says more. First steps: ebb run (the built-in selftest), then\n"
	      "ebb run -m 1G -k VMLINUZ -i INITRD\n",
	      stream);
}
