/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"
#include "moves.h"

#define CAPACITY 16

static struct word head;
static struct index_raw records[CAPACITY];
static struct index x;

static int reset(void **state _unused_)
{
	word_store(&head, 0);
	memset(records, 0xee, sizeof(records));
	index_init(&x, records, sizeof(records), &head);
	return 0;
}

static void assert_record(uint64_t n, unsigned stream, uint64_t end, uint64_t when)
{
	struct index_entry entry = index_get(&x, n);

	assert_int_equal(entry.stream, stream);
	assert_int_equal(entry.end, end);
	assert_int_equal(entry.when, when);
}

static void a_step_is_one_record(void **state _unused_)
{
	assert_int_equal(x.capacity, CAPACITY);
	index_commit(&x, 1, 10, 1000);
	index_commit(&x, 0, 5, 1001);
	assert_int_equal(word_load(&head), 2);
	assert_record(0, 1, 10, 1000);
	assert_record(1, 0, 5, 1001);
}

static void committing_a_step_again_changes_nothing(void **state _unused_)
{
	index_commit(&x, 0, 10, 1000);
	index_commit(&x, 0, 10, 2000);
	assert_int_equal(word_load(&head), 1);
	assert_record(0, 0, 10, 1000);
}

static void the_same_offset_of_the_other_stream_is_another_step(void **state _unused_)
{
	index_commit(&x, 0, 10, 1000);
	index_commit(&x, 1, 10, 1000);
	assert_int_equal(word_load(&head), 2);
}

static void a_record_that_was_cut_off_before_its_head_is_written_anew(void **state _unused_)
{
	index_commit(&x, 0, 10, 1000);
	/* The store of the head was not reached. */
	records[1] = (struct index_raw){ .when_stream = 77, .end = 20 };
	index_commit(&x, 0, 20, 2000);
	assert_int_equal(word_load(&head), 2);
	assert_record(1, 0, 20, 2000);
}

static void the_newest_records_are_kept(void **state _unused_)
{
	for (uint64_t i = 1; i <= CAPACITY + 5; i++)
		index_commit(&x, 0, i, 1000 + i);
	assert_int_equal(word_load(&head), CAPACITY + 5);
	assert_int_equal(index_tail(&x), 5);
	for (uint64_t n = 5; n < CAPACITY + 5; n++)
		assert_record(n, 0, n + 1, 1001 + n);
}

static void a_time_beyond_sixty_bits_does_not_reach_the_stream(void **state _unused_)
{
	index_commit(&x, 1, 1, UINT64_MAX);
	assert_record(0, 1, 1, (1ULL << 60) - 1);
}

static void a_byte_is_found_in_the_step_that_brought_it(void **state _unused_)
{
	uint64_t n = 99;

	index_commit(&x, 0, 10, 1000);
	index_commit(&x, 1, 4, 1001);
	index_commit(&x, 0, 20, 1002);
	assert_int_equal(index_find(&x, 0, 0, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(index_find(&x, 0, 9, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(index_find(&x, 0, 10, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(index_find(&x, 1, 3, &n), 0);
	assert_int_equal(n, 1);
	n = 99;
	assert_int_equal(index_find(&x, 0, 20, &n), -ENOENT);
	assert_int_equal(index_find(&x, 1, 4, &n), -ENOENT);
	assert_int_equal(n, 99);
}

static void a_byte_whose_record_is_gone_is_found_in_the_oldest(void **state _unused_)
{
	uint64_t n;

	for (uint64_t i = 1; i <= 2 * CAPACITY; i++)
		index_commit(&x, 0, 10 * i, 1000 + i);
	assert_int_equal(index_find(&x, 0, 0, &n), 0);
	assert_int_equal(n, CAPACITY);
}

static void since_gives_the_first_byte_of_that_time(void **state _unused_)
{
	index_commit(&x, 0, 10, 1000);
	index_commit(&x, 1, 4, 1005);
	index_commit(&x, 0, 20, 1010);
	assert_int_equal(index_since(&x, 0, 0, 20), 0);
	assert_int_equal(index_since(&x, 0, 1000, 20), 0);
	assert_int_equal(index_since(&x, 0, 1001, 20), 10);
	assert_int_equal(index_since(&x, 0, 1010, 20), 10);
	assert_int_equal(index_since(&x, 0, 1011, 20), 20);
	assert_int_equal(index_since(&x, 1, 1000, 4), 0);
	assert_int_equal(index_since(&x, 1, 1006, 4), 4);
}

static void since_of_an_empty_index_is_the_head(void **state _unused_)
{
	assert_int_equal(index_since(&x, 0, 0, 0), 0);
	assert_int_equal(index_since(&x, 1, 500, 33), 33);
}

static void since_before_all_records_is_the_oldest_offset_known(void **state _unused_)
{
	for (uint64_t i = 1; i <= 2 * CAPACITY; i++)
		index_commit(&x, i % 2, 10 * i, 1000 + i);
	assert_int_equal(index_tail(&x), CAPACITY);
	assert_int_equal(index_since(&x, 1, 0, 320), 10 * (CAPACITY + 1));
	assert_int_equal(index_since(&x, 0, 0, 320), 10 * (CAPACITY + 2));
	assert_int_equal(index_since(&x, 0, 2000, 320), 320);
}

/* The same questions, answered from the list of all steps. */
struct step {
	unsigned stream;
	uint64_t begin, end, when;
};

static uint64_t model_since(const struct step *steps, size_t n, unsigned stream, uint64_t when,
			    uint64_t end)
{
	for (size_t i = 0; i < n; i++)
		if (steps[i].stream == stream && steps[i].when >= when)
			return steps[i].begin;
	return end;
}

static void answers_agree_with_a_list_of_all_steps(void **state _unused_)
{
	uint64_t seed = 3, ends[2] = { 0 }, when = 1000, n;
	struct step steps[CAPACITY];

	for (int round = 0; round < 500; round++) {
		reset(NULL);
		ends[0] = ends[1] = 0;
		for (size_t i = 0; i < CAPACITY; i++) {
			unsigned stream = random_below(&seed, 2);

			when += random_below(&seed, 3);
			steps[i] = (struct step){ stream, ends[stream], 0, when };
			ends[stream] += 1 + random_below(&seed, 9);
			steps[i].end = ends[stream];
			index_commit(&x, stream, ends[stream], when);
		}
		for (uint64_t t = steps[0].when; t <= when + 1; t++)
			for (unsigned s = 0; s < 2; s++)
				assert_int_equal(index_since(&x, s, t, ends[s]),
						 model_since(steps, CAPACITY, s, t, ends[s]));
		for (unsigned s = 0; s < 2; s++)
			for (uint64_t at = 0; at < ends[s]; at++) {
				assert_int_equal(index_find(&x, s, at, &n), 0);
				assert_int_equal(steps[n].stream, s);
				assert_in_range(at, steps[n].begin, steps[n].end - 1);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_step_is_one_record, reset),
		cmocka_unit_test_setup(committing_a_step_again_changes_nothing, reset),
		cmocka_unit_test_setup(the_same_offset_of_the_other_stream_is_another_step, reset),
		cmocka_unit_test_setup(a_record_that_was_cut_off_before_its_head_is_written_anew,
				       reset),
		cmocka_unit_test_setup(the_newest_records_are_kept, reset),
		cmocka_unit_test_setup(a_time_beyond_sixty_bits_does_not_reach_the_stream, reset),
		cmocka_unit_test_setup(a_byte_is_found_in_the_step_that_brought_it, reset),
		cmocka_unit_test_setup(a_byte_whose_record_is_gone_is_found_in_the_oldest, reset),
		cmocka_unit_test_setup(since_gives_the_first_byte_of_that_time, reset),
		cmocka_unit_test_setup(since_of_an_empty_index_is_the_head, reset),
		cmocka_unit_test_setup(since_before_all_records_is_the_oldest_offset_known, reset),
		cmocka_unit_test_setup(answers_agree_with_a_list_of_all_steps, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
