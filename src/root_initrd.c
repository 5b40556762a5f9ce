/* SPDX-License-Identifier: Apache-2.0 */
/* Packs the initrd of a guest whose root is a folder. */
/*
 * DOC: What is in it
 *
 *	init            guest-firmware/init, the first program
 *	dev/console     for a kernel that makes none of its own
 *	ebb/settings    lines "KEY=VALUE": mode (overlay or rw), hostname, term, rows, columns
 *	ebb/modules/    list, and what it names, in the order of loading
 *
 * A distribution's kernel has 9P and the overlay as modules. They are looked for in the folder that
 * becomes the root (or the one that modules= names), under lib/modules/RELEASE as depmod left it,
 * and travel in the archive as they lie there: a packed one is unpacked by the kernel itself
 * (finit_module's MODULE_INIT_COMPRESSED_FILE). What modules.dep does not name is built in, or the
 * kernel has it not, which the first program tells when the mount fails.
 *
 * Syscalls: none after set-up
 */
#include "root_initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ebb/bytes.h"
#include "ebb/root_init.h"
#include "kernel_release.h"
#include "module_list.h"
#include "read_file.h"

#define MODULES_DEP_MAX_BYTES (16 * MIB)
#define MODULE_MAX_BYTES      (64 * MIB)
#define SETTINGS_MAX_BYTES    512
#define TERMINAL_MAX          32 /* without NUL */
#define CONSOLE_MAJOR         5
#define CONSOLE_MINOR         1
#define FOLDER_MAX            128
#define FILE_PATH_MAX         (FOLDER_MAX + MODULE_PATH_MAX + 2)

/* Where the modules are. */
struct module_source {
	const char *root; /* the user's word for it */
	const char *option;
	int root_fd;
	char folder[FOLDER_MAX]; /* in it: lib/modules/RELEASE; "" when there is none */
};

static int open_within(int root_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int cannot_read(const struct module_source *source, const char *path, int code,
                       struct error *err)
{
	return error_set(err, -EINVAL, "%s %s: %s in it: %s", source->option, source->root, path,
	                 strerror(-code));
}

/* A regular file of the source of max_bytes at the most, to be read. What it is, is known before it
 * is opened: with some devices that does something. */
static int open_file_within(const struct module_source *source, const char *path,
                            uint64_t max_bytes, size_t *ret_size_bytes)
{
	int path_fd = open_within(source->root_fd, path, O_PATH), ret = path_fd;
	struct stat status;
	char link[32];

	if (path_fd < 0)
		return ret;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	if (fstat(path_fd, &status)) {
		ret = -errno;
	} else if (!S_ISREG(status.st_mode)) {
		ret = -EINVAL;
	} else if ((uint64_t)status.st_size > max_bytes) {
		ret = -EFBIG;
	} else {
		*ret_size_bytes = (size_t)status.st_size;
		ret = open(link, O_RDONLY | O_CLOEXEC);
		ret = ret < 0 ? -errno : ret;
	}
	close(path_fd);
	return ret;
}

/* A file of the source, in memory that the caller frees; -ENOENT without a message. */
static int read_within(const struct module_source *source, const char *path, uint64_t max_bytes,
                       uint8_t **ret_bytes, size_t *ret_size_bytes, struct error *err)
{
	size_t size_bytes = 0;
	int ret, fd = open_file_within(source, path, max_bytes, &size_bytes);
	uint8_t *bytes;

	if (fd == -ENOENT)
		return fd;
	if (fd < 0)
		return cannot_read(source, path, fd, err);
	bytes = malloc(max_u64(size_bytes, 1));
	ret = bytes ? read_file(fd, 0, bytes, size_bytes) : -ENOMEM;
	close(fd);
	if (ret) {
		free(bytes);
		return cannot_read(source, path, ret, err);
	}
	*ret_bytes = bytes;
	*ret_size_bytes = size_bytes;
	return 0;
}

static int packed(int ret, const char *path, struct error *err)
{
	return ret ? error_set_errno(err, ret, "--root: %s does not fit into the initrd", path) : 0;
}

static int pack_module(struct initramfs *archive, const struct module_source *source,
                       struct module_path path, struct error *err)
{
	struct module_path name = module_file_name(path);
	char from[FILE_PATH_MAX], to[INITRAMFS_PATH_MAX];
	size_t size_bytes;
	uint8_t *bytes;
	int ret;

	snprintf(from, sizeof(from), "%s/%.*s", source->folder, (int)path.length, path.text);
	snprintf(to, sizeof(to), "%s/%.*s", ROOT_INITRD_MODULES, (int)name.length, name.text);
	ret = read_within(source, from, MODULE_MAX_BYTES, &bytes, &size_bytes, err);
	if (ret)
		return ret == -ENOENT ? cannot_read(source, from, ret, err) : ret;
	ret = initramfs_add_file(archive, to, 0600, bytes, size_bytes);
	free(bytes);
	return packed(ret, from, err);
}

/* The modules, and behind them their names in the order of loading. */
static int pack_list(struct initramfs *archive, const struct module_source *source,
                     const struct module_list *list, struct error *err)
{
	char names[MODULE_LIST_MAX * (MODULE_PATH_MAX + 1)];
	size_t used = 0;
	int ret = packed(initramfs_add_folder(archive, ROOT_INITRD_MODULES), ROOT_INITRD_MODULES,
	                 err);

	for (size_t i = 0; !ret && i < list->count; i++) {
		struct module_path name = module_file_name(list->paths[i]);

		ret = pack_module(archive, source, list->paths[i], err);
		memcpy(names + used, name.text, name.length);
		names[used + name.length] = '\n';
		used += name.length + 1;
	}
	if (ret)
		return ret;
	return packed(initramfs_add_file(archive, ROOT_INITRD_MODULES "/list", 0600, names, used),
	              "the list of modules", err);
}

/* What the first program needs of the kernel, with a transport for each --transport. */
static int choose_modules(const struct vm_config *config, const char *text, size_t size_bytes,
                          struct module_list *list)
{
	static const char *const names[] = { "virtio_pci", "virtio_mmio", "9pnet_virtio", "9p",
		                             "overlay" };
	const size_t count = ARRAY_SIZE(names) - (config->root_writable ? 1 : 0);

	for (size_t i = 0; i < count; i++) {
		int ret = module_list_add(list, text, size_bytes, names[i]);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int pack_modules(struct initramfs *archive, const struct vm_config *config,
                        const struct module_source *source, struct error *err)
{
	struct module_list list = { .count = 0 };
	char path[FILE_PATH_MAX];
	size_t size_bytes;
	uint8_t *bytes;
	int ret;

	snprintf(path, sizeof(path), "%s/modules.dep", source->folder);
	ret = read_within(source, path, MODULES_DEP_MAX_BYTES, &bytes, &size_bytes, err);
	if (ret == -ENOENT)
		return error_set(err, -EINVAL,
		                 "%s %s: %s is not there (let depmod make it: depmod -b %s %s)",
		                 source->option, source->root, path, source->root,
		                 strrchr(source->folder, '/') + 1);
	if (ret)
		return ret;
	ret = choose_modules(config, (const char *)bytes, size_bytes, &list);
	if (ret)
		ret = cannot_read(source, path, ret, err);
	else
		ret = pack_list(archive, source, &list, err);
	free(bytes);
	return ret;
}

/* Finds the folder of the kernel's modules, if there is one. */
static int find_modules(struct module_source *source, const char *release, struct error *err)
{
	static const char *const folders[] = { "lib/modules", "usr/lib/modules" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		int fd;

		snprintf(source->folder, sizeof(source->folder), "%s/%s", folders[i], release);
		fd = open_within(source->root_fd, source->folder, O_PATH | O_DIRECTORY);
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		if (fd != -ENOENT && fd != -ENOTDIR)
			return cannot_read(source, source->folder, fd, err);
	}
	source->folder[0] = '\0';
	return 0;
}

static int add_modules(struct initramfs *archive, const struct vm_config *config,
                       const struct image *kernel, struct error *err)
{
	struct module_source source = {
		.option = config->root_modules_path ? "--root modules" : "--root",
		.root = config->root_modules_path ? config->root_modules_path : config->root_path,
	};
	char release[KERNEL_RELEASE_MAX];
	int ret = kernel_release_find(kernel, release, err);

	if (ret < 0)
		return ret;
	if (!ret && config->root_modules_path)
		return error_set(err, -EINVAL,
		                 "--root modules=%s: %s does not say which release it is (leave "
		                 "modules out, and build in what it needs)",
		                 source.root, image_name(kernel));
	source.root_fd = open(source.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source.root_fd < 0)
		return error_set(err, -EINVAL, "%s %s: %s", source.option, source.root,
		                 strerror(errno));
	ret = ret ? find_modules(&source, release, err) : 0;
	if (!ret && source.folder[0])
		ret = pack_modules(archive, config, &source, err);
	else if (!ret && config->root_modules_path)
		ret = error_set(err, -EINVAL,
		                "--root modules=%s: has no lib/modules/%s (install the kernel's "
		                "there: make modules_install INSTALL_MOD_PATH=%s)",
		                source.root, release, source.root);
	close(source.root_fd);
	return ret;
}

/* A name of a terminal's kind, and nothing that could be more. */
static bool is_terminal(const char *name)
{
	size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	                             "0123456789.+_-");

	return length && !name[length] && length <= TERMINAL_MAX;
}

static int add_fixed(struct initramfs *archive, const struct vm_config *config,
                     const struct root_terminal *terminal)
{
	static const char *const folders[] = { "dev", "proc", "sys", ROOT_INITRD_FOLDER };
	char settings[SETTINGS_MAX_BYTES];
	int ret = 0;

	snprintf(settings, sizeof(settings), "mode=%s\nhostname=%s\nterm=%s\nrows=%u\ncolumns=%u\n",
	         config->root_writable ? "rw" : "overlay", config->name,
	         terminal->name && is_terminal(terminal->name) ? terminal->name : "linux",
	         terminal->rows, terminal->columns);
	for (size_t i = 0; !ret && i < ARRAY_SIZE(folders); i++)
		ret = initramfs_add_folder(archive, folders[i]);
	if (!ret)
		ret = initramfs_add_character_device(archive, "dev/console", CONSOLE_MAJOR,
		                                     CONSOLE_MINOR);
	if (!ret)
		ret = initramfs_add_file(archive, "init", 0755, root_init_image,
		                         root_init_image_bytes);
	if (!ret)
		ret = initramfs_add_file(archive, ROOT_INITRD_SETTINGS, 0600, settings,
		                         strlen(settings));
	return ret;
}

int root_initrd_build(struct initramfs *archive, const struct vm_config *config,
                      const struct image *kernel, const struct root_terminal *terminal,
                      struct error *err)
{
	int ret = packed(add_fixed(archive, config, terminal), "its first program", err);

	if (!ret)
		ret = add_modules(archive, config, kernel, err);
	if (!ret)
		ret = packed(initramfs_end(archive), "its end", err);
	if (ret)
		initramfs_free(archive);
	return ret;
}
