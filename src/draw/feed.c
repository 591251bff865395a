/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - gives libvterm (0.1.4) what it can bear. Strings draw nothing, and it has read
 * beyond some; controls of two bytes (U+0080..9f) count backwards, also when something stands
 * between the two; a repetition (REP) of a wide character leaves the row, one of nothing never
 * ends: it is written out here; the 17th parameter of a sequence lands behind its memory. CSI s
 * means margins to it, set or not, and the cursor that it saves is one for both screens: on the
 * alternate one, saving and restoring are done here. */
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
	if (term_has(&f->term, TERM_MARGINS) || f->term.top > 1 ||
	    (f->term.bottom > 0 && f->term.bottom < rows))
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

	for (size_t i = from; i < n; i++) {
		uint8_t next = i + 1 < n ? p[i + 1] : 0;

		if (p[i] != 0xc2 || (next >= 0xa0 && next < 0xc0))
			continue;
		give(f->vt, p + from, i - from);
		from = i + 1 + (next >= 0x80 && next < 0xa0);
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

/* --- the saved cursor --------------------------------------------------------------------------
 */

static bool is(const uint8_t *p, size_t n, const char *sequence)
{
	return n == strlen(sequence) && memcmp(p, sequence, n) == 0;
}

static bool saves(const struct screen_feeder *f, const uint8_t *p, size_t n)
{
	return is(p, n, "\0337") || is(p, n, "\x1b[?1048h") ||
	       (is(p, n, "\x1b[s") && !term_has(&f->term, TERM_MARGINS)) ||
	       (is(p, n, "\x1b[?1049h") && f->alternate);
}

static bool restores(const uint8_t *p, size_t n)
{
	return is(p, n, "\0338") || is(p, n, "\x1b[?1048l") || is(p, n, "\x1b[u");
}

static void save(struct screen_feeder *f)
{
	if (!f->alternate) {
		give(f->vt, (const uint8_t *)"\0337", 2);
		return;
	}
	f->saved = true;
	vterm_state_get_cursorpos(vterm_obtain_state(f->vt), &f->saved_at);
}

/* The rendition and the character sets are those that `term` has already. */
static void restore(struct screen_feeder *f)
{
	_cleanup_(buffer_done) struct buffer b;
	VTermPos at = f->saved ? f->saved_at : (VTermPos){ 0, 0 };
	int rows, cols;

	buffer_init(&b, PEN_MAX);
	if (!f->alternate) {
		give(f->vt, (const uint8_t *)"\0338", 2);
		return;
	}
	vterm_get_size(f->vt, &rows, &cols);
	if (buffer_append_text(&b, "\x1b(B\x1b)B\x1b*B\x1b+B\x0f") >= 0 &&
	    term_write_cursor(&f->term, (struct term_window){ (unsigned)rows, (unsigned)cols },
			      (unsigned)MIN(at.row, rows - 1), (unsigned)MIN(at.col, cols - 1),
			      &b) >= 0 &&
	    term_write_end(&f->term, &b) >= 0)
		give(f->vt, (const uint8_t *)b.data, b.size);
}

/* --- sequences ---------------------------------------------------------------------------------
 */

static void give_clean(struct screen_feeder *f, const uint8_t *p, size_t n)
{
	if (saves(f, p, n)) {
		save(f);
	} else if (restores(p, n)) {
		restore(f);
	} else if (is_repetition(p, n)) {
		repeat(f, p, n);
		return;
	} else if (has_too_many(p, n)) {
		give_pen(f);
	} else {
		give(f->vt, p, n);
	}
	f->n_last = 0;
	f->saved &= !is(p, n, "\033c") && !is(p, n, "\x1b[!p");
}

static void give_sequence(struct screen_feeder *f, const uint8_t *bytes, size_t size)
{
	uint8_t p[SEQUENCE_MAX];
	size_t n = clean(f, bytes, size, p);

	if (n > 0)
		give_clean(f, p, n);
	f->saved &= f->alternate;
	f->alternate = term_has(&f->term, TERM_ALT_SCREEN);
}

/* --- the parser --------------------------------------------------------------------------------
 */

/* What is being read. */
struct piece {
	size_t begin;
	bool string; /* there is a string in it: it is not given */
};

/* All up to the next sequence. Returns where that begins. */
static size_t feed_text(struct screen_feeder *f, const uint8_t *p, size_t from, size_t n)
{
	const uint8_t *stop = memchr(p + from, ESC, n - from);
	size_t end = stop ? (size_t)(stop - p) : n;

	if (end > from) {
		give_text(f, p + from, end - from);
		term_feed(&f->term, p + from, end - from);
	}
	return end;
}

/* Another sequence may break off the one that is being read. `i`: the byte that was fed last. */
static bool begins_anew(const struct screen_feeder *f, const uint8_t *p, size_t i, bool in_string,
			size_t *ret_begin)
{
	if (in_string) {
		*ret_begin = i - 1;
		return !term_in_string(&f->term) && i > 0 && p[i - 1] == ESC && p[i] != '\\';
	}
	*ret_begin = i;
	return term_is_within(&f->term) && p[i] == ESC;
}

static void feed_byte(struct screen_feeder *f, const uint8_t *p, size_t i, struct piece *piece)
{
	bool in_string = term_in_string(&f->term);
	size_t begin;

	term_feed(&f->term, p + i, 1);
	if (begins_anew(f, p, i, in_string, &begin))
		*piece = (struct piece){ begin, false };
	piece->string |= term_in_string(&f->term);
	if (!term_is_within(&f->term) && !piece->string)
		give_sequence(f, p + piece->begin, i + 1 - piece->begin);
}

void screen_feed(struct screen_feeder *f, const void *bytes, size_t n)
{
	struct piece piece = { 0, term_in_string(&f->term) };
	const uint8_t *p = bytes;
	size_t i = 0;

	f->alternate = term_has(&f->term, TERM_ALT_SCREEN);
	while (i < n) {
		if (!term_is_within(&f->term)) {
			i = feed_text(f, p, i, n);
			piece = (struct piece){ i, false };
			if (i == n)
				return;
		}
		feed_byte(f, p, i++, &piece);
	}
}
