/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - gives libvterm (0.1.4) what it can bear. Strings draw nothing, and it has read
 * beyond some; controls of two bytes (U+0080..9f) count backwards; a repetition (REP) of a wide
 * character leaves the row, one of nothing never ends: it is written out here; the 17th parameter
 * of a sequence lands behind its memory. */
#include "draw/paint.h"
#include <string.h>

#define ESC 0x1b
#define CAN 0x18
#define SUB 0x1a

#define SHIFT_OUT 0x0e
#define SHIFT_IN  0x0f

#define SEQUENCE_MAX 512U
#define PARAMS_MAX   16U
#define PEN_MAX      256U
#define PIECE_MAX    16384U /* libvterm needs several times as much stack */

static void give(VTerm *vt, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += PIECE_MAX)
		vterm_input_write(vt, (const char *)p + at, MIN(n - at, (size_t)PIECE_MAX));
}

/* How much text at the beginning cannot be seen any more at its end: after two windows of lines
 * there is nothing on the screen from before. A flood would be scrolled line by line otherwise. */
static size_t scrolled_off(const struct screen_feeder *f, const uint8_t *p, size_t n)
{
	size_t at = n, lines = 0, needed;
	int rows, cols;

	vterm_get_size(f->vt, &rows, &cols);
	needed = 2 * (size_t)rows;
	if (f->has_margins || f->term.top > 1 || (f->term.bottom > 0 && f->term.bottom < rows))
		return 0;
	for (; at > 1; at--)
		if (p[at - 1] == '\n' && lines++ >= needed && p[at - 2] == '\r')
			break;
	if (at <= 1 || memchr(p, SHIFT_OUT, at) || memchr(p, SHIFT_IN, at))
		return 0;
	return at;
}

static void give_text(struct screen_feeder *f, const uint8_t *p, size_t n)
{
	size_t from = scrolled_off(f, p, n), last = n;

	for (size_t i = from; i + 1 < n; i++)
		if (p[i] == 0xc2 && p[i + 1] >= 0x80 && p[i + 1] < 0xa0) {
			give(f->vt, p + from, i - from);
			from = i + 2;
		}
	if (n > from)
		give(f->vt, p + from, n - from);
	while (last > 0 && n - last < sizeof(f->last) && (p[last - 1] & 0xc0) == 0x80)
		last--;
	last -= last > 0;
	f->n_last = 0;
	if (n - last > sizeof(f->last) || p[last] < ' ' || p[last] == 0x7f || p[last] == 0xc2)
		return;
	f->n_last = (uint8_t)(n - last);
	memcpy(f->last, p + last, f->n_last);
}

/* ESC [ number b. What else may stand in it: more parameters, and controls. */
static bool is_repetition(const uint8_t *p, size_t n)
{
	if (n < 3 || p[1] != '[' || p[n - 1] != 'b')
		return false;
	for (size_t i = 2; i < n - 1; i++)
		if ((p[i] >= ' ' && p[i] < '0') || (p[i] > ';' && p[i] < 0x7f))
			return false;
	return true;
}

static bool has_too_many(const uint8_t *p, size_t n)
{
	unsigned separators = 0;

	for (size_t i = 0; i < n; i++)
		separators += p[i] == ';' || p[i] == ':';
	return separators >= PARAMS_MAX;
}

/* Instead of a long sequence: the rendition that it led to. Others of that length are left out. */
static void give_pen(struct screen_feeder *f)
{
	_cleanup_(buffer_done) struct buffer b;

	buffer_init(&b, PEN_MAX);
	if (term_write_pen(&f->term.pen, &b) >= 0)
		give(f->vt, (const uint8_t *)b.data, b.size);
}

static void repeat(struct screen_feeder *f, const uint8_t *p, size_t n)
{
	unsigned times = 0;

	for (size_t i = 2; i < n - 1 && p[i] >= '0' && p[i] <= '9' && times <= SCREEN_COLS_MAX; i++)
		times = times * 10 + (p[i] - '0');
	times = MAX(times, 1U);
	times = MIN(times, SCREEN_COLS_MAX);
	for (unsigned i = 0; i < times && f->n_last > 0; i++)
		give(f->vt, f->last, f->n_last);
}

/* The sequence alone: controls within it act before it. Returns its size; 0 for one that was
 * cancelled, is none, or is too long: parsers differ about those. */
static size_t clean(struct screen_feeder *f, const uint8_t *p, size_t n, uint8_t to[SEQUENCE_MAX])
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == CAN || p[i] == SUB || p[i] >= 0x80 || size == SEQUENCE_MAX)
			return 0;
		if (i > 0 && (p[i] < ' ' || p[i] == 0x7f))
			give(f->vt, p + i, 1);
		else
			to[size++] = p[i];
	}
	return size;
}

static void give_sequence(struct screen_feeder *f, const uint8_t *bytes, size_t size)
{
	uint8_t p[SEQUENCE_MAX];
	size_t n = clean(f, bytes, size, p);

	if (n == 0)
		return;
	if (is_repetition(p, n)) {
		repeat(f, p, n);
		return;
	}
	f->n_last = 0;
	f->has_margins |= memmem(p, n, "69", 2) != NULL; /* DECLRMM: lines scroll in part */
	if (has_too_many(p, n))
		give_pen(f);
	else
		give(f->vt, p, n);
}

void screen_feed(struct screen_feeder *f, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	bool string = term_in_string(&f->term);
	size_t begin = 0, i = 0;

	while (i < n) {
		bool before = term_in_string(&f->term);

		if (!term_is_within(&f->term)) {
			const uint8_t *stop = memchr(p + i, ESC, n - i);
			size_t end = stop ? (size_t)(stop - p) : n;

			if (end > i) {
				give_text(f, p + i, end - i);
				term_feed(&f->term, p + i, end - i);
			}
			begin = i = end;
			string = false;
			if (i == n)
				return;
		}
		term_feed(&f->term, p + i++, 1);
		if (before && !term_in_string(&f->term) && i > 1 && p[i - 2] == ESC &&
		    p[i - 1] != '\\') {
			begin = i - 2; /* another sequence has broken the string off */
			string = false;
		} else if (!before && term_is_within(&f->term) && p[i - 1] == ESC) {
			begin = i - 1;
			string = false;
		}
		string |= term_in_string(&f->term);
		if (!term_is_within(&f->term) && !string)
			give_sequence(f, p + begin, i - begin);
	}
}
