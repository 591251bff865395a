/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cgroup.h"
#include "processes.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define LEAF 7U

static char tag[32];

/* The directory of these tests; the test is skipped where this user can have none. */
static int open_or_skip(void)
{
	struct error e = { 0 };
	int dir = -EBADF;

	if (cgroup_open(tag, &dir, &e) < 0) {
		assert_int_equal(e.code, ERROR_UNAVAILABLE);
		assert_true(e.message[0] != '\0');
		skip();
	}
	return dir;
}

/* Removes it again; nothing may be left in it. */
static void close_down(int dir)
{
	/* A process may be in its cgroup for a moment after it was reaped. */
	wait_until(cgroup_close_down(dir) == 0);
	close(dir);
}

static bool populated(int dir, uint32_t leaf)
{
	bool result = false;

	assert_int_equal(cgroup_leaf_populated(dir, leaf, &result), 0);
	return result;
}

static bool has(int dir, uint32_t leaf, pid_t pid)
{
	bool result = false;

	assert_int_equal(cgroup_leaf_has(dir, leaf, pid, &result), 0);
	return result;
}

/* A child that waits in the leaf. */
static pid_t start_in(int dir, uint32_t leaf)
{
	_cleanup_(closep) int procs = cgroup_leaf_procs_fd(dir, leaf);
	struct shared *s = shared_new();
	pid_t pid;

	assert_true(procs >= 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(procs, "0", 1) != 1)
			_exit(1);
		role_wait(s);
	}
	wait_until(s->ready == 1);
	return pid;
}

static int collect(uint32_t leaf, void *userdata)
{
	*(unsigned *)userdata += leaf;
	return 0;
}

static void open_tries_and_leaves_nothing_of_the_trial(_unused_ void **state)
{
	int dir = open_or_skip();
	unsigned sum = 0;

	assert_int_equal(cgroup_leaf_each(dir, collect, &sum), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(faccessat(dir, "s0", F_OK, 0), -1);
	assert_true(fcntl(dir, F_GETFD) & FD_CLOEXEC);
	close_down(dir);
}

static void open_finds_what_an_earlier_daemon_left(_unused_ void **state)
{
	int first = open_or_skip(), second;
	unsigned sum = 0;

	assert_int_equal(cgroup_leaf_make(first, LEAF), 0);
	assert_int_equal(cgroup_leaf_make(first, LEAF), -EEXIST);
	assert_int_equal(cgroup_leaf_make(first, LEAF + 1), 0);
	close(first);
	second = open_or_skip();
	assert_int_equal(cgroup_leaf_each(second, collect, &sum), 0);
	assert_int_equal(sum, LEAF + LEAF + 1);
	close_down(second);
}

static void open_says_no_when_it_is_turned_off(_unused_ void **state)
{
	struct error e = { 0 };
	bool was_off = getenv("REEVE_CGROUP");
	int dir = -EBADF;

	setenv("REEVE_CGROUP", "off", 1);
	assert_int_equal(cgroup_open(tag, &dir, &e), -EOPNOTSUPP);
	if (!was_off)
		unsetenv("REEVE_CGROUP");
	assert_non_null(strstr(e.message, "REEVE_CGROUP"));
	assert_int_equal(dir, -EBADF);
}

static int cannot_open(_unused_ void *userdata)
{
	struct error e = { 0 };
	int dir = -EBADF;

	if (cgroup_open(tag, &dir, &e) != -EACCES || dir != -EBADF)
		return 1;
	return strstr(e.message, "Permission denied; ") && strchr(e.message, '/') ? 0 : 2;
}

static void open_names_place_and_remedy_when_it_may_not(_unused_ void **state)
{
	if (geteuid() != 0)
		skip();
	close_down(open_or_skip());
	assert_int_equal(in_child(NOBODY, cannot_open, NULL), 0);
}

static int opens_at_an_odd_place(void *userdata)
{
	const char *place = userdata;
	struct error e = { 0 };
	char path[64], target[256] = "";
	int dir = -EBADF;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	if (umount2("/sys/fs/cgroup", MNT_DETACH) < 0)
		return 77;
	if (mount("none", place, "cgroup2", 0, NULL) < 0)
		return 77;
	if (cgroup_open(tag, &dir, &e) < 0)
		return 1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
	if (readlink(path, target, sizeof(target) - 1) < 0 ||
	    strncmp(target, place, strlen(place)) != 0)
		return 2;
	return cgroup_close_down(dir) == 0 ? 0 : 3;
}

static void open_finds_a_mount_whose_name_is_escaped(_unused_ void **state)
{
	char place[] = "/tmp/reeve \\040\tXXXXXX";
	int r;

	close_down(open_or_skip());
	assert_non_null(mkdtemp(place));
	r = in_child(0, opens_at_an_odd_place, place);
	rmdir(place);
	if (r == 77)
		skip();
	assert_int_equal(r, 0);
}

static void a_leaf_knows_its_processes(_unused_ void **state)
{
	int dir = open_or_skip();
	pid_t pid;

	assert_int_equal(cgroup_leaf_make(dir, LEAF), 0);
	assert_false(populated(dir, LEAF));
	pid = start_in(dir, LEAF);
	assert_true(populated(dir, LEAF));
	assert_true(has(dir, LEAF, pid));
	assert_false(has(dir, LEAF, getpid()));
	assert_int_equal(cgroup_leaf_remove(dir, LEAF), -EBUSY);
	kill(pid, SIGKILL);
	wait_until(state_of(pid) == 'Z');
	wait_until(!populated(dir, LEAF)); /* a zombie does not count */
	assert_false(has(dir, LEAF, pid));
	waitpid(pid, NULL, 0);
	assert_int_equal(cgroup_leaf_remove(dir, LEAF), 0);
	close_down(dir);
}

static void a_leaf_that_is_not_there_is_enoent(_unused_ void **state)
{
	int dir = open_or_skip();
	bool result;

	assert_int_equal(cgroup_leaf_populated(dir, LEAF, &result), -ENOENT);
	assert_int_equal(cgroup_leaf_has(dir, LEAF, 1, &result), -ENOENT);
	assert_int_equal(cgroup_leaf_kill(dir, LEAF), -ENOENT);
	assert_int_equal(cgroup_leaf_procs_fd(dir, LEAF), -ENOENT);
	assert_int_equal(cgroup_leaf_remove(dir, LEAF), -ENOENT);
	close_down(dir);
}

static void kill_and_remove_reach_into_cgroups_below(_unused_ void **state)
{
	int dir = open_or_skip(), leaf, below;
	pid_t outer, inner;

	assert_int_equal(cgroup_leaf_make(dir, LEAF), 0);
	leaf = openat(dir, "s7", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(leaf, "a", 0755), 0);
	assert_int_equal(mkdirat(leaf, "a/b", 0755), 0);
	assert_int_equal(mkdirat(leaf, "a/s1", 0755), 0);
	below = openat(leaf, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	outer = start_in(dir, LEAF);
	inner = start_in(below, 1);
	assert_true(has(dir, LEAF, outer));
	assert_true(has(dir, LEAF, inner));
	assert_int_equal(cgroup_leaf_kill(dir, LEAF), 0);
	waitpid(outer, NULL, 0);
	waitpid(inner, NULL, 0);
	wait_until(!populated(dir, LEAF));
	assert_int_equal(cgroup_leaf_remove(dir, LEAF), 0);
	close(below);
	close(leaf);
	close_down(dir);
}

static void role_count(struct shared *s)
{
	for (;;)
		atomic_fetch_add(&s->ready, 1);
}

static bool frozen(int dir)
{
	_cleanup_(closep) int fd = openat(dir, "s7/cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[256] = "";

	return read(fd, text, sizeof(text) - 1) > 0 && strstr(text, "frozen 1");
}

static void freeze_stops_and_thaws(_unused_ void **state)
{
	int dir = open_or_skip(), procs;
	struct shared *s = shared_new();
	unsigned seen;
	pid_t pid;

	assert_int_equal(cgroup_leaf_make(dir, LEAF), 0);
	procs = cgroup_leaf_procs_fd(dir, LEAF);
	pid = start(0, role_count, s);
	assert_true(dprintf(procs, "%d", (int)pid) > 0);
	assert_int_equal(cgroup_leaf_freeze(dir, LEAF, true), 0);
	wait_until(frozen(dir));
	seen = s->ready;
	pause_ms(5);
	assert_int_equal(s->ready, seen);
	assert_int_equal(cgroup_leaf_freeze(dir, LEAF, false), 0);
	wait_until(s->ready != seen);
	assert_int_equal(cgroup_leaf_freeze(dir, LEAF, true), 0);
	wait_until(frozen(dir));
	end(pid); /* a frozen one can be killed */
	wait_until(cgroup_leaf_remove(dir, LEAF) == 0);
	close(procs);
	close_down(dir);
}

static void no_oom_kill_without_a_memory_controller(_unused_ void **state)
{
	int dir = open_or_skip();
	uint64_t n = 1;

	assert_int_equal(cgroup_leaf_make(dir, LEAF), 0);
	assert_int_equal(cgroup_leaf_oom_killed(dir, LEAF, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(cgroup_leaf_oom_killed(dir, LEAF + 1, &n), -ENOENT);
	close_down(dir);
}

static void close_down_keeps_what_is_in_use(_unused_ void **state)
{
	int dir = open_or_skip();
	pid_t pid;

	assert_int_equal(cgroup_leaf_make(dir, LEAF), 0);
	assert_int_equal(cgroup_leaf_make(dir, LEAF + 1), 0);
	pid = start_in(dir, LEAF);
	assert_int_equal(cgroup_close_down(dir), -EBUSY);
	assert_true(populated(dir, LEAF));
	assert_int_equal(cgroup_leaf_remove(dir, LEAF + 1), -ENOENT);
	end(pid);
	wait_until(cgroup_close_down(dir) == 0);
	close(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_tries_and_leaves_nothing_of_the_trial),
		cmocka_unit_test(open_finds_what_an_earlier_daemon_left),
		cmocka_unit_test(open_says_no_when_it_is_turned_off),
		cmocka_unit_test(open_names_place_and_remedy_when_it_may_not),
		cmocka_unit_test(open_finds_a_mount_whose_name_is_escaped),
		cmocka_unit_test(a_leaf_knows_its_processes),
		cmocka_unit_test(a_leaf_that_is_not_there_is_enoent),
		cmocka_unit_test(kill_and_remove_reach_into_cgroups_below),
		cmocka_unit_test(freeze_stops_and_thaws),
		cmocka_unit_test(no_oom_kill_without_a_memory_controller),
		cmocka_unit_test(close_down_keeps_what_is_in_use),
	};

	(void)snprintf(tag, sizeof(tag), "test-%d", (int)getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
