/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "engine/direct.h"
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY   (3U * DIRECT_MAX)
#define FOR_MS 30000U

/* One end is watched, what is written to the other is counted. */
struct end {
	struct watch watch;
	int other;
	unsigned read;
	short seen;
	struct end *ends; /* is watched no more as soon as this one was called */
};

static uv_loop_t loop;
static struct direct_waits waits;
static uv_timer_t limit;
static struct end ends[MANY];
static unsigned n_read, n_wanted;

static void on_limit(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("%u of %u were told in time", n_read, n_wanted);
}

static void on_end(struct watch *w)
{
	struct end *e = container_of(w, struct end, watch);
	char byte;

	assert_int_equal(read(w->fd, &byte, 1), 1);
	e->read++;
	e->seen = w->seen;
	if (e->ends)
		direct_unwatch(&waits, &e->ends->watch);
	if (++n_read == n_wanted)
		direct_stop(&waits, &loop);
}

static void open_ends(unsigned n)
{
	for (struct end *e = ends; e < ends + n; e++) {
		int p[2];

		assert_int_equal(pipe2(p, O_CLOEXEC), 0);
		*e = (struct end){ .watch = { p[0], on_end, false, 0 }, .other = p[1] };
		assert_int_equal(direct_watch(&waits, &loop, &e->watch), 0);
	}
}

static void write_to(const struct end *e)
{
	assert_int_equal(write(e->other, "x", 1), 1);
}

static void run_until(unsigned wanted)
{
	waits.over = false;
	n_read = 0;
	n_wanted = wanted;
	direct_run(&waits, &loop);
	assert_int_equal(n_read, wanted);
}

static int begin(void **state)
{
	(void)state;
	waits = (struct direct_waits){ 0 };
	if (uv_loop_init(&loop) < 0 || uv_timer_init(&loop, &limit) < 0)
		return -1;
	return uv_timer_start(&limit, on_limit, FOR_MS, 0);
}

static int end(void **state)
{
	(void)state;
	for (struct end *e = ends; e < ends + MANY; e++) {
		if (e->watch.fd <= 0)
			continue;
		direct_unwatch(&waits, &e->watch);
		(void)close(e->watch.fd);
		(void)close(e->other);
		*e = (struct end){ 0 };
	}
	uv_close((uv_handle_t *)&limit, NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	return waits.first || waits.n_own > 0 ? -1 : uv_loop_close(&loop);
}

static void each_of_many_is_told_when_it_is_readable(void **state)
{
	(void)state;
	open_ends(MANY);
	assert_int_equal(waits.n_own, DIRECT_MAX);
	for (unsigned i = 0; i < MANY; i++) {
		write_to(&ends[i]);
		run_until(1);
		assert_int_equal(ends[i].read, 1);
	}
	for (unsigned i = 0; i < MANY; i++)
		write_to(&ends[i]);
	run_until(MANY);
}

static void a_place_that_was_given_up_is_the_next_ones(void **state)
{
	(void)state;
	open_ends(MANY);
	direct_unwatch(&waits, &ends[0].watch);
	assert_int_equal(waits.n_own, DIRECT_MAX - 1);
	assert_int_equal(direct_watch(&waits, &loop, &ends[0].watch), 0);
	assert_int_equal(waits.n_own, DIRECT_MAX);
	write_to(&ends[0]);
	run_until(1);
}

static void one_that_another_has_ended_is_not_told(void **state)
{
	(void)state;
	open_ends(2);
	ends[0].ends = &ends[1];
	ends[1].ends = &ends[0];
	write_to(&ends[0]);
	write_to(&ends[1]);
	run_until(1);
	assert_int_equal(ends[0].read + ends[1].read, 1);
}

/* Who is called may have taken what another was about to be told of. */
static void what_was_seen_is_said_to_the_first_only(void **state)
{
	unsigned n = 0;

	(void)state;
	open_ends(3);
	for (unsigned i = 0; i < 3; i++)
		write_to(&ends[i]);
	run_until(3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ends[i].seen == 0 || ends[i].seen == POLLIN);
		n += ends[i].seen == POLLIN;
	}
	assert_int_equal(n, 1);
}

struct later {
	uv_poll_t poll;
	struct end *end;
	int readable;
};

static void on_later(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	uv_close((uv_handle_t *)poll, NULL);
	direct_stop(&waits, &loop);
}

static void on_start(uv_timer_t *timer)
{
	struct later *l = timer->data;

	assert_int_equal(uv_poll_init(&loop, &l->poll, l->readable), 0);
	assert_int_equal(uv_poll_start(&l->poll, UV_READABLE, on_later), 0);
	uv_close((uv_handle_t *)timer, NULL);
}

/* libuv tells its epoll of what is to be watched only when it waits the next time. */
static void what_libuv_is_to_watch_from_now_on_is_told_beside_them(void **state)
{
	struct later l = { 0 };
	uv_timer_t timer;
	int p[2];

	(void)state;
	open_ends(1);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	l.readable = p[0];
	timer.data = &l;
	assert_int_equal(uv_timer_init(&loop, &timer), 0);
	assert_int_equal(uv_timer_start(&timer, on_start, 1, 0), 0);
	waits.over = false;
	direct_run(&waits, &loop);
	assert_true(uv_is_closing((uv_handle_t *)&l.poll));
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)close(p[0]);
	(void)close(p[1]);
}

static void on_endless(struct watch *w)
{
	(void)w; /* it stays readable */
}

static void on_due(uv_timer_t *timer)
{
	uv_close((uv_handle_t *)timer, NULL);
	direct_stop(&waits, &loop);
}

static void what_libuv_waits_for_comes_beside_one_that_is_always_readable(void **state)
{
	uv_timer_t timer;
	uv_poll_t poll;
	int p[2];

	(void)state;
	open_ends(1);
	ends[0].watch.ready = on_endless;
	write_to(&ends[0]);
	assert_int_equal(uv_timer_init(&loop, &timer), 0);
	assert_int_equal(uv_timer_start(&timer, on_due, 5, 0), 0);
	waits.over = false;
	direct_run(&waits, &loop);
	assert_true(uv_is_closing((uv_handle_t *)&timer));
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(uv_poll_init(&loop, &poll, p[0]), 0);
	assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_later), 0);
	waits.over = false;
	direct_run(&waits, &loop);
	assert_true(uv_is_closing((uv_handle_t *)&poll));
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)close(p[0]);
	(void)close(p[1]);
}

static void take_it(void *userdata)
{
	char byte;

	assert_int_equal(read(*(int *)userdata, &byte, 1), 1);
	direct_stop(&waits, &loop);
}

static void on_too_late(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	(void)uv_poll_stop(poll);
	direct_stop(&waits, &loop);
}

/* As of perf's descriptors, which are readable for the one who asks first. */
static void what_libuv_will_not_find_any_more_is_told_before_it_looks(void **state)
{
	uv_poll_t poll;
	int p[2];

	(void)state;
	open_ends(1);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(uv_poll_init(&loop, &poll, p[0]), 0);
	assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_too_late), 0);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(write(p[1], "x", 1), 1);
	waits.asked = take_it;
	waits.userdata = &p[0];
	direct_run(&waits, &loop);
	assert_true(uv_is_active((uv_handle_t *)&poll)); /* it was not called */
	uv_close((uv_handle_t *)&poll, NULL);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	(void)close(p[0]);
	(void)close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_of_many_is_told_when_it_is_readable, begin,
						end),
		cmocka_unit_test_setup_teardown(a_place_that_was_given_up_is_the_next_ones, begin,
						end),
		cmocka_unit_test_setup_teardown(one_that_another_has_ended_is_not_told, begin, end),
		cmocka_unit_test_setup_teardown(what_was_seen_is_said_to_the_first_only, begin,
						end),
		cmocka_unit_test_setup_teardown(
			what_libuv_waits_for_comes_beside_one_that_is_always_readable, begin, end),
		cmocka_unit_test_setup_teardown(
			what_libuv_is_to_watch_from_now_on_is_told_beside_them, begin, end),
		cmocka_unit_test_setup_teardown(
			what_libuv_will_not_find_any_more_is_told_before_it_looks, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
