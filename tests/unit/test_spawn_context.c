/* SPDX-License-Identifier: Apache-2.0 */
/* What a child of spawn_child() finds: descriptors, signals, limits, and the gate. The child is a
 * cat that waits for its input, and is looked at from outside. */
#include "spawner.h"
#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>

static struct cat cat;

static int setup(void **state)
{
	spawner_setup(state);
	cat_open(&cat);
	return 0;
}

static int teardown(void **state)
{
	cat_close(&cat);
	return spawner_teardown(state);
}

static char *text_of(const char *file)
{
	char path[64], *text;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)cat.pid, file);
	assert_int_equal(fd_read_file(path, 1 * MiB, &text, NULL), 0);
	return text;
}

static void assert_link(const char *file, const char *expected)
{
	char path[64], target[PATH_MAX], real[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)cat.pid, file);
	n = readlink(path, target, sizeof(target) - 1);
	assert_true(n > 0);
	target[n] = 0;
	assert_non_null(realpath(expected, real));
	assert_string_equal(target, real);
}

/* The number behind `key:` in its /proc status. */
static uint64_t status_number(const char *key, int base)
{
	_cleanup_(freep) char *text = text_of("status");
	const char *at = strstr(text, key);

	assert_non_null(at);
	return strtoull(at + strlen(key), NULL, base);
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void open_many(void)
{
	for (int fd = 20; fd < 400; fd += 19)
		if (dup2(2, fd) < 0)
			_exit(1);
}

static void it_has_three_descriptors_and_no_more(void **state _unused_)
{
	plan.prepare = open_many;
	cat_start(&cat);
	assert_int_equal(count_fds_of(cat.pid), 3);
	cat_end(&cat);
}

static void what_it_does_not_get_is_dev_null(void **state _unused_)
{
	plan.fds.out = -1;
	cat.pid = spawn(ARGV("/bin/cat"));
	assert_link("fd/1", "/dev/null");
	assert_link("fd/2", "/dev/null");
	cat_end(&cat);
	plan.fds.in = -1;
	assert_int_equal(exit_code_of(ARGV("/bin/sh", "-c", "! read x && echo y && echo z >&2")),
			 0);
}

static int pipes[3][2];

/* The spawner's own descriptors 0, 1 and 2 are the child's 1, 2 and 0. */
static void turn_around(void)
{
	if (dup2(pipes[1][1], 0) < 0 || dup2(pipes[2][1], 1) < 0 || dup2(pipes[0][0], 2) < 0)
		_exit(1);
	plan.fds = (struct spawn_fds){ .in = 2, .out = 0, .err = 1, .cgroup = -1, .gate = -1 };
}

static void descriptors_may_stand_in_each_others_places(void **state _unused_)
{
	char text[16] = "";
	pid_t pid;

	for (int i = 0; i < 3; i++)
		assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
	plan.prepare = turn_around;
	assert_int_equal(write(pipes[0][1], "word\n", 5), 5);
	pid = spawn(ARGV("/bin/sh", "-c", "read x; echo out $x; echo err >&2"));
	assert_int_equal(reap(pid), 0);
	assert_int_equal(read(pipes[1][0], text, sizeof(text)), 9);
	assert_memory_equal(text, "out word\n", 9);
	assert_int_equal(read(pipes[2][0], text, sizeof(text)), 4);
	assert_memory_equal(text, "err\n", 4);
	for (int i = 0; i < 6; i++)
		closep(&pipes[i / 2][i % 2]);
}

static void one_descriptor_may_serve_twice(void **state _unused_)
{
	char text[16] = "";
	int pair[2];

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	plan.fds.out = plan.fds.err = pair[1];
	assert_int_equal(exit_code_of(ARGV("/bin/sh", "-c", "echo a; echo b >&2; echo c")), 0);
	assert_int_equal(read(pair[0], text, sizeof(text)), 6);
	assert_memory_equal(text, "a\nb\nc\n", 6);
	closep(&pair[0]);
	closep(&pair[1]);
}

/* --- signals --------------------------------------------------------------------------------- */

static void on_signal(int number)
{
	(void)number;
}

static void disturb_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGPIPE, SIGCHLD, SIGTSTP };
	sigset_t set;

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGRTMIN + 3, SIG_IGN);
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGRTMAX);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void no_signal_is_ignored_or_blocked(void **state _unused_)
{
	plan.prepare = disturb_signals;
	cat_start(&cat);
	assert_int_equal(status_number("SigIgn:", 16), 0);
	assert_int_equal(status_number("SigBlk:", 16), 0);
	assert_int_equal(status_number("SigCgt:", 16), 0);
	kill(cat.pid, SIGTERM);
	assert_int_equal(reap(cat.pid), SIGTERM);
}

/* --- the rest of what it inherits ------------------------------------------------------------ */

static void it_has_a_session_of_its_own(void **state _unused_)
{
	cat_start(&cat);
	assert_int_equal(getsid(cat.pid), cat.pid);
	assert_int_equal(getpgid(cat.pid), cat.pid);
	cat_end(&cat);
}

static void it_bears_the_mark(void **state _unused_)
{
	uint64_t mark = 0;

	plan.spec.header.mark = 123456789;
	cat_start(&cat);
	assert_int_equal(proc_mark(cat.pid, &mark), 0);
	assert_int_equal(mark, 123456789);
	cat_end(&cat);
}

static void it_is_where_it_was_told_to_be(void **state _unused_)
{
	plan.spec.cwd = "/usr/share";
	cat_start(&cat);
	assert_link("cwd", "/usr/share");
	cat_end(&cat);
}

static void set_other_umask(void)
{
	umask(0123);
}

static void its_umask_is_the_one_that_was_sent(void **state _unused_)
{
	plan.prepare = set_other_umask;
	plan.spec.header.umask = 027;
	cat_start(&cat);
	assert_int_equal(status_number("Umask:", 8), 027);
	cat_end(&cat);
}

static void without_one_it_has_its_makers(void **state _unused_)
{
	plan.prepare = set_other_umask;
	cat_start(&cat);
	assert_int_equal(status_number("Umask:", 8), 0123);
	cat_end(&cat);
}

static void it_is_as_nice_as_was_asked(void **state _unused_)
{
	int own = getpriority(PRIO_PROCESS, 0);

	plan.spec.header.nice = own + 3;
	cat_start(&cat);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)cat.pid), own + 3);
	cat_end(&cat);
}

#define LOWEST_MARK 10

/* An ordinary user, whatever the test runs as, with few descriptors at most, and a low mark. */
static void become_ordinary(void)
{
	struct rlimit few = { 100, 150 }, low = { LOWEST_MARK, LOWEST_MARK };

	if (setrlimit(RLIMIT_NOFILE, &few) < 0 || setrlimit(RLIMIT_LOCKS, &low) < 0)
		_exit(1);
	if (getuid() == 0 &&
	    (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void a_niceness_that_is_not_allowed_is_left_alone(void **state _unused_)
{
	int own = getpriority(PRIO_PROCESS, 0);

	plan.prepare = become_ordinary;
	plan.spec.header.nice = own - 1;
	cat_start(&cat);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)cat.pid), own);
	cat_end(&cat);
}

static void a_mark_above_its_makers_cannot_be_had(void **state _unused_)
{
	plan.prepare = become_ordinary;
	plan.spec.header.mark = LOWEST_MARK + 1;
	assert_int_equal(exit_code_of(ARGV("/bin/cat")), 127);
	assert_int_equal(word_load(&outcome->slot.step), STEP_LIMITS);
	assert_int_equal(word_load(&outcome->slot.fail), EPERM);
}

static void assert_limit(__rlimit_resource_t resource, rlim_t soft, rlim_t hard)
{
	_cleanup_(freep) char *text = text_of("limits");
	const char *line =
		strstr(text, resource == RLIMIT_NOFILE ? "Max open files" : "Max core file size");
	unsigned long long s, h;

	assert_non_null(line);
	assert_int_equal(sscanf(line,
				resource == RLIMIT_NOFILE ? "Max open files %llu %llu"
							  : "Max core file size %llu %llu",
				&s, &h),
			 2);
	assert_int_equal(s, soft);
	assert_int_equal(h, hard);
}

static void set_limit(unsigned resource, uint64_t soft, uint64_t hard)
{
	plan.spec.header.limits_set |= 1U << resource;
	plan.spec.header.limits[resource] = (struct spec_limit){ soft, hard };
}

static void its_limits_are_the_ones_that_were_sent(void **state _unused_)
{
	set_limit(RLIMIT_NOFILE, 64, 128);
	set_limit(RLIMIT_CORE, 0, 0);
	cat_start(&cat);
	assert_limit(RLIMIT_NOFILE, 64, 128);
	assert_limit(RLIMIT_CORE, 0, 0);
	cat_end(&cat);
}

static void a_hard_limit_above_its_makers_is_lowered_to_it(void **state _unused_)
{
	plan.prepare = become_ordinary;
	set_limit(RLIMIT_NOFILE, 120, 400);
	cat_start(&cat);
	assert_limit(RLIMIT_NOFILE, 120, 150);
	cat_end(&cat);
}

static void a_soft_limit_above_its_makers_is_lowered_too(void **state _unused_)
{
	plan.prepare = become_ordinary;
	set_limit(RLIMIT_NOFILE, 300, 400);
	cat_start(&cat);
	assert_limit(RLIMIT_NOFILE, 150, 150);
	cat_end(&cat);
}

static void the_mark_is_not_a_limit_among_others(void **state _unused_)
{
	uint64_t mark = 0;

	set_limit(RLIMIT_LOCKS, 5, 5);
	plan.spec.header.mark = 4711;
	cat_start(&cat);
	assert_int_equal(proc_mark(cat.pid, &mark), 0);
	assert_int_equal(mark, 4711);
	cat_end(&cat);
}

/* --- the gate -------------------------------------------------------------------------------- */

static int gate[2];

static void start_gated(void)
{
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	plan.fds.gate = gate[0];
	plan.not_for_it = gate[1];
	cat.pid = spawn(ARGV("/bin/cat")); /* returns, although the child waits */
	closep(&gate[0]);
	wait_until(word_load(&outcome->slot.step) == STEP_GATE);
}

/* Nobody can read the gate any more. */
static bool gate_is_left(void)
{
	struct pollfd p = { .fd = gate[1] };

	return poll(&p, 1, 0) == 1 && p.revents & POLLERR;
}

static void a_gated_child_waits_for_a_byte(void **state _unused_)
{
	plan.prepare = open_many;
	start_gated();
	assert_int_equal(kill(cat.pid, 0), 0);
	assert_false(gate_is_left());
	assert_int_equal(word_load(&outcome->slot.step), STEP_GATE);
	assert_int_equal(write(gate[1], "g", 1), 1);
	wait_until(gate_is_left());
	assert_int_equal(word_load(&outcome->slot.step), STEP_EXEC);
	assert_int_equal(word_load(&outcome->slot.fail), 0);
	cat_wait(&cat);
	assert_link("exe", "/bin/cat");
	assert_int_equal(count_fds_of(cat.pid), 3);
	closep(&gate[1]);
	cat_end(&cat);
}

static void a_gate_that_closes_cancels(void **state _unused_)
{
	start_gated();
	closep(&gate[1]);
	assert_int_equal(reap(cat.pid), 127 << 8);
	assert_int_equal(word_load(&outcome->slot.step), STEP_GATE);
	assert_int_equal(word_load(&outcome->slot.fail), ECANCELED);
}

static void a_gated_child_that_fails_leaves_the_gate(void **state _unused_)
{
	plan.spec.cwd = "/nonexistent";
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	plan.fds.gate = gate[0];
	plan.not_for_it = gate[1];
	cat.pid = spawn(ARGV("/bin/cat"));
	closep(&gate[0]);
	assert_int_equal(reap(cat.pid), 127 << 8);
	assert_true(gate_is_left());
	assert_int_equal(word_load(&outcome->slot.step), STEP_CHDIR);
	assert_int_equal(word_load(&outcome->slot.fail), ENOENT);
	closep(&gate[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_has_three_descriptors_and_no_more),
		TEST(what_it_does_not_get_is_dev_null),
		TEST(descriptors_may_stand_in_each_others_places),
		TEST(one_descriptor_may_serve_twice),
		TEST(no_signal_is_ignored_or_blocked),
		TEST(it_has_a_session_of_its_own),
		TEST(it_bears_the_mark),
		TEST(it_is_where_it_was_told_to_be),
		TEST(its_umask_is_the_one_that_was_sent),
		TEST(without_one_it_has_its_makers),
		TEST(it_is_as_nice_as_was_asked),
		TEST(a_niceness_that_is_not_allowed_is_left_alone),
		TEST(its_limits_are_the_ones_that_were_sent),
		TEST(a_hard_limit_above_its_makers_is_lowered_to_it),
		TEST(a_soft_limit_above_its_makers_is_lowered_too),
		TEST(the_mark_is_not_a_limit_among_others),
		TEST(a_gated_child_waits_for_a_byte),
		TEST(a_gate_that_closes_cancels),
		TEST(a_gated_child_that_fails_leaves_the_gate),
		TEST(a_mark_above_its_makers_cannot_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
