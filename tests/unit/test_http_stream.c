/* SPDX-License-Identifier: Apache-2.0 */
/* Answers without an end. */
#include "http_waiting.h"

static void a_stream_is_asked_again_only_when_it_was_woken(void **state _unused_)
{
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	wait_until(f->pulls == 1);
	for (int i = 0; i < 50; i++)
		assert_int_equal(client_ask(other, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(f->pulls, 1);
	fixture_call(f, say_hello);
	assert_int_equal(client_chunk(c), 5);
	assert_string_equal(c->body, "hello");
	wait_until(f->pulls == 3);
	fixture_call(f, end_stream);
	assert_int_equal(client_chunk(c), 0);
	wait_until(f->closed == 1);
	assert_int_equal(client_ask(c, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_int_equal(f->closed, 1);
}

static void a_stream_that_is_woken_while_it_is_asked_goes_on(void **state _unused_)
{
	assert_int_equal(client_ask(c, "GET /racing HTTP/1.1\r\n\r\n"), 200);
	assert_string_equal(c->body, "ababab");
	wait_until(f->closed == 1);
}

static void a_deferred_answer_may_be_a_stream(void **state _unused_)
{
	client_send(c, "GET /defer HTTP/1.1\r\n\r\n");
	wait_until(f->handled == 1);
	strcpy(held->stream_text, "late");
	fixture_call(f, stream_from_deferred);
	assert_int_equal(client_receive_head(c), 200);
	assert_int_equal(client_chunk(c), 4);
	hang_up();
	wait_until(f->closed == 1);
	assert_int_equal(f->cancelled, 0);
}

static void a_stream_ends_once_when_its_client_goes_away(void **state _unused_)
{
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	wait_until(f->pulls == 1);
	hang_up();
	wait_until(f->closed == 1);
	wait_until(fixture_connections(f) == 1);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->pulls, 1);
}

static void a_stream_ends_once_when_its_client_goes_away_amidst(void **state _unused_)
{
	held->stream_left = SIZE_MAX;
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	client_chunk(c);
	hang_up();
	wait_until(f->closed == 1);
	wait_until(fixture_connections(f) == 1);
	assert_int_equal(f->closed, 1);
}

static void a_stream_that_was_woken_for_nothing_ends_with_its_client(void **state _unused_)
{
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	wait_until(f->pulls == 1);
	client_fd = take_fd(&c->fd);
	fixture_call(f, wake_and_hang_up_in_time);
	wait_until(f->closed == 1);
	assert_int_equal(f->pulls, 2);
}

static void a_stream_that_breaks_off_has_no_last_chunk(void **state _unused_)
{
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	fixture_call(f, say_hello);
	assert_int_equal(client_chunk(c), 5);
	fixture_call(f, break_stream);
	assert_int_equal(client_chunk(c), -1);
	wait_until(f->closed == 1);
}

static void a_stream_to_http_1_0_ends_with_the_connection(void **state _unused_)
{
	strcpy(held->stream_text, "old");
	held->stream_ended = true;
	client_send(c, "GET /stream HTTP/1.0\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	while (client_fill(c))
		;
	assert_string_equal(c->data, "old");
	wait_until(f->closed == 1);
}

static void a_stream_without_a_byte_to_http_1_0_ends_with_the_connection(void **state _unused_)
{
	held->stream_text[0] = '\0';
	held->stream_ended = true;
	client_send(c, "GET /stream HTTP/1.0\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	assert_true(client_at_end(c));
	wait_until(f->closed == 1);
}

static void a_head_request_for_a_stream_pulls_nothing(void **state _unused_)
{
	client_send(c, "HEAD /stream HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	wait_until(f->closed == 1);
	assert_int_equal(f->pulls, 0);
	assert_true(client_at_end(c));
}

static void a_stream_waits_for_a_client_slower_than_the_idle_limit(void **state _unused_)
{
	held->stream_left = 2 * MiB;
	held->stream_ended = true;
	client_send(c, "GET /stream HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 200);
	assert_true(client_at_end(other)); /* the limit is over */
	client_unref(other);
	other = client_new(f);
	assert_true(client_at_end(other)); /* and once more */
	for (size_t total = 0;; total += c->n_body) {
		c->n_body = 0;
		if (client_chunk(c) == 0) {
			assert_int_equal(total, 2 * MiB);
			break;
		}
	}
	assert_int_equal(client_ask(c, "GET /ping HTTP/1.1\r\n\r\n"), 200);
	assert_true(client_at_end(c)); /* the limit holds again */
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(a_stream_is_asked_again_only_when_it_was_woken),
		test(a_stream_that_is_woken_while_it_is_asked_goes_on),
		test(a_deferred_answer_may_be_a_stream),
		test(a_stream_ends_once_when_its_client_goes_away),
		test(a_stream_ends_once_when_its_client_goes_away_amidst),
		test(a_stream_that_was_woken_for_nothing_ends_with_its_client),
		test(a_stream_that_breaks_off_has_no_last_chunk),
		test(a_stream_to_http_1_0_ends_with_the_connection),
		test(a_stream_without_a_byte_to_http_1_0_ends_with_the_connection),
		test(a_head_request_for_a_stream_pulls_nothing),
		test(a_stream_waits_for_a_client_slower_than_the_idle_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
