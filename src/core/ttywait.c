/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ttywait.h"
#include "base/clock.h"
#include "base/fd.h"
#include "core/cgroup.h"
#include "core/dirents.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
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
#define NAMES_AHEAD 512U
#define MEMBERS_MAX 4194304U /* as many pids as there can be */
#define AGE_MAX_MS  1000U    /* of what is known of groups */

struct look {
	pid_t foreground;
	uint64_t tty;
	enum tty_wait found;
	bool group_seen;
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

/* Reads what `/proc/PID/PATH` says of a thread: its system call and arguments, or "running". */
static enum tty_wait look_at_thread(const struct look *l, pid_t pid, const char *path)
{
	struct call c = { .pid = pid };
	char name[64], text[256];
	int fd;
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, path);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	fd_close(fd);
	if (n < 0)
		return errno == ENOENT || errno == ESRCH ? TTY_WAIT_NO : TTY_WAIT_UNKNOWN;
	text[n] = '\0';
	if (sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", &c.number, &c.args[0], &c.args[1],
		   &c.args[2], &c.args[3], &c.args[4], &c.args[5]) == 7)
		return look_at_call(l, &c);
	return TTY_WAIT_NO;
}

struct threads {
	const struct look *look;
	pid_t pid;
	enum tty_wait found;
	unsigned n;
};

static int look_at_other(const char *tid, unsigned char type, void *userdata)
{
	struct threads *t = userdata;
	enum tty_wait one;
	char path[64];

	(void)type;
	if (atoi(tid) == t->pid)
		return 0;
	snprintf(path, sizeof(path), "task/%.32s/syscall", tid);
	one = look_at_thread(t->look, t->pid, path);
	if (one != TTY_WAIT_NO)
		t->found = one;
	return one == TTY_WAIT_YES || ++t->n >= THREADS_MAX;
}

/* Most processes have one thread, which is seen without opening their directory. */
static enum tty_wait look_at_process(const struct look *l, pid_t pid)
{
	struct threads t = { .look = l, .pid = pid };
	char path[64];
	struct stat st;
	int fd;

	t.found = look_at_thread(l, pid, "syscall");
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	/* one link for each thread beside those of a directory (proc_task_getattr()) */
	if (t.found == TTY_WAIT_YES || stat(path, &st) < 0 || st.st_nlink <= 3)
		return t.found;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)dirents_each(fd, NAMES_AHEAD, look_at_other, &t);
	fd_close(fd);
	return t.found;
}

/* One that has ended may not be looked at, but it waits for nothing. */
static bool is_dead(pid_t pid)
{
	struct proc_stat st;

	return proc_stat_read(pid, &st) < 0 || proc_stat_dead(&st);
}

static int look_at(pid_t pid, void *userdata)
{
	struct look *l = userdata;
	enum tty_wait one;

	if (getpgid(pid) != l->foreground)
		return 0;
	l->group_seen = true;
	one = look_at_process(l, pid);
	if (one == TTY_WAIT_UNKNOWN && is_dead(pid))
		one = TTY_WAIT_NO;
	if (one != TTY_WAIT_NO)
		l->found = one;
	return one == TTY_WAIT_YES;
}

/* --- groups ---------------------------------------------------------------------------------- */

struct tty_member {
	pid_t pid, group;
};

void tty_groups_done(struct tty_groups *g)
{
	free(g->members);
	*g = (struct tty_groups){ 0 };
}

static int add_member(pid_t pid, void *userdata)
{
	struct tty_groups *g = userdata;
	pid_t group = getpgid(pid);

	if (group <= 0)
		return 0; /* a thread of the kernel, or gone */
	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 256;
		struct tty_member *members =
			room <= MEMBERS_MAX ? reallocarray(g->members, room, sizeof(*members))
					    : NULL;

		if (!members)
			return -ENOMEM;
		g->members = members;
		g->room = room;
	}
	g->members[g->n++] = (struct tty_member){ pid, group };
	return 0;
}

static int renew(struct tty_groups *g)
{
	uint64_t before = clock_processor_us();
	int r;

	g->n = 0;
	r = proc_each(add_member, g);
	g->cost_us = clock_processor_us() - before;
	g->made_ms = clock_monotonic_ms();
	return r;
}

static bool is_fresh(const struct tty_groups *g, pid_t group)
{
	bool known = false;

	for (size_t i = 0; i < g->n && !known; i++)
		known = g->members[i].group == group;
	return known &&
	       clock_monotonic_ms() - g->made_ms < MIN(g->cost_us / 2, (uint64_t)AGE_MAX_MS);
}

static enum tty_wait look_at_group(struct tty_groups *g, struct look *l)
{
	if (!is_fresh(g, l->foreground) && renew(g) < 0)
		return TTY_WAIT_UNKNOWN;
	for (size_t i = 0; i < g->n; i++)
		if (g->members[i].group == l->foreground && look_at(g->members[i].pid, l))
			break;
	return l->found;
}

enum tty_wait tty_wait_look(struct tty_groups *groups, pid_t foreground, uint64_t tty,
			    int cgroup_dir, uint32_t leaf)
{
	struct look l = { .foreground = foreground, .tty = tty };

	if (foreground <= 0)
		return TTY_WAIT_UNKNOWN;
	if (leaf != 0 && cgroup_leaf_each_pid(cgroup_dir, leaf, look_at, &l) >= 0 && l.group_seen)
		return l.found;
	l.found = TTY_WAIT_NO;
	return look_at_group(groups, &l);
}
