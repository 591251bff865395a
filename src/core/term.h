/* SPDX-License-Identifier: Apache-2.0 */
/* term.h - what a program has switched on in its terminal, followed over the bytes that it writes.
 *
 * A parser of control sequences (ECMA-48, DEC, xterm's ctlseqs) in UTF-8 mode, where there are no
 * 8-bit controls. It follows modes, rendition, character sets, scroll region, cursor shape and
 * title, not the contents of the screen; those are libvterm's, in engine/screen.h. It reads plain
 * text at the speed of memory.
 *
 * The state is plain data without pointers, so that it can be kept in shared memory together with
 * the offset that it holds for, and be gone on with by another process. Pure. */
#pragma once
#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERM_TITLE_MAX   256U  /* bytes of a title that are kept */
#define TERM_PARAMS_MAX  32U   /* of one sequence; more are passed over */
#define TERM_PARTIAL_MAX 4096U /* a sequence that has lasted for longer is a string gone astray */
#define TERM_KEYS_MAX    8U    /* depth of the stack of keyboard flags */

/* Bits of `modes`: those that are told to the terminal by a number stand in term_modes.c. */
enum term_mode {
	TERM_APP_CURSOR,
	TERM_REVERSE_VIDEO,
	TERM_ORIGIN,
	TERM_AUTOWRAP,
	TERM_CURSOR_BLINK,
	TERM_CURSOR_VISIBLE,
	TERM_MOUSE_PRESS,
	TERM_MOUSE_CLICK,
	TERM_MOUSE_DRAG,
	TERM_MOUSE_MOVE,
	TERM_FOCUS,
	TERM_MOUSE_UTF8,
	TERM_MOUSE_SGR,
	TERM_MOUSE_URXVT,
	TERM_MOUSE_PIXELS,
	TERM_ALT_SCROLL,
	TERM_PASTE,
	TERM_INSERT,
	TERM_NEWLINE,
	TERM_APP_KEYPAD,
	TERM_ALT_SCREEN,
	TERM_MARGINS, /* left and right ones may be set */
	N_TERM_MODES,
};

struct term_colour {
	uint8_t kind; /* 0 the default, 1 `v[0]` of the palette, 2 red, green, blue */
	uint8_t v[3];
};

/* Select graphic rendition. */
struct term_pen {
	uint16_t attributes; /* bit N: attribute N is on: 1 bold ... 9 struck out */
	uint8_t underline;   /* 0 none, 1 single ... 5 dashed */
	uint8_t overline;
	struct term_colour fg, bg, line;
};

struct term_charsets {
	uint8_t g[4]; /* the final byte that designated G0 .. G3: 'B' is ASCII, '0' line drawing */
	uint8_t gl;   /* which of them is in use */
};

struct term {
	/* the sequence that is being read */
	uint8_t state;
	uint8_t marker;       /* one of < = > ? behind the CSI, or 0 */
	uint8_t intermediate; /* the last of the bytes 0x20..0x2f, or 0 */
	uint8_t n_params;
	uint32_t colons; /* bit N: parameter N came behind a colon */
	uint16_t params[TERM_PARAMS_MAX];
	uint32_t partial; /* bytes of it so far */
	uint16_t osc_size;
	uint16_t title_size;
	/* what stands */
	uint32_t modes, saved_modes;
	struct term_pen pen, saved_pen;
	struct term_charsets charsets, saved_charsets;
	uint16_t top, bottom; /* scroll region, from 1; 0 0: all */
	uint8_t cursor_shape; /* of DECSCUSR; 0: the terminal's own */
	uint8_t modify_keys;  /* 1 + xterm's modifyOtherKeys; 0: never spoken of */
	uint8_t keys_used;    /* the keyboard flags were spoken of */
	uint8_t n_keys;       /* entries of the stack */
	uint8_t keys;         /* keyboard flags (the kitty protocol) now */
	uint8_t keys_stack[TERM_KEYS_MAX];
	char osc[TERM_TITLE_MAX];
	char title[TERM_TITLE_MAX];
	uint8_t tabs_used;    /* tab stops were spoken of; which there are only the contents say */
	uint16_t left, right; /* margins, from 1; 0 0: none */
	/* What is saved on the alternate screen; on the primary: above. All zero: nothing is. */
	struct term_pen other_pen;
	struct term_charsets other_charsets;
};

struct term_window {
	unsigned rows, cols;
};

/* A terminal that has just been switched on. */
void term_init(struct term *t);

/* False for bytes that no term_feed() has left: they would lead out of the structure. */
bool term_is_valid(const struct term *t);

void term_feed(struct term *t, const void *data, size_t n);

/* Within a sequence; within a string: OSC, DCS, SOS, PM or APC. */
bool term_is_within(const struct term *t);
bool term_in_string(const struct term *t);

static inline bool term_has(const struct term *t, enum term_mode mode)
{
	return t->modes & 1U << mode;
}

/* How many of the last bytes belong to a sequence or a UTF-8 character that is not complete; 0
 * where a string has lasted for more than TERM_PARTIAL_MAX. What came before them leaves the
 * terminal in a state that modes and contents describe. `last` are the bytes fed last: three
 * suffice. */
size_t term_partial(const struct term *t, const uint8_t *last, size_t n);

/* Forgets the incomplete sequence: the state is that of before those bytes. A string that has
 * lasted for more than TERM_PARTIAL_MAX stays. */
void term_cut(struct term *t);

/* --- term_restore.c: bytes that put a terminal into the state --------------------------------- */

/* From any state between two sequences to a cleared primary screen with the defaults; the cursor is
 * hidden and does not wrap, for what is to be drawn. -ENOMEM, -EFBIG as all that follow. */
int term_write_begin(const struct term *t, struct buffer *b);
/* From there to the cleared alternate screen. */
int term_write_alternate(const struct term *t, struct buffer *b);
/* The cursor (from 0) and the rendition that are saved on the screen that is shown. Moves the
 * cursor; character sets and rendition are the defaults again. */
int term_write_saved(const struct term *t, unsigned row, unsigned col, struct buffer *b);
/* SGR from the default to this. */
int term_write_pen(const struct term_pen *pen, struct buffer *b);
/* Everything that stands but pen, insert mode and whether the cursor is seen. Moves the cursor. */
int term_write_modes(const struct term *t, struct term_window w, struct buffer *b);
/* False when region or margins do not fit the window: there are none, then. */
bool term_region_fits(const struct term *t, struct term_window w);
/* The cursor, from 0, and how it moves from there. */
int term_write_cursor(const struct term *t, struct term_window w, unsigned row, unsigned col,
		      struct buffer *b);
/* The rest; then, where a long string has not ended, the beginning of one that terminals pass over.
 */
int term_write_end(const struct term *t, struct buffer *b);
