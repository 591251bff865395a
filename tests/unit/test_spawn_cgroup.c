/* SPDX-License-Identifier: Apache-2.0 */
/* How a child of spawn_child() comes into its cgroup. */
#include "core/cgroup.h"
#include "core/entry.h"
#include "spawner.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#define LEAF  7U
#define OTHER 8U /* of the spawner, where that counts */

static int leaves; /* the directory of these tests */

static int cgroup_setup(void **state)
{
	struct error e = { 0 };
	char tag[32];

	spawner_setup(state);
	(void)snprintf(tag, sizeof(tag), "spawn-%d", (int)getpid());
	leaves = -EBADF;
	if (cgroup_open(tag, &leaves, &e) < 0)
		return 0;
	assert_int_equal(cgroup_leaf_make(leaves, LEAF), 0);
	assert_int_equal(cgroup_leaf_make(leaves, OTHER), 0);
	plan.fds.cgroup = cgroup_leaf_open(leaves, LEAF);
	assert_true(plan.fds.cgroup >= 0);
	return 0;
}

static int cgroup_teardown(void **state)
{
	closep(&plan.fds.cgroup);
	if (leaves >= 0) {
		/* A process may be in its cgroup for a moment after it was reaped. */
		wait_until(cgroup_close_down(leaves) == 0);
		closep(&leaves);
	}
	return spawner_teardown(state);
}

/* As with all cgroups: where this user can have none there is nothing to see. */
static void need_cgroup(void)
{
	if (leaves < 0)
		skip();
}

/* From now on this process, and what it starts, gets `error` for the system call. */
static void refuse(unsigned number, unsigned error)
{
	struct entry e = {
		.n = 4,
		.code = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		},
	};

	if (entry_apply(&e) < 0)
		_exit(1);
}

static void enter_other_leaf(void)
{
	int procs = cgroup_leaf_procs_fd(leaves, OTHER);

	if (write(procs, "0", 1) != 1)
		_exit(1);
	close(procs);
}

/* From a new leaf: in the cgroup of these tests somebody may have killed others before. */
static void refuse_write(void)
{
	enter_other_leaf();
	refuse(SYS_write, EPERM);
}

static void refuse_clone3(void)
{
	refuse(SYS_clone3, ENOSYS);
}

/* A shell that runs until its input ends, and writes nothing. */
static char *const *const shell = ARGV("/bin/sh", "-c", "read line");

static void assert_runs_in_the_leaf(void)
{
	bool in_leaf = false;
	int input[2];
	pid_t pid;

	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	plan.fds.in = input[0];
	pid = spawn(shell);
	assert_int_equal(word_load(&outcome->slot.fail), 0);
	assert_int_equal(cgroup_leaf_has(leaves, LEAF, pid, &in_leaf), 0);
	assert_true(in_leaf);
	closep(&input[1]);
	assert_int_equal(reap(pid), 1 << 8);
	closep(&input[0]);
}

static void a_child_is_made_in_its_cgroup_and_need_not_go_there(void **state _unused_)
{
	need_cgroup();
	plan.prepare = refuse_write;
	assert_runs_in_the_leaf();
}

static void a_child_goes_there_where_it_cannot_be_made_there(void **state _unused_)
{
	need_cgroup();
	plan.prepare = refuse_clone3;
	assert_runs_in_the_leaf();
}

static void a_child_of_a_cgroup_that_was_killed_before_lives(void **state _unused_)
{
	need_cgroup();
	if (cgroup_leaf_kill(leaves, OTHER) == -EOPNOTSUPP)
		skip();
	plan.prepare = enter_other_leaf;
	assert_runs_in_the_leaf();
}

static void a_child_that_can_do_neither_tells_why(void **state _unused_)
{
	need_cgroup();
	assert_int_equal(cgroup_leaf_remove(leaves, LEAF), 0);
	assert_int_equal(reap(spawn(shell)), 127 << 8);
	assert_int_equal(word_load(&outcome->slot.step), STEP_CGROUP);
	assert_int_equal(word_load(&outcome->slot.fail), ENOENT);
}

static void a_child_that_waits_at_its_gate_is_in_its_cgroup(void **state _unused_)
{
	bool in_leaf = false;
	int gate[2];
	pid_t pid;

	need_cgroup();
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	plan.fds.gate = gate[0];
	plan.not_for_it = gate[1];
	pid = spawn(ARGV("/bin/true"));
	closep(&gate[0]);
	assert_int_equal(cgroup_leaf_has(leaves, LEAF, pid, &in_leaf), 0);
	assert_true(in_leaf);
	assert_int_equal(write(gate[1], "g", 1), 1);
	assert_int_equal(reap(pid), 0);
	assert_int_equal(word_load(&outcome->slot.step), STEP_EXEC);
	closep(&gate[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, cgroup_setup, cgroup_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_child_is_made_in_its_cgroup_and_need_not_go_there),
		TEST(a_child_goes_there_where_it_cannot_be_made_there),
		TEST(a_child_of_a_cgroup_that_was_killed_before_lives),
		TEST(a_child_that_can_do_neither_tells_why),
		TEST(a_child_that_waits_at_its_gate_is_in_its_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
