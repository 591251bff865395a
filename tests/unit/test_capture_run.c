/* SPDX-License-Identifier: Apache-2.0 */
/* Capture by reads whose results outlive the engine. */
#include "moves.h"

static struct moves m;

/* Begins with one ring for all, as the keeper does. */
static int setup(void **state _unused_)
{
	moves_init(&m, 16384, 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	moves_done(&m);
	return 0;
}

static void begin(void)
{
	make_reads(&m);
	map_reads(&m);
	begin_reads(&m);
}

static ssize_t run(unsigned stream, size_t max, unsigned reads)
{
	bool large;

	return capture_run(&m.capture, &m.streams[stream], max, 1000, reads, &large);
}

static uint64_t head_of(unsigned stream)
{
	return ring_head(&m.streams[stream].ring);
}

static void assert_idle(void)
{
	assert_int_equal(word_load(&m.memory->daemon.move_phase), PHASE_IDLE);
	assert_int_equal(pipe_fill(m.capture.pipe_r), 0);
	assert_int_equal(uring_read_left(&m.capture.reads, head_of(0)), -EAGAIN);
	assert_false(m.streams[0].no_read);
}

static void a_run_takes_what_there_is(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 5000);
	assert_int_equal(run(0, SIZE_MAX, 1), 5000);
	assert_int_equal(head_of(0), 5000);
	assert_int_equal(head_of(1), 0);
	assert_said(&m, 0, 0);
	assert_int_equal(word_load(m.index.head), 1);
	assert_int_equal(index_get(&m.index, 0).end, 5000);
	assert_int_equal(index_get(&m.index, 0).when, 1000);
	assert_int_equal(run(0, SIZE_MAX, 9), -EAGAIN);
	assert_int_equal(word_load(m.index.head), 1);
	assert_int_equal(m.streams[0].splice_fd, -1); /* nothing of it was needed */
	assert_idle();
}

static void all_reads_of_a_run_are_one_step(void **state _unused_)
{
	begin();
	assert_int_equal(fcntl(m.child_out[0], F_SETFL, O_DIRECT), 0);
	for (unsigned i = 0; i < 10; i++) /* a packet takes a read of its own */
		say(&m, 0, i * 300, 300);
	assert_int_equal(run(0, SIZE_MAX, 4), 1200);
	assert_int_equal(run(0, SIZE_MAX, 100), 1800);
	assert_said(&m, 0, 0);
	assert_int_equal(word_load(m.index.head), 2);
	assert_int_equal(index_get(&m.index, 0).end, 1200);
	assert_int_equal(index_get(&m.index, 1).end, 3000);
	assert_idle();
}

static void a_run_moves_no_more_than_it_may(void **state _unused_)
{
	struct word lent = { 0 };
	uint64_t seen = 0;

	begin();
	m.streams[0].lent = &lent;
	word_store(&m.streams[0].words->lent, 1);
	say(&m, 0, 0, 40000);
	while (seen < 40000) {
		ssize_t n = run(0, seen % 2 ? 5000 : 7001, 3);

		assert_in_range(n, 1, 7001);
		assert_said(&m, 0, seen);
		seen += (uint64_t)n;
		assert_int_equal(head_of(0), seen);
		/* Notice was given of what has been overwritten. */
		assert_true(seen <= m.streams[0].ring.size ||
			    word_load(&lent) > seen - m.streams[0].ring.size);
	}
	assert_idle();
}

static void there_is_always_room_for_a_packet(void **state _unused_)
{
	uint64_t seed = 5, said = 0;

	begin();
	assert_int_equal(fcntl(m.child_out[0], F_SETFL, O_DIRECT), 0);
	for (int i = 0; i < 500; i++) {
		size_t n = 1 + random_below(&seed, 4096);

		say(&m, 0, said, n);
		said += n;
		while (run(0, 1 + random_below(&seed, 9000), 5) > 0)
			assert_said(&m, 0, 0);
		assert_int_equal(head_of(0), said);
	}
	assert_idle();
}

static void the_end_comes_after_the_last_byte(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 10);
	closep(&m.child_out[0]);
	m.child_out[0] = -1;
	assert_int_equal(run(0, SIZE_MAX, 5), 10);
	assert_int_equal(run(0, SIZE_MAX, 5), 0);
	assert_int_equal(head_of(0), 10);
	assert_idle();
}

static void a_stream_that_was_spliced_can_still_be_read(void **state _unused_)
{
	uint64_t said = 0;

	begin();
	for (unsigned i = 0; i < 50; i++) {
		say(&m, 0, said, 1000);
		said += 1000;
		if (i % 3 == 0)
			capture_step(&m.capture, &m.streams[0], SIZE_MAX, 1);
		else
			assert_int_equal(run(0, SIZE_MAX, 1), 1000);
		assert_int_equal(head_of(0), said);
		assert_said(&m, 0, 0);
	}
	assert_idle();
}

/* Somebody used splice(2) on it before there was a ring. */
static void a_pipe_that_cannot_be_read_so_is_spliced(void **state _unused_)
{
	say(&m, 0, 0, 1000);
	assert_int_equal(capture_step(&m.capture, &m.streams[0], SIZE_MAX, 1), 1000);
	begin();
	for (uint64_t said = 1000; said < 9000; said += 1000) {
		say(&m, 0, said, 1000);
		assert_int_equal(run(0, SIZE_MAX, 5), 1000);
		assert_true(m.streams[0].no_read);
	}
	assert_said(&m, 0, 0);
	assert_int_equal(word_load(&m.memory->daemon.move_phase), PHASE_IDLE);
}

static void a_terminal_is_spliced(void **state _unused_)
{
	begin();
	make_terminal(&m, 0);
	say(&m, 0, 0, 100);
	assert_int_equal(run(0, SIZE_MAX, 5), 100);
	assert_said(&m, 0, 0);
}

static void a_source_that_cannot_be_read_is_an_error_and_no_harm(void **state _unused_)
{
	int fd = m.streams[0].fd;

	begin();
	m.streams[0].fd = -1;
	assert_int_equal(run(0, SIZE_MAX, 5), -EBADF);
	assert_int_equal(word_load(&m.memory->daemon.move_phase), PHASE_IDLE);
	m.streams[0].fd = fd;
	say(&m, 0, 0, 10);
	assert_int_equal(run(0, SIZE_MAX, 5), 10);
	assert_said(&m, 0, 0);
}

/* The kernel may want memory for it. */
static void a_request_that_is_refused_is_done_without(void **state _unused_)
{
	begin();
	m.capture.reads.fd = -1;
	say(&m, 0, 0, 10);
	assert_int_equal(run(0, SIZE_MAX, 5), 10);
	m.capture.reads.fd = m.reads_fd;
	say(&m, 1, 0, 20);
	assert_int_equal(run(1, SIZE_MAX, 1), 20);
	assert_false(m.streams[1].no_read);
	assert_said(&m, 0, 0);
	assert_said(&m, 1, 0);
}

/* --- what a dead engine leaves ---------------------------------------------------------------- */

/* The engine dies with its read done, and nothing of it stored. */
static void read_and_stop(size_t n)
{
	struct iovec view[2];
	int pieces = ring_pieces(&m.streams[0].ring, head_of(0), n, view);

	word_store(&m.memory->daemon.move_where, SLOT * STREAMS_MAX);
	word_store(&m.memory->daemon.move_target, head_of(0) + n);
	word_store(&m.memory->daemon.move_phase, PHASE_READING);
	assert_int_equal(uring_read(&m.capture.reads, m.streams[0].fd, view, pieces, head_of(0)),
			 n);
	uring_read_close(&m.capture.reads);
	map_reads(&m);
}

static void a_result_that_was_posted_is_taken_into_account(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 500);
	read_and_stop(500);
	assert_int_equal(head_of(0), 0);
	assert_int_equal(recover_capture(&m, 7), 0);
	begin_reads(&m);
	assert_int_equal(head_of(0), 500);
	assert_said(&m, 0, 0);
	assert_int_equal(index_get(&m.index, 0).when, 7);
	assert_idle();
	say(&m, 0, 500, 50);
	assert_int_equal(run(0, SIZE_MAX, 1), 50);
	assert_said(&m, 0, 0);
}

/* It was killed in the middle of the next page, say. */
static void what_a_killed_read_may_have_begun_to_overwrite_is_gone(void **state _unused_)
{
	uint64_t size = m.streams[0].ring.size, head;

	begin();
	for (head = 0; head < size + 1000; head += 1000) {
		say(&m, 0, head, 1000);
		assert_int_equal(run(0, SIZE_MAX, 1), 1000);
	}
	say(&m, 0, head, 500);
	read_and_stop(500);
	say(&m, 0, head + 500, 100);
	word_store(&m.memory->daemon.move_target, head + 8192);
	assert_int_equal(recover_capture(&m, 7), 0);
	assert_int_equal(head_of(0), head + 500);
	assert_int_equal(word_load(&m.streams[0].words->floor),
			 head + 500 + (uint64_t)sysconf(_SC_PAGESIZE) - size);
	assert_said(&m, 0, head + 500 - 4096);
	begin_reads(&m);
	assert_idle();
	/* But no further than it had been allowed to go: a block cursor may need what is there. */
	read_and_stop(100);
	say(&m, 0, head + 600, 100);
	assert_int_equal(recover_capture(&m, 7), 0);
	assert_int_equal(word_load(&m.streams[0].words->floor),
			 head + 500 + (uint64_t)sysconf(_SC_PAGESIZE) - size);
	begin_reads(&m);
	assert_idle();
}

static void a_result_of_another_read_is_none(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 500);
	assert_int_equal(run(0, SIZE_MAX, 1), 500);
	say(&m, 0, 500, 100);
	read_and_stop(100);
	assert_int_equal(uring_read_left(&m.capture.reads, 500), 100);
	assert_int_equal(uring_read_left(&m.capture.reads, 499), -EAGAIN);
	assert_int_equal(uring_read_left(&m.capture.reads, 0), -EAGAIN);
	assert_int_equal(recover_capture(&m, 1), 0);
	assert_int_equal(head_of(0), 600);
}

static void a_request_that_was_not_submitted_takes_nothing_later(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 500);
	++*m.capture.reads.sq_tail;
	word_store(&m.memory->daemon.move_phase, PHASE_READING);
	uring_read_close(&m.capture.reads);
	map_reads(&m);
	assert_int_equal(recover_capture(&m, 1), 0);
	begin_reads(&m);
	assert_int_equal(pipe_fill(m.streams[0].fd), 500);
	assert_int_equal(run(0, SIZE_MAX, 1), 500);
	assert_said(&m, 0, 0);
	assert_idle();
}

static void what_stands_in_the_transfer_pipe_of_a_read_is_lost_and_counted(void **state _unused_)
{
	begin();
	say(&m, 0, 0, 500);
	read_and_stop(500);
	assert_int_equal(write(m.capture.pipe_w, "rubbish", 7), 7);
	assert_int_equal(recover_capture(&m, 1), 7);
	assert_int_equal(word_load(&m.memory->slot.streams[0].lost), 7);
	assert_int_equal(head_of(0), 500);
	assert_said(&m, 0, 0);
	begin_reads(&m);
	assert_idle();
}

static void without_the_ring_a_read_that_was_begun_is_survived(void **state _unused_)
{
	word_store(&m.memory->daemon.move_where, SLOT * STREAMS_MAX);
	word_store(&m.memory->daemon.move_phase, PHASE_READING);
	assert_int_equal(recover_capture(&m, 1), 0);
	say(&m, 0, 0, 50);
	assert_int_equal(run(0, SIZE_MAX, 1), 50);
	assert_said(&m, 0, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_run_takes_what_there_is),
		TEST(all_reads_of_a_run_are_one_step),
		TEST(a_run_moves_no_more_than_it_may),
		TEST(there_is_always_room_for_a_packet),
		TEST(the_end_comes_after_the_last_byte),
		TEST(a_stream_that_was_spliced_can_still_be_read),
		TEST(a_pipe_that_cannot_be_read_so_is_spliced),
		TEST(a_terminal_is_spliced),
		TEST(a_source_that_cannot_be_read_is_an_error_and_no_harm),
		TEST(a_request_that_is_refused_is_done_without),
		TEST(a_result_that_was_posted_is_taken_into_account),
		TEST(what_a_killed_read_may_have_begun_to_overwrite_is_gone),
		TEST(a_result_of_another_read_is_none),
		TEST(a_request_that_was_not_submitted_takes_nothing_later),
		TEST(what_stands_in_the_transfer_pipe_of_a_read_is_lost_and_counted),
		TEST(without_the_ring_a_read_that_was_begun_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
