/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"
#include <linux/sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static struct attributes attributes_of(pid_t pid)
{
	struct attributes a = { 0 };

	assert_int_equal(syscall(SYS_sched_getattr, pid, &a, sizeof(a), 0), 0);
	return a;
}

/* Kernels before 6.12 tell no slice, and have none of its own for a process. */
static void the_slice_is_short_and_all_else_stays(void **state)
{
	int nice = getpriority(PRIO_PROCESS, 0);
	struct attributes before, after;

	(void)state;
	assert_int_equal(setpriority(PRIO_PROCESS, 0, nice < 0 ? 0 : nice + 1), 0);
	before = attributes_of(0);
	assert_true(slice_shorten());
	after = attributes_of(0);
	assert_int_equal(after.flags, SCHED_FLAG_RESET_ON_FORK);
	assert_int_equal(after.policy, before.policy);
	assert_int_equal(after.nice, before.nice);
	assert_int_equal(after.runtime, before.runtime != 0 ? 100000 : 0);
	slice_restore();
	after = attributes_of(0);
	assert_int_equal(after.policy, before.policy);
	assert_int_equal(after.nice, before.nice);
	assert_int_equal(after.runtime, before.runtime);
}

static void a_child_does_not_inherit_it(void **state)
{
	struct attributes before = attributes_of(0), child;
	int pair[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pair), 0);
	slice_shorten();
	pid = fork();
	if (pid == 0) {
		close(pair[1]);
		_exit((int)read(pair[0], &child, 1)); /* until the end of the file */
	}
	close(pair[0]);
	child = attributes_of(pid);
	close(pair[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(child.flags, 0);
	assert_int_equal(child.policy, before.policy);
	assert_int_equal(child.nice, before.nice);
	assert_int_equal(child.runtime, before.runtime);
}

int main(void)
{
	/* In this order: without privileges what the second does cannot be undone entirely. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_slice_is_short_and_all_else_stays),
		cmocka_unit_test(a_child_does_not_inherit_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
