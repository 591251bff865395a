/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "client/attach_input.h"
#include "client/http.h"
#include "client/uri.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

/* --- the parser ------------------------------------------------------------------------------ */

static int parse(const char *text, struct http_head *ret)
{
	static char copy[4096];

	strcpy(copy, text);
	return http_head_parse(copy, strlen(text), ret);
}

static void a_head_is_read_with_its_length_and_headers(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(parse(OK_HEAD "Content-Length: 12\r\nReeve-Next:  7 \r\n\r\n", &head), 0);
	assert_int_equal(head.length, 12);
	assert_false(head.chunked);
	assert_false(head.close);
	assert_string_equal(http_head_find(&head, "reeve-next"), "7");
	assert_null(http_head_find(&head, "reeve"));
}

static void the_end_of_a_head_is_found_only_when_it_is_there(void **state)
{
	static const char text[] = OK_HEAD "A: b\r\n\r\nbody";
	static char endless[HTTP_HEAD_MAX];

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(http_head_size(text, n),
				 n >= strlen(text) - 4 ? strlen(text) - 4 : 0);
	memset(endless, 'x', sizeof(endless));
	assert_int_equal(http_head_size(endless, sizeof(endless)), -E2BIG);
}

static void what_is_not_exactly_http_is_refused(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		OK_HEAD "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		OK_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		OK_HEAD "Content-Length: +5\r\n\r\n",
		OK_HEAD "Content-Length: 5, 5\r\n\r\n",
		OK_HEAD "Content-Length: \r\n\r\n",
		OK_HEAD "Content-Length: 99999999999999999999\r\n\r\n",
		OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n",
		OK_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		OK_HEAD "Content-Length : 0\r\n\r\n",
		OK_HEAD "Content-Length: 0\r\n folded\r\n\r\n",
		OK_HEAD "Content-Length: 0\r\nnonsense\r\n\r\n",
		OK_HEAD "Content-Length: 0\r\n: x\r\n\r\n",
		OK_HEAD "Content-Length: 0\r\nA: \x01\r\n\r\n",
		OK_HEAD "Content-Length: 0\n\r\n\r\n",
		OK_HEAD "\r\n", /* only the end of the connection would end its body */
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		"\r\n\r\n",
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i], &head) != -EPROTO)
			fail_msg("taken: %s", bad[i]);
}

static void an_answer_without_a_body_needs_no_length(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(parse("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", &head), 0);
	assert_int_equal(parse("HTTP/1.1 204\r\nConnection: foo, Close\r\n\r\n", &head), 0);
	assert_true(head.close);
}

/* Reads a chunked body that comes in pieces of `step` bytes into `to`. */
static int read_chunks(const char *wire, size_t step, struct http_body *body, char *to)
{
	struct http_head head = { .chunked = true };
	size_t left = strlen(wire);

	http_body_init(body, &head);
	*to = '\0';
	while (left > 0 && body->phase != HTTP_BODY_DONE) {
		size_t n = step < left ? step : left;
		const char *at = wire, *piece;
		size_t size = n, length;
		int r;

		while ((r = http_body_next(body, &at, &size, &piece, &length)) > 0)
			strncat(to, piece, length);
		if (r < 0)
			return r;
		wire += n - size;
		left -= n - size;
	}
	return (int)left;
}

static void chunks_and_trailers_are_read_however_they_are_cut(void **state)
{
	static const char wire[] = "5\r\nhello\r\nA\r\n, my world\r\n0\r\n"
				   "Reeve-Next: 15\r\nOther: x\r\n\r\nrest";
	struct http_body body;
	char text[64];

	(void)state;
	for (size_t step = 1; step < sizeof(wire); step++) {
		assert_int_equal(read_chunks(wire, step, &body, text), 4);
		assert_string_equal(text, "hello, my world");
		assert_int_equal(body.phase, HTTP_BODY_DONE);
		assert_string_equal(http_head_find(&body.trailers, "reeve-next"), "15");
		assert_string_equal(http_head_find(&body.trailers, "other"), "x");
	}
}

static void malformed_chunks_are_refused(void **state)
{
	static const char *const bad[] = {
		"5\nhello\r\n",    "5;x=y\r\nhello\r\n",     "-1\r\n",  "\r\n",
		"5\r\nhelloX\r\n", "FFFFFFFFFFFFFFFFFF\r\n", "0x5\r\n", "0\r\nno colon\r\n\r\n",
	};
	struct http_body body;
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (read_chunks(bad[i], 100, &body, text) != -EPROTO)
			fail_msg("taken: %s", bad[i]);
}

/* --- the client ------------------------------------------------------------------------------ */

/* A server that expects each request in turn and gives its answer; in a process of its own. */
struct exchange {
	const char *request; /* what it must begin with */
	const char *answer;
};

static pid_t serve(const struct exchange *exchanges, size_t n, struct http_client **ret)
{
	int pair[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pair[0]);
		for (size_t i = 0; i < n; i++) {
			char got[4096] = "";
			size_t size = 0;

			while (!strstr(got, "\r\n\r\n")) {
				ssize_t k = read(pair[1], got + size, sizeof(got) - 1 - size);

				if (k <= 0)
					_exit(2);
				size += (size_t)k;
			}
			if (strncmp(got, exchanges[i].request, strlen(exchanges[i].request)) != 0)
				_exit(1);
			fd_write_all(pair[1], exchanges[i].answer, strlen(exchanges[i].answer));
		}
		_exit(0);
	}
	close(pair[1]);
	assert_int_equal(http_client_from_fd(pair[0], ret), 0);
	return pid;
}

static void assert_served(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void get(struct http_client *c, const char *target, const char *expected)
{
	struct http_request rq = { .method = "GET", .target = target };
	struct buffer body;
	const struct http_head *head;
	struct error e;

	buffer_init(&body, KiB);
	assert_int_equal(http_client_send(c, &rq, &e), 0);
	assert_int_equal(http_client_head(c, &head, &e), 0);
	assert_int_equal(head->status, 200);
	assert_int_equal(http_client_body_all(c, &body, &e), 0);
	assert_string_equal(buffer_text(&body), expected);
	buffer_done(&body);
}

static void one_connection_serves_several_requests(void **state)
{
	static const struct exchange exchanges[] = {
		{ "GET /a HTTP/1.1\r\nHost: ", OK_HEAD "Content-Length: 3\r\n\r\none" },
		{ "GET /b ", "HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD
			     "Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nX: y\r\n\r\n" },
		{ "GET /c ", OK_HEAD "Content-Length: 0\r\nConnection: close\r\n\r\n" },
	};
	_cleanup_(http_client_closep) struct http_client *c = NULL;
	pid_t server = serve(exchanges, ARRAY_SIZE(exchanges), &c);

	(void)state;
	get(c, "/a", "one");
	get(c, "/b", "two");
	assert_string_equal(http_client_trailer(c, "X"), "y");
	assert_true(http_client_reusable(c));
	get(c, "/c", "");
	assert_false(http_client_reusable(c));
	assert_served(server);
}

static void a_body_goes_out_with_its_length(void **state)
{
	static const struct exchange exchanges[] = {
		{ "POST /x HTTP/1.1\r\nHost: reeve\r\nK: v\r\nContent-Type: application/json\r\n"
		  "Content-Length: 2\r\n\r\n{}",
		  OK_HEAD "Content-Length: 0\r\n\r\n" },
	};
	_cleanup_(http_client_closep) struct http_client *c = NULL;
	pid_t server = serve(exchanges, 1, &c);
	struct http_request rq = { .method = "POST",
				   .target = "/x",
				   .headers = "K: v\r\n",
				   .body = "{}",
				   .body_size = 2 };
	const struct http_head *head;

	(void)state;
	assert_int_equal(http_client_send(c, &rq, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_served(server);
}

static void a_broken_connection_is_told_from_a_short_answer(void **state)
{
	static const struct exchange nothing[] = { { "GET /a ", "" } };
	static const struct exchange half[] = { { "GET /a ",
						  OK_HEAD "Content-Length: 10\r\n\r\nhalf" } };
	struct http_request rq = { .method = "GET", .target = "/a" };
	_cleanup_(http_client_closep) struct http_client *c = NULL, *d = NULL;
	pid_t server = serve(nothing, 1, &c);
	const struct http_head *head;
	struct buffer body;
	struct error e;

	(void)state;
	assert_int_equal(http_client_send(c, &rq, &e), 0);
	assert_int_equal(http_client_head(c, &head, &e), -ECONNRESET);
	assert_int_equal(e.code, ERROR_UNAVAILABLE);
	assert_served(server);

	server = serve(half, 1, &d);
	buffer_init(&body, KiB);
	assert_int_equal(http_client_send(d, &rq, &e), 0);
	assert_int_equal(http_client_head(d, &head, &e), 0);
	assert_int_equal(http_client_body_all(d, &body, &e), -ECONNRESET);
	assert_string_equal(buffer_text(&body), "half");
	assert_false(http_client_reusable(d));
	buffer_done(&body);
	assert_served(server);
}

static void a_silent_server_times_out_when_asked_to(void **state)
{
	struct http_request rq = { .method = "GET", .target = "/a" };
	_cleanup_(http_client_closep) struct http_client *c = NULL;
	_cleanup_(closep) int other = -1;
	const struct http_head *head;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	other = pair[1];
	assert_int_equal(http_client_from_fd(pair[0], &c), 0);
	http_client_set_timeout(c, 10);
	assert_int_equal(http_client_send(c, &rq, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), -ETIMEDOUT);
}

static void an_answer_past_its_cap_is_too_large(void **state)
{
	static const struct exchange exchanges[] = { { "GET /a ",
						       OK_HEAD "Content-Length: 5\r\n\r\n12345" } };
	struct http_request rq = { .method = "GET", .target = "/a" };
	_cleanup_(http_client_closep) struct http_client *c = NULL;
	pid_t server = serve(exchanges, 1, &c);
	const struct http_head *head;
	struct buffer body;

	(void)state;
	buffer_init(&body, 4);
	assert_int_equal(http_client_send(c, &rq, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_int_equal(http_client_body_all(c, &body, NULL), -EFBIG);
	buffer_done(&body);
	assert_served(server);
}

static void an_upgrade_hands_over_the_socket_and_what_came_with_it(void **state)
{
	static const struct exchange exchanges[] = {
		{ "GET /up HTTP/1.1\r\nHost: reeve\r\nUpgrade: x\r\n\r\n",
		  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nframes" }
	};
	struct http_request rq = { .method = "GET", .target = "/up", .headers = "Upgrade: x\r\n" };
	_cleanup_(http_client_closep) struct http_client *c = NULL;
	pid_t server = serve(exchanges, 1, &c);
	_cleanup_(closep) int fd = -1;
	const struct http_head *head;
	const void *rest;
	char c1;
	size_t n;

	(void)state;
	assert_int_equal(http_client_send(c, &rq, NULL), 0);
	assert_int_equal(http_client_head(c, &head, NULL), 0);
	assert_served(server);
	fd = http_client_take_socket(c, &rest, &n);
	assert_int_equal(n, 6);
	assert_memory_equal(rest, "frames", 6);
	assert_int_equal(read(fd, &c1, 1), 0);
}

static void nobody_listening_has_its_own_error(void **state)
{
	struct http_client *c;
	struct error e;

	(void)state;
	assert_int_equal(http_client_open("/nonexistent/reeve.sock", &c, &e), -ENOENT);
	assert_non_null(strstr(e.message, "/nonexistent/reeve.sock"));
}

static void targets_are_encoded(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, KiB);
	assert_int_equal(uri_session(&b, "a/b c?", "/logs"), 0);
	assert_int_equal(uri_query(&b, "tail", "5"), 0);
	assert_int_equal(uri_query(&b, "grep", NULL), 0);
	assert_int_equal(uri_query(&b, "label", "k=v&\xc3\xa9"), 0);
	assert_string_equal(buffer_text(&b),
			    "/v1/sessions/a%2Fb%20c%3F/logs?tail=5&label=k%3Dv%26%C3%A9");
	buffer_done(&b);
}

/* --- input held until it is accepted --------------------------------------------------------- */

static void add_input(struct attach_input *in, const char *text)
{
	struct iovec room[2];

	assert_true(attach_input_pieces(in, room) > 0);
	assert_true(room[0].iov_len >= strlen(text));
	memcpy(room[0].iov_base, text, strlen(text));
	in->end += strlen(text);
}

static void assert_due(const struct attach_input *in, const char *expected)
{
	const uint8_t *bytes;

	assert_int_equal(attach_input_due(in, FRAME_INPUT_WINDOW, &bytes), strlen(expected));
	assert_memory_equal(bytes, expected, strlen(expected));
}

static void input_waits_for_the_session_to_take_any(void **state)
{
	static struct attach_input in;
	struct iovec room[2];

	(void)state;
	assert_int_equal(attach_input_pieces(&in, room), 0);
	assert_int_equal(attach_input_start(&in, 100), 0);
	add_input(&in, "hello");
	assert_due(&in, "hello");
	assert_true(in.sent == 100);
}

static void what_was_not_accepted_is_sent_again_and_nothing_else(void **state)
{
	static struct attach_input in;

	(void)state;
	assert_int_equal(attach_input_start(&in, 0), 0);
	add_input(&in, "hello world");
	in.sent = in.end;
	attach_input_accept(&in, 3);
	assert_int_equal(attach_input_start(&in, 6), 0); /* three more were taken unnoticed */
	assert_due(&in, "world");
	assert_true(in.sent == 6);
	assert_int_equal(attach_input_start(&in, 5), -EPROTO);
}

static void input_moves_behind_what_another_client_has_typed(void **state)
{
	static struct attach_input in;

	(void)state;
	assert_int_equal(attach_input_start(&in, 0), 0);
	add_input(&in, "mine");
	attach_input_accept(&in, 10);
	assert_due(&in, "mine");
	assert_true(in.sent == 10);
	assert_true(in.end == 14);
}

static void the_end_is_told_once_all_is_accepted_and_again_after_a_break(void **state)
{
	static struct attach_input in;

	(void)state;
	assert_int_equal(attach_input_start(&in, 0), 0);
	add_input(&in, "bye");
	in.ended = true;
	in.sent = in.end;
	assert_false(attach_input_eof_due(&in));
	attach_input_accept(&in, 3);
	assert_true(attach_input_eof_due(&in));
	in.eof_sent = true;
	assert_int_equal(attach_input_start(&in, 3), 0);
	assert_true(attach_input_eof_due(&in));
}

static void the_input_window_wraps_and_never_overflows(void **state)
{
	static struct attach_input in;
	struct iovec room[2];
	const uint8_t *due;

	(void)state;
	assert_int_equal(attach_input_start(&in, FRAME_INPUT_WINDOW - 3), 0);
	assert_int_equal(attach_input_pieces(&in, room), 2);
	assert_int_equal(room[0].iov_len, 3);
	assert_int_equal(room[0].iov_len + room[1].iov_len, FRAME_INPUT_WINDOW);
	memset(room[0].iov_base, 'a', room[0].iov_len);
	memset(room[1].iov_base, 'b', room[1].iov_len);
	in.end += FRAME_INPUT_WINDOW;
	assert_int_equal(attach_input_pieces(&in, room), 0);
	assert_due(&in, "aaa");
	in.sent += 3;
	assert_int_equal(attach_input_due(&in, FRAME_INPUT_WINDOW, &due), FRAME_INPUT_WINDOW - 3);
	assert_int_equal(due[0], 'b');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_read_with_its_length_and_headers),
		cmocka_unit_test(the_end_of_a_head_is_found_only_when_it_is_there),
		cmocka_unit_test(what_is_not_exactly_http_is_refused),
		cmocka_unit_test(an_answer_without_a_body_needs_no_length),
		cmocka_unit_test(chunks_and_trailers_are_read_however_they_are_cut),
		cmocka_unit_test(malformed_chunks_are_refused),
		cmocka_unit_test(one_connection_serves_several_requests),
		cmocka_unit_test(a_body_goes_out_with_its_length),
		cmocka_unit_test(a_broken_connection_is_told_from_a_short_answer),
		cmocka_unit_test(a_silent_server_times_out_when_asked_to),
		cmocka_unit_test(an_answer_past_its_cap_is_too_large),
		cmocka_unit_test(an_upgrade_hands_over_the_socket_and_what_came_with_it),
		cmocka_unit_test(nobody_listening_has_its_own_error),
		cmocka_unit_test(targets_are_encoded),
		cmocka_unit_test(input_waits_for_the_session_to_take_any),
		cmocka_unit_test(what_was_not_accepted_is_sent_again_and_nothing_else),
		cmocka_unit_test(input_moves_behind_what_another_client_has_typed),
		cmocka_unit_test(the_end_is_told_once_all_is_accepted_and_again_after_a_break),
		cmocka_unit_test(the_input_window_wraps_and_never_overflows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
