/* SPDX-License-Identifier: Apache-2.0 */
/* screen_draw.h - a screen from a record and the bytes behind it, with libvterm. Pure: any thread.
 */
#pragma once
#include "engine/screen.h"
#include <vterm.h>

#define SCREEN_PART_MAX (8U * 1024U * 1024U) /* bytes of a shot's buffer */

/* What stands in a session's memory, before the contents. */
struct screen_record {
	uint64_t at;
	uint16_t rows, cols; /* that the contents were drawn for */
	uint32_t size;       /* of the contents; 0: not known, or nothing drawn yet */
	uint32_t whole;
	struct term term;
};

struct screen_input {
	struct screen_record record;
	char *contents;      /* record.size bytes */
	uint8_t *bytes;      /* output from record.at on, */
	size_t n;            /* up to the head */
	uint16_t rows, cols; /* the window now */
	/* The shot is of the head, and `restore` ends with the beginning of what is not complete
	 * there. Otherwise it is of the place before that. */
	bool at_head;
};

/* Fills what `parts` asks for. On failure (-ENOMEM, -EFBIG) the buffers hold nothing of use; they
 * are the caller's to free in any case. */
int screen_draw(const struct screen_input *in, unsigned parts, struct screen_shot *ret);

/* --- screen_feed.c ------------------------------------------------------------------------------
 */

struct screen_feeder {
	VTerm *vt;
	struct term term;        /* behind what was fed */
	uint8_t last[4], n_last; /* the character that a repetition would repeat */
};

/* What is not complete at the end does not come back: end where a sequence does. */
void screen_feed(struct screen_feeder *f, const void *bytes, size_t n);

/* --- screen_render.c: the cells as bytes ------------------------------------------------------ */

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
