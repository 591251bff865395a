/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `seccomp-user-notify`: a filter of system calls (seccomp(2)) that the command
 * installs before its execve holds each call of interest until we have looked at it. We never
 * answer anything but "go on".
 *
 * What was received is written by the kernel into `pending`, which outlives us: a call that a dead
 * predecessor had received is not announced again, and waits until it is answered. */
#include "observe/seccomp_notify.h"
#include "base/clock.h"
#include "base/fd.h"
#include "observe/call_decode.h"
#include "observe/call_home.h"
#include "observe/call_socket.h"
#include "observe/caller_memory.h"
#include "observe/notify_probe.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define CALLS_A_TURN  16U
#define CALLS_A_FLUSH 64U
#define WINDOW        128U   /* calls after which the way of waking is chosen anew */
#define CROWDED       32U    /* of these came while another was being answered */
#define SLOW_US       100U   /* taking turns took so long: others want this CPU, too */
#define REST_MIN_US   50000U /* not done again for so long, at first */
#define REST_MAX_US   3200000U

_Static_assert(sizeof(struct seccomp_notif) <= BACKEND_PENDING, "a notification does not fit");

/* One listener. It is answered for as long as a process is under its filter. */
struct listener {
	struct listener *next; /* of those nobody wants to hear of */
	struct watch watch;    /* a descriptor of our own */
	struct host *host;
	struct notifier *notifier;
	struct backend_run *run; /* NULL: calls are just let pass */
	struct seccomp_notif *pending, own;
	bool paused; /* not watched: the calls wait */
	unsigned answered, crowded;
	bool sync; /* the caller is woken on this CPU: good for one, bad for many at once */
	uint32_t last, before;   /* whose calls were answered last */
	uint64_t rest_until;     /* monotonic us; until then we do not take turns with a caller */
	unsigned rest_us, turns; /* the next rest; turns since the last one */
	struct caller_memory memory;
	struct call_remotes remotes;
	struct backend_run forks; /* tells of forks and exits; no backend: none does */
	struct call_home home;
};

/* What the listeners of a host share. */
struct notifier {
	struct call_threads threads;
	struct call_texts texts;
	struct listener *drained;
};

/* --- events ---------------------------------------------------------------------------------- */

/* Who tells of forks may have something that it keeps for a moment. */
static void ask_forks(void *userdata)
{
	struct listener *l = userdata;

	if (l->forks.backend && l->forks.backend->flush)
		l->forks.backend->flush(&l->forks);
}

/* Whether the process still waits in its call; else whoever had its number when something was found
 * by that may have been another. */
static bool still_stands(const struct listener *l, uint64_t id)
{
	return ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static void tell(struct listener *l, const struct seccomp_notif *n)
{
	struct call_threads *threads = &l->notifier->threads;
	struct backend_origin origin = { 0, n->id };
	bool by_number = false, told;
	struct call c = {
		.nr = n->data.nr, .tid = (int32_t)n->pid, .by_number = &by_number, .home = &l->home
	};
	struct reeve_event e;

	if (!call_arch_of(n->data.arch, &c.arch)) {
		caller_memory_close(&l->memory);
		return;
	}
	if (call_moves(c.arch, c.nr)) {
		l->home.left = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(c.args); i++)
		c.args[i] = n->data.args[i];
	c.memory = caller_memory(&l->memory, &c);
	threads->ask = ask_forks;
	threads->userdata = l;
	told = call_decode(&c, l->run->target.categories, threads, &l->notifier->texts, &e);
	/* What was found otherwise is its own, and made the call it has, even if it was killed
	 * then. Before Linux 5.19 any signal, too, ends a call, which is then made and told again;
	 * so old a kernel knows no `sync`. */
	if ((by_number || !l->sync) && !still_stands(l, n->id)) {
		caller_memory_close(&l->memory); /* it may be that other's */
		return;
	}
	if (told && (e.kind != REEVE_DATAGRAM || !call_socket_repeats(&l->remotes, &c, &e)))
		run_event(l->run, &e, &origin);
}

/* --- answering ------------------------------------------------------------------------------- */

/* Tells of what stands in `pending`, and lets it go on. */
static void answer(struct listener *l)
{
	struct seccomp_notif *n = l->pending;
	struct seccomp_notif_resp go_on = { .id = n->id,
					    .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	l->before = l->last;
	l->last = n->pid;
	if (l->run)
		tell(l, n);
	(void)ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
	__atomic_store_n(&n->id, 0, __ATOMIC_RELEASE);
	memset(n, 0, sizeof(*n)); /* the kernel wants it so */
}

/* What a predecessor had received: it told of it if that is what it stored last. */
static void answer_left(struct listener *l, const struct backend_target *target)
{
	struct backend_run *run = l->run;

	if (l->pending->id == 0) {
		memset(l->pending, 0, sizeof(*l->pending));
		return;
	}
	if (target && target->resume && target->after[0] == l->pending->id)
		l->run = NULL;
	answer(l);
	l->run = run;
}

static void wake_by_load(struct listener *l)
{
	bool sync = l->crowded < CROWDED;

	if (sync != l->sync && ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
				     sync ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0UL) == 0)
		l->sync = sync;
	l->answered = l->crowded = 0;
}

/* The events of the descriptor: receiving waits when there is nothing to receive. */
static uint32_t look(const struct listener *l)
{
	struct pollfd p = { .fd = l->watch.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 ? (uint32_t)p.revents : 0;
}

static void listener_free(struct listener *l)
{
	if (l->watch.fd >= 0) {
		if (!l->paused)
			host_unwatch_direct(l->host, &l->watch);
		fd_close(l->watch.fd);
	}
	caller_memory_close(&l->memory);
	free(l);
}

/* No process is under the filter any more. */
static void on_end(struct listener *l)
{
	struct listener **place = &l->notifier->drained;

	host_unwatch_direct(l->host, &l->watch);
	l->watch.fd = fd_close(l->watch.fd);
	caller_memory_close(&l->memory);
	if (l->run)
		return;
	while (*place && *place != l)
		place = &(*place)->next;
	if (*place)
		*place = l->next;
	listener_free(l);
}

/* A caller that was woken on this CPU, and is alone, makes its next call as soon as we let it run:
 * that spares both of us a sleep. Where others wait for the CPU it would cost us our place in the
 * queue, so what it cost is looked at. False: we did not let it run. */
static bool take_turns(struct listener *l)
{
	uint64_t begin, end;

	if (!l->sync || l->last != l->before)
		return false;
	begin = clock_monotonic_us();
	if (begin < l->rest_until)
		return false;
	(void)sched_yield();
	end = clock_monotonic_us();
	if (end - begin < SLOW_US) {
		if (++l->turns == WINDOW)
			l->rest_us = REST_MIN_US;
		return true;
	}
	l->rest_until = end + l->rest_us;
	l->rest_us = MIN(2 * l->rest_us, REST_MAX_US);
	l->turns = 0;
	return true;
}

static void take_calls(struct listener *l, unsigned max)
{
	for (unsigned i = 0; i < max && !l->paused; i++) {
		uint32_t events = look(l);

		/* Who was answered may have run at once: then its next call is there. */
		if (events == 0 && i > 0 && take_turns(l))
			events = look(l);
		if ((events & POLLIN) == 0) {
			if ((events & (POLLHUP | POLLERR)) != 0)
				on_end(l);
			return;
		}
		/* It may have been killed in the meantime. */
		if (ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, l->pending) == 0)
			answer(l);
		l->crowded += i > 0 && l->last != l->before;
		if (++l->answered == WINDOW)
			wake_by_load(l);
	}
}

static void on_calls(struct watch *w)
{
	take_calls(container_of(w, struct listener, watch), CALLS_A_TURN);
}

/* --- runs ------------------------------------------------------------------------------------ */

static struct notifier *notifier_of(struct host *h)
{
	void **shared = host_shared(h, &backend_seccomp_user_notify);

	if (!*shared)
		*shared = calloc(1, sizeof(struct notifier));
	return *shared;
}

static int listener_new(struct listener **ret, struct host *h, int fd, void *pending)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->host = h;
	l->rest_us = REST_MIN_US;
	l->notifier = notifier_of(h);
	l->pending = pending ? pending : &l->own;
	l->watch = (struct watch){ fcntl(fd, F_DUPFD_CLOEXEC, 3), on_calls, false };
	r = l->watch.fd < 0 ? -errno : 0;
	if (r == 0 && !l->notifier)
		r = -ENOMEM;
	if (r == 0)
		r = host_watch_direct(h, &l->watch);
	if (r < 0) {
		fd_close(l->watch.fd);
		free(l);
		return r;
	}
	wake_by_load(l);
	*ret = l;
	return 0;
}

static void drain(struct listener *l)
{
	l->run = NULL;
	caller_memory_close(&l->memory);
	l->next = l->notifier->drained;
	l->notifier->drained = l;
}

int seccomp_notify_drain(struct host *h, int fd, void *pending)
{
	struct listener *l;
	int r = listener_new(&l, h, fd, pending);

	if (r < 0)
		return r;
	drain(l);
	answer_left(l, NULL);
	return 0;
}

void seccomp_notify_let_go(struct host *h, const void *pending)
{
	struct notifier *n = notifier_of(h);

	for (struct listener *l = n ? n->drained : NULL, *next; l; l = next) {
		next = l->next;
		if (l->pending != pending)
			continue;
		l->pending = &l->own; /* between two calls nothing stands there */
		take_calls(l, CALLS_A_FLUSH);
	}
}

static void on_fork_or_exit(void *userdata, struct reeve_event *e,
			    const struct backend_origin *origin _unused_)
{
	struct call_threads *threads = &((struct listener *)userdata)->notifier->threads;
	struct listener *l = userdata;

	if (e->kind == REEVE_EXECUTED) {
		if (e->comm)
			call_renamed(threads, e->pid, e->comm, l);
		return;
	}
	if (e->kind == REEVE_FORKED)
		call_forked(threads, e->pid, e->tid, e->child_pid, l);
	else if (e->kind == REEVE_EXITED)
		call_ended(threads, e->pid, l);
	run_event(l->run, e, NULL);
}

static void on_forks_unsure(struct backend_run *forks)
{
	struct listener *l = container_of(forks, struct listener, forks);

	call_untold(&l->notifier->threads, l);
}

static void on_forks_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct listener *l = userdata;

	run_missed(l->run, category, n);
}

/* Forks and exits are told by another backend that needs no privilege. */
static void start_forks(struct listener *l)
{
	static const struct backend *const tellers[] = { &backend_perf, &backend_proc_connector };

	for (size_t i = 0; i < ARRAY_SIZE(tellers); i++) {
		l->forks = (struct backend_run){
			.backend = tellers[i],
			.host = l->host,
			.target = l->run->target,
			.sink = { on_fork_or_exit, on_forks_missed, l },
			.unsure = on_forks_unsure,
		};
		l->forks.target.categories = category_bit(REEVE_PROCESS);
		l->forks.target.forks_only = true;
		if (tellers[i]->start(&l->forks, NULL) >= 0)
			return;
	}
	l->forks.backend = NULL;
}

/* Who let the calls of this filter pass since a run was stopped would take some of them. */
static void take_back(const struct listener *l)
{
	struct listener **place = &l->notifier->drained, *d;
	pid_t self = getpid();

	while ((d = *place)) {
		if (d->pending != l->pending &&
		    syscall(SYS_kcmp, self, self, KCMP_FILE, d->watch.fd, l->watch.fd) != 0) {
			place = &d->next;
			continue;
		}
		*place = d->next;
		listener_free(d);
	}
}

static int start(struct backend_run *run, struct error *e)
{
	struct listener *l;
	int r;

	if (run->target.listener < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, run->target.listener,
				       "seccomp-user-notify");
	if (run->target.listener == 0)
		return error_set(e, ERROR_UNAVAILABLE,
				 "seccomp-user-notify: only a command that was started to be "
				 "observed so can be: name it when you start the command");
	r = listener_new(&l, run->host, run->target.listener, run->target.pending);
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "seccomp-user-notify");
	take_back(l);
	run->state = l;
	l->run = run;
	l->home.left = run->target.resume || !run->target.gated; /* somebody may have moved */
	if (run_wants(run, REEVE_PROCESS)) {
		run_missed(run, REEVE_PROCESS, run->target.resume ? 1 : 0); /* forks and exits */
		start_forks(l);
	}
	answer_left(l, &run->target);
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct listener *l = run->state;

	if (l->forks.backend && l->forks.backend->note)
		l->forks.backend->note(&l->forks, n);
}

static void flush(struct backend_run *run)
{
	struct listener *l = run->state;

	if (l->watch.fd >= 0)
		take_calls(l, CALLS_A_FLUSH);
	ask_forks(l);
}

static void pause_calls(struct backend_run *run, bool paused)
{
	struct listener *l = run->state;

	if (!l || l->watch.fd < 0 || l->paused == paused)
		return;
	l->paused = paused;
	if (paused)
		host_unwatch_direct(l->host, &l->watch);
	else
		(void)host_watch_direct(l->host, &l->watch);
}

static void stop(struct backend_run *run)
{
	struct listener *l = run->state;

	pause_calls(run, false);
	if (l->forks.backend && l->forks.backend->stop)
		l->forks.backend->stop(&l->forks);
	l->forks.backend = NULL;
	call_untold(&l->notifier->threads, l);
	run->state = NULL;
	if (l->watch.fd < 0 || (look(l) & (POLLHUP | POLLERR)) != 0)
		listener_free(l);
	else
		drain(l);
}

static void close_all(struct host *h _unused_, void *shared)
{
	struct notifier *n = shared;

	while (n->drained) {
		struct listener *l = n->drained;

		n->drained = l->next;
		listener_free(l);
	}
	free(n);
}

static void prepare(unsigned categories, struct entry *ret)
{
	calls_filter(categories, SECCOMP_RET_USER_NOTIF, ret);
	ret->flags = ENTRY_LISTENER;
}

const struct backend backend_seccomp_user_notify = {
	.name = "seccomp-user-notify",
	.categories = 1U << REEVE_FILE | 1U << REEVE_NETWORK | 1U << REEVE_PROCESS,
	.durable = true,
	.probe = notify_probe,
	.prepare = prepare,
	.start = start,
	.note = note,
	.flush = flush,
	.pausable = 1U << REEVE_FILE | 1U << REEVE_NETWORK, /* forks are another's */
	.pause = pause_calls,
	.stop = stop,
	.close = close_all,
};
