/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that are asked for: which of them the keeper finds in its queue. */
#include "engine/session.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct engine engine;
static struct control_slot words;
static struct session session;

static int fresh(void **state)
{
	(void)state;
	memset(&words, 0, sizeof(words));
	engine.link.sock = -1; /* the keeper looks by itself */
	session.engine = &engine;
	session.words = &words;
	return 0;
}

/* How many were asked for and not sent. */
static unsigned waiting(void)
{
	return (uint32_t)word_load(&words.signals.asked) - (uint32_t)word_load(&words.signals.done);
}

static void keeper_begins(unsigned n)
{
	word_store(&words.signals.begun, n);
}

static void of_the_same_signal_one_waits(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(session_signal(&session, SIGUSR1), 0);
		assert_int_equal(session_signal(&session, SIGTERM), 0);
	}
	assert_int_equal(waiting(), 2);
	assert_true(session_was_signalled(&session, SIGTERM));
	assert_false(session_was_signalled(&session, SIGINT));
}

static void one_that_is_just_being_sent_does_not_stand_for_the_next(void **state)
{
	(void)state;
	session_signal(&session, SIGUSR1);
	keeper_begins(1); /* it may have arrived, and been answered */
	assert_int_equal(session_signal(&session, SIGUSR1), 0);
	assert_int_equal(waiting(), 2);
	assert_int_equal(session_signal(&session, SIGUSR1), 0);
	assert_int_equal(waiting(), 2);
}

static void stopping_and_continuing_stay_in_order(void **state)
{
	static const int sent[] = { SIGCONT, SIGCONT, SIGTSTP, SIGUSR1, SIGCONT, SIGUSR1 };
	static const int queued[] = { SIGCONT, SIGTSTP, SIGUSR1, SIGCONT };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sent); i++)
		session_signal(&session, sent[i]);
	assert_int_equal(waiting(), ARRAY_SIZE(queued));
	for (size_t i = 0; i < ARRAY_SIZE(queued); i++)
		assert_int_equal(word_load(&words.signals.queue[i + 1]), queued[i]);
}

static void a_number_is_taken_once_and_in_turn(void **state)
{
	(void)state;
	assert_int_equal(session_signal_numbered(&session, SIGINT, 2), -ERANGE);
	assert_int_equal(session_signal_numbered(&session, SIGINT, 1), 0);
	keeper_begins(1);
	assert_int_equal(session_signal_numbered(&session, SIGINT, 1), 0);
	assert_int_equal(waiting(), 1);
	session_signal(&session, SIGUSR1);
	assert_int_equal(session_signals_taken(&session), 1);
	/* One that another stands for is taken, too. */
	assert_int_equal(session_signal_numbered(&session, SIGUSR1, 2), 0);
	assert_int_equal(session_signals_taken(&session), 2);
	assert_int_equal(waiting(), 2);
}

static void a_full_queue_takes_no_more_and_loses_nothing(void **state)
{
	unsigned n = 0;

	(void)state;
	while (session_signal_numbered(&session, SIGRTMIN, n + 1) == 0)
		n++;
	assert_int_equal(n, SIGNAL_QUEUE);
	assert_int_equal(session_signals_taken(&session), n);
	keeper_begins(1);
	word_store(&words.signals.done, 1);
	assert_int_equal(session_signal_numbered(&session, SIGRTMIN, n + 1), 0);
	assert_int_equal(session_signal_numbered(&session, SIGRTMIN, n + 2), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(of_the_same_signal_one_waits, fresh),
		cmocka_unit_test_setup(one_that_is_just_being_sent_does_not_stand_for_the_next,
				       fresh),
		cmocka_unit_test_setup(stopping_and_continuing_stay_in_order, fresh),
		cmocka_unit_test_setup(a_number_is_taken_once_and_in_turn, fresh),
		cmocka_unit_test_setup(a_full_queue_takes_no_more_and_loses_nothing, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
