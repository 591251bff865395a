/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "core/oomlog.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char report[] =
	"<4>[ 2993.081046] [  26282]     0 26282    55343     6683   106496  0   0 python3\n"
	"<6>[ 2993.081050] oom-kill:constraint=CONSTRAINT_MEMCG,task=python3,pid=26282,uid=0\n"
	"<3>[ 2993.081078] Memory cgroup out of memory: Killed process 26282 (python3) "
	"total-vm:221372kB, anon-rss:20224kB\n"
	"<3>[ 3005.1][  T77] Out of memory: Killed process 300 (a) total-vm:1kB\n"
	"<3>[    7.000000] Out of memory: Killed process 4 (first) total-vm:1kB\n"
	"<12>[ 3000.000000] Out of memory: Killed process 99 (a lie) total-vm:1kB\n"
	"<3>Out of memory: Killed process 98 (no time) total-vm:1kB\n"
	"<3>[ 3000.000000] systemd: Killed process 970 (other) by";

static bool named(pid_t pid, uint64_t at)
{
	return oomlog_names(report, sizeof(report) - 1, pid, at, 60);
}

static void a_process_is_named_by_the_line_about_its_end(void **state)
{
	(void)state;
	assert_true(named(26282, 2993));
	assert_true(named(300, 3005));
	assert_true(named(4, 7));
	assert_true(named(4, 0));
	assert_false(named(2628, 2993));
	assert_false(named(82, 2993));
	assert_false(named(30, 3005));
}

static void one_that_had_the_pid_before_is_another(void **state)
{
	(void)state;
	assert_true(named(26282, 2993 + 60));
	assert_true(named(26282, 2993 - 60));
	assert_false(named(26282, 2993 + 61));
	assert_false(named(26282, 2993 - 61));
	assert_false(named(4, 3000));
}

static void what_a_program_wrote_and_what_has_no_time_prove_nothing(void **state)
{
	(void)state;
	assert_false(named(99, 3000));
	assert_false(named(98, 3000));
	assert_false(named(97, 3000));
}

static void a_log_that_is_cut_anywhere_is_read_within_its_bytes(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(report); n++)
		oomlog_names(report, n, 26282, 2993, 60);
	assert_false(oomlog_names("", 0, 1, 0, 60));
	assert_false(oomlog_names("\n\n", 2, 1, 0, 60));
}

static void the_kernel_did_not_end_us(void **state)
{
	(void)state;
	assert_false(oomlog_ended(getpid(), clock_realtime_ms()));
	assert_false(oomlog_ended(getpid(), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_is_named_by_the_line_about_its_end),
		cmocka_unit_test(one_that_had_the_pid_before_is_another),
		cmocka_unit_test(what_a_program_wrote_and_what_has_no_time_prove_nothing),
		cmocka_unit_test(a_log_that_is_cut_anywhere_is_read_within_its_bytes),
		cmocka_unit_test(the_kernel_did_not_end_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
