/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/signals.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_signal_has_many_spellings(void **state)
{
	static const char *const term[] = { "TERM", "SIGTERM", "term", "SigTerm", "15" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(term); i++)
		assert_int_equal(signal_from_name(term[i]), SIGTERM);
	assert_int_equal(signal_from_name("KILL"), SIGKILL);
	assert_int_equal(signal_from_name("POLL"), SIGIO);
	assert_int_equal(signal_from_name("iot"), SIGABRT);
}

static void real_time_signals_count_from_either_end(void **state)
{
	(void)state;
	assert_int_equal(signal_from_name("RTMIN"), SIGRTMIN);
	assert_int_equal(signal_from_name("SIGRTMIN+3"), SIGRTMIN + 3);
	assert_int_equal(signal_from_name("rtmin+0"), SIGRTMIN);
	assert_int_equal(signal_from_name("RTMAX-1"), SIGRTMAX - 1);
	assert_int_equal(signal_from_name("RTMAX"), SIGRTMAX);
	assert_int_equal(signal_from_name("RTMIN+30"), SIGRTMAX);
	assert_int_equal(signal_from_name("RTMIN+31"), -EINVAL);
	assert_int_equal(signal_from_name("RTMAX+1"), -EINVAL);
	assert_int_equal(signal_from_name("RTMIN-1"), -EINVAL);
}

static void what_is_no_signal_is_refused(void **state)
{
	static const char *const bad[] = { "",    "0",      "65",      "-1",         "SIG",
					   "FOO", "TERM ",  "SIG15",   "15s",        "TERMS",
					   "RT",  "RTMIN+", "RTMINX3", "SIGSIGTERM", "015" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (signal_from_name(bad[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for a signal", bad[i]);
}

static void every_number_has_a_name_that_leads_back(void **state)
{
	(void)state;
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		assert_non_null(signal_name(sig));
		assert_int_equal(signal_from_name(signal_name(sig)), sig);
	}
	assert_string_equal(signal_name(SIGTERM), "SIGTERM");
	assert_string_equal(signal_name(SIGRTMIN), "SIGRTMIN");
	assert_string_equal(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
	assert_string_equal(signal_name(33), "SIG33");
	assert_null(signal_name(0));
	assert_null(signal_name(-9));
	assert_null(signal_name(65));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_has_many_spellings),
		cmocka_unit_test(real_time_signals_count_from_either_end),
		cmocka_unit_test(what_is_no_signal_is_refused),
		cmocka_unit_test(every_number_has_a_name_that_leads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
