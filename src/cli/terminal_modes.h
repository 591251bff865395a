/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_modes.h - what a program has switched on in the user's terminal, and how to undo it.
 *
 * Fed with the bytes that were written to the terminal, cut anywhere. Holds no pointers, so that it
 * can stand in memory shared with the process that undoes it when the client is killed. Sources:
 * ECMA-48; XTerm Control Sequences (ctlseqs). Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_UNDO_MAX    1024U /* bytes that terminal_modes_undo writes at most */
#define TERMINAL_PARAMS_MAX  16U
#define TERMINAL_KITTY_STEPS 16U

struct terminal_modes {
	uint32_t privates; /* a bit for each known private mode that is not as it should be */
	uint32_t others;   /* bits of what is no private mode */
	uint8_t kitty;     /* flags pushed for the kitty keyboard protocol */
	uint8_t last;      /* byte written */
	/* parser */
	uint8_t state;
	uint8_t prefix;       /* < = > ? behind CSI */
	uint8_t intermediate; /* the last byte of 0x20..0x2f */
	uint8_t n_params;
	uint16_t params[TERMINAL_PARAMS_MAX];
	uint16_t osc;       /* the number of the command; OSC_NONE: another string */
	uint8_t separators; /* of it, so far */
	bool asks, says;    /* its value is `?`, or another */
};

/* Lets the terminal keep for itself what it alone knows: modes in which users differ. Written
 * before anything that is fed; terminal_modes_undo gives back what was changed. */
#define TERMINAL_MODES_KEEP "\033[?12;1007s"

/* All zero at the start. */
void terminal_modes_feed(struct terminal_modes *m, const uint8_t *bytes, size_t n);

/* Something was written to the normal screen, and the cursor is not known to be at the beginning of
 * a line. */
bool terminal_modes_in_line(const struct terminal_modes *m);

/* A hyperlink has begun: what is written is part of it. */
bool terminal_modes_in_link(const struct terminal_modes *m);

/* Writes the sequences that put the terminal right, whatever it was in the middle of; returns how
 * many bytes. */
size_t terminal_modes_undo(const struct terminal_modes *m, char to[TERMINAL_UNDO_MAX]);
