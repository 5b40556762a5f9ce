/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of control groups: which group a process is in, and what its files say. */
/*
 * DOC: /proc/self/cgroup has a line "NUMBER:CONTROLLERS:PATH" for each hierarchy. One that names
 * the controller is of version 1; the line "0::PATH" is version 2. PATH is as this process's
 * cgroup namespace shows it, and the folders are where every distribution and container engine
 * mounts them, so /proc/self/mountinfo is not read for it.
 *
 * A container without a cgroup namespace sees a path of the host's, which is not below the mount
 * that it has: what is missing is passed over, up to the mount's own folder, which then is the
 * container's group.
 *
 * Version 1 says in memory.stat what holds with all groups above counted; its unlimited is the
 * largest number of whole pages. Version 2 has no such file: each level is asked.
 */
#include "cgroup_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SELF_CGROUP "/proc/self/cgroup"
#define MOUNT       "/sys/fs/cgroup"

/* Version 1 of memory says "none" by a number that is near the largest one. */
#define V1_NONE_BYTES (UINT64_C(1) << 62)

/* Of a group's path, which with the mount's and a file's name makes CGROUP_PATH_MAX. */
#define GROUP_MAX 256

/* A number, or "max". */
#define NUMBER_TEXT_MAX 32

struct group {
	bool version_1;
	char path[GROUP_MAX]; /* from the mount's folder; "" is that itself */
};

/* Ends the text behind what was read. */
static bool read_text(cgroup_read_fn read, const char *path, char *text, size_t size_bytes)
{
	ssize_t length = read(path, text, size_bytes - 1);

	text[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/* Whether a list "a,b,c" of that length has the word. */
static bool has_word(const char *list, size_t length, const char *word)
{
	const size_t word_length = strlen(word);

	while (length >= word_length) {
		const char *comma = memchr(list, ',', length);
		size_t item_length = comma ? (size_t)(comma - list) : length;

		if (item_length == word_length && memcmp(list, word, word_length) == 0)
			return true;
		if (!comma)
			return false;
		list += item_length + 1;
		length -= item_length + 1;
	}
	return false;
}

/* The path of a line, without a '/' at its end; what lies outside of this namespace is unseen. */
static void take_path(const char *from, size_t length, char path[GROUP_MAX])
{
	snprintf(path, GROUP_MAX, "%.*s", (int)length, from);
	if (path[0] != '/' || length >= GROUP_MAX || strncmp(path, "/..", 3) == 0 ||
	    strcmp(path, "/") == 0)
		path[0] = '\0';
}

static bool find_group(const char *text, const char *controller, struct group *ret_group)
{
	bool found = false;

	while (*text) {
		size_t length = strcspn(text, "\n");
		const char *names = memchr(text, ':', length), *path = NULL;

		if (names++)
			path = memchr(names, ':', length - (size_t)(names - text));
		if (path) {
			size_t names_length = (size_t)(path++ - names);
			size_t path_length = length - (size_t)(path - text);

			ret_group->version_1 = has_word(names, names_length, controller);
			if (ret_group->version_1 || (names_length == 0 && *text == '0')) {
				take_path(path, path_length, ret_group->path);
				found = true;
			}
			if (ret_group->version_1)
				return true;
		}
		text += length + (text[length] == '\n');
	}
	return found;
}

/* "max" is none. */
static uint64_t parse_limit(const char *text)
{
	uint64_t value;

	return sscanf(text, "%" SCNu64, &value) == 1 ? value : UINT64_MAX;
}

static void keep_lower(struct cgroup_limit *limit, uint64_t value, const char *path)
{
	if (value >= limit->value)
		return;
	limit->value = value;
	snprintf(limit->path, sizeof(limit->path), "%s", path);
}

/* One file of one level. Whether it is there. */
static bool look_at(cgroup_read_fn read, const struct group *group, const char *folder,
                    const char *name, struct cgroup_limit *limit)
{
	char path[CGROUP_PATH_MAX], text[NUMBER_TEXT_MAX];
	int length = snprintf(path, sizeof(path), "%s%s/%s", folder, group->path, name);

	if (length < 0 || (size_t)length >= sizeof(path) ||
	    !read_text(read, path, text, sizeof(text)))
		return false;
	keep_lower(limit, parse_limit(text), path);
	return true;
}

static bool go_up(struct group *group)
{
	char *last = strrchr(group->path, '/');

	if (last)
		*last = '\0';
	return last;
}

/* name of the group and of those above. */
static void look_upwards(cgroup_read_fn read, const struct group *group, const char *folder,
                         const char *name, struct cgroup_limit *limit)
{
	struct group level = *group;

	for (unsigned int i = 0; i < CGROUP_LEVELS_MAX; i++) {
		(void)look_at(read, &level, folder, name, limit);
		if (!go_up(&level))
			return;
	}
}

/* Whether the group's folder is there. */
static bool look_at_memory_v1(cgroup_read_fn read, const struct group *group,
                              struct cgroup_limit *limit)
{
	static const char word[] = "hierarchical_memory_limit ";
	char path[CGROUP_PATH_MAX], text[CGROUP_TEXT_MAX];
	const char *line;
	uint64_t value;
	int length = snprintf(path, sizeof(path), MOUNT "/memory%s/memory.stat", group->path);

	if (length < 0 || (size_t)length >= sizeof(path) ||
	    !read_text(read, path, text, sizeof(text)))
		return false;
	line = strstr(text, word);
	value = line ? parse_limit(line + strlen(word)) : UINT64_MAX;
	length = snprintf(path, sizeof(path), MOUNT "/memory%s/memory.limit_in_bytes", group->path);
	if (value < V1_NONE_BYTES && length > 0 && (size_t)length < sizeof(path))
		keep_lower(limit, value, path);
	return true;
}

void cgroup_memory_limit(cgroup_read_fn read, struct cgroup_memory *ret_memory)
{
	static const struct group top = { .path = "" };
	struct cgroup_limit *max = &ret_memory->max;
	char text[CGROUP_TEXT_MAX];
	struct group group;

	ret_memory->max = ret_memory->high = (struct cgroup_limit){ .value = UINT64_MAX };
	if (!read_text(read, SELF_CGROUP, text, sizeof(text)) ||
	    !find_group(text, "memory", &group))
		return;
	if (group.version_1) {
		if (!look_at_memory_v1(read, &group, max) && group.path[0])
			(void)look_at_memory_v1(read, &top, max);
		return;
	}
	look_upwards(read, &group, MOUNT, "memory.max", max);
	/* Most have none, and the mount's own folder only in a container. */
	if (group.path[0] || max->value != UINT64_MAX)
		(void)look_at(read, &group, MOUNT, "memory.high", &ret_memory->high);
}

void cgroup_process_limit(cgroup_read_fn read, struct cgroup_limit *ret_limit)
{
	char text[CGROUP_TEXT_MAX];
	struct group group;

	*ret_limit = (struct cgroup_limit){ .value = UINT64_MAX };
	if (!read_text(read, SELF_CGROUP, text, sizeof(text)) || !find_group(text, "pids", &group))
		return;
	look_upwards(read, &group, group.version_1 ? MOUNT "/pids" : MOUNT, "pids.max", ret_limit);
}
