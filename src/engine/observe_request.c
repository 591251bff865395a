/* SPDX-License-Identifier: Apache-2.0 */
/* observe_request.c - from what a subscriber asks for to the backends that serve it. */
#include "base/fd.h"
#include "engine/observe_private.h"
#include <stdio.h>
#include <string.h>

/* Events that may come after processes were told to wait: the tracer's ring, and more. */
#define UNDER_WAY 4096U

static bool works(const struct choice *c)
{
	return c->backend && c->support != REEVE_UNAVAILABLE;
}

static void write_choice(struct events_choice *to, const struct choice *choice)
{
	to->support = choice->support;
	(void)snprintf(to->backend, sizeof(to->backend), "%s",
		       choice->backend ? choice->backend->name : "");
	(void)snprintf(to->reason, sizeof(to->reason), "%s", choice->reason);
}

static int check_forced(const struct observe_request *rq, unsigned c, struct error *err)
{
	if (!rq->forced[c] || works(&rq->choices[c]))
		return 0;
	return error_set(err, ERROR_INVALID_ARGUMENT, "%s cannot be observed by %s here: %s",
			 reeve_category_name((enum reeve_category)c), rq->forced[c],
			 rq->choices[c].reason);
}

static int check_block(const struct observe_request *rq, unsigned c, struct error *err)
{
	const struct backend *b = rq->choices[c].backend;

	if (!rq->block || !works(&rq->choices[c]) || b == &backend_portable_lifecycle ||
	    (b->pausable & category_bit((enum reeve_category)c)) != 0)
		return 0;
	return error_set(err, ERROR_INVALID_ARGUMENT,
			 "backpressure block: %s is observed by %s, which cannot make processes "
			 "wait; use drop-oldest, or name a backend that stops calls",
			 reeve_category_name((enum reeve_category)c), b->name);
}

bool observe_wants_probe(const struct observe_request *rq)
{
	return rq->config.n != 1 || rq->config.categories[0] != REEVE_LIFECYCLE ||
	       rq->forced[REEVE_LIFECYCLE];
}

/* What needs no trial: the engine itself sees it. */
static void choose_lifecycle(struct observe_request *rq)
{
	struct backend_support found[REEVE_CATEGORIES];

	backend_portable_lifecycle.probe(REEVE_LAUNCHED_TREE, -1, found);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		rq->choices[c] = (struct choice){ .support = REEVE_UNAVAILABLE };
	rq->choices[REEVE_LIFECYCLE].backend = &backend_portable_lifecycle;
	rq->choices[REEVE_LIFECYCLE].support = found[REEVE_LIFECYCLE].support;
	(void)snprintf(rq->choices[REEVE_LIFECYCLE].reason,
		       sizeof(rq->choices[REEVE_LIFECYCLE].reason), "%s",
		       found[REEVE_LIFECYCLE].reason);
}

/* The best for a command that was not prepared, where that makes a difference. */
static void step_down(struct engine *e, enum reeve_category category, struct choice *choice)
{
	struct choice best = { .support = REEVE_UNAVAILABLE };

	if (!choice->backend || !choice->backend->prepare)
		return;
	(void)snprintf(best.reason, sizeof(best.reason),
		       "%s sees only commands that were observed from their start",
		       choice->backend->name);
	for (unsigned i = 0; backends_unprepared[i]; i++) {
		const struct backend *b = backends_unprepared[i];
		const char *forced[REEVE_CATEGORIES] = { NULL };
		struct choice choices[REEVE_CATEGORIES];

		forced[category] = b->name;
		if (b->on_request || (b->categories & category_bit(category)) == 0 ||
		    observe_negotiate(e, REEVE_LAUNCHED_TREE, category_bit(category), forced,
				      choices, NULL) < 0)
			continue;
		if (choices[category].support < best.support)
			best = choices[category];
	}
	*choice = best;
}

void observe_step_down(struct engine *e, struct events_memory *m)
{
	struct choice choices[REEVE_CATEGORIES];

	observe_choices(m, events_state(m)->running, choices);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		if (!choices[c].backend || !choices[c].backend->prepare)
			continue;
		step_down(e, (enum reeve_category)c, &choices[c]);
		write_choice(&m->header->choices[c], &choices[c]);
	}
}

int observe_choose(struct engine *e, struct observe_request *rq, bool prepared, struct error *err)
{
	unsigned set = 0;
	int r;

	if (!observe_wants_probe(rq)) {
		choose_lifecycle(rq);
		return 0;
	}
	for (unsigned i = 0; i < rq->config.n; i++)
		set |= category_bit(rq->config.categories[i]);
	r = observe_negotiate(e, REEVE_LAUNCHED_TREE, set, rq->forced, rq->choices, err);
	for (unsigned c = 0; r >= 0 && !prepared && c < REEVE_CATEGORIES; c++)
		step_down(e, (enum reeve_category)c, &rq->choices[c]);
	for (unsigned c = 0; r >= 0 && c < REEVE_CATEGORIES; c++) {
		r = check_forced(rq, c, err);
		if (r >= 0)
			r = check_block(rq, c, err);
	}
	return r;
}

bool observe_wants_gate(const struct observe_request *rq)
{
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		if (works(&rq->choices[c]) && rq->choices[c].backend != &backend_portable_lifecycle)
			return true;
	return false;
}

void observe_note_choices(struct events_memory *m, const struct observe_request *rq)
{
	struct events_state *s = events_change(m);

	for (unsigned i = 0; i < rq->config.n; i++) {
		unsigned c = rq->config.categories[i];
		unsigned bit = category_bit((enum reeve_category)c);
		const struct choice *choice = &rq->choices[c];
		struct events_choice *to = &m->header->choices[c];

		if ((s->running & bit) != 0)
			continue;
		write_choice(to, choice);
		s->running |= bit;
	}
	s->detail = MAX(s->detail, (uint32_t)rq->detail);
	events_commit(m);
}

void observe_choices(const struct events_memory *m, unsigned set,
		     struct choice ret[REEVE_CATEGORIES])
{
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct events_choice *from = &m->header->choices[c];

		ret[c] = (struct choice){ .support = REEVE_UNAVAILABLE };
		if ((set & category_bit((enum reeve_category)c)) == 0)
			continue;
		ret[c].backend = backend_find(from->backend);
		ret[c].support =
			ret[c].backend ? (enum reeve_support)from->support : REEVE_UNAVAILABLE;
		(void)snprintf(ret[c].reason, sizeof(ret[c].reason), "%.*s",
			       (int)sizeof(from->reason) - 1, from->reason);
	}
}

uint32_t observe_room(const struct observe_request *rq)
{
	return rq->block ? MAX(rq->capacity, UNDER_WAY) : rq->capacity;
}

int observe_make(const struct observe_request *rq, int *ret_fd, struct error *err)
{
	struct events_memory m;
	int fd, r = events_make(&m, observe_room(rq), &fd);

	if (r < 0)
		return error_set_errno(err, ERROR_EXHAUSTED, r, "memory for events");
	observe_note_choices(&m, rq);
	(void)events_subscribe(&m, &rq->config, rq->capacity, rq->block);
	events_unmap(&m);
	*ret_fd = fd;
	return 0;
}
