/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "engine/flood.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define LARGE (64U * 1024U)

static uv_loop_t loop;
static struct flood flood;
static uint64_t now;

/* Only their addresses count. */
static const char streams[2];

static const struct stream *stream(unsigned i)
{
	return (const struct stream *)&streams[i];
}

static int begin(void **state)
{
	(void)state;
	flood = (struct flood){ 0 };
	now = 1;
	return uv_loop_init(&loop) < 0 ? -1 : (flood_init(&flood, &loop), 0);
}

static int end(void **state)
{
	(void)state;
	uv_close((uv_handle_t *)&flood.idle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static bool is_awake(void)
{
	return uv_is_active((uv_handle_t *)&flood.idle);
}

/* Whether the loop is kept awake after so many steps, `gap` us apart. */
static bool steps(unsigned count, size_t n, uint64_t gap)
{
	for (unsigned i = 0; i < count; i++) {
		now += gap;
		flood_step(&flood, stream(0), n, true, now, now);
	}
	return is_awake();
}

static void only_large_steps_close_behind_each_other_keep_the_loop_awake(void **state)
{
	(void)state;
	assert_false(steps(1000, 100, 1));
	assert_false(steps(1000, LARGE, 101));
	assert_false(steps(15, LARGE, 10));
	assert_true(steps(1, LARGE, 10));
	assert_true(steps(1000, 4096, 100));
	assert_false(steps(1, 100, 1));
}

static void the_loop_sleeps_when_another_process_waits_for_the_bytes(void **state)
{
	(void)state;
	assert_true(steps(17, LARGE, 10));
	flood_step(&flood, stream(0), LARGE, false, now, now);
	assert_false(is_awake());
	assert_false(steps(15, LARGE, 10));
}

static void two_that_flood_in_turn_are_none(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		flood_step(&flood, stream(i % 2), LARGE, true, now, now);
	assert_false(is_awake());
}

/* The steps are long past for the loop's own clock. */
static void the_loop_sleeps_again_when_nothing_comes_and_each_time_for_longer(void **state)
{
	unsigned needed = 16;

	(void)state;
	steps(1, LARGE, 1000);
	for (unsigned i = 0; i < 4; i++, needed *= 2) {
		assert_false(steps(needed - 1, LARGE, 10));
		assert_true(steps(1, LARGE, 10));
		uv_run(&loop, UV_RUN_NOWAIT);
		assert_false(is_awake());
	}
	assert_true(steps(needed, LARGE, 10));
	assert_true(steps(1, LARGE, 10)); /* something did come: it was right to wait */
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(steps(32, LARGE, 10));
}

static void a_small_step_of_a_flood_is_put_off(void **state)
{
	(void)state;
	assert_true(steps(17, 8192, 0));
	flood.at = clock_monotonic_us();
	flood_gather(&flood, stream(0));
	assert_true(clock_monotonic_us() >= flood.at + 3);
}

/* --- which way the bytes are taken ------------------------------------------------------------ */

/* So many runs of reads, each of which met large writes. */
static enum flood_way after_large_runs(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		flood.large = true;
		steps(1, LARGE, 10);
	}
	return flood_way(&flood, stream(0));
}

static void a_flood_is_of_small_writes_until_runs_of_reads_meet_large_ones(void **state)
{
	(void)state;
	assert_int_equal(flood_way(&flood, stream(0)), FLOOD_NOT);
	steps(17, LARGE, 10);
	assert_int_equal(flood_way(&flood, stream(0)), FLOOD_SMALL);
	assert_int_equal(flood_way(&flood, stream(1)), FLOOD_NOT);
	assert_int_equal(after_large_runs(7), FLOOD_SMALL);
	steps(1, LARGE, 10); /* one that did not */
	assert_int_equal(after_large_runs(7), FLOOD_SMALL);
	assert_int_equal(after_large_runs(1), FLOOD_LARGE);
	steps(1, 100, 10);
	assert_int_equal(flood_way(&flood, stream(0)), FLOOD_NOT);
}

static void large_writes_are_looked_for_again_and_each_time_later(void **state)
{
	(void)state;
	steps(17, LARGE, 10);
	for (unsigned pause = 64; pause <= 4096; pause *= 2) {
		assert_int_equal(after_large_runs(8), FLOOD_LARGE);
		steps(pause - 1, LARGE, 10);
		assert_int_equal(flood_way(&flood, stream(0)), FLOOD_LARGE);
		steps(1, LARGE, 10);
		assert_int_equal(flood_way(&flood, stream(0)), FLOOD_SMALL);
	}
	assert_int_equal(after_large_runs(8), FLOOD_LARGE);
	steps(4096, LARGE, 10);
	assert_int_equal(flood_way(&flood, stream(0)), FLOOD_SMALL);
}

static void two_splices_behind_each_other_that_do_not_fill_the_pipe_show_small_writes(void **state)
{
	(void)state;
	steps(17, LARGE, 10);
	assert_int_equal(after_large_runs(8), FLOOD_LARGE);
	for (unsigned i = 0; i < 10; i++) {
		steps(1, 8192, 10);
		assert_int_equal(flood_way(&flood, stream(0)), FLOOD_LARGE);
		steps(1, LARGE, 10);
	}
	steps(2, 8192, 10);
	assert_int_equal(flood_way(&flood, stream(0)), FLOOD_SMALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			only_large_steps_close_behind_each_other_keep_the_loop_awake, begin, end),
		cmocka_unit_test_setup_teardown(
			the_loop_sleeps_when_another_process_waits_for_the_bytes, begin, end),
		cmocka_unit_test_setup_teardown(two_that_flood_in_turn_are_none, begin, end),
		cmocka_unit_test_setup_teardown(
			the_loop_sleeps_again_when_nothing_comes_and_each_time_for_longer, begin,
			end),
		cmocka_unit_test_setup_teardown(a_small_step_of_a_flood_is_put_off, begin, end),
		cmocka_unit_test_setup_teardown(
			a_flood_is_of_small_writes_until_runs_of_reads_meet_large_ones, begin, end),
		cmocka_unit_test_setup_teardown(
			large_writes_are_looked_for_again_and_each_time_later, begin, end),
		cmocka_unit_test_setup_teardown(
			two_splices_behind_each_other_that_do_not_fill_the_pipe_show_small_writes,
			begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
