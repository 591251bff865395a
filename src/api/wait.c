/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - answers when something has come true of a session. */
#include "api/wait.h"
#include "api/describe.h"
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"

#define MATCH_TEXT_MAX 4096U

static json_t *render_match(const struct session *s, const struct wait_result *r)
{
	const struct ring *ring = &s->streams[r->stream].capture.ring;
	uint64_t n = MIN(r->to - r->from, (uint64_t)MATCH_TEXT_MAX);
	char line[MATCH_TEXT_MAX];

	/* It matched just now; it has not been overwritten since. */
	n = ring_copy(ring, r->from, line, n);
	return json_pack("{s:s, s:I, s:I, s:o}", "stream", render_stream_name(s, r->stream), "from",
			 (json_int_t)r->span[0], "to", (json_int_t)r->span[1], "line",
			 json_bytes(line, n));
}

/* Where each stream stands: what a later `match` may begin from. */
static json_t *render_next(const struct session *s)
{
	json_t *next = json_object();

	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (output_stream_exists(s, i))
			json_object_set_new(
				next, render_stream_name(s, i),
				json_integer((json_int_t)ring_head(&s->streams[i].capture.ring)));
	return next;
}

json_t *render_wait(const struct session *s, const struct wait_result *r)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "processId", s->id, "fired",
			      wait_type_name(r->type), "status", session_status(s), "treeAlive",
			      (int)session_tree_alive(s));

	json_object_set_new(o, "next", render_next(s));
	if (r->type == WAIT_MATCH)
		json_object_set_new(o, "match", render_match(s, r));
	if (r->type == WAIT_HTTP)
		json_object_set_new(o, "httpStatus", json_integer(r->http_status));
	if (r->type == WAIT_INPUT)
		json_object_set_new(o, "echo", json_boolean(r->echo));
	if (session_exited(s)) {
		json_object_set_new(o, "exitCode", render_exit_code(s));
		json_object_set_new(o, "exit", render_exit(s));
	}
	return o;
}

/* A request that waits. */
struct waiting {
	struct request *rq;
	struct wait *wait;
};

static void on_done(void *data, const struct session *s, const struct wait_result *r)
{
	struct waiting *w = data;
	struct error e = { 0 };

	if (r->type == WAIT_REMOVED) {
		error_set(&e, ERROR_NOT_FOUND, "%s was removed", s->id);
		request_reply_error(w->rq, &e);
	} else {
		request_reply_json(w->rq, 200, render_wait(s, r));
	}
	free(w);
}

static void on_cancelled(struct request *rq, void *data)
{
	struct waiting *w = data;

	(void)rq;
	wait_cancel(w->wait);
	free(w);
}

struct body {
	json_t *until;
	bool has_timeout;
	uint64_t timeout_ms;
};

const struct json_field wait_fields[] = {
	{ .name = "until", .type = FIELD_JSON, .offset = offsetof(struct body, until) },
	{ .name = "timeout",
	  .type = FIELD_DURATION,
	  .offset = offsetof(struct body, timeout_ms),
	  .seen = offsetof(struct body, has_timeout) },
	{ 0 },
};

int session_wait(struct request *rq, void *context, struct error *err)
{
	struct body body = { 0 };
	struct waiting *w;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_fields(rq, wait_fields, &body, err);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	w->rq = rq;
	r = wait_new(&w->wait, s, json_is_null(body.until) ? NULL : body.until, body.has_timeout,
		     body.timeout_ms, on_done, w, err);
	if (r < 0) {
		free(w);
		return r;
	}
	request_defer(rq, on_cancelled, w);
	return 0;
}
