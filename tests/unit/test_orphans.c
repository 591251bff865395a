/* SPDX-License-Identifier: Apache-2.0 */
/* What has taken another mark and lost its parent is still found, if it hangs on the subreaper. */
#include "core/tree.h"
#include "processes.h"
#include <pthread.h>
#include <sched.h>

#define MINE  "pipe-0000000000000001-00000001"
#define OTHER "pipe-0000000000000002-00000002"

#define FIRST_THREAD_ENDS "first-thread-ends"

static struct tree tree_called(const char *session)
{
	struct tree t = { .mark = new_mark(), .cgroup_dir = -1, .reaper = getpid() };

	strcpy(t.session, session);
	return t;
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static unsigned alive(const struct tree *t)
{
	unsigned n = 0;
	int r;

	do
		r = tree_alive(t, 1, NULL, &n);
	while (r == -EAGAIN);
	assert_int_equal(r, 0);
	return n;
}

static int kill_once(struct tree *t)
{
	struct tree_result result;
	int r = tree_kill_step(t, 1, NULL, &result);

	assert_true(r >= 0);
	reap();
	return r;
}

static void kill_all(struct tree *t)
{
	wait_until(kill_once(t) == 0);
	assert_int_equal(alive(t), 0);
}

/* Takes another mark and loses its parent. */
static void get_away(void)
{
	if (fork() > 0)
		_exit(0);
	set_mark(1);
	if (fork() > 0)
		_exit(0);
}

static void run_as(struct shared *s, const char *variable)
{
	char *argv[] = { "sh", "-c", "sleep 1000 & exec sleep 1000", NULL };
	char *envp[] = { "PATH=/usr/bin:/bin", (char *)variable, NULL };

	report(s);
	execve("/bin/sh", argv, envp);
	_exit(127);
}

static void role_called_mine(struct shared *s)
{
	get_away();
	setsid();
	run_as(s, "REEVE_SESSION=" MINE);
}

static void role_called_nothing(struct shared *s)
{
	get_away();
	setsid();
	run_as(s, NULL);
}

/* In the POSIX session that the leader began. */
static void role_in_session(struct shared *s)
{
	setsid();
	report(s);
	if (fork() == 0) {
		get_away();
		run_as(s, NULL);
	}
	for (;;)
		pause();
}

static int note_how(const struct tree_member *m, void *userdata)
{
	unsigned *how = userdata;

	*how = *how << 8 | m->how;
	return 0;
}

static unsigned how(const struct tree *t)
{
	unsigned seen = 0;

	reap();
	assert_int_equal(tree_each(t, 1, NULL, note_how, &seen), 0);
	return seen;
}

static void an_orphan_is_told_by_its_environment(_unused_ void **state)
{
	struct tree t = tree_called(MINE), other = tree_called(OTHER), nameless = tree_called("");
	struct shared *s = shared_new();

	start(t.mark, role_called_mine, s);
	/* With what descends from it. */
	wait_until(how(&t) == (TREE_ORPHAN << 8 | TREE_DESCENT));
	assert_int_equal(alive(&t), 1);
	assert_true(tree_may_have_orphan(&t, s->pids[0]));
	assert_int_equal(alive(&other), 0);
	assert_int_equal(alive(&nameless), 0);
	kill_all(&other);
	kill_all(&nameless);
	assert_int_equal(alive(&t), 1);
	kill_all(&t);
	assert_int_equal(how(&t), 0);
}

static void an_orphan_is_told_by_the_session_of_a_leader_that_was_not_reaped(_unused_ void **state)
{
	struct tree t = tree_called("");
	struct shared *s = shared_new();
	unsigned n;

	t.leader = start(t.mark, role_in_session, s);
	wait_until(s->ready == 2);
	wait_until(tree_alive(&t, 1, NULL, &n) == 0 && n == 2);
	kill(t.leader, SIGKILL);
	wait_until(state_of(t.leader) == 'Z');
	assert_int_equal(alive(&t), 1);
	assert_true(tree_may_have_orphan(&t, s->pids[1]));
	t.leader = 0;
	assert_int_equal(alive(&t), 0);
	t.all_orphans = true;
	kill_all(&t);
}

static void nobody_else_is_told_by_its_environment(_unused_ void **state)
{
	struct tree t = tree_called(MINE);
	struct shared *s = shared_new();
	pid_t pid;

	/* A child that has no parent but another process than the reaper. */
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			run_as(s, "REEVE_SESSION=" MINE);
		for (;;)
			pause();
	}
	wait_until(s->ready == 1 && how(&t) == 0);
	assert_false(tree_may_have_orphan(&t, s->pids[0]));
	t.all_orphans = true;
	t.spared = pid;
	assert_int_equal(how(&t), 0);
	t.spared = 0;
	wait_until(alive(&t) == 1);
	kill_all(&t);
}

static void all_orphans_are_found_where_nothing_tells_whose_they_are(_unused_ void **state)
{
	struct tree t = tree_called(MINE);
	struct shared *s = shared_new();

	start(t.mark, role_called_nothing, s);
	wait_until(s->ready == 1);
	wait_until(proc_mark(s->pids[0], &(uint64_t){ 0 }) == 0 && how(&t) == 0);
	assert_int_equal(alive(&t), 0);
	t.all_orphans = true;
	wait_until(how(&t) == (TREE_ORPHAN << 8 | TREE_DESCENT));
	kill_all(&t);
}

/* The first process of a pid namespace does not end before all others there were reaped. Here one
 * of them is the child of a process outside that waits to be told: meanwhile that end stands still,
 * with the environment gone and the process there. */
enum { TEST, FIRST, JOINED, RELEASED };

static void hold_up(struct shared *s, pid_t maker)
{
	char path[64];
	pid_t pid;
	int ns;

	while (s->pids[FIRST] == 0)
		pause_ms(1);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/pid_for_children", (int)maker);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWPID) < 0)
		_exit(98);
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	s->pids[JOINED] = 1;
	while (!s->pids[RELEASED] && kill(s->pids[TEST], 0) == 0)
		pause_ms(1);
	waitpid(pid, NULL, 0);
	_exit(0);
}

/* Some systems keep user namespaces from ordinary users. */
static bool may_unshare(void)
{
	return geteuid() == 0 || unshare(CLONE_NEWUSER) == 0;
}

static void role_try_to_unshare(_unused_ struct shared *s)
{
	_exit(may_unshare() && unshare(CLONE_NEWPID) == 0 ? 0 : 98);
}

static void role_ends_slowly(struct shared *s)
{
	char *argv[] = { "sleep", "1000", NULL };
	char *envp[] = { "REEVE_SESSION=" MINE, NULL };
	pid_t maker = getpid(), first;

	set_mark(1);
	if (!may_unshare())
		_exit(98);
	if (fork() == 0)
		hold_up(s, maker);
	if (unshare(CLONE_NEWPID) < 0)
		_exit(98);
	first = fork();
	if (first == 0) {
		setsid();
		execve("/bin/sleep", argv, envp);
		_exit(127);
	}
	s->pids[FIRST] = first;
	while (!s->pids[JOINED])
		pause_ms(1);
	_exit(0);
}

static void an_orphan_that_is_ending_may_be_of_any_tree(_unused_ void **state)
{
	struct tree t = tree_called(MINE), other = tree_called(OTHER);
	struct tree_filter disown = { .disown_unknown = true };
	struct shared *s = shared_new();
	unsigned n = 1;
	char value[64];
	int status;

	waitpid(start(0, role_try_to_unshare, s), &status, 0);
	if (status != 0)
		skip();
	s->pids[TEST] = getpid();
	start(t.mark, role_ends_slowly, s);
	wait_until(s->pids[JOINED] && how(&t) == TREE_ORPHAN);
	assert_int_equal(alive(&other), 0);
	kill(s->pids[FIRST], SIGKILL);
	wait_until(proc_environ_get(s->pids[FIRST], TREE_VARIABLE, value, 64) < 0);
	assert_int_equal(tree_alive(&t, 1, NULL, &n), -EAGAIN);
	assert_int_equal(tree_alive(&other, 1, NULL, &n), -EAGAIN);
	assert_true(tree_may_have_orphan(&t, s->pids[FIRST]));
	assert_int_equal(kill_once(&t), 1);
	assert_int_equal(tree_alive(&t, 1, &disown, &n), 1);
	assert_int_equal(n, 0);
	s->pids[RELEASED] = 1;
	wait_until(state_of(s->pids[FIRST]) == 'Z');
	assert_false(tree_may_have_orphan(&t, s->pids[FIRST]));
	reap();
	assert_int_equal(alive(&t), 0);
}

static void *sleep_on(void *userdata)
{
	for (;;)
		pause();
	return userdata;
}

/* As the program itself: /proc shows the environment that it was started with. */
static int run_first_thread_ends(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, sleep_on, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}

static void an_environment_outlives_the_first_thread(_unused_ void **state)
{
	char *argv[] = { "test_orphans", FIRST_THREAD_ENDS, NULL };
	char *envp[] = { "A=a", NULL };
	pid_t pid = fork();
	char value[16] = "";

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execve("/proc/self/exe", argv, envp);
		_exit(127);
	}
	wait_until(state_of(pid) == 'Z');
	assert_int_equal(proc_environ_get(pid, "A", value, sizeof(value)), 0);
	assert_string_equal(value, "a");
	assert_int_equal(proc_environ_get(pid, "B", value, sizeof(value)), -ENOENT);
	end(pid);
}

static void the_environment_is_searched_by_whole_names(_unused_ void **state)
{
	char *argv[] = { "sleep", "1000", NULL };
	char *envp[] = { "XA=wrong", "A=", "AB=b", "B", "C=long enough", "D=d=d", NULL };
	pid_t pid = fork();
	char value[16];

	if (pid == 0) {
		execve("/bin/sleep", argv, envp);
		_exit(127);
	}
	wait_until(proc_environ_get(pid, "AB", value, sizeof(value)) == 0);
	assert_string_equal(value, "b");
	assert_int_equal(proc_environ_get(pid, "A", value, sizeof(value)), 0);
	assert_string_equal(value, "");
	assert_int_equal(proc_environ_get(pid, "D", value, 4), 0);
	assert_string_equal(value, "d=d");
	assert_int_equal(proc_environ_get(pid, "C", value, 11), -ENOENT);
	assert_int_equal(proc_environ_get(pid, "C", value, 12), 0);
	assert_string_equal(value, "long enough");
	assert_int_equal(proc_environ_get(pid, "B", value, sizeof(value)), -ENOENT);
	assert_int_equal(proc_environ_get(pid, "ABC", value, sizeof(value)), -ENOENT);
	end(pid);
	assert_int_equal(proc_environ_get(pid, "A", value, sizeof(value)), -ESRCH);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_orphan_is_told_by_its_environment),
		cmocka_unit_test(an_orphan_is_told_by_the_session_of_a_leader_that_was_not_reaped),
		cmocka_unit_test(nobody_else_is_told_by_its_environment),
		cmocka_unit_test(all_orphans_are_found_where_nothing_tells_whose_they_are),
		cmocka_unit_test(an_orphan_that_is_ending_may_be_of_any_tree),
		cmocka_unit_test(an_environment_outlives_the_first_thread),
		cmocka_unit_test(the_environment_is_searched_by_whole_names),
	};

	if (argc == 2 && strcmp(argv[1], FIRST_THREAD_ENDS) == 0)
		return run_first_thread_ends();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
