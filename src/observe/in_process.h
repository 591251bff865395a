/* SPDX-License-Identifier: Apache-2.0 */
/* in_process.h - what the code that starts and reaps processes tells a struct reeve_observer.
 *
 * For each process: observer_watch() before it runs (best while it waits at a gate), then its
 * notes. Lifecycle events need no thread; for other categories one thread waits for the backends.
 * All functions take NULL for an observer that is off, and are thread-safe. */
#pragma once
#include "observe/backend.h"
#include "reeve/observer.h"

/* What each process has to do before its execve so that all can be observed that is possible here:
 * see core/entry.h. `ret->n` is 0 when there is nothing to do. A prepared process needs the
 * observer until it has ended: once that is closed, the calls it was observed by fail with ENOSYS.
 */
void observer_prepare(struct reeve_observer *o, struct entry *ret);

/* Begins to observe a process and what descends from it; `target->session` is the caller's number
 * for it, free again after its NOTE_EXITED and observer_unwatch(). A process that was prepared has
 * its listener in `target->listener`; any other is observed as far as that is possible. */
int observer_watch(struct reeve_observer *o, const struct backend_target *target, struct error *e);

/* Emits; a number that is not watched is passed over. */
void observer_note(struct reeve_observer *o, uint32_t session, const struct backend_note *note);

/* Delivers what has happened until now, and ends it. */
void observer_unwatch(struct reeve_observer *o, uint32_t session);
