/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/parse.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS (60ULL * 60 * 1000)

/* A text, and the number or the error it gives. */
struct sample {
	const char *text;
	int r;
	uint64_t value;
};

static void check(const struct sample *s, int r, uint64_t value)
{
	if (r != s->r || (r == 0 && value != s->value))
		fail_msg("\"%s\" gave %d, %llu", s->text, r, (unsigned long long)value);
}

static void a_number_is_strictly_decimal_and_within_its_range(void **state)
{
	static const struct sample samples[] = {
		{ "5", 0, 5 },
		{ "100", 0, 100 },
		{ "4", -ERANGE, 0 },
		{ "101", -ERANGE, 0 },
		{ "0", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999999", -ERANGE, 0 },
		{ "99999999999999999999999999x", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "05", -EINVAL, 0 },
		{ "+5", -EINVAL, 0 },
		{ "-5", -EINVAL, 0 },
		{ " 5", -EINVAL, 0 },
		{ "5 ", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "10.0", -EINVAL, 0 },
	};
	uint64_t value;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		value = 7;
		r = parse_u64(samples[i].text, 5, 100, &value);
		check(&samples[i], r, value);
		if (samples[i].r < 0)
			assert_int_equal(value, 7);
	}
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_u64("0", 0, 1, &value), 0);
}

static void durations_are_read_as_people_write_them(void **state)
{
	static const struct sample samples[] = {
		{ "250ms", 0, 250 },
		{ "5s", 0, 5000 },
		{ "0s", 0, 0 },
		{ "2m", 0, 120000 },
		{ "1h", 0, HOUR_MS },
		{ "2d", 0, 48 * HOUR_MS },
		{ "1.5s", 0, 1500 },
		{ "0.25h", 0, HOUR_MS / 4 },
		{ "1h30m", 0, HOUR_MS + HOUR_MS / 2 },
		{ "1d2h3m4s5ms", 0, 26 * HOUR_MS + 184005 },
		{ "1m0.5s", 0, 60500 },
		{ "0.5ms", 0, 1 },
		{ "0.0001s", 0, 1 },
		{ "3653d", 0, DURATION_MAX_MS },
	};
	uint64_t value = 0;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		r = parse_duration_ms(samples[i].text, &value);
		check(&samples[i], r, value);
	}
}

static void duration_rejects_what_is_none(void **state)
{
	static const struct sample samples[] = {
		{ "", -EINVAL, 0 },
		{ "5", -EINVAL, 0 },
		{ "0", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "5x", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "5w", -EINVAL, 0 },
		{ "5sec", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ " 5s", -EINVAL, 0 },
		{ "5s ", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "30m1h", -EINVAL, 0 },
		{ "1s1s", -EINVAL, 0 },
		{ "1ms1s", -EINVAL, 0 },
		{ "1h30", -EINVAL, 0 },
		{ "1.s", -EINVAL, 0 },
		{ ".5s", -EINVAL, 0 },
		{ "1..5s", -EINVAL, 0 },
		{ "1.5.5s", -EINVAL, 0 },
		{ "1e3s", -EINVAL, 0 },
		{ "3653d1ms", -ERANGE, 0 },
		{ "3654d", -ERANGE, 0 },
		{ "18446744073709551615d", -ERANGE, 0 },
		{ "18446744073709551616ms", -ERANGE, 0 },
	};
	uint64_t value = 7;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		r = parse_duration_ms(samples[i].text, &value);
		check(&samples[i], r, value);
	}
	assert_int_equal(value, 7);
}

static void every_duration_formatted_reads_back_the_same(void **state)
{
	static const uint64_t samples[] = {
		0, 1, 999, 1000, 1500, 60000, HOUR_MS, HOUR_MS * 25, 90061001, DURATION_MAX_MS
	};
	char text[DURATION_TEXT_MAX];
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		assert_int_equal(parse_duration_ms(format_duration(samples[i], text), &value), 0);
		assert_int_equal(value, samples[i]);
	}
	assert_string_equal(format_duration(0, text), "0s");
	assert_string_equal(format_duration(1500, text), "1s500ms");
	assert_string_equal(format_duration(HOUR_MS + HOUR_MS / 2, text), "1h30m");
	assert_string_equal(format_duration(UINT64_MAX, text), "213503982334d14h25m51s615ms");
}

static void sizes_are_powers_of_1024(void **state)
{
	static const struct sample samples[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "7B", 0, 7 },
		{ "64K", 0, 64 * KiB },
		{ "64k", 0, 64 * KiB },
		{ "64KB", 0, 64 * KiB },
		{ "64KiB", 0, 64 * KiB },
		{ "1.5G", 0, 1536 * MiB },
		{ "2mib", 0, 2 * MiB },
		{ "1T", 0, MiB * MiB },
		{ "0.1K", 0, 103 },
		{ "16777215T", 0, 16777215 * MiB * MiB },
		{ "16777216T", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "64 K", -EINVAL, 0 },
		{ "64Ki", -EINVAL, 0 },
		{ "64Kb/s", -EINVAL, 0 },
		{ "64BB", -EINVAL, 0 },
		{ "64P", -EINVAL, 0 },
		{ "-1K", -EINVAL, 0 },
	};
	uint64_t value = 0;
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		r = parse_size(samples[i].text, &value);
		check(&samples[i], r, value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_strictly_decimal_and_within_its_range),
		cmocka_unit_test(durations_are_read_as_people_write_them),
		cmocka_unit_test(duration_rejects_what_is_none),
		cmocka_unit_test(every_duration_formatted_reads_back_the_same),
		cmocka_unit_test(sizes_are_powers_of_1024),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
