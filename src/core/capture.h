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
 * Where a read can leave its result behind (uring_read.h) and P is a pipe, T is not needed:
 *
 *   1. where = R, target = how far it may go, phase = READING;
 *      n = read(P -> R behind head), posted
 *   2. target = head + n, phase = COPYING; only then the result may be forgotten
 *   3. as above
 *
 * What a successor finds in READING is the number that was posted, or that nothing was taken. Which
 * of the two is quicker depends on the writes: a read holds the pipe up for as long as it copies,
 * but leaves it its pages; a splice is short, but takes them away.
 *
 * T and P are non-blocking. One thread. Sources: pipe(7), splice(2), ioctl_pipe FIONREAD. */
#pragma once
#include "core/index.h"
#include "core/ring.h"
#include "core/uring_read.h"
#include <sys/types.h>

#define CAPTURE_LARGE 32768U /* bytes that a step brings show large writes */

struct capture {
	struct control_daemon *daemon;
	int pipe_r, pipe_w; /* T; borrowed */
	struct uring_read reads;
	bool can_read; /* `reads` is open */
};

struct capture_stream {
	int fd;                /* P; borrowed */
	unsigned pieces;       /* of a terminal: how often a step takes from it; 0: P is a pipe */
	unsigned slot, stream; /* which ring R is, for the successor */
	int splice_fd;         /* P, opened anew for splice(2); -1: not yet, or never */
	bool no_read;          /* P cannot be read without waiting */
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

/* The same by reads of a pipe, up to `reads` of them, until there is nothing more; one step to the
 * index. `ret_large`: much was there each time, so that capture_step() is quicker. Where it cannot
 * read, this is capture_step(). */
ssize_t capture_run(struct capture *c, struct capture_stream *s, size_t max, uint64_t when,
		    unsigned reads, bool *ret_large);

/* Closes what the steps have opened of P. */
void capture_close(struct capture_stream *s);

/* Which stream a dead engine was moving: returns false when none (IDLE). */
bool capture_pending(const struct capture *c, unsigned *ret_slot, unsigned *ret_stream);

/* Finishes what a dead engine left. `s` is the stream that capture_pending named; NULL when it is
 * not there any more: the bytes are then thrown away. An impossible state (bytes in an idle T, more
 * bytes than were moved) empties T, counts them in the stream's `lost` and goes on.
 * Returns the number of bytes lost. */
uint64_t capture_recover(struct capture *c, struct capture_stream *s, uint64_t when);
