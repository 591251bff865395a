/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "core/stopplan.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_plan_is_signals_and_waits(void **state)
{
	struct stop_plan p;

	(void)state;
	assert_int_equal(parse_stop_plan("INT 1m sigterm\t1.5s  RTMIN+1 KILL", &p), 0);
	assert_int_equal(p.n_steps, 4);
	assert_int_equal(p.steps[0].signal, SIGINT);
	assert_int_equal(p.steps[0].wait_ms, 60000);
	assert_int_equal(p.steps[1].signal, SIGTERM);
	assert_int_equal(p.steps[1].wait_ms, 1500);
	assert_int_equal(p.steps[2].signal, SIGRTMIN + 1);
	assert_int_equal(p.steps[2].wait_ms, 0);
	assert_int_equal(p.steps[3].signal, SIGKILL);
	assert_int_equal(p.steps[3].wait_ms, 0);
}

static void every_plan_ends_in_kill_and_reads_back_from_its_text(void **state)
{
	static const struct {
		const char *text, *formatted;
	} samples[] = {
		{ "TERM 5s KILL", "TERM 5s KILL" },
		{ "TERM 5s", "TERM 5s KILL" },
		{ "TERM", "TERM 5s KILL" },
		{ "INT TERM", "INT TERM 5s KILL" },
		{ "TERM KILL", "TERM KILL" },
		{ "TERM 0s", "TERM KILL" },
		{ "KILL", "KILL" },
		{ " hup 90s SIGUSR1 250ms ", "HUP 1m30s USR1 250ms KILL" },
		{ "SIG33 1s", "SIG33 1s KILL" },
		{ "INT INT INT INT INT INT INT KILL", "INT INT INT INT INT INT INT KILL" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		char text[STOP_PLAN_TEXT_MAX];
		struct stop_plan p, q;

		assert_int_equal(parse_stop_plan(samples[i].text, &p), 0);
		assert_string_equal(stop_plan_format(&p, text), samples[i].formatted);
		assert_int_equal(p.steps[p.n_steps - 1].signal, SIGKILL);
		assert_int_equal(parse_stop_plan(text, &q), 0);
		assert_int_equal(p.n_steps, q.n_steps);
		for (unsigned j = 0; j < p.n_steps; j++)
			assert_int_equal(stop_step_pack(&p.steps[j]), stop_step_pack(&q.steps[j]));
	}
}

static void what_is_no_plan_is_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
	} samples[] = {
		{ "", -EINVAL },
		{ "  ", -EINVAL },
		{ "5s", -EINVAL },
		{ "5s TERM", -EINVAL },
		{ "TERM 5", -EINVAL },
		{ "TERM 5 KILL", -EINVAL },
		{ "15 5s", -EINVAL },
		{ "TERM 5s 5s", -EINVAL },
		{ "KILL 5s", -EINVAL },
		{ "KILL TERM", -EINVAL },
		{ "KILL KILL", -EINVAL },
		{ "TERM,5s,KILL", -EINVAL },
		{ "FOO 5s", -EINVAL },
		{ "TERMTERMTERMTERMTERMTERMTERMTERMTERM", -EINVAL },
		{ "TERM 4000d", -ERANGE },
		{ "INT INT INT INT INT INT INT INT", -E2BIG },
		{ "INT INT INT INT INT INT INT INT KILL", -E2BIG },
	};
	struct stop_plan p = { .n_steps = 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (parse_stop_plan(samples[i].text, &p) != samples[i].r)
			fail_msg("\"%s\" was not refused as it should", samples[i].text);
	assert_int_equal(p.n_steps, 77);
}

static void a_signal_and_a_grace_make_a_plan(void **state)
{
	char text[STOP_PLAN_TEXT_MAX];
	struct stop_plan p;

	(void)state;
	assert_int_equal(stop_plan_make(SIGINT, 1500, &p), 0);
	assert_string_equal(stop_plan_format(&p, text), "INT 1s500ms KILL");
	assert_int_equal(stop_plan_make(SIGKILL, 1500, &p), 0);
	assert_string_equal(stop_plan_format(&p, text), "KILL");
	assert_int_equal(stop_plan_make(0, 1500, &p), -EINVAL);
	assert_int_equal(stop_plan_make(65, 1500, &p), -EINVAL);
}

static void a_step_fits_into_the_word_of_the_control_memory(void **state)
{
	struct stop_step step = { .signal = SIGTERM, .wait_ms = 5000 };

	(void)state;
	assert_int_equal(stop_step_pack(&step), 15ULL << 48 | 5000);
	step = stop_step_unpack(64ULL << 48 | 315619200000);
	assert_int_equal(step.signal, 64);
	assert_int_equal(step.wait_ms, 315619200000);
}

static void the_longest_plan_has_room_for_its_text(void **state)
{
	struct stop_plan p = { .n_steps = STOP_STEPS_MAX };
	char text[STOP_PLAN_TEXT_MAX];

	(void)state;
	for (unsigned i = 0; i < STOP_STEPS_MAX; i++)
		p.steps[i] = stop_step_unpack(63ULL << 48 | ((1ULL << 48) - 2));
	assert_in_range(strlen(stop_plan_format(&p, text)), 1, STOP_PLAN_TEXT_MAX - 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_is_signals_and_waits),
		cmocka_unit_test(every_plan_ends_in_kill_and_reads_back_from_its_text),
		cmocka_unit_test(what_is_no_plan_is_refused),
		cmocka_unit_test(a_signal_and_a_grace_make_a_plan),
		cmocka_unit_test(a_step_fits_into_the_word_of_the_control_memory),
		cmocka_unit_test(the_longest_plan_has_room_for_its_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
