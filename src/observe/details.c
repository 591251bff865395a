/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/details.h"
#include "base/clock.h"
#include "base/text.h"
#include "core/proc.h"
#include "core/summary.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 1024U

size_t details_redact(const char *raw, size_t size, char *to, size_t max)
{
	_cleanup_(text_list_freep) char **list = NULL;
	char *argv[ARGS_MAX], copy[EVENT_TEXT_MAX + 1];
	size_t n = 0, used = 0;

	size = MIN(size, (size_t)EVENT_TEXT_MAX);
	memcpy(copy, raw, size);
	copy[size] = '\0';
	for (size_t at = 0; at < size && n < ARGS_MAX; at += strlen(copy + at) + 1)
		argv[n++] = copy + at;
	if (redact_argv(argv, n, &list) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t length = strlen(list[i]) + 1;

		if (length > max - used)
			break;
		memcpy(to + used, list[i], length);
		used += length;
	}
	return used;
}

/* What a link of /proc/PID says; false when it cannot be read. */
static bool read_link(pid_t pid, const char *name, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/%d/%s", (int)pid, name);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return true;
}

void details_of_process(struct details *d, pid_t pid, struct reeve_event *e)
{
	char raw[EVENT_TEXT_MAX];
	struct proc_stat stat;
	size_t n = 0;

	if (read_link(pid, "exe", d->path)) {
		e->path = d->path;
		e->fields |= REEVE_HAS_PATH;
	}
	if (read_link(pid, "cwd", d->cwd)) {
		e->cwd = d->cwd;
		e->fields |= REEVE_HAS_CWD;
	}
	if (proc_arguments(pid, raw, sizeof(raw), &n) >= 0 && n > 0) {
		e->argv_size = (uint32_t)details_redact(raw, n, d->argv, sizeof(d->argv));
		e->argv = d->argv;
		e->fields |= REEVE_HAS_ARGV;
	}
	if (proc_stat_read(pid, &stat) >= 0) {
		e->ppid = stat.ppid;
		memcpy(d->comm, stat.comm, sizeof(d->comm) - 1);
		d->comm[sizeof(d->comm) - 1] = '\0';
		e->comm = d->comm;
		e->fields |= REEVE_HAS_PPID | REEVE_HAS_COMM;
	}
}

int details_exit_code(int status)
{
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

uint64_t details_time(uint64_t monotonic_ns)
{
	struct timespec t;
	uint64_t now;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
	return (clock_realtime_ns() - (now - MIN(monotonic_ns, now))) / 1000000ULL;
}
