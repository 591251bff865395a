/* SPDX-License-Identifier: Apache-2.0 */
#include "core/term.h"
#include "base/text.h"
#include "core/term_private.h"
#include <string.h>

#define ESC 0x1b
#define CAN 0x18
#define SUB 0x1a
#define BEL 0x07
#define SO  0x0e
#define SI  0x0f
#define DEL 0x7f

#define BLOCK 64U
#define NEAR  16U

void term_init(struct term *t)
{
	*t = (struct term){
		.modes = TERM_MODES_DEFAULT,
		.saved_modes = TERM_MODES_DEFAULT,
		.charsets = { .g = { 'B', 'B', 'B', 'B' } },
		.saved_charsets = { .g = { 'B', 'B', 'B', 'B' } },
	};
}

bool term_is_valid(const struct term *t)
{
	return t->state < N_TERM_STATES && t->n_params <= TERM_PARAMS_MAX &&
	       t->osc_size <= TERM_TITLE_MAX && t->title_size <= TERM_TITLE_MAX &&
	       t->charsets.gl < 4 && t->saved_charsets.gl < 4 && t->other_charsets.gl < 4 &&
	       t->n_keys <= TERM_KEYS_MAX;
}

bool term_is_within(const struct term *t)
{
	return t->state != TERM_GROUND;
}

bool term_in_string(const struct term *t)
{
	return t->state >= TERM_OSC;
}

/* --- one byte after the other ---------------------------------------------------------------- */

static void begin(struct term *t)
{
	t->state = TERM_ESCAPE;
	t->partial = 1;
	t->marker = 0;
	t->intermediate = 0;
	t->n_params = 0;
	t->colons = 0;
	t->osc_size = 0;
}

static void end(struct term *t)
{
	t->state = TERM_GROUND;
	t->partial = 0;
}

/* Controls act within sequences, too. True when `c` is done with. */
static bool control(struct term *t, uint8_t c)
{
	if (c == ESC)
		begin(t);
	else if (c == CAN || c == SUB)
		end(t);
	else if (c == SO || c == SI)
		t->charsets.gl = c == SO;
	return c < 0x20 || c == DEL;
}

static void in_ground(struct term *t, uint8_t c)
{
	control(t, c);
}

static void in_escape(struct term *t, uint8_t c)
{
	if (control(t, c))
		return;
	if (c >= 0x20 && c <= 0x2f) {
		t->intermediate = c;
		return;
	}
	t->state = TERM_GROUND;
	if (!t->intermediate && c == '[')
		t->state = TERM_CSI;
	else if (!t->intermediate && c == ']')
		t->state = TERM_OSC;
	else if (!t->intermediate && (c == 'P' || c == 'X' || c == '^' || c == '_'))
		t->state = TERM_STRING;
	else
		term_on_escape(t, c);
	if (t->state == TERM_GROUND)
		end(t);
}

static void digit(struct term *t, uint8_t c)
{
	uint32_t value;

	if (t->n_params == 0)
		t->params[t->n_params++] = 0;
	value = t->params[t->n_params - 1] * 10U + (c - '0');
	t->params[t->n_params - 1] = value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

static void separator(struct term *t, uint8_t c)
{
	if (t->n_params == 0)
		t->params[t->n_params++] = 0; /* the one before it was left out */
	if (t->n_params == TERM_PARAMS_MAX) {
		t->state = TERM_CSI_IGNORE;
		return;
	}
	if (c == ':')
		t->colons |= 1U << t->n_params;
	t->params[t->n_params++] = 0;
}

/* A digit, what stands between two numbers, or, before all of them, the marker of a private
 * sequence. */
static void parameter(struct term *t, uint8_t c)
{
	if (c >= '<' && t->n_params == 0 && !t->marker)
		t->marker = c;
	else if (c >= '<' || t->intermediate)
		t->state = TERM_CSI_IGNORE;
	else if (c <= '9')
		digit(t, c);
	else
		separator(t, c);
}

/* Parameter bytes, intermediate bytes, a final byte: the ranges of ECMA-48, 5.4. */
static void in_csi(struct term *t, uint8_t c)
{
	if (control(t, c))
		return;
	if (c <= 0x2f) {
		t->intermediate = c;
	} else if (c <= 0x3f) {
		parameter(t, c);
	} else if (c <= 0x7e) {
		term_on_csi(t, c);
		end(t);
	} else {
		t->state = TERM_CSI_IGNORE;
	}
}

static void in_csi_ignore(struct term *t, uint8_t c)
{
	if (!control(t, c) && c >= 0x40 && c <= 0x7e)
		end(t);
}

static void in_osc(struct term *t, uint8_t c)
{
	if (c == BEL) {
		term_on_osc(t);
		end(t);
	} else if (c == ESC) {
		t->state = TERM_OSC_END;
	} else if (c == CAN || c == SUB) {
		end(t);
	} else if (c >= 0x20 && t->osc_size < TERM_TITLE_MAX) {
		t->osc[t->osc_size++] = (char)c;
	}
}

/* ESC \ ends a string; another sequence breaks it off. */
static void string_end(struct term *t, uint8_t c)
{
	if (c == '\\') {
		end(t);
		return;
	}
	begin(t);
	t->partial = 2;
	in_escape(t, c);
}

static void in_osc_end(struct term *t, uint8_t c)
{
	if (c == '\\')
		term_on_osc(t);
	string_end(t, c);
}

static void in_string(struct term *t, uint8_t c)
{
	if (c == ESC)
		t->state = TERM_STRING_END;
	else if (c == CAN || c == SUB)
		end(t);
}

static void (*const states[N_TERM_STATES])(struct term *t, uint8_t c) = {
	[TERM_GROUND] = in_ground, [TERM_ESCAPE] = in_escape,
	[TERM_CSI] = in_csi,       [TERM_CSI_IGNORE] = in_csi_ignore,
	[TERM_OSC] = in_osc,       [TERM_OSC_END] = in_osc_end,
	[TERM_STRING] = in_string, [TERM_STRING_END] = string_end,
};

/* --- many bytes at once ------------------------------------------------------------------------
 */

/* Whether one of a block's bytes means something between sequences: ESC, SO or SI. Without a
 * branch, so that the compiler makes vectors of it. */
static bool block_is_plain(const uint8_t p[BLOCK])
{
	uint8_t found = 0;

	for (unsigned i = 0; i < BLOCK; i++)
		found |= (uint8_t)(p[i] == ESC) | (uint8_t)((p[i] | 1) == SI);
	return !found;
}

static const uint8_t *skip_text(const uint8_t *p, const uint8_t *stop)
{
	const uint8_t *near = p + MIN((size_t)(stop - p), (size_t)NEAR);

	for (; p < near; p++) /* between two sequences there is often but a word */
		if (*p == ESC || (*p | 1) == SI)
			return p;
	while ((size_t)(stop - p) >= BLOCK && block_is_plain(p))
		p += BLOCK;
	while (p < stop && *p != ESC && (*p | 1) != SI)
		p++;
	return p;
}

/* Strings may be long (pictures, the clipboard): only four bytes end them. */
static const uint8_t *skip_string(const uint8_t *p, const uint8_t *stop)
{
	while (p < stop && *p != ESC && *p != CAN && *p != SUB)
		p++;
	return p;
}

/* One number of a sequence, as digit() makes it. Returns the first byte behind it. */
static const uint8_t *read_number(const uint8_t *p, const uint8_t *stop, uint16_t *ret)
{
	uint32_t value = 0;

	for (; p < stop && (uint8_t)(*p - '0') <= 9; p++)
		value = MIN(value * 10U + (uint32_t)(*p - '0'), (uint32_t)UINT16_MAX);
	*ret = (uint16_t)value;
	return p;
}

/* Reads a common sequence at once: `[`, numbers between semicolons, a letter. `p` is behind the
 * ESC. Returns the first byte behind the sequence; NULL for what is not one, or not complete, and
 * is read byte by byte: then it has changed nothing but `params`, which begin() gives up anyway. */
static const uint8_t *read_csi(struct term *t, const uint8_t *p, const uint8_t *stop)
{
	unsigned n = 0;

	if (p == stop || *p++ != '[')
		return NULL;
	if (p < stop && (uint8_t)(*p - '0') <= 11) { /* a digit, colon or semicolon */
		do {
			if (n == TERM_PARAMS_MAX)
				return NULL;
			p = read_number(p, stop, &t->params[n++]);
		} while (p < stop && *p == ';' && p++);
	}
	if (p == stop || *p < 0x40 || *p > 0x7e)
		return NULL;
	begin(t);
	t->n_params = (uint8_t)n;
	if (*p >= 'g') /* of capital letters none is followed */
		term_on_csi(t, *p);
	end(t);
	return p + 1;
}

static void count(struct term *t, size_t n)
{
	t->partial = n < UINT32_MAX - t->partial ? t->partial + (uint32_t)n : UINT32_MAX;
}

void term_feed(struct term *t, const void *data, size_t n)
{
	const uint8_t *p = data, *stop = p + n, *from;

	while (p < stop) {
		if (t->state == TERM_GROUND) {
			p = skip_text(p, stop);
			if (p == stop)
				return;
			if (*p != ESC || !(from = read_csi(t, p + 1, stop)))
				control(t, *p++);
			else
				p = from;
			continue;
		}
		from = p;
		if (t->state == TERM_STRING)
			p = skip_string(p, stop);
		count(t, (size_t)(p - from));
		if (p == stop)
			return;
		count(t, 1);
		states[t->state](t, *p++);
	}
}

/* --- between sequences -------------------------------------------------------------------------
 */

size_t term_partial(const struct term *t, const uint8_t *last, size_t n)
{
	if (t->state == TERM_GROUND)
		return text_utf8_incomplete(last, n);
	return t->partial <= TERM_PARTIAL_MAX ? t->partial : 0;
}

void term_cut(struct term *t)
{
	if (t->partial <= TERM_PARTIAL_MAX)
		end(t);
}
