/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - list, show, remove, purge. */
#include "api/filter.h"
#include "api/render.h"
#include "api/routes.h"
#include "core/stopplan.h"
#include "engine/attachment.h"

#define ENDED_LISTED 64U
#define LIST_MAX     (1024 * MiB)

int sessions_list(struct request *rq, void *context, struct error *err)
{
	struct engine *e = context;
	_cleanup_(filter_done) struct session_filter f = { 0 };
	_cleanup_(buffer_done) struct buffer text;
	struct json_writer w = { .to = &text };
	uint64_t limit = ENDED_LISTED;
	bool all = true;
	int r = filter_from_query(rq, &f, err);

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

	if (session_is_done(s) && !session_ended(s)) {
		attachment_dismiss(s); /* then comes the end */
	} else if (session_is_done(s)) {
		removal_done(d, true);
		session_remove(s);
	}
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

int sessions_purge(struct request *rq, void *context, struct error *err)
{
	_cleanup_(filter_done) struct session_filter f = { 0 };
	struct engine *e = context;
	struct session *s, *newer;
	unsigned count = 0;
	int r = filter_from_body(rq, &f, err);

	for (s = r >= 0 ? e->first : NULL; s; s = newer) {
		newer = s->newer;
		if (session_is_live(s) || !session_fits(s, &f))
			continue;
		session_remove(s);
		count++;
	}
	return r < 0 ? r : request_reply_json(rq, 200, json_pack("{s:i}", "count", (int)count));
}
