/* SPDX-License-Identifier: Apache-2.0 */
/* Engines that are killed before and after each store of a step, and again at each store of the
 * recovery. Built with its own copy of the core in which word_hook() is at work. */
#include "moves.h"

static struct moves m;

static int setup(void **state _unused_)
{
	signal(SIGPIPE, SIG_IGN);
	moves_init(&m, 16384, 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	moves_done(&m);
	return 0;
}

/* Runs an engine that dies at its `n`th passage. False when it came to its end before. */
static bool dies_at(unsigned n, void (*engine)(struct moves *))
{
	int status;

	atomic_store(&m.memory->daemon.torture[ROLE_ENGINE].value, (uint64_t)n);
	status = run_engine(&m, engine);
	if (status == 0)
		return false;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return true;
}

static void completes(void (*engine)(struct moves *))
{
	assert_false(dies_at(0, engine));
}

static void role_store(struct moves *w)
{
	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	word_store(&w->memory->slot.handle, 1);
	word_store(&w->memory->slot.handle, 2);
}

static void a_store_has_an_instant_before_and_one_after_it(void **state _unused_)
{
	static const uint64_t left_behind[] = { 0, 1, 1, 2 };

	for (unsigned n = 1; n <= 4; n++) {
		word_store(&m.memory->slot.handle, 0);
		assert_true(dies_at(n, role_store));
		assert_int_equal(word_load(&m.memory->slot.handle), left_behind[n - 1]);
	}
	assert_false(dies_at(5, role_store));
}

/* --- capture --------------------------------------------------------------------------------- */

static void role_step(struct moves *w)
{
	ssize_t n;

	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	n = capture_step(&w->capture, &w->streams[1], SIZE_MAX, 5);
	if (n < 0 && n != -EAGAIN)
		_exit(1);
}

static void role_recover(struct moves *w)
{
	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	if (recover_capture(w, 6) != 0)
		_exit(1);
}

/* After recovery and one more step the stream has all that the child said, in these steps. */
static void assert_captured(uint64_t head, uint64_t steps)
{
	struct index_entry last;

	assert_int_equal(ring_head(&m.streams[1].ring), head);
	assert_said(&m, 1, 0);
	assert_int_equal(word_load(m.index.head), steps);
	last = index_get(&m.index, steps - 1);
	assert_int_equal(last.stream, 1);
	assert_int_equal(last.end, head);
	assert_int_equal(word_load(&m.memory->slot.streams[1].lost), 0);
	assert_int_equal(pipe_fill(m.capture.pipe_r), 0);
	assert_int_equal(pipe_fill(m.streams[1].fd), 0);
	assert_int_equal(word_load(&m.memory->daemon.move_phase), PHASE_IDLE);
}

static void capture_is_exact_at_each_store(void **state _unused_)
{
	uint64_t said = 0, steps = 0;
	unsigned n = 1;

	for (bool died = true; died; n++) {
		say(&m, 1, said, 5000);
		said += 5000;
		died = dies_at(n, role_step);
		completes(role_recover);
		completes(role_step); /* what the dead one had not taken */
		assert_captured(said, ++steps);
	}
	assert_true(n > 14); /* seven stores a step */
}

static void capture_is_exact_when_recovery_dies_at_each_store_too(void **state _unused_)
{
	uint64_t said = 0, steps = 0;
	unsigned deaths = 0;

	for (unsigned n = 1; n <= 14; n++) {
		bool died = true;

		for (unsigned k = 1; died; k++) {
			say(&m, 1, said, 700);
			said += 700;
			assert_true(dies_at(n, role_step));
			died = dies_at(k, role_recover);
			deaths += died;
			completes(role_recover);
			completes(role_step);
			assert_captured(said, ++steps);
		}
	}
	assert_true(deaths > 50);
}

static void packets_are_exact_at_each_store(void **state _unused_)
{
	static const size_t sizes[] = { 1, 4096, 333, 1024 };
	uint64_t said = 0;
	bool died = true;

	assert_int_equal(fcntl(m.child_out[1], F_SETFL, O_DIRECT), 0);
	for (unsigned n = 1; died; n++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			say(&m, 1, said, sizes[i]);
			said += sizes[i];
		}
		died = dies_at(n, role_step);
		completes(role_recover);
		while (pipe_fill(m.streams[1].fd) > 0)
			completes(role_step);
		assert_captured(said, word_load(m.index.head));
	}
}

static void a_terminal_is_exact_at_each_store_and_between_its_pieces(void **state _unused_)
{
	uint64_t said = 0;
	unsigned n = 1;

	make_terminal(&m, 1);
	for (bool died = true; died; n++) {
		say(&m, 1, said, 9000);
		said += 9000;
		died = dies_at(n, role_step);
		/* The recovery dies too, now here, now there. */
		dies_at(1 + n % 12, role_recover);
		completes(role_recover);
		while (ring_head(&m.streams[1].ring) < said)
			completes(role_step);
		assert_captured(said, word_load(m.index.head));
	}
	assert_true(n > 17); /* seven stores, three pieces */
}

/* --- capture by reads ------------------------------------------------------------------------ */

static void role_recover_reads(struct moves *w)
{
	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	map_reads(w);
	if (recover_capture(w, 6) != 0)
		_exit(1);
	begin_reads(w);
}

static void role_read(struct moves *w)
{
	bool large;
	ssize_t n;

	role_recover_reads(w);
	n = capture_run(&w->capture, &w->streams[1], SIZE_MAX, 5, 3, &large);
	if (n < 0 && n != -EAGAIN)
		_exit(1);
	if (w->streams[1].no_read)
		_exit(2);
}

static void reads_at_each_store(const size_t *sizes, size_t n_sizes, unsigned least)
{
	uint64_t said = 0;
	bool died = true;
	unsigned n = 1;

	make_reads(&m);
	for (; died; n++) {
		for (size_t i = 0; i < n_sizes; i++) {
			say(&m, 1, said, sizes[i]);
			said += sizes[i];
		}
		died = dies_at(n, role_read);
		/* The recovery dies too, now here, now there. */
		dies_at(1 + n % 14, role_recover_reads);
		completes(role_recover_reads);
		while (pipe_fill(m.streams[1].fd) > 0)
			completes(role_read);
		assert_captured(said, word_load(m.index.head));
	}
	assert_true(n > least);
}

static void reads_are_exact_at_each_store(void **state _unused_)
{
	/* Six stores a read, two where there is nothing, and one passage more on the way in. */
	reads_at_each_store((size_t[]){ 5000 }, 1, 21);
}

static void reads_of_packets_are_exact_at_each_store(void **state _unused_)
{
	assert_int_equal(fcntl(m.child_out[1], F_SETFL, O_DIRECT), 0);
	reads_at_each_store((size_t[]){ 1, 4096, 333, 1024 }, 4, 36);
}

/* --- feed ------------------------------------------------------------------------------------ */

static void role_feed(struct moves *w)
{
	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	if (feed_step(&w->feed, &w->target) == -EPIPE)
		_exit(1);
}

static void role_recover_feed(struct moves *w)
{
	word_hook_role(&w->memory->daemon, ROLE_ENGINE);
	recover_feed(w);
}

static uint64_t child_reads(uint64_t from)
{
	uint8_t data[RING_MAX];
	ssize_t n = read(m.child_in, data, sizeof(data));

	if (n <= 0)
		return 0;
	assert_int_equal(first_wrong(0, from, data, (size_t)n), n);
	return (uint64_t)n;
}

/* What is delivered is what the child has read or will find in its pipe. */
static void assert_delivered(uint64_t got)
{
	assert_int_equal(word_load(m.target.delivered), got + pipe_fill(m.child_in));
	assert_int_equal(pipe_fill(m.feed.pipe_r), 0);
	assert_int_equal(word_load(&m.memory->daemon.feed_phase), PHASE_IDLE);
}

static void feed_at_each_store(size_t piece)
{
	uint64_t got = 0, accepted = 0;
	bool died = true;
	unsigned n = 1;

	for (; died; n++) {
		accept_input(&m, piece);
		accepted += piece;
		died = dies_at(n, role_feed);
		/* The recovery dies too, now here, now there. */
		dies_at(1 + n % 5, role_recover_feed);
		completes(role_recover_feed);
		assert_delivered(got);
		while (got < accepted) {
			completes(role_feed);
			assert_delivered(got);
			got += child_reads(got);
		}
		assert_delivered(accepted);
	}
	assert_true(n > 12); /* six stores a step */
}

static void feed_is_exact_at_each_store(void **state _unused_)
{
	feed_at_each_store(1000);
}

static void feed_is_exact_at_each_store_when_the_child_takes_a_part(void **state _unused_)
{
	moves_done(&m);
	moves_init(&m, 16384, 4096);
	feed_at_each_store(16000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_store_has_an_instant_before_and_one_after_it),
		TEST(capture_is_exact_at_each_store),
		TEST(capture_is_exact_when_recovery_dies_at_each_store_too),
		TEST(packets_are_exact_at_each_store),
		TEST(a_terminal_is_exact_at_each_store_and_between_its_pieces),
		TEST(reads_are_exact_at_each_store),
		TEST(reads_of_packets_are_exact_at_each_store),
		TEST(feed_is_exact_at_each_store),
		TEST(feed_is_exact_at_each_store_when_the_child_takes_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
