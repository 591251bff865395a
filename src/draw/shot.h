/* SPDX-License-Identifier: Apache-2.0 */
/* shot.h - what a screen is drawn from, and what comes of it. Any thread; no libvterm. */
#pragma once
#include "base/buffer.h"
#include "core/term.h"

#define SCREEN_ROWS_MAX 300U
#define SCREEN_COLS_MAX 1000U
#define SCREEN_COLS_MIN 8U                   /* libvterm fails in narrower ones */
#define SCREEN_PART_MAX (8U * 1024U * 1024U) /* bytes of a shot's buffer */

enum screen_part {
	SCREEN_RESTORE = 1 << 0, /* bytes that put any terminal into this state */
	SCREEN_TEXT = 1 << 1,    /* a line a row, without the blanks at its end */
	SCREEN_ANSI = 1 << 2,    /* the same in colours, each line ending in the default ones */
};

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

struct screen_shot {
	uint64_t offset; /* the screen is what the output before it has drawn */
	uint16_t rows, cols;
	uint16_t row, col; /* the cursor, from 0 */
	bool whole;        /* known from the beginning: nothing was missed in a flood */
	const char *fault; /* why it could not be drawn: screen_without_drawing(); NULL: it was */
	struct term term;
	struct buffer restore, text, ansi;
};

/* All but the cursor and the buffers, which are made empty. Returns how many bytes at the end of
 * the input are of something that is not complete there. */
size_t screen_begin(const struct screen_input *in, struct screen_shot *ret);
/* NULL-safe; the buffers are empty then. */
void screen_shot_done(struct screen_shot *shot);

/* The modes alone, on a blank screen. */
int screen_write_modes(const struct term *t, struct term_window w, struct buffer *b);
/* `restore` for a screen that cannot be drawn: the record's contents, or its modes, and all the
 * bytes behind them as they are. Not whole; the cursor is not known. */
int screen_without_drawing(const struct screen_input *in, struct screen_shot *ret);
