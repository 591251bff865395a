/* SPDX-License-Identifier: Apache-2.0 */
/* screen.h - the screen of a session with a terminal, as it is now.
 *
 * Nothing is drawn while output is captured. The session's memory holds a record: the state of the
 * terminal (core/term.h) at an offset that the ring's tail never passes, and where it could be
 * had, the contents of the screen there, as bytes that draw it. A screen is made from the record
 * and the bytes behind it by libvterm, in a process of its own (drawer.h); the loop only copies
 * those bytes.
 *
 * The record is renewed while output is captured. Output of usual speed: a drawer draws the screen
 * as it then was. A flood (SCREEN_LAG bytes in less than SCREEN_CALM_MS, of a small ring half of it
 * in a part of that time): only the state is
 * followed, at the speed of memory, and of the contents so much is known as the bytes behind the
 * record draw. There are two records, chosen by one store of a word of the slot, so that a
 * successor of a killed engine finds one that is whole and fits the ring.
 *
 * libvterm has no reflow, no faint and no hidden text; a window is drawn up to SCREEN_ROWS_MAX by
 * SCREEN_COLS_MAX. What was drawn before a change of the window's size is taken as if drawn after
 * it. */
#pragma once
#include "draw/shot.h"
#include "engine/session.h"

#define SCREEN_LAG     (512U * 1024U) /* bytes behind the record at most; half of a small ring */
#define SCREEN_STEP    (64U * 1024U)  /* bytes captured at once from a terminal */
#define SCREEN_CALM_MS 200U
#define SCREENS_MAX    32U /* asked for at the same time */
#define SCREEN_FAULTS_MAX                                                                          \
	2U /* drawers that one session's output may end; after that it is drawn again only when    \
	    * the record has passed what they were given */

/* `shot` is NULL when there was no memory for it; its buffers are freed after the call. Where it
 * has a `fault`, there is nothing in it but `restore`, the terminal's state and the window. On the
 * loop's thread, never from within screen_take(). */
typedef void (*screen_done_fn)(void *data, const struct screen_shot *shot);

/* Draws the screen as it is at the head of the output now. `parts` is a set of enum screen_part.
 * ERROR_STREAM_UNAVAILABLE for a session without a terminal, ERROR_UNAVAILABLE when too many are
 * drawn already, or its output has ended drawers (SCREEN_FAULTS_MAX); then SCREEN_RESTORE alone is
 * still to be had, not drawn. `*ret` is valid until `done` is called. */
struct screen_job;
int screen_take(struct session *s, unsigned parts, screen_done_fn done, void *data,
		struct screen_job **ret, struct error *err);
/* `done` will not be called. NULL is allowed. */
void screen_cancel(struct screen_job *job);

/* Called around each step of capture. The first returns how much may be captured, at most `max`. */
uint64_t screen_before_capture(struct session *s, uint64_t max);
void screen_captured(struct session *s);

/* The window: that of the terminal, or as last known after its end. */
void screen_size(const struct session *s, uint16_t *ret_rows, uint16_t *ret_cols);
/* Keeps it for the time after the end. */
void screen_note_size(struct session *s);
