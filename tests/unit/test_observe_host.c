/* SPDX-License-Identifier: Apache-2.0 */
/* The host of the backends: what it waits for, and who else may. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "observe/host.h"
#include "processes.h"
#include <poll.h>
#include <sys/eventfd.h>

static struct host *host;

struct bell {
	struct watch watch;
	struct bell *other; /* ended by this one */
	unsigned rung;
};

static void on_bell(struct watch *w)
{
	struct bell *b = (struct bell *)w;

	b->rung++;
	if (b->other)
		host_unwatch(host, &b->other->watch);
}

static void bell_init(struct bell *b)
{
	*b = (struct bell){ .watch = { eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), on_bell, false,
				       0 } };
	assert_true(b->watch.fd >= 0);
}

static int set_up(void **state _unused_)
{
	return host_new(&host, -1, NULL);
}

static int tear_down(void **state _unused_)
{
	host = host_free(host);
	return 0;
}

static void each_that_is_ready_is_served(void **state _unused_)
{
	struct bell bells[20];

	for (size_t i = 0; i < 20; i++) {
		bell_init(&bells[i]);
		assert_int_equal(host_watch(host, &bells[i].watch), 0);
	}
	for (size_t i = 0; i < 2; i++)
		host_dispatch(host);
	for (size_t i = 0; i < 20; i++) {
		assert_true(bells[i].rung > 0);
		fd_close(bells[i].watch.fd);
	}
}

static void a_watch_that_another_has_ended_is_not_served(void **state _unused_)
{
	struct bell one, two;

	bell_init(&one);
	bell_init(&two);
	one.other = &two;
	two.other = &one;
	assert_int_equal(host_watch(host, &one.watch), 0);
	assert_int_equal(host_watch(host, &two.watch), 0);
	host_dispatch(host);
	assert_int_equal(one.rung + two.rung, 1);
	fd_close(one.watch.fd);
	fd_close(two.watch.fd);
}

/* --- a loop that waits itself ---------------------------------------------------------------- */

static int loop_watch(void *userdata, struct watch *w)
{
	*(struct watch **)userdata = w;
	return 0;
}

static void loop_unwatch(void *userdata, struct watch *w)
{
	assert_ptr_equal(*(struct watch **)userdata, w);
	*(struct watch **)userdata = NULL;
}

static bool host_is_ready(void)
{
	struct pollfd p = { .fd = host_fd(host), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

static void a_loop_that_can_waits_for_a_descriptor_itself(void **state _unused_)
{
	struct watch *watched = NULL;
	struct host_loop loop = { loop_watch, loop_unwatch, &watched };
	struct bell bell;

	host_set_loop(host, &loop);
	bell_init(&bell);
	assert_int_equal(host_watch_direct(host, &bell.watch), 0);
	assert_ptr_equal(watched, &bell.watch);
	assert_false(host_is_ready());
	host_unwatch_direct(host, &bell.watch);
	assert_null(watched);
	fd_close(bell.watch.fd);
}

static void without_one_the_host_does(void **state _unused_)
{
	struct bell bell;

	bell_init(&bell);
	assert_int_equal(host_watch_direct(host, &bell.watch), 0);
	assert_true(host_is_ready());
	host_unwatch_direct(host, &bell.watch);
	assert_false(host_is_ready());
	fd_close(bell.watch.fd);
}

/* --- what is readable but once --------------------------------------------------------------- */

struct looker {
	struct hook hook;
	unsigned looks;
};

static void on_look(struct hook *k)
{
	((struct looker *)k)->looks++;
}

static void hooks_look_whenever_the_host_was_readable(void **state _unused_)
{
	struct looker one = { .hook.look = on_look }, two = { .hook.look = on_look };

	host_hook(host, &one.hook);
	host_hook(host, &two.hook);
	host_dispatch(host);
	host_look(host);
	host_unhook(&two.hook);
	host_look(host);
	assert_int_equal(one.looks, 3);
	assert_int_equal(two.looks, 2);
	host_unhook(&one.hook);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_that_is_ready_is_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_watch_that_another_has_ended_is_not_served,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_loop_that_can_waits_for_a_descriptor_itself,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_one_the_host_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hooks_look_whenever_the_host_was_readable, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
