/* SPDX-License-Identifier: Apache-2.0 */
/* observe_trier.h - the process that tries backends out, so that a crash or a hang in a probe is
 * its own: `reeved --probe`, an aide of the engine. */
#pragma once
#include "engine/aide.h"
#include "observe/backend.h"

/* For one backend: more than its own patience on a busy machine. */
#define TRIER_PATIENCE_MS 30000U

struct trier {
	struct aide aide;
	int cgroup_dir; /* borrowed; -1 for none */
	unsigned patience_ms;
};

void trier_init(struct trier *t, int cgroup_dir);

/* Fills `ret` for the categories of the backend, with what went wrong when the process did not come
 * to an end: then that is gone, and another begins with the next backend. `userdata`: the trier. */
void trier_probe(void *userdata, const struct backend *b, enum reeve_scope scope,
		 struct backend_support ret[REEVE_CATEGORIES]);

/* Ends the process, if one runs. */
void trier_done(struct trier *t);
