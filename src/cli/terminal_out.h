/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_out.h - what is on its way to the user's terminal, which may be slow.
 *
 * Written without blocking. Two levels: above TERMINAL_OUT_HIGH nothing more should be added; and
 * terminal_out_lags says when the terminal is so far behind that what waits is better thrown away.
 */
#pragma once
#include "cli/terminal_modes.h"
#include <stdbool.h>

#define TERMINAL_OUT_HIGH   (256U * 1024U)
#define TERMINAL_OUT_LAG_MS 500U          /* a reader of the screen is not kept waiting longer */
#define TERMINAL_OUT_LEAST  (16U * 1024U) /* less is never thrown away: a screen or so */

struct terminal_out {
	int fd;
	bool own;
	bool held;                    /* the terminal is not ready: nothing is written yet */
	struct terminal_modes *modes; /* fed with what is written */
	uint8_t *waiting;
	size_t start, end, size; /* of `waiting` */
	uint64_t added, written; /* bytes ever */
	uint64_t mark, mark_at;  /* `added` at a time (monotonic ms), to measure the lag by */
	int error;               /* errno of a write that failed; then all is thrown away */
};

/* Writes to stdout. */
void terminal_out_open(struct terminal_out *o, struct terminal_modes *modes);
void terminal_out_close(struct terminal_out *o);

/* Writes or keeps. -ENOMEM. */
int terminal_out_add(struct terminal_out *o, const uint8_t *bytes, size_t n);

/* Writes what the terminal takes now. */
void terminal_out_flush(struct terminal_out *o);

/* What is now on its way arrives too late to be of use. */
bool terminal_out_lags(const struct terminal_out *o);

/* Throws away what waits, and makes the terminal forget a sequence that is cut off by that,
 * and a hyperlink. Returns how many bytes. */
size_t terminal_out_drop(struct terminal_out *o);

static inline size_t terminal_out_waiting(const struct terminal_out *o)
{
	return o->end - o->start;
}
