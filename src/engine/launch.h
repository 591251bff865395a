/* SPDX-License-Identifier: Apache-2.0 */
/* launch.h - what a child needs for its start, until the keeper has said what became of it.
 *
 * A keeper that dies while it makes a child takes the request with it. When its successor finds
 * that nothing has run, the engine asks again, and nobody notices. A keeper that has begun a slot's
 * spawn takes no second request for it, so asking once too often does no harm. */
#pragma once
#include "engine/session.h"

struct launch;

/* Asks the keeper for the process of a session that is complete, and keeps what it takes to ask
 * again: takes over the child's descriptors (SLOT_FD_CHILD_IN and higher) of `fds`; the others are
 * borrowed. Succeeds while the keeper is being replaced. */
int launch_begin(struct session *s, int fds[N_LINK_FDS], struct error *err);

/* The same for the record of a session that is over: nothing is to be run. Borrows all. */
int launch_record(struct session *s, const int fds[N_LINK_FDS], struct error *err);

/* Whether the session's process is still to be made, although its words say that this failed or has
 * not begun: then the keeper has been asked again. */
bool launch_again(struct session *s);

/* The keeper has said what became of it, or nobody wants to know. */
void launch_done(struct session *s);
