/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of many sessions are told in turns: each of them, and none before its turn. */
#include "engine/engine.h"
#include "engine/observe_private.h"
#include "processes.h"

#define SESSIONS 50U

static struct engine engine;
static struct observatory observatory;
static struct session sessions[SESSIONS];
static struct observed observed[SESSIONS];
static struct observe_reader readers[SESSIONS];
static unsigned told[10 * SESSIONS], n_told; /* who, in this order */
static unsigned again;                       /* has news again when it is told, so often */

static void on_news(struct observe_reader *r)
{
	unsigned i = (unsigned)(r - readers);

	assert_true(n_told < 10 * SESSIONS);
	told[n_told++] = i;
	if (i == 0 && again > 0) {
		again--;
		observe_news(&observed[i]);
	}
}

static int set_up(void **state _unused_)
{
	n_told = again = 0;
	memset(&observatory, 0, sizeof(observatory));
	assert_int_equal(uv_loop_init(&engine.loop), 0);
	observatory.engine = &engine;
	engine.observatory = &observatory;
	assert_int_equal(observe_news_init(&observatory), 0);
	for (unsigned i = 0; i < SESSIONS; i++) {
		sessions[i].engine = &engine;
		readers[i] = (struct observe_reader){ .number = 1, .news = on_news };
		observed[i] = (struct observed){ .session = &sessions[i], .readers = &readers[i] };
	}
	return 0;
}

static int tear_down(void **state _unused_)
{
	uv_close((uv_handle_t *)&observatory.tell, NULL);
	uv_close((uv_handle_t *)&observatory.rest, NULL);
	uv_run(&engine.loop, UV_RUN_DEFAULT);
	close(observatory.rest_fd);
	return uv_loop_close(&engine.loop);
}

static void run_until_told(unsigned n)
{
	wait_until((uv_run(&engine.loop, UV_RUN_NOWAIT), n_told >= n));
}

static void each_is_told_once_and_in_order(void **state _unused_)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		observe_news(&observed[i]);
		observe_news(&observed[i]);
	}
	run_until_told(SESSIONS);
	for (unsigned i = 0; i < 10; i++)
		uv_run(&engine.loop, UV_RUN_NOWAIT);
	assert_int_equal(n_told, SESSIONS);
	for (unsigned i = 0; i < SESSIONS; i++)
		assert_int_equal(told[i], i);
}

static void who_always_has_news_lets_others_come_first(void **state _unused_)
{
	again = 3;
	for (unsigned i = 0; i < SESSIONS; i++)
		observe_news(&observed[i]);
	run_until_told(SESSIONS + 3);
	assert_int_equal(told[0], 0);
	for (unsigned i = 1; i < SESSIONS; i++)
		assert_int_equal(told[i], i);
	for (unsigned i = SESSIONS; i < SESSIONS + 3; i++)
		assert_int_equal(told[i], 0);
}

static void one_turn_does_not_tell_all(void **state _unused_)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		observe_news(&observed[i]);
	wait_until((uv_run(&engine.loop, UV_RUN_NOWAIT), n_told > 0));
	assert_true(n_told < SESSIONS);
	run_until_told(SESSIONS);
}

static void who_goes_is_not_told_any_more(void **state _unused_)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		observe_news(&observed[i]);
	observe_no_news(&observed[SESSIONS - 1]);
	observe_no_news(&observed[7]);
	run_until_told(SESSIONS - 2);
	observe_news(&observed[7]);
	run_until_told(SESSIONS - 1);
	assert_int_equal(told[7], 8);
	assert_int_equal(told[SESSIONS - 2], 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_is_told_once_and_in_order),
		TEST(who_always_has_news_lets_others_come_first),
		TEST(one_turn_does_not_tell_all),
		TEST(who_goes_is_not_told_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
