/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: for how long it listens. */
#include "base/cleanup.h"
#include "notify_observed.h"
#include <errno.h>

static struct watch *watched;

static int begin_watch(void *userdata _unused_, struct watch *w)
{
	watched = w;
	return 0;
}

static void end_watch(void *userdata _unused_, struct watch *w _unused_)
{
	watched = NULL;
}

static void open_one(void *userdata _unused_)
{
	need(open("/nowhere/one", O_RDONLY) < 0 && errno == ENOENT);
}

/* Whom a signal reaches while another holds the lock of the listener, is told POLLERR. */
static void an_error_of_looking_ends_nothing(void **state _unused_)
{
	const struct host_loop loop = { begin_watch, end_watch, NULL };
	struct observed o;

	observed_init(&o);
	host_set_loop(o.host, &loop);
	backend->prepare(ALL, &o.entry);
	observed_fork(&o, open_one, NULL);
	observed_start_with(
		&o, backend,
		&(struct backend_target){
			.session = 1, .leader = o.pid, .gated = true, .categories = ALL });
	assert_non_null(watched);
	watched->seen = POLLERR;
	watched->ready(watched);
	assert_non_null(watched);
	observed_go(&o);
	while (waitpid(o.pid, &o.status, WNOHANG) == 0) {
		if (watched)
			watched->ready(watched);
		observed_look(&o);
	}
	assert_int_equal(o.status, 0);
	assert_non_null(observed_path(&o, REEVE_OPENED, "/nowhere/one"));
	observed_done(&o);
	assert_null(watched);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_of_looking_ends_nothing),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
