/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cgroup.h"
#include "core/scan.h"
#include "core/tree.h"
#include "families.h"
#include <linux/sched.h>
#include <sys/syscall.h>

#define LEAF 3U

static struct tree marked_tree(void)
{
	return (struct tree){ .mark = new_mark(), .cgroup_dir = -1 };
}

/* A tree with a mark and a leaf; the test is skipped where there are no cgroups. */
static struct tree contained_tree(void)
{
	struct tree t = marked_tree();
	char tag[32];
	int r;

	(void)snprintf(tag, sizeof(tag), "tree-%d", (int)getpid());
	if (cgroup_open(tag, &t.cgroup_dir, NULL) < 0)
		skip();
	t.cgroup_leaf = LEAF;
	r = cgroup_leaf_make(t.cgroup_dir, LEAF);
	assert_true(r == 0 || r == -EEXIST);
	return t;
}

static void release(struct tree *t)
{
	wait_until(cgroup_close_down(t->cgroup_dir) == 0);
	close(t->cgroup_dir);
}

/* The first process of a tree, in its leaf when it has one. */
static pid_t start_leader(const struct tree *t, void (*role)(struct shared *), struct shared *s)
{
	_cleanup_(closep) int procs = -EBADF;
	pid_t pid;

	if (t->cgroup_leaf == 0)
		return start(t->mark, role, s);
	procs = cgroup_leaf_procs_fd(t->cgroup_dir, t->cgroup_leaf);
	pid = fork();
	if (pid == 0) {
		set_mark(t->mark);
		if (write(procs, "0", 1) != 1)
			_exit(97);
		role(s);
		_exit(0);
	}
	return pid;
}

static unsigned alive(const struct tree *t)
{
	unsigned n = 0;
	int r;

	do {
		reap();
		r = tree_alive(t, 1, NULL, &n);
	} while (r == -EAGAIN);
	assert_int_equal(r, 0);
	return n;
}

static int kill_once(struct tree *t, struct tree_result *sum)
{
	struct tree_result result;
	int r = tree_kill_step(t, 1, NULL, &result);

	assert_true(r >= 0);
	reap();
	sum->signalled += result.signalled;
	sum->refused = result.refused;
	return r;
}

/* SIGKILL until all is over; returns how many took it. */
static unsigned kill_all(struct tree *t)
{
	struct tree_result sum = { 0 };

	wait_until(kill_once(t, &sum) == 0);
	assert_int_equal(sum.refused, 0);
	assert_int_equal(alive(t), 0);
	return sum.signalled;
}

static void role_sleep(_unused_ struct shared *s)
{
	execlp("sleep", "sleep", "1000", NULL);
}

/* Somebody else's process, born between the members; it has its name before it is ready. */
static pid_t start_bystander(void)
{
	pid_t pid = start(new_mark(), role_sleep, NULL);
	struct proc_stat stat;

	wait_until(proc_stat_read(pid, &stat) == 0 && strcmp(stat.comm, "sleep") == 0 &&
		   stat.state == 'S');
	return pid;
}

static void assert_untouched(pid_t bystander)
{
	assert_int_equal(state_of(bystander), 'S');
	end(bystander);
}

static void kill_ends_all_kinds(struct tree t)
{
	struct shared *s = shared_new();
	struct undertaker u;
	pid_t bystander;

	undertaker_start(&u);
	start_leader(&t, role_all_kinds, s);
	bystander = start_bystander();
	wait_until(s->ready == N_KINDS);
	assert_true(alive(&t) >= N_KINDS - 1);
	assert_true(kill_all(&t) >= N_KINDS - 1);
	undertaker_end(&u);
	assert_untouched(bystander);
}

static void kill_ends_every_kind_of_descendant_by_the_mark(_unused_ void **state)
{
	kill_ends_all_kinds(marked_tree());
}

static void kill_ends_every_kind_of_descendant_in_a_cgroup(_unused_ void **state)
{
	struct tree t = contained_tree();

	kill_ends_all_kinds(t);
	release(&t);
}

static void kill_ends_what_comes_back_when_it_dies(_unused_ void **state)
{
	struct tree t = marked_tree();
	struct shared *s = shared_new();
	pid_t bystander = start_bystander();
	struct undertaker u;

	undertaker_start(&u);
	start_leader(&t, role_hydras, s);
	wait_until(s->ready >= 4);
	kill_all(&t);
	undertaker_end(&u);
	assert_untouched(bystander);
}

static void kill_leaves_no_time_to_replace_the_dead(_unused_ void **state)
{
	struct tree t = marked_tree();
	struct shared *s = shared_new();
	unsigned i;

	start_leader(&t, role_replaces_its_children, s);
	wait_until(s->ready == 30);
	kill_all(&t);
	for (i = 0; i < s->ready; i++)
		wait_until((reap(), state_of(s->pids[i]) == '-'));
}

static void term_reaches_each_member_once(struct tree t)
{
	struct tree_result result;
	struct shared *s = shared_new();
	pid_t bystander = start_bystander();
	unsigned i;

	start_leader(&t, child_ignores_term, s);
	start_leader(&t, child_forks_twice, s);
	start_leader(&t, role_wait, s);
	start_leader(&t, role_wait, s);
	wait_until(s->ready == 4 && alive(&t) == 4);
	assert_int_equal(tree_signal(&t, 1, NULL, SIGTERM, true, &result), 0);
	assert_int_equal(result.alive, 4);
	assert_int_equal(result.signalled, 4);
	assert_int_equal(result.gone + result.refused, 0);
	wait_until(alive(&t) == 1);
	assert_true(kill_all(&t) >= 1);
	for (i = 0; i < s->ready; i++)
		assert_int_equal(state_of(s->pids[i]), '-');
	assert_untouched(bystander);
}

static void term_reaches_each_member_by_the_mark(_unused_ void **state)
{
	term_reaches_each_member_once(marked_tree());
}

static void term_reaches_each_member_in_a_cgroup(_unused_ void **state)
{
	struct tree t = contained_tree();

	term_reaches_each_member_once(t);
	release(&t);
}

static void a_stopped_process_acts_on_term_when_it_is_woken(_unused_ void **state)
{
	struct tree t = marked_tree();
	struct shared *s = shared_new();
	pid_t pid = start_leader(&t, role_wait, s);
	struct tree_result result;

	wait_until(s->ready == 1);
	kill(pid, SIGSTOP);
	wait_until(state_of(pid) == 'T');
	assert_int_equal(tree_signal(&t, 1, NULL, SIGTERM, false, &result), 0);
	assert_int_equal(result.signalled, 1);
	assert_int_equal(state_of(pid), 'T');
	assert_int_equal(tree_signal(&t, 1, NULL, SIGTERM, true, &result), 0);
	wait_until(alive(&t) == 0);
}

static void a_zombie_is_no_member_and_takes_no_signal(_unused_ void **state)
{
	struct tree t = marked_tree();
	pid_t pid = start_leader(&t, role_exit, shared_new());
	struct tree_result result;
	unsigned n = 1;

	wait_until(state_of(pid) == 'Z');
	assert_int_equal(tree_alive(&t, 1, NULL, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(tree_kill_step(&t, 1, NULL, &result), 0);
	assert_int_equal(result.signalled, 0);
	reap();
}

static void a_process_whose_first_thread_ended_is_killed_too(_unused_ void **state)
{
	struct tree t = marked_tree();
	struct shared *s = shared_new();
	pid_t pid = start_leader(&t, role_first_thread_ends, s);

	wait_until(s->ready == 1 && state_of(pid) == 'Z');
	assert_int_equal(alive(&t), 1);
	assert_true(kill_all(&t) >= 1);
}

static bool is_5(uint64_t mark, _unused_ void *userdata)
{
	return mark == 5;
}

static int count(_unused_ const struct tree_member *m, void *userdata)
{
	++*(unsigned *)userdata;
	return 0;
}

static int check_how(const struct tree_member *m, void *userdata)
{
	unsigned *seen = userdata;

	*seen = *seen << 4 | m->how;
	return 0;
}

static void descendants_with_another_mark_are_members_unless_it_is_excluded(_unused_ void **state)
{
	struct tree t = marked_tree();
	struct tree_filter filter = { .excluded = is_5 };
	struct shared *s = shared_new();
	unsigned n = 0, seen = 0;

	start_leader(&t, role_child_with_another_mark, s);
	wait_until(s->ready == 3);
	assert_int_equal(alive(&t), 1);
	assert_int_equal(tree_each(&t, 1, NULL, check_how, &seen), 0);
	assert_int_equal(seen, TREE_MARK << 8 | TREE_DESCENT << 4 | TREE_DESCENT);
	assert_int_equal(tree_each(&t, 1, &filter, count, &n), 0);
	assert_int_equal(n, 1);
	assert_true(kill_all(&t) >= 3);
}

static void one_walk_serves_several_trees(_unused_ void **state)
{
	struct tree trees[3] = { marked_tree(), marked_tree(), marked_tree() };
	struct tree_result results[3];
	struct shared *s = shared_new();
	unsigned n[3] = { 9, 9, 9 };

	start_leader(&trees[0], role_wait, s);
	start_leader(&trees[2], child_waits, s);
	start_leader(&trees[2], child_waits, s);
	wait_until(s->ready == 3 && alive(&trees[2]) == 2);
	assert_int_equal(tree_alive(trees, 3, NULL, n), 0);
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 0);
	assert_int_equal(n[2], 2);
	assert_int_equal(tree_signal(trees, 3, NULL, SIGCONT, false, results), 0);
	assert_int_equal(results[0].signalled, 1);
	assert_int_equal(results[1].signalled, 0);
	assert_int_equal(results[2].signalled, 2);
	kill_all(&trees[2]);
	assert_int_equal(alive(&trees[0]), 1);
	kill_all(&trees[0]);
}

static void a_leader_without_a_mark_yet_is_a_member(_unused_ void **state)
{
	struct tree t = { .mark = new_mark(), .cgroup_dir = -1 };
	struct shared *s = shared_new();

	t.leader = start(0, child_waits, s);
	wait_until(s->ready == 1);
	waitpid(t.leader, NULL, 0);
	assert_int_equal(alive(&t), 0); /* reaped: its pid says nothing */
	end(s->pids[0]);

	s = shared_new();
	t.leader = start(0, role_wait, s);
	wait_until(s->ready == 1);
	assert_int_equal(alive(&t), 1);
	assert_true(kill_all(&t) >= 1);
	t.leader = getppid();
	assert_int_equal(alive(&t), 0); /* no child of ours */
}

static int kill_own_tree(void *userdata)
{
	struct tree *t = userdata;
	struct tree_result result;
	struct shared *s = shared_new();

	set_mark(t->mark);
	if (fork() == 0)
		role_wait(s);
	while (s->ready < 1)
		;
	while (tree_kill_step(t, 1, NULL, &result) == 1)
		waitpid(-1, NULL, WNOHANG);
	return result.alive == 0 && tree_signal(t, 1, NULL, SIGKILL, false, &result) == 0 ? 0 : 1;
}

static void the_caller_is_never_a_member(_unused_ void **state)
{
	struct tree t = marked_tree();

	assert_int_equal(in_child(0, kill_own_tree, &t), 0);
}

struct refusal {
	struct tree tree;
	pid_t pid;
};

static int is_refused(void *userdata)
{
	struct refusal *q = userdata;
	struct tree_result result = { 0 };

	if (tree_kill_step(&q->tree, 1, NULL, &result) != 0)
		return 1;
	return result.alive == 1 && result.refused == 1 && result.refused_pids[0] == q->pid ? 0 : 2;
}

static void another_users_process_is_named_and_not_called_gone(_unused_ void **state)
{
	struct refusal q = { .tree = marked_tree() };
	struct shared *s = shared_new();

	if (geteuid() != 0)
		skip();
	q.pid = start_leader(&q.tree, role_wait, s);
	wait_until(s->ready == 1);
	assert_int_equal(in_child(NOBODY, is_refused, &q), 0);
	assert_true(kill_all(&q.tree) >= 1);
}

static void a_cgroup_holds_what_has_no_mark_and_the_mark_what_left_the_cgroup(_unused_ void **state)
{
	struct tree t = contained_tree(), unmarked = t;
	struct shared *s = shared_new();
	bool populated = true;
	int outside;
	pid_t pid;

	assert_int_equal(tree_populated(&t, &populated), 0);
	assert_false(populated);
	unmarked.mark = 0;
	start_leader(&unmarked, role_wait, s);
	pid = start_leader(&t, role_wait, s);
	wait_until(s->ready == 2);
	outside = openat(t.cgroup_dir, "../cgroup.procs", O_WRONLY | O_CLOEXEC);
	assert_true(dprintf(outside, "%d", (int)pid) > 0);
	close(outside);
	assert_int_equal(tree_populated(&t, &populated), 0);
	assert_true(populated);
	assert_int_equal(alive(&t), 2);
	assert_true(kill_all(&t) >= 2);
	release(&t);
}

static void without_a_cgroup_there_is_no_cheap_look(_unused_ void **state)
{
	struct tree t = marked_tree();
	bool populated;

	assert_int_equal(tree_populated(&t, &populated), -EOPNOTSUPP);
}

/* A child of the test with that very pid; 0 when this user may not choose one. */
static pid_t start_with_pid(pid_t pid)
{
	struct clone_args args = { .set_tid = (uint64_t)(uintptr_t)&pid,
				   .set_tid_size = 1,
				   .exit_signal = SIGCHLD };
	long r = syscall(SYS_clone3, &args, sizeof(args));

	if (r == 0) {
		for (;;)
			pause();
	}
	return r < 0 ? 0 : (pid_t)r;
}

/* What a look found is confirmed while it lives, and not when its pid is another process's. */
static void confirm_until_the_pid_changes_hands(void (*role)(struct shared *), size_t which)
{
	_cleanup_(scan_done) struct scan scan = { 0 };
	struct tree t = marked_tree();
	struct shared *s = shared_new();
	struct tree_member m;

	start_leader(&t, role, s);
	wait_until(s->ready == which + 1);
	scan_init(&scan, &t, 1, NULL);
	assert_int_equal(scan_look(&scan), 0);
	assert_true(scan.n_members > which);
	m = scan.members[which];
	assert_true(scan_confirm(&scan, &m));
	kill(m.pid, SIGKILL);
	wait_until((reap(), state_of(m.pid) == '-'));
	assert_false(scan_confirm(&scan, &m));
	if (start_with_pid(m.pid) == 0) {
		kill_all(&t);
		scan_done(&scan); /* skipping is a long jump */
		skip();
	}
	assert_false(scan_confirm(&scan, &m));
	end(m.pid);
	kill_all(&t);
}

static void a_pid_that_changed_hands_is_spared_when_it_bore_the_mark(_unused_ void **state)
{
	confirm_until_the_pid_changes_hands(role_wait, 0);
}

static void a_pid_that_changed_hands_is_spared_when_it_was_a_descendant(_unused_ void **state)
{
	confirm_until_the_pid_changes_hands(role_reaps_a_child_with_another_mark, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kill_ends_every_kind_of_descendant_by_the_mark),
		cmocka_unit_test(kill_ends_every_kind_of_descendant_in_a_cgroup),
		cmocka_unit_test(kill_ends_what_comes_back_when_it_dies),
		cmocka_unit_test(kill_leaves_no_time_to_replace_the_dead),
		cmocka_unit_test(term_reaches_each_member_by_the_mark),
		cmocka_unit_test(term_reaches_each_member_in_a_cgroup),
		cmocka_unit_test(a_stopped_process_acts_on_term_when_it_is_woken),
		cmocka_unit_test(a_zombie_is_no_member_and_takes_no_signal),
		cmocka_unit_test(a_process_whose_first_thread_ended_is_killed_too),
		cmocka_unit_test(descendants_with_another_mark_are_members_unless_it_is_excluded),
		cmocka_unit_test(one_walk_serves_several_trees),
		cmocka_unit_test(a_leader_without_a_mark_yet_is_a_member),
		cmocka_unit_test(the_caller_is_never_a_member),
		cmocka_unit_test(another_users_process_is_named_and_not_called_gone),
		cmocka_unit_test(a_cgroup_holds_what_has_no_mark_and_the_mark_what_left_the_cgroup),
		cmocka_unit_test(without_a_cgroup_there_is_no_cheap_look),
		cmocka_unit_test(a_pid_that_changed_hands_is_spared_when_it_bore_the_mark),
		cmocka_unit_test(a_pid_that_changed_hands_is_spared_when_it_was_a_descendant),
	};

	test_pid = getpid();
	test_end = time(NULL) + SECONDS_MAX;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
