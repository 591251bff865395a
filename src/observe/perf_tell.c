/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/perf_tell.h"
#include "base/cleanup.h"
#include "core/proc.h"
#include "observe/details.h"
#include "observe/threads.h"
#include "observe/tree_pids.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <time.h>

#define MANY 64U

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

void perf_tell(struct follower *f, uint64_t patience)
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
