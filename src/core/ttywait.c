/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ttywait.h"
#include "base/fd.h"
#include "core/cgroup.h"
#include "core/proc.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREADS_MAX 64U
#define FDS_MAX     1024U
#define FDINFO_MAX  65536U

struct look {
	pid_t foreground;
	uint64_t tty;
	enum tty_wait found;
	bool leader_seen;
};

/* One thread's system call, while it sleeps in it. */
struct call {
	pid_t pid;
	long number;
	uint64_t args[6];
};

/* By its own device number, or as /dev/tty, which has one of its own. */
static bool is_terminal(const struct look *l, pid_t pid, int fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return stat(path, &st) == 0 && S_ISCHR(st.st_mode) &&
	       (st.st_rdev == l->tty || st.st_rdev == makedev(5, 0));
}

static int read_memory(pid_t pid, uint64_t at, void *to, size_t n)
{
	struct iovec local = { to, n }, remote = { (void *)(uintptr_t)at, n };
	ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return got < 0 ? -errno : got == (ssize_t)n ? 0 : -EFAULT;
}

static enum tty_wait in_poll(const struct look *l, const struct call *c)
{
	struct pollfd fds[FDS_MAX];
	size_t n = c->args[1] < FDS_MAX ? c->args[1] : FDS_MAX;

	if (n == 0)
		return TTY_WAIT_NO;
	if (read_memory(c->pid, c->args[0], fds, n * sizeof(fds[0])) < 0)
		return TTY_WAIT_UNKNOWN;
	for (size_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && fds[i].events & POLLIN && is_terminal(l, c->pid, fds[i].fd))
			return TTY_WAIT_YES;
	return TTY_WAIT_NO;
}

static enum tty_wait in_select(const struct look *l, const struct call *c)
{
	uint64_t set[FDS_MAX / 64] = { 0 };
	size_t n = c->args[0] < FDS_MAX ? c->args[0] : FDS_MAX;

	if (n == 0 || c->args[1] == 0)
		return TTY_WAIT_NO;
	if (read_memory(c->pid, c->args[1], set, (n + 63) / 64 * 8) < 0)
		return TTY_WAIT_UNKNOWN;
	for (size_t fd = 0; fd < n; fd++)
		if (set[fd / 64] & 1ULL << (fd % 64) && is_terminal(l, c->pid, (int)fd))
			return TTY_WAIT_YES;
	return TTY_WAIT_NO;
}

static enum tty_wait in_epoll(const struct look *l, const struct call *c)
{
	char path[64], *text = NULL, *line, *rest;
	enum tty_wait found = TTY_WAIT_NO;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)c->pid, (int)c->args[0]);
	if (fd_read_file(path, FDINFO_MAX, &text, &n) < 0)
		return TTY_WAIT_UNKNOWN;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		unsigned events;
		int fd;

		if (sscanf(line, "tfd: %d events: %x", &fd, &events) == 2 && events & EPOLLIN &&
		    is_terminal(l, c->pid, fd))
			found = TTY_WAIT_YES;
	}
	free(text);
	return found;
}

static enum tty_wait in_read(const struct look *l, const struct call *c)
{
	return is_terminal(l, c->pid, (int)c->args[0]) ? TTY_WAIT_YES : TTY_WAIT_NO;
}

static const struct {
	long number;
	enum tty_wait (*look)(const struct look *l, const struct call *c);
} calls[] = {
	{ SYS_read, in_read },          { SYS_readv, in_read },        { SYS_ppoll, in_poll },
	{ SYS_pselect6, in_select },    { SYS_epoll_pwait, in_epoll },
#ifdef SYS_poll
	{ SYS_poll, in_poll },
#endif
#ifdef SYS_select
	{ SYS_select, in_select },
#endif
#ifdef SYS_epoll_wait
	{ SYS_epoll_wait, in_epoll },
#endif
#ifdef SYS_epoll_pwait2
	{ SYS_epoll_pwait2, in_epoll },
#endif
};

static enum tty_wait look_at_call(const struct look *l, const struct call *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].number == c->number)
			return calls[i].look(l, c);
	return TTY_WAIT_NO;
}

static enum tty_wait look_at_thread(const struct look *l, pid_t pid, const char *tid)
{
	struct call c = { .pid = pid };
	char path[300], *text = NULL;
	enum tty_wait found = TTY_WAIT_NO;
	size_t n;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", (int)pid, tid);
	r = fd_read_file(path, 4096, &text, &n);
	if (r < 0)
		return r == -ENOENT || r == -ESRCH ? TTY_WAIT_NO : TTY_WAIT_UNKNOWN;
	if (sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", &c.number, &c.args[0], &c.args[1],
		   &c.args[2], &c.args[3], &c.args[4], &c.args[5]) == 7)
		found = look_at_call(l, &c);
	free(text);
	return found;
}

static enum tty_wait look_at_process(const struct look *l, pid_t pid)
{
	enum tty_wait found = TTY_WAIT_NO;
	char path[64];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return TTY_WAIT_NO;
	while (found != TTY_WAIT_YES && n < THREADS_MAX && (entry = readdir(dir))) {
		enum tty_wait one;

		if (entry->d_name[0] == '.')
			continue;
		n++;
		one = look_at_thread(l, pid, entry->d_name);
		if (one != TTY_WAIT_NO)
			found = one;
	}
	closedir(dir);
	return found;
}

static int look_at(pid_t pid, void *userdata)
{
	struct look *l = userdata;
	struct proc_stat st;
	enum tty_wait one;

	l->leader_seen |= pid == l->foreground;
	if (getpgid(pid) != l->foreground || proc_stat_read(pid, &st) < 0 || proc_stat_dead(&st))
		return 0;
	one = look_at_process(l, pid);
	if (one != TTY_WAIT_NO)
		l->found = one;
	return one == TTY_WAIT_YES;
}

enum tty_wait tty_wait_look(pid_t foreground, uint64_t tty, int cgroup_dir, uint32_t leaf)
{
	struct look l = { .foreground = foreground, .tty = tty };

	if (foreground <= 0)
		return TTY_WAIT_UNKNOWN;
	if (leaf != 0 && cgroup_leaf_each_pid(cgroup_dir, leaf, look_at, &l) >= 0 && l.leader_seen)
		return l.found;
	l.found = TTY_WAIT_NO;
	proc_each(look_at, &l);
	return l.found;
}
