/* SPDX-License-Identifier: Apache-2.0 */
/* install.c - what root grants for all users of the machine: to the helper that observes with BPF,
 * the capabilities that this takes. */
#include "base/fd.h"
#include "cli/commands.h"
#include "client/daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#define HELPER    "reeve-observe-helper"
#define ATTRIBUTE "security.capability"
#define GRANTED   "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN"

struct install_values {
	bool observe;
};

static const struct option_spec install_specs[] = {
	{ .name = "observe",
	  .help = "grant " HELPER " the capabilities that BPF takes (as root)",
	  .offset = offsetof(struct install_values, observe) },
	{ 0 },
};

const struct option_table daemon_install_options = { install_specs, sizeof(struct install_values) };

static const struct option_spec uninstall_specs[] = {
	{ .name = "observe",
	  .help = "take the capabilities of " HELPER " away (as root)",
	  .offset = offsetof(struct install_values, observe) },
	{ 0 },
};

const struct option_table daemon_uninstall_options = { uninstall_specs,
						       sizeof(struct install_values) };

/* --- the helper --------------------------------------------------------------------------------
 */

/* It stands beside the keeper, where the engine looks for it. */
static int find_helper(char ret[PATH_MAX], struct error *e)
{
	_cleanup_(freep) char *keeper = NULL, *real = NULL;
	int r = daemon_find_keeper(&keeper, e);

	if (r < 0)
		return r;
	real = realpath(keeper, NULL);
	if (!real)
		return error_set_errno(e, ERROR_INTERNAL, errno, "find %s", keeper);
	*strrchr(real, '/') = '\0';
	if (snprintf(ret, PATH_MAX, "%s/" HELPER, real) >= PATH_MAX)
		return error_set_errno(e, ERROR_INTERNAL, ENAMETOOLONG, "find " HELPER);
	return 0;
}

/* Whether somebody else than root could put something else there. In a directory like /tmp nobody
 * can do that to what is root's. */
static bool is_roots(const struct stat *st)
{
	bool sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0;

	return st->st_uid == 0 && ((st->st_mode & (S_IWGRP | S_IWOTH)) == 0 || sticky);
}

static int refuse_foreign(struct error *e, const char *path, size_t n)
{
	return error_set(e, ERROR_FORBIDDEN,
			 "%.*s could be changed by others than root, who would get the "
			 "capabilities with it; install reeve where root alone can write: "
			 "`sudo meson install -C build`",
			 (int)n, path);
}

/* Opens it, one name after the other: what was looked at is what is given the capabilities. */
static int open_helper(const char *path, struct error *e)
{
	_cleanup_(closep) int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t begin = 1;

	while (at >= 0) {
		size_t n = strcspn(path + begin, "/");
		bool last = path[begin + n] == '\0';
		char name[NAME_MAX + 1];
		struct stat st;
		int next;

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, path + begin);
		next = openat(at, name,
			      O_NOFOLLOW | O_CLOEXEC |
				      (last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY));
		if (next < 0 && last && errno == ENOENT)
			return error_set(
				e, ERROR_NOT_FOUND,
				"there is no %s: this reeve was built without BPF programs", path);
		if (next < 0 && errno == ELOOP)
			return error_set(e, ERROR_FORBIDDEN,
					 "%s is a symbolic link, and capabilities are granted to "
					 "files alone: `sudo meson install -C build` installs one",
					 path);
		if (next < 0)
			return error_set_errno(e, ERROR_UNAVAILABLE, errno, "open %s", path);
		fd_close(at);
		at = next;
		if (fstat(at, &st) < 0 || !is_roots(&st) || (last && !S_ISREG(st.st_mode)))
			return refuse_foreign(e, path, begin + n);
		if (last)
			return take_fd(&at);
		begin += n + 1;
	}
	return error_set_errno(e, ERROR_INTERNAL, errno, "open /");
}

/* --- granting and taking away ------------------------------------------------------------------
 */

/* Permitted only: the helper raises what it finds, and so can do with less in a container. */
static const struct vfs_cap_data granted = {
	.magic_etc = VFS_CAP_REVISION_2,
	.data = { { .permitted = 1U << CAP_NET_ADMIN },
		  { .permitted = 1U << (CAP_BPF - 32) | 1U << (CAP_PERFMON - 32) } },
};

static int explain(struct error *e, const char *path, const char *step)
{
	if (errno == EPERM)
		return error_set(e, ERROR_FORBIDDEN,
				 "%s: %s: this root has no CAP_SETFCAP, as in a container", path,
				 step);
	if (errno == ENOTSUP)
		return error_set(e, ERROR_UNAVAILABLE,
				 "%s: %s: its file system knows no file capabilities", path, step);
	return error_set_errno(e, ERROR_UNAVAILABLE, errno, "%s: %s", path, step);
}

static int grant(int fd, const char *path, struct error *e)
{
	struct vfs_cap_data before = { 0 };
	struct statvfs fs;
	bool had = fgetxattr(fd, ATTRIBUTE, &before, sizeof(before)) == sizeof(before) &&
		   memcmp(&before, &granted, sizeof(before)) == 0;

	if (!had && fsetxattr(fd, ATTRIBUTE, &granted, sizeof(granted), 0) < 0)
		return explain(e, path, "grant it " GRANTED);
	printf(had ? "%s has " GRANTED " already\n" : "%s: granted " GRANTED "\n", path);
	if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID) != 0)
		return error_set(e, ERROR_UNAVAILABLE,
				 "%s is on a file system that is mounted nosuid: they take no "
				 "effect there",
				 path);
	puts("Each user's daemon can observe that user's sessions with BPF now; one that runs looks\n"
	     "again with `reeve capabilities --probe`.");
	return 0;
}

static int take_away(int fd, const char *path, struct error *e)
{
	if (fremovexattr(fd, ATTRIBUTE) < 0) {
		if (errno != ENODATA)
			return explain(e, path, "take its capabilities away");
		printf("%s has no capabilities\n", path);
		return 0;
	}
	printf("%s: took its capabilities away\n"
	       "Helpers that run keep theirs until their daemon stops.\n",
	       path);
	return 0;
}

static int change(struct cli *cli, const char *verb,
		  int (*what)(int fd, const char *path, struct error *e))
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX];
	struct error e = { 0 };

	if (geteuid() != 0) {
		error_set(&e, ERROR_FORBIDDEN,
			  "only root can do this: `sudo reeve daemon %s --observe`", verb);
		return cli_fail(cli, &e);
	}
	if (find_helper(path, &e) < 0)
		return cli_fail(cli, &e);
	fd = open_helper(path, &e);
	if (fd < 0 || what(fd, path, &e) < 0)
		return cli_fail(cli, &e);
	return 0;
}

int cmd_daemon_install(struct cli *cli, const void *values, int n, char **operands)
{
	const struct install_values *v = values;

	(void)n;
	(void)operands;
	if (!v->observe)
		return cli_usage(cli,
				 "what is to be installed? There is --observe, for BPF; a daemon "
				 "needs no installation, it starts by itself");
	return change(cli, "install", grant);
}

int cmd_daemon_uninstall(struct cli *cli, const void *values, int n, char **operands)
{
	const struct install_values *v = values;

	(void)n;
	(void)operands;
	if (!v->observe)
		return cli_usage(cli, "what is to be taken away? There is --observe");
	return change(cli, "uninstall", take_away);
}
