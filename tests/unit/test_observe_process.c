/* SPDX-License-Identifier: Apache-2.0 */
/* The backends that see processes without privilege; each test for each of them. */
#include "base/cleanup.h"
#include "fds.h"
#include "observed.h"
#include <pthread.h>
#include <sched.h>

#define PROCESSES (1U << REEVE_PROCESS)

static const struct backend *backend;

static int setup(void **state)
{
	backend = *state;
	return 0;
}

static void need_backend(enum reeve_scope scope)
{
	if (!backend_works(backend, scope))
		skip();
}

/* Long enough for whoever looks only now and then. */
static void stay(void)
{
	pause_ms(400);
}

static void fork_and_exec(void *userdata _unused_)
{
	static char *const argv[] = {
		"/bin/sh", "-c", "sleep 0.4; exit 5", "--token", "abc", NULL
	};
	pid_t pid = fork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(99);
	}
	waitpid(pid, NULL, 0);
	stay();
	_exit(7);
}

static void forks_programs_and_exits_are_seen(void **state _unused_)
{
	const struct reeve_event *forked, *executed;
	struct observed o;
	pid_t child;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_and_exec, NULL);
	observed_finish(&o);
	forked = observed_find(&o, REEVE_FORKED, o.pid);
	child = forked->child_pid;
	assert_true(child > 0 && child != o.pid);
	assert_string_equal(forked->source, backend->name);
	executed = observed_find(&o, REEVE_EXECUTED, child);
	assert_non_null(executed->path);
	assert_int_equal(executed->argv_size, 8 + 3 + 18 + 8 + 11);
	assert_string_equal(executed->argv, "/bin/sh");
	observed_find(&o, REEVE_EXITED, child);
	observed_find(&o, REEVE_EXITED, o.pid);
	observed_done(&o);
}

static void secrets_in_arguments_are_not_told(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_and_exec, NULL);
	observed_finish(&o);
	e = observed_find(&o, REEVE_EXECUTED, observed_find(&o, REEVE_FORKED, o.pid)->child_pid);
	assert_null(memmem(e->argv, e->argv_size, "abc", 3));
	assert_non_null(memmem(e->argv, e->argv_size, "<redacted>", 10));
	observed_done(&o);
}

static void numbers_grow_by_one_and_by_what_was_missed(void **state _unused_)
{
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_and_exec, NULL);
	observed_finish(&o);
	assert_true(o.n > 0);
	for (size_t i = 1; i < o.n; i++)
		assert_true(o.events[i]->seq > o.events[i - 1]->seq);
	assert_true(o.events[o.n - 1]->seq <= o.n + o.missed[REEVE_PROCESS]);
	assert_true(o.events[o.n - 1]->seq >= o.n);
	observed_done(&o);
}

static void fork_twice(void *userdata _unused_)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (fork() != 0)
			_exit(0);
		setsid();
		stay();
		execl("/bin/sh", "sh", "-c", "sleep 0.4", NULL);
		_exit(99);
	}
	waitpid(pid, NULL, 0);
	stay();
	stay();
	stay();
}

static void one_that_forks_twice_is_not_lost(void **state _unused_)
{
	struct observed o;
	bool found = false;

	/* Without mark and cgroup a tree is held together by its parents. */
	if (backend == &backend_subreaper_proc_poll)
		skip();
	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_twice, NULL);
	observed_finish(&o);
	for (unsigned i = 0; i < observed_count(&o, REEVE_EXECUTED, 0); i++)
		found |= observed_nth(&o, REEVE_EXECUTED, 0, i)->pid != o.pid;
	assert_true(found);
	observed_done(&o);
}

static void exit_with(void *userdata)
{
	stay();
	_exit((int)(intptr_t)userdata);
}

static void what_is_not_of_the_tree_is_not_told(void **state _unused_)
{
	struct observed o;
	pid_t other;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, exit_with, NULL);
	observed_go(&o);
	other = fork();
	assert_true(other >= 0);
	if (other == 0) {
		stay();
		_exit(0);
	}
	observed_finish(&o);
	assert_int_equal(waitpid(other, NULL, 0), other);
	observation_flush(o.observation);
	for (size_t i = 0; i < o.n; i++) {
		assert_int_equal(o.events[i]->pid, o.pid);
		assert_int_not_equal(o.events[i]->child_pid, other);
	}
	assert_true(observed_count(&o, REEVE_EXITED, o.pid) == 1);
	observed_done(&o);
}

static void a_leader_that_is_told_later_is_observed_too(void **state _unused_)
{
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_init(&o);
	observed_fork(&o, fork_and_exec, NULL);
	observed_start_with(&o, backend,
			    &(struct backend_target){ .session = 1, .categories = PROCESSES });
	observation_note(o.observation,
			 &(struct backend_note){ .what = NOTE_LEADER, .pid = o.pid });
	observed_finish(&o);
	observed_find(&o, REEVE_EXECUTED, observed_find(&o, REEVE_FORKED, o.pid)->child_pid);
	observed_done(&o);
}

static bool saw_birth_of(const struct observed *o, pid_t pid)
{
	const struct reeve_event *e;

	for (unsigned n = 0; (e = observed_nth(o, REEVE_FORKED, 0, n)); n++) {
		if (e->child_pid == pid)
			return true;
	}
	return false;
}

static void everything_is_everything(void **state _unused_)
{
	struct observed o;
	int until[2];
	pid_t other;
	char byte;

	need_backend(REEVE_SYSTEM_WIDE);
	observed_init(&o);
	observed_fork(&o, exit_with, NULL);
	observed_start_with(&o, backend,
			    &(struct backend_target){
				    .session = 1, .everything = true, .categories = PROCESSES });
	assert_int_equal(pipe2(until, O_CLOEXEC), 0);
	other = fork();
	assert_true(other >= 0);
	if (other == 0) {
		close(until[1]);
		_exit((int)read(until[0], &byte, 1));
	}
	o.only = other;
	for (int i = 0; i < PATIENCE_MS && !saw_birth_of(&o, other); i++)
		observed_look(&o);
	assert_true(saw_birth_of(&o, other));
	close(until[0]);
	close(until[1]);
	observed_finish(&o);
	assert_int_equal(waitpid(other, NULL, 0), other);
	observation_flush(o.observation);
	assert_int_equal(observed_count(&o, REEVE_EXITED, other), 1);
	observed_done(&o);
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	assert_int_equal(count_fds(), before);
	observed_start(&o, backend, PROCESSES, exit_with, NULL);
	observed_finish(&o);
	observed_done(&o);
	assert_int_equal(count_fds(), before);
}

/* --- what only some of them do --------------------------------------------------------------- */

static void exit_codes_are_told(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_and_exec, NULL);
	observed_finish(&o);
	e = observed_find(&o, REEVE_EXITED, observed_find(&o, REEVE_FORKED, o.pid)->child_pid);
	assert_true(e->fields & REEVE_HAS_EXIT_CODE);
	assert_int_equal(e->exit_code, 5);
	e = observed_find(&o, REEVE_EXITED, o.pid);
	assert_int_equal(e->exit_code, 7);
	observed_done(&o);
}

static void fork_many(void *userdata)
{
	for (intptr_t i = 0; i < (intptr_t)userdata; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void each_of_many_short_ones_is_seen(void **state _unused_)
{
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, fork_many, (void *)200);
	observed_finish(&o);
	if (o.missed[REEVE_PROCESS] == 0) {
		assert_int_equal(observed_count(&o, REEVE_FORKED, o.pid), 200);
		assert_int_equal(observed_count(&o, REEVE_EXITED, 0), 201);
	}
	observed_done(&o);
}

static void *fork_after(void *userdata)
{
	pid_t pid;

	(void)pthread_join(*(pthread_t *)userdata, NULL);
	pause_ms(20); /* until that was seen */
	pid = fork();
	if (pid == 0)
		_exit(0);
	_exit(pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1);
}

static void end_first_thread(void *userdata _unused_)
{
	pthread_t self = pthread_self(), other;

	if (pthread_create(&other, NULL, fork_after, &self) != 0)
		_exit(1);
	pthread_exit(NULL);
}

static void what_forks_when_its_first_thread_has_ended_is_told(void **state _unused_)
{
	struct observed o;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, end_first_thread, NULL);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	observed_find(&o, REEVE_EXITED, observed_find(&o, REEVE_FORKED, o.pid)->child_pid);
	observed_done(&o);
}

static void end_first_thread_soon(void *userdata _unused_)
{
	pid_t pid = fork();

	if (pid == 0)
		end_first_thread(NULL);
	_exit(pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1);
}

/* All of it, from the end of that thread to that of its process, is seen in one look. */
static void what_forks_then_is_told_however_late_we_look(void **state _unused_)
{
	struct observed o;
	siginfo_t ended;
	int32_t child;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&o, backend, PROCESSES, end_first_thread_soon, NULL);
	observed_go(&o);
	assert_int_equal(waitid(P_PID, (id_t)o.pid, &ended, WEXITED | WNOWAIT), 0);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.missed[REEVE_PROCESS], 0);
	child = observed_find(&o, REEVE_FORKED, o.pid)->child_pid;
	observed_find(&o, REEVE_EXITED, observed_find(&o, REEVE_FORKED, child)->child_pid);
	observed_done(&o);
}

static void has_told_twenty_forks(const struct observed *o)
{
	assert_int_equal(o->missed[REEVE_PROCESS], 0);
	assert_int_equal(observed_count(o, REEVE_FORKED, o->pid), 20);
	assert_int_equal(observed_count(o, REEVE_FORKED, 0), 20);
	assert_int_equal(observed_count(o, REEVE_EXITED, 0), 21);
	for (unsigned i = 0; i < 20; i++)
		observed_find(o, REEVE_EXITED, observed_nth(o, REEVE_FORKED, 0, i)->child_pid);
}

/* What they are told comes from the same place, where they may see the machine. */
static void each_of_two_in_a_host_is_told_its_own(void **state _unused_)
{
	struct observed one, two;

	need_backend(REEVE_LAUNCHED_TREE);
	observed_start(&one, backend, PROCESSES, fork_many, (void *)20);
	observed_init(&two);
	host_free(two.host);
	two.host = one.host;
	if (backend->prepare)
		backend->prepare(PROCESSES, &two.entry);
	observed_fork(&two, fork_many, (void *)20);
	observed_start_with(
		&two, backend,
		&(struct backend_target){
			.session = 2, .leader = two.pid, .gated = true, .categories = PROCESSES });
	observed_go(&two);
	observed_finish(&one);
	observed_finish(&two);
	has_told_twenty_forks(&one);
	has_told_twenty_forks(&two);
	two.observation = observation_stop(two.observation);
	two.host = NULL;
	observed_done(&two);
	observed_done(&one);
}

/* One CPU, so that one count of announcements is concerned. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Nobody reads while more happens than the kernel keeps for us. What was lost is announced with the
 * next thing that happens. */
static void what_overflows_is_counted(void **state _unused_)
{
	enum { FORKS = 6000 };
	struct observed o;
	cpu_set_t before;
	uint64_t told;
	pid_t other;

	need_backend(REEVE_LAUNCHED_TREE);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	stay_on_one_cpu();
	observed_start(&o, backend, PROCESSES, fork_many, (void *)FORKS);
	observed_go(&o);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	observation_flush(o.observation);
	other = fork();
	if (other == 0)
		_exit(0);
	assert_int_equal(waitpid(other, NULL, 0), other);
	observation_flush(o.observation);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	told = observed_count(&o, REEVE_FORKED, 0) + observed_count(&o, REEVE_EXITED, 0);
	assert_true(o.missed[REEVE_PROCESS] > 0);
	assert_true(told < 2ULL * FORKS + 1);
	assert_true(told + o.missed[REEVE_PROCESS] >= 2ULL * FORKS + 1);
	observed_done(&o);
}

#define TEST(f, b)                                                                                 \
	{                                                                                          \
#b ": " #f, f, setup, NULL, (void *)&backend_##b                                   \
	}
#define TESTS(b)                                                                                   \
	TEST(forks_programs_and_exits_are_seen, b), TEST(secrets_in_arguments_are_not_told, b),    \
		TEST(numbers_grow_by_one_and_by_what_was_missed, b),                               \
		TEST(one_that_forks_twice_is_not_lost, b),                                         \
		TEST(what_is_not_of_the_tree_is_not_told, b),                                      \
		TEST(a_leader_that_is_told_later_is_observed_too, b),                              \
		TEST(everything_is_everything, b), TEST(nothing_is_left_open, b)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTS(subreaper_proc_poll),
		TESTS(perf),
		TEST(each_of_many_short_ones_is_seen, perf),
		TEST(each_of_two_in_a_host_is_told_its_own, perf),
		TEST(what_forks_when_its_first_thread_has_ended_is_told, perf),
		TEST(what_forks_then_is_told_however_late_we_look, perf),
		TESTS(proc_connector),
		TEST(exit_codes_are_told, proc_connector),
		TEST(each_of_many_short_ones_is_seen, proc_connector),
		TEST(what_overflows_is_counted, proc_connector),
		TEST(forks_programs_and_exits_are_seen, seccomp_user_notify),
		TEST(secrets_in_arguments_are_not_told, seccomp_user_notify),
		TEST(numbers_grow_by_one_and_by_what_was_missed, seccomp_user_notify),
		TEST(one_that_forks_twice_is_not_lost, seccomp_user_notify),
		TEST(each_of_two_in_a_host_is_told_its_own, seccomp_user_notify),
		TEST(what_forks_when_its_first_thread_has_ended_is_told, seccomp_user_notify),
		TEST(what_forks_then_is_told_however_late_we_look, seccomp_user_notify),
		TEST(what_is_not_of_the_tree_is_not_told, seccomp_user_notify),
		TEST(each_of_many_short_ones_is_seen, seccomp_user_notify),
		TEST(nothing_is_left_open, seccomp_user_notify),
		TEST(forks_programs_and_exits_are_seen, ptrace),
		TEST(secrets_in_arguments_are_not_told, ptrace),
		TEST(numbers_grow_by_one_and_by_what_was_missed, ptrace),
		TEST(one_that_forks_twice_is_not_lost, ptrace),
		TEST(what_is_not_of_the_tree_is_not_told, ptrace),
		TEST(exit_codes_are_told, ptrace),
		TEST(each_of_many_short_ones_is_seen, ptrace),
		TEST(nothing_is_left_open, ptrace),
#ifdef REEVE_EBPF
		TESTS(ebpf),
		TEST(exit_codes_are_told, ebpf),
		TEST(each_of_many_short_ones_is_seen, ebpf),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
