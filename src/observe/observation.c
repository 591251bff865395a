/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/observation.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct observation {
	struct observation_config config;
	uint64_t seq[REEVE_CATEGORIES];
	struct observed_run {
		struct observation *observation;
		struct backend_run run; /* no backend: a free place */
	} runs[REEVE_CATEGORIES];
};

static void on_event(void *userdata, struct reeve_event *e, const struct backend_origin *origin)
{
	struct observed_run *r = userdata;

	e->seq = ++r->observation->seq[e->category];
	e->source = r->run.backend->name;
	r->observation->config.sink.event(r->observation->config.sink.userdata, e, origin);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct observed_run *r = userdata;

	r->observation->seq[category] += n;
	r->observation->config.sink.missed(r->observation->config.sink.userdata, category, n);
}

/* The categories for which this backend was chosen. */
static unsigned categories_of(const struct observation_config *config, const struct backend *b)
{
	unsigned set = 0;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		if (config->choices[c].backend == b &&
		    config->choices[c].support != REEVE_UNAVAILABLE)
			set |= category_bit((enum reeve_category)c);
	}
	return set;
}

static struct observed_run *run_of(struct observation *o, const struct backend *b)
{
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		if (o->runs[i].run.backend == b)
			return &o->runs[i];
	}
	return NULL;
}

static void end_run(struct observed_run *r)
{
	if (r->run.backend->stop)
		r->run.backend->stop(&r->run);
	r->run.backend = NULL;
}

/* There are as many places as there can be backends. */
static int start_run(struct observation *o, const struct backend *b, unsigned categories,
		     struct error *e)
{
	struct observed_run *r = run_of(o, NULL);
	int result;

	if (!r)
		return error_set(e, ERROR_INTERNAL, "too many backends at a time");
	r->observation = o;
	r->run = (struct backend_run){
		.backend = b,
		.host = o->config.host,
		.target = o->config.target,
		.sink = { on_event, on_missed, r },
	};
	r->run.target.categories = categories;
	result = b->start(&r->run, e);
	if (result < 0)
		r->run.backend = NULL;
	return result;
}

/* Whether `c` is the first category for which its backend was chosen. */
static bool is_first(const struct observation_config *config, unsigned c)
{
	const struct backend *b = config->choices[c].backend;

	return b && (categories_of(config, b) & ((2U << c) - 1)) == 1U << c;
}

int observation_start(struct observation **ret, const struct observation_config *config,
		      struct error *e)
{
	struct observation *o = calloc(1, sizeof(*o));

	if (!o)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "observation");
	o->config = *config;
	memcpy(o->seq, config->seq, sizeof(o->seq));
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct backend *b = config->choices[c].backend;
		int r = is_first(config, c) ? start_run(o, b, categories_of(config, b), e) : 0;

		if (r < 0) {
			observation_stop(o);
			return r;
		}
	}
	*ret = o;
	return 0;
}

static int change_run(struct observation *o, const struct backend *b, unsigned categories,
		      enum backend_detail detail, struct error *e)
{
	struct observed_run *r = run_of(o, b);
	int result;

	if (!r)
		return categories != 0 ? start_run(o, b, categories, e) : 0;
	if (r->run.target.categories == categories && r->run.target.detail == detail)
		return 0;
	if (categories != 0 && b->change) {
		result = b->change(&r->run, categories, detail);
		return result < 0 ? error_set_errno(e, ERROR_UNAVAILABLE, result, "%s", b->name)
				  : 0;
	}
	if (b->flush)
		b->flush(&r->run);
	end_run(r);
	return categories != 0 ? start_run(o, b, categories, e) : 0;
}

void observation_choose(struct observation *o, enum reeve_category category,
			const struct choice *choice)
{
	o->config.choices[category] = *choice;
}

int observation_change(struct observation *o, unsigned categories, enum backend_detail detail,
		       struct error *e)
{
	int result = 0;

	o->config.target.detail = detail;
	o->config.target.gated = o->config.target.resume = false;
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct backend *b = o->config.choices[c].backend;
		int r = 0;

		if (is_first(&o->config, c))
			r = change_run(o, b, categories_of(&o->config, b) & categories, detail, e);
		if (r < 0)
			result = r;
	}
	return result;
}

void observation_note(struct observation *o, const struct backend_note *note)
{
	if (note->what == NOTE_LEADER)
		o->config.target.leader = note->pid;
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		struct backend_run *run = &o->runs[i].run;

		if (run->backend && run->backend->note)
			run->backend->note(run, note);
	}
}

void observation_pause(struct observation *o, bool paused)
{
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		struct backend_run *run = &o->runs[i].run;

		if (run->backend && run->backend->pause)
			run->backend->pause(run, paused);
	}
}

void observation_flush(struct observation *o)
{
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		struct backend_run *run = &o->runs[i].run;

		if (run->backend && run->backend->flush)
			run->backend->flush(run);
	}
}

struct observation *observation_stop(struct observation *o)
{
	if (!o)
		return NULL;
	for (unsigned i = 0; i < REEVE_CATEGORIES; i++) {
		if (o->runs[i].run.backend)
			end_run(&o->runs[i]);
	}
	free(o);
	return NULL;
}
