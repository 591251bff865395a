/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"

static struct word head;
static uint8_t data[4096];
static const struct ring ring = { .data = data, .size = sizeof(data), .head = &head };

static int reset(void **state _unused_)
{
	memset(data, 0, sizeof(data));
	word_store(&head, 0);
	return 0;
}

/* As capture writes: the bytes first, then the head. */
static void write_pattern(uint64_t n)
{
	uint64_t at = ring_head(&ring), end = at + n;
	struct iovec view[2];
	int pieces = ring_pieces(&ring, at, n, view);

	for (int i = 0; i < pieces; i++) {
		fill_pattern(0, at, view[i].iov_base, view[i].iov_len);
		at += view[i].iov_len;
	}
	assert_int_equal(at, end);
	word_store(&head, end);
}

static void a_new_ring_is_empty(void **state _unused_)
{
	struct iovec view[2];
	char byte = 'x';

	assert_int_equal(ring_tail(&ring), 0);
	assert_int_equal(ring_pieces(&ring, 0, 0, view), 0);
	assert_int_equal(ring_copy(&ring, 0, &byte, 1), 0);
	assert_int_equal(byte, 'x');
}

static void the_tail_follows_once_the_ring_is_full(void **state _unused_)
{
	word_store(&head, 4095);
	assert_int_equal(ring_tail(&ring), 0);
	word_store(&head, 4096);
	assert_int_equal(ring_tail(&ring), 0);
	word_store(&head, 4097);
	assert_int_equal(ring_tail(&ring), 1);
	word_store(&head, 1ULL << 63);
	assert_int_equal(ring_tail(&ring), (1ULL << 63) - 4096);
}

static void a_floor_is_the_tail_of_what_was_given_back(void **state _unused_)
{
	struct word floor = { 0 };
	const struct ring low = {
		.data = data, .size = sizeof(data), .head = &head, .floor = &floor
	};

	word_store(&head, 5000);
	assert_int_equal(ring_tail(&low), 904);
	word_store(&floor, 900);
	assert_int_equal(ring_tail(&low), 904);
	word_store(&floor, 5000);
	assert_int_equal(ring_tail(&low), 5000);
	word_store(&head, 9097);
	assert_int_equal(ring_tail(&low), 5001);
}

static void what_crosses_the_end_is_two_pieces(void **state _unused_)
{
	struct iovec view[2];

	assert_int_equal(ring_pieces(&ring, 4096 * 5 + 4090, 10, view), 2);
	assert_ptr_equal(view[0].iov_base, data + 4090);
	assert_int_equal(view[0].iov_len, 6);
	assert_ptr_equal(view[1].iov_base, data);
	assert_int_equal(view[1].iov_len, 4);
}

static void what_ends_at_the_end_is_one_piece(void **state _unused_)
{
	struct iovec view[2];

	assert_int_equal(ring_pieces(&ring, 4090, 6, view), 1);
	assert_int_equal(view[0].iov_len, 6);
	assert_int_equal(ring_pieces(&ring, 8192, 4096, view), 1);
	assert_ptr_equal(view[0].iov_base, data);
	assert_int_equal(view[0].iov_len, 4096);
}

static void the_whole_ring_from_its_middle_is_two_pieces(void **state _unused_)
{
	struct iovec view[2];

	assert_int_equal(ring_pieces(&ring, 1000, 4096, view), 2);
	assert_int_equal(view[0].iov_len, 3096);
	assert_int_equal(view[1].iov_len, 1000);
}

static void a_copy_ends_at_the_head_or_at_its_room(void **state _unused_)
{
	uint8_t copy[64] = { 0 };

	word_store(&head, 4090);
	write_pattern(20);
	assert_int_equal(ring_copy(&ring, 4090, copy, sizeof(copy)), 20);
	assert_int_equal(first_wrong(0, 4090, copy, 20), 20);
	assert_int_equal(copy[20], 0);
	memset(copy, 0, sizeof(copy));
	assert_int_equal(ring_copy(&ring, 4092, copy, 7), 7);
	assert_int_equal(first_wrong(0, 4092, copy, 7), 7);
	assert_int_equal(copy[7], 0);
	assert_int_equal(ring_copy(&ring, 4110, copy, sizeof(copy)), 0);
}

static void every_retained_byte_is_the_one_written_at_its_offset(void **state _unused_)
{
	uint64_t seed = 42, at = 0xfffff000;
	uint8_t copy[4096];

	word_store(&head, at);
	for (int i = 0; i < 2000; i++) {
		uint64_t from = ring_head(&ring), tail;

		write_pattern(random_below(&seed, 4097));
		/* Nothing was there before the first byte of this test. */
		tail = MAX(ring_tail(&ring), at);
		assert_true(ring_head(&ring) - tail <= sizeof(data));
		from = tail + random_below(&seed, ring_head(&ring) - tail + 1);
		assert_int_equal(ring_copy(&ring, from, copy, sizeof(copy)),
				 ring_head(&ring) - from);
		assert_int_equal(first_wrong(0, from, copy, ring_head(&ring) - from),
				 ring_head(&ring) - from);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_new_ring_is_empty, reset),
		cmocka_unit_test_setup(the_tail_follows_once_the_ring_is_full, reset),
		cmocka_unit_test_setup(a_floor_is_the_tail_of_what_was_given_back, reset),
		cmocka_unit_test_setup(what_crosses_the_end_is_two_pieces, reset),
		cmocka_unit_test_setup(what_ends_at_the_end_is_one_piece, reset),
		cmocka_unit_test_setup(the_whole_ring_from_its_middle_is_two_pieces, reset),
		cmocka_unit_test_setup(a_copy_ends_at_the_head_or_at_its_room, reset),
		cmocka_unit_test_setup(every_retained_byte_is_the_one_written_at_its_offset, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
