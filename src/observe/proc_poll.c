/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `subreaper-proc-poll`: looks at /proc again and again. Needs nothing, and misses what
 * lives shorter than the pause between two looks. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "core/proc.h"
#include "core/tree.h"
#include "observe/details.h"
#include "observe/trial.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#define PAUSE_MIN_MS 50U
#define PAUSE_MAX_MS 1000U
#define MEMBERS_MAX  65536U

struct member {
	pid_t pid, ppid;
	uint64_t start;   /* with the pid it names a process */
	uint64_t program; /* changes with an execve; 0: has not exec'd since its fork */
};

struct members {
	struct member *items;
	size_t n, capacity;
};

struct poller {
	struct backend_run *run;
	struct watch watch; /* a timer */
	uint64_t pause_ms;
	struct members known, next;
	bool leader_exited;
	bool leader_gone; /* not seen any more; told at the next look unless its exit is noted */
};

static struct poller *poller_of(struct watch *w)
{
	return container_of(w, struct poller, watch);
}

static int by_pid(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* What runs in it: a hash of file, arguments. */
static uint64_t program_of(pid_t pid, const struct proc_stat *stat)
{
	struct details d;
	struct reeve_event e = { 0 };
	uint64_t hash[2], path[2] = { 0 };

	if ((stat->flags & PROC_FORKNOEXEC) != 0)
		return 0;
	details_of_process(&d, pid, &e);
	if (e.path)
		text_hash128(e.path, strlen(e.path), path);
	text_hash128(e.argv ? e.argv : "", e.argv_size, hash);
	return (hash[0] ^ path[0]) | 1;
}

static int add(struct members *m, pid_t pid)
{
	struct proc_stat stat;

	if (m->n == MEMBERS_MAX || proc_stat_read(pid, &stat) < 0 || proc_stat_dead(&stat) ||
	    (stat.flags & PROC_KTHREAD) != 0)
		return 0;
	if (m->n == m->capacity) {
		size_t capacity = MAX(m->capacity * 2, (size_t)64);
		struct member *more = reallocarray(m->items, capacity, sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->items = more;
		m->capacity = capacity;
	}
	m->items[m->n++] = (struct member){ pid, stat.ppid, stat.start, program_of(pid, &stat) };
	return 0;
}

static int add_member(const struct tree_member *m, void *userdata)
{
	return add(userdata, m->pid);
}

static int add_any(pid_t pid, void *userdata)
{
	return add(userdata, pid);
}

static int look(struct poller *p, struct members *ret)
{
	const struct backend_target *t = &p->run->target;
	struct tree tree = {
		.mark = t->mark,
		.cgroup_dir = t->cgroup_leaf != 0 ? host_cgroup_dir(p->run->host) : -1,
		.cgroup_leaf = t->cgroup_leaf,
		.leader = p->leader_exited ? 0 : t->leader,
	};
	int r;

	ret->n = 0;
	r = t->everything ? proc_each(add_any, ret) : tree_each(&tree, 1, NULL, add_member, ret);
	if (r >= 0 && ret->n > 0)
		qsort(ret->items, ret->n, sizeof(*ret->items), by_pid);
	return r;
}

static void tell_born(struct poller *p, const struct member *m)
{
	struct reeve_event e;

	if (m->pid == p->run->target.leader)
		return;
	event_init(&e, REEVE_PROCESS, REEVE_FORKED, m->ppid);
	e.child_pid = m->pid;
	e.fields |= REEVE_HAS_CHILD_PID;
	run_event(p->run, &e, NULL);
}

static void tell_program(struct poller *p, const struct member *m)
{
	struct reeve_event e;
	struct details d;

	event_init(&e, REEVE_PROCESS, REEVE_EXECUTED, m->pid);
	details_of_process(&d, m->pid, &e);
	run_event(p->run, &e, NULL);
}

static void tell_gone(struct poller *p, const struct member *m)
{
	struct reeve_event e;

	if (m->pid == p->run->target.leader && !p->leader_gone) {
		p->leader_gone = true; /* who reaps it knows its exit code */
		return;
	}
	event_init(&e, REEVE_PROCESS, REEVE_EXITED, m->pid);
	e.ppid = m->ppid;
	e.fields |= m->ppid != 0 ? REEVE_HAS_PPID : 0;
	run_event(p->run, &e, NULL);
}

/* Below 0: `old` has gone. Above: `new` has come. 0: they are one process. One may be NULL. */
static int order(const struct member *old, const struct member *new)
{
	if (!old || !new)
		return old ? -1 : 1;
	if (old->pid != new->pid)
		return old->pid < new->pid ? -1 : 1;
	return old->start == new->start ? 0 : -1; /* the pid was used again */
}

/* Returns whether something was told. */
static bool compare(struct poller *p, const struct members *before, const struct members *now)
{
	size_t i = 0, j = 0;
	bool news = false;

	while (i < before->n || j < now->n) {
		const struct member *old = i < before->n ? &before->items[i] : NULL;
		const struct member *new = j < now->n ? &now->items[j] : NULL;
		int which = order(old, new);

		if (which < 0)
			tell_gone(p, old);
		else if (which > 0)
			tell_born(p, new);
		if (which > 0 || (which == 0 && new->program != old->program)) {
			if (new->program != 0)
				tell_program(p, new);
			news = true;
		}
		news |= which < 0;
		i += which <= 0;
		j += which >= 0;
	}
	return news;
}

static void set_timer(struct poller *p)
{
	struct itimerspec t = { .it_value = { .tv_sec = (time_t)(p->pause_ms / 1000),
					      .tv_nsec = (long)(p->pause_ms % 1000) * 1000000L } };

	(void)timerfd_settime(p->watch.fd, 0, &t, NULL);
}

static void flush(struct backend_run *run)
{
	struct poller *p = run->state;
	struct members swap;
	bool news;

	if (p->leader_gone && !p->leader_exited) {
		tell_gone(p, &(struct member){ .pid = run->target.leader });
		p->leader_exited = true;
	}
	if (look(p, &p->next) < 0)
		return; /* no memory, no descriptors: the next look may do better */
	news = compare(p, &p->known, &p->next);
	swap = p->known;
	p->known = p->next;
	p->next = swap;
	p->pause_ms = news ? PAUSE_MIN_MS : MIN(p->pause_ms * 3 / 2, (uint64_t)PAUSE_MAX_MS);
}

static void on_timer(struct watch *w)
{
	struct poller *p = poller_of(w);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	flush(p->run);
	set_timer(p);
}

static void stop(struct backend_run *run)
{
	struct poller *p = run->state;

	host_unwatch(run->host, &p->watch);
	fd_close(p->watch.fd);
	free(p->known.items);
	free(p->next.items);
	free(p);
	run->state = NULL;
}

/* What is there already was not born under our eyes. */
static void learn(struct poller *p)
{
	if (p->run->target.leader != 0 || p->run->target.everything)
		(void)look(p, &p->known);
}

static int start(struct backend_run *run, struct error *e)
{
	struct poller *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "subreaper-proc-poll");
	p->run = run;
	p->pause_ms = PAUSE_MIN_MS;
	p->watch = (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				   on_timer, false, 0 };
	r = p->watch.fd < 0 ? -errno : host_watch(run->host, &p->watch);
	if (r < 0) {
		fd_close(p->watch.fd);
		free(p);
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "subreaper-proc-poll: timer");
	}
	run->state = p;
	learn(p);
	set_timer(p);
	return 0;
}

/* The one exit whose code is known: the leader's. */
static void leader_exited(struct poller *p, const struct backend_note *n)
{
	struct reeve_event e;

	if (p->leader_exited)
		return;
	p->leader_gone = false;
	flush(p->run);
	for (size_t i = 0; i < p->known.n; i++) {
		if (p->known.items[i].pid != n->pid)
			continue;
		memmove(&p->known.items[i], &p->known.items[i + 1],
			(p->known.n - i - 1) * sizeof(*p->known.items));
		p->known.n--;
		break;
	}
	p->leader_exited = p->leader_gone = true;
	event_init(&e, REEVE_PROCESS, REEVE_EXITED, n->pid);
	e.exit_code = n->exit_code;
	e.fields |= REEVE_HAS_EXIT_CODE;
	run_event(p->run, &e, NULL);
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct poller *p = run->state;

	if (n->what == NOTE_LEADER && run->target.leader == 0) {
		run->target.leader = n->pid;
		learn(p);
	} else if (n->what == NOTE_EXITED && n->pid == run->target.leader) {
		leader_exited(p, n);
	}
}

/* A process that was there is seen to go; what lives short may be missed, and is not asked for. */
static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	trial_probe(&backend_subreaper_proc_poll, scope, cgroup_dir, category_bit(REEVE_PROCESS),
		    KIND_BIT(REEVE_EXITED), REEVE_PARTIAL,
		    "/proc is looked at every 50 ms to 1 s: misses processes that live shorter, "
		    "paths of those that just ended, and exit codes of all but the command",
		    ret);
}

const struct backend backend_subreaper_proc_poll = {
	.name = "subreaper-proc-poll",
	.categories = 1U << REEVE_PROCESS,
	.probe = probe,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
};
