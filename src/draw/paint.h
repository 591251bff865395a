/* SPDX-License-Identifier: Apache-2.0 */
/* paint.h - a screen from a record and the bytes behind it, with libvterm. Pure: any thread. Only
 * in a drawer, never in the engine's process: libvterm does not bear all that a program writes. */
#pragma once
#include "draw/shot.h"
#include <vterm.h>

/* Fills what `parts` asks for. On failure (-ENOMEM, -EFBIG) the buffers hold nothing of use; they
 * are the caller's to free in any case. */
int screen_draw(const struct screen_input *in, unsigned parts, struct screen_shot *ret);

/* --- feed.c ------------------------------------------------------------------------------
 */

struct screen_feeder {
	VTerm *vt;
	struct term term;        /* behind what was fed */
	uint8_t last[4], n_last; /* the character that a repetition would repeat */
	bool alternate;          /* the screen, after the last sequence */
	/* The cursor that is saved on the alternate screen: libvterm has one place for both. */
	bool saved;
	VTermPos saved_at;
};

/* What is not complete at the end does not come back: end where a sequence does. */
void screen_feed(struct screen_feeder *f, const void *bytes, size_t n);

/* --- render.c: the cells as bytes ------------------------------------------------------ */

/* How a row is written. */
struct screen_style {
	bool colours;
	bool reversed; /* the whole screen is, and a mode will say so: cells are written as if not
			*/
};

/* One row, without the blanks at its end. */
int screen_render_row(VTermScreen *screen, int row, int cols, const struct screen_style *style,
		      struct buffer *b);
/* All rows to their places, on a cleared screen. */
int screen_render_all(VTermScreen *screen, int rows, int cols, const struct screen_style *style,
		      struct buffer *b);
/* The character and its look in one cell, the cursor standing there. */
int screen_render_cell(const VTermScreenCell *cell, const struct screen_style *style,
		       struct buffer *b);
