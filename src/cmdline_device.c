/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of KEY[=VALUE], and the options of device classes, from the tables of device.h. */
#include "cmdline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
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

/* One item of a list, as the messages call it: KEY=VALUE, or VALUE alone where it is the first. */
struct item {
	const struct device_class *class;
	const struct device_option *option;
	const char *value; /* NULL: none given */
	bool is_positional;
};

static int wrong_item(const struct item *item, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int wrong_item(const struct item *item, struct error *err, const char *format, ...)
{
	const char *value = item->value ? item->value : "";
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (item->is_positional)
		return error_set(err, -EINVAL, "--%s %s: %s", item->class->option, value, why);
	return error_set(err, -EINVAL, "--%s %s=%s: %s", item->class->option, item->option->key,
	                 value, why);
}

static const struct device_option *find_option(const struct device_class *class, const char *key)
{
	for (size_t i = 0; i < class->option_count; i++)
		if (class->options[i].help && strcmp(class->options[i].key, key) == 0)
			return &class->options[i];
	return NULL;
}

static int unknown_key(const struct device_class *class, const char *key, struct error *err)
{
	struct cmdline_nearest nearest = { .word = key };

	for (size_t i = 0; i < class->option_count; i++)
		if (class->options[i].help)
			cmdline_nearest_offer(&nearest, class->options[i].key);
	if (class->id_prefix)
		cmdline_nearest_offer(&nearest, "id");
	cmdline_nearest_offer(&nearest, "off");
	if (nearest.best)
		return error_set(err, -EINVAL, "--%s %s: unknown key (did you mean %s?)",
		                 class->option, key, nearest.best);
	return error_set(err, -EINVAL, "--%s %s: unknown key (see ebb help run)", class->option,
	                 key);
}

/* A number of the option's type, within its limits; the message says what it takes. */
static int parse_number(const struct item *item, uint64_t *ret_number, struct error *err)
{
	static const char *const takes[] = { [DEVICE_OPTION_BOOL] = "on or off",
		                             [DEVICE_OPTION_UINT] = "a whole number",
		                             [DEVICE_OPTION_SIZE] = "a size such as 256M" };
	const struct device_option *option = item->option;
	char low[SIZE_TEXT_MAX], high[SIZE_TEXT_MAX];
	uint64_t number = 0;
	bool on = false;
	int ret;

	if (option->type == DEVICE_OPTION_BOOL)
		ret = cmdline_parse_bool(item->value, &on);
	else if (!item->value)
		ret = -EINVAL;
	else if (option->type == DEVICE_OPTION_UINT)
		ret = cmdline_parse_uint(item->value, &number);
	else
		ret = cmdline_parse_size(item->value, MIB, &number);
	if (ret == -EINVAL)
		return wrong_item(item, err, "%s (give %s)",
		                  item->value ? "cannot be read" : "no value", takes[option->type]);
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
	return wrong_item(item, err, "out of range (give %s to %s)", low, high);
}

/* What does not fit is left out: help and messages. */
static void append(char *text, size_t size_bytes, const char *before, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size_bytes - used, "%s%s", before, word);
}

/* "none, tap or user"; the first may be left out. */
static void list_choices(const char *const *choices, bool with_none, char *text, size_t size_bytes)
{
	snprintf(text, size_bytes, "%s", with_none ? "none" : "");
	for (size_t i = 0; choices[i]; i++)
		append(text, size_bytes, !*text ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static int check_choice(const struct item *item, struct error *err)
{
	struct cmdline_nearest nearest = { .word = item->value };
	char text[128];

	for (const char *const *word = item->option->choices; *word; word++) {
		if (strcmp(*word, item->value) == 0)
			return 0;
		cmdline_nearest_offer(&nearest, *word);
	}
	if (item->is_positional)
		cmdline_nearest_offer(&nearest, "none");
	if (nearest.best)
		return wrong_item(item, err, "unknown (did you mean %s?)", nearest.best);
	list_choices(item->option->choices, item->is_positional, text, sizeof(text));
	return wrong_item(item, err, "unknown (give %s)", text);
}

static const char *value_text(const struct device_option *option)
{
	static const char *const texts[] = { [DEVICE_OPTION_BOOL] = "on|off",
		                             [DEVICE_OPTION_UINT] = "N",
		                             [DEVICE_OPTION_SIZE] = "SIZE",
		                             [DEVICE_OPTION_STRING] = "VALUE" };

	return option->value_text ? option->value_text : texts[option->type];
}

static int parse_string(struct device_config *device, const struct item *item, struct error *err)
{
	const struct device_option *option = item->option;
	int ret;

	if (!item->value || !*item->value)
		return error_set(err, -EINVAL, "--%s %s: no value (give %s=%s)",
		                 item->class->option, option->key, option->key, value_text(option));
	ret = option->choices ? check_choice(item, err) : 0;
	if (ret)
		return ret;
	if (!option->repeatable)
		device_config_set_string(device, option->key, item->value);
	else if (device_config_add_string(device, option->key, item->value))
		return wrong_item(item, err, "one too many (the limit is %d)", DEVICE_REPEATS_MAX);
	return 0;
}

static int parse_item(struct device_config *device, const struct item *item, struct error *err)
{
	uint64_t number = 0;
	int ret;

	if (item->option->type == DEVICE_OPTION_STRING)
		return parse_string(device, item, err);
	ret = parse_number(item, &number, err);
	if (!ret)
		device_config_set_number(device, item->option->key, number);
	return ret;
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

static int parse_key(struct device_config *device, const char *key, const char *value,
                     struct error *err)
{
	struct item item = { .class = device->class, .value = value };

	if (device->class->id_prefix && strcmp(key, "id") == 0)
		return parse_id(device, value, err);
	item.option = find_option(device->class, key);
	return item.option ? parse_item(device, &item, err) : unknown_key(device->class, key, err);
}

/*
 * Whether the first item of a list is a value without its key. What has a '=' is KEY=VALUE, unless
 * anything may be the value and nothing is called KEY: a file may have a '=' in its name.
 */
static bool is_positional(const struct device_class *class, const char *list)
{
	const struct device_option *option;
	size_t key_length = strcspn(list, "=,");
	char key[DEVICE_ID_MAX];

	if (!class->positional)
		return false;
	if (list[key_length] != '=')
		return true;
	option = find_option(class, class->positional);
	if (option->type != DEVICE_OPTION_STRING || option->choices)
		return false;
	if (key_length >= sizeof(key))
		return true;
	memcpy(key, list, key_length);
	key[key_length] = '\0';
	return !find_option(class, key) && !(class->id_prefix && strcmp(key, "id") == 0);
}

static int parse_positional(struct device_config *device, char **list, struct error *err)
{
	struct item item = { .class = device->class,
		             .option = find_option(device->class, device->class->positional),
		             .value = *list,
		             .is_positional = true };
	char *comma = strchr(*list, ',');

	if (comma)
		*comma = '\0';
	*list = comma ? comma + 1 : NULL;
	return parse_item(device, &item, err);
}

int cmdline_parse_device(struct vm_config *config, const struct device_class *class,
                         const char *value, struct error *err)
{
	struct device_config *device;
	char *list = (char *)(uintptr_t)value, *key, *key_value;
	int ret = 0;

	if (strcmp(value, "off") == 0 || strcmp(value, "none") == 0) {
		vm_config_remove_device(config, class);
		return 0;
	}
	device = vm_config_device(config, class);
	if (!device)
		return error_set(err, -EINVAL, "--%s %s: too many devices (the limit is %d)",
		                 class->option, value, VM_DEVICES_MAX);
	if (is_positional(class, value))
		ret = parse_positional(device, &list, err);
	else if (strcmp(value, "on") == 0)
		return 0;
	while (!ret && cmdline_next_key(&list, &key, &key_value))
		ret = parse_key(device, key, key_value, err);
	return ret;
}

static void print_key_help(FILE *stream, const struct device_class *class,
                           const struct device_option *option)
{
	const bool is_first = class->positional && strcmp(class->positional, option->key) == 0;
	char left[64], text[SIZE_TEXT_MAX];

	if (option->type == DEVICE_OPTION_BOOL && !option->value_text)
		snprintf(left, sizeof(left), "%s", option->key);
	else
		snprintf(left, sizeof(left), "%s=%s", option->key, value_text(option));
	switch (option->type) {
	case DEVICE_OPTION_BOOL:
		snprintf(text, sizeof(text), "%s", option->default_value ? "on" : "off");
		break;
	case DEVICE_OPTION_SIZE:
		cmdline_format_size(option->default_value, text);
		break;
	case DEVICE_OPTION_STRING:
		snprintf(text, sizeof(text), "none");
		break;
	case DEVICE_OPTION_UINT:
	default:
		snprintf(text, sizeof(text), "%" PRIu64, option->default_value);
		break;
	}
	fprintf(stream, "          %-24s  %s", left, option->help);
	if (!option->default_text && (is_first || option->default_value < option->min))
		fputs(" (has to be given)\n", stream);
	else
		fprintf(stream, " (%sdefault %s)\n", option->repeatable ? "repeatable, " : "",
		        option->default_text ? option->default_text : text);
}

static bool has_keys(const struct device_class *class)
{
	for (size_t i = 0; i < class->option_count; i++)
		if (class->options[i].help &&
		    (!class->positional || strcmp(class->options[i].key, class->positional) != 0))
			return true;
	return class->id_prefix != NULL;
}

const char *cmdline_device_argument(const struct device_class *class,
                                    char text[DEVICE_ARGUMENT_MAX])
{
	const struct device_option *option =
		class->positional ? find_option(class, class->positional) : NULL;
	const bool keys = has_keys(class);

	if (!option) {
		snprintf(text, DEVICE_ARGUMENT_MAX, "%soff%s", class->id_prefix ? "" : "on|",
		         keys ? "|KEY[=VALUE],..." : "");
		return text;
	}
	strcpy(text, "none");
	for (size_t i = 0; option->choices && option->choices[i]; i++)
		append(text, DEVICE_ARGUMENT_MAX, "|", option->choices[i]);
	if (!option->choices)
		append(text, DEVICE_ARGUMENT_MAX, "|", value_text(option));
	if (keys)
		append(text, DEVICE_ARGUMENT_MAX, "[,KEY[=VALUE],...]", "");
	return text;
}

void cmdline_print_device_help(FILE *stream, const struct device_class *class)
{
	char left[160], argument[DEVICE_ARGUMENT_MAX], help[128], short_part[8] = "    ";

	if (class->short_option)
		snprintf(short_part, sizeof(short_part), "-%c, ", class->short_option);
	snprintf(left, sizeof(left), "  %s--%s %s", short_part, class->option,
	         cmdline_device_argument(class, argument));
	snprintf(help, sizeof(help), "%s (%sdefault %s)", class->help,
	         class->id_prefix ? "repeatable, " : "", class->on_by_default ? "on" : "off");
	cmdline_print_row(stream, left, help);
	if (class->id_prefix)
		fprintf(stream,
		        "          %-24s  what other commands call it (default %s0, %s1 ...)\n",
		        "id=NAME", class->id_prefix, class->id_prefix);
	for (size_t i = 0; i < class->option_count; i++) {
		if (class->options[i].help)
			print_key_help(stream, class, &class->options[i]);
	}
}
