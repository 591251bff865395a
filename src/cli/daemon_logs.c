/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_logs.c - the end of the daemon's log, and what comes behind it. */
#include "base/fd.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "client/daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define LINES_DEFAULT "30"
#define LINES_MAX     100000U
#define LOOK_MS       1000 /* for a file that was replaced */

struct logs_values {
	bool follow;
	const char *lines;
};

static const struct option_spec specs[] = {
	{ .name = "follow",
	  .letter = 'f',
	  .help = "and what comes",
	  .offset = offsetof(struct logs_values, follow) },
	{ .name = "lines",
	  .letter = 'n',
	  .argument = "N",
	  .help = "the last N lines (default: 30)",
	  .type = OPTION_NUMBER,
	  .offset = offsetof(struct logs_values, lines) },
	{ 0 },
};

const struct option_table daemon_logs_options = { specs, sizeof(struct logs_values) };

static int copy_new(int fd)
{
	char bytes[16384];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		if (fd_write_all(STDOUT_FILENO, bytes, (size_t)n) < 0)
			return -EPIPE;
	return n < 0 ? -errno : 0;
}

static bool was_replaced(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino != named.st_ino;
}

/* Until it is killed, or nobody reads. */
static int follow(const struct paths *paths, int fd, struct error *e)
{
	_cleanup_(closep) int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd p = { .fd = watch, .events = POLLIN };
	char events[4096];
	int r;

	if (watch >= 0)
		inotify_add_watch(watch, paths->log, IN_MODIFY);
	while ((r = copy_new(fd)) == 0) {
		if (was_replaced(fd, paths->log)) {
			int newer = open(paths->log, O_RDONLY | O_CLOEXEC);

			if (newer >= 0) {
				dup3(newer, fd, O_CLOEXEC);
				close(newer);
				inotify_add_watch(watch, paths->log, IN_MODIFY);
				continue;
			}
		}
		if (poll(&p, 1, LOOK_MS) > 0)
			(void)!read(watch, events, sizeof(events));
	}
	return r == -EPIPE ? 0 : error_set_errno(e, ERROR_INTERNAL, r, "read %s", paths->log);
}

int cmd_daemon_logs(struct cli *cli, const void *values, int n, char **operands)
{
	const struct logs_values *v = values;
	_cleanup_(freep) char *tail = NULL;
	_cleanup_(closep) int fd = -1;
	struct error e = { 0 };
	struct client *client = cli_client(cli, &e);
	const struct paths *paths = client ? client_paths(client) : NULL;
	uint64_t lines;

	(void)n;
	(void)operands;
	if (!paths)
		return cli_fail(cli, &e);
	if (parse_u64(v->lines ? v->lines : LINES_DEFAULT, 0, LINES_MAX, &lines) < 0)
		return cli_usage(cli, "--lines: at most %u", LINES_MAX);
	fd = open(paths->log, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_set_errno(&e, ERROR_NOT_FOUND, errno, "open %s", paths->log);
		return cli_fail(cli, &e);
	}
	lseek(fd, 0, SEEK_END);
	if (lines > 0 && daemon_log_tail(paths, (unsigned)lines, &tail) == 0)
		fputs(tail, stdout);
	fflush(stdout);
	if (v->follow && follow(paths, fd, &e) < 0)
		return cli_fail(cli, &e);
	return 0;
}
