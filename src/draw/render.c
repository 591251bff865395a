/* SPDX-License-Identifier: Apache-2.0 */
#include "draw/paint.h"
#include <string.h>

#define REPLACEMENT 0xfffdU
#define WIDE_REST   UINT32_MAX /* the second cell of a wide character */

static struct term_colour colour_of(const VTermColor *c, bool is_default)
{
	struct term_colour ret = { 0 };

	if (is_default)
		return ret;
	if (VTERM_COLOR_IS_INDEXED(c)) {
		ret.kind = 1;
		ret.v[0] = c->indexed.idx;
	} else {
		ret = (struct term_colour){ 2, { c->rgb.red, c->rgb.green, c->rgb.blue } };
	}
	return ret;
}

static struct term_pen pen_of(const VTermScreenCell *cell, const struct screen_style *style)
{
	struct term_pen pen = { 0 };
	bool reverse = (cell->attrs.reverse != 0) != style->reversed;

	pen.attributes =
		(uint16_t)(cell->attrs.bold << 1 | cell->attrs.italic << 3 |
			   cell->attrs.blink << 5 | reverse << 7 | cell->attrs.strike << 9);
	pen.underline = cell->attrs.underline;
	pen.fg = colour_of(&cell->fg, VTERM_COLOR_IS_DEFAULT_FG(&cell->fg));
	pen.bg = colour_of(&cell->bg, VTERM_COLOR_IS_DEFAULT_BG(&cell->bg));
	return pen;
}

static bool same_colour(const struct term_colour *a, const struct term_colour *b)
{
	return a->kind == b->kind && memcmp(a->v, b->v, sizeof(a->v)) == 0;
}

static bool same_pen(const struct term_pen *a, const struct term_pen *b)
{
	return a->attributes == b->attributes && a->underline == b->underline &&
	       same_colour(&a->fg, &b->fg) && same_colour(&a->bg, &b->bg);
}

/* libvterm sets nothing behind the first zero. */
static bool is_blank(const VTermScreenCell *cell)
{
	return cell->chars[0] == 0 || (cell->chars[0] == ' ' && cell->chars[1] == 0);
}

static int put_character(uint32_t c, struct buffer *b)
{
	char utf8[4];
	size_t n = 1;

	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		c = REPLACEMENT;
	if (c < 0x80) {
		utf8[0] = (char)c;
	} else if (c < 0x800) {
		utf8[0] = (char)(0xc0 | c >> 6);
		utf8[1] = (char)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		utf8[0] = (char)(0xe0 | c >> 12);
		utf8[1] = (char)(0x80 | (c >> 6 & 0x3f));
		utf8[2] = (char)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		utf8[0] = (char)(0xf0 | c >> 18);
		utf8[1] = (char)(0x80 | (c >> 12 & 0x3f));
		utf8[2] = (char)(0x80 | (c >> 6 & 0x3f));
		utf8[3] = (char)(0x80 | (c & 0x3f));
		n = 4;
	}
	return buffer_append(b, utf8, n);
}

static int put_cell(const VTermScreenCell *cell, struct buffer *b)
{
	int r = 0;

	if (cell->chars[0] == 0)
		return buffer_append(b, " ", 1);
	for (unsigned i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell->chars[i] && r >= 0; i++)
		r = put_character(cell->chars[i], b);
	return r;
}

int screen_render_cell(const VTermScreenCell *cell, const struct screen_style *style,
		       struct buffer *b)
{
	struct term_pen pen = pen_of(cell, style);
	int r = term_write_pen(&pen, b);

	return r < 0 ? r : put_cell(cell, b);
}

/* One behind the last cell that is to be written. */
static int row_end(VTermScreen *screen, int row, int cols, const struct screen_style *style)
{
	static const struct term_pen plain;
	VTermScreenCell cell;

	for (int col = cols; col > 0; col--) {
		VTermPos at = { row, col - 1 };
		struct term_pen pen;

		if (!vterm_screen_get_cell(screen, at, &cell))
			continue;
		pen = pen_of(&cell, style);
		if (!is_blank(&cell) || (style->colours && !same_pen(&pen, &plain)))
			return col;
	}
	return 0;
}

int screen_render_row(VTermScreen *screen, int row, int cols, const struct screen_style *style,
		      struct buffer *b)
{
	int end = row_end(screen, row, cols, style), r = 0, width;
	struct term_pen now = { 0 }, plain = { 0 };

	for (int col = 0; col < end && r >= 0; col += width) {
		VTermPos at = { row, col };
		VTermScreenCell cell;
		struct term_pen pen;

		width = 1;
		if (!vterm_screen_get_cell(screen, at, &cell) || cell.chars[0] == WIDE_REST)
			continue;
		width = cell.width > 1 ? cell.width : 1;
		pen = pen_of(&cell, style);
		if (style->colours && !same_pen(&pen, &now))
			r = term_write_pen(&pen, b);
		now = pen;
		if (r >= 0)
			r = put_cell(&cell, b);
	}
	if (r >= 0 && style->colours && !same_pen(&now, &plain))
		r = buffer_append_text(b, "\x1b[m");
	return r;
}

int screen_render_all(VTermScreen *screen, int rows, int cols, const struct screen_style *style,
		      struct buffer *b)
{
	int r = 0;

	for (int row = 0; row < rows && r >= 0; row++) {
		if (row_end(screen, row, cols, style) == 0)
			continue;
		r = buffer_printf(b, "\x1b[%dH", row + 1);
		if (r >= 0)
			r = screen_render_row(screen, row, cols, style, b);
	}
	return r;
}
