/* SPDX-License-Identifier: Apache-2.0 */
/* A process ends with the last of its threads, whichever that is; each test for each backend. */
#include "base/cleanup.h"
#include "observed.h"
#include <pthread.h>

#define PROCESSES (1U << REEVE_PROCESS)
#define CODE      6
#define ROUNDS    20

static const struct backend *backend;

static int setup(void **state)
{
	backend = *state;
	return 0;
}

static void need_backend(void)
{
	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		skip();
}

/* A busy machine may do more than is kept for us. */
static bool is_complete(const struct observed *o)
{
	return o->missed[REEVE_PROCESS] == 0;
}

/* Where an event stands among all; fails when there is none. */
static size_t place_of(const struct observed *o, enum reeve_kind kind, pid_t pid)
{
	const struct reeve_event *e = observed_find(o, kind, pid);

	for (size_t i = 0; i < o->n; i++)
		if (o->events[i] == e)
			return i;
	fail();
	return 0;
}

/* Its end was told once, behind all else of it, and with its code where that is told. */
static void has_ended_once(const struct observed *o, pid_t pid, int code)
{
	size_t place = place_of(o, REEVE_EXITED, pid);
	const struct reeve_event *e = o->events[place];

	assert_int_equal(observed_count(o, REEVE_EXITED, pid), 1);
	for (size_t i = place + 1; i < o->n; i++)
		assert_int_not_equal(o->events[i]->pid, pid);
	if ((e->fields & REEVE_HAS_EXIT_CODE) != 0)
		assert_int_equal(e->exit_code, code);
}

static void *end_with(void *userdata)
{
	_exit((int)(intptr_t)userdata);
}

/* Waits until the first thread has ended, makes a child, and ends the process. */
static void *outlive(void *first)
{
	pid_t pid;

	if (pthread_join(*(pthread_t *)first, NULL) != 0)
		_exit(1);
	pid = fork();
	if (pid == 0)
		_exit(0);
	_exit(pid > 0 && waitpid(pid, NULL, 0) == pid ? CODE : 1);
}

static void end_first_thread(void *userdata _unused_)
{
	pthread_t self = pthread_self(), other;

	if (pthread_create(&other, NULL, outlive, &self) != 0)
		_exit(1);
	pthread_exit(NULL);
}

static void the_end_of_the_first_thread_is_not_told_as_that_of_the_process(void **state _unused_)
{
	struct observed o;
	pid_t child;

	need_backend();
	observed_start(&o, backend, PROCESSES, end_first_thread, NULL);
	observed_finish(&o);
	assert_int_equal(WEXITSTATUS(o.status), CODE);
	if (is_complete(&o)) {
		child = observed_find(&o, REEVE_FORKED, o.pid)->child_pid;
		has_ended_once(&o, child, 0);
		has_ended_once(&o, o.pid, CODE);
	}
	observed_done(&o);
}

/* A child does it, of which nothing is known but what is told. */
static void end_first_threads(void *userdata _unused_)
{
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();
		int status = 0;

		if (pid == 0)
			end_first_thread(NULL);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != CODE)
			_exit(1);
	}
}

static void nor_is_that_of_one_that_was_born_under_our_eyes(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_start(&o, backend, PROCESSES, end_first_threads, NULL);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	for (unsigned i = 0; is_complete(&o) && i < ROUNDS; i++) {
		pid_t pid = observed_nth(&o, REEVE_FORKED, o.pid, i)->child_pid;

		has_ended_once(&o, observed_find(&o, REEVE_FORKED, pid)->child_pid, 0);
		has_ended_once(&o, pid, CODE);
	}
	if (is_complete(&o))
		assert_int_equal(observed_count(&o, REEVE_EXITED, 0), 2 * ROUNDS + 1);
	observed_done(&o);
}

static void *execute(void *userdata _unused_)
{
	execl("/bin/sh", "sh", "-c", "exit 6", NULL);
	_exit(99);
}

/* The kernel has the first thread end, and gives its number to the one that executes. */
static void execute_in_another_thread(void *userdata _unused_)
{
	pthread_t other;

	if (pthread_create(&other, NULL, execute, NULL) != 0)
		_exit(1);
	for (;;)
		pause();
}

static void an_execve_of_another_thread_is_no_end(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_start(&o, backend, PROCESSES, execute_in_another_thread, NULL);
	observed_finish(&o);
	assert_int_equal(WEXITSTATUS(o.status), CODE);
	if (is_complete(&o)) {
		assert_int_equal(observed_count(&o, REEVE_EXECUTED, o.pid), 1);
		has_ended_once(&o, o.pid, CODE);
	}
	observed_done(&o);
}

static void *wait_for_the_end(void *userdata)
{
	while (pause() < 0)
		continue;
	return userdata;
}

static void end_all_threads_at_once(void *userdata _unused_)
{
	pthread_t others[4];

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (pthread_create(&others[i], NULL, i < 3 ? wait_for_the_end : end_with,
				   (void *)(intptr_t)CODE) != 0)
			_exit(1);
	wait_for_the_end(NULL);
}

static void end_all_threads_at_once_soon(void *userdata _unused_)
{
	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();

		if (pid == 0)
			end_all_threads_at_once(NULL);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(1);
	}
}

static void the_end_of_many_threads_at_once_is_told_once(void **state _unused_)
{
	struct observed o;

	need_backend();
	observed_start(&o, backend, PROCESSES, end_all_threads_at_once_soon, NULL);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	if (is_complete(&o))
		assert_int_equal(observed_count(&o, REEVE_EXITED, 0), ROUNDS + 1);
	for (unsigned i = 0; is_complete(&o) && i < ROUNDS; i++)
		has_ended_once(&o, observed_nth(&o, REEVE_FORKED, o.pid, i)->child_pid, CODE);
	observed_done(&o);
}

/* --- one that was there before --------------------------------------------------------------- */

static struct shared *shared;

static void *outlive_unless_told(void *first)
{
	report(shared);
	if (pthread_join(*(pthread_t *)first, NULL) != 0)
		_exit(1);
	report(shared);
	while (shared->ready < 4)
		pause_ms(1);
	_exit(CODE);
}

static void end_first_thread_when_told(void *userdata _unused_)
{
	pthread_t self = pthread_self(), other;

	if (pthread_create(&other, NULL, outlive_unless_told, &self) != 0)
		_exit(1);
	while (shared->ready < 2)
		pause_ms(1);
	pthread_exit(NULL);
}

static void of_one_that_had_threads_before_the_end_of_the_last_is_told(void **state _unused_)
{
	struct observed o;

	need_backend();
	shared = shared_new();
	observed_init(&o);
	if (backend->prepare)
		backend->prepare(PROCESSES, &o.entry);
	observed_fork(&o, end_first_thread_when_told, NULL);
	observed_go(&o);
	wait_until(shared->ready == 1);
	observed_start_with(
		&o, backend,
		&(struct backend_target){ .session = 1, .leader = o.pid, .categories = PROCESSES });
	shared->ready = 2;
	while (shared->ready < 3)
		observed_look(&o);
	observation_flush(o.observation);
	if (is_complete(&o))
		assert_int_equal(observed_count(&o, REEVE_EXITED, o.pid), 0);
	shared->ready = 4;
	observed_finish(&o);
	assert_int_equal(WEXITSTATUS(o.status), CODE);
	if (is_complete(&o))
		has_ended_once(&o, o.pid, CODE);
	observed_done(&o);
	munmap(shared, sizeof(*shared));
}

#define TEST(f, b)                                                                                 \
	{                                                                                          \
#b ": " #f, f, setup, NULL, (void *)&backend_##b                                   \
	}
#define TESTS(b)                                                                                   \
	TEST(the_end_of_the_first_thread_is_not_told_as_that_of_the_process, b),                   \
		TEST(nor_is_that_of_one_that_was_born_under_our_eyes, b),                          \
		TEST(an_execve_of_another_thread_is_no_end, b),                                    \
		TEST(the_end_of_many_threads_at_once_is_told_once, b)
#define LATE(b) TEST(of_one_that_had_threads_before_the_end_of_the_last_is_told, b)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTS(perf),
		LATE(perf),
		TESTS(proc_connector),
		LATE(proc_connector),
		TESTS(seccomp_user_notify),
		LATE(seccomp_user_notify),
		TESTS(ptrace),
#ifdef REEVE_EBPF
		TESTS(ebpf),
		LATE(ebpf),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
