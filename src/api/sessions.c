/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - list, show, remove, purge. */
#include "api/filter.h"
#include "api/render.h"
#include "api/routes.h"
#include "base/json.h"
#include "core/stopplan.h"
#include <string.h>

#define ENDED_LISTED 64U
#define LIST_MAX     (1024 * MiB)

static int check_status(const char *status, struct error *err)
{
	static const char *const known[] = { "starting", "running", "stopping",
					     "exited",   "stopped", "failed" };

	for (size_t i = 0; status && i < ARRAY_SIZE(known); i++)
		if (strcmp(status, known[i]) == 0)
			return 0;
	if (!status)
		return 0;
	return error_set(
		err, ERROR_INVALID_ARGUMENT,
		"status=%s: expected starting, running, stopping, exited, stopped or failed",
		status);
}

int sessions_list(struct request *rq, void *context, struct error *err)
{
	struct engine *e = context;
	struct session_filter f = { request_query(rq, "status"), request_query(rq, "label"),
				    request_query(rq, "originator") };
	_cleanup_(buffer_done) struct buffer text;
	struct json_writer w = { .to = &text };
	uint64_t limit = ENDED_LISTED;
	bool all = true;
	int r = check_status(f.status, err);

	buffer_init(&text, LIST_MAX);
	if (r >= 0)
		r = request_query_u64(rq, "limit", CONTROL_SLOTS, &limit, err);
	if (r >= 0)
		r = request_query_bool(rq, "all", &all, err);
	if (r < 0)
		return r;
	json_write_open(&w, NULL, '{');
	json_write_open(&w, "items", '[');
	/* Newest first; of the ended ones only so many. */
	for (struct session *s = e->last; s; s = s->older) {
		if (!session_fits(s, &f) || (!session_is_live(s) && (!all || limit == 0)))
			continue;
		if (!session_is_live(s))
			limit--;
		render_list_item(&w, s);
	}
	json_write_close(&w, ']');
	json_write_close(&w, '}');
	return render_reply_text(rq, 200, &w);
}

int session_show(struct request *rq, void *context, struct error *err)
{
	struct session *s;
	bool raw = false;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_query_bool(rq, "raw", &raw, err);
	if (r < 0)
		return r;
	return request_reply_json(rq, 200, render_session(s, raw ? RENDER_RAW : RENDER_FULL));
}

/* --- removing
 * ------------------------------------------------------------------------------------------ */

/* A removal that waits for the end of the tree. */
struct removal {
	struct listener listener;
	struct session *session;
	struct request *rq;
};

static void removal_done(struct removal *d, bool answer)
{
	session_unlisten(&d->listener);
	if (answer)
		request_reply_json(d->rq, 200, json_pack("{s:b}", "removed", 1));
	free(d);
}

static void removal_changed(struct listener *l)
{
	struct removal *d = container_of(l, struct removal, listener);
	struct session *s = d->session;

	if (!session_ended(s) || session_tree_alive(s))
		return;
	removal_done(d, true);
	session_remove(s);
}

static void removal_gone(struct listener *l)
{
	removal_done(container_of(l, struct removal, listener), true);
}

static void removal_cancelled(struct request *rq, void *data)
{
	(void)rq;
	removal_done(data, false);
}

static int remove_later(struct request *rq, struct session *s, struct error *err)
{
	struct removal *d = calloc(1, sizeof(*d));
	struct stop_plan plan;

	if (!d)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	d->session = s;
	d->rq = rq;
	d->listener = (struct listener){ .changed = removal_changed, .gone = removal_gone };
	session_listen(s, &d->listener);
	request_defer(rq, removal_cancelled, d);
	session_plan(s, &plan);
	session_stop(s, &plan, CAUSE_STOP);
	return 0;
}

int session_delete(struct request *rq, void *context, struct error *err)
{
	struct session *s;
	bool force = false;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_query_bool(rq, "force", &force, err);
	if (r < 0)
		return r;
	if (session_is_live(s) && !force)
		return error_set(err, ERROR_WRONG_STATE,
				 "%s is %s%s; stop it first, or remove it with -f", s->id,
				 session_status(s),
				 session_ended(s) ? " but processes of it still run" : "");
	if (session_is_live(s))
		return remove_later(rq, s, err);
	session_remove(s);
	return request_reply_json(rq, 200, json_pack("{s:b}", "removed", 1));
}

struct purge_body {
	char *originator, *label;
};

const struct json_field purge_fields[] = {
	{ .name = "originator",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct purge_body, originator),
	  .max = 256 },
	{ .name = "label",
	  .type = FIELD_STRING,
	  .offset = offsetof(struct purge_body, label),
	  .max = 1024 },
	{ 0 },
};

int sessions_purge(struct request *rq, void *context, struct error *err)
{
	struct engine *e = context;
	struct purge_body body = { 0 };
	struct session *s, *newer;
	unsigned count = 0;
	json_t *json;
	int r = request_json(rq, &json, err);

	if (r >= 0)
		r = json_read(json, purge_fields, &body, err);
	for (s = r >= 0 ? e->first : NULL; s; s = newer) {
		struct session_filter f = { NULL, body.label, body.originator };

		newer = s->newer;
		if (session_is_live(s) || !session_fits(s, &f))
			continue;
		session_remove(s);
		count++;
	}
	json_read_done(purge_fields, &body);
	return r < 0 ? r : request_reply_json(rq, 200, json_pack("{s:i}", "count", (int)count));
}
