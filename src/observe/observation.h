/* SPDX-License-Identifier: Apache-2.0 */
/* observation.h - one session observed: the runs of the chosen backends, their events as one
 * stream. Numbers events by category: `seq` grows by 1 an event, and by 1 for each that was missed.
 */
#pragma once
#include "observe/negotiate.h"

struct observation;

struct observation_config {
	struct host *host;
	struct backend_target target;            /* `categories` is not read: the choices say */
	struct choice choices[REEVE_CATEGORIES]; /* a category without a backend yields no events */
	struct backend_sink sink;                /* gets complete events */
	uint64_t seq[REEVE_CATEGORIES];          /* of a predecessor: the last given; else 0 */
};

/* When a backend fails to start nothing is left running. */
int observation_start(struct observation **ret, const struct observation_config *config,
		      struct error *e);

/* Says who is to observe a category that is not observed now; observation_change() then begins. */
void observation_choose(struct observation *o, enum reeve_category category,
			const struct choice *choice);

/* Observes another set of categories from now on, of those that a backend was chosen for; the
 * others stay without a gap where their backend can change while it runs. On failure some of them
 * may not be observed. */
int observation_change(struct observation *o, unsigned categories, enum backend_detail detail,
		       struct error *e);

/* Makes the processes wait, or go on, where a backend can. */
void observation_pause(struct observation *o, bool paused);

/* Tells the backends. */
void observation_note(struct observation *o, const struct backend_note *note);

/* Delivers all that has happened until now. */
void observation_flush(struct observation *o);

/* Ends it without delivering; flush first. Returns NULL; NULL is allowed. */
struct observation *observation_stop(struct observation *o);
