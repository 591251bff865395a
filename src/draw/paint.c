/* SPDX-License-Identifier: Apache-2.0 */
#include "draw/paint.h"
#include <errno.h>
#include <string.h>

struct drawing {
	VTerm *vt;
	VTermScreen *screen;
	VTermState *state;
	int rows, cols;
	struct screen_feeder feeder;
};

static VTermPos cursor_of(const struct drawing *d)
{
	VTermPos at;

	vterm_state_get_cursorpos(d->state, &at);
	at.row = at.row < 0 ? 0 : at.row < d->rows ? at.row : d->rows - 1;
	at.col = at.col < 0 ? 0 : at.col < d->cols ? at.col : d->cols - 1;
	return at;
}

static void feed_text(struct drawing *d, const char *text)
{
	vterm_input_write(d->vt, text, strlen(text));
}

static struct term_window window_of(const struct drawing *d)
{
	return (struct term_window){ (unsigned)d->rows, (unsigned)d->cols };
}

static void feed_restore(struct drawing *d, const char *bytes, size_t n)
{
	term_init(&d->feeder.term);
	screen_feed(&d->feeder, bytes, n);
}

/* --- from the record -------------------------------------------------------------------------- */

/* Without contents: the modes, on a blank screen. */
static int seed_modes(struct drawing *d, const struct term *t)
{
	_cleanup_(buffer_done) struct buffer b;
	int r;

	buffer_init(&b, SCREEN_PART_MAX);
	r = screen_write_modes(t, window_of(d), &b);
	if (r >= 0)
		feed_restore(d, b.data, b.size);
	return r;
}

/* In a smaller window libvterm leaves a region that begins below it, and moves the cursor above it
 * along with the lines that it pushes out: it would scroll and erase what is not there. */
static int fit_window(struct drawing *d, const struct term *t)
{
	_cleanup_(buffer_done) struct buffer b;
	struct term_window w = window_of(d);
	VTermPos at = cursor_of(d), was;
	int r = 0;

	buffer_init(&b, SCREEN_PART_MAX);
	vterm_state_get_cursorpos(d->state, &was);
	if (!term_region_fits(t, w))
		r = buffer_append_text(&b, term_has(t, TERM_MARGINS) ? "\x1b[r\x1b[s" : "\x1b[r");
	if (r < 0 || (b.size == 0 && was.row == at.row && was.col == at.col))
		return r;
	r = term_write_cursor(t, w, (unsigned)at.row, (unsigned)at.col, &b);
	if (r >= 0)
		vterm_input_write(d->vt, b.data, b.size);
	return r;
}

static int drawing_open(struct drawing *d, const struct screen_input *in)
{
	const struct screen_record *record = &in->record;
	bool drawn = record->size > 0;

	d->rows = drawn ? record->rows : in->rows;
	d->cols = drawn ? record->cols : in->cols;
	d->vt = vterm_new(d->rows, d->cols);
	if (!d->vt)
		return -ENOMEM;
	vterm_set_utf8(d->vt, 1);
	d->feeder.vt = d->vt;
	d->screen = vterm_obtain_screen(d->vt);
	d->state = vterm_obtain_state(d->vt);
	vterm_screen_enable_altscreen(d->screen, 1);
	vterm_screen_set_damage_merge(d->screen, VTERM_DAMAGE_SCROLL);
	vterm_screen_reset(d->screen, 1);
	feed_text(d, "\x1b"
		     "7"); /* what it has saved at first is black on black */
	if (!drawn)
		return record->at > 0 ? seed_modes(d, &record->term) : 0;
	feed_restore(d, in->contents, record->size);
	if (d->rows != in->rows || d->cols != in->cols)
		vterm_set_size(d->vt, in->rows, in->cols);
	d->rows = in->rows;
	d->cols = in->cols;
	return fit_window(d, &record->term);
}

/* --- to bytes -----------------------------------------------------------------------------------
 */

static int write_rows(const struct drawing *d, bool colours, struct buffer *b)
{
	struct screen_style style = { .colours = colours };
	int r = 0;

	for (int row = 0; row < d->rows && r >= 0; row++) {
		r = screen_render_row(d->screen, row, d->cols, &style, b);
		if (r >= 0)
			r = buffer_append(b, "\n", 1);
	}
	return r;
}

/* Behind the last column a terminal waits for the next character before it wraps. Whether it does
 * is seen by giving it one. */
static bool wrap_is_due(struct drawing *d, const struct term *t, VTermPos at, int width)
{
	if (at.col + width < d->cols || d->cols < 3 || !term_has(t, TERM_AUTOWRAP))
		return false;
	feed_text(d, "\x18\x0f\x1b(Bx");
	return cursor_of(d).col == 1;
}

/* The primary screen, which lies below the alternate one. */
static int write_primary(struct drawing *d, const struct term *t, const struct screen_style *style,
			 struct buffer *b)
{
	VTermPos at;
	int r;

	feed_text(d, "\x18\x1b[?1049l");
	r = screen_render_all(d->screen, d->rows, d->cols, style, b);
	at = cursor_of(d);
	if (r >= 0)
		r = buffer_printf(b, "\x1b[%d;%dH", at.row + 1, at.col + 1);
	if (r >= 0)
		r = term_write_alternate(t, b);
	if (r < 0 || !d->feeder.saved)
		return r;
	at = d->feeder.saved_at;
	return term_write_saved(t, (unsigned)at.row, (unsigned)at.col, b);
}

/* The cursor that a program has saved on the primary screen. */
static int write_saved(struct drawing *d, const struct term *t, struct buffer *b)
{
	VTermPos at;

	feed_text(d, "\x18\x1b"
		     "8");
	at = cursor_of(d);
	return term_write_saved(t, (unsigned)at.row, (unsigned)at.col, b);
}

/* Tab stops are found by going from one to the next. The last column is one in any case. */
static int write_tabs(struct drawing *d, const struct term *t, struct buffer *b)
{
	int col = 0, next, r;

	if (!t->tabs_used)
		return 0;
	feed_text(d, "\x18\r\t");
	r = buffer_append_text(b, "\x1b[3g");
	while (r >= 0 && (next = cursor_of(d).col) > col && next < d->cols - 1) {
		r = buffer_printf(b, "\x1b[%dG\x1bH", next + 1);
		feed_text(d, "\t");
		col = next;
	}
	return r;
}

/* Changes what is drawn: comes last. */
static int write_restore(struct drawing *d, const struct term *t, struct buffer *b)
{
	struct screen_style style = { .colours = true,
				      .reversed = term_has(t, TERM_REVERSE_VIDEO) };
	_cleanup_(buffer_done) struct buffer contents;
	VTermPos at = cursor_of(d);
	VTermScreenCell last = { .width = 1 };
	bool wrap;
	int r;

	buffer_init(&contents, SCREEN_PART_MAX);
	r = screen_render_all(d->screen, d->rows, d->cols, &style, &contents);
	vterm_screen_get_cell(d->screen, at, &last);
	wrap = wrap_is_due(d, t, at, last.width);
	if (r >= 0)
		r = term_write_begin(t, b);
	if (r >= 0)
		r = write_tabs(d, t, b);
	if (r >= 0)
		r = term_has(t, TERM_ALT_SCREEN) ? write_primary(d, t, &style, b)
						 : write_saved(d, t, b);
	if (r >= 0)
		r = buffer_append(b, contents.data, contents.size);
	if (r >= 0)
		r = term_write_modes(t, window_of(d), b);
	if (r >= 0)
		r = term_write_cursor(t, window_of(d), (unsigned)at.row, (unsigned)at.col, b);
	if (r >= 0 && wrap)
		r = screen_render_cell(&last, &style, b);
	return r < 0 ? r : term_write_end(t, b);
}

static int write_parts(struct drawing *d, unsigned parts, struct screen_shot *shot)
{
	VTermPos at = cursor_of(d);
	int r = 0;

	shot->row = (uint16_t)at.row;
	shot->col = (uint16_t)at.col;
	if (parts & SCREEN_TEXT)
		r = write_rows(d, false, &shot->text);
	if (r >= 0 && parts & SCREEN_ANSI)
		r = write_rows(d, true, &shot->ansi);
	if (r >= 0 && parts & SCREEN_RESTORE)
		r = write_restore(d, &shot->term, &shot->restore);
	return r;
}

int screen_draw(const struct screen_input *in, unsigned parts, struct screen_shot *shot)
{
	struct drawing d = { 0 };
	size_t partial = screen_begin(in, shot);
	int r;

	r = drawing_open(&d, in);
	if (r >= 0) {
		d.feeder.term = in->record.term;
		screen_feed(&d.feeder, in->bytes, in->n - partial);
		vterm_screen_flush_damage(d.screen);
		r = write_parts(&d, parts, shot);
	}
	if (r >= 0 && parts & SCREEN_RESTORE && in->at_head)
		r = buffer_append(&shot->restore, in->bytes + in->n - partial, partial);
	if (d.vt)
		vterm_free(d.vt);
	return r;
}
