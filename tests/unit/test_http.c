/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers. Deferring, streams and upgrades are in test_http_waiting.c, connections and
 * limits in test_http_limits.c. */
#include "http_fixture.h"

#define BODY_MAX 1000

static int echo(struct request *rq, void *context _unused_, struct error *e _unused_)
{
	const char *q = request_query(rq, "q");

	return request_reply_json(rq, 200,
				  json_pack("{s:s, s:s, s:i}", "name", request_param(rq, "name"),
					    "q", q ? q : "absent", "pid",
					    (int)request_peer_pid(rq)));
}

static int take_body(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;
	size_t size;
	const void *body = request_body(rq, &size);

	f->handled++;
	return request_reply_bytes(rq, 201, "text/plain", body, size);
}

static int take_json(struct request *rq, void *context _unused_, struct error *e)
{
	json_t *body;
	int r = request_json(rq, &body, e);

	return r < 0 ? r : request_reply_json(rq, 200, json_incref(body));
}

static int show_header(struct request *rq, void *context _unused_, struct error *e _unused_)
{
	const char *value = request_header(rq, "x-question");

	request_add_header(rq, "X-Answer", value ? value : "none");
	request_add_header(rq, "X-Split", "a\r\nb");
	return request_reply_bytes(rq, 204, NULL, NULL, 0);
}

static int refuse(struct request *rq _unused_, void *context _unused_, struct error *e)
{
	return error_set(e, ERROR_WRONG_STATE, "it \"is\" over");
}

static int refuse_with_details(struct request *rq, void *context _unused_, struct error *e)
{
	error_set(e, ERROR_RATE_LIMITED, "slower");
	return request_reply_error_details(rq, e, json_pack("{s:i}", "afterMs", 5));
}

static int say_nothing(struct request *rq _unused_, void *context _unused_,
		       struct error *e _unused_)
{
	return 0;
}

static int answer_twice(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;

	request_reply_json(rq, 200, json_pack("{s:i}", "answer", 1));
	if (request_reply_json(rq, 200, json_pack("{s:i}", "answer", 2)) == -EALREADY)
		f->handled++;
	return 0;
}

static const char *const echo_query[] = { "q", NULL };

static const struct route routes[] = {
	{ .method = "GET", .path = "/echo/{name}", .handle = echo, .query = echo_query },
	{ .method = "POST", .path = "/body", .handle = take_body, .body_max = BODY_MAX },
	{ .method = "POST", .path = "/json", .handle = take_json, .body_max = BODY_MAX },
	{ .method = "GET", .path = "/header", .handle = show_header },
	{ .method = "GET", .path = "/fail", .handle = refuse },
	{ .method = "GET", .path = "/details", .handle = refuse_with_details },
	{ .method = "GET", .path = "/nothing", .handle = say_nothing },
	{ .method = "GET", .path = "/twice", .handle = answer_twice },
	{ 0 },
};

static struct fixture *f;
static struct client *c;

static int setup(void **state _unused_)
{
	f = fixture_new(routes, (struct http_limits){ .connections = 100 });
	c = client_new(f);
	return 0;
}

static int teardown(void **state _unused_)
{
	client_unref(c);
	fixture_unref(f);
	return 0;
}

static void fresh_client(void)
{
	client_unref(c);
	c = client_new(f);
}

static void a_request_is_answered_in_json(void **state _unused_)
{
	char expected[128];

	assert_int_equal(client_ask(c, "GET /echo/a%20b?q=1+2 HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	snprintf(expected, sizeof(expected), "{\"name\":\"a b\",\"q\":\"1 2\",\"pid\":%d}",
		 (int)getpid());
	assert_string_equal(c->body, expected);
}

static void a_request_may_come_byte_by_byte(void **state _unused_)
{
	const char *text = "POST /body HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
			   "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n";

	for (const char *p = text; *p; p++)
		assert_true(client_send_bytes(c, p, 1));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_receive(c), 201);
		assert_string_equal(c->body, "hello");
	}
}

static void pipelined_requests_are_answered_in_order(void **state _unused_)
{
	client_send(c, "GET /echo/1 HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n"
		       "POST /body HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
		       "GET /echo/2 HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive(c), 200);
	assert_non_null(strstr(c->body, "\"1\""));
	assert_int_equal(client_receive(c), 404);
	assert_int_equal(client_receive(c), 201);
	assert_string_equal(c->body, "abc");
	assert_int_equal(client_receive(c), 200);
	assert_non_null(strstr(c->body, "\"2\""));
}

static void head_is_answered_like_get_without_the_body(void **state _unused_)
{
	char value[256];

	client_send(c, "HEAD /fail HTTP/1.1\r\n\r\n");
	assert_int_equal(client_receive_head(c), 409);
	assert_true(atoi(client_header(c, "Content-Length", value)) > 10);
	assert_int_equal(client_ask(c, "GET /echo/x HTTP/1.1\r\n\r\n"), 200);
}

static void http_1_0_closes_unless_asked_to_stay(void **state _unused_)
{
	assert_int_equal(client_ask(c, "GET /echo/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
			 200);
	assert_int_equal(client_ask(c, "GET /echo/x HTTP/1.0\r\n\r\n"), 200);
	assert_true(client_at_end(c));
}

static void headers_go_in_and_out(void **state _unused_)
{
	char value[256];

	assert_int_equal(client_ask(c, "GET /header HTTP/1.1\r\nX-QUESTION: 42\r\n\r\n"), 204);
	assert_string_equal(client_header(c, "X-Answer", value), "42");
	assert_string_equal(client_header(c, "X-Split", value), "");
}

static void a_negative_return_is_the_answer(void **state _unused_)
{
	assert_int_equal(client_ask(c, "GET /fail HTTP/1.1\r\n\r\n"), 409);
	assert_string_equal(c->body, "{\"error\":{\"code\":\"wrong_state\",\"message\":\"it "
				     "\\\"is\\\" over\",\"retryable\":false}}");
	client_ask(c, "GET /details HTTP/1.1\r\n\r\n");
	assert_error(c, 429, "rate_limited");
	assert_non_null(strstr(c->body, "\"retryable\":true,\"details\":{\"afterMs\":5}}"));
}

static void a_handler_answers_once(void **state _unused_)
{
	client_ask(c, "GET /nothing HTTP/1.1\r\n\r\n");
	assert_error(c, 500, "internal");
	assert_int_equal(client_ask(c, "GET /twice HTTP/1.1\r\n\r\n"), 200);
	assert_string_equal(c->body, "{\"answer\":1}");
	assert_int_equal(f->handled, 1);
}

static void a_body_is_read_as_a_json_object(void **state _unused_)
{
	client_ask(c, "POST /json HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(c->body, "{}");
	client_ask(c, "POST /json HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
	assert_string_equal(c->body, "{\"a\":1}");
	client_ask(c, "POST /json HTTP/1.1\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}");
	assert_error(c, 400, "invalid_argument");
	client_ask(c, "POST /json HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]");
	assert_error(c, 400, "invalid_argument");
	client_ask(c, "POST /json HTTP/1.1\r\nContent-Length: 4\r\n\r\n{\n\nx");
	assert_error(c, 400, "invalid_argument");
	assert_non_null(strstr(c->body, "line 3"));
}

/* --- refusals ------------------------------------------------------------------------------- */

struct refusal {
	const char *request;
	int status;
	const char *code;
};

static void assert_refusals(const struct refusal *list, size_t n, bool closes)
{
	for (size_t i = 0; i < n; i++) {
		client_ask(c, list[i].request);
		if (c->status != list[i].status || !client_error(c))
			fail_msg("%s\n-> %s%s", list[i].request, c->head, c->body);
		assert_error(c, list[i].status, list[i].code);
		if (closes) {
			assert_true(client_at_end(c));
			wait_until(fixture_connections(f) == 0); /* though it is open here */
			fresh_client();
		}
	}
	assert_int_equal(f->handled, 0);
	assert_int_equal(client_ask(c, "GET /echo/x HTTP/1.1\r\n\r\n"), 200);
}

static void wrong_requests_are_refused_and_the_connection_stays(void **state _unused_)
{
	static const struct refusal list[] = {
		{ "GET /nowhere HTTP/1.1\r\n\r\n", 404, "not_found" },
		{ "GET / HTTP/1.1\r\n\r\n", 404, "not_found" },
		{ "GET /echo/ HTTP/1.1\r\n\r\n", 404, "not_found" },
		{ "POST /echo/x HTTP/1.1\r\n\r\n", 405, "invalid_argument" },
		{ "BREW /echo/x HTTP/1.1\r\n\r\n", 405, "invalid_argument" },
		{ "GET /echo/x?r=1 HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x?q=1&q=2 HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /fail?q HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/%0 HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x%00 HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x?q=%00 HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/%ff HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/a b HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET echo HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
	};

	assert_refusals(list, ARRAY_SIZE(list), false);
}

static void a_length_that_can_be_read_in_two_ways_is_refused(void **state _unused_)
{
	static const struct refusal list[] = {
		{ "POST /body HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "3\r\nabc\r\n0\r\n\r\n",
		  400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
		  "3\r\nabc\r\n0\r\n\r\n",
		  400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		  400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		  400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", 400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413,
		  "too_large" },
	};

	assert_refusals(list, ARRAY_SIZE(list), true);
}

static void a_request_that_is_refused_with_its_body_to_come_closes(void **state _unused_)
{
	static const struct refusal list[] = {
		{ "POST /body HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413, "too_large" },
		{ "GET /fail HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 413, "too_large" },
		{ "POST /nowhere HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 404, "not_found" },
		{ "POST /body?x HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400, "invalid_argument" },
		{ "PUT /body HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 405, "invalid_argument" },
	};

	assert_refusals(list, ARRAY_SIZE(list), true);
}

static void what_is_no_http_is_refused_like_all_else(void **state _unused_)
{
	static const struct refusal list[] = {
		{ "GET /echo/x HTTP/2.0\r\n\r\n", 505, "invalid_argument" },
		{ "GET /echo/x HTTP/1.1 or so\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x FTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x\r\n\r\n", 400, "invalid_argument" },
		{ "GET /echo/x HTTP/1.1\r\nno colon\r\n\r\n", 400, "invalid_argument" },
		{ "\x16\x03\x01 \xa5\x01 \x03\r\n\r\n", 400, "invalid_argument" },
		{ "\x16\x03\x01\xa5\x01\x03\r\n\r\n", 400, "invalid_argument" },
		{ "GET\r\n\r\n", 400, "invalid_argument" },
		{ " /echo/x HTTP/1.1\r\n\r\n", 400, "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", 400,
		  "invalid_argument" },
		{ "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "fffffffffffffffffff\r\n",
		  413, "too_large" },
	};

	assert_refusals(list, ARRAY_SIZE(list), true);
}

/* `start`, much more than a head may have, and `end`. */
static void assert_too_long(const char *start, int status)
{
	static char text[100 * KiB];
	size_t n = strlen(start);

	memset(text, 'a', sizeof(text));
	memcpy(text, start, n);
	memcpy(text + sizeof(text) - 4, "\r\n\r\n", 4);
	client_send_bytes(c, text, sizeof(text));
	client_receive(c);
	assert_error(c, status, "too_large");
	assert_true(client_at_end(c));
	fresh_client();
}

static void a_head_or_a_trailer_that_is_too_long_is_refused_like_all_else(void **state _unused_)
{
	static const char chunked[] = "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
	char start[256];

	assert_too_long("GET /echo/", 414);
	assert_too_long("GET /echo/x HTTP/1.1\r\nX: ", 431);
	snprintf(start, sizeof(start), "%s2\r\nab\r\n0\r\nX: ", chunked);
	assert_too_long(start, 431);
	snprintf(start, sizeof(start), "%s2;", chunked);
	assert_too_long(start, 413);
	assert_int_equal(client_ask(c, "GET /echo/x HTTP/1.1\r\n\r\n"), 200);
}

static void a_nul_in_the_request_line_is_refused(void **state _unused_)
{
	static const char text[] = "GET /echo/x\0y HTTP/1.1\r\n\r\n";

	client_send_bytes(c, text, sizeof(text) - 1);
	client_receive(c);
	assert_error(c, 400, "invalid_argument");
}

static void a_wrong_method_is_told_the_right_ones(void **state _unused_)
{
	char value[256];

	client_ask(c, "PUT /echo/x HTTP/1.1\r\n\r\n");
	assert_string_equal(client_header(c, "Allow", value), "GET, HEAD");
	client_ask(c, "PUT /body HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
	assert_string_equal(client_header(c, "Allow", value), "POST");
}

/* --- bodies --------------------------------------------------------------------------------- */

static void a_body_may_have_just_the_limit(void **state _unused_)
{
	char body[BODY_MAX + 1];

	memset(body, 'b', BODY_MAX);
	body[BODY_MAX] = '\0';
	client_send(c, "POST /body HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
	client_send(c, body);
	assert_int_equal(client_receive(c), 201);
	assert_string_equal(c->body, body);
	client_send(c, "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
	client_send(c, body);
	client_send(c, "\r\n0\r\n\r\n");
	assert_int_equal(client_receive(c), 201);
	assert_string_equal(c->body, body);
}

static void a_chunked_body_is_counted(void **state _unused_)
{
	char chunk[128] = "64\r\n";
	unsigned sent = 0;

	memset(chunk + 4, 'x', 100);
	strcpy(chunk + 104, "\r\n");
	client_send(c, "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	while (sent < 11 && client_send(c, chunk))
		sent++;
	client_receive(c);
	assert_error(c, 413, "too_large");
	assert_true(client_at_end(c));
	assert_int_equal(f->handled, 0);
}

static void a_client_that_goes_on_sending_can_read_the_refusal(void **state _unused_)
{
	char block[4096];
	size_t left = 1024 * 1024;

	memset(block, 'x', sizeof(block));
	client_send(c, "POST /body HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n");
	for (; left; left -= sizeof(block))
		assert_true(client_send_bytes(c, block, sizeof(block)));
	client_receive(c);
	assert_error(c, 413, "too_large");
}

static void a_client_that_asks_is_told_to_go_on(void **state _unused_)
{
	client_send(c, "POST /body HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(client_receive(c), 100);
	assert_int_equal(client_ask(c, "ok"), 201);
	assert_string_equal(c->body, "ok");
}

static void a_client_that_asks_is_refused_before_it_sends(void **state _unused_)
{
	client_ask(c,
		   "POST /body HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n");
	assert_error(c, 413, "too_large");
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		test(a_request_is_answered_in_json),
		test(a_request_may_come_byte_by_byte),
		test(pipelined_requests_are_answered_in_order),
		test(head_is_answered_like_get_without_the_body),
		test(http_1_0_closes_unless_asked_to_stay),
		test(headers_go_in_and_out),
		test(a_negative_return_is_the_answer),
		test(a_handler_answers_once),
		test(a_body_is_read_as_a_json_object),
		test(wrong_requests_are_refused_and_the_connection_stays),
		test(a_length_that_can_be_read_in_two_ways_is_refused),
		test(a_request_that_is_refused_with_its_body_to_come_closes),
		test(what_is_no_http_is_refused_like_all_else),
		test(a_head_or_a_trailer_that_is_too_long_is_refused_like_all_else),
		test(a_nul_in_the_request_line_is_refused),
		test(a_wrong_method_is_told_the_right_ones),
		test(a_body_may_have_just_the_limit),
		test(a_chunked_body_is_counted),
		test(a_client_that_goes_on_sending_can_read_the_refusal),
		test(a_client_that_asks_is_told_to_go_on),
		test(a_client_that_asks_is_refused_before_it_sends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
