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
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/proc.h"
#include "observe/details.h"
#include "observe/perf_ring.h"
#include "observe/pidset.h"
#include "observe/surroundings.h"
#include "observe/threads.h"
#include "observe/tree_pids.h"
#include "observe/trial.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define WAKES       16
#define DELAY_NS    2000000L
#define PATIENCE_NS 100000000ULL /* for an execve to be over */
#define MANY        64U
#define BUSY        2U /* times in a row that something was found */
#define PARANOID    "/proc/sys/kernel/perf_event_paranoid"

struct follower {
	struct host *host;
	struct tracked *first;
	struct watch timer, wakes; /* an epoll of all CPUs' */
	struct hook hook;
	bool ticking; /* what comes is found when the timer ends; else `wakes` is watched */
	bool found;   /* since the last time it did */
	unsigned row; /* so many times in a row something was */
	bool deaf;    /* the bells are off */
	bool shared;  /* of the machine, for all runs that want no more than forks */
	bool unsure;  /* what is still to be told may lack something in between */
	struct perf_rings rings;
};

/* A run, and whom it observes of those that its follower sees. */
struct tracked {
	struct tracked *next;
	struct backend_run *run;
	struct follower *follower;
	/* Where the follower is shared: */
	struct pidset pids;
	struct pidset gone; /* of these: they were no more before we read what there is */
	bool looked;        /* for those */
	size_t many;        /* so many members are worth it */
	/* Else `pids` has those of whose threads something is known. */
	size_t doubted; /* of `pids`: they end without a word */
};

/* --- events ---------------------------------------------------------------------------------- */

/* False when the process is still in its execve, and the record is not older than `patience`. */
static bool describe(struct details *d, const struct perf_record *r, uint64_t now,
		     uint64_t patience, struct reeve_event *e)
{
	struct proc_stat stat;

	details_of_process(d, (pid_t)r->pid, e);
	if ((e->fields & REEVE_HAS_ARGV) != 0 || now - r->time >= patience)
		return true;
	return proc_stat_read((pid_t)r->pid, &stat) < 0 || proc_stat_dead(&stat);
}

static void tell(struct backend_run *run, struct reeve_event *e, const struct perf_record *r)
{
	e->timestamp_ms = details_time(r->time);
	run_event(run, e, NULL);
}

static bool tell_comm(struct backend_run *run, const struct perf_record *r, uint64_t now,
		      uint64_t patience)
{
	struct reeve_event e;
	struct details d;

	if (!run->target.forks_only && !r->execs)
		return true;
	event_init(&e, REEVE_PROCESS, REEVE_EXECUTED, (int32_t)r->pid);
	if (run->target.forks_only) {
		e.comm = r->comm;
		e.fields |= REEVE_HAS_COMM;
	} else if (!describe(&d, r, now, patience, &e))
		return false;
	tell(run, &e, r);
	return true;
}

static void tell_fork(struct backend_run *run, const struct perf_record *r)
{
	struct reeve_event e;

	event_init(&e, REEVE_PROCESS, REEVE_FORKED, (int32_t)r->ppid);
	e.child_pid = (int32_t)r->pid;
	e.tid = (int32_t)r->ptid;
	e.fields |= REEVE_HAS_CHILD_PID | REEVE_HAS_TID;
	tell(run, &e, r);
}

static void tell_exit(struct backend_run *run, const struct perf_record *r)
{
	struct reeve_event e;

	event_init(&e, REEVE_PROCESS, REEVE_EXITED, (int32_t)r->pid);
	e.ppid = (int32_t)r->ppid;
	e.fields |= REEVE_HAS_PPID;
	tell(run, &e, r);
}

static bool covers_fork(struct tracked *t, const struct perf_record *r)
{
	pid_t pid = (pid_t)r->pid;

	if (r->tid != r->pid) {
		threads_more(&t->pids, pid);
		return false;
	}
	(void)pidset_remove(&t->gone, pid);
	if (t->follower->shared && !pidset_has(&t->pids, (pid_t)r->ppid)) {
		(void)pidset_remove(&t->pids, pid);
		return false;
	}
	if (threads_born(&t->pids, pid) < 0 && t->follower->shared)
		run_missed(t->run, REEVE_PROCESS, 1);
	return true;
}

/* Of a member nobody is forgotten for that: one that executes what may not be traced is told to end
 * then and there, and goes on. */
static bool covers_exit(struct tracked *t, const struct perf_record *r)
{
	int code = 0;

	switch (threads_ended(&t->pids, (pid_t)r->pid, (pid_t)r->tid, &code)) {
	case THREADS_ENDED:
		if (!t->follower->shared)
			(void)pidset_remove(&t->pids, (pid_t)r->pid);
		return true;
	case THREADS_GONE:
		return true;
	case THREADS_DOUBTED:
		t->doubted++;
		return false;
	default:
		return false;
	}
}

/* Whether the run is told of a record; the members of its tree are kept up to date, and how many
 * threads they have. */
static bool covers(struct tracked *t, const struct perf_record *r)
{
	if (r->type == PERF_RECORD_FORK)
		return covers_fork(t, r);
	if (t->follower->shared && !pidset_has(&t->pids, (pid_t)r->pid))
		return false;
	return r->type != PERF_RECORD_EXIT || covers_exit(t, r);
}

/* Whatever a process did that is no more was written before now. */
static void find_gone(struct tracked *t)
{
	const struct pidset *s = &t->pids;

	t->looked = s->n >= t->many;
	for (size_t i = 0; t->looked && i < s->capacity; i++)
		if (s->places[i].pid != 0 && kill(s->places[i].pid, 0) < 0 && errno == ESRCH &&
		    pidset_add(&t->gone, s->places[i].pid) < 0)
			return;
}

/* All that those did was told. Others need not be looked for before there are twice as many. */
static void forget_gone(struct tracked *t)
{
	const struct pidset *s = &t->gone;

	if (!t->looked)
		return;
	for (size_t i = 0; i < s->capacity; i++)
		(void)pidset_remove(&t->pids, s->places[i].pid);
	pidset_done(&t->gone);
	t->many = MAX(2 * t->pids.n, (size_t)MANY);
}

/* Of one that was there before us it is not told which thread is the last. */
static void tell_doubted(struct tracked *t)
{
	size_t at = 0, left = 0;
	struct reeve_event e;
	pid_t pid;

	while (t->doubted > 0 && (pid = threads_next_gone(&t->pids, &at, &left)) != 0) {
		event_init(&e, REEVE_PROCESS, REEVE_EXITED, pid);
		run_event(t->run, &e, NULL);
	}
	t->doubted = left;
}

/* False when it has to wait, which nothing does for those that want no more than forks. */
static bool tell_each(struct follower *f, const struct perf_record *r, uint64_t now,
		      uint64_t patience)
{
	bool told = true;

	for (struct tracked *t = f->first; t; t = t->next) {
		if (!covers(t, r))
			continue;
		if (r->type == PERF_RECORD_FORK)
			tell_fork(t->run, r);
		else if (r->type == PERF_RECORD_EXIT)
			tell_exit(t->run, r);
		else
			told = tell_comm(t->run, r, now, patience);
	}
	return told;
}

/* Of those lost in the machine nobody knows whose they were: a fork may be among them. */
static void tell_lost(struct follower *f)
{
	for (struct tracked *t = f->rings.lost > 0 ? f->first : NULL; t; t = t->next) {
		run_missed(t->run, REEVE_PROCESS, f->rings.lost);
		threads_lost(&t->pids);
		if (!f->shared)
			continue;
		pidset_done(&t->gone); /* their numbers may be those of others now */
		tree_pids_learn(&t->pids, f->host, &t->run->target, true);
	}
	f->rings.lost = 0;
}

static void tell_unsure(struct follower *f)
{
	for (struct tracked *t = f->unsure ? f->first : NULL; t; t = t->next)
		if (t->run->unsure)
			t->run->unsure(t->run);
	f->unsure = f->unsure && f->rings.n_records > 0;
}

/* Tells of what happened, in order; what has to wait is kept, and all that came after it. So does
 * what was written while we read: what came before may stand in memory that we had read already. */
static void tell_all(struct follower *f, uint64_t patience)
{
	struct perf_rings *rings = &f->rings;
	struct timespec t;
	uint64_t now;
	size_t i = 0;

	for (struct tracked *each = f->shared ? f->first : NULL; each; each = each->next)
		find_gone(each);
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
	f->found |= perf_rings_read(rings);
	f->unsure |= rings->lost > 0 || rings->full;
	rings->full = false;
	tell_lost(f);
	while (i < rings->n_records && rings->records[i].time <= now &&
	       tell_each(f, &rings->records[i], now, patience))
		i++;
	perf_rings_drop(rings, i);
	tell_unsure(f);
	for (struct tracked *each = f->first; each; each = each->next) {
		tell_doubted(each);
		forget_gone(each);
	}
}

static void flush(struct backend_run *run)
{
	struct tracked *t = run->state;

	tell_all(t->follower, 0);
}

static void start_timer(struct follower *f)
{
	struct itimerspec t = { .it_value.tv_nsec = DELAY_NS };

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
	tell_all(f, PATIENCE_NS);
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
				   on_timer, false };
	f->wakes = (struct watch){ epoll_create1(EPOLL_CLOEXEC), on_records, false };
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
		tell_all(t->follower, 0);
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
		tell_all(t->follower, 0); /* as at the start: its own fork, too */
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
