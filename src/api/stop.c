/* SPDX-License-Identifier: Apache-2.0 */
/* stop.c - end a session's tree; send a signal. */
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/signals.h"
#include "core/stopplan.h"
#include <signal.h>
#include <string.h>

struct stop_body {
	char *signal, *plan, *reason;
	uint64_t grace_ms;
	bool has_grace; /* not the first: in a field an offset of 0 stands for none */
};

const struct json_field stop_fields[] = {
	{ .name = "grace",
	  .type = FIELD_DURATION,
	  .offset = offsetof(struct stop_body, grace_ms),
	  .seen = offsetof(struct stop_body, has_grace) },
	{ .name = "signal",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct stop_body, signal),
	  .max = 16 },
	{ .name = "plan",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct stop_body, plan),
	  .max = STOP_PLAN_TEXT_MAX },
	{ .name = "reason",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct stop_body, reason),
	  .max = STOP_REASON_MAX },
	{ 0 },
};

static int read_signal(const char *name, int *ret, struct error *err)
{
	int signal = signal_from_name(name);

	if (signal < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "signal \"%s\" is not known; use a name as TERM or a number",
				 name);
	*ret = signal;
	return 0;
}

/* The session's own plan, with what the request says in its place. */
static int make_plan(const struct session *s, const struct stop_body *body, struct stop_plan *ret,
		     struct error *err)
{
	struct stop_plan plan;
	int signal, r;

	session_plan(s, &plan);
	if (body->plan) {
		if (body->signal || body->has_grace)
			return error_set(
				err, ERROR_INVALID_ARGUMENT,
				"\"plan\" stands for itself; leave out \"signal\" and \"grace\"");
		if (parse_stop_plan(body->plan, &plan) < 0)
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "stop plan \"%s\": expected signals and waits, "
					 "as in \"INT 2s TERM 5s KILL\"",
					 body->plan);
	} else if (body->signal || body->has_grace) {
		signal = plan.steps[0].signal;
		if (body->signal) {
			r = read_signal(body->signal, &signal, err);
			if (r < 0)
				return r;
		}
		stop_plan_make(signal, body->has_grace ? body->grace_ms : plan.steps[0].wait_ms,
			       &plan);
	}
	*ret = plan;
	return 0;
}

/* Answers when the tree is gone. */
struct stopping {
	struct listener listener;
	struct session *session;
	struct request *rq;
};

static void answer(struct request *rq, const struct session *s, bool stopped)
{
	json_t *o = json_pack("{s:s, s:b, s:o}", "processId", s->id, "stopped", (int)stopped,
			      "process", render_session(s, RENDER_FULL));

	request_reply_json(rq, 200, o);
}

static void free_stopping(struct stopping *st)
{
	session_unlisten(&st->listener);
	free(st);
}

static void on_changed(struct listener *l)
{
	struct stopping *st = container_of(l, struct stopping, listener);
	struct control_stop *w = &st->session->words->stop;
	struct error e = { 0 };

	if (session_tree_alive(st->session) && word_load(&w->refused) > 0 &&
	    word_load(&w->finished) >= word_load(&w->requested)) {
		error_set(
			&e, ERROR_FORBIDDEN,
			"%llu processes of %s belong to another user and still run (one is PID %llu)",
			(unsigned long long)word_load(&w->refused), st->session->id,
			(unsigned long long)word_load(&w->refused_pid));
		request_reply_error(st->rq, &e);
		free_stopping(st);
		return;
	}
	if (!session_is_done(st->session))
		return;
	answer(st->rq, st->session, true);
	free_stopping(st);
}

static void on_gone(struct listener *l)
{
	struct stopping *st = container_of(l, struct stopping, listener);

	answer(st->rq, st->session, true);
	free_stopping(st);
}

static void on_cancelled(struct request *rq, void *data)
{
	(void)rq;
	free_stopping(data);
}

static int stop_session(struct request *rq, struct session *s, const struct stop_plan *plan,
			struct error *err)
{
	struct stopping *st;

	if (session_is_done(s)) {
		answer(rq, s, false);
		return 0;
	}
	st = calloc(1, sizeof(*st));
	if (!st)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	st->session = s;
	st->rq = rq;
	st->listener = (struct listener){ .changed = on_changed, .gone = on_gone };
	session_listen(s, &st->listener);
	request_defer(rq, on_cancelled, st);
	session_stop(s, plan, CAUSE_STOP);
	return 0;
}

int session_stop_route(struct request *rq, void *context, struct error *err)
{
	struct stop_body body = { 0 };
	struct stop_plan plan;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_fields(rq, stop_fields, &body, err);
	if (r >= 0)
		r = make_plan(s, &body, &plan, err);
	if (r >= 0 && body.reason)
		session_note_reason(s, body.reason);
	json_read_done(stop_fields, &body);
	return r < 0 ? r : stop_session(rq, s, &plan, err);
}

struct kill_body {
	char *signal;
};

const struct json_field kill_fields[] = {
	{ .name = "signal",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct kill_body, signal),
	  .max = 16 },
	{ 0 },
};

int session_kill_route(struct request *rq, void *context, struct error *err)
{
	struct kill_body body = { 0 };
	int signal = SIGKILL;
	struct session *s;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_fields(rq, kill_fields, &body, err);
	if (r >= 0 && body.signal)
		r = read_signal(body.signal, &signal, err);
	json_read_done(kill_fields, &body);
	if (r < 0)
		return r;
	if (!session_started(s) || word_load(&s->words->exit.ready))
		return error_set(err, ERROR_WRONG_STATE, "%s is %s: it takes no signal", s->id,
				 session_status(s));
	if (session_signal(s, signal) < 0)
		return error_set(err, ERROR_UNAVAILABLE,
				 "%s: too many signals wait to be sent; try again", s->id);
	return request_reply_json(
		rq, 200,
		json_pack("{s:s, s:s}", "processId", s->id, "signal", signal_name(signal)));
}
