/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that come later, and connections that leave HTTP. */
#include "http_waiting.h"

static void an_answer_may_come_later(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\nGET /ping HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	assert_int_equal(client_ask(other, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(c->n, 0);
	fixture_call(f, answer_all);
	assert_int_equal(client_receive(c), 200);
	assert_string_equal(c->body, "{\"n\":0}");
	assert_int_equal(client_receive(c), 200);
	assert_string_equal(c->body, "{}");
	assert_int_equal(f->cancelled, 0);
}

static void several_answers_may_wait_at_once(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	client_send(other, "GET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 2);
	fixture_call(f, answer_all);
	assert_int_equal(client_receive(other), 200);
	assert_string_equal(other->body, "{\"n\":1}");
	assert_int_equal(client_receive(c), 200);
	assert_string_equal(c->body, "{\"n\":0}");
}

static void a_deferred_request_may_be_answered_by_its_handler(void **state _unused_)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(client_ask(c, "GET /at-once HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(f->cancelled, 0);
}

static void a_deferred_request_outlives_the_idle_limit(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	/* The other connection says when the limit of one second was over. */
	assert_true(client_at_end(other));
	wait_until(f->handled == 1);
	fixture_call(f, answer_all);
	assert_int_equal(client_receive(c), 200);
}

static void a_client_that_goes_away_cancels_its_request_once(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	hang_up();
	wait_until(f->cancelled == 1);
	wait_until(fixture_connections(f) == 1);
	assert_int_equal(client_ask(other, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(f->cancelled, 1);
}

static void a_second_deferred_request_is_cancelled_too(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\nGET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	fixture_call(f, answer_all);
	assert_int_equal(client_receive(c), 200);
	wait_until(f->handled == 2);
	hang_up();
	wait_until(f->cancelled == 1);
	wait_until(fixture_connections(f) == 1);
}

static void a_client_that_only_stops_sending_gets_its_answer(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	shutdown(c->fd, SHUT_WR);
	assert_int_equal(client_ask(other, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(f->cancelled, 0);
	fixture_call(f, answer_all);
	assert_int_equal(client_receive(c), 200);
	assert_true(client_at_end(c));
}

static void freeing_the_server_ends_all_that_waits(void **state _unused_)
{
	struct client *third = client_new(f), *fourth = client_new(f);

	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	client_send(other, "GET /stream HTTP/1.1\r\n\r\n");
	client_send(third, "GET /ping HT");
	client_send(fourth, UPGRADE "proto/1\r\n\r\n");
	assert_int_equal(client_receive_head(fourth), 101);
	wait_until(f->handled == 2 && f->pulls == 1);
	fixture_call(f, free_server);
	assert_int_equal(f->cancelled, 1);
	assert_int_equal(f->closed, 1);
	assert_int_equal(client_receive(c), 0);
	assert_int_equal(client_receive(other), 0);
	assert_int_equal(client_receive(third), 0);
	while (client_fill(fourth))
		;
	client_unref(third);
	client_unref(fourth);
}

/* --- upgrades ------------------------------------------------------------------------------- */

static void an_upgrade_hands_over_the_socket_and_what_was_read(void **state _unused_)
{
	char value[256];

	client_send(c, UPGRADE "PROTO/1\r\n\r\nextra");
	assert_int_equal(client_receive_head(c), 101);
	assert_string_equal(client_header(c, "Upgrade", value), "proto/1");
	assert_non_null(strcasestr(client_header(c, "Connection", value), "upgrade"));
	while (c->n < 10)
		assert_true(client_fill(c));
	assert_string_equal(c->data, "read:extra");
	assert_int_equal(fixture_connections(f), 2);

	client_send(c, "more");
	fixture_call(f, echo_upgraded);
	while (c->n < 14)
		assert_true(client_fill(c));
	assert_string_equal(c->data, "read:extramore");

	fixture_call(f, close_upgraded);
	assert_false(client_fill(c));
	wait_until(fixture_connections(f) == 1);
	assert_int_equal(held->opened, 1);
	assert_int_equal(held->dropped, 0);
}

static void an_upgrade_is_for_those_who_ask_for_it(void **state _unused_)
{
	char value[256];

	client_ask(c, "GET /upgrade HTTP/1.1\r\n\r\n");
	assert_error(c, 426, "invalid_argument");
	assert_string_equal(client_header(c, "Upgrade", value), "proto/1");
	client_ask(c, UPGRADE "proto/2\r\n\r\n");
	assert_error(c, 426, "invalid_argument");
	client_ask(c, "GET /upgrade HTTP/1.1\r\nUpgrade: proto/1\r\n\r\n");
	assert_error(c, 400, "invalid_argument");
	client_ask(c, "GET /upgrade HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: proto/1\r\n\r\n");
	assert_error(c, 400, "invalid_argument");
	wait_until(held->dropped == 4);
	assert_int_equal(held->opened, 0);
}

static void an_upgraded_connection_has_no_idle_limit(void **state _unused_)
{
	client_send(c, UPGRADE "proto/1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 101);
	assert_true(client_at_end(other)); /* the limit is over */
	client_send(c, "still");
	fixture_call(f, echo_upgraded);
	while (c->n < 10)
		assert_true(client_fill(c));
	assert_string_equal(c->data, "read:still");
	fixture_call(f, close_upgraded);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(an_answer_may_come_later),
		test(several_answers_may_wait_at_once),
		test(a_deferred_request_may_be_answered_by_its_handler),
		test(a_deferred_request_outlives_the_idle_limit),
		test(a_client_that_goes_away_cancels_its_request_once),
		test(a_second_deferred_request_is_cancelled_too),
		test(a_client_that_only_stops_sending_gets_its_answer),
		test(freeing_the_server_ends_all_that_waits),
		test(an_upgrade_hands_over_the_socket_and_what_was_read),
		test(an_upgrade_is_for_those_who_ask_for_it),
		test(an_upgraded_connection_has_no_idle_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
