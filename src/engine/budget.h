/* SPDX-License-Identifier: Apache-2.0 */
/* budget.h - what all sessions together may cost: output and events in memory, descriptors.
 *
 * The rings of all sessions share a quarter of the machine's memory. When it is used up, the output
 * and events of ended sessions are given back, oldest first; when that is not enough, no session is
 * added. */
#pragma once
#include "engine/session.h"

void budget_init(struct engine *e);

/* Bytes of memory that a ring has in use. */
static inline uint64_t budget_of_ring(const struct ring *r)
{
	return r->size == 0 ? 0 : ring_head(r) - ring_tail(r);
}

/* More output is in memory; gives some back when it is too much. */
void budget_add(struct engine *e, uint64_t bytes);
/* The session goes. */
void budget_forget(struct session *s);
/* ERROR_EXHAUSTED with limit and remedy when nothing can be added. */
int budget_check(struct engine *e, struct error *err);
/* The error for an errno of making descriptors, with limit and remedy. */
int budget_no_descriptors(int errnum, struct error *err);
