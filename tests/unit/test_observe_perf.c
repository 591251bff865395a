/* SPDX-License-Identifier: Apache-2.0 */
/* The events that the backend perf has of the whole machine: when their records wake somebody. */
#include "base/cleanup.h"
#include "fds.h"
#include "observe/perf_ring.h"
#include "observed.h"
#include <linux/perf_event.h>
#include <sys/epoll.h>

#define BURST  8U /* reads in which something is found */
#define ROUNDS 3U
#define QUIET  20   /* ms in which nobody is woken: it has stopped looking from time to time */
#define TRIES  100U /* to find such a time: the machine may not be ours alone */

/* --- bells ----------------------------------------------------------------------------------- */

static struct perf_rings rings;

static int attach(void **state _unused_)
{
	rings = (struct perf_rings){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .large = true };
	if (rings.epoll_fd < 0)
		return -1;
	return 0;
}

static int detach(void **state _unused_)
{
	perf_rings_done(&rings);
	return close(rings.epoll_fd);
}

/* Not everybody may have them. */
static void need_rings(void)
{
	if (perf_rings_attach(&rings, -1) < 0)
		skip();
}

static pid_t fork_and_reap(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static bool is_woken(void)
{
	struct epoll_event events[16];

	return epoll_wait(rings.epoll_fd, events, ARRAY_SIZE(events), 0) > 0;
}

static bool a_fork_wakes(void)
{
	while (is_woken()) /* by others */
		continue;
	fork_and_reap();
	return is_woken();
}

static void records_wake_somebody_unless_the_bells_are_off(void **state _unused_)
{
	need_rings();
	wait_until(a_fork_wakes());
	for (unsigned i = 0; i < ROUNDS; i++) {
		perf_rings_bells(&rings, false);
		wait_until(!a_fork_wakes()); /* one may have been under way */
		assert_true(perf_rings_waiting(&rings));
		perf_rings_bells(&rings, true);
		wait_until(a_fork_wakes());
	}
}

static void that_a_bell_has_rung_is_heard(void **state _unused_)
{
	need_rings();
	wait_until(!perf_rings_heard(&rings));
	fork_and_reap();
	assert_true(perf_rings_heard(&rings));
	wait_until(!perf_rings_heard(&rings));
	(void)perf_rings_read(&rings);
	fork_and_reap();
	assert_true(perf_rings_waiting(&rings));
}

static bool has_record(pid_t pid, uint32_t type)
{
	for (size_t i = 0; i < rings.n_records; i++)
		if (rings.records[i].type == type && rings.records[i].pid == (uint32_t)pid)
			return true;
	return false;
}

/* Others may fill all the room while we do not run. */
static bool is_recorded(void)
{
	pid_t pid;

	(void)perf_rings_read(&rings);
	perf_rings_drop(&rings, rings.n_records);
	pid = fork_and_reap();
	(void)perf_rings_read(&rings);
	return has_record(pid, PERF_RECORD_FORK) && has_record(pid, PERF_RECORD_EXIT);
}

static void each_record_is_there_whether_bells_are_on_or_off(void **state _unused_)
{
	need_rings();
	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		perf_rings_bells(&rings, i % 2 != 0);
		wait_until(is_recorded());
	}
}

static void no_descriptor_is_left(void **state _unused_)
{
	unsigned before = count_fds();

	need_rings();
	assert_true(count_fds() > before);
	perf_rings_done(&rings);
	assert_int_equal(count_fds(), before);
}

/* --- who is woken ---------------------------------------------------------------------------- */

/* What a process of the test does, and what the last one was that it forked. */
struct forker {
	int orders[2];
	_Atomic bool enough;
	_Atomic pid_t forked;
	_Atomic unsigned done;
	unsigned ordered;
};

/* By order: 'm', many processes until it is enough; '1', one. */
static void fork_by_order(void *userdata)
{
	struct forker *f = userdata;
	char order;

	close(f->orders[1]);
	while (read(f->orders[0], &order, 1) == 1) {
		do
			f->forked = fork_and_reap();
		while (order == 'm' && !f->enough);
		f->done++;
	}
}

static void give_order(struct forker *f, char order)
{
	f->ordered++;
	assert_int_equal(write(f->orders[1], &order, 1), 1);
}

/* Looks only when somebody is woken. That something was lost is told, too. */
static bool is_told(struct observed *o, const struct forker *f, size_t from)
{
	struct pollfd p = { .fd = host_fd(o->host), .events = POLLIN };

	for (size_t i = from; i < o->n && f->done == f->ordered; i++)
		if (o->events[i]->kind == REEVE_EXITED && o->events[i]->pid == f->forked)
			return true;
	if (poll(&p, 1, 1) > 0)
		host_dispatch(o->host);
	return f->done == f->ordered && o->missed[REEVE_PROCESS] > 0;
}

static void one_is_told(struct observed *o, struct forker *f)
{
	size_t from = o->n;

	o->missed[REEVE_PROCESS] = 0;
	give_order(f, '1');
	wait_until(is_told(o, f, from));
}

/* Until many have been found several times. */
static void many_are_told(struct observed *o, struct forker *f)
{
	unsigned found = 0;

	f->enough = false;
	give_order(f, 'm');
	while (found < BURST) {
		size_t before = o->n;

		observed_look(o);
		found += o->n > before;
	}
	f->enough = true;
	wait_until(f->done == f->ordered);
}

static void come_to_rest(const struct observed *o)
{
	struct pollfd p = { .fd = host_fd(o->host), .events = POLLIN };

	for (unsigned i = 0; i < TRIES && poll(&p, 1, QUIET) > 0; i++)
		host_dispatch(o->host);
}

static void what_happens_after_a_rest_wakes_whoever_waits(void **state _unused_)
{
	struct forker *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct backend_target target = {
		.session = 1, .gated = true, .categories = 1U << REEVE_PROCESS, .forks_only = true
	};
	struct observed o;

	assert_ptr_not_equal(f, MAP_FAILED);
	assert_int_equal(pipe2(f->orders, O_CLOEXEC), 0);
	observed_init(&o);
	observed_fork(&o, fork_by_order, f);
	close(f->orders[0]);
	target.leader = o.pid;
	observed_start_with(&o, &backend_perf, &target);
	observed_go(&o);
	one_is_told(&o, f);
	for (unsigned i = 0; i < ROUNDS; i++) {
		many_are_told(&o, f);
		come_to_rest(&o);
		one_is_told(&o, f);
		come_to_rest(&o);
		one_is_told(&o, f);
	}
	close(f->orders[1]);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	observed_done(&o);
	munmap(f, sizeof(*f));
}

#define WITH_RINGS(f) cmocka_unit_test_setup_teardown(f, attach, detach)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_RINGS(records_wake_somebody_unless_the_bells_are_off),
		WITH_RINGS(that_a_bell_has_rung_is_heard),
		WITH_RINGS(each_record_is_there_whether_bells_are_on_or_off),
		WITH_RINGS(no_descriptor_is_left),
		cmocka_unit_test(what_happens_after_a_rest_wakes_whoever_waits),
	};

	if (!backend_works(&backend_perf, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
