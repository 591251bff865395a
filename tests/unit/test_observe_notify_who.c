/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: what a process is called and whose child it is, of which most is
 * known without asking /proc about each. */
#include "base/cleanup.h"
#include "notify_observed.h"
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#define ROUNDS  40
#define RENAMES 30000 /* more than is kept of them while nobody looks */

/* Opens what is not there: an event that says who it is of. */
static void call_out(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "/nowhere/%s", name);
	need(open(path, O_RDONLY) < 0);
}

static const struct reeve_event *heard(const struct observed *o, const char *name)
{
	const struct reeve_event *e;
	char path[128];

	(void)snprintf(path, sizeof(path), "/nowhere/%s", name);
	e = observed_path(o, REEVE_OPENED, path);
	if (!e)
		fail_msg("nobody called out %s", name);
	return e;
}

static void call_out_in_child(const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		call_out(name);
		_exit(0);
	}
	wait_for(pid);
}

/* --- names ----------------------------------------------------------------------------------- */

static void *rename_first(void *name)
{
	FILE *f = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/comm", getpid());
	f = fopen(path, "w");
	need(f && fputs(name, f) >= 0 && fclose(f) == 0);
	return NULL;
}

static void make_children_by_many_names(void *userdata _unused_)
{
	call_out("parent");
	for (int i = 0; i < ROUNDS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "name-%d", i);
		if (i % 2 == 0) {
			need(prctl(PR_SET_NAME, name) == 0);
		} else {
			pthread_t thread;

			need(pthread_create(&thread, NULL, rename_first, name) == 0);
			need(pthread_join(thread, NULL) == 0);
		}
		call_out_in_child(name);
	}
}

static void a_child_has_the_name_that_its_parent_had_when_it_made_it(void **state _unused_)
{
	struct observed o;

	observe(&o, make_children_by_many_names, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		const struct reeve_event *e;
		char name[16];

		(void)snprintf(name, sizeof(name), "name-%d", i);
		e = heard(&o, name);
		assert_string_equal(e->comm, name);
		assert_int_equal(e->ppid, o.pid);
		assert_int_not_equal(e->pid, o.pid);
	}
	observed_done(&o);
}

static void be_a_shell_of_another_name(void *userdata _unused_)
{
	execl("/bin/sh", "sh", "-c",
	      "/bin/true a; printf shell >/proc/$$/comm; /bin/true b; :", NULL);
	_exit(1);
}

static void a_program_that_has_taken_another_name_makes_children_of_that(void **state _unused_)
{
	static const char *const names[] = { "sh", "shell" };
	const struct reeve_event *e;
	struct observed o;
	unsigned n = 0;

	observe(&o, be_a_shell_of_another_name, NULL);
	for (unsigned i = 0; (e = observed_nth(&o, REEVE_EXECUTED, 0, i)); i++) {
		if (strcmp(e->path, "/bin/true") != 0)
			continue;
		assert_true(n < ARRAY_SIZE(names));
		assert_string_equal(e->comm, names[n++]);
	}
	assert_int_equal(n, ARRAY_SIZE(names));
	observed_done(&o);
}

static void *fork_in_thread(void *userdata _unused_)
{
	need(prctl(PR_SET_NAME, "thread") == 0);
	call_out_in_child("of-thread");
	return NULL;
}

static void fork_in_two_threads(void *userdata _unused_)
{
	pthread_t thread;

	call_out("process");
	need(prctl(PR_SET_NAME, "process") == 0);
	call_out_in_child("of-process");
	need(pthread_create(&thread, NULL, fork_in_thread, NULL) == 0);
	need(pthread_join(thread, NULL) == 0);
	call_out_in_child("of-process-again");
}

static void a_child_has_the_name_of_the_thread_that_made_it(void **state _unused_)
{
	struct observed o;

	observe(&o, fork_in_two_threads, NULL);
	assert_string_equal(heard(&o, "of-process")->comm, "process");
	assert_string_equal(heard(&o, "of-thread")->comm, "thread");
	assert_string_equal(heard(&o, "of-process-again")->comm, "process");
	observed_done(&o);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	need(sched_setaffinity(0, sizeof(set), &set) == 0);
}

/* The first (0) or last of the processors that we may run on. */
static int allowed_cpu(bool last)
{
	cpu_set_t set;
	int found = -1;

	need(sched_getaffinity(0, sizeof(set), &set) == 0);
	for (int i = 0; i < CPU_SETSIZE && (last || found < 0); i++)
		found = CPU_ISSET((unsigned)i, &set) ? i : found;
	return found;
}

/* What it is called at last is lost, since there is no room for it; that it makes a child is not,
 * since that is written where another processor writes. */
static void take_too_many_names(void *userdata)
{
	int first = allowed_cpu(false), last = allowed_cpu(true);
	int *ends = userdata;
	char name[16];

	call_out("before");
	run_on(first);
	for (int i = 0; i < RENAMES; i++) {
		(void)snprintf(name, sizeof(name), "name-%d", i);
		need(prctl(PR_SET_NAME, name) == 0);
	}
	need(prctl(PR_SET_NAME, "last") == 0);
	run_on(last);
	need(write(ends[1], "", 1) == 1);
	call_out_in_child("after");
}

static void a_name_that_was_lost_is_asked_for(void **state _unused_)
{
	struct observed o;
	int ends[2];
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	observed_start(&o, backend, ALL, take_too_many_names, ends);
	observed_go(&o);
	while (o.n == 0)
		observed_look(&o);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_string_equal(heard(&o, "after")->comm, "last");
	observed_done(&o);
	close(ends[0]);
	close(ends[1]);
}

static void *execute_in_thread(void *userdata _unused_)
{
	execl("/bin/cat", "cat", "/nowhere/cat", NULL);
	_exit(1);
}

static void have_a_thread_execute(void *userdata _unused_)
{
	pthread_t thread;

	call_out("before");
	need(pthread_create(&thread, NULL, execute_in_thread, NULL) == 0);
	pause();
}

/* Whoever called out before had its number. */
static void what_a_thread_executes_has_its_own_name(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observed_start(&o, backend, ALL, have_a_thread_execute, NULL);
	observed_finish(&o);
	e = heard(&o, "cat");
	assert_string_equal(e->comm, "cat");
	assert_int_equal(e->pid, o.pid);
	observed_done(&o);
}

/* --- parents --------------------------------------------------------------------------------- */

static void call_out_parent(void)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "child-of-%d", getppid());
	call_out(name);
}

/* A child whose parent has ended, and one that is made to be a sibling. */
static void leave_children(void *userdata _unused_)
{
	int ends[2], status;
	pid_t middle;
	char byte;

	call_out("parent");
	need(prctl(PR_SET_NAME, "parent") == 0 && pipe2(ends, O_CLOEXEC) == 0);
	middle = fork();
	if (middle == 0) {
		middle = getpid();
		if (fork() == 0) {
			while (getppid() == middle)
				pause_ms(1);
			call_out_parent();
			need(write(ends[1], "", 1) == 1);
		}
		_exit(0);
	}
	need(middle > 0 && waitpid(middle, &status, 0) == middle && read(ends[0], &byte, 1) == 1);
	if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
		call_out_parent();
		need(write(ends[1], "", 1) == 1);
		_exit(0);
	}
	need(read(ends[0], &byte, 1) == 1);
}

static void a_parent_is_who_is_that_by_now(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;
	unsigned n = 0;

	observe(&o, leave_children, NULL);
	for (unsigned i = 0; (e = observed_nth(&o, REEVE_OPENED, 0, i)); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "/nowhere/child-of-%d", e->ppid);
		if (!strstr(e->path, "child-of-"))
			continue;
		assert_string_equal(e->path, name);
		assert_string_equal(e->comm, "parent");
		n++;
	}
	assert_int_equal(n, 2);
	observed_done(&o);
	assert_true(waitpid(-1, NULL, 0) > 0); /* it is ours */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_has_the_name_that_its_parent_had_when_it_made_it),
		cmocka_unit_test(a_program_that_has_taken_another_name_makes_children_of_that),
		cmocka_unit_test(a_child_has_the_name_of_the_thread_that_made_it),
		cmocka_unit_test(what_a_thread_executes_has_its_own_name),
		cmocka_unit_test(a_name_that_was_lost_is_asked_for),
		cmocka_unit_test(a_parent_is_who_is_that_by_now),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
