/* SPDX-License-Identifier: Apache-2.0 */
/* feed.h - moves a session's stdin ring into the child's pipe or pty: capture's mirror image.
 *
 *   1. slot, upto = delivered + n, phase = FILLING;   write(ring -> U)
 *   2. phase = DRAINING;                               splice(U -> child) until it takes no more
 *   3. delivered = upto - FIONREAD(U), phase = IDLE;   the rest in U is thrown away: the ring has
 * it
 *
 * A successor: in FILLING the child has seen nothing of it; in DRAINING delivered = upto - k. U's
 * content means nothing while IDLE. One private pipe U serves all sessions. */
#pragma once
#include "core/ring.h"
#include <sys/types.h>

struct feed {
	struct control_daemon *daemon;
	int pipe_r, pipe_w; /* U; borrowed, non-blocking */
};

struct feed_target {
	int fd; /* the child's stdin; borrowed, non-blocking */
	unsigned slot;
	struct ring ring; /* its head is the `in_accepted` word */
	struct word *delivered;
};

/* Moves once. Returns the number of bytes that the child's pipe took; -EAGAIN when it took none;
 * 0 when the ring has nothing to give; -EPIPE when the child has closed its end. */
ssize_t feed_step(struct feed *f, struct feed_target *t);

/* The slot a dead engine was feeding; false when none. */
bool feed_pending(const struct feed *f, unsigned *ret_slot);

/* Settles what a dead engine left; `delivered` is that slot's word, NULL when the slot is gone. */
void feed_recover(struct feed *f, struct word *delivered);
