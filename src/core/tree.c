/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tree.h"
#include "base/cleanup.h"
#include "core/cgroup.h"
#include "core/proc.h"
#include "core/scan.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#define LOOKS_MAX  8 /* when processes end under our eyes */
#define ROUNDS_MAX 4 /* of stopping, a call */
#define PATIENCE   3 /* calls that only stop, when members will not stand still */

static void clear(struct tree_result *results, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		results[i] = (struct tree_result){ 0 };
}

/* A tree without members may not be gone when a process could not be looked at. */
static bool in_doubt(const struct scan *s)
{
	bool doubt = s->doubtful || (s->unknown && !(s->filter && s->filter->disown_unknown));
	size_t i;

	for (i = 0; doubt && i < s->n_trees; i++) {
		if (scan_count(s, i) == 0)
			return true;
	}
	return false;
}

int tree_alive(const struct tree *trees, size_t n, const struct tree_filter *filter,
	       unsigned *ret_alive)
{
	_cleanup_(scan_done) struct scan s = { 0 };
	int looks, r;
	size_t i;

	scan_init(&s, trees, n, filter);
	s.shallow = true;
	for (looks = 0; looks < LOOKS_MAX; looks++) {
		r = scan_look(&s);
		if (r < 0)
			return r;
		if (in_doubt(&s))
			continue;
		for (i = 0; i < n; i++)
			ret_alive[i] = scan_count(&s, i);
		return s.unknown && filter && filter->disown_unknown;
	}
	return -EAGAIN;
}

int tree_each(const struct tree *trees, size_t n, const struct tree_filter *filter, tree_fn fn,
	      void *userdata)
{
	_cleanup_(scan_done) struct scan s = { 0 };
	size_t i;
	int r;

	scan_init(&s, trees, n, filter);
	r = scan_look(&s);
	for (i = 0; r == 0 && i < s.n_members; i++)
		r = fn(&s.members[i], userdata);
	return r;
}

int tree_populated(const struct tree *t, bool *ret)
{
	if (t->cgroup_dir < 0 || t->cgroup_leaf == 0)
		return -EOPNOTSUPP;
	return cgroup_leaf_populated(t->cgroup_dir, t->cgroup_leaf, ret);
}

/* Whether the whole process has ended: a zombie takes signals as if it lived. */
static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Sends a signal to a process that is a member for certain. Returns 1 when it was sent, 0 when the
 * process was none any more, -EPERM when it may not be signalled. */
static int deliver(const struct scan *s, const struct tree_member *m, int signal, bool wake)
{
	_cleanup_(closep) int pidfd = -EBADF;

	pidfd = pidfd_open(m->pid, 0);
	if (pidfd < 0) /* EINVAL: the pid is a mere thread's by now, ENOENT in newer kernels */
		return errno == ESRCH || errno == EINVAL || errno == ENOENT ? 0 : -errno;
	if (!scan_confirm(s, m) || has_ended(pidfd))
		return 0;
	if (pidfd_send_signal(pidfd, signal, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	if (wake && m->state == 'T' && signal != SIGKILL)
		(void)pidfd_send_signal(pidfd, SIGCONT, NULL, 0);
	return 1;
}

static void note(struct tree_result *result, const struct tree_member *m, pid_t leader,
		 int delivered)
{
	if (delivered > 0 && !m->exiting) {
		result->signalled++;
		result->leader |= m->pid == leader;
	} else if (delivered == -EPERM && result->refused++ < TREE_REFUSED_MAX)
		result->refused_pids[result->refused - 1] = m->pid;
	else if (delivered >= 0)
		result->gone++;
}

int tree_signal(const struct tree *trees, size_t n, const struct tree_filter *filter, int signal,
		bool wake, struct tree_result *results)
{
	_cleanup_(scan_done) struct scan s = { 0 };
	size_t i;
	int r;

	clear(results, n);
	scan_init(&s, trees, n, filter);
	r = scan_look(&s);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		results[i].alive = scan_count(&s, i);
	/* Descendants first: their way up must still stand when they are looked at again. */
	for (i = s.n_members; i-- > 0;) {
		r = deliver(&s, &s.members[i], signal, wake);
		if (r < 0 && r != -EPERM)
			return r;
		note(&results[s.members[i].tree], &s.members[i], trees[s.members[i].tree].leader,
		     r);
	}
	return 0;
}

struct inmates {
	pid_t leader;
	unsigned running;
	bool self, has_leader;
};

static int count_inmate(pid_t pid, void *userdata)
{
	struct inmates *inmates = userdata;
	struct proc_stat stat;

	if (pid == getpid())
		inmates->self = true;
	else if (proc_stat_read(pid, &stat) == 0 && !proc_stat_exiting(&stat)) {
		inmates->running++;
		inmates->has_leader |= pid == inmates->leader;
	}
	return 0;
}

/* All in the tree's cgroup at once, unless the caller is in it too. */
static void kill_inmates(struct tree *t, struct tree_result *result)
{
	struct inmates inmates = { .leader = t->leader };
	bool populated;

	t->contained = false;
	if (tree_populated(t, &populated) < 0 || !populated)
		return;
	if (cgroup_leaf_each_pid(t->cgroup_dir, t->cgroup_leaf, count_inmate, &inmates) < 0)
		return;
	if (inmates.self || cgroup_leaf_kill(t->cgroup_dir, t->cgroup_leaf) < 0)
		return;
	t->contained = true;
	result->signalled += inmates.running;
	result->leader |= inmates.has_leader;
}

struct kill {
	struct scan scan;
	struct tree *trees;
	struct tree_result *results;
};

static void kill_done(struct kill *kill)
{
	scan_done(&kill->scan);
}

/* Was in the cgroup when or after it was killed: needs no more, or waits for the next call. */
static bool is_dying(const struct tree *t, const struct tree_member *m)
{
	return m->exiting || (t->contained && (m->how & TREE_CGROUP));
}

static int stop_member(const struct tree_member *m, void *userdata)
{
	struct kill *kill = userdata;
	struct tree *t = &kill->trees[m->tree];
	int r;

	if (is_dying(t, m) || m->state == 'T' || m->state == 't')
		return 0;
	r = deliver(&kill->scan, m, SIGSTOP, false);
	if (r == -EPERM)
		return 0;
	t->running++;
	return r < 0 ? r : 0;
}

/* Looks, and stops what runs, until nothing does. */
static int stop_all(struct kill *kill, size_t n)
{
	unsigned running;
	size_t i;
	int round, r;

	for (round = 0; round < ROUNDS_MAX; round++) {
		for (i = 0; i < n; i++)
			kill->trees[i].running = 0;
		r = scan_look(&kill->scan);
		if (r < 0)
			return r;
		for (running = 0, i = 0; i < n; i++)
			running += kill->trees[i].running;
		if (running == 0 && !kill->scan.doubtful)
			return 0;
	}
	return 0;
}

static int kill_member(struct kill *kill, const struct tree_member *m)
{
	struct tree *t = &kill->trees[m->tree];
	int r;

	if (is_dying(t, m) || (t->running > 0 && t->patience < PATIENCE))
		return 0;
	r = deliver(&kill->scan, m, SIGKILL, false);
	if (r < 0 && r != -EPERM)
		return r;
	note(&kill->results[m->tree], m, t->leader, r);
	return 0;
}

int tree_kill_step(struct tree *trees, size_t n, const struct tree_filter *filter,
		   struct tree_result *results)
{
	_cleanup_(kill_done) struct kill kill = { .trees = trees, .results = results };
	struct scan *s = &kill.scan;
	size_t i;
	int r;

	clear(results, n);
	for (i = 0; i < n; i++)
		kill_inmates(&trees[i], &results[i]);
	scan_init(s, trees, n, filter);
	s->found = stop_member;
	s->userdata = &kill;
	r = stop_all(&kill, n);
	if (r < 0)
		return r;
	for (i = s->n_members; i-- > 0;) {
		r = kill_member(&kill, &s->members[i]);
		if (r < 0)
			return r;
	}
	r = in_doubt(s);
	for (i = 0; i < n; i++) {
		results[i].alive = scan_count(s, i);
		if (trees[i].running > 0 && trees[i].patience < PATIENCE)
			trees[i].patience++;
		if (results[i].alive > results[i].refused)
			r = 1;
	}
	return r;
}
