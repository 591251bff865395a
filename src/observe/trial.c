/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/trial.h"
#include "base/clock.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PATIENCE_MS 3000U
#define POLL_MS     20

struct trial_state {
	struct trial *trial;
	pid_t pid, child;
};

/* Whether the event is of the process tried with; learns its child. */
static bool is_ours(struct trial_state *s, const struct reeve_event *e)
{
	if (e->pid == s->pid && e->kind == REEVE_FORKED)
		s->child = e->child_pid;
	return e->pid == s->pid || (s->child != 0 && e->pid == s->child);
}

static void on_event(void *userdata, struct reeve_event *e,
		     const struct backend_origin *origin _unused_)
{
	struct trial_state *s = userdata;

	if (!is_ours(s, e) || (e->kind == REEVE_EXITED && e->pid != s->pid))
		return;
	s->trial->seen |= KIND_BIT(e->kind);
	if (e->kind == REEVE_EXITED && e->pid == s->pid && (e->fields & REEVE_HAS_EXIT_CODE) != 0 &&
	    e->exit_code == TRIAL_EXIT_CODE)
		s->trial->saw_exit_code = true;
	if (e->category == REEVE_FILE && e->path && strcmp(e->path, "/dev/null") == 0)
		s->trial->saw_path = true;
}

static void on_missed(void *userdata, enum reeve_category category _unused_, uint64_t n)
{
	struct trial_state *s = userdata;

	s->trial->missed += n;
}

/* Only what is safe after a fork of a process with threads. */
static _Noreturn void be_tried(const struct entry *entry, int gate)
{
	static char *const argv[] = { "/bin/sh", "-c", "exit 3", NULL };
	static char *const envp[] = { NULL };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1) };
	char byte;
	pid_t pid;
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* who tries may be killed itself */
	entry_tell(entry, gate);
	if (read(gate, &byte, 1) != 1 || entry_after_gate(entry) < 0)
		_exit(1);
	pid = fork();
	if (pid == 0)
		_exit(0);
	(void)waitpid(pid, NULL, 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	(void)close(fd);
	(void)execve(argv[0], argv, envp);
	_exit(TRIAL_EXIT_CODE);
}

/* A child at its gate; opening that takes a byte sent to `*ret_gate`. Its listener, if the entry
 * makes one, is in `*ret_listener`; a negative errno when that failed. */
static int start_child(const struct entry *entry, pid_t *ret_pid, int *ret_gate, int *ret_listener)
{
	int gate[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		fd_close(gate[0]);
		fd_close(gate[1]);
		return r;
	}
	if (pid == 0) {
		(void)close(gate[1]);
		be_tried(entry, gate[0]);
	}
	fd_close(gate[0]);
	*ret_listener = entry_hear(pid, gate[1]);
	*ret_pid = pid;
	*ret_gate = gate[1];
	return 0;
}

/* What stands in the way of a filter. */
static int refuse_entry(struct error *e, int r)
{
	if (r == -EBUSY)
		return error_set(
			e, ERROR_UNAVAILABLE,
			"this process is under a listener of seccomp already, as inside an "
			"observed session: only one is possible");
	if (r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "the listener of a child cannot be fetched (pidfd_getfd): a "
				 "container's filter or a security module refuses it");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "seccomp");
}

static void watch_until(const struct backend_run *run, const struct trial *t, uint64_t wanted)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while ((t->seen & wanted) != wanted && clock_monotonic_ms() < deadline) {
		struct pollfd p = { .fd = host_fd(run->host), .events = POLLIN };

		if (poll(&p, 1, POLL_MS) > 0)
			host_dispatch(run->host);
		else if (run->backend->flush)
			run->backend->flush((struct backend_run *)run);
	}
}

void trial_reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child ends in any case: killed when it did not by itself. */
static void end_child(pid_t pid)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (clock_monotonic_ms() < deadline) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		(void)poll(NULL, 0, 1);
	}
	(void)kill(pid, SIGKILL);
	trial_reap(pid);
}

int trial_run(struct trial *ret, const struct backend *b, enum reeve_scope scope, int cgroup_dir,
	      unsigned categories, uint64_t wanted, struct error *e)
{
	struct trial_state state = { .trial = ret };
	struct backend_run run = {
		.backend = b,
		.sink = { on_event, on_missed, &state },
		.target = { .session = 1,
			    .everything = scope == REEVE_SYSTEM_WIDE,
			    .gated = true,
			    .categories = categories },
	};
	_cleanup_(closep) int gate = -1;
	struct entry entry = { 0 };
	int r, listener;

	memset(ret, 0, sizeof(*ret));
	if (b->prepare)
		b->prepare(categories, &entry);
	r = host_new(&run.host, cgroup_dir, NULL);
	if (r < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "epoll");
	r = start_child(&entry, &state.pid, &gate, &listener);
	if (r < 0) {
		host_free(run.host);
		return error_set_errno(e, ERROR_UNAVAILABLE, r, "fork");
	}
	run.target.leader = state.pid;
	run.target.listener = listener;
	run.target.prepared = entry.n > 0;
	r = listener < 0 ? refuse_entry(e, listener) : b->start(&run, e);
	if (r >= 0) {
		(void)send(gate, "", 1, MSG_NOSIGNAL);
		watch_until(&run, ret, wanted);
		ret->own_only = run.own_only;
		ret->tier = run.tier;
		ret->refused = run.refused;
		if (b->stop)
			b->stop(&run);
	}
	closep(&gate);
	gate = -1;
	if (entry.n > 0)
		(void)kill(state.pid, SIGKILL); /* nobody lets its calls pass any more */
	end_child(state.pid);
	if (listener > 0)
		fd_close(listener);
	host_free(run.host);
	return r < 0 ? r : 0;
}

void trial_probe(const struct backend *b, enum reeve_scope scope, int cgroup_dir,
		 unsigned categories, uint64_t wanted, enum reeve_support level, const char *reason,
		 struct backend_support ret[REEVE_CATEGORIES])
{
	struct error e = { 0 };
	struct trial t;

	if (trial_run(&t, b, scope, cgroup_dir, categories, wanted, &e) < 0) {
		support_set(ret, categories, REEVE_UNAVAILABLE, "%s", e.message);
		return;
	}
	if ((t.seen & wanted) == wanted) {
		support_set(ret, categories, level, "%s", reason);
		return;
	}
	for (unsigned kind = REEVE_STARTED; kind <= REEVE_URING; kind++) {
		if ((wanted & ~t.seen & KIND_BIT(kind)) == 0)
			continue;
		support_set(ret, categories, REEVE_UNAVAILABLE,
			    "it starts here, but when something was %s it did not tell; `reeve "
			    "capabilities --probe` tries again",
			    reeve_kind_name((enum reeve_kind)kind));
		return;
	}
}
