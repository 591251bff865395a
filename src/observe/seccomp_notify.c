/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `seccomp-user-notify`: a filter of system calls (seccomp(2)) that the command
 * installs before its execve holds each call of interest until we have looked at it. We never
 * answer anything but "go on".
 *
 * What was received is written by the kernel into `pending`, which outlives us: a call that a dead
 * predecessor had received is not announced again, and waits until it is answered. */
#include "observe/seccomp_notify.h"
#include "base/fd.h"
#include "observe/call_decode.h"
#include "observe/call_home.h"
#include "observe/call_socket.h"
#include "observe/caller_memory.h"
#include "observe/lent.h"
#include "observe/notify_forks.h"
#include "observe/notify_probe.h"
#include "observe/notify_wake.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS_A_TURN  16U
#define CALLS_A_FLUSH 64U

_Static_assert(sizeof(struct seccomp_notif) <= BACKEND_PENDING, "a notification does not fit");

/* One listener. It is answered for as long as a process is under its filter. */
struct listener {
	struct listener *next; /* of those nobody wants to hear of */
	struct watch watch;    /* a descriptor of our own */
	struct host *host;
	struct notifier *notifier;
	struct backend_run *run; /* NULL: calls are just let pass */
	struct seccomp_notif *pending, own;
	bool paused;  /* the calls wait */
	bool watched; /* unless they do, or one waits for something that is lent */
	struct notify_wake wake;
	struct caller_memory memory;
	struct lent lent;
	bool complained;
	struct call_remotes remotes;
	struct notify_forks forks;
	struct call_home home;
};

/* What the listeners of a host share. */
struct notifier {
	struct call_threads threads;
	struct call_texts texts;
	struct listener *drained;
	struct lent_all lent;
};

/* --- events ---------------------------------------------------------------------------------- */

/* Whether the process still waits in its call; else whoever had its number when something was found
 * by that may have been another. */
static bool still_stands(const struct listener *l, uint64_t id)
{
	return ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* Once: there may be many. */
static void complain(struct listener *l)
{
	if (!l->complained)
		host_complain(l->host, l->run->target.session,
			      "the system lets nobody read the memory of a process that is "
			      "observed: paths in its calls are not told");
	l->complained = true;
}

/* Whoever had the number may have been another. */
static void forget_caller(struct listener *l, const struct call *c)
{
	caller_memory_close(&l->memory);
	lent_forget(&l->lent, c->tid);
}

static struct call call_of(const struct seccomp_notif *n)
{
	struct call c = { .nr = n->data.nr, .tid = (int32_t)n->pid };

	for (size_t i = 0; i < ARRAY_SIZE(c.args); i++)
		c.args[i] = n->data.args[i];
	return c;
}

/* False: it has to wait for something that is lent, and is then looked at anew. */
static bool tell_call(struct listener *l, struct call *c, uint64_t id)
{
	struct call_threads *threads = &l->notifier->threads;
	struct backend_origin origin = { 0, id };
	struct reeve_event e;
	bool told;

	if (!lent_only(&l->lent, l->host))
		c->memory = caller_memory(&l->memory, c);
	lent_use(&l->lent, l->host, c);
	threads->ask = notify_forks_ask;
	threads->userdata = &l->forks;
	e.pid = 0; /* of a call that is none of interest */
	told = call_decode(c, l->run->target.categories, threads, &l->notifier->texts, &e);
	if (lent_ask(&l->lent, l->host, c))
		return false;
	/* What was found otherwise is its own, and made the call it has, even if it was killed
	 * then. Before Linux 5.19 any signal, too, ends a call, which is then made and told again;
	 * so old a kernel knows no `sync`. */
	if ((*c->by_number || !l->wake.sync) && !still_stands(l, id))
		forget_caller(l, c);
	else if (told && (e.kind != REEVE_DATAGRAM || !call_socket_repeats(&l->remotes, c, &e)))
		run_event(l->run, &e, &origin);
	lent_over(&l->lent, c, e.pid);
	return true;
}

/* The same. */
static bool tell(struct listener *l, const struct seccomp_notif *n)
{
	struct call c = call_of(n);
	bool by_number = false;

	c.by_number = &by_number;
	c.home = &l->home;
	if (!call_arch_of(n->data.arch, &c.arch)) {
		forget_caller(l, &c);
		return true;
	}
	if (call_moves(c.arch, c.nr)) {
		l->home.left = true;
		return true;
	}
	return tell_call(l, &c, n->id);
}

/* --- answering ------------------------------------------------------------------------------- */

/* Waits for calls where it should. */
static int watch_as_due(struct listener *l)
{
	bool due = l->watch.fd >= 0 && !l->paused && !l->lent.waits;
	int r = 0;

	if (due == l->watched)
		return 0;
	if (due)
		r = host_watch_direct(l->host, &l->watch);
	else
		host_unwatch_direct(l->host, &l->watch);
	l->watched = due && r >= 0;
	return r;
}

/* Lets go on what stands in `pending`. */
static void let_go(struct listener *l)
{
	struct seccomp_notif *n = l->pending;
	struct seccomp_notif_resp go_on = { .id = n->id,
					    .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

	(void)ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
	__atomic_store_n(&n->id, 0, __ATOMIC_RELEASE);
	memset(n, 0, sizeof(*n)); /* the kernel wants it so */
}

/* Tells of what stands in `pending` first, where that can be done at once; else nothing more is
 * received until it was. */
static void answer(struct listener *l)
{
	if (!l->run || tell(l, l->pending))
		let_go(l);
	(void)watch_as_due(l);
}

static void on_lent(struct borrowing *b, int fd)
{
	struct lent *lent = container_of(b, struct lent, asking);
	struct listener *l = container_of(lent, struct listener, lent);

	if (still_stands(l, l->pending->id)) {
		if (fd < 0 && b->number < 0)
			complain(l);
		lent_take(lent, fd);
		answer(l);
		return;
	}
	fd_close(fd); /* it may be of another, who has the number by now */
	lent_drop(lent);
	let_go(l);
	(void)watch_as_due(l);
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

/* The events of the descriptor: receiving waits when there is nothing to receive. POLLERR says only
 * that a signal kept it from looking. */
static short look(const struct listener *l)
{
	struct pollfd p = { .fd = l->watch.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 ? p.revents : (short)0;
}

static void close_all_of(struct listener *l)
{
	lent_close(&l->lent);
	caller_memory_close(&l->memory);
	if (l->watched)
		host_unwatch_direct(l->host, &l->watch);
	l->watched = false;
	l->watch.fd = fd_close(l->watch.fd);
}

static void listener_free(struct listener *l)
{
	close_all_of(l);
	free(l);
}

/* No process is under the filter any more. */
static void on_end(struct listener *l)
{
	struct listener **place = &l->notifier->drained;

	close_all_of(l);
	if (l->run)
		return;
	while (*place && *place != l)
		place = &(*place)->next;
	if (*place)
		*place = l->next;
	listener_free(l);
}

/* `seen`: what a look would find now; 0: not known. */
static void take_calls(struct listener *l, unsigned max, short seen)
{
	for (unsigned i = 0; i < max && !l->paused && !l->lent.waits; i++) {
		short events = i == 0 && seen != 0 ? seen : look(l);

		/* Who was answered may have run at once: then its next call is there. */
		if (events == 0 && i > 0 && notify_wake_turn(&l->wake))
			events = look(l);
		if ((events & POLLIN) == 0) {
			if ((events & POLLHUP) != 0)
				on_end(l);
			return;
		}
		/* It may have been killed in the meantime. */
		if (ioctl(l->watch.fd, SECCOMP_IOCTL_NOTIF_RECV, l->pending) == 0) {
			notify_wake_caller(&l->wake, l->pending->pid);
			answer(l);
		}
		notify_wake_answered(&l->wake, l->watch.fd, i > 0);
	}
}

static void on_calls(struct watch *w)
{
	short seen = w->seen;

	w->seen = 0;
	take_calls(container_of(w, struct listener, watch), CALLS_A_TURN, seen);
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
	l->lent.asking.lent = on_lent;
	l->notifier = notifier_of(h);
	l->pending = pending ? pending : &l->own;
	l->watch = (struct watch){ fcntl(fd, F_DUPFD_CLOEXEC, 3), on_calls, false, 0 };
	r = l->watch.fd < 0 ? -errno : 0;
	if (r == 0 && !l->notifier)
		r = -ENOMEM;
	if (r == 0) {
		l->lent.all = &l->notifier->lent;
		r = watch_as_due(l);
	}
	if (r < 0) {
		fd_close(l->watch.fd);
		free(l);
		return r;
	}
	notify_wake_init(&l->wake, l->watch.fd);
	*ret = l;
	return 0;
}

static void drain(struct listener *l)
{
	l->run = NULL;
	caller_memory_close(&l->memory);
	lent_close(&l->lent);
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
		take_calls(l, CALLS_A_FLUSH, 0);
	}
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
		notify_forks_start(&l->forks, run, &l->notifier->threads);
	}
	answer_left(l, &run->target);
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct listener *l = run->state;

	notify_forks_note(&l->forks, n);
}

static void flush(struct backend_run *run)
{
	struct listener *l = run->state;

	if (l->watch.fd >= 0)
		take_calls(l, CALLS_A_FLUSH, 0);
	notify_forks_ask(&l->forks);
}

static void pause_calls(struct backend_run *run, bool paused)
{
	struct listener *l = run->state;

	if (!l || l->watch.fd < 0)
		return;
	l->paused = paused;
	(void)watch_as_due(l);
}

/* The call that waits for something is not told of any more. */
static void stop_waiting(struct listener *l)
{
	struct call c = call_of(l->pending);
	struct backend_run *run = l->run;
	const struct call_rule *r;

	l->run = NULL;
	if (!l->lent.waits)
		return;
	r = call_arch_of(l->pending->data.arch, &c.arch) ? call_rule(c.arch, c.nr) : NULL;
	if (r && still_stands(l, l->pending->id))
		run_missed(run, (enum reeve_category)r->category, 1);
	lent_close(&l->lent);
	answer(l);
}

static void stop(struct backend_run *run)
{
	struct listener *l = run->state;

	pause_calls(run, false);
	notify_forks_stop(&l->forks, &l->notifier->threads);
	run->state = NULL;
	stop_waiting(l);
	if (l->watch.fd < 0 || (look(l) & POLLHUP) != 0)
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
	call_threads_done(&n->threads);
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
