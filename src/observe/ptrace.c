/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ptrace`: a tracer of its own stops each process of the tree at the beginning and the
 * end of the calls of interest. What it sees stands in a ring that outlives us. */
#include "base/fd.h"
#include "observe/calls.h"
#include "observe/surroundings.h"
#include "observe/tracer.h"
#include "observe/trial.h"
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#define EVENTS_A_TURN 1024U
#define TICK_NS       4000000L /* between two looks, while there is something to see */
#define SCOPE_FILE    "/proc/sys/kernel/yama/ptrace_scope"

struct reader {
	struct watch watch, timer;
	struct trace_ring ring;
	struct backend_run *run;
	uint64_t at;
	bool paused; /* the ring fills, and then the tracer waits */
	char memory_name[HELD_NAME_MAX], sock_name[HELD_NAME_MAX];
};

/* What the tracer had no room to remember. */
static void tell_lost(struct reader *d)
{
	struct trace_ring_shared *s = d->ring.shared;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		uint64_t lost = atomic_load(&s->lost[c]), told = atomic_load(&s->lost_told[c]);

		if (lost == told)
			continue;
		run_missed(d->run, (enum reeve_category)c, lost - told);
		atomic_store(&s->lost_told[c], lost);
	}
}

static unsigned read_some(struct reader *d, unsigned max)
{
	unsigned n = 0;

	for (; n < max && !d->paused; n++) {
		struct backend_origin origin = { .ring = 0 };
		struct reeve_event *e;

		if (trace_ring_read(&d->ring, &d->at, &e) <= 0)
			break;
		origin.next = d->at;
		if (run_wants(d->run, e->category))
			run_event(d->run, e, &origin);
		reeve_event_free(e);
		trace_ring_consume(&d->ring, d->at);
	}
	tell_lost(d);
	return n;
}

static void look_again(struct reader *d)
{
	struct itimerspec soon = { .it_value.tv_nsec = TICK_NS };

	(void)timerfd_settime(d->timer.fd, 0, &soon, NULL);
}

/* All that is there now; what comes meanwhile may have no end. */
static void read_all(struct reader *d)
{
	uint64_t end = atomic_load(&d->ring.shared->head);
	bool paused = d->paused;

	d->paused = false;
	while (d->at < end && read_some(d, 1) > 0) {
		paused |= d->paused;
		d->paused = false;
	}
	d->paused |= paused;
}

/* The tracer has ended: with its last process, or it was killed, and they with it. */
static void on_end(struct reader *d)
{
	read_all(d);
	host_unwatch(d->run->host, &d->watch);
	d->watch.fd = -1;
	if (atomic_load(&d->ring.shared->done) != 0)
		return;
	host_complain(d->run->host, d->run->target.session,
		      d->run->target.prepared
			      ? "its tracer was killed, and with it all of its processes: their "
				"calls would fail from now on"
			      : "its tracer was killed; it is not observed any more");
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		if (run_wants(d->run, (enum reeve_category)c))
			run_missed(d->run, (enum reeve_category)c, 1);
}

/* The first event after a while: there will be more, and the tracer need not tell of each. */
static void on_events(struct watch *w)
{
	struct reader *d = container_of(w, struct reader, watch);

	if (trace_ring_awake(&d->ring)) {
		(void)read_some(d, EVENTS_A_TURN);
		if (!d->paused)
			look_again(d);
	} else {
		on_end(d);
	}
}

static void on_timer(struct watch *w)
{
	struct reader *d = container_of(w, struct reader, timer);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	if (d->paused)
		return;
	if (read_some(d, EVENTS_A_TURN) > 0 || !trace_ring_sleep(&d->ring, d->at))
		look_again(d);
}

static void flush(struct backend_run *run)
{
	read_all(run->state);
}

/* --- runs ------------------------------------------------------------------------------------ */

/* What a predecessor read from. */
static int open_held(struct reader *d, struct host *h)
{
	int memory = host_held(h, d->memory_name), sock = host_held(h, d->sock_name), r;

	if (memory < 0 || sock < 0) {
		fd_close(memory);
		fd_close(sock);
		return -ENOENT;
	}
	r = trace_ring_open(&d->ring, memory, sock);
	if (r < 0) {
		fd_close(memory);
		fd_close(sock);
		return r;
	}
	d->at = MAX(atomic_load(&d->ring.shared->tail), d->run->target.after[0]);
	return 0;
}

static int start_tracer(struct reader *d)
{
	const struct backend_target *target = &d->run->target;
	struct tracer_config config = { .leader = target->leader,
					.categories = target->categories,
					.detail = target->detail,
					.filtered = target->prepared };
	int r = tracer_start(&d->ring, &config);

	if (r >= 0)
		r = host_hold(d->run->host, d->memory_name, d->ring.memory);
	if (r >= 0)
		r = host_hold(d->run->host, d->sock_name, d->ring.sock);
	return r;
}

static void stop(struct backend_run *run)
{
	struct reader *d = run->state;

	if (d->ring.shared)
		atomic_store(&d->ring.shared->muted, 1); /* the tracer goes on, and says nothing */
	if (d->watch.fd >= 0)
		host_unwatch(run->host, &d->watch);
	if (d->timer.fd >= 0)
		host_unwatch(run->host, &d->timer);
	fd_close(d->timer.fd);
	host_release(run->host, d->memory_name);
	host_release(run->host, d->sock_name);
	trace_ring_close(&d->ring);
	free(d);
	run->state = NULL;
}

static int refuse(struct error *e, int r)
{
	int scope = sysctl_number(SCOPE_FILE, 0);

	if (r == -EPERM && scope > 0)
		return error_set(e, ERROR_UNAVAILABLE,
				 "kernel.yama.ptrace_scope is %d: `sudo sysctl "
				 "kernel.yama.ptrace_scope=0` %s",
				 scope,
				 scope < 3 ? "or CAP_SYS_PTRACE allows it"
					   : "is possible after a reboot only");
	if (r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "ptrace: the process is traced already, or a security module or a "
				 "container's filter refuses it");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "ptrace");
}

static int start(struct backend_run *run, struct error *e)
{
	struct reader *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "ptrace");
	run->state = d;
	d->run = run;
	d->watch.fd = d->timer.fd = -1;
	d->ring.memory = d->ring.sock = -1;
	(void)snprintf(d->memory_name, HELD_NAME_MAX, "s%u/ptrace-ring", run->target.session);
	(void)snprintf(d->sock_name, HELD_NAME_MAX, "s%u/ptrace-wake", run->target.session);
	if (run->target.resume)
		r = open_held(d, run->host);
	else
		r = run->target.leader > 0 ? start_tracer(d) : -ESRCH;
	if (r >= 0) {
		d->watch = (struct watch){ d->ring.sock, on_events, false, 0 };
		d->timer =
			(struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
					on_timer, false, 0 };
		r = d->timer.fd < 0 ? -errno : host_watch(run->host, &d->watch);
		if (r >= 0)
			r = host_watch(run->host, &d->timer);
	}
	if (r < 0) {
		stop(run);
		return refuse(e, r);
	}
	look_again(d);
	return 0;
}

static void pause_reading(struct backend_run *run, bool paused)
{
	struct reader *d = run->state;

	if (!d || d->paused == paused)
		return;
	d->paused = paused;
	if (!paused)
		look_again(d);
}

static int change(struct backend_run *run, unsigned categories, enum backend_detail detail)
{
	struct reader *d = run->state;

	read_all(d); /* of those that nobody wants any more */
	run->target.categories = categories;
	run->target.detail = detail;
	tracer_want(&d->ring, categories, detail);
	return 0;
}

static void prepare(unsigned categories, struct entry *ret)
{
	calls_filter(categories, SECCOMP_RET_TRACE, ret);
	ret->flags = ENTRY_BEHIND_GATE;
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	const struct backend *b = &backend_ptrace;

	if (scope != REEVE_LAUNCHED_TREE) {
		support_set(ret, b->categories, REEVE_UNAVAILABLE,
			    "traces only commands that were started to be observed");
		return;
	}
	trial_probe(b, scope, cgroup_dir, category_bit(REEVE_PROCESS),
		    KIND_BIT(REEVE_EXECUTED) | KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXITED),
		    REEVE_SUPPORTED,
		    "forks, executions and exits with their results; no debugger works inside, and "
		    "without CAP_SYS_ADMIN no sudo",
		    ret);
	trial_probe(
		b, scope, cgroup_dir, category_bit(REEVE_FILE),
		KIND_BIT(REEVE_OPENED) | KIND_BIT(REEVE_CLOSED), REEVE_PARTIAL,
		"calls with their results, bytes by open file; nothing done through io_uring or by "
		"whom a file was sent to; no debugger works inside, and without CAP_SYS_ADMIN no sudo",
		ret);
	trial_probe(b, scope, cgroup_dir, category_bit(REEVE_NETWORK), KIND_BIT(REEVE_CONNECTED),
		    REEVE_PARTIAL,
		    "calls with their results, bytes by socket; not how a connection went that "
		    "nobody waited for; nothing done through io_uring; no debugger works inside, "
		    "and without CAP_SYS_ADMIN no sudo",
		    ret);
}

const struct backend backend_ptrace = {
	.name = "ptrace",
	.categories = 1U << REEVE_FILE | 1U << REEVE_NETWORK | 1U << REEVE_PROCESS,
	.on_request = true,
	.durable = true,
	.probe = probe,
	.prepare = prepare,
	.start = start,
	.flush = flush,
	.pausable = 1U << REEVE_FILE | 1U << REEVE_NETWORK | 1U << REEVE_PROCESS,
	.pause = pause_reading,
	.stop = stop,
	.change = change,
};
