/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c - subscriptions to the events of a session. */
#include "api/observe.h"
#include "api/render.h"
#include "api/routes.h"
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64U * 1024U)

/* A subscription that waits for the backends to have been tried out. */
struct subscribing {
	struct observe_wait wait;
	struct listener listener;
	struct session *session;
	struct request *rq;
	struct observe_body body;
};

static void free_subscribing(struct subscribing *sb)
{
	observe_unwait(&sb->wait);
	session_unlisten(&sb->listener);
	observe_body_done(&sb->body);
	free(sb);
}

static int answer_subscriber(struct request *rq, int status, const struct session *s,
			     unsigned place)
{
	_cleanup_(buffer_done) struct buffer b = { .max = ANSWER_MAX };
	struct json_writer w = { .to = &b };

	json_write_open(&w, NULL, '{');
	render_subscriber(&w, s, place);
	json_write_close(&w, '}');
	return render_reply_text(rq, status, &w);
}

/* Subscribes, and answers when that worked. */
static int subscribe(struct subscribing *sb, struct error *err)
{
	struct session *s = sb->session;
	uint64_t number;
	int r = observe_choose(s->engine, &sb->body.request, false, err);

	if (r >= 0)
		r = observe_subscribe(s, &sb->body.request, &number, err);
	if (r < 0)
		return r;
	r = events_find(&s->observed->memory, number);
	return answer_subscriber(sb->rq, 201, s, (unsigned)r);
}

static void on_ready(struct observe_wait *w, int result)
{
	struct subscribing *sb = container_of(w, struct subscribing, wait);
	struct error err = { 0 };

	if (result < 0)
		error_set_errno(&err, ERROR_INTERNAL, result, "try out what can be observed");
	if (result < 0 || subscribe(sb, &err) < 0)
		request_reply_error(sb->rq, &err);
	free_subscribing(sb);
}

static void on_gone(struct listener *l)
{
	struct subscribing *sb = container_of(l, struct subscribing, listener);
	struct error err = { 0 };

	error_set(&err, ERROR_NOT_FOUND, "the session was removed");
	request_reply_error(sb->rq, &err);
	free_subscribing(sb);
}

static void on_cancelled(struct request *rq, void *data)
{
	(void)rq;
	free_subscribing(data);
}

static int begin(struct subscribing *sb, struct engine *e, struct error *err)
{
	int r;

	sb->wait = (struct observe_wait){ .scope = REEVE_LAUNCHED_TREE,
					  .all = true, /* others serve a command that runs */
					  .ready = on_ready };
	r = observe_wants_probe(&sb->body.request) ? observe_wait(e, &sb->wait) : 1;
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "try out what can be observed");
	if (r == 0) {
		sb->listener = (struct listener){ .gone = on_gone };
		session_listen(sb->session, &sb->listener);
		request_defer(sb->rq, on_cancelled, sb);
		return 0;
	}
	r = subscribe(sb, err);
	if (r >= 0)
		free_subscribing(sb);
	return r;
}

int observers_add(struct request *rq, void *context, struct error *err)
{
	struct subscribing *sb;
	struct session *s;
	json_t *json;
	int r = request_session(rq, context, &s, err);

	if (r >= 0 && s->quarantined)
		r = error_set(err, ERROR_WRONG_STATE, "%s is quarantined", s->id);
	if (r >= 0)
		r = request_json(rq, &json, err);
	if (r < 0)
		return r;
	sb = calloc(1, sizeof(*sb));
	if (!sb)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	sb->session = s;
	sb->rq = rq;
	r = observe_body_read(&sb->body, json, err);
	if (r >= 0)
		r = observe_body_check_kind(&sb->body, session_is_pty(s), err);
	if (r >= 0)
		r = begin(sb, context, err);
	if (r < 0)
		free_subscribing(sb);
	return r < 0 ? r : 0;
}

int observers_list(struct request *rq, void *context, struct error *err)
{
	_cleanup_(buffer_done) struct buffer b = { .max = ANSWER_MAX };
	struct json_writer w = { .to = &b };
	const struct events_state *state;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r < 0)
		return r;
	state = s->observed ? events_state(&s->observed->memory) : NULL;
	json_write_open(&w, NULL, '{');
	json_write_open(&w, "items", '[');
	for (unsigned i = 0; state && i < state->places; i++) {
		if (state->subscribers[i].number == 0)
			continue;
		json_write_open(&w, NULL, '{');
		render_subscriber(&w, s, i);
		json_write_close(&w, '}');
	}
	json_write_close(&w, ']');
	json_write_close(&w, '}');
	return render_reply_text(rq, 200, &w);
}

int request_subscriber(struct request *rq, struct engine *e, struct session **ret_session,
		       unsigned *ret_place, struct error *err)
{
	const char *id = request_param(rq, "subscriberId");
	struct session *s;
	int place, r = request_session(rq, e, &s, err);

	if (r < 0)
		return r;
	place = s->observed ? events_find(&s->observed->memory, subscriber_number(id)) : -1;
	if (place < 0)
		return error_set(err, ERROR_NOT_FOUND,
				 "%s has no subscriber %s; `GET /v1/sessions/%s/observers` lists "
				 "them",
				 s->id, id, s->id);
	*ret_session = s;
	*ret_place = (unsigned)place;
	return 0;
}

int observer_show(struct request *rq, void *context, struct error *err)
{
	struct session *s;
	unsigned place;
	int r = request_subscriber(rq, context, &s, &place, err);

	return r < 0 ? r : answer_subscriber(rq, 200, s, place);
}

int observer_delete(struct request *rq, void *context, struct error *err)
{
	_cleanup_(buffer_done) struct buffer b = { .max = ANSWER_MAX };
	struct json_writer w = { .to = &b };
	struct session *s;
	unsigned place;
	int r = request_subscriber(rq, context, &s, &place, err);

	if (r < 0)
		return r;
	json_write_open(&w, NULL, '{');
	render_subscriber(&w, s, place);
	json_write_close(&w, '}');
	observe_unsubscribe(s, place);
	return render_reply_text(rq, 200, &w);
}
