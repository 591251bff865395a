/* SPDX-License-Identifier: Apache-2.0 */
/* To deliver what has happened takes no longer because more happens meanwhile. */
#include "base/cleanup.h"
#include "observed.h"
#include <fcntl.h>

#define ROUNDS_MAX 1000U
#define PLACE      "/tmp" /* fanotify is not told of "/" where that is of a kind without an identity */

static const struct backend *backend;

static int setup(void **state)
{
	backend = *state;
	return 0;
}

/* Of each event that is told the process makes some more. */
struct endless {
	unsigned told, rounds;
	int sock[2]; /* to the process, and its end */
};

static void do_more_when_told(void *userdata)
{
	const struct endless *f = userdata;
	char byte;

	close(f->sock[0]);
	while (read(f->sock[1], &byte, 1) == 1) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid ||
		    close(open(PLACE, O_RDONLY | O_CLOEXEC)) < 0 ||
		    write(f->sock[1], &byte, 1) != 1)
			_exit(1);
	}
}

static void make_more(struct endless *f)
{
	char byte = 0;

	f->rounds++;
	assert_int_equal(write(f->sock[0], &byte, 1), 1);
	assert_int_equal(read(f->sock[0], &byte, 1), 1);
}

static void count_and_make_more(void *userdata, struct reeve_event *e _unused_,
				const struct backend_origin *origin _unused_)
{
	struct endless *f = userdata;

	f->told++;
	if (f->rounds < ROUNDS_MAX)
		make_more(f);
}

static void miss(void *userdata _unused_, enum reeve_category category _unused_,
		 uint64_t n _unused_)
{
}

static void begin(struct observed *o, struct endless *f)
{
	struct observation_config config = { .sink = { count_and_make_more, miss, f } };
	struct error e = { 0 };

	observed_init(o);
	if (backend->prepare)
		backend->prepare(backend->categories, &o->entry);
	observed_fork(o, do_more_when_told, f);
	config.host = o->host;
	config.target = (struct backend_target){ .session = 1,
						 .leader = o->pid,
						 .gated = true,
						 .categories = backend->categories,
						 .prepared = backend->prepare != NULL };
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		if ((backend->categories & 1U << c) != 0)
			config.choices[c] =
				(struct choice){ .backend = backend, .support = REEVE_SUPPORTED };
	if (observation_start(&o->observation, &config, &e) < 0)
		fail_msg("%s", e.message);
}

static void what_comes_without_end_does_not_hold_up_a_flush(void **state _unused_)
{
	struct endless f = { 0 };
	struct observed o;

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		skip();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f.sock), 0);
	begin(&o, &f);
	assert_int_equal(close(f.sock[1]), 0);
	observed_go(&o);
	make_more(&f);
	wait_until((observation_flush(o.observation), f.told > 0));
	assert_true(f.rounds < ROUNDS_MAX);
	f.rounds = ROUNDS_MAX;
	assert_int_equal(close(f.sock[0]), 0);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	observed_done(&o);
}

#define TEST(b)                                                                                    \
	{                                                                                          \
#b, what_comes_without_end_does_not_hold_up_a_flush, setup, NULL,                  \
			(void *)&backend_##b                                                       \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(perf),
		TEST(proc_connector),
		TEST(fanotify),
		TEST(ptrace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
