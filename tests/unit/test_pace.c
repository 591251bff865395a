/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "engine/pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_pause_grows_with_the_cost_and_the_number_within_its_limits(void **state)
{
	struct pace dear = { .cost_us = 3000 }, cheap = { .cost_us = 3 };

	(void)state;
	assert_int_equal(pace_pause(&cheap, 1, 100, 5000), 100);
	assert_int_equal(pace_pause(&dear, 100, 100, 5000), 5000);
	/* so much of the time is used: 0.3 percent */
	assert_in_range(pace_pause(&dear, 1, 100, 5000), 990, 1010);
	assert_in_range(pace_pause(&dear, 2, 100, 5000), 1990, 2010);
}

static void a_look_elsewhere_counts_as_one_of_our_own(void **state)
{
	struct pace p = { 0 };

	(void)state;
	for (int i = 0; i < 30; i++) {
		pace_begin(&p);
		pace_end(&p, 10000);
	}
	assert_in_range(p.cost_us, 10000 - 10, 20000);
}

static void pauses_that_begin_at_any_time_end_together(void **state)
{
	static const uint64_t pauses[] = { 1, 15, 16, 80, 160, 1000, 8000, 30000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
		uint64_t pause = pauses[i], last = 0;
		unsigned ends = 0;

		for (uint64_t now = 1000000; now < 1000000 + pause; now++) {
			uint64_t rounded = pace_round(now, pause);

			assert_in_range(rounded, pause, pause + pause / 16 + 1);
			ends += now + rounded != last;
			last = now + rounded;
		}
		assert_true(ends <= MAX((uint64_t)33, pause / 512 + 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pause_grows_with_the_cost_and_the_number_within_its_limits),
		cmocka_unit_test(a_look_elsewhere_counts_as_one_of_our_own),
		cmocka_unit_test(pauses_that_begin_at_any_time_end_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
