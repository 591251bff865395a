/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cursor.h"
#include "moves.h"

static struct word head;
static uint8_t data[4096];
static const struct ring ring = { .data = data, .size = sizeof(data), .head = &head };
static struct cursor c;

static int reset(void **state _unused_)
{
	word_store(&head, 0);
	return 0;
}

static void write_pattern(uint64_t n)
{
	/* More than the ring holds is what several writes would leave in it. */
	for (uint64_t at = ring_head(&ring), end = at + n; at < end; at++)
		data[at % sizeof(data)] = pattern(0, at);
	word_store(&head, ring_head(&ring) + n);
}

/* Reads up to `max` bytes, and checks each. */
static size_t read_some(size_t max)
{
	struct iovec view[2];
	int pieces;
	size_t n = cursor_peek(&c, max, view, &pieces), seen = 0;

	for (int i = 0; i < pieces; i++) {
		assert_int_equal(first_wrong(0, c.offset + seen, view[i].iov_base, view[i].iov_len),
				 view[i].iov_len);
		seen += view[i].iov_len;
	}
	assert_int_equal(seen, n);
	assert_true(n <= max);
	cursor_advance(&c, n);
	return n;
}

static void a_cursor_begins_where_it_was_put(void **state _unused_)
{
	write_pattern(100);
	cursor_init(&c, &ring, 40);
	assert_int_equal(c.offset, 40);
	assert_int_equal(c.dropped, 0);
	assert_int_equal(read_some(SIZE_MAX), 60);
	assert_int_equal(read_some(SIZE_MAX), 0);
}

static void beyond_the_head_is_the_head(void **state _unused_)
{
	write_pattern(100);
	cursor_init(&c, &ring, UINT64_MAX);
	assert_int_equal(c.offset, 100);
	assert_int_equal(c.dropped, 0);
	write_pattern(5);
	assert_int_equal(read_some(SIZE_MAX), 5);
}

static void a_place_that_is_gone_counts_what_is_missing(void **state _unused_)
{
	write_pattern(5000);
	cursor_init(&c, &ring, 4);
	assert_int_equal(c.offset, 904);
	assert_int_equal(c.dropped, 900);
	assert_int_equal(read_some(SIZE_MAX), 4096);
	assert_int_equal(c.dropped, 900);
}

static void peeking_does_not_move(void **state _unused_)
{
	struct iovec view[2];
	int pieces;

	write_pattern(100);
	cursor_init(&c, &ring, 0);
	assert_int_equal(cursor_peek(&c, 10, view, &pieces), 10);
	assert_int_equal(cursor_peek(&c, 10, view, &pieces), 10);
	assert_ptr_equal(view[0].iov_base, data);
	cursor_advance(&c, 3); /* less than was viewed */
	assert_int_equal(cursor_peek(&c, 10, view, &pieces), 10);
	assert_ptr_equal(view[0].iov_base, data + 3);
}

static void nothing_to_read_is_no_piece(void **state _unused_)
{
	struct iovec view[2];
	int pieces = 9;

	cursor_init(&c, &ring, 0);
	assert_int_equal(cursor_peek(&c, SIZE_MAX, view, &pieces), 0);
	assert_int_equal(pieces, 0);
}

static void one_byte_too_late_drops_one_byte(void **state _unused_)
{
	cursor_init(&c, &ring, 0);
	write_pattern(4096);
	assert_int_equal(cursor_catch_up(&c), 0);
	write_pattern(1);
	assert_int_equal(cursor_catch_up(&c), 1);
	assert_int_equal(cursor_catch_up(&c), 0);
	assert_int_equal(c.offset, 1);
	assert_int_equal(c.dropped, 1);
}

static void two_cursors_do_not_disturb_each_other(void **state _unused_)
{
	struct cursor other;

	write_pattern(10);
	cursor_init(&c, &ring, 0);
	cursor_init(&other, &ring, 0);
	assert_int_equal(read_some(SIZE_MAX), 10);
	write_pattern(4096);
	assert_int_equal(cursor_catch_up(&other), 10);
	assert_int_equal(cursor_catch_up(&c), 0);
}

static void whatever_the_pace_read_and_dropped_add_up(void **state _unused_)
{
	uint64_t seed = 7, read = 0, before = 0;

	cursor_init(&c, &ring, 0);
	for (int i = 0; i < 5000; i++) {
		write_pattern(random_below(&seed, random_below(&seed, 4) ? 3000 : 20000));
		before = c.dropped;
		read += read_some(1 + random_below(&seed, 6000));
		assert_true(c.dropped >= before);
		assert_int_equal(read + c.dropped, c.offset);
		assert_true(c.offset <= ring_head(&ring));
		assert_true(c.offset >= ring_tail(&ring));
	}
	assert_true(c.dropped > 0);
	read += read_some(SIZE_MAX);
	assert_int_equal(read + c.dropped, ring_head(&ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_cursor_begins_where_it_was_put, reset),
		cmocka_unit_test_setup(beyond_the_head_is_the_head, reset),
		cmocka_unit_test_setup(a_place_that_is_gone_counts_what_is_missing, reset),
		cmocka_unit_test_setup(peeking_does_not_move, reset),
		cmocka_unit_test_setup(nothing_to_read_is_no_piece, reset),
		cmocka_unit_test_setup(one_byte_too_late_drops_one_byte, reset),
		cmocka_unit_test_setup(two_cursors_do_not_disturb_each_other, reset),
		cmocka_unit_test_setup(whatever_the_pace_read_and_dropped_add_up, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
