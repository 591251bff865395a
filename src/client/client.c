/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"
#include "base/clock.h"
#include "base/json.h"
#include "client/api_error.h"
#include "client/daemon.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define RETRY_MS          20
#define HTTP_RATE_LIMITED 429
#define KEY_LINE_MAX      1024U
#define ERROR_DOC_MAX     (1 * MiB)

struct client {
	struct paths paths;
	unsigned flags;
	struct http_client *http;
	json_t *details;
	int status;
	int timeout_ms; /* of the request under way; -1: none */
	bool unreachable, start_failed;
};

int client_new(struct client **ret, unsigned flags, struct error *e)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "client");
	c->flags = flags;
	r = paths_resolve(&c->paths, e);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	http_client_close(c->http);
	json_decref(c->details);
	paths_done(&c->paths);
	free(c);
	return NULL;
}

const struct paths *client_paths(const struct client *c)
{
	return &c->paths;
}

struct http_client *client_http(struct client *c)
{
	return c->http;
}

struct http_client *client_take_answer(struct client *c)
{
	return take(c->http);
}

struct http_client *client_take_http(struct client *c)
{
	if (!c->http || !http_client_reusable(c->http))
		c->http = http_client_close(c->http);
	return take(c->http);
}

bool client_unreachable(const struct client *c)
{
	return c->unreachable;
}

bool client_start_failed(const struct client *c)
{
	return c->start_failed;
}

const json_t *client_error_details(const struct client *c)
{
	return c->details;
}

int client_status(const struct client *c)
{
	return c->status;
}

/* Nobody listens: starts a daemon, unless one is about to listen or must not be started. */
static int make_daemon(struct client *c, struct error *e)
{
	struct daemon_status status;
	int r;

	if (c->flags & CLIENT_NO_AUTOSTART) {
		r = daemon_probe(&c->paths, &status, e);
		if (r == 0 && status.state != DAEMON_RUNNING && status.state != DAEMON_PARKED)
			return error_set(e, ERROR_UNAVAILABLE,
					 "no daemon runs in %s; start it with `reeve daemon start`",
					 c->paths.dir);
		return r < 0 ? r
			     : daemon_await(&c->paths, clock_monotonic_ms() + DAEMON_START_MS, e);
	}
	r = daemon_start(&c->paths, &status, e);
	if (r == -EEXIST)
		return 0;
	c->start_failed = r < 0;
	return r;
}

/* Makes sure of a connection that takes a request. */
static int ensure(struct client *c, struct error *e)
{
	int r;

	if (c->http && http_client_reusable(c->http))
		return 0;
	c->http = http_client_close(c->http);
	r = http_client_open(c->paths.socket, &c->http, e);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		r = make_daemon(c, e);
		if (r == 0)
			r = http_client_open(c->paths.socket, &c->http, e);
	}
	return r;
}

static int send_once(struct client *c, const struct http_request *rq, const struct http_head **ret,
		     struct error *e)
{
	int r = ensure(c, e);

	if (r < 0)
		return r;
	http_client_set_timeout(c->http, c->timeout_ms);
	r = http_client_send(c->http, rq, e);
	if (r == 0)
		r = http_client_head(c->http, ret, e);
	return r;
}

static int send_patiently(struct client *c, const struct http_request *rq, bool once,
			  const struct http_head **ret, struct error *e)
{
	uint64_t until = clock_monotonic_ms() + CLIENT_PATIENCE_MS;
	int r;

	while ((r = send_once(c, rq, ret, e)) < 0) {
		bool broken = r == -ECONNRESET && !once;

		c->http = http_client_close(c->http);
		if ((!broken && r != -ECONNREFUSED) || c->start_failed ||
		    clock_monotonic_ms() >= until)
			break;
		poll(NULL, 0, RETRY_MS);
	}
	c->unreachable = r < 0;
	return r;
}

static int read_error(struct client *c, int status, struct error *e)
{
	_cleanup_(buffer_done) struct buffer body;
	int r;

	buffer_init(&body, ERROR_DOC_MAX);
	r = http_client_body_all(c->http, &body, e);
	return r < 0 ? r : api_error(status, buffer_text(&body), body.size, &c->details, e);
}

static bool is_header_value(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return n > 0 && n <= 255;
}

int client_open(struct client *c, const struct client_request *rq, const struct http_head **ret,
		struct error *e)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(buffer_done) struct buffer headers;
	struct http_request http = {
		.method = rq->method,
		.target = rq->target,
		.body = rq->data,
		.body_size = rq->size,
		.content_type = rq->body ? NULL : "application/octet-stream",
	};
	int r = 0;

	json_decref(c->details);
	c->details = NULL;
	c->unreachable = c->start_failed = false;
	c->status = 0;
	c->timeout_ms = rq->timeout_ms > 0 ? (int)MIN(rq->timeout_ms, (unsigned)INT_MAX) : -1;
	buffer_init(&headers, KEY_LINE_MAX);
	if (rq->key && !is_header_value(rq->key))
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "a key is 1 to 255 printable characters");
	if (rq->body) {
		text = json_dumps(rq->body, JSON_COMPACT);
		if (!text)
			return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "request");
		http.body = text;
		http.body_size = strlen(text);
	}
	if (rq->key) {
		r = buffer_printf(&headers, "Idempotency-Key: %s\r\n", rq->key);
		http.headers = buffer_text(&headers);
	}
	if (r < 0)
		return error_set_errno(e, ERROR_TOO_LARGE, r, "idempotency key");
	r = send_patiently(c, &http, rq->once, ret, e);
	if (r < 0)
		return r;
	c->status = (*ret)->status;
	return c->status >= 400 ? read_error(c, c->status, e) : 0;
}

/* An answer's body that is cut off is as good as no answer. */
static int read_answer(struct client *c, json_t **ret, struct error *e)
{
	_cleanup_(buffer_done) struct buffer body;
	json_t *answer = NULL;
	int r;

	buffer_init(&body, CLIENT_ANSWER_MAX);
	r = http_client_body_all(c->http, &body, e);
	c->unreachable = r == -ECONNRESET;
	if (r == 0 && ret && body.size > 0)
		r = json_load_strict(body.data, body.size, &answer, e);
	if (r == 0 && ret)
		*ret = answer;
	return r;
}

int client_call(struct client *c, const struct client_request *rq, json_t **ret, struct error *e)
{
	uint64_t until = clock_monotonic_ms() + CLIENT_PATIENCE_MS;
	const struct http_head *head;
	int r;

	for (;;) {
		r = client_open(c, rq, &head, e);
		if (r == 0)
			r = read_answer(c, ret, e);
		/* what was refused for its rate was not begun */
		if (clock_monotonic_ms() >= until ||
		    !((r == -ECONNRESET && !rq->once) || (r < 0 && c->status == HTTP_RATE_LIMITED)))
			return r;
		poll(NULL, 0, RETRY_MS);
	}
}
