/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"

static struct moves m;

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

static ssize_t step(unsigned stream, size_t max)
{
	return capture_step(&m.capture, &m.streams[stream], max, 1000);
}

static uint64_t head_of(unsigned stream)
{
	return ring_head(&m.streams[stream].ring);
}

static bool is_idle(void)
{
	return word_load(&m.memory->daemon.move_phase) == PHASE_IDLE &&
	       pipe_fill(m.capture.pipe_r) == 0;
}

/* The index holds exactly these steps of stream 0. */
static void assert_steps(const uint64_t *ends, size_t n)
{
	assert_int_equal(word_load(m.index.head), n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(index_get(&m.index, i).stream, 0);
		assert_int_equal(index_get(&m.index, i).end, ends[i]);
	}
}

static void a_step_moves_what_there_is(void **state _unused_)
{
	say(&m, 0, 0, 5000);
	assert_int_equal(step(0, SIZE_MAX), 5000);
	assert_int_equal(head_of(0), 5000);
	assert_int_equal(head_of(1), 0);
	assert_said(&m, 0, 0);
	assert_steps((uint64_t[]){ 5000 }, 1);
	assert_int_equal(index_get(&m.index, 0).when, 1000);
	assert_true(is_idle());
	assert_int_equal(step(0, SIZE_MAX), -EAGAIN);
	assert_int_equal(word_load(m.index.head), 1);
	assert_true(is_idle());
}

static void each_stream_has_its_own_ring(void **state _unused_)
{
	say(&m, 0, 0, 100);
	say(&m, 1, 0, 70);
	assert_int_equal(step(1, SIZE_MAX), 70);
	assert_int_equal(step(0, SIZE_MAX), 100);
	assert_said(&m, 0, 0);
	assert_said(&m, 1, 0);
	assert_int_equal(index_get(&m.index, 0).stream, 1);
	assert_int_equal(index_get(&m.index, 0).end, 70);
	assert_int_equal(index_get(&m.index, 1).stream, 0);
	assert_int_equal(index_get(&m.index, 1).end, 100);
}

static void a_step_moves_no_more_than_it_is_told(void **state _unused_)
{
	say(&m, 0, 0, 1000);
	assert_int_equal(step(0, 300), 300);
	assert_int_equal(step(0, 1), 1);
	assert_int_equal(step(0, 5000), 699);
	assert_said(&m, 0, 0);
	assert_steps((uint64_t[]){ 300, 301, 1000 }, 3);
}

static void a_step_moves_no_more_than_the_ring_holds(void **state _unused_)
{
	uint64_t seen = 0;

	moves_done(&m);
	moves_init(&m, 4096, 0);
	say(&m, 1, 0, 40000);
	while (seen < 40000) {
		ssize_t n = step(1, 1 << 20);

		assert_in_range(n, 1, 4096);
		assert_said(&m, 1, seen);
		seen += (uint64_t)n;
		assert_int_equal(head_of(1), seen);
	}
	assert_true(is_idle());
}

/* --- a ring that others read ------------------------------------------------------------------ */

static void a_ring_that_is_not_lent_gives_no_notice(void **state _unused_)
{
	m.streams[0].lent = NULL; /* it is not even looked at: that would take a page */
	say(&m, 0, 0, 40000);
	while (step(0, SIZE_MAX) > 0)
		;
	assert_int_equal(head_of(0), 40000);
}

static void notice_is_given_of_all_that_a_step_may_overwrite(void **state _unused_)
{
	struct word lent = { 0 };

	m.streams[0].lent = &lent;
	word_store(&m.streams[0].words->lent, 1);
	word_store(&lent, 1);
	say(&m, 0, 0, 17000);
	assert_int_equal(step(0, 10000), 10000);
	assert_int_equal(step(0, 6384), 6384);
	assert_int_equal(word_load(&lent), 1); /* all of it has found room */
	assert_int_equal(step(0, 500), 500);
	assert_int_equal(word_load(&lent), 1 + 500);
	assert_int_equal(step(0, 1000), 116);
	assert_int_equal(word_load(&lent), 1 + 1500);
	assert_int_equal(step(0, 2000), -EAGAIN); /* notice comes first */
	assert_int_equal(word_load(&lent), 1 + 616 + 2000);
	assert_int_equal(step(0, 1), -EAGAIN);
	assert_int_equal(word_load(&lent), 1 + 616 + 2000);
}

static void the_end_comes_after_the_last_byte(void **state _unused_)
{
	say(&m, 0, 0, 10);
	closep(&m.child_out[0]);
	m.child_out[0] = -1;
	assert_int_equal(step(0, SIZE_MAX), 10);
	assert_int_equal(step(0, SIZE_MAX), 0);
	assert_int_equal(step(0, SIZE_MAX), 0);
	assert_int_equal(head_of(0), 10);
	assert_true(is_idle());
}

static void a_source_that_cannot_be_read_is_an_error_and_no_harm(void **state _unused_)
{
	int fd = m.streams[0].fd;

	m.streams[0].fd = -1;
	assert_int_equal(step(0, SIZE_MAX), -EBADF);
	assert_true(is_idle());
	m.streams[0].fd = fd;
	say(&m, 0, 0, 10);
	assert_int_equal(step(0, SIZE_MAX), 10);
	assert_said(&m, 0, 0);
}

static void bytes_are_right_however_often_the_ring_turns(void **state _unused_)
{
	uint64_t seed = 11, said = 0;

	for (int i = 0; i < 2000; i++) {
		size_t n = 1 + random_below(&seed, 9000);
		uint64_t before = head_of(0);

		say(&m, 0, said, n);
		said += n;
		assert_true(step(0, 1 + random_below(&seed, 12000)) > 0);
		assert_said(&m, 0, before);
		while (step(0, SIZE_MAX) > 0)
			;
		assert_int_equal(head_of(0), said);
		assert_said(&m, 0, 0);
	}
}

/* --- terminals: little at a time -------------------------------------------------------------- */

/* Its buffers hold about 11 KiB. */
static void a_terminal_is_taken_many_times_in_one_step(void **state _unused_)
{
	make_terminal(&m, 0);
	say(&m, 0, 0, 9000);
	assert_in_range(step(0, SIZE_MAX), 4096, 9000); /* at once there are 4095 */
	assert_int_equal(word_load(m.index.head), 1);
	while (head_of(0) < 9000)
		assert_true(step(0, SIZE_MAX) > 0);
	assert_said(&m, 0, 0);
	assert_int_equal(step(0, SIZE_MAX), -EAGAIN);
	assert_true(is_idle());
}

static void a_step_of_a_terminal_moves_no_more_than_it_may(void **state _unused_)
{
	moves_done(&m);
	moves_init(&m, 4096, 0);
	make_terminal(&m, 0);
	say(&m, 0, 0, 9000);
	assert_int_equal(step(0, 100), 100);
	assert_int_equal(step(0, 1), 1);
	while (head_of(0) < 9000) {
		uint64_t before = head_of(0);

		assert_in_range(step(0, SIZE_MAX), 1, 4096);
		assert_said(&m, 0, before);
	}
	assert_true(is_idle());
}

static void a_terminal_that_nobody_has_ends_behind_its_last_byte(void **state _unused_)
{
	make_terminal(&m, 0);
	say(&m, 0, 0, 9000);
	closep(&m.child_out[0]);
	m.child_out[0] = -1;
	while (head_of(0) < 9000)
		assert_true(step(0, SIZE_MAX) > 0);
	assert_said(&m, 0, 0);
	assert_int_equal(step(0, SIZE_MAX), -EIO);
	assert_true(is_idle());
}

/* --- packets: a child that sets O_DIRECT on its stdout --------------------------------------- */

static void speak_in_packets(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_DIRECT), 0);
}

static void packets_lose_nothing(void **state _unused_)
{
	static const size_t sizes[] = { 1, 100, 4096, 2, 4095, 1, 700 };
	uint64_t said = 0;

	speak_in_packets(m.child_out[0]);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		say(&m, 0, said, sizes[i]);
		said += sizes[i];
	}
	while (head_of(0) < said)
		assert_true(step(0, SIZE_MAX) > 0);
	assert_int_equal(head_of(0), said);
	assert_said(&m, 0, 0);
}

static void packets_that_are_cut_lose_nothing(void **state _unused_)
{
	uint64_t seed = 5, said = 0;

	speak_in_packets(m.child_out[0]);
	for (int i = 0; i < 500; i++) {
		size_t n = 1 + random_below(&seed, 4096);

		say(&m, 0, said, n);
		said += n;
		while (step(0, 1 + random_below(&seed, 1500)) > 0)
			assert_said(&m, 0, 0);
		assert_int_equal(head_of(0), said);
	}
}

/* --- recovery, state by state ---------------------------------------------------------------- */

/* The words as they stand while stream 0 moves. */
static void leave_in(enum pipe_phase phase, uint64_t target)
{
	word_store(&m.memory->daemon.move_where, SLOT * STREAMS_MAX);
	word_store(&m.memory->daemon.move_target, target);
	word_store(&m.memory->daemon.move_phase, phase);
}

/* `n` bytes of stream 0 stand in the transfer pipe. */
static void put_into_transfer(uint64_t offset, size_t n)
{
	uint8_t data[RING_MAX];

	fill_pattern(0, offset, data, n);
	assert_int_equal(write(m.capture.pipe_w, data, n), n);
}

/* Steps are to work as ever. */
static void assert_goes_on(void)
{
	uint64_t head = head_of(0);

	assert_true(is_idle());
	say(&m, 0, head, 100);
	assert_int_equal(step(0, SIZE_MAX), 100);
	assert_said(&m, 0, head);
	assert_true(is_idle());
}

static void the_stream_that_was_moving_is_named(void **state _unused_)
{
	unsigned slot, stream;

	assert_false(capture_pending(&m.capture, &slot, &stream));
	word_store(&m.memory->daemon.move_where, 8191 * STREAMS_MAX + 1);
	word_store(&m.memory->daemon.move_phase, PHASE_COPYING);
	assert_true(capture_pending(&m.capture, &slot, &stream));
	assert_int_equal(slot, 8191);
	assert_int_equal(stream, 1);
}

static void nothing_was_moving_nothing_is_recovered(void **state _unused_)
{
	assert_int_equal(recover_capture(&m, 1), 0);
	leave_in(PHASE_MOVING, 0);
	assert_int_equal(recover_capture(&m, 1), 0);
	assert_int_equal(word_load(m.index.head), 0);
	assert_goes_on();
}

static void bytes_that_were_just_moved_follow_the_head(void **state _unused_)
{
	say(&m, 0, 0, 10);
	step(0, SIZE_MAX);
	leave_in(PHASE_MOVING, 999999 /* of an older step */);
	put_into_transfer(10, 500);
	assert_int_equal(recover_capture(&m, 2000), 0);
	assert_int_equal(head_of(0), 510);
	assert_said(&m, 0, 0);
	assert_steps((uint64_t[]){ 10, 510 }, 2);
	assert_int_equal(index_get(&m.index, 1).when, 2000);
	assert_goes_on();
}

static void a_copy_that_was_cut_off_anywhere_is_finished(void **state _unused_)
{
	for (size_t done = 0; done <= 700; done += 70) {
		uint64_t head = head_of(0);
		uint8_t copied[700];

		put_into_transfer(head, 700);
		assert_int_equal(read(m.capture.pipe_r, copied, done), done);
		for (size_t i = 0; i < done; i++)
			m.streams[0].ring.data[(head + i) % m.streams[0].ring.size] = copied[i];
		leave_in(PHASE_COPYING, head + 700);
		assert_int_equal(recover_capture(&m, 1), 0);
		assert_int_equal(head_of(0), head + 700);
		assert_said(&m, 0, head);
		assert_goes_on();
	}
	assert_int_equal(word_load(&m.memory->slot.streams[0].lost), 0);
}

static void a_step_whose_head_was_stored_gets_its_record(void **state _unused_)
{
	say(&m, 0, 0, 10);
	step(0, SIZE_MAX);
	say(&m, 0, 10, 10);
	step(0, SIZE_MAX);
	word_store(m.index.head, 1);
	leave_in(PHASE_COPYING, 20);
	assert_int_equal(recover_capture(&m, 1), 0);
	assert_int_equal(head_of(0), 20);
	assert_steps((uint64_t[]){ 10, 20 }, 2);
	leave_in(PHASE_COPYING, 20); /* killed again before the last store */
	assert_int_equal(recover_capture(&m, 1), 0);
	assert_steps((uint64_t[]){ 10, 20 }, 2);
	assert_goes_on();
}

/* --- impossible states are counted and survived ---------------------------------------------- */

static void assert_loses(uint64_t n)
{
	uint64_t head = head_of(0), records = word_load(m.index.head);
	uint64_t lost = word_load(&m.memory->slot.streams[0].lost);

	assert_int_equal(recover_capture(&m, 1), n);
	assert_int_equal(head_of(0), head);
	assert_int_equal(word_load(m.index.head), records);
	assert_int_equal(word_load(&m.memory->slot.streams[0].lost), lost + n);
	assert_goes_on();
}

static void more_bytes_than_were_moved_are_lost_and_counted(void **state _unused_)
{
	put_into_transfer(0, 101);
	leave_in(PHASE_COPYING, 100);
	assert_loses(101);
	put_into_transfer(0, 7);
	leave_in(PHASE_COPYING, head_of(0));
	assert_loses(7);
}

static void a_target_before_the_head_is_lost_and_counted(void **state _unused_)
{
	assert_goes_on();
	put_into_transfer(0, 30);
	leave_in(PHASE_COPYING, head_of(0) - 1);
	assert_loses(30);
}

static void a_target_that_the_ring_cannot_hold_is_lost_and_counted(void **state _unused_)
{
	put_into_transfer(0, 30);
	leave_in(PHASE_COPYING, head_of(0) + m.streams[0].ring.size + 1);
	assert_loses(30);
	put_into_transfer(0, 20000);
	leave_in(PHASE_MOVING, 0);
	assert_loses(20000);
}

static void bytes_in_an_idle_pipe_are_lost_and_counted(void **state _unused_)
{
	put_into_transfer(0, 50);
	assert_int_equal(capture_recover(&m.capture, &m.streams[0], 1), 50);
	assert_int_equal(word_load(&m.memory->slot.streams[0].lost), 50);
	assert_goes_on();
	put_into_transfer(0, 60);
	assert_int_equal(capture_recover(&m.capture, NULL, 1), 60);
	assert_int_equal(word_load(&m.memory->slot.streams[0].lost), 50);
	assert_goes_on();
}

static void what_belonged_to_a_stream_that_is_gone_is_thrown_away(void **state _unused_)
{
	static const enum pipe_phase phases[] = { PHASE_MOVING, PHASE_COPYING };

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		put_into_transfer(0, 40);
		leave_in(phases[i], head_of(0) + 40);
		assert_int_equal(capture_recover(&m.capture, NULL, 1), 40);
		assert_goes_on();
	}
}

static void an_unknown_phase_is_survived(void **state _unused_)
{
	put_into_transfer(0, 40);
	leave_in(77, UINT64_MAX);
	assert_loses(40);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_step_moves_what_there_is),
		TEST(each_stream_has_its_own_ring),
		TEST(a_step_moves_no_more_than_it_is_told),
		TEST(a_step_moves_no_more_than_the_ring_holds),
		TEST(a_ring_that_is_not_lent_gives_no_notice),
		TEST(notice_is_given_of_all_that_a_step_may_overwrite),
		TEST(the_end_comes_after_the_last_byte),
		TEST(a_source_that_cannot_be_read_is_an_error_and_no_harm),
		TEST(bytes_are_right_however_often_the_ring_turns),
		TEST(a_terminal_is_taken_many_times_in_one_step),
		TEST(a_step_of_a_terminal_moves_no_more_than_it_may),
		TEST(a_terminal_that_nobody_has_ends_behind_its_last_byte),
		TEST(packets_lose_nothing),
		TEST(packets_that_are_cut_lose_nothing),
		TEST(the_stream_that_was_moving_is_named),
		TEST(nothing_was_moving_nothing_is_recovered),
		TEST(bytes_that_were_just_moved_follow_the_head),
		TEST(a_copy_that_was_cut_off_anywhere_is_finished),
		TEST(a_step_whose_head_was_stored_gets_its_record),
		TEST(more_bytes_than_were_moved_are_lost_and_counted),
		TEST(a_target_before_the_head_is_lost_and_counted),
		TEST(a_target_that_the_ring_cannot_hold_is_lost_and_counted),
		TEST(bytes_in_an_idle_pipe_are_lost_and_counted),
		TEST(what_belonged_to_a_stream_that_is_gone_is_thrown_away),
		TEST(an_unknown_phase_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
