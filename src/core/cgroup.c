/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cgroup.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/dirents.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_AHEAD 1024U
#define LEAF_PATH   64U /* "s4294967295/cgroup.subtree_control" */
#define EVENTS_MAX  1024U

/* The cgroup went away between two steps: the file says ENODEV, its path ENOENT. */
static int gone_is_enoent(int error)
{
	return error == ENODEV ? -ENOENT : -error;
}

static const char *leaf_path(char path[LEAF_PATH], uint32_t leaf, const char *file)
{
	(void)snprintf(path, LEAF_PATH, "s%u%s%s", (unsigned)leaf, file ? "/" : "",
		       file ? file : "");
	return path;
}

static int open_file(int dir, uint32_t leaf, const char *file, int flags)
{
	char path[LEAF_PATH];
	int fd;

	fd = openat(dir, leaf_path(path, leaf, file), flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? gone_is_enoent(errno) : fd;
}

static bool leaf_exists(int dir, uint32_t leaf)
{
	char path[LEAF_PATH];

	return faccessat(dir, leaf_path(path, leaf, NULL), F_OK, 0) == 0;
}

static int write_file(int dir, uint32_t leaf, const char *file, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;

	fd = open_file(dir, leaf, file, O_WRONLY);
	if (fd == -ENOENT && leaf_exists(dir, leaf))
		return -EOPNOTSUPP;
	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		return gone_is_enoent(errno);
	return 0;
}

/* The number behind `key` in a file of lines `KEY NUMBER`. -ENOMSG when it has no such line. */
static int read_key(int dir, uint32_t leaf, const char *file, const char *key, uint64_t *ret)
{
	_cleanup_(closep) int fd = -EBADF;
	char text[EVENTS_MAX], *line, *rest = text;
	size_t length = strlen(key);
	ssize_t n;

	fd = open_file(dir, leaf, file, O_RDONLY);
	if (fd < 0)
		return fd;
	n = fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return gone_is_enoent((int)-n);
	text[n] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, key, length) == 0 && line[length] == ' ') {
			*ret = strtoull(line + length + 1, NULL, 10);
			return 0;
		}
	}
	return -ENOMSG;
}

int cgroup_leaf_make(int dir, uint32_t leaf)
{
	char path[LEAF_PATH];

	return mkdirat(dir, leaf_path(path, leaf, NULL), 0755) < 0 ? -errno : 0;
}

int cgroup_leaf_open(int dir, uint32_t leaf)
{
	return open_file(dir, leaf, NULL, O_PATH | O_DIRECTORY);
}

int cgroup_leaf_procs_fd(int dir, uint32_t leaf)
{
	return open_file(dir, leaf, "cgroup.procs", O_WRONLY);
}

int cgroup_leaf_populated(int dir, uint32_t leaf, bool *ret)
{
	uint64_t value;
	int r;

	r = read_key(dir, leaf, "cgroup.events", "populated", &value);
	if (r == 0)
		*ret = value != 0;
	return r;
}

int cgroup_leaf_kill(int dir, uint32_t leaf)
{
	return write_file(dir, leaf, "cgroup.kill", "1");
}

int cgroup_leaf_freeze(int dir, uint32_t leaf, bool on)
{
	return write_file(dir, leaf, "cgroup.freeze", on ? "1" : "0");
}

int cgroup_leaf_oom_killed(int dir, uint32_t leaf, uint64_t *ret)
{
	int r;

	r = read_key(dir, leaf, "memory.events", "oom_kill", ret);
	if (r == -ENOMSG || (r == -ENOENT && leaf_exists(dir, leaf))) {
		*ret = 0;
		return 0;
	}
	return r;
}

struct pid_walk {
	int fd;
	unsigned depth;
	proc_fn fn;
	void *userdata;
};

static int each_pid(const struct pid_walk *walk);

static int each_pid_below(const char *name, unsigned char type, void *userdata)
{
	struct pid_walk walk = *(const struct pid_walk *)userdata;
	_cleanup_(closep) int fd = -EBADF;

	if (type != DT_DIR || ++walk.depth > CGROUP_DEPTH)
		return 0;
	fd = openat(walk.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	walk.fd = fd;
	return each_pid(&walk);
}

/* A cgroup that goes away has no processes. A threaded one lists none (EOPNOTSUPP): those are
 * listed in the nearest cgroup above that is not threaded. */
static bool is_empty_error(int r)
{
	return r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP;
}

static int each_pid(const struct pid_walk *walk)
{
	_cleanup_(closep) int procs = -EBADF;
	int r;

	procs = openat(walk->fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	r = procs < 0 ? -errno : proc_read_pids(procs, walk->fn, walk->userdata);
	if (r != 0 && !is_empty_error(r))
		return r;
	return dirents_each(walk->fd, NAMES_AHEAD, each_pid_below, (void *)walk);
}

int cgroup_leaf_each_pid(int dir, uint32_t leaf, proc_fn fn, void *userdata)
{
	_cleanup_(closep) int fd = -EBADF;

	fd = open_file(dir, leaf, NULL, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	return each_pid(&(struct pid_walk){ .fd = fd, .fn = fn, .userdata = userdata });
}

static int is_pid(pid_t pid, void *userdata)
{
	return pid == *(pid_t *)userdata;
}

int cgroup_leaf_has(int dir, uint32_t leaf, pid_t pid, bool *ret)
{
	int r;

	r = cgroup_leaf_each_pid(dir, leaf, is_pid, &pid);
	if (r < 0)
		return r;
	*ret = r > 0;
	return 0;
}

struct removal {
	int fd;
	unsigned depth;
};

static int remove_tree(int fd, const char *name, unsigned depth);

static int remove_below(const char *name, unsigned char type, void *userdata)
{
	const struct removal *removal = userdata;

	if (type == DT_DIR && removal->depth < CGROUP_DEPTH)
		(void)remove_tree(removal->fd, name, removal->depth + 1);
	return 0;
}

static int remove_tree(int fd, const char *name, unsigned depth)
{
	struct removal removal = { .depth = depth };
	_cleanup_(closep) int inner = -EBADF;

	if (unlinkat(fd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (inner < 0)
		return -errno;
	removal.fd = inner;
	(void)dirents_each(inner, NAMES_AHEAD, remove_below, &removal);
	return unlinkat(fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int cgroup_leaf_remove(int dir, uint32_t leaf)
{
	char path[LEAF_PATH];

	return remove_tree(dir, leaf_path(path, leaf, NULL), 0);
}

struct leaf_walk {
	int (*fn)(uint32_t leaf, void *userdata);
	void *userdata;
};

static int take_leaf(const char *name, unsigned char type, void *userdata)
{
	const struct leaf_walk *walk = userdata;
	uint64_t leaf;
	char *end;

	if (type != DT_DIR || name[0] != 's' || name[1] < '1' || name[1] > '9')
		return 0;
	leaf = strtoull(name + 1, &end, 10);
	if (*end != '\0' || leaf > UINT32_MAX)
		return 0;
	return walk->fn((uint32_t)leaf, walk->userdata);
}

int cgroup_leaf_each(int dir, int (*fn)(uint32_t leaf, void *userdata), void *userdata)
{
	_cleanup_(closep) int fd = -EBADF;

	/* One of its own: the position in a directory belongs to the open file. */
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gone_is_enoent(errno);
	return dirents_each(fd, NAMES_AHEAD, take_leaf, &(struct leaf_walk){ fn, userdata });
}
