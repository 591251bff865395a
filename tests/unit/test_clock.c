/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/cleanup.h"
#include "base/clock.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void times_are_formatted_in_utc_with_milliseconds(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} samples[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 1795171260123, "2026-11-20T10:41:00.123Z" },
		{ 951782399999, "2000-02-28T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
		{ UINT64_MAX, "9999-12-31T23:59:59.999Z" },
	};
	char text[CLOCK_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		assert_string_equal(clock_format(samples[i].ms, text), samples[i].text);
}

static void every_day_agrees_with_gmtime_and_reads_back(void **state)
{
	(void)state;
	for (time_t t = 0; t < 253402300800; t += 86400 * 11 + 3661) {
		char text[CLOCK_TEXT_MAX], expected[CLOCK_TEXT_MAX];
		uint64_t back;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
		assert_string_equal(clock_format((uint64_t)t * 1000 + 7, text), expected);
		assert_int_equal(clock_parse(text, &back), 0);
		assert_int_equal(back, (uint64_t)t * 1000 + 7);
	}
}

static void any_rfc_3339_time_is_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} samples[] = {
		{ "2026-11-20T10:41:00Z", 1795171260000 },
		{ "2026-11-20T11:41:00+01:00", 1795171260000 },
		{ "2026-11-20T05:11:00.5-05:30", 1795171260500 },
		{ "2026-11-20t10:41:00.123456789z", 1795171260123 },
		{ "2026-11-20 10:41:00.05Z", 1795171260050 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "2016-12-31T23:59:60Z", 1483228800000 },
	};
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		assert_int_equal(clock_parse(samples[i].text, &ms), 0);
		assert_int_equal(ms, samples[i].ms);
	}
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"now",
		"2026-11-20",
		"2026-11-20T10:41Z",
		"2026-11-20T10:41:00",
		"2026-11-20T10:41:00.Z",
		"2026-11-20T10:41:00Zx",
		"2026-11-20T10:41:00+1:00",
		"2026-11-20T10:41:00+01:60",
		"2026-11-20T10:41:00+24:00",
		"2026-11-20T24:00:00Z",
		"2026-11-20T10:60:00Z",
		"2026-11-20T10:41:61Z",
		"2026-13-20T10:41:00Z",
		"2026-00-20T10:41:00Z",
		"2026-11-31T10:41:00Z",
		"2026-11-00T10:41:00Z",
		"2026-02-29T10:41:00Z",
		"2100-02-29T10:41:00Z",
		"0000-01-01T00:00:00Z",
		"26-11-20T10:41:00Z",
		" 2026-11-20T10:41:00Z",
	};
	uint64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (clock_parse(bad[i], &ms) != -EINVAL)
			fail_msg("\"%s\" was taken for a time", bad[i]);
	assert_int_equal(clock_parse("1969-12-31T23:59:59Z", &ms), -ERANGE);
	assert_int_equal(clock_parse("1970-01-01T00:00:00+01:00", &ms), -ERANGE);
	assert_int_equal(ms, 7);
}

static void the_clocks_agree_about_their_units(void **state)
{
	uint64_t ns = clock_realtime_ns(), us = clock_realtime_us(), ms = clock_realtime_ms();
	uint64_t mono_us = clock_monotonic_us(), mono_ms = clock_monotonic_ms();
	struct timespec now; /* time(2) is late by up to a tick */

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
	assert_in_range(us, ns / 1000, ns / 1000 + 60000000);
	assert_in_range(ms, us / 1000, us / 1000 + 60000);
	assert_in_range(mono_ms, mono_us / 1000, mono_us / 1000 + 60000);
	assert_true(clock_boottime_ms() >= mono_ms);
	assert_true(clock_monotonic_us() >= mono_us);
	assert_in_range(ms / 1000, now.tv_sec - 60, now.tv_sec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_formatted_in_utc_with_milliseconds),
		cmocka_unit_test(every_day_agrees_with_gmtime_and_reads_back),
		cmocka_unit_test(any_rfc_3339_time_is_read),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(the_clocks_agree_about_their_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
