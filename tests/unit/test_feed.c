/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"
#include <sched.h>

#define KILLS      100
#define IN_THE_ACT 10 /* kills in the middle of a step that a run must have seen */
#define CHILD_PIPE 16384

static struct moves m;
static uint64_t read_so_far;

static int setup(void **state _unused_)
{
	signal(SIGPIPE, SIG_IGN);
	read_so_far = 0;
	moves_init(&m, RING_MAX, CHILD_PIPE);
	return 0;
}

static int teardown(void **state _unused_)
{
	moves_done(&m);
	return 0;
}

static ssize_t step(void)
{
	return feed_step(&m.feed, &m.target);
}

static uint64_t delivered(void)
{
	return word_load(m.target.delivered);
}

/* What the child finds in its stdin: at most `max` bytes, each the one that belongs there. */
static size_t child_reads(size_t max)
{
	static uint8_t data[RING_MAX];
	ssize_t n = read(m.child_in, data, MIN(max, sizeof(data)));

	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	if (n <= 0)
		return 0;
	assert_int_equal(first_wrong(0, read_so_far, data, (size_t)n), n);
	read_so_far += (uint64_t)n;
	return (size_t)n;
}

static void assert_idle(void)
{
	unsigned slot;

	assert_false(feed_pending(&m.feed, &slot));
	assert_int_equal(pipe_fill(m.feed.pipe_r), 0);
	assert_int_equal(delivered(), read_so_far + pipe_fill(m.child_in));
}

static void an_empty_ring_gives_nothing(void **state _unused_)
{
	assert_int_equal(step(), 0);
	assert_idle();
}

static void the_child_gets_what_was_accepted(void **state _unused_)
{
	accept_input(&m, 1000);
	assert_int_equal(step(), 1000);
	assert_int_equal(delivered(), 1000);
	assert_idle();
	assert_int_equal(child_reads(SIZE_MAX), 1000);
	assert_int_equal(step(), 0);
}

static void a_child_that_does_not_read_gets_no_more_than_its_pipe_holds(void **state _unused_)
{
	ssize_t n;
	uint64_t total = 0;

	accept_input(&m, 50000);
	while ((n = step()) > 0)
		total += (uint64_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(total, delivered());
	assert_in_range(total, 1, CHILD_PIPE);
	assert_idle();
	/* And the rest, as it reads. */
	while (child_reads(SIZE_MAX) > 0)
		step();
	assert_int_equal(read_so_far, 50000);
	assert_int_equal(delivered(), 50000);
}

static void a_child_that_takes_a_part_gets_the_rest_later(void **state _unused_)
{
	uint64_t seed = 17, accepted = 0;

	for (int i = 0; i < 1000; i++) {
		size_t room = RING_MAX - (accepted - delivered());
		size_t n = random_below(&seed, room + 1);

		accept_input(&m, n);
		accepted += n;
		step();
		assert_idle();
		child_reads(1 + random_below(&seed, 2 * CHILD_PIPE));
	}
	assert_true(accepted > 10 * RING_MAX);
	while (read_so_far < accepted) {
		assert_true(step() >= 0 || pipe_fill(m.child_in) > 0);
		child_reads(SIZE_MAX);
	}
	assert_int_equal(delivered(), accepted);
}

static void a_child_that_has_closed_its_end_is_told(void **state _unused_)
{
	accept_input(&m, 10);
	closep(&m.child_in);
	m.child_in = -1;
	assert_int_equal(step(), -EPIPE);
	assert_int_equal(delivered(), 0);
	assert_int_equal(pipe_fill(m.feed.pipe_r), 0);
}

/* --- recovery, state by state ---------------------------------------------------------------- */

static void leave_in(enum pipe_phase phase, uint64_t upto)
{
	word_store(&m.memory->daemon.feed_slot, SLOT);
	word_store(&m.memory->daemon.feed_upto, upto);
	word_store(&m.memory->daemon.feed_phase, phase);
}

static void fill_private_pipe(uint64_t offset, size_t n)
{
	uint8_t data[RING_MAX];

	fill_pattern(0, offset, data, n);
	assert_int_equal(write(m.feed.pipe_w, data, n), n);
}

static void the_slot_that_was_fed_is_named(void **state _unused_)
{
	unsigned slot;

	assert_false(feed_pending(&m.feed, &slot));
	leave_in(PHASE_FILLING, 0);
	assert_true(feed_pending(&m.feed, &slot));
	assert_int_equal(slot, SLOT);
}

static void what_was_only_filled_the_child_has_not_seen(void **state _unused_)
{
	accept_input(&m, 1000);
	fill_private_pipe(0, 600);
	leave_in(PHASE_FILLING, 999 /* of an older step */);
	recover_feed(&m);
	assert_int_equal(delivered(), 0);
	assert_idle();
	assert_int_equal(step(), 1000);
	assert_int_equal(child_reads(SIZE_MAX), 1000);
}

static void what_left_the_private_pipe_was_delivered(void **state _unused_)
{
	for (size_t left = 0; left <= 500; left += 100) {
		uint64_t from = delivered();
		uint8_t data[500];

		accept_input(&m, 500);
		fill_pattern(0, from, data, sizeof(data));
		assert_int_equal(write(m.target.fd, data, 500 - left), 500 - left);
		fill_private_pipe(from + 500 - left, left);
		leave_in(PHASE_DRAINING, from + 500);
		recover_feed(&m);
		assert_int_equal(delivered(), from + 500 - left);
		assert_idle();
		assert_int_equal(step(), left);
		assert_int_equal(child_reads(SIZE_MAX), 500);
	}
}

static void rubbish_of_an_idle_pipe_reaches_nobody(void **state _unused_)
{
	/* Killed between the last store and the emptying. */
	accept_input(&m, 100);
	fill_private_pipe(5000, 40);
	recover_feed(&m);
	assert_idle();
	assert_int_equal(step(), 100);
	assert_int_equal(child_reads(SIZE_MAX), 100);
}

static void what_was_for_a_session_that_is_gone_reaches_nobody(void **state _unused_)
{
	accept_input(&m, 100);
	fill_private_pipe(0, 40);
	leave_in(PHASE_DRAINING, 40);
	feed_recover(&m.feed, NULL);
	assert_int_equal(delivered(), 0);
	assert_idle();
	assert_int_equal(step(), 100);
}

/* --- engines that are killed at any moment --------------------------------------------------- */

/* The child: reads as it likes. Ends well when each byte was right, with `got` the number of them.
 */
static void role_read(struct moves *w)
{
	uint64_t seed = 23;
	uint8_t data[20000];

	close(w->target.fd);
	fcntl(w->child_in, F_SETFL, 0);
	for (;;) {
		ssize_t n = read(w->child_in, data, 1 + random_below(&seed, sizeof(data)));

		if (n == 0)
			_exit(0);
		if (n < 0 || first_wrong(0, w->memory->got, data, (size_t)n) != (size_t)n)
			_exit(1);
		w->memory->got += (uint64_t)n;
	}
}

/* An engine and its clients: accepts and feeds, until all is said and delivered. */
static void role_feed(struct moves *w)
{
	uint64_t seed = (uint64_t)getpid() << 8 | 1;
	ssize_t n;

	recover_feed(w);
	for (;;) {
		uint64_t held = ring_head(&w->target.ring) - word_load(w->target.delivered);

		if (!w->memory->enough)
			accept_input(w, random_below(&seed, w->target.ring.size - held + 1));
		n = feed_step(&w->feed, &w->target);
		w->memory->steps += n > 0;
		if (n < 0 && n != -EAGAIN)
			_exit(2);
		if (n == 0 && w->memory->enough)
			_exit(0);
		if (n == -EAGAIN)
			sched_yield();
	}
}

static pid_t fork_role(void (*role)(struct moves *))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		role(&m);
		_exit(3);
	}
	return pid;
}

static void kill_engines(void)
{
	uint64_t seed = (uint64_t)getpid() << 20 | 1;
	unsigned in_the_act = 0, slot;

	for (unsigned kills = 0; kills < KILLS || in_the_act < IN_THE_ACT; kills++) {
		uint64_t enough = m.memory->steps + random_below(&seed, 20);
		pid_t engine = fork_role(role_feed);

		assert_true(kills < 100 * KILLS);
		while (m.memory->steps < enough)
			nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
		for (volatile uint64_t spin = random_below(&seed, 20000); spin > 0; spin--)
			;
		end(engine);
		in_the_act += feed_pending(&m.feed, &slot);
	}
}

static void no_byte_is_lost_or_doubled_when_engines_are_killed(void **state _unused_)
{
	pid_t child = fork_role(role_read);
	int status;

	closep(&m.child_in);
	m.child_in = -1;
	kill_engines();
	m.memory->enough = true;
	assert_int_equal(waitpid(fork_role(role_feed), &status, 0) > 0, true);
	assert_int_equal(status, 0);
	assert_int_equal(delivered(), ring_head(&m.target.ring));
	closep(&m.target.fd);
	m.target.fd = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(m.memory->got, delivered());
	assert_true(m.memory->got > KILLS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_ring_gives_nothing),
		TEST(the_child_gets_what_was_accepted),
		TEST(a_child_that_does_not_read_gets_no_more_than_its_pipe_holds),
		TEST(a_child_that_takes_a_part_gets_the_rest_later),
		TEST(a_child_that_has_closed_its_end_is_told),
		TEST(the_slot_that_was_fed_is_named),
		TEST(what_was_only_filled_the_child_has_not_seen),
		TEST(what_left_the_private_pipe_was_delivered),
		TEST(rubbish_of_an_idle_pipe_reaches_nobody),
		TEST(what_was_for_a_session_that_is_gone_reaches_nobody),
		TEST(no_byte_is_lost_or_doubled_when_engines_are_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
