/* SPDX-License-Identifier: Apache-2.0 */
/* stop_many.c - ends all sessions that fit a description, and answers when all of them are gone. */
#include "api/filter.h"
#include "api/routes.h"
#include "core/stopplan.h"

struct stop_many {
	struct request *rq; /* NULL: the client has gone */
	json_t *ids;
	unsigned left;
	bool started; /* all have been asked */
};

/* One session that is being waited for. */
struct stop_one {
	struct listener listener;
	struct session *session;
	struct stop_many *all;
};

static void check_done(struct stop_many *all)
{
	if (all->left > 0 || !all->started)
		return;
	if (all->rq)
		request_reply_json(all->rq, 200,
				   json_pack("{s:i, s:O}", "count", (int)json_array_size(all->ids),
					     "items", all->ids));
	json_decref(all->ids);
	free(all);
}

static void one_done(struct stop_one *one)
{
	struct stop_many *all = one->all;

	session_unlisten(&one->listener);
	free(one);
	all->left--;
	check_done(all);
}

static void on_changed(struct listener *l)
{
	struct stop_one *one = container_of(l, struct stop_one, listener);
	const struct control_stop *stop = &one->session->words->stop;

	/* What belongs to another user stays; it is named where its session is shown. */
	if (session_is_done(one->session) ||
	    (word_load(&stop->refused) > 0 &&
	     word_load(&stop->finished) >= word_load(&stop->requested)))
		one_done(one);
}

static void on_gone(struct listener *l)
{
	one_done(container_of(l, struct stop_one, listener));
}

static void on_cancelled(struct request *rq, void *data)
{
	(void)rq;
	((struct stop_many *)data)->rq = NULL;
}

static void stop_one(struct stop_many *all, struct session *s)
{
	struct stop_one *one = calloc(1, sizeof(*one));
	struct stop_plan plan;

	json_array_append_new(all->ids, json_string(s->id));
	session_plan(s, &plan);
	if (one) {
		one->session = s;
		one->all = all;
		one->listener = (struct listener){ .changed = on_changed, .gone = on_gone };
		all->left++;
		session_listen(s, &one->listener);
	}
	session_stop(s, &plan, CAUSE_STOP);
}

int sessions_stop(struct request *rq, void *context, struct error *err)
{
	_cleanup_(filter_done) struct session_filter f = { 0 };
	struct engine *e = context;
	struct stop_many *all;
	int r = filter_from_body(rq, &f, err);

	if (r < 0)
		return r;
	all = calloc(1, sizeof(*all));
	if (!all)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	all->rq = rq;
	all->ids = json_array();
	request_defer(rq, on_cancelled, all);
	for (struct session *s = e->first, *newer; s; s = newer) {
		newer = s->newer;
		if (session_is_live(s) && session_fits(s, &f))
			stop_one(all, s);
	}
	all->started = true;
	check_done(all);
	return 0;
}
