/* SPDX-License-Identifier: Apache-2.0 */
/* spawn.c - POST /v1/sessions: a session, once per idempotency key. */
#include "core/spawn.h"
#include "api/render.h"
#include "api/routes.h"
#include "api/spawn_body.h"
#include "api/wait.h"
#include "base/text.h"
#include "engine/attachment.h"
#include <errno.h>
#include <string.h>

#define KEY_MAX  256
#define READY_MS 30000U /* how long `ready` waits when nobody says */

/* Waits for the keeper's word about the child. */
struct spawning {
	struct listener listener;
	struct session *session;
	struct request *rq;
	int status;    /* 201, or 200 when the key was seen before */
	json_t *ready; /* borrowed from the request; NULL: it is answered when the child runs */
	struct wait *wait;
};

static enum error_code spawn_error_code(int fail)
{
	switch (fail) {
	case EAGAIN:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return ERROR_EXHAUSTED;
	case ETIMEDOUT:
	case ECANCELED:
	case ECHILD:
	case ENOTCONN: /* its observer did not start */
		return ERROR_UNAVAILABLE;
	default:
		return ERROR_INVALID_ARGUMENT;
	}
}

/* A single word with spaces that was not found was meant for a shell. */
static const char *hint(const struct session *s, int fail)
{
	json_t *meta = meta_load(s), *command = json_object_get(meta, "command");
	const char *word = json_string_value(json_array_get(command, 0));
	bool shell = fail == ENOENT && json_array_size(command) == 1 && word && strchr(word, ' ');

	json_decref(meta);
	return shell ? "; to have a shell run it, use -c" : "";
}

static void answer_failed(struct request *rq, const struct session *s)
{
	int fail = (int)word_load(&s->words->fail);
	enum spawn_step step = (enum spawn_step)word_load(&s->words->step);
	struct error e = { 0 };
	char message[ERROR_MESSAGE_MAX];

	render_spawn_error(s, message, sizeof(message));
	if (fail == ETIMEDOUT)
		error_set(&e, ERROR_UNAVAILABLE, "%s (it hung for 2 s; is a file system gone?)",
			  message);
	else
		error_set(&e, spawn_error_code(fail), "%s%s", message,
			  step == STEP_EXEC ? hint(s, fail) : "");
	request_reply_error_details(rq, &e,
				    json_pack("{s:s, s:s, s:i}", "processId", s->id, "step",
					      spawn_step_name(step), "errno", fail));
}

static void free_spawning(struct spawning *sp)
{
	session_unlisten(&sp->listener);
	free(sp);
}

/* --- readiness
 * --------------------------------------------------------------------------------------- */

struct ready_body {
	json_t *until;
	bool has_timeout;
	uint64_t timeout_ms;
};

static void on_ready(void *data, const struct session *s, const struct wait_result *r)
{
	struct spawning *sp = data;
	json_t *o = render_session(s, RENDER_LIST);

	json_object_set_new(o, "ready", render_wait(s, r));
	request_reply_json(sp->rq, sp->status, o);
	free(sp);
}

static int read_ready(const json_t *ready, struct ready_body *ret, struct error *err)
{
	static const struct json_field fields[] = {
		{ .name = "until",
		  .type = FIELD_JSON,
		  .offset = offsetof(struct ready_body, until) },
		{ .name = "timeout",
		  .type = FIELD_DURATION,
		  .offset = offsetof(struct ready_body, timeout_ms),
		  .seen = offsetof(struct ready_body, has_timeout) },
		{ 0 },
	};
	int r;

	if (!json_is_object(ready))
		return error_set(err, ERROR_INVALID_ARGUMENT, "ready: expected an object");
	*ret = (struct ready_body){ .timeout_ms = READY_MS };
	r = json_read(ready, fields, ret, err);
	if (r >= 0 && json_array_size(ret->until) == 0)
		r = error_set(err, ERROR_INVALID_ARGUMENT,
			      "ready.until: expected a list of conditions");
	return r < 0 ? r : wait_check(ret->until, err);
}

static int wait_ready(struct spawning *sp, struct error *err)
{
	struct ready_body body;
	int r = read_ready(sp->ready, &body, err);

	if (r < 0)
		return r;
	return wait_new(&sp->wait, sp->session, body.until, true, body.timeout_ms, on_ready, sp,
			err);
}

/* --- the keeper's answer
 * ------------------------------------------------------------------------------ */

static void on_cancelled(struct request *rq, void *data)
{
	struct spawning *sp = data;

	(void)rq;
	wait_cancel(sp->wait);
	free_spawning(sp);
}

/* The child runs, or not. */
static void settled(struct spawning *sp)
{
	const struct session *s = sp->session;
	struct error err = { 0 };

	session_unlisten(&sp->listener);
	if (session_failed(s))
		answer_failed(sp->rq, s);
	else if (!sp->ready)
		render_reply(sp->rq, sp->status, s);
	else if (wait_ready(sp, &err) >= 0)
		return;
	else
		request_reply_error_details(sp->rq, &err, json_pack("{s:s}", "processId", s->id));
	free(sp);
}

static void on_changed(struct listener *l)
{
	struct spawning *sp = container_of(l, struct spawning, listener);

	if (!sp->session->pending_spawn)
		settled(sp);
}

static void on_gone(struct listener *l)
{
	struct spawning *sp = container_of(l, struct spawning, listener);
	struct error e = { 0 };

	error_set(&e, ERROR_NOT_FOUND, "the session was removed");
	request_reply_error(sp->rq, &e);
	free_spawning(sp);
}

static int answer_when_settled(struct request *rq, struct session *s, int status, json_t *ready,
			       struct error *err)
{
	struct spawning *sp = calloc(1, sizeof(*sp));

	if (!sp)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	sp->session = s;
	sp->rq = rq;
	sp->status = status;
	sp->ready = ready;
	sp->listener = (struct listener){ .changed = on_changed, .gone = on_gone };
	request_defer(rq, on_cancelled, sp);
	if (s->pending_spawn)
		session_listen(s, &sp->listener);
	else
		settled(sp);
	return 0;
}

/* The session that this key made before; NULL when there is none. */
static int find_by_key(struct engine *e, struct request *rq, struct spawn_request *sr,
		       struct session **ret, struct error *err)
{
	const char *key = request_header(rq, "Idempotency-Key");
	struct session *s;
	const void *body;
	size_t n;

	*ret = NULL;
	if (!key)
		return 0;
	if (*key == 0 || strlen(key) > KEY_MAX)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "Idempotency-Key: expected 1 to %d characters", KEY_MAX);
	body = request_body(rq, &n);
	text_hash128(key, strlen(key), sr->key_hash);
	text_hash128(body, n, sr->body_hash);
	s = session_by_key(e, sr->key_hash);
	if (s && (word_load(&s->words->body_hash[0]) != sr->body_hash[0] ||
		  word_load(&s->words->body_hash[1]) != sr->body_hash[1]))
		return error_set(err, ERROR_IDEMPOTENCY_CONFLICT,
				 "the key \"%s\" was used for another request (%s)", key, s->id);
	*ret = s;
	return 0;
}

static int find_parent(struct engine *e, struct spawn_body *b, struct error *err)
{
	struct session *parent;
	int r;

	if (!b->parent_id)
		return 0;
	r = session_find(e, b->parent_id, &parent, err);
	if (r < 0)
		return r;
	b->request.parent = word_load(&parent->words->handle);
	json_object_set_new(b->meta, "parentId", json_string(parent->id));
	return 0;
}

/* A spawn that waits for the end of the session whose name it takes over. */
struct replacing {
	struct listener listener;
	struct session *holder;
	struct engine *engine;
	struct request *rq;
};

static int spawn_now(struct request *rq, struct engine *e, struct error *err);

static void free_replacing(struct replacing *rp)
{
	session_unlisten(&rp->listener);
	free(rp);
}

static void holder_gone(struct listener *l)
{
	struct replacing *rp = container_of(l, struct replacing, listener);
	struct request *rq = rp->rq;
	struct engine *e = rp->engine;
	struct error err = { 0 };

	free_replacing(rp);
	if (spawn_now(rq, e, &err) < 0)
		request_reply_error(rq, &err);
}

static void holder_changed(struct listener *l)
{
	struct replacing *rp = container_of(l, struct replacing, listener);

	if (session_is_done(rp->holder) && !session_ended(rp->holder))
		attachment_dismiss(rp->holder);
	else if (session_is_done(rp->holder))
		holder_gone(l);
}

static void replacing_cancelled(struct request *rq, void *data)
{
	(void)rq;
	free_replacing(data);
}

static int spawn_after(struct request *rq, struct session *holder, struct error *err)
{
	struct replacing *rp = calloc(1, sizeof(*rp));
	struct stop_plan plan;

	if (!rp)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	rp->holder = holder;
	rp->engine = holder->engine;
	rp->rq = rq;
	rp->listener = (struct listener){ .changed = holder_changed, .gone = holder_gone };
	session_listen(holder, &rp->listener);
	request_defer(rq, replacing_cancelled, rp);
	session_plan(holder, &plan);
	session_stop(holder, &plan, CAUSE_STOP);
	return 0;
}

/* A spawn that waits for the backends to have been tried out. */
struct trying {
	struct observe_wait wait;
	struct engine *engine;
	struct request *rq;
};

static void tried(struct observe_wait *w, int result)
{
	struct trying *t = container_of(w, struct trying, wait);
	struct request *rq = t->rq;
	struct engine *e = t->engine;
	struct error err = { 0 };

	free(t);
	if (result < 0)
		error_set_errno(&err, ERROR_INTERNAL, result, "try out what can be observed");
	if (result < 0 || spawn_now(rq, e, &err) < 0)
		request_reply_error(rq, &err);
}

static void trying_cancelled(struct request *rq, void *data)
{
	struct trying *t = data;

	(void)rq;
	observe_unwait(&t->wait);
	free(t);
}

/* Chooses who observes. Returns 1 when that is done; 0 when the spawn goes on later. */
static int choose_observer(struct request *rq, struct engine *e, struct spawn_body *b,
			   struct error *err)
{
	struct observe_request *want = &b->observed.request;
	struct trying *t;
	int r = 1;

	if (observe_wants_probe(want)) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return error_set(err, ERROR_EXHAUSTED, "no memory");
		t->wait.all = observe_body_forces(&b->observed);
		t->wait.ready = tried;
		t->engine = e;
		t->rq = rq;
		r = observe_wait(e, &t->wait);
		if (r == 0)
			request_defer(rq, trying_cancelled, t);
		else
			free(t);
	}
	if (r <= 0)
		return r < 0 ? error_set_errno(err, ERROR_INTERNAL, r, "observe") : 0;
	r = observe_choose(e, want, true, err);
	if (r >= 0)
		r = choices_prepare(want->choices, &b->request.spec.header.entry, err);
	if (r < 0)
		return r;
	if (observe_wants_gate(want))
		b->request.spec.header.flags |= SPEC_GATE;
	b->request.observe = want;
	return 1;
}

static int spawn_new(struct request *rq, struct engine *e, struct spawn_body *b,
		     struct session **ret, struct error *err)
{
	int r = find_parent(e, b, err);

	b->request.peer = request_peer_pid(rq);
	return r < 0 ? r : session_spawn(e, &b->request, ret, err);
}

/* The request, and the session that its key made before; NULL when there is none. */
static int read_spawn(struct request *rq, struct engine *e, struct spawn_body *b,
		      struct session **ret, struct error *err)
{
	json_t *json;
	int r = request_json(rq, &json, err);

	*b = (struct spawn_body){ 0 };
	if (r >= 0)
		r = spawn_body_read(b, json, word_load(&e->daemon->nofile_soft), err);
	if (r >= 0)
		r = find_by_key(e, rq, &b->request, ret, err);
	if (r >= 0 && b->ready)
		r = read_ready(b->ready, &(struct ready_body){ 0 }, err);
	return r;
}

/* Returns 1 when the session is being made; 0 when it will be later. */
static int spawn_or_wait(struct request *rq, struct engine *e, struct spawn_body *b,
			 struct session **ret, struct error *err)
{
	struct session *holder = b->replace && b->name ? session_by_name(e, b->name) : NULL;
	int r = 1;

	if (holder)
		return spawn_after(rq, holder, err);
	if (b->observe)
		r = choose_observer(rq, e, b, err);
	if (r > 0)
		r = spawn_new(rq, e, b, ret, err);
	return r < 0 ? r : *ret != NULL;
}

static int spawn_now(struct request *rq, struct engine *e, struct error *err)
{
	struct session *s = NULL;
	struct spawn_body b;
	json_t *ready;
	int r, status = 200;

	r = read_spawn(rq, e, &b, &s, err);
	if (r >= 0 && s) {
		r = 1;
	} else if (r >= 0) {
		status = 201;
		r = spawn_or_wait(rq, e, &b, &s, err);
	}
	ready = b.ready; /* part of the request's own JSON */
	spawn_body_done(&b);
	return r <= 0 ? r : answer_when_settled(rq, s, status, ready, err);
}

int sessions_spawn(struct request *rq, void *context, struct error *err)
{
	return spawn_now(rq, context, err);
}
