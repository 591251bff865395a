/* SPDX-License-Identifier: Apache-2.0 */
/* A program that observes processes of its own, from their start to their end. */
#include "base/cleanup.h"
#include "fds.h"
#include "observe/in_process.h"
#include "processes.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CHILDREN   3
#define EVENTS_MAX 4096U

/* A process of this program, held at a gate until it is observed. */
struct child {
	pid_t pid;
	int gate, listener;
	char path[64]; /* of a file that it makes */
};

static struct reeve_observer *observer(struct reeve_subscriber **ret)
{
	const struct reeve_observer_config config = {
		4, { REEVE_LIFECYCLE, REEVE_FILE, REEVE_NETWORK, REEVE_PROCESS }
	};
	struct reeve_observer *o = NULL;

	assert_int_equal(reeve_observer_new(&config, &o), 0);
	assert_int_equal(reeve_observer_subscribe(o, EVENTS_MAX, ret), 0);
	return o;
}

static _Noreturn void make_file(const struct child *c, const struct entry *entry, int gate,
				int code)
{
	char number[8];
	char *const argv[] = { "/bin/sh", "-c", ": > \"$1\"; exit \"$2\"", "sh", (char *)c->path,
			       number,    NULL };
	char byte;

	snprintf(number, sizeof(number), "%d", code);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	entry_tell(entry, gate);
	if (read(gate, &byte, 1) != 1 || entry_after_gate(entry) < 0)
		_exit(98);
	execv(argv[0], argv);
	_exit(99);
}

static void begin(struct child *c, struct reeve_observer *o, unsigned number)
{
	struct backend_target target = { .session = number, .gated = true };
	struct entry entry;
	struct error e = { 0 };
	int gate[2];

	snprintf(c->path, sizeof(c->path), "/tmp/reeve-test-%d-%u", (int)getpid(), number);
	observer_prepare(o, &entry);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate), 0);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (c->pid == 0) {
		close(gate[1]);
		make_file(c, &entry, gate[0], (int)number);
	}
	close(gate[0]);
	c->gate = gate[1];
	c->listener = entry_hear(c->pid, c->gate);
	assert_true(c->listener >= 0);
	target.leader = c->pid;
	target.prepared = entry.n > 0;
	target.listener = c->listener;
	if (observer_watch(o, &target, &e) < 0)
		fail_msg("%s", e.message);
}

static void go(struct child *c, struct reeve_observer *o, unsigned number)
{
	assert_int_equal(write(c->gate, "", 1), 1);
	close(c->gate);
	observer_note(o, number, &(struct backend_note){ .what = NOTE_STARTED, .pid = c->pid });
}

static void reap(struct child *c, struct reeve_observer *o, unsigned number)
{
	struct backend_note note = { .what = NOTE_EXITED, .pid = c->pid };
	int status;

	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFEXITED(status));
	note.exit_code = WEXITSTATUS(status);
	assert_int_equal(note.exit_code, number);
	observer_note(o, number, &note);
	observer_unwatch(o, number);
	if (c->listener > 0)
		close(c->listener);
	assert_int_equal(unlink(c->path), 0);
}

struct told {
	struct reeve_event *events[EVENTS_MAX];
	size_t n;
};

/* How many events of a kind (REEVE_KIND_NONE: any) are of that process, and, if there is a path, of
 * that file. */
static unsigned count(const struct told *t, enum reeve_category category, enum reeve_kind kind,
		      pid_t pid, const char *path)
{
	unsigned found = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct reeve_event *e = t->events[i];

		found += e->category == category && (kind == REEVE_KIND_NONE || e->kind == kind) &&
			 e->pid == pid && (!path || (e->path && strcmp(e->path, path) == 0));
	}
	return found;
}

/* Whether that backend tells of the category. */
static bool is_told_by(const struct told *t, enum reeve_category category, const char *backend)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->events[i]->category == category &&
		    strcmp(t->events[i]->source, backend) == 0)
			return true;
	return false;
}

static void assert_told_of(const struct told *t, const struct child *all, unsigned which)
{
	bool by_kernel = is_told_by(t, REEVE_FILE, "ebpf");
	pid_t pid = all[which].pid;

	assert_int_equal(count(t, REEVE_LIFECYCLE, REEVE_STARTED, pid, NULL), 1);
	assert_int_equal(count(t, REEVE_LIFECYCLE, REEVE_EXITED, pid, NULL), 1);
	if (is_told_by(t, REEVE_PROCESS, "ebpf")) {
		assert_int_equal(count(t, REEVE_PROCESS, REEVE_EXECUTED, pid, NULL), 1);
		assert_int_equal(count(t, REEVE_PROCESS, REEVE_EXITED, pid, NULL), 1);
	}
	for (unsigned i = 0; i < CHILDREN; i++) {
		const char *path = all[i].path;

		if (by_kernel)
			assert_int_equal(count(t, REEVE_FILE, REEVE_CREATED, pid, path),
					 i == which);
		else if (is_told_by(t, REEVE_FILE, "seccomp-user-notify"))
			assert_int_equal(count(t, REEVE_FILE, REEVE_KIND_NONE, pid, path),
					 i == which);
	}
}

static void several_at_once_are_seen_each_for_itself(void **state _unused_)
{
	static struct told told;
	struct child children[CHILDREN];
	struct reeve_subscriber *s = NULL;
	struct reeve_observer *o = observer(&s);

	for (unsigned i = 0; i < CHILDREN; i++)
		begin(&children[i], o, i + 1);
	for (unsigned i = 0; i < CHILDREN; i++)
		go(&children[i], o, i + 1);
	for (unsigned i = 0; i < CHILDREN; i++)
		reap(&children[i], o, i + 1);
	told.n = reeve_subscriber_drain(s, told.events, EVENTS_MAX);
	for (unsigned i = 0; i < CHILDREN; i++)
		assert_told_of(&told, children, i);
	for (size_t i = 0; i < told.n; i++)
		reeve_event_free(told.events[i]);
	reeve_observer_close(o);
	assert_int_equal(reeve_subscriber_recv(s, told.events), 0);
	reeve_subscriber_close(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(several_at_once_are_seen_each_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
