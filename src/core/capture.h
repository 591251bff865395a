/* SPDX-License-Identifier: Apache-2.0 */
/* capture.h - moves a child's output into its ring so that a SIGKILL between any two instructions
 * neither loses nor doubles a byte.
 *
 * A private transfer pipe T stands between the child's pipe (or pty) P and the ring R:
 *
 *   1. where = R, phase = MOVING;      n = splice(P -> T), of a terminal several times
 *   2. target = head + n, phase = COPYING;   read(T -> R) until T is empty
 *   3. head = target, index record, phase = IDLE
 *
 * The kernel keeps the only count that matters: FIONREAD(T). In MOVING its k bytes come after
 * head; in COPYING target - k bytes are in place already. `capture_recover` finishes from there.
 * A copy that is done again writes the same bytes to the same place.
 *
 * Other processes may read R while it is written (`lent`), as a reader of a seqlock does: what it
 * has copied is good if the word, loaded afterwards, says so. The word is stored before a step for
 * all that the step may overwrite.
 *
 * T and P are non-blocking. One thread. Sources: pipe(7), splice(2), ioctl_pipe FIONREAD. */
#pragma once
#include "core/index.h"
#include "core/ring.h"
#include <sys/types.h>

struct capture {
	struct control_daemon *daemon;
	int pipe_r, pipe_w; /* T; borrowed */
};

struct capture_stream {
	int fd;                /* P; borrowed */
	unsigned pieces;       /* of a terminal: how often a step takes from it; 0: P is a pipe */
	unsigned slot, stream; /* which ring R is, for the successor */
	struct ring ring;
	struct index *index;
	struct control_stream *words;
	struct word *lent; /* once words->lent is set: 1 + the offset before which R's bytes may be
			      overwritten; not looked at before, since that takes a page */
};

/* Bytes before `offset` may be overwritten from now on: whoever reads the ring itself will see that
 * before it trusts what it has read. */
void capture_give_notice(const struct capture_stream *s, uint64_t offset);

/* Moves once: at most `max` > 0 bytes, and no more than the ring holds. Returns the number of bytes
 * now in the ring, 0 at end of file, -EAGAIN when there is nothing to take, another negative errno
 * when P is broken. `when` is the time for the index, realtime us. */
ssize_t capture_step(struct capture *c, struct capture_stream *s, size_t max, uint64_t when);

/* Which stream a dead engine was moving: returns false when none (IDLE). */
bool capture_pending(const struct capture *c, unsigned *ret_slot, unsigned *ret_stream);

/* Finishes what a dead engine left. `s` is the stream that capture_pending named; NULL when it is
 * not there any more: the bytes are then thrown away. An impossible state (bytes in an idle T, more
 * bytes than were moved) empties T, counts them in the stream's `lost` and goes on.
 * Returns the number of bytes lost. */
uint64_t capture_recover(struct capture *c, struct capture_stream *s, uint64_t when);
