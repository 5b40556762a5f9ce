/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as tables: one row a command, one row an option. Parsing, usage errors with the
 * nearest name proposed, and help all come from the rows. Pure but for the printing of help.
 */
#ifndef CMDLINE_H
#define CMDLINE_H

#include <stdio.h>

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/types.h"

#define EXIT_STATUS_USAGE   64
#define EXIT_STATUS_FAILURE 125

struct cmdline_option {
	char short_name;      /* 0: none */
	const char *name;     /* long, without dashes */
	const char *argument; /* what help calls it; NULL: takes none; one that begins with '[' is
	                         optional and given as --name=VALUE */
	const char *help;     /* one line */
	/* value is NULL for an option without argument. -EINVAL with err set. */
	int (*parse)(void *target, const struct cmdline_option *option, const char *value,
	             struct error *err);
};

struct cmdline_command {
	const char *name;
	const char *arguments; /* behind the options in the usage line; may be "" */
	const char *help;      /* one line */
	const char *details;   /* what help says below the options; NULL: nothing */
	const struct cmdline_option *options;
	size_t option_count;
	bool device_options; /* takes one option a device class as well; target is a vm_config */
	size_t positional_min, positional_max;
	/* index counts from 0. -EINVAL with err set; may be NULL when positional_max is 0. */
	int (*positional)(void *target, size_t index, const char *value, struct error *err);
	/* What main calls: argv[0] is the command's name. Returns the process's exit status, with
	 * err set where there is something to say. */
	int (*run)(const struct cmdline_command *command, int argc, char **argv, struct error *err);
};

/*
 * Parses argv[1..argc) into target. 0; 1: help was asked for; -EINVAL with a message. Strings stay
 * borrowed from argv, whose commas between keys may become NULs.
 */
EBB_MUST_CHECK int cmdline_parse(const struct cmdline_command *command, int argc, char **argv,
                                 void *target, struct error *err);

/* NULL with err set: unknown, with the nearest one proposed. */
const struct cmdline_command *cmdline_find(const struct cmdline_command *const *commands,
                                           size_t count, const char *name, struct error *err);

void cmdline_print_help(FILE *stream, const struct cmdline_command *command);
void cmdline_print_overview(FILE *stream, const struct cmdline_command *const *commands,
                            size_t count);

/* `ebb run`: its rows, whose target is a vm_config (vm_config_init first, vm_config_complete
 * after). */
#define CMDLINE_RUN_OPTION_COUNT 20
extern const struct cmdline_option cmdline_run_options[CMDLINE_RUN_OPTION_COUNT];
EBB_MUST_CHECK int cmdline_run_positional(void *target, size_t index, const char *value,
                                          struct error *err);

/* --- cmdline_memory.c: the row of --mem; target is a vm_config --- */

EBB_MUST_CHECK int cmdline_parse_memory(void *target, const struct cmdline_option *option,
                                        const char *value, struct error *err);

/* --- cmdline_numa.c: the row of --numa; target is a vm_config --- */

EBB_MUST_CHECK int cmdline_parse_numa(void *target, const struct cmdline_option *option,
                                      const char *value, struct error *err);

/* --- cmdline_root.c: the row of --root; target is a vm_config --- */

EBB_MUST_CHECK int cmdline_parse_root(void *target, const struct cmdline_option *option,
                                      const char *value, struct error *err);

/* --- cmdline_values.c --- */

/*
 * A size: digits and K, M, G, T with an optional B or iB, in any case, powers of 1024; a bare
 * number counts bare_unit_bytes. -EINVAL: not a size; -ERANGE: past 64 bits.
 */
EBB_MUST_CHECK int cmdline_parse_size(const char *text, uint64_t bare_unit_bytes,
                                      uint64_t *ret_bytes);
EBB_MUST_CHECK int cmdline_parse_uint(const char *text, uint64_t *ret_value);

/* Seconds with up to nine decimals. */
EBB_MUST_CHECK int cmdline_parse_seconds(const char *text, uint64_t *ret_ns);

/* "512M", "1536K", "12345": the shortest exact spelling that cmdline_parse_size takes with a unit
 * of 1. */
#define SIZE_TEXT_MAX 24
const char *cmdline_format_size(uint64_t bytes, char text[SIZE_TEXT_MAX]);

/* Edits (insert, delete, replace, swap of neighbours) between two words; long ones are cut at 63.
 */
unsigned int cmdline_distance(const char *a, const char *b);

/* The search for what the user may have meant: start with {.word = …}, offer all, read best. */
struct cmdline_nearest {
	const char *word;
	const char *best; /* NULL: nothing is near */
	unsigned int best_distance;
};

void cmdline_nearest_offer(struct cmdline_nearest *nearest, const char *candidate);

/* --- cmdline_device.c: KEY[=VALUE],… lists and `--CLASS off|…` --- */

/*
 * The next item of a comma-separated list: key and value (NULL: none given), both NUL-terminated in
 * place. Returns false at the end. *list_state starts as the list.
 */
bool cmdline_next_key(char **list_state, char **ret_key, char **ret_value);

/* "on", "yes", "true", "1" or no value; "off", "no", "false", "0". */
EBB_MUST_CHECK int cmdline_parse_bool(const char *text, bool *ret_value);

/* A line of help: what to type, and what it does, on the next line where that is long. */
void cmdline_print_row(FILE *stream, const char *left, const char *help);

/* Sets the device of class from "off", "none", "on" or a list of its keys; adds one where a class
 * may have several. */
EBB_MUST_CHECK int cmdline_parse_device(struct vm_config *config, const struct device_class *class,
                                        const char *value, struct error *err);

/* What stands behind the option: "none|tap|user[,KEY[=VALUE],...]". */
#define DEVICE_ARGUMENT_MAX 128
const char *cmdline_device_argument(const struct device_class *class,
                                    char text[DEVICE_ARGUMENT_MAX]);
void cmdline_print_device_help(FILE *stream, const struct device_class *class);

#endif
