/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a report stand below their parents, whatever pids were used again. */
#include "base/cleanup.h"
#include "cli/report.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MANY 10000U

static struct report report;

static int set_up(void **state _unused_)
{
	report = (struct report){ .pids = json_object() };
	report.processes = calloc(MANY, sizeof(*report.processes));
	return report.pids && report.processes ? 0 : -1;
}

static int tear_down(void **state _unused_)
{
	json_decref(report.pids);
	free(report.processes);
	free(report.order);
	return 0;
}

/* The last of its pid is who has it. */
static struct report_process *add(int64_t pid, int64_t ppid)
{
	struct report_process *p = &report.processes[report.n_processes];
	char key[24];

	assert_true(report.n_processes < MANY);
	(void)snprintf(key, sizeof(key), "%lld", (long long)pid);
	json_object_set_new(report.pids, key, json_integer((json_int_t)report.n_processes++));
	*p = (struct report_process){ .pid = pid, .ppid = ppid };
	return p;
}

static void assert_order(const int64_t *pids, const unsigned *depths, size_t n)
{
	assert_int_equal(report_arrange(&report), 0);
	assert_int_equal(report.n_processes, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(report.processes[report.order[i]].pid, pids[i]);
		assert_int_equal(report.processes[report.order[i]].depth, depths[i]);
	}
}

static void children_stand_below_their_parents_in_the_order_of_their_forks(void **state _unused_)
{
	add(1, 99);
	add(2, 1);
	add(3, 1);
	add(4, 2);
	add(5, 3);
	add(6, 98);
	assert_order((int64_t[]){ 1, 2, 4, 3, 5, 6 }, (unsigned[]){ 0, 1, 2, 1, 2, 0 }, 6);
}

static void a_parent_may_be_heard_of_later(void **state _unused_)
{
	add(2, 1);
	add(1, 99);
	assert_order((int64_t[]){ 1, 2 }, (unsigned[]){ 0, 1 }, 2);
}

static void a_child_stays_with_the_parent_that_had_the_pid_then(void **state _unused_)
{
	add(1, 99);
	add(2, 1)->parent = report_place(&report, 1);
	add(1, 99);
	assert_order((int64_t[]){ 1, 2, 1 }, (unsigned[]){ 0, 1, 0 }, 3);
}

static void a_circle_of_pids_shows_each_once(void **state _unused_)
{
	add(1, 3);
	add(2, 1);
	add(3, 2);
	add(4, 4);
	assert_order((int64_t[]){ 4, 1, 2, 3 }, (unsigned[]){ 0, 0, 1, 2 }, 4);
}

static void a_long_line_of_processes_is_walked_without_a_stack(void **state _unused_)
{
	for (unsigned i = 0; i < MANY; i++)
		add(i + 2, i + 1);
	assert_int_equal(report_arrange(&report), 0);
	assert_int_equal(report.processes[report.order[MANY - 1]].depth, MANY - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			children_stand_below_their_parents_in_the_order_of_their_forks, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_parent_may_be_heard_of_later, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_child_stays_with_the_parent_that_had_the_pid_then,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_circle_of_pids_shows_each_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_long_line_of_processes_is_walked_without_a_stack,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
