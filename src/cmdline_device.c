/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of KEY[=VALUE], and the options of device classes, from the tables of device.h. */
#include "cmdline.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "ebb/device.h"

bool cmdline_next_key(char **list_state, char **ret_key, char **ret_value)
{
	char *item = *list_state, *comma, *equals;

	if (!item)
		return false;
	comma = strchr(item, ',');
	if (comma)
		*comma = '\0';
	*list_state = comma ? comma + 1 : NULL;
	equals = strchr(item, '=');
	if (equals)
		*equals = '\0';
	*ret_key = item;
	*ret_value = equals ? equals + 1 : NULL;
	return true;
}

int cmdline_parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[][2] = {
		{ "off", "on" }, { "no", "yes" }, { "false", "true" }, { "0", "1" }
	};

	if (!text) {
		*ret_value = true;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (size_t value = 0; value < 2; value++) {
			if (strcasecmp(text, words[i][value]) == 0) {
				*ret_value = value;
				return 0;
			}
		}
	}
	return -EINVAL;
}

static const struct device_option *find_key(const struct device_class *class, const char *key,
                                            struct error *err)
{
	struct cmdline_nearest nearest = { .word = key };

	for (size_t i = 0; i < class->option_count; i++) {
		const struct device_option *option = &class->options[i];

		if (!option->help)
			continue;
		if (strcmp(option->key, key) == 0)
			return option;
		cmdline_nearest_offer(&nearest, option->key);
	}
	if (class->id_prefix)
		cmdline_nearest_offer(&nearest, "id");
	cmdline_nearest_offer(&nearest, "off");
	if (nearest.best)
		error_set(err, -EINVAL, "--%s %s: unknown key (did you mean %s?)", class->option,
		          key, nearest.best);
	else
		error_set(err, -EINVAL, "--%s %s: unknown key (see ebb help run)", class->option,
		          key);
	return NULL;
}

/* A number of the option's type, within its limits; the message says what it takes. */
static int parse_number(const struct device_class *class, const struct device_option *option,
                        const char *value, uint64_t *ret_number, struct error *err)
{
	static const char *const takes[] = { [DEVICE_OPTION_BOOL] = "on or off",
		                             [DEVICE_OPTION_UINT] = "a whole number",
		                             [DEVICE_OPTION_SIZE] = "a size such as 256M" };
	char low[SIZE_TEXT_MAX], high[SIZE_TEXT_MAX];
	uint64_t number = 0;
	bool on = false;
	int ret;

	if (option->type == DEVICE_OPTION_BOOL)
		ret = cmdline_parse_bool(value, &on);
	else if (!value)
		ret = -EINVAL;
	else if (option->type == DEVICE_OPTION_UINT)
		ret = cmdline_parse_uint(value, &number);
	else
		ret = cmdline_parse_size(value, MIB, &number);
	if (ret == -EINVAL)
		return error_set(err, -EINVAL, "--%s %s=%s: %s (give %s)", class->option,
		                 option->key, value ? value : "",
		                 value ? "cannot be read" : "no value", takes[option->type]);
	if (option->type == DEVICE_OPTION_BOOL) {
		*ret_number = on;
		return 0;
	}
	if (!ret && number >= option->min && (!option->max || number <= option->max)) {
		*ret_number = number;
		return 0;
	}
	if (option->type == DEVICE_OPTION_SIZE) {
		cmdline_format_size(option->min, low);
		cmdline_format_size(option->max ? option->max : VM_MEMORY_MAX_BYTES, high);
	} else {
		snprintf(low, sizeof(low), "%" PRIu64, option->min);
		snprintf(high, sizeof(high), "%" PRIu64, option->max ? option->max : UINT64_MAX);
	}
	return error_set(err, -EINVAL, "--%s %s=%s: out of range (give %s to %s)", class->option,
	                 option->key, value, low, high);
}

static int parse_id(struct device_config *device, const char *value, struct error *err)
{
	if (!value || strlen(value) >= DEVICE_ID_MAX || !vm_name_is_valid(value))
		return error_set(err, -EINVAL,
		                 "--%s id=%s: not an id (give 1 to %d letters, digits, '.', '_' or "
		                 "'-', with no leading '.' or '-')",
		                 device->class->option, value ? value : "", DEVICE_ID_MAX - 1);
	strcpy(device->id, value);
	return 0;
}

static int parse_key(struct device_config *device, char *key, char *value, struct error *err)
{
	const struct device_option *option;
	uint64_t number = 0;
	int ret;

	if (device->class->id_prefix && strcmp(key, "id") == 0)
		return parse_id(device, value, err);
	option = find_key(device->class, key, err);
	if (!option)
		return -EINVAL;
	if (option->type == DEVICE_OPTION_STRING) {
		if (!value || !*value)
			return error_set(err, -EINVAL, "--%s %s: no value (give %s=VALUE)",
			                 device->class->option, key, key);
		device_config_set_string(device, option->key, value);
		return 0;
	}
	ret = parse_number(device->class, option, value, &number, err);
	if (ret)
		return ret;
	device_config_set_number(device, option->key, number);
	return 0;
}

int cmdline_parse_device(struct vm_config *config, const struct device_class *class,
                         const char *value, struct error *err)
{
	struct device_config *device;
	char *list = (char *)(uintptr_t)value, *key, *key_value;

	if (strcmp(value, "off") == 0) {
		vm_config_remove_device(config, class);
		return 0;
	}
	device = vm_config_device(config, class);
	if (!device)
		return error_set(err, -EINVAL, "--%s %s: too many devices (the limit is %d)",
		                 class->option, value, VM_DEVICES_MAX);
	if (strcmp(value, "on") == 0)
		return 0;
	while (cmdline_next_key(&list, &key, &key_value)) {
		int ret = parse_key(device, key, key_value, err);

		if (ret)
			return ret;
	}
	return 0;
}

static void print_key_help(FILE *stream, const struct device_option *option)
{
	char left[64], text[SIZE_TEXT_MAX];

	switch (option->type) {
	case DEVICE_OPTION_BOOL:
		snprintf(left, sizeof(left), "%s", option->key);
		snprintf(text, sizeof(text), "%s", option->default_value ? "on" : "off");
		break;
	case DEVICE_OPTION_SIZE:
		snprintf(left, sizeof(left), "%s=SIZE", option->key);
		cmdline_format_size(option->default_value, text);
		break;
	case DEVICE_OPTION_STRING:
		snprintf(left, sizeof(left), "%s=VALUE", option->key);
		snprintf(text, sizeof(text), "none");
		break;
	case DEVICE_OPTION_UINT:
	default:
		snprintf(left, sizeof(left), "%s=N", option->key);
		snprintf(text, sizeof(text), "%" PRIu64, option->default_value);
		break;
	}
	if (option->default_value < option->min)
		fprintf(stream, "          %-24s  %s (has to be given)\n", left, option->help);
	else
		fprintf(stream, "          %-24s  %s (default %s)\n", left, option->help, text);
}

void cmdline_print_device_help(FILE *stream, const struct device_class *class)
{
	bool has_keys = class->id_prefix != NULL;
	char left[64], help[128];

	for (size_t i = 0; i < class->option_count; i++)
		has_keys |= class->options[i].help != NULL;
	snprintf(left, sizeof(left), "      --%s %soff%s", class->option,
	         class->id_prefix ? "" : "on|", has_keys ? "|KEY[=VALUE],..." : "");
	snprintf(help, sizeof(help), "%s (%sdefault %s)", class->help,
	         class->id_prefix ? "repeatable, " : "", class->on_by_default ? "on" : "off");
	cmdline_print_row(stream, left, help);
	if (class->id_prefix)
		fprintf(stream,
		        "          %-24s  what other commands call it (default %s0, %s1 ...)\n",
		        "id=NAME", class->id_prefix, class->id_prefix);
	for (size_t i = 0; i < class->option_count; i++) {
		if (class->options[i].help)
			print_key_help(stream, &class->options[i]);
	}
}
