/* SPDX-License-Identifier: Apache-2.0 */
/* wait.c - answers when something has come true of a session. */
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"
#include <string.h>

enum condition {
	UNTIL_EXIT,
	UNTIL_TREE,
	UNTIL_EOF,
	N_CONDITIONS,
};

static const char *const condition_names[N_CONDITIONS] = {
	[UNTIL_EXIT] = "exit",
	[UNTIL_TREE] = "tree",
	[UNTIL_EOF] = "eof",
};

struct wait {
	struct listener listener;
	struct session *session;
	struct request *rq;
	uint32_t until; /* set of enum condition */
	uv_timer_t timer;
};

static bool all_streams_ended(const struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (output_stream_exists(s, i) && !word_load(&s->words->streams[i].ended))
			return false;
	return true;
}

static bool is_true(const struct session *s, enum condition c)
{
	switch (c) {
	case UNTIL_EXIT:
		return session_ended(s);
	case UNTIL_TREE:
		return session_ended(s) && !session_tree_alive(s);
	case UNTIL_EOF:
		return session_failed(s) || all_streams_ended(s);
	default:
		return false;
	}
}

/* The first condition that holds; N_CONDITIONS when none does. The command's end always counts, but
 * gives way to what lasts longer and was asked for. */
static enum condition fired(const struct wait *w)
{
	for (unsigned c = 0; c < N_CONDITIONS; c++)
		if (w->until & 1U << c && is_true(w->session, (enum condition)c))
			return (enum condition)c;
	return N_CONDITIONS;
}

static void timer_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct wait, timer));
}

static void free_wait(struct wait *w)
{
	session_unlisten(&w->listener);
	uv_close((uv_handle_t *)&w->timer, timer_closed);
}

static void answer(struct request *rq, const struct session *s, const char *what)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "processId", s->id, "fired", what, "status",
			      session_status(s));
	json_t *next = json_object();

	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (output_stream_exists(s, i))
			json_object_set_new(next, render_stream_name(s, i),
					    json_integer((json_int_t)ring_head(
						    &s->streams[i].capture.ring)));
	json_object_set_new(o, "next", next);
	json_object_set_new(o, "treeAlive", json_boolean(session_tree_alive(s)));
	if (session_exited(s)) {
		json_object_set_new(o, "exitCode", render_exit_code(s));
		json_object_set_new(o, "exit", render_exit(s));
	}
	request_reply_json(rq, 200, o);
}

static void on_changed(struct listener *l)
{
	struct wait *w = container_of(l, struct wait, listener);
	enum condition c = fired(w);

	if (c == N_CONDITIONS)
		return;
	answer(w->rq, w->session, condition_names[c]);
	free_wait(w);
}

static void on_output(struct listener *l, unsigned stream)
{
	(void)stream;
	on_changed(l);
}

static void on_gone(struct listener *l)
{
	struct wait *w = container_of(l, struct wait, listener);
	struct error e = { 0 };

	if (session_ended(w->session)) {
		answer(w->rq, w->session, "exit");
	} else {
		error_set(&e, ERROR_NOT_FOUND, "%s was removed", w->session->id);
		request_reply_error(w->rq, &e);
	}
	free_wait(w);
}

static void on_timeout(uv_timer_t *timer)
{
	struct wait *w = container_of(timer, struct wait, timer);

	answer(w->rq, w->session, "timeout");
	free_wait(w);
}

static void on_cancelled(struct request *rq, void *data)
{
	(void)rq;
	free_wait(data);
}

struct body {
	json_t *until;
	bool has_timeout;
	uint64_t timeout_ms;
};

const struct json_field wait_fields[] = {
	{ .name = "until", .type = FIELD_JSON, .offset = offsetof(struct body, until) },
	{ .name = "timeout", .type = FIELD_DURATION, .offset = offsetof(struct body, timeout_ms),
	  .seen = offsetof(struct body, has_timeout) },
	{ 0 },
};

static int read_condition(const json_t *item, uint32_t *until, struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(item) || json_object_size(item) != 1)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "until: each condition is an object with one field, as {\"exit\":true}");
	json_object_foreach((json_t *)item, key, value) {
		for (unsigned c = 0; c < N_CONDITIONS; c++)
			if (strcmp(key, condition_names[c]) == 0 && json_is_true(value)) {
				*until |= 1U << c;
				return 0;
			}
	}
	return error_set(err, ERROR_INVALID_ARGUMENT,
			 "until: expected {\"exit\":true}, {\"tree\":true} or {\"eof\":true}");
}

static int read_until(const json_t *list, uint32_t *ret, struct error *err)
{
	uint32_t until = 0;
	json_t *item;
	size_t i;

	if (list && !json_is_array(list))
		return error_set(err, ERROR_INVALID_ARGUMENT, "until: expected a list of conditions");
	json_array_foreach(list, i, item) {
		int r = read_condition(item, &until, err);

		if (r < 0)
			return r;
	}
	/* The command's end counts unless something that comes after it is waited for. */
	*ret = until ? until : 1U << UNTIL_EXIT;
	return 0;
}

int session_wait(struct request *rq, void *context, struct error *err)
{
	struct body body = { 0 };
	struct session *s;
	struct wait *w;
	json_t *json;
	uint32_t until;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_json(rq, &json, err);
	if (r >= 0)
		r = json_read(json, wait_fields, &body, err);
	if (r >= 0)
		r = read_until(body.until, &until, err);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	w->session = s;
	w->rq = rq;
	w->until = until;
	w->listener = (struct listener){ .output = on_output, .changed = on_changed, .gone = on_gone };
	if (fired(w) != N_CONDITIONS) {
		answer(rq, s, condition_names[fired(w)]);
		free(w);
		return 0;
	}
	uv_timer_init(&s->engine->loop, &w->timer);
	session_listen(s, &w->listener);
	if (body.has_timeout)
		uv_timer_start(&w->timer, on_timeout, body.timeout_ms, 0);
	request_defer(rq, on_cancelled, w);
	return 0;
}
