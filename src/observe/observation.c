/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/observation.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct observation {
	struct backend_sink sink;
	uint64_t seq[REEVE_CATEGORIES];
	struct observed_run {
		struct observation *observation;
		struct backend_run run;
	} runs[REEVE_CATEGORIES];
	unsigned n;
};

static void on_event(void *userdata, struct reeve_event *e, const struct backend_origin *origin)
{
	struct observed_run *r = userdata;

	e->seq = ++r->observation->seq[e->category];
	e->source = r->run.backend->name;
	r->observation->sink.event(r->observation->sink.userdata, e, origin);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct observed_run *r = userdata;

	r->observation->seq[category] += n;
	r->observation->sink.missed(r->observation->sink.userdata, category, n);
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

static int start_run(struct observation *o, const struct observation_config *config,
		     const struct backend *b, unsigned categories, struct error *e)
{
	struct observed_run *r = &o->runs[o->n];
	int result;

	r->observation = o;
	r->run = (struct backend_run){
		.backend = b,
		.host = config->host,
		.target = config->target,
		.sink = { on_event, on_missed, r },
	};
	r->run.target.categories = categories;
	result = b->start(&r->run, e);
	if (result >= 0)
		o->n++;
	return result;
}

int observation_start(struct observation **ret, const struct observation_config *config,
		      struct error *e)
{
	struct observation *o = calloc(1, sizeof(*o));
	unsigned done = 0;

	if (!o)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "observation");
	o->sink = config->sink;
	memcpy(o->seq, config->seq, sizeof(o->seq));
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct backend *b = config->choices[c].backend;
		unsigned set = b ? categories_of(config, b) : 0;
		int r;

		if ((set & ~done & category_bit((enum reeve_category)c)) == 0)
			continue;
		done |= set;
		r = start_run(o, config, b, set, e);
		if (r < 0) {
			observation_stop(o);
			return r;
		}
	}
	*ret = o;
	return 0;
}

void observation_note(struct observation *o, const struct backend_note *note)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (o->runs[i].run.backend->note)
			o->runs[i].run.backend->note(&o->runs[i].run, note);
	}
}

void observation_flush(struct observation *o)
{
	for (unsigned i = 0; i < o->n; i++) {
		if (o->runs[i].run.backend->flush)
			o->runs[i].run.backend->flush(&o->runs[i].run);
	}
}

struct observation *observation_stop(struct observation *o)
{
	if (!o)
		return NULL;
	for (unsigned i = 0; i < o->n; i++) {
		if (o->runs[i].run.backend->stop)
			o->runs[i].run.backend->stop(&o->runs[i].run);
	}
	free(o);
	return NULL;
}
