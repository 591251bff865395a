/* SPDX-License-Identifier: Apache-2.0 */
#include "core/layout.h"
#include "moves.h"

static struct control_slot slot;

static int setup(void **state _unused_)
{
	memset((void *)&slot, 0, sizeof(slot));
	word_store(&slot.meta_size, LAYOUT_PAGE);
	word_store(&slot.index_size, INDEX_SIZE_MIN);
	return 0;
}

static void assert_refused(struct word *size, uint64_t bad)
{
	uint64_t good = word_load(size);
	struct layout l = { .size = 77 };

	word_store(size, bad);
	assert_int_equal(layout_of(&slot, &l), -EINVAL);
	assert_int_equal(l.size, 77);
	word_store(size, good);
	assert_int_equal(layout_of(&slot, &l), 0);
}

static void the_parts_follow_each_other(void **state _unused_)
{
	struct layout l;

	word_store(&slot.meta_size, 3 * LAYOUT_PAGE);
	word_store(&slot.index_size, 65536);
	word_store(&slot.in_size, RING_SIZE_IN);
	word_store(&slot.out_size[0], RING_SIZE_OUT);
	word_store(&slot.out_size[1], RING_SIZE_MIN);
	assert_int_equal(layout_of(&slot, &l), 0);
	assert_int_equal(l.meta, 0);
	assert_int_equal(l.notes, 3 * LAYOUT_PAGE);
	assert_int_equal(l.lent + LENT_SIZE, l.notes + NOTES_SIZE - STOP_REASON_MAX);
	assert_int_equal(l.index, l.notes + NOTES_SIZE);
	assert_int_equal(l.in, l.index + 65536);
	assert_int_equal(l.out[0], l.in + RING_SIZE_IN);
	assert_int_equal(l.out[1], l.out[0] + RING_SIZE_OUT);
	assert_int_equal(l.size, l.out[1] + RING_SIZE_MIN);
}

static void a_ring_that_is_not_there_takes_no_place(void **state _unused_)
{
	struct layout l;

	assert_int_equal(layout_of(&slot, &l), 0);
	assert_int_equal(l.in, l.size);
	assert_int_equal(l.out[0], l.size);
	assert_int_equal(l.out[1], l.size);
	assert_int_equal(l.size, LAYOUT_PAGE + NOTES_SIZE + INDEX_SIZE_MIN);
}

static void a_ring_has_a_power_of_two_within_its_range(void **state _unused_)
{
	struct word *const sizes[] = { &slot.index_size, &slot.in_size, &slot.out_size[0],
				       &slot.out_size[1] };
	static const uint64_t bad[] = {
		1, 2048, 4095, 4097, 6144, (1ULL << 30) + 4096, 1ULL << 31, 1ULL << 63, UINT64_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
			assert_refused(sizes[i], bad[k]);
}

static void there_is_always_an_index(void **state _unused_)
{
	assert_refused(&slot.index_size, 0);
}

static void metadata_has_whole_pages_within_its_range(void **state _unused_)
{
	assert_refused(&slot.meta_size, 0);
	assert_refused(&slot.meta_size, 1);
	assert_refused(&slot.meta_size, LAYOUT_PAGE + 8);
	assert_refused(&slot.meta_size, META_SIZE_MAX + LAYOUT_PAGE);
	assert_refused(&slot.meta_size, UINT64_MAX - LAYOUT_PAGE + 1);
}

static void an_index_is_a_ring_that_covers_the_output(void **state _unused_)
{
	assert_int_equal(layout_index_size(0), INDEX_SIZE_MIN);
	assert_int_equal(layout_index_size(2 * RING_SIZE_OUT), 2 * RING_SIZE_OUT / 8);
	for (uint64_t total = 1; total <= 2 * RING_SIZE_MAX; total = total * 3 + 1) {
		uint64_t size = layout_index_size(total);

		word_store(&slot.index_size, size);
		assert_int_equal(layout_of(&slot, &(struct layout){ 0 }), 0);
		assert_true(size / sizeof(struct index_raw) >= total / 128);
		assert_true(size == INDEX_SIZE_MIN ||
			    size / 2 / sizeof(struct index_raw) < total / 128);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_parts_follow_each_other, setup),
		cmocka_unit_test_setup(a_ring_that_is_not_there_takes_no_place, setup),
		cmocka_unit_test_setup(a_ring_has_a_power_of_two_within_its_range, setup),
		cmocka_unit_test_setup(there_is_always_an_index, setup),
		cmocka_unit_test_setup(metadata_has_whole_pages_within_its_range, setup),
		cmocka_unit_test_setup(an_index_is_a_ring_that_covers_the_output, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
