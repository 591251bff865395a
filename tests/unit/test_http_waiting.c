/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that take their time: deferred ones, streams, upgrades. */
#include "http_fixture.h"

#define UPGRADE "GET /upgrade HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other, "

/* What the loop's thread holds. Other threads come near it through fixture_call only. */
struct held {
	struct request *deferred[8];
	unsigned n_deferred;
	struct request *stream;
	char stream_text[64];
	size_t stream_left; /* bytes of 'x' to be streamed */
	bool stream_ended, stream_broken;
	struct upgraded *upgraded;
	int upgraded_fd;
	atomic_uint opened, dropped;
};

/* --- handlers ------------------------------------------------------------------------------- */

static void on_cancelled(struct request *rq, void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	f->cancelled++;
	for (unsigned i = 0; i < held->n_deferred; i++)
		if (held->deferred[i] == rq)
			held->deferred[i] = NULL;
}

static int defer(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	request_defer(rq, on_cancelled, f);
	held->deferred[held->n_deferred++] = rq;
	f->handled++;
	return 0;
}

static int defer_and_answer(struct request *rq, void *context, struct error *e _unused_)
{
	request_defer(rq, on_cancelled, context);
	return request_reply_json(rq, 200, json_pack("{s:b}", "now", 1));
}

static ssize_t pull(void *data, char *buffer, size_t max)
{
	struct fixture *f = data;
	struct held *held = f->test;
	size_t n = strlen(held->stream_text);

	f->pulls++;
	if (n) {
		memcpy(buffer, held->stream_text, n);
		held->stream_text[0] = '\0';
		return (ssize_t)n;
	}
	if (held->stream_left) {
		n = MIN(max, held->stream_left);
		memset(buffer, 'x', n);
		held->stream_left -= n;
		return (ssize_t)n;
	}
	if (held->stream_broken)
		return -2;
	return held->stream_ended ? -1 : 0;
}

/* Becomes ready while it is being asked. */
static ssize_t pull_racing(void *data, char *buffer, size_t max)
{
	struct fixture *f = data;
	struct held *held = f->test;

	if (f->pulls++ % 2 == 0 && f->pulls < 6) {
		request_wake(held->stream);
		return 0;
	}
	if (f->pulls > 6)
		return -1;
	memcpy(buffer, "ab", MIN(max, 2U));
	return 2;
}

static void on_closed(void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	f->closed++;
	held->stream = NULL;
}

static int stream(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	held->stream = rq;
	f->handled++;
	return request_stream(rq, 200, "text/plain", pull, on_closed, f);
}

static int stream_racing(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	struct held *held = f->test;

	held->stream = rq;
	return request_stream(rq, 200, "text/plain", pull_racing, on_closed, f);
}

static void on_opened(struct upgraded *u, int fd, const void *extra, size_t n_extra, void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	held->upgraded = u;
	held->upgraded_fd = fd;
	send(fd, "read:", 5, MSG_NOSIGNAL);
	send(fd, extra, n_extra, MSG_NOSIGNAL);
	held->opened++;
}

static void on_dropped(void *data)
{
	struct fixture *f = data;
	struct held *held = f->test;

	held->dropped++;
}

static int upgrade(struct request *rq, void *context, struct error *e _unused_)
{
	return request_upgrade_or(rq, "proto/1", on_opened, on_dropped, context);
}

static int ping(struct request *rq, void *context _unused_, struct error *e _unused_)
{
	return request_reply_json(rq, 200, json_object());
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/defer", .handle = defer },
	{ .method = "GET", .path = "/at-once", .handle = defer_and_answer },
	{ .method = "GET", .path = "/stream", .handle = stream },
	{ .method = "GET", .path = "/racing", .handle = stream_racing },
	{ .method = "GET", .path = "/upgrade", .handle = upgrade },
	{ .method = "GET", .path = "/ping", .handle = ping },
	{ 0 },
};

/* --- on the loop's thread ------------------------------------------------------------------- */

static void answer_all(struct fixture *f)
{
	struct held *held = f->test;

	for (unsigned i = 0; i < held->n_deferred; i++)
		if (held->deferred[i])
			request_reply_json(held->deferred[i], 200, json_pack("{s:i}", "n", (int)i));
	held->n_deferred = 0;
}

static void stream_from_deferred(struct fixture *f)
{
	struct held *held = f->test;

	held->stream = held->deferred[0];
	request_stream(held->stream, 200, "text/plain", pull, on_closed, f);
}

static void say_hello(struct fixture *f)
{
	struct held *held = f->test;

	strcpy(held->stream_text, "hello");
	request_wake(held->stream);
	request_wake(held->stream);
}

/* The client's end of its socket, for wake_and_hang_up. */
static int client_fd;

static void wake_and_hang_up(uv_prepare_t *prepare)
{
	struct fixture *f = prepare->data;
	struct held *held = f->test;

	uv_close((uv_handle_t *)prepare, (uv_close_cb)free);
	request_wake(held->stream);
	close(client_fd);
}

/* In this phase of the loop, so that the hang-up is seen before the stream is asked again. */
static void wake_and_hang_up_in_time(struct fixture *f)
{
	uv_prepare_t *prepare = calloc(1, sizeof(*prepare));

	uv_prepare_init(&f->loop, prepare);
	prepare->data = f;
	uv_prepare_start(prepare, wake_and_hang_up);
}

static void end_stream(struct fixture *f)
{
	struct held *held = f->test;

	held->stream_ended = true;
	request_wake(held->stream);
}

static void break_stream(struct fixture *f)
{
	struct held *held = f->test;

	held->stream_broken = true;
	request_wake(held->stream);
}

static void echo_upgraded(struct fixture *f)
{
	struct held *held = f->test;
	char text[64];
	ssize_t n = recv(held->upgraded_fd, text, sizeof(text), MSG_DONTWAIT);

	if (n > 0)
		send(held->upgraded_fd, text, (size_t)n, MSG_NOSIGNAL);
}

static void close_upgraded(struct fixture *f)
{
	struct held *held = f->test;

	upgraded_close(held->upgraded);
}

static void free_server(struct fixture *f)
{
	f->server = http_server_unref(f->server);
}

/* --- tests ---------------------------------------------------------------------------------- */

static struct fixture *f;
static struct client *c, *other;
static struct held *held;

static int setup(void **state _unused_)
{
	f = fixture_new(routes, (struct http_limits){ .connections = 100, .idle_seconds = 1 });
	f->test = held = calloc(1, sizeof(*held));
	c = client_new(f);
	other = client_new(f);
	return 0;
}

static int teardown(void **state _unused_)
{
	client_unref(c);
	client_unref(other);
	fixture_unref(f);
	free(held);
	return 0;
}

static void hang_up(void)
{
	close(c->fd);
	c->fd = -1;
}

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

/* --- streams -------------------------------------------------------------------------------- */

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
		test(an_upgrade_hands_over_the_socket_and_what_was_read),
		test(an_upgrade_is_for_those_who_ask_for_it),
		test(an_upgraded_connection_has_no_idle_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
