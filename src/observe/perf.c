/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `perf`: a dummy software event that follows a process and its descendants, with the
 * records of forks, programs and exits that go with it (perf_event_open(2)). An inherited event
 * writes into memory of each CPU; the times bring the records into order. Records are read a moment
 * after they were written: the name of a program comes while its execve is still under way, when
 * /proc does not show its arguments yet.
 *
 * An event that is inherited makes each fork, exit and change of processes dearer. A backend that
 * asks for forks only is told of them from events of the whole machine, where we may have those:
 * they cost a process no more than what is written. One set of them serves all runs of a host. */
#include "base/fd.h"
#include "observe/perf_tell.h"
#include "observe/surroundings.h"
#include "observe/threads.h"
#include "observe/tree_pids.h"
#include "observe/trial.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define WAKES       16
#define DELAY_NS    2000000L
#define DEAF_NS     10000000L    /* the same where more and more is found */
#define PATIENCE_NS 100000000ULL /* for an execve to be over */
#define BUSY        2U           /* times in a row that something was found */
#define PARANOID    "/proc/sys/kernel/perf_event_paranoid"

static void flush(struct backend_run *run)
{
	struct tracked *t = run->state;

	perf_tell(t->follower, 0);
}

static void start_timer(struct follower *f)
{
	struct itimerspec t = { .it_value.tv_nsec = f->deaf ? DEAF_NS : DELAY_NS };

	(void)timerfd_settime(f->timer.fd, 0, &t, NULL);
	if (!f->ticking)
		host_unwatch(f->host, &f->wakes);
	f->ticking = true;
}

/* Whether there is something is seen in memory, on_look(); the descriptor only wakes. */
static void on_records(struct watch *w)
{
	struct epoll_event events[WAKES];

	(void)epoll_wait(w->fd, events, WAKES, 0);
}

static void on_look(struct hook *k)
{
	struct follower *f = container_of(k, struct follower, hook);

	if (!f->ticking && perf_rings_waiting(&f->rings))
		start_timer(f);
}

static void set_deaf(struct follower *f, bool deaf)
{
	if (f->shared && f->deaf != deaf) {
		perf_rings_bells(&f->rings, !deaf);
		f->deaf = deaf;
	}
}

/* Where more and more is found nobody needs to be woken. The bells are on again for a whole time
 * before the one in which nothing is found ends the ticking: nothing slips through. */
static void on_timer(struct watch *w)
{
	struct follower *f = container_of(w, struct follower, timer);
	bool was_deaf = f->deaf, more;
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	f->found |= perf_rings_heard(&f->rings);
	perf_tell(f, PATIENCE_NS);
	more = f->found || f->rings.n_records > 0;
	f->found = false;
	f->row = more ? f->row + 1 : 0;
	set_deaf(f, f->row >= BUSY);
	if (more || was_deaf || host_watch(f->host, &f->wakes) < 0)
		start_timer(f);
	else
		f->ticking = false;
}

/* --- followers ------------------------------------------------------------------------------- */

static void follower_free(struct follower *f)
{
	perf_rings_done(&f->rings);
	host_unhook(&f->hook);
	if (f->timer.fd >= 0)
		host_unwatch(f->host, &f->timer);
	if (f->wakes.fd >= 0 && !f->ticking)
		host_unwatch(f->host, &f->wakes);
	fd_close(f->timer.fd);
	fd_close(f->wakes.fd);
	free(f);
}

static int follower_new(struct follower **ret, struct host *h)
{
	struct follower *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return -ENOMEM;
	f->host = h;
	f->hook.look = on_look;
	host_hook(h, &f->hook);
	f->timer = (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				   on_timer, false, 0 };
	f->wakes = (struct watch){ epoll_create1(EPOLL_CLOEXEC), on_records, false, 0 };
	f->rings.epoll_fd = f->wakes.fd;
	if (f->timer.fd < 0 || f->wakes.fd < 0)
		r = -errno;
	if (r == 0)
		r = host_watch(h, &f->timer);
	if (r == 0)
		r = host_watch(h, &f->wakes);
	if (r < 0) {
		follower_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

/* The follower of the machine; NULL where we may not have one. */
static struct follower *of_machine(struct host *h)
{
	void **shared = host_shared(h, &backend_perf);
	struct follower *f = *shared;

	if (f)
		return f;
	if (follower_new(&f, h) < 0)
		return NULL;
	f->rings.large = true;
	if (perf_rings_attach(&f->rings, -1) < 0) {
		follower_free(f);
		return NULL;
	}
	f->shared = true;
	*shared = f;
	return f;
}

/* --- runs ------------------------------------------------------------------------------------ */

/* What is in the way, and what would help. */
static int refuse(struct error *e, bool everything, int r)
{
	int allows = everything ? 0 : 2, paranoid = sysctl_number(PARANOID, allows);

	if ((r == -EACCES || r == -EPERM) && paranoid > allows)
		return error_set(e, ERROR_UNAVAILABLE,
				 "kernel.perf_event_paranoid is %d: `sudo sysctl "
				 "kernel.perf_event_paranoid=%d` or CAP_PERFMON allows it",
				 paranoid, allows);
	if (r == -EACCES || r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "perf_event_open is refused by a security module or a filter of "
				 "system calls, as of a container: run the daemon outside of it");
	if (r == -ENOSYS || r == -ENOENT)
		return error_set(e, ERROR_UNAVAILABLE,
				 "the kernel has no perf events, or a filter of system calls "
				 "(of a container) refuses them");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "perf_event_open");
}

static int attach(struct tracked *t)
{
	const struct backend_target *target = &t->run->target;
	struct perf_rings *rings = &t->follower->rings;

	if (target->leader != 0 && target->gated && !target->resume)
		(void)threads_born(&t->pids, target->leader);
	if (target->everything)
		return perf_rings_attach(rings, -1);
	return target->leader != 0 ? perf_rings_attach(rings, target->leader) : 0;
}

static void stop(struct backend_run *run)
{
	struct tracked *t = run->state, **place = &t->follower->first;
	struct follower *f = t->follower;

	while (*place != t)
		place = &(*place)->next;
	*place = t->next;
	pidset_done(&t->pids);
	pidset_done(&t->gone);
	free(t);
	run->state = NULL;
	if (f->first)
		return;
	if (f->shared)
		*host_shared(run->host, &backend_perf) = NULL;
	follower_free(f);
}

static int start(struct backend_run *run, struct error *e)
{
	const struct backend_target *target = &run->target;
	struct tracked *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "perf");
	if (target->forks_only && !target->everything)
		t->follower = of_machine(run->host);
	if (t->follower) /* the leader's number may have been another's */
		perf_tell(t->follower, 0);
	if (!t->follower)
		r = follower_new(&t->follower, run->host);
	if (r < 0) {
		free(t);
		return error_set_errno(e, ERROR_INTERNAL, r, "perf");
	}
	run->state = t;
	t->run = run;
	t->next = t->follower->first;
	t->follower->first = t;
	if (t->follower->shared)
		tree_pids_learn(&t->pids, run->host, target, !target->gated || target->resume);
	else
		r = attach(t);
	if (r < 0) {
		stop(run);
		return refuse(e, target->everything, r);
	}
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct tracked *t = run->state;

	if (n->what != NOTE_LEADER || run->target.leader != 0)
		return;
	run->target.leader = n->pid;
	if (t->follower->shared) {
		perf_tell(t->follower, 0); /* as at the start: its own fork, too */
		tree_pids_learn(&t->pids, run->host, &run->target,
				!run->target.gated || run->target.resume);
	} else if (!run->target.everything && attach(t) < 0)
		run_missed(run, REEVE_PROCESS, 1);
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	trial_probe(
		&backend_perf, scope, cgroup_dir, category_bit(REEVE_PROCESS),
		KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXECUTED) | KIND_BIT(REEVE_EXITED),
		REEVE_PARTIAL,
		"forks, executions and exits of the tree, without exit codes; path and arguments "
		"are read afterwards and missed for short-lived programs",
		ret);
}

const struct backend backend_perf = {
	.name = "perf",
	.categories = 1U << REEVE_PROCESS,
	.probe = probe,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
};
