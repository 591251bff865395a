/* SPDX-License-Identifier: Apache-2.0 */
#include "processes.h"
#include <limits.h>
#include <pthread.h>
#include <sys/syscall.h>

static void mark_of_a_process_without_one_is_0(_unused_ void **state)
{
	struct rlimit limit;
	uint64_t mark = 1;

	getrlimit(RLIMIT_LOCKS, &limit);
	if (limit.rlim_max != RLIM_INFINITY)
		skip();
	assert_int_equal(proc_mark(getpid(), &mark), 0);
	assert_int_equal(mark, 0);
}

static void role_new_session_and_empty_environment(struct shared *s)
{
	setsid();
	if (fork() == 0) {
		report(s);
		execl("/usr/bin/env", "env", "-i", "sleep", "1000", NULL);
	}
	wait(NULL);
}

static void mark_survives_setsid_fork_and_exec_with_an_empty_environment(_unused_ void **state)
{
	struct shared *s = shared_new();
	uint64_t mark = new_mark(), seen = 0;
	struct proc_stat stat;
	pid_t pid = start(mark, role_new_session_and_empty_environment, s);

	wait_until(s->ready == 1);
	wait_until(proc_stat_read(s->pids[0], &stat) == 0 && strcmp(stat.comm, "sleep") == 0);
	assert_int_equal(proc_mark(s->pids[0], &seen), 0);
	assert_int_equal(seen, mark);
	kill(s->pids[0], SIGKILL);
	waitpid(pid, NULL, 0);
}

static void mark_is_the_hard_limit(_unused_ void **state)
{
	uint64_t mark = new_mark(), seen = 0;
	struct rlimit limit = { 7, mark };
	struct shared *s = shared_new();
	pid_t pid = start(mark, role_wait, s);

	wait_until(s->ready == 1);
	assert_int_equal(prlimit(pid, RLIMIT_LOCKS, &limit, NULL), 0);
	assert_int_equal(proc_mark(pid, &seen), 0);
	assert_int_equal(seen, mark);
	end(pid);
}

static void role_exec_of_sleep(struct shared *s)
{
	report(s);
	execl("/bin/sleep", "sleep", "1000", NULL);
}

/* Most of these catch it in between, if there are two processors. */
static void without_arguments_under_its_new_name_it_is_execing(_unused_ void **state)
{
	char arguments[64];
	size_t n = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct shared *s = shared_new();
		pid_t pid = start(new_mark(), role_exec_of_sleep, s);
		struct proc_stat stat = { 0 };
		bool renamed;

		wait_until(s->ready == 1);
		do {
			assert_int_equal(proc_stat_read(pid, &stat), 0);
			renamed = strcmp(stat.comm, "sleep") == 0;
			/* The name may have changed after the rest was looked at. */
			assert_int_equal(proc_stat_read(pid, &stat), 0);
			assert_true(proc_cmdline(pid, arguments, sizeof(arguments), &n) >= 0);
			if (renamed && n == 0)
				assert_true(proc_stat_execing(&stat));
		} while (n == 0 || strcmp(arguments, "sleep") != 0);
		assert_int_equal(proc_stat_read(pid, &stat), 0);
		assert_false(proc_stat_execing(&stat));
		end(pid);
		munmap(s, sizeof(*s));
	}
}

static void the_arguments_are_never_those_of_an_execve_half_done(_unused_ void **state)
{
	char arguments[4096];
	size_t n = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct shared *s = shared_new();
		pid_t pid = start(new_mark(), role_exec_of_sleep, s);

		wait_until(s->ready == 1);
		do {
			assert_true(proc_arguments(pid, arguments, sizeof(arguments), &n) >= 0);
			assert_true(n > 0);
		} while (n < 6 || memcmp(arguments, "sleep", 6) != 0);
		assert_int_equal(n, sizeof("sleep") + sizeof("1000"));
		end(pid);
		munmap(s, sizeof(*s));
	}
}

struct question {
	pid_t pid;
	uint64_t mark;
};

static int sees_mark(void *userdata)
{
	const struct question *q = userdata;
	uint64_t mark = 0;
	struct rlimit limit;

	if (prlimit(q->pid, RLIMIT_LOCKS, NULL, &limit) == 0)
		return 2;
	return proc_mark(q->pid, &mark) == 0 && mark == q->mark ? 0 : 1;
}

static void mark_of_another_users_process_is_read_too(_unused_ void **state)
{
	struct shared *s = shared_new();
	struct question q = { .mark = new_mark() };

	if (geteuid() != 0)
		skip();
	q.pid = start(q.mark, role_wait, s);
	wait_until(s->ready == 1);
	assert_int_equal(in_child(NOBODY, sees_mark, &q), 0);
	end(q.pid);
}

static void a_pid_that_is_gone_is_esrch(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_exit, s);
	struct proc_stat stat;
	char buffer[16];
	uint64_t mark;
	size_t length;

	waitpid(pid, NULL, 0);
	assert_int_equal(proc_mark(pid, &mark), -ESRCH);
	assert_int_equal(proc_mark(0, &mark), -ESRCH);
	assert_int_equal(proc_stat_read(pid, &stat), -ESRCH);
	assert_int_equal(proc_cmdline(pid, buffer, sizeof(buffer), &length), -ESRCH);
}

static void role_odd_name(struct shared *s)
{
	prctl(PR_SET_NAME, "a) Z 1 (b) c");
	setsid();
	role_wait(s);
}

static void stat_reads_a_name_with_spaces_and_parentheses(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_odd_name, s);
	struct proc_stat stat;

	wait_until(s->ready == 1 && state_of(pid) == 'S');
	assert_int_equal(proc_stat_read(pid, &stat), 0);
	assert_string_equal(stat.comm, "a) Z 1 (b) c");
	assert_int_equal(stat.pid, pid);
	assert_int_equal(stat.ppid, getpid());
	assert_int_equal(stat.pgid, pid);
	assert_int_equal(stat.session, pid);
	assert_int_equal(stat.foreground, -1);
	assert_int_equal(stat.threads, 1);
	assert_true(stat.start > 0);
	assert_true(stat.flags & PROC_FORKNOEXEC);
	assert_false(proc_stat_dead(&stat) || proc_stat_exiting(&stat));
	end(pid);
}

static void stat_shows_the_status_of_a_zombie(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_wait, s);
	struct proc_stat stat;
	uint64_t mark;

	wait_until(s->ready == 1);
	kill(pid, SIGUSR1);
	wait_until(state_of(pid) == 'Z');
	assert_int_equal(proc_stat_read(pid, &stat), 0);
	assert_int_equal(stat.status, SIGUSR1);
	assert_true(proc_stat_dead(&stat) && proc_stat_exiting(&stat));
	assert_int_equal(proc_mark(pid, &mark), 0);
	waitpid(pid, NULL, 0);
}

static void role_exec(struct shared *s)
{
	report(s);
	execlp("sleep", "sleep", "1000", NULL);
}

static void exec_clears_the_flag_of_a_plain_fork(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_exec, s);
	struct proc_stat stat;

	wait_until(proc_stat_read(pid, &stat) == 0 && strcmp(stat.comm, "sleep") == 0);
	assert_false(stat.flags & PROC_FORKNOEXEC);
	end(pid);
}

static void *thread_waits(void *userdata)
{
	role_wait(userdata);
	return NULL;
}

static void role_first_thread_ends(struct shared *s)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_waits, s);
	syscall(SYS_exit, 0);
}

static void a_process_whose_first_thread_ended_is_not_dead(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_first_thread_ends, s);
	struct proc_stat stat;

	wait_until(s->ready == 1 && state_of(pid) == 'Z');
	assert_int_equal(proc_stat_read(pid, &stat), 0);
	assert_false(proc_stat_dead(&stat) || proc_stat_exiting(&stat));
	kill(pid, SIGKILL);
	wait_until(proc_stat_read(pid, &stat) == 0 && proc_stat_dead(&stat));
	waitpid(pid, NULL, 0);
}

static void cmdline_is_whole_or_said_to_be_cut(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t pid = start(0, role_exec, s);
	struct proc_stat stat;
	char buffer[64];
	size_t length = 0;

	/* In the middle of an execve a process has its new name already, and no arguments yet. */
	wait_until(proc_stat_read(pid, &stat) == 0 && strcmp(stat.comm, "sleep") == 0 &&
		   proc_cmdline(pid, buffer, sizeof(buffer), &length) == 0 && length > 0);
	assert_int_equal(length, sizeof("sleep\0001000"));
	assert_memory_equal(buffer, "sleep\0001000", length);
	assert_int_equal(proc_cmdline(pid, buffer, 4, &length), 1);
	assert_int_equal(length, 4);
	assert_memory_equal(buffer, "slee", 4);
	assert_int_equal(proc_cmdline(pid, buffer, sizeof("sleep\0001000"), &length), 0);
	kill(pid, SIGKILL);
	wait_until(state_of(pid) == 'Z');
	assert_int_equal(proc_cmdline(pid, buffer, sizeof(buffer), &length), 0);
	assert_int_equal(length, 0);
	waitpid(pid, NULL, 0);
}

struct listing {
	pid_t seek, last;
	unsigned found, n;
	bool unordered;
};

static int list(pid_t pid, void *userdata)
{
	struct listing *l = userdata;

	l->unordered |= pid <= l->last;
	l->last = pid;
	l->found += pid == l->seek;
	l->n++;
	return 0;
}

static int stop_at(pid_t pid, void *userdata)
{
	return pid == *(pid_t *)userdata ? 42 : 0;
}

static void each_gives_every_process_once_in_order(_unused_ void **state)
{
	struct shared *s = shared_new();
	struct listing l = { .seek = start(0, role_wait, s) };
	pid_t self = getpid();

	assert_int_equal(proc_each(list, &l), 0);
	assert_int_equal(l.found, 1);
	assert_false(l.unordered);
	assert_int_equal(proc_each(stop_at, &self), 42);
	end(l.seek);
}

static void each_child_gives_children_and_zombies_but_not_grandchildren(_unused_ void **state)
{
	struct shared *s = shared_new();
	pid_t child = start(0, role_new_session_and_empty_environment, s);
	struct listing l = { .seek = start(0, role_exit, shared_new()) };
	int r;

	wait_until(s->ready == 1 && state_of(l.seek) == 'Z');
	r = proc_each_child(list, &l);
	kill(s->pids[0], SIGKILL);
	waitpid(child, NULL, 0);
	waitpid(l.seek, NULL, 0);
	if (r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(l.found, 1);
	assert_int_equal(l.n, 2);
}

/* What proc_read_pids makes of a text. */
static int read_pids_of(const char *text, struct listing *l)
{
	_cleanup_(closep) int fd = memfd_create("pids", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	lseek(fd, 0, SEEK_SET);
	return proc_read_pids(fd, list, l);
}

static void pids_are_read_across_pieces_and_0_is_skipped(_unused_ void **state)
{
	struct listing l = { 0 };
	char text[8192];
	size_t length = 0;
	int i;

	for (i = 0; i < 1000; i++)
		length +=
			(size_t)snprintf(text + length, sizeof(text) - length, "%d\n0 ", 1000 + i);
	(void)snprintf(text + length, sizeof(text) - length, "2000");
	assert_int_equal(read_pids_of(text, &l), 0);
	assert_int_equal(l.n, 1001);
	assert_int_equal(l.last, 2000);
	assert_false(l.unordered);
	assert_int_equal(read_pids_of("99999999999", &l), -EBADMSG);
	assert_int_equal(read_pids_of("", &l), 0);
}

static void last_pid_grows_with_a_fork(_unused_ void **state)
{
	pid_t pid = start(0, role_exit, shared_new()), last = 0;

	assert_int_equal(proc_last_pid(&last), 0);
	assert_true(last >= pid || last < pid / 2); /* or the numbers started anew */
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mark_of_a_process_without_one_is_0),
		cmocka_unit_test(mark_survives_setsid_fork_and_exec_with_an_empty_environment),
		cmocka_unit_test(mark_is_the_hard_limit),
		cmocka_unit_test(without_arguments_under_its_new_name_it_is_execing),
		cmocka_unit_test(the_arguments_are_never_those_of_an_execve_half_done),
		cmocka_unit_test(mark_of_another_users_process_is_read_too),
		cmocka_unit_test(a_pid_that_is_gone_is_esrch),
		cmocka_unit_test(stat_reads_a_name_with_spaces_and_parentheses),
		cmocka_unit_test(stat_shows_the_status_of_a_zombie),
		cmocka_unit_test(exec_clears_the_flag_of_a_plain_fork),
		cmocka_unit_test(a_process_whose_first_thread_ended_is_not_dead),
		cmocka_unit_test(cmdline_is_whole_or_said_to_be_cut),
		cmocka_unit_test(each_gives_every_process_once_in_order),
		cmocka_unit_test(each_child_gives_children_and_zombies_but_not_grandchildren),
		cmocka_unit_test(pids_are_read_across_pieces_and_0_is_skipped),
		cmocka_unit_test(last_pid_grows_with_a_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
