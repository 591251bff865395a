/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `portable-lifecycle`: what spawns and reaps tells it, so that it works everywhere. */
#include "observe/backend.h"

static void probe(enum reeve_scope scope _unused_, int cgroup_dir _unused_,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	support_set(ret, category_bit(REEVE_LIFECYCLE), REEVE_SUPPORTED,
		    "started/exited emitted from the spawn and reap path");
}

static int start(struct backend_run *run _unused_, struct error *e _unused_)
{
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct reeve_event e;

	if (n->what != NOTE_STARTED && n->what != NOTE_EXITED)
		return;
	event_init(&e, REEVE_LIFECYCLE, n->what == NOTE_STARTED ? REEVE_STARTED : REEVE_EXITED,
		   n->pid);
	if (n->timestamp_ms != 0)
		e.timestamp_ms = n->timestamp_ms;
	if (n->what == NOTE_EXITED) {
		e.fields |= REEVE_HAS_EXIT_CODE;
		e.exit_code = n->exit_code;
	}
	run_event(run, &e, NULL);
}

const struct backend backend_portable_lifecycle = {
	.name = "portable-lifecycle",
	.categories = 1U << REEVE_LIFECYCLE,
	.probe = probe,
	.durable = true,
	.start = start,
	.note = note,
};
