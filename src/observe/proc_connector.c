/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `proc-connector`: the kernel's announcements of forks, executions and exits of the
 * whole machine (netlink connector). One socket serves all runs, each of which knows the pids of
 * its tree. Each CPU numbers its announcements: a gap is a loss. */
#include "base/fd.h"
#include "observe/details.h"
#include "observe/pidset.h"
#include "observe/surroundings.h"
#include "observe/threads.h"
#include "observe/tree_pids.h"
#include "observe/trial.h"
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HELD_NAME        "proc-connector/socket"
#define RECEIVE_BYTES    (2 * 1024 * 1024)
#define MESSAGES_AT_ONCE 512
#define CPUS_MAX         4096U

struct tracker {
	struct tracker *next;
	struct backend_run *run;
	struct pidset pids; /* its members; of `everything`, those born since */
	uint64_t learned;   /* when we looked who is one, CLOCK_MONOTONIC ns */
};

struct connector {
	struct watch watch;
	struct tracker *first;
	uint64_t time; /* of the last announcement, CLOCK_MONOTONIC ns */
	struct {
		bool known;
		uint32_t seq; /* of the last announcement */
	} cpus[CPUS_MAX];
};

static struct connector *connector_of(struct backend_run *run)
{
	return *host_shared(run->host, &backend_proc_connector);
}

/* --- the socket ------------------------------------------------------------------------------ */

/* A netlink header, a connector header, and the word behind it. */
static int say(int fd, enum proc_cn_mcast_op op)
{
	_Alignas(struct nlmsghdr)
		uint8_t bytes[NLMSG_LENGTH(sizeof(struct cn_msg) + sizeof(uint32_t))];
	struct nlmsghdr header = { .nlmsg_len = sizeof(bytes), .nlmsg_type = NLMSG_DONE };
	struct cn_msg connector = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .len = sizeof(uint32_t) };
	uint32_t word = (uint32_t)op;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + NLMSG_HDRLEN, &connector, sizeof(connector));
	memcpy(bytes + NLMSG_HDRLEN + sizeof(connector), &word, sizeof(word));
	return send(fd, bytes, sizeof(bytes), 0) < 0 ? -errno : 0;
}

static int refuse(struct error *e, int r)
{
	if (r == -ECONNREFUSED)
		return error_set(
			e, ERROR_UNAVAILABLE,
			"the proc connector speaks in the first network namespace only, and "
			"this is another, as of a container: run the daemon outside of it");
	if (r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "the proc connector takes CAP_NET_ADMIN before Linux 6.6: run the "
				 "daemon as root");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "proc connector");
}

static int open_socket(struct error *e)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
	int size = RECEIVE_BYTES, r = 0;

	if (fd < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno,
				       "proc connector: the kernel has none (CONFIG_PROC_EVENTS)");
	/* cn_proc_mcast_ctl() takes no notice of who asks from there. */
	if (!is_in_first_user_namespace() || !is_in_first_pid_namespace()) {
		fd_close(fd);
		return error_set(
			e, ERROR_UNAVAILABLE,
			"the proc connector tells nobody in a user or pid namespace, as of a "
			"container: run the daemon outside of it");
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r >= 0)
		r = say(fd, PROC_CN_MCAST_LISTEN);
	if (r >= 0)
		return fd;
	fd_close(fd);
	return refuse(e, r);
}

/* --- events ---------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static bool covers(const struct tracker *t, pid_t pid)
{
	return t->run->target.everything || pidset_has(&t->pids, pid);
}

static void take_fork(struct tracker *t, const struct proc_event *p)
{
	pid_t child = p->event_data.fork.child_tgid;
	struct reeve_event e;

	if (p->event_data.fork.child_pid != child) {
		threads_more(&t->pids, child);
		return;
	}
	if (!covers(t, p->event_data.fork.parent_tgid)) {
		if (p->timestamp_ns > t->learned) /* the number was a member's, who is gone */
			(void)pidset_remove(&t->pids, child);
		return;
	}
	if (threads_born(&t->pids, child) < 0 && !t->run->target.everything)
		run_missed(t->run, REEVE_PROCESS, 1);
	event_init(&e, REEVE_PROCESS, REEVE_FORKED, p->event_data.fork.parent_tgid);
	e.tid = p->event_data.fork.parent_pid;
	e.child_pid = child;
	e.fields = REEVE_HAS_TID | REEVE_HAS_CHILD_PID;
	e.timestamp_ms = details_time(p->timestamp_ns);
	run_event(t->run, &e, NULL);
}

static void take_exec(struct tracker *t, const struct proc_event *p)
{
	struct reeve_event e;
	struct details d;

	threads_executed(&t->pids, p->event_data.exec.process_tgid);
	if (t->run->target.forks_only || !covers(t, p->event_data.exec.process_tgid))
		return;
	event_init(&e, REEVE_PROCESS, REEVE_EXECUTED, p->event_data.exec.process_tgid);
	details_of_process(&d, e.pid, &e);
	e.timestamp_ms = details_time(p->timestamp_ns);
	run_event(t->run, &e, NULL);
}

static void take_exit(struct tracker *t, const struct proc_event *p)
{
	pid_t pid = p->event_data.exit.process_tgid;
	int code = (int)p->event_data.exit.exit_code;
	enum threads_news news;
	struct reeve_event e;

	if (!covers(t, pid))
		return;
	news = threads_ended(&t->pids, pid, p->event_data.exit.process_pid, &code);
	if (news == THREADS_ENDED)
		(void)pidset_remove(&t->pids, pid);
	if (news != THREADS_ENDED && news != THREADS_GONE)
		return;
	event_init(&e, REEVE_PROCESS, REEVE_EXITED, pid);
	e.exit_code = details_exit_code(code);
	e.fields = REEVE_HAS_EXIT_CODE;
	e.timestamp_ms = details_time(p->timestamp_ns);
	run_event(t->run, &e, NULL);
}

static const struct {
	uint32_t what; /* 5.x and 6.x differ in where the enumeration stands, not in its values */
	void (*handle)(struct tracker *t, const struct proc_event *p);
} handlers[] = {
	{ 0x00000001, take_fork },
	{ 0x00000002, take_exec },
	{ 0x80000000, take_exit },
};

/* --- membership ------------------------------------------------------------------------------ */

static void learn(struct tracker *t)
{
	const struct backend_target *target = &t->run->target;

	t->learned = now_ns();
	if (!target->everything)
		tree_pids_learn(&t->pids, t->run->host, target, !target->gated || target->resume);
}

static void lost(struct connector *c, uint64_t n)
{
	for (struct tracker *t = c->first; t; t = t->next) {
		run_missed(t->run, REEVE_PROCESS, n);
		threads_lost(&t->pids);
		t->run->target.gated = false;
		learn(t);
	}
}

/* --- receiving ------------------------------------------------------------------------------- */

static void take_event(struct connector *c, const struct cn_msg *m, const struct proc_event *p)
{
	if (m->id.idx != CN_IDX_PROC || m->id.val != CN_VAL_PROC)
		return;
	c->time = p->timestamp_ns;
	/* Answers to what some listener said take a number, too; of no CPU before Linux 6.6. */
	if (p->cpu < CPUS_MAX) {
		uint32_t gap = m->seq - c->cpus[p->cpu].seq - 1;

		if (c->cpus[p->cpu].known && gap > 0 && gap < UINT32_MAX / 2)
			lost(c, gap);
		c->cpus[p->cpu].known = true;
		c->cpus[p->cpu].seq = m->seq;
	}
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (handlers[i].what != (uint32_t)p->what)
			continue;
		for (struct tracker *t = c->first; t; t = t->next)
			handlers[i].handle(t, p);
	}
}

/* False when there is nothing more. */
static bool receive(struct connector *c)
{
	char buffer[1024] __attribute__((aligned(8)));
	struct sockaddr_nl from = { 0 };
	socklen_t from_size = sizeof(from);
	ssize_t n = recvfrom(c->watch.fd, buffer, sizeof(buffer), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &from_size);
	const struct nlmsghdr *h = (const struct nlmsghdr *)buffer;

	if (n < 0)
		return errno == ENOBUFS ||
		       errno == EINTR; /* the gap in the numbers tells how many */
	for (; from.nl_pid == 0 && NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n)) {
		const struct cn_msg *m = NLMSG_DATA(h);
		struct proc_event p = { 0 };

		if (NLMSG_PAYLOAD(h, 0) < sizeof(*m) || NLMSG_PAYLOAD(h, 0) - sizeof(*m) < m->len)
			continue;
		memcpy(&p, m->data, MIN(sizeof(p), (size_t)m->len));
		take_event(c, m, &p);
	}
	return true;
}

static void on_socket(struct watch *w)
{
	struct connector *c = container_of(w, struct connector, watch);

	for (int i = 0; i < MESSAGES_AT_ONCE && receive(c); i++)
		continue;
}

/* What is announced meanwhile, by whomever, is not waited for: it may have no end. */
static void flush(struct backend_run *run)
{
	struct connector *c = connector_of(run);
	uint64_t now = now_ns();

	for (c->time = 0; c->time < now && receive(c);)
		continue;
}

/* --- runs ------------------------------------------------------------------------------------ */

static void close_shared(struct host *h, void *shared)
{
	struct connector *c = shared;

	host_unwatch(h, &c->watch);
	fd_close(c->watch.fd);
	free(c);
}

/* The socket, made when first needed, or a predecessor's with all that waits in it. */
static int open_shared(struct host *h, struct connector **ret, struct error *e)
{
	void **shared = host_shared(h, &backend_proc_connector);
	struct connector *c = *shared;
	bool held = true;
	int r;

	if (c) {
		*ret = c;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "proc connector");
	c->watch = (struct watch){ host_held(h, HELD_NAME), on_socket, false, 0 };
	if (c->watch.fd < 0) {
		held = false;
		c->watch.fd = r = open_socket(e);
		if (r < 0) {
			free(c);
			return r;
		}
	}
	r = held ? 0 : host_hold(h, HELD_NAME, c->watch.fd);
	if (r >= 0)
		r = host_watch(h, &c->watch);
	if (r < 0) {
		fd_close(c->watch.fd);
		free(c);
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "proc connector");
	}
	*shared = *ret = c;
	return 0;
}

static int start(struct backend_run *run, struct error *e)
{
	struct connector *c;
	struct tracker *t;
	int r = open_shared(run->host, &c, e);

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "proc connector");
	t->run = run;
	t->next = c->first;
	c->first = t;
	run->state = t;
	learn(t);
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	if (n->what != NOTE_LEADER || run->target.leader != 0)
		return;
	run->target.leader = n->pid;
	learn(run->state);
}

/* With the last run the socket goes: the kernel need not announce anything. */
static void stop(struct backend_run *run)
{
	struct connector *c = connector_of(run);
	struct tracker *t = run->state, **place = &c->first;

	while (*place != t)
		place = &(*place)->next;
	*place = t->next;
	pidset_done(&t->pids);
	free(t);
	if (c->first)
		return;
	(void)say(c->watch.fd, PROC_CN_MCAST_IGNORE);
	host_release(run->host, HELD_NAME);
	close_shared(run->host, c);
	*host_shared(run->host, &backend_proc_connector) = NULL;
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	trial_probe(
		&backend_proc_connector, scope, cgroup_dir, category_bit(REEVE_PROCESS),
		KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXECUTED) | KIND_BIT(REEVE_EXITED),
		REEVE_PARTIAL,
		"forks, executions and exits with their codes; path and arguments are read "
		"afterwards and missed for short-lived programs; losses count the whole machine",
		ret);
}

const struct backend backend_proc_connector = {
	.name = "proc-connector",
	.categories = 1U << REEVE_PROCESS,
	.probe = probe,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
	.close = close_shared,
};
