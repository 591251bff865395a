/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of who makes a call because somebody told it, and when that is not believed. */
#include "base/cleanup.h"
#include "fds.h"
#include "observe/call_threads.h"
#include "processes.h"

#define FORKS 5000
#define MANY  100 /* whose numbers fill more than is read of a list */

static int teller, other; /* somebody's addresses */

/* A process that waits; what /proc calls it is not what this test says. */
static pid_t waiting(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return pid;
}

static const struct call_thread *caller(struct call_threads *threads, pid_t pid)
{
	struct call c = { .tid = pid };
	const struct call_thread *k;

	threads->userdata = &teller;
	k = call_thread(threads, &c);
	assert_int_equal(k->pid, pid);
	assert_int_equal(k->ppid, getpid());
	return k;
}

static void assert_told(struct call_threads *threads, pid_t pid, bool told)
{
	const char *comm = caller(threads, pid)->comm;

	if (threads->stat_only) /* before Linux 6.13 the name is asked for with the parent */
		skip();
	if (told)
		assert_string_equal(comm, "told");
	else
		assert_string_not_equal(comm, "told");
}

/* `maker` is known, and was told to be called so. */
static void tell_name(struct call_threads *threads, pid_t maker)
{
	assert_told(threads, maker, false);
	call_renamed(threads, maker, "told", &teller);
}

static void a_name_that_was_told_is_a_childs_too(void **state _unused_)
{
	struct call_threads threads = { 0 };
	pid_t maker = waiting(), child = waiting();

	tell_name(&threads, maker);
	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, maker, true);
	assert_told(&threads, child, true);
	call_renamed(&threads, maker, "else", &teller);
	assert_told(&threads, child, true);
	call_forked(&threads, maker, maker, child, &teller);
	assert_string_equal(caller(&threads, child)->comm, "else");
	end(maker);
	end(child);
}

static void a_name_that_was_asked_for_is_no_childs(void **state _unused_)
{
	struct call_threads threads = { 0 };
	pid_t maker = waiting(), child = waiting();

	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, child, false);
	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, child, false);
	tell_name(&threads, maker);
	call_forked(&threads, maker, maker + 1, child, &teller); /* another thread of it */
	assert_told(&threads, child, false);
	call_forked(&threads, maker, maker, child, &other);
	assert_told(&threads, child, false);
	end(maker);
	end(child);
}

static void who_has_ended_is_forgotten(void **state _unused_)
{
	struct call_threads threads = { 0 };
	pid_t maker = waiting(), child = waiting();

	tell_name(&threads, maker);
	call_ended(&threads, maker, &other);
	assert_told(&threads, maker, true);
	call_ended(&threads, maker, &teller);
	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, maker, false);
	assert_told(&threads, child, false);
	end(maker);
	end(child);
}

static void all_is_forgotten_when_something_was_not_told(void **state _unused_)
{
	struct call_threads threads = { 0 };
	pid_t maker = waiting(), child = waiting();

	tell_name(&threads, maker);
	call_forked(&threads, maker, maker, child, &teller);
	call_untold(&threads, &other);
	assert_told(&threads, child, true);
	call_untold(&threads, &teller);
	assert_told(&threads, child, false);
	call_renamed(&threads, maker, "told", &teller); /* nothing else is known of it */
	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, child, false);
	assert_told(&threads, maker, false);
	end(maker);
	end(child);
}

static void who_makes_many_is_not_forgotten(void **state _unused_)
{
	struct call_threads threads = { 0 };
	pid_t maker = waiting(), child = waiting();

	tell_name(&threads, maker);
	for (int i = 1; i <= FORKS; i++)
		call_forked(&threads, maker, maker, 1 << 24 | i, &teller);
	call_forked(&threads, maker, maker, child, &teller);
	assert_told(&threads, child, true);
	end(maker);
	end(child);
}

/* A child of another process, `parent`. */
static pid_t waiting_elsewhere(pid_t *parent)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	*parent = fork();
	assert_true(*parent >= 0);
	if (*parent == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pid = waiting();
		if (write(ends[1], &pid, sizeof(pid)) == sizeof(pid))
			pause();
		_exit(0);
	}
	assert_int_equal(read(ends[0], &pid, sizeof(pid)), sizeof(pid));
	close(ends[0]);
	close(ends[1]);
	return pid;
}

static int32_t told_parent(struct call_threads *threads, pid_t maker, pid_t child)
{
	struct call c = { .tid = child };

	threads->userdata = &teller;
	call_forked(threads, maker, maker, child, &teller);
	return call_thread(threads, &c)->ppid;
}

/* The names of those are told, so that nothing else need be asked. */
static void begin_parents(struct call_threads *threads)
{
	*threads = (struct call_threads){ .userdata = &teller };
	(void)call_thread(threads, &(struct call){ .tid = getpid() });
	call_renamed(threads, getpid(), "told", &teller);
}

static void the_list_of_its_children_stays_open_for_who_makes_many(void **state _unused_)
{
	bool listed = access("/proc/thread-self/children", R_OK) == 0; /* CONFIG_PROC_CHILDREN */
	pid_t parent, cousin = waiting_elsewhere(&parent), first = waiting(), second = waiting();
	unsigned before = count_fds();
	struct call_threads threads;

	begin_parents(&threads);
	assert_int_equal(told_parent(&threads, getpid(), first), getpid());
	assert_int_equal(count_fds(), before);
	assert_int_equal(told_parent(&threads, getpid(), second), getpid());
	assert_int_equal(count_fds(), before + listed);
	assert_int_equal(told_parent(&threads, getpid(), cousin), parent);
	assert_int_equal(told_parent(&threads, getpid(), first), getpid());
	assert_int_equal(count_fds(), before + listed);
	call_threads_done(&threads);
	assert_int_equal(count_fds(), before);
	end(first);
	end(second);
	end(parent);
}

static void the_parent_of_one_of_very_many_is_found(void **state _unused_)
{
	struct call_threads threads;
	pid_t children[MANY];

	begin_parents(&threads);
	for (int i = 0; i < MANY; i++)
		children[i] = waiting();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < MANY; i++)
			assert_int_equal(told_parent(&threads, getpid(), children[i]), getpid());
	call_threads_done(&threads);
	for (int i = 0; i < MANY; i++)
		end(children[i]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_was_told_is_a_childs_too),
		cmocka_unit_test(a_name_that_was_asked_for_is_no_childs),
		cmocka_unit_test(who_has_ended_is_forgotten),
		cmocka_unit_test(all_is_forgotten_when_something_was_not_told),
		cmocka_unit_test(who_makes_many_is_not_forgotten),
		cmocka_unit_test(the_list_of_its_children_stays_open_for_who_makes_many),
		cmocka_unit_test(the_parent_of_one_of_very_many_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
