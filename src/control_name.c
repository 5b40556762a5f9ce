/* SPDX-License-Identifier: Apache-2.0 */
/* Where control sockets live, and who holds a guest's name. */
/*
 * DOC: A name is a lock
 *
 * NAME.lock is flock()ed for as long as its ebb lives; the kernel drops the lock with the process,
 * however that ends. Whoever holds the lock owns NAME.sock beside it and may remove a stale one.
 *
 * Both files go at an orderly end. Removing a lock file races with a starter that opened it before:
 * it would lock a file that has no name any more. So a starter looks, once it has the lock, whether
 * the name still leads to the file that it locked, and starts again if not.
 *
 * Who lists the guests takes the names that nobody holds for a moment, to remove what a killed ebb
 * left. A starter that meets that moment tries again before it says that the name is taken.
 *
 * The folder must be the user's own and closed to others, so nobody else can put a file or a link
 * into it; inside it paths are used as they are. That is so in /tmp too, where a user has it who
 * has no folder of the session's (a container, a job of a build machine): another user who makes it
 * first only gets ebb refused, and its clients too, which would else believe that user's sockets.
 *
 * Syscalls: main: unlink
 */
#include "ebb/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control_private.h"
#include "ebb/config.h"

#define ROOT_FOLDER "/run/ebb"

/* How often a name may vanish under a starter before it gives up: each time, another ebb ended. */
#define LOCK_ATTEMPTS_MAX 100

/* How often a starter asks for a lock that is held, and how long it waits between. */
#define HELD_ATTEMPTS_MAX 5
#define HELD_WAIT_NS      NS_PER_MS

struct control_name {
	char name[VM_NAME_MAX];
	char lock_path[CONTROL_PATH_MAX];
	char socket_path[CONTROL_PATH_MAX];
	int folder_fd;
	int lock_fd;
};

int control_folder(char path[CONTROL_PATH_MAX], struct error *err)
{
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");
	unsigned int uid = geteuid();
	struct stat status;
	int length;

	if (uid == 0) {
		strcpy(path, ROOT_FOLDER);
		return 0;
	}
	if (runtime_dir && runtime_dir[0] == '/') {
		length = snprintf(path, CONTROL_PATH_MAX, "%s/ebb", runtime_dir);
		if (length >= CONTROL_PATH_MAX)
			return error_set(err, -ENAMETOOLONG,
			                 "XDG_RUNTIME_DIR=%s: too long for a socket's path (the "
			                 "limit is %d bytes with /ebb/NAME.sock)",
			                 runtime_dir, CONTROL_PATH_MAX - 1);
		return 0;
	}
	length = snprintf(path, CONTROL_PATH_MAX, "/run/user/%u", uid);
	if (stat(path, &status) == 0)
		strcpy(path + length, "/ebb");
	else
		snprintf(path, CONTROL_PATH_MAX, "/tmp/ebb-%u", uid);
	return 0;
}

static int join_path(char path[CONTROL_PATH_MAX], const char *folder, const char *name,
                     const char *ending, struct error *err)
{
	int length = snprintf(path, CONTROL_PATH_MAX, "%s/%s%s", folder, name, ending);

	if (length >= CONTROL_PATH_MAX)
		return error_set(err, -ENAMETOOLONG,
		                 "%s/%s%s: too long for a socket's path (the limit is %d bytes)",
		                 folder, name, ending, CONTROL_PATH_MAX - 1);
	return 0;
}

int control_socket_path(const char *name, char path[CONTROL_PATH_MAX], struct error *err)
{
	char folder[CONTROL_PATH_MAX];
	int ret = control_folder(folder, err);

	return ret ? ret : join_path(path, folder, name, ".sock", err);
}

/* The descriptor, or -errno. */
static int open_existing(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The same; the folder is made where it is missing. */
static int open_or_make(const char *folder)
{
	int fd = open_existing(folder);

	if (fd != -ENOENT)
		return fd;
	if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
		/* A machine just started may lack even /run. */
		if (errno != ENOENT || strcmp(folder, ROOT_FOLDER) != 0)
			return -errno;
		if ((mkdir("/run", 0755) != 0 && errno != EEXIST) || mkdir(folder, 0700) != 0)
			return -errno;
	}
	return open_existing(folder);
}

/* Root's folder is a fixed one, whatever the environment says. */
static const char *or_another_folder(void)
{
	return geteuid() ? ", or set XDG_RUNTIME_DIR to a folder of your own" : "";
}

/* fd: of the folder, or why there is none. Returns it, or closes it and returns an error. */
static int judge_folder(const char *folder, int fd, struct error *err)
{
	struct stat status;
	int ret = 0;

	if (fd == -ENOTDIR || fd == -ELOOP)
		return error_set(
			err, fd,
			"%s: not a folder, which control sockets need (a file or a link is "
			"in its place: remove it%s)",
			folder, or_another_folder());
	if (fd == -ENOENT)
		return error_set(
			err, fd,
			"%s: cannot be made for control sockets: the folder above it is not "
			"there (create that%s)",
			folder, or_another_folder());
	if (fd < 0)
		return error_set_errno(err, fd, "%s: the control sockets' folder", folder);
	if (fstat(fd, &status) != 0)
		ret = error_set_errno(err, -errno, "%s", folder);
	else if (status.st_uid != geteuid())
		ret = error_set(err, -EPERM, "%s: it belongs to user %u, not to you (remove it%s)",
		                folder, (unsigned int)status.st_uid, or_another_folder());
	else if (status.st_mode & 077)
		ret = error_set(err, -EPERM, "%s: mode %04o lets others in (chmod 700 it)", folder,
		                (unsigned int)status.st_mode & 07777);
	if (ret)
		close(fd);
	return ret ? ret : fd;
}

int control_open_folder(const char *folder, struct error *err)
{
	return judge_folder(folder, open_or_make(folder), err);
}

int control_check_folder(const char *folder, struct error *err)
{
	int fd = open_existing(folder);

	if (fd == -ENOENT)
		return 0;
	fd = judge_folder(folder, fd, err);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Whether the path still leads to what fd locks. */
static bool is_same_file(int fd, const char *path)
{
	struct stat locked, named;

	return fstat(fd, &locked) == 0 && lstat(path, &named) == 0 &&
	       locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

/* Returns the locked descriptor, or -EEXIST when another holds it held_attempts times, or -errno.
 */
static int lock_file(const char *path, unsigned int held_attempts)
{
	static const struct timespec wait = { .tv_nsec = HELD_WAIT_NS };

	for (unsigned int attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
		int ret, fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd < 0)
			return -errno;
		ret = flock(fd, LOCK_EX | LOCK_NB) != 0 ? -errno : 0;
		if (!ret && is_same_file(fd, path))
			return fd;
		close(fd);
		if (ret && ret != -EWOULDBLOCK)
			return ret;
		if (ret && --held_attempts == 0)
			return -EEXIST;
		if (ret)
			nanosleep(&wait, NULL);
	}
	return -EBUSY;
}

static int fill_paths(struct control_name *name, struct error *err)
{
	char folder[CONTROL_PATH_MAX];
	int ret = control_folder(folder, err);

	if (!ret)
		ret = join_path(name->lock_path, folder, name->name, ".lock", err);
	if (!ret)
		ret = join_path(name->socket_path, folder, name->name, ".sock", err);
	if (!ret)
		ret = name->folder_fd = control_open_folder(folder, err);
	return ret < 0 ? ret : 0;
}

static int take_name(const char *name, unsigned int held_attempts, struct control_name **ret_name,
                     struct error *err)
{
	struct control_name *taken;
	int ret;

	if (!vm_name_is_valid(name))
		return error_set(err, -EINVAL, "%s: not a guest's name", name);
	taken = calloc(1, sizeof(*taken));
	if (!taken)
		return error_set_errno(err, -ENOMEM, "the name %s", name);
	strcpy(taken->name, name);
	taken->folder_fd = -1;
	ret = fill_paths(taken, err);
	if (ret)
		goto free_taken;
	ret = lock_file(taken->lock_path, held_attempts);
	if (ret == -EEXIST) {
		error_set(err, ret,
		          "--name %s: a guest of that name is running (choose another name, or end "
		          "it with ebb stop %s)",
		          name, name);
		goto free_taken;
	}
	if (ret < 0) {
		error_set_errno(err, ret, "%s", taken->lock_path);
		goto free_taken;
	}
	taken->lock_fd = ret;
	*ret_name = taken;
	return 0;

free_taken:
	if (taken->folder_fd >= 0)
		close(taken->folder_fd);
	free(taken);
	return ret;
}

int control_name_acquire(const char *name, struct control_name **ret_name, struct error *err)
{
	return take_name(name, HELD_ATTEMPTS_MAX, ret_name, err);
}

void control_name_clean(const char *name)
{
	struct control_name *taken;

	if (!take_name(name, 1, &taken, NULL))
		control_name_release(taken);
}

const char *control_name_socket_path(const struct control_name *name)
{
	return name->socket_path;
}

int control_name_folder_fd(const struct control_name *name)
{
	return name->folder_fd;
}

void control_name_release(struct control_name *name)
{
	if (!name)
		return;
	unlink(name->socket_path);
	unlink(name->lock_path);
	close(name->lock_fd);
	close(name->folder_fd);
	free(name);
}
