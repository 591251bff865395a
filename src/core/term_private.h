/* SPDX-License-Identifier: Apache-2.0 */
/* term_private.h - shared by term.c and term_*.c. */
#pragma once
#include "core/term.h"

enum term_state {
	TERM_GROUND,
	TERM_ESCAPE,     /* ESC, and intermediates */
	TERM_CSI,        /* ESC [ ... */
	TERM_CSI_IGNORE, /* a malformed one, to its end */
	TERM_OSC,        /* ESC ] ... */
	TERM_OSC_END,    /* ESC within it */
	TERM_STRING,     /* DCS, SOS, PM, APC */
	TERM_STRING_END,
	N_TERM_STATES,
};

#define TERM_MODES_DEFAULT (1U << TERM_AUTOWRAP | 1U << TERM_CURSOR_VISIBLE)

/* Modes with a number. */
struct term_mode_number {
	uint16_t number;
	uint8_t private;
	uint8_t mode;
};
extern const struct term_mode_number term_mode_numbers[];
extern const unsigned term_n_mode_numbers;

/* What is saved on the screen that is shown. */
struct term_saved {
	struct term_pen pen;
	struct term_charsets charsets;
};
struct term_saved term_saved(const struct term *t);

/* What a complete sequence does. */
void term_on_csi(struct term *t, uint8_t final);
void term_on_rendition(struct term *t);
void term_on_escape(struct term *t, uint8_t final);
void term_on_osc(struct term *t);
