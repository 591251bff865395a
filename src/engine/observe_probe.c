/* SPDX-License-Identifier: Apache-2.0 */
/* observe_probe.c - trying backends out takes a while and may fail in any way: a process does it, a
 * worker waits for that, and the findings hold as long as the engine. */
#include "engine/observe_private.h"
#include "engine/observe_trier.h"
#include <errno.h>
#include <stdlib.h>

#define SCOPES         2U
#define ALL_CATEGORIES ((1U << REEVE_CATEGORIES) - 1)

enum knowledge {
	KNOW_NOTHING,
	KNOW_BEST, /* the ladder down to what serves each category */
	KNOW_ALL,
};

struct probing {
	uv_work_t work;
	struct observatory *observatory;
	struct prober *prober;
	struct trier trier;
	enum knowledge known[SCOPES];
	bool running;
	enum reeve_scope scope; /* of what runs */
	enum knowledge aim;
	struct observe_wait *waiting;
};

static struct probing *probing_of(struct observatory *ob)
{
	struct probing *p = ob->probing;

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->observatory = ob;
	ob->probing = p;
	return p;
}

static enum knowledge aim_of(const struct observe_wait *w)
{
	return w->all ? KNOW_ALL : KNOW_BEST;
}

/* In the worker. Nobody else uses the prober meanwhile. */
static void work(uv_work_t *req)
{
	struct probing *p = req->data;
	struct choice choices[REEVE_CATEGORIES];

	(void)negotiate(p->prober, p->scope, ALL_CATEGORIES, NULL, choices, NULL);
	for (unsigned i = 0; p->aim == KNOW_ALL && backends[i]; i++)
		for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
			const char *forced[REEVE_CATEGORIES] = { NULL };
			unsigned bit = category_bit((enum reeve_category)c);

			forced[c] = backends[i]->name;
			if ((backends[i]->categories & bit) != 0)
				(void)negotiate(p->prober, p->scope, bit, forced, choices, NULL);
		}
	trier_done(&p->trier);
}

static int begin(struct probing *p);

static void leave_list(struct observe_wait *w)
{
	*w->back = w->next;
	if (w->next)
		w->next->back = w->back;
	w->next = NULL;
	w->back = NULL;
}

static void worked(uv_work_t *req, int status)
{
	struct probing *p = req->data;
	struct observe_wait *w = p->waiting, *next;

	p->running = false;
	if (status == 0)
		p->known[p->scope] = MAX(p->known[p->scope], p->aim);
	while (w) {
		next = w->next;
		if (status != 0 || p->known[w->scope] >= aim_of(w)) {
			leave_list(w);
			w->ready(w, status);
			next = p->waiting; /* who was called may have changed the list */
		}
		w = next;
	}
	if (p->waiting && !p->running)
		begin(p);
}

static int begin(struct probing *p)
{
	struct engine *e = p->observatory->engine;
	int r = 0;

	if (!p->prober) {
		r = prober_new(&p->prober, backends, -1);
		if (r < 0)
			return r;
		trier_init(&p->trier, e->daemon_fds[DAEMON_FD_CGROUP]);
		prober_delegate(p->prober, trier_probe, &p->trier);
	}
	p->scope = p->waiting->scope;
	p->aim = aim_of(p->waiting);
	p->work.data = p;
	r = uv_queue_work(&e->loop, &p->work, work, worked);
	p->running = r == 0;
	return r;
}

int observe_wait(struct engine *e, struct observe_wait *w)
{
	struct observatory *ob = observatory_of(e);
	struct probing *p = ob ? probing_of(ob) : NULL;

	if (!p)
		return -ENOMEM;
	if (!p->running && p->known[w->scope] >= aim_of(w))
		return 1;
	w->next = p->waiting;
	if (w->next)
		w->next->back = &w->next;
	w->back = &p->waiting;
	p->waiting = w;
	if (!p->running) {
		int r = begin(p);

		if (r < 0) {
			leave_list(w);
			return r;
		}
	}
	return 0;
}

void observe_unwait(struct observe_wait *w)
{
	if (w->back)
		leave_list(w);
}

int observe_forget(struct engine *e)
{
	struct observatory *ob = e->observatory;

	if (!ob || !ob->probing)
		return 0;
	if (ob->probing->running)
		return -EBUSY;
	ob->probing->prober = prober_free(ob->probing->prober);
	for (unsigned i = 0; i < SCOPES; i++)
		ob->probing->known[i] = KNOW_NOTHING;
	return 0;
}

int observe_negotiate(struct engine *e, enum reeve_scope scope, unsigned categories,
		      const char *const forced[REEVE_CATEGORIES],
		      struct choice ret[REEVE_CATEGORIES], struct error *err)
{
	struct observatory *ob = e->observatory;

	if (!ob || !ob->probing || !ob->probing->prober || ob->probing->running)
		return error_set(err, ERROR_UNAVAILABLE,
				 "what can be observed here is being tried out; try again");
	return negotiate(ob->probing->prober, scope, categories, forced, ret, err);
}
