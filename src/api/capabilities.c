/* SPDX-License-Identifier: Apache-2.0 */
/* capabilities.c - what can be observed here. */
#include "api/observe.h"
#include "api/render.h"
#include "api/routes.h"
#include "observe/capability.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX     (128U * 1024U)
#define ALL_CATEGORIES ((1U << REEVE_CATEGORIES) - 1)

struct asking {
	struct observe_wait wait;
	struct engine *engine;
	struct request *rq;
};

static void write_summary(struct json_writer *w, const struct choice choices[REEVE_CATEGORIES])
{
	struct reeve_capabilities *c = capabilities_of(choices);
	struct reeve_capability_row rows[REEVE_CATEGORIES];
	char *summary = NULL;
	size_t n = c ? reeve_capabilities_to_table_rows(c, rows, ARRAY_SIZE(rows)) : 0;

	json_write_open(w, "rows", '[');
	for (size_t i = 0; i < n; i++) {
		json_write_open(w, NULL, '[');
		for (size_t cell = 0; cell < ARRAY_SIZE(rows[i].cells); cell++)
			json_write_text(w, NULL, rows[i].cells[cell]);
		json_write_close(w, ']');
	}
	json_write_close(w, ']');
	if (c && reeve_capabilities_render_summary(c, &summary) >= 0)
		json_write_text(w, "summary", summary);
	free(summary);
	reeve_capabilities_free(c);
}

/* What each backend can do, also those behind a better one. */
static void write_backends(struct json_writer *w, const struct asking *a)
{
	json_write_open(w, "backends", '[');
	for (unsigned i = 0; backends[i]; i++)
		for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
			const char *forced[REEVE_CATEGORIES] = { NULL };
			struct reeve_observer_config one = { 1, { (enum reeve_category)c } };
			struct choice choices[REEVE_CATEGORIES];
			unsigned bit = category_bit((enum reeve_category)c);

			forced[c] = backends[i]->name;
			if ((backends[i]->categories & bit) == 0 ||
			    observe_negotiate(a->engine, a->wait.scope, bit, forced, choices,
					      NULL) < 0)
				continue;
			json_write_open(w, NULL, '{');
			json_write_text(w, "category", reeve_category_name(one.categories[0]));
			json_write_text(w, "support", reeve_support_name(choices[c].support));
			json_write_text(w, "backend", backends[i]->name);
			json_write_text(w, "reason", choices[c].reason);
			json_write_bool(w, "onRequest", backends[i]->on_request);
			json_write_close(w, '}');
		}
	json_write_close(w, ']');
}

static int answer(struct asking *a, struct error *err)
{
	_cleanup_(buffer_done) struct buffer b = { .max = ANSWER_MAX };
	struct json_writer w = { .to = &b };
	struct choice choices[REEVE_CATEGORIES];
	int r = observe_negotiate(a->engine, a->wait.scope, ALL_CATEGORIES, NULL, choices, err);

	if (r < 0)
		return r;
	json_write_open(&w, NULL, '{');
	json_write_text(&w, "scope", reeve_scope_name(a->wait.scope));
	render_choices(&w, "capabilities", choices, NULL);
	write_summary(&w, choices);
	if (a->wait.all)
		write_backends(&w, a);
	json_write_close(&w, '}');
	return render_reply_text(a->rq, 200, &w);
}

static void on_ready(struct observe_wait *wait, int result)
{
	struct asking *a = container_of(wait, struct asking, wait);
	struct error err = { 0 };

	if (result < 0)
		error_set_errno(&err, ERROR_INTERNAL, result, "try out what can be observed");
	if (result < 0 || answer(a, &err) < 0)
		request_reply_error(a->rq, &err);
	free(a);
}

static void on_cancelled(struct request *rq, void *data)
{
	struct asking *a = data;

	(void)rq;
	observe_unwait(&a->wait);
	free(a);
}

static int read_scope(const struct request *rq, enum reeve_scope *ret, struct error *err)
{
	const char *text = request_query(rq, "scope");

	*ret = REEVE_LAUNCHED_TREE;
	if (!text || strcmp(text, reeve_scope_name(REEVE_LAUNCHED_TREE)) == 0)
		return 0;
	if (strcmp(text, reeve_scope_name(REEVE_SYSTEM_WIDE)) != 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "scope=%s: expected launched-tree or system-wide", text);
	*ret = REEVE_SYSTEM_WIDE;
	return 0;
}

/* The answer, at once or once the backends have been tried out. */
static int ask(struct asking *a, bool probe, struct error *err)
{
	int r = probe ? observe_forget(a->engine) : 0;

	if (r == -EBUSY)
		r = 0; /* it is being tried at this moment */
	r = observe_wait(a->engine, &a->wait);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "try out what can be observed");
	if (r == 0) {
		request_defer(a->rq, on_cancelled, a);
		return 0;
	}
	r = answer(a, err);
	if (r >= 0)
		free(a);
	return r;
}

int capabilities_show(struct request *rq, void *context, struct error *err)
{
	enum reeve_scope scope;
	bool probe = false;
	struct asking *a;
	int r = read_scope(rq, &scope, err);

	if (r >= 0)
		r = request_query_bool(rq, "probe", &probe, err);
	if (r < 0)
		return r;
	a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	*a = (struct asking){
		.wait = { .scope = scope, .all = probe, .ready = on_ready },
		.engine = context,
		.rq = rq,
	};
	r = ask(a, probe, err);
	if (r < 0)
		free(a);
	return r < 0 ? r : 0;
}
