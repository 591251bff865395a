/* SPDX-License-Identifier: Apache-2.0 */
/* observed.h - for tests of backends: a process of the test, held at a gate until a backend
 * observes it, and all events that are delivered. */
#pragma once
#include "observe/observation.h"
#include "processes.h"
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#define EVENTS_MAX 65536U

struct observed {
	struct host *host;
	struct observation *observation;
	struct reeve_event **events;
	size_t n;
	uint64_t missed[REEVE_CATEGORIES];
	struct backend_origin last[BACKEND_RINGS];
	pid_t pid; /* of the process at the gate; reaped: 0 */
	int gate, status;
	struct entry entry; /* what the process does before it comes to the gate */
	int listener;
	pid_t only; /* events that do not concern this process are left alone; 0: all are kept */
};

static inline void observed_event(void *userdata, struct reeve_event *e,
				  const struct backend_origin *origin)
{
	struct observed *o = userdata;

	if (o->only != 0 && e->pid != o->only && e->child_pid != o->only)
		return;
	assert_true(o->n < EVENTS_MAX);
	assert_int_equal(event_copy(e, &o->events[o->n]), 0);
	if (origin->ring < BACKEND_RINGS)
		o->last[origin->ring] = *origin;
	o->n++;
}

static inline void observed_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct observed *o = userdata;

	o->missed[category] += n;
}

/* Whether the backend works here for this user; the tests of one that does not are skipped. */
static inline bool backend_works(const struct backend *b, enum reeve_scope scope)
{
	struct backend_support support[REEVE_CATEGORIES] = { 0 };

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		support[c].support = REEVE_UNAVAILABLE;
	b->probe(scope, -1, support);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		assert_true(support[c].support == REEVE_UNAVAILABLE ||
			    support[c].reason[0] != '\0');
		if (support[c].support != REEVE_UNAVAILABLE)
			return true;
		if (support[c].reason[0] != '\0')
			print_message("%s\n", support[c].reason);
	}
	return false;
}

/* Forks a process that will do `role` behind the gate. */
static inline void observed_fork(struct observed *o, void (*role)(void *), void *userdata)
{
	int gate[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	o->pid = fork();
	assert_true(o->pid >= 0);
	if (o->pid == 0) {
		char byte;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(gate[1]);
		entry_tell(&o->entry, gate[0]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(99);
		if (entry_after_gate(&o->entry) < 0)
			_exit(98);
		close(gate[0]);
		role(userdata);
		_exit(0);
	}
	close(gate[0]);
	o->gate = gate[1];
	o->listener = entry_hear(o->pid, o->gate);
	assert_true(o->listener >= 0);
}

static inline void observed_init(struct observed *o)
{
	memset(o, 0, sizeof(*o));
	o->gate = -1;
	o->events = calloc(EVENTS_MAX, sizeof(*o->events));
	assert_non_null(o->events);
	assert_int_equal(host_new(&o->host, -1, NULL), 0);
}

/* Begins to observe o->pid with this backend. */
static inline void observed_start_with(struct observed *o, const struct backend *b,
				       const struct backend_target *target)
{
	struct observation_config config = {
		.host = o->host,
		.target = *target,
		.sink = { observed_event, observed_missed, o },
	};
	struct error e = { 0 };
	int r;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		bool wanted = (target->categories & b->categories & 1U << c) != 0;

		config.choices[c].backend = wanted ? b : NULL;
		config.choices[c].support = wanted ? REEVE_SUPPORTED : REEVE_UNAVAILABLE;
	}
	config.target.prepared = o->entry.n > 0;
	if (o->listener > 0)
		config.target.listener = o->listener;
	r = observation_start(&o->observation, &config, &e);
	if (r < 0)
		fail_msg("%s", e.message);
}

static inline void observed_start(struct observed *o, const struct backend *b, unsigned categories,
				  void (*role)(void *), void *userdata)
{
	observed_init(o);
	if (b->prepare)
		b->prepare(categories, &o->entry);
	observed_fork(o, role, userdata);
	observed_start_with(
		o, b,
		&(struct backend_target){
			.session = 1, .leader = o->pid, .gated = true, .categories = categories });
}

static inline void observed_go(struct observed *o)
{
	assert_int_equal(write(o->gate, "", 1), 1);
	close(o->gate);
	o->gate = -1;
}

static inline void observed_look(struct observed *o)
{
	struct pollfd p = { .fd = host_fd(o->host), .events = POLLIN };

	if (poll(&p, 1, 5) > 0)
		host_dispatch(o->host);
}

/* Lets it run to its end, and takes all events. */
static inline void observed_finish(struct observed *o)
{
	pid_t ended;
	struct backend_note note = { .what = NOTE_EXITED, .pid = o->pid };

	if (o->gate >= 0)
		observed_go(o);
	while ((ended = waitpid(o->pid, &o->status, WNOHANG)) == 0)
		observed_look(o);
	assert_int_equal(ended, o->pid);
	observation_flush(o->observation);
	note.exit_code = WIFSIGNALED(o->status) ? -WTERMSIG(o->status) : WEXITSTATUS(o->status);
	observation_note(o->observation, &note);
	observation_flush(o->observation);
}

static inline void observed_done(struct observed *o)
{
	o->observation = observation_stop(o->observation);
	o->host = host_free(o->host);
	if (o->listener > 0)
		close(o->listener);
	o->listener = 0;
	for (size_t i = 0; i < o->n; i++)
		reeve_event_free(o->events[i]);
	free(o->events);
	o->events = NULL;
}

/* The `n`th (from 0) event of a kind; pid 0: of any process. NULL when there are fewer. */
static inline struct reeve_event *observed_nth(const struct observed *o, enum reeve_kind kind,
					       pid_t pid, unsigned n)
{
	for (size_t i = 0; i < o->n; i++) {
		if (o->events[i]->kind == kind && (pid == 0 || o->events[i]->pid == pid) &&
		    n-- == 0)
			return o->events[i];
	}
	return NULL;
}

static inline struct reeve_event *observed_find(const struct observed *o, enum reeve_kind kind,
						pid_t pid)
{
	struct reeve_event *e = observed_nth(o, kind, pid, 0);

	if (!e)
		fail_msg("nothing %s was seen of %d, among %zu events", reeve_kind_name(kind),
			 (int)pid, o->n);
	return e;
}

static inline unsigned observed_count(const struct observed *o, enum reeve_kind kind, pid_t pid)
{
	unsigned n = 0;

	while (observed_nth(o, kind, pid, n))
		n++;
	return n;
}

/* The first of a kind with this path; NULL when there is none. */
static inline struct reeve_event *observed_path(const struct observed *o, enum reeve_kind kind,
						const char *path)
{
	struct reeve_event *e;

	for (unsigned n = 0; (e = observed_nth(o, kind, 0, n)); n++) {
		if (e->path && strcmp(e->path, path) == 0)
			return e;
	}
	return NULL;
}

static inline void print_events(const struct observed *o)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct reeve_event *e = o->events[i];

		print_message("%d %s %s %s result=%d\n", e->pid, reeve_kind_name(e->kind),
			      e->path ? e->path : "-", e->path2 ? e->path2 : "-", e->result);
	}
}
