/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the place where cgroups can be made, and trying it. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/cgroup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#define MOUNTINFO_MAX    (16 * MiB)
#define OWN_MAX          (64 * KiB)
#define NAME_BYTES       (CGROUP_TAG_MAX + sizeof("reeve-"))
#define PATH_BYTES       64U
#define TRIAL_LEAF       0U /* "s0": no session has it */
#define REMOVAL_TRIES    200
#define REMOVAL_PAUSE_NS 1000000L

/* Fields of a line of /proc/pid/mountinfo, see proc_pid_mountinfo(5). */
struct mount {
	char *root;  /* of the mount within its file system */
	char *point; /* where it is mounted */
	char *type;
};

/* `\040` is a space: white space and backslashes stand as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		unsigned a = (unsigned)text[0] == '\\' ? (unsigned)text[1] - '0' : 8;
		unsigned b = a < 4 ? (unsigned)text[2] - '0' : 8;
		unsigned c = b < 8 ? (unsigned)text[3] - '0' : 8;

		if (c < 8) {
			*to++ = (char)(a * 64 + b * 8 + c);
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS` */
static bool parse_mount(char *line, struct mount *ret)
{
	struct mount m = { 0 };
	char *word;
	int i;

	for (i = 0; (word = strsep(&line, " ")); i++) {
		if (i == 3)
			m.root = word;
		else if (i == 4)
			m.point = word;
		else if (i > 5 && strcmp(word, "-") == 0)
			break;
	}
	m.type = strsep(&line, " ");
	if (!m.root || !m.point || !m.type)
		return false;
	unescape(m.root);
	unescape(m.point);
	*ret = m;
	return true;
}

/* The path of this process in the hierarchy of version 2: the line `0::/path`. Cuts `text`. */
static char *own_path(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (strncmp(line, "0::/", 4) == 0)
			return line + 3;
	}
	return NULL;
}

/* The file name of cgroup `own` in this mount: nothing when the mount shows another part. */
static bool path_in_mount(const struct mount *m, const char *own, char path[PATH_MAX])
{
	size_t root = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
	int n;

	if (strncmp(own, m->root, root) != 0 || (own[root] != '/' && own[root] != '\0'))
		return false;
	n = snprintf(path, PATH_MAX, "%s%s", m->point, own + root);
	return n > 0 && n < PATH_MAX;
}

/* What to do about it, appended to the message. */
static const char *remedy(int errnum)
{
	switch (errnum) {
	case EACCES:
	case EPERM:
		return "; start the daemon where this user may make cgroups: as a user service of "
		       "systemd, or with Delegate=yes";
	case EROFS:
		return "; the container was started with read-only cgroups";
	case EOPNOTSUPP:
		return "; the cgroup is threaded, or in one that is";
	case EAGAIN:
		return "; cgroup.max.descendants or cgroup.max.depth is reached";
	default:
		return "";
	}
}

static int fail(struct error *e, int r, const char *step, const char *path)
{
	(void)error_set(e, ERROR_UNAVAILABLE, "%s %s: %s%s", step, path, strerror(-r), remedy(-r));
	return r;
}

/* The tried child: enters, tells how it went, and stays until the other side is closed. */
static _Noreturn void try_child(int sock, int procs)
{
	int result = write(procs, "0", 1) < 0 ? errno : 0;
	char byte;

	(void)!write(sock, &result, sizeof(result));
	(void)!read(sock, &byte, 1);
	_exit(0);
}

/* Whether the child came in, and is seen there. */
static int check_child(int sock, int dir, pid_t pid)
{
	int result = 0, r;
	bool seen;
	ssize_t n;

	n = fd_read_full(sock, &result, sizeof(result));
	if (n != (ssize_t)sizeof(result))
		return n < 0 ? (int)n : -ECHILD;
	if (result != 0)
		return -result;
	r = cgroup_leaf_has(dir, TRIAL_LEAF, pid, &seen);
	if (r < 0)
		return r;
	return seen ? 0 : -ESRCH;
}

static int try_enter(int dir)
{
	_cleanup_(closep) int procs = -EBADF, ours = -EBADF, theirs = -EBADF;
	int socks[2], r;
	pid_t pid;

	procs = cgroup_leaf_procs_fd(dir, TRIAL_LEAF);
	if (procs < 0)
		return procs;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0)
		return -errno;
	ours = socks[0];
	theirs = socks[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close(ours);
		try_child(theirs, procs);
	}
	theirs = fd_close(theirs);
	r = check_child(ours, dir, pid);
	ours = fd_close(ours);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

/* The kernel may need a moment after the last process has ended. */
static int remove_trial(int dir)
{
	struct timespec pause = { .tv_nsec = REMOVAL_PAUSE_NS };
	int i, r = -EBUSY;

	for (i = 0; i < REMOVAL_TRIES && r == -EBUSY; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		r = cgroup_leaf_remove(dir, TRIAL_LEAF);
	}
	return r == -ENOENT ? 0 : r;
}

/* Makes or opens the directory in the cgroup at `path`, and tries it. */
static int open_in(const char *path, const char *name, int *ret, struct error *e)
{
	_cleanup_(closep) int parent = -EBADF, dir = -EBADF;
	struct statfs fs;
	struct stat st;
	int r;

	parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return fail(e, -errno, "open cgroup", path);
	if (fstatfs(parent, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return fail(e, -EOPNOTSUPP, "another file system hides cgroup", path);
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return fail(e, -errno, "make a cgroup in", path);
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 || fstat(dir, &st) < 0)
		return fail(e, -errno, "open the new cgroup in", path);
	if (st.st_uid != geteuid())
		return fail(e, -EPERM, "use another user's cgroup in", path);
	r = cgroup_leaf_make(dir, TRIAL_LEAF);
	if (r == 0 || r == -EEXIST)
		r = try_enter(dir);
	(void)remove_trial(dir);
	if (r < 0) {
		(void)unlinkat(parent, name, AT_REMOVEDIR);
		return fail(e, r, "enter a new cgroup in", path);
	}
	*ret = take_fd(&dir);
	return 0;
}

/* Tries each mount that shows this process's own cgroup; the first that works is taken, else the
 * reason of the last one stands. */
static int open_in_mounts(char *mounts, const char *own, const char *name, int *ret,
			  struct error *e)
{
	char path[PATH_MAX], *line;
	struct mount m;
	bool tried = false;
	int r = 0;

	while ((line = strsep(&mounts, "\n"))) {
		if (!parse_mount(line, &m) || strcmp(m.type, "cgroup2") != 0)
			continue;
		if (!path_in_mount(&m, own, path))
			continue;
		r = open_in(path, name, ret, e);
		if (r == 0)
			return 0;
		tried = true;
	}
	if (tried)
		return r;
	(void)error_set(e, ERROR_UNAVAILABLE,
			"no cgroup v2 file system shows this process's cgroup %s; mount one with "
			"`mount -t cgroup2 none /sys/fs/cgroup`",
			own);
	return -EOPNOTSUPP;
}

int cgroup_open(const char *tag, int *ret, struct error *e)
{
	_cleanup_(freep) char *mounts = NULL, *cgroups = NULL;
	const char *mode = getenv("REEVE_CGROUP"), *own;
	char name[NAME_BYTES];
	int r;

	if (mode && strcmp(mode, "off") == 0) {
		(void)error_set(e, ERROR_UNAVAILABLE, "cgroups are turned off: REEVE_CGROUP=off");
		return -EOPNOTSUPP;
	}
	if (tag[0] == '\0' || strlen(tag) > CGROUP_TAG_MAX || strchr(tag, '/'))
		return error_set(e, ERROR_INVALID_ARGUMENT, "cgroup tag \"%.80s\"", tag);
	(void)snprintf(name, sizeof(name), "reeve-%s", tag);
	r = fd_read_file("/proc/self/cgroup", OWN_MAX, &cgroups, NULL);
	if (r < 0)
		return fail(e, r, "read", "/proc/self/cgroup");
	r = fd_read_file("/proc/self/mountinfo", MOUNTINFO_MAX, &mounts, NULL);
	if (r < 0)
		return fail(e, r, "read", "/proc/self/mountinfo");
	own = own_path(cgroups);
	if (!own || strncmp(own, "/..", 3) == 0) {
		(void)error_set(e, ERROR_UNAVAILABLE,
				own ? "this process's cgroup lies outside of its cgroup namespace"
				    : "the kernel has no cgroups of version 2");
		return -EOPNOTSUPP;
	}
	return open_in_mounts(mounts, own, name, ret, e);
}

static int remove_leaf(uint32_t leaf, void *userdata)
{
	(void)cgroup_leaf_remove(*(int *)userdata, leaf);
	return 0;
}

int cgroup_close_down(int dir)
{
	_cleanup_(closep) int parent = -EBADF;
	char link[PATH_BYTES], path[PATH_MAX], *name;
	ssize_t n;
	int r;

	r = cgroup_leaf_each(dir, remove_leaf, &dir);
	if (r < 0)
		return r;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	name = strrchr(path, '/');
	parent = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!name || parent < 0)
		return -errno;
	return unlinkat(parent, name + 1, AT_REMOVEDIR) < 0 ? -errno : 0;
}
