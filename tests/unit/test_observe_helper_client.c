/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine asks of the helper without waiting. Here the helper is this test. */
#include "base/clock.h"
#include "observe/helper.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct both {
	struct helper_client client;
	int helper;
};

static int begin(void **state)
{
	static struct both b;
	int pair[2];

	b = (struct both){ 0 };
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	b.client.sock = pair[0];
	b.helper = pair[1];
	*state = &b;
	return 0;
}

static int end(void **state)
{
	struct both *b = *state;

	close(b->client.sock);
	close(b->helper);
	return 0;
}

static void tell(struct both *b, uint64_t id)
{
	struct helper_request rq = { .type = HELPER_UNWATCH, .id = id };

	helper_tell(&b->client, &rq);
}

static struct helper_request asked(struct both *b)
{
	struct helper_request rq;

	assert_int_equal(recv(b->helper, &rq, sizeof(rq), MSG_DONTWAIT), sizeof(rq));
	return rq;
}

static void answer(struct both *b, uint32_t number, int32_t result)
{
	struct helper_reply reply = { .number = number, .result = result };

	assert_int_equal(send(b->helper, &reply, sizeof(reply), MSG_NOSIGNAL), sizeof(reply));
}

static void what_is_told_waits_for_no_answer(void **state)
{
	struct both *b = *state;

	for (uint64_t i = 1; i <= 20; i++)
		tell(b, i);
	assert_false(b->client.lost);
	for (uint64_t i = 1; i <= 20; i++)
		assert_int_equal(asked(b).id, i);
}

static void the_answer_to_what_was_told_is_not_taken_for_another(void **state)
{
	struct helper_request rq = { .type = HELPER_SETTLE };
	struct both *b = *state;

	tell(b, 1);
	answer(b, asked(b).number, -ENOENT);
	answer(b, b->client.number + 1, 7);
	assert_int_equal(helper_ask(&b->client, &rq, -1, NULL, 0, NULL), 7);
	assert_int_equal(b->client.told_at, 0);
}

static void who_owes_an_answer_for_too_long_is_lost(void **state)
{
	struct both *b = *state;

	tell(b, 1);
	assert_int_not_equal(b->client.told_at, 0);
	b->client.told_at = clock_monotonic_ms() - HELPER_ASK_MS - 1;
	tell(b, 2);
	assert_true(b->client.lost);
	assert_int_equal(asked(b).id, 1);
	assert_int_equal(recv(b->helper, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
}

static void an_answer_that_was_not_looked_at_counts(void **state)
{
	struct both *b = *state;

	tell(b, 1);
	b->client.told_at = clock_monotonic_ms() - HELPER_ASK_MS - 1;
	answer(b, asked(b).number, 0);
	tell(b, 2);
	assert_false(b->client.lost);
	assert_int_equal(asked(b).id, 2);
}

static void answers_are_passed_over_until_the_helper_has_ended(void **state)
{
	struct both *b = *state;

	for (uint64_t i = 1; i <= 10; i++) {
		tell(b, i);
		answer(b, asked(b).number, 0);
	}
	assert_true(helper_drain(&b->client));
	assert_int_equal(recv(b->client.sock, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	shutdown(b->helper, SHUT_RDWR);
	assert_false(helper_drain(&b->client));
	assert_true(b->client.lost);
	tell(b, 11); /* as if nothing had been said */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_told_waits_for_no_answer, begin, end),
		cmocka_unit_test_setup_teardown(
			the_answer_to_what_was_told_is_not_taken_for_another, begin, end),
		cmocka_unit_test_setup_teardown(who_owes_an_answer_for_too_long_is_lost, begin,
						end),
		cmocka_unit_test_setup_teardown(an_answer_that_was_not_looked_at_counts, begin,
						end),
		cmocka_unit_test_setup_teardown(answers_are_passed_over_until_the_helper_has_ended,
						begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
