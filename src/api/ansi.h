/* SPDX-License-Identifier: Apache-2.0 */
/* ansi.h - takes terminal control sequences out of text (ECMA-48): CSI, OSC, DCS and the like,
 * single escapes, and C0 controls but for tab, line feed and form feed. Carriage returns go too:
 * what a progress bar wrote over itself stays, piece after piece. */
#pragma once
#include <stddef.h>

enum ansi_state {
	ANSI_TEXT,
	ANSI_ESCAPE,
	ANSI_CSI,
	ANSI_STRING, /* OSC, DCS, SOS, PM, APC: to BEL or ST */
	ANSI_STRING_ESCAPE,
};

/* Strips in place; returns the new length. `state` lives from call to call, since a sequence may be
 * cut; ANSI_TEXT at the start. */
size_t ansi_strip(char *text, size_t n, enum ansi_state *state);
