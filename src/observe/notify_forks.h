/* SPDX-License-Identifier: Apache-2.0 */
/* notify_forks.h - forks, exits and names beside a listener: told by another backend that needs no
 * privilege. It is the teller of call_threads.h. */
#pragma once
#include "observe/backend.h"
#include "observe/call_threads.h"

/* All zero: none tells. */
struct notify_forks {
	struct backend_run run; /* no backend: none does */
	struct backend_run *of; /* whose events they become */
	struct call_threads *threads;
};

void notify_forks_start(struct notify_forks *f, struct backend_run *of,
			struct call_threads *threads);
void notify_forks_note(struct notify_forks *f, const struct backend_note *n);
void notify_forks_stop(struct notify_forks *f, struct call_threads *threads);

/* For call_threads.ask: they may have something that they keep for a moment. */
void notify_forks_ask(void *forks);
