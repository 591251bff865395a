/* SPDX-License-Identifier: Apache-2.0 */
/* term_restore.c - writes the sequences that put a terminal into a state. */
#include "core/term_private.h"

/* The modes that are told by a number, but for these: they have their place in the order. */
#define APART                                                                                      \
	(1U << TERM_ALT_SCREEN | 1U << TERM_CURSOR_VISIBLE | 1U << TERM_ORIGIN |                   \
	 1U << TERM_INSERT | 1U << TERM_AUTOWRAP | 1U << TERM_APP_KEYPAD)

/* The usual rendition and character sets. */
#define PLAIN "\x1b[m\x1b(B\x1b)B\x0f"

/* The user's own settings: changed when the program asks for it, not put back to a default. */
#define TASTE (1U << TERM_CURSOR_BLINK | 1U << TERM_ALT_SCROLL)

static int write_numbered(uint32_t modes, uint32_t which, struct buffer *b)
{
	int r = 0;

	for (unsigned i = 0; i < term_n_mode_numbers && r >= 0; i++) {
		uint32_t bit = 1U << term_mode_numbers[i].mode;

		if (which & bit)
			r = buffer_printf(b, "\x1b[%s%u%c", term_mode_numbers[i].private ? "?" : "",
					  (unsigned)term_mode_numbers[i].number,
					  modes & bit ? 'h' : 'l');
	}
	return r;
}

int term_write_begin(const struct term *t, struct buffer *b)
{
	int r = write_numbered(TERM_MODES_DEFAULT, ~(uint32_t)(APART | TASTE), b);

	/* The cursor is restored on the way back to the primary screen: cleared last. */
	if (r >= 0)
		r = buffer_append_text(b, "\x1b[?1049l\x1b[?25l\x1b[?6l\x1b[?7l\x1b[4l\x1b[r\x1b>"
					  "\x1b(B\x1b)B\x0f\x1b[m\x1b[H\x1b[2J\x1b[0 q");
	if (r >= 0 && t->modify_keys > 0)
		r = buffer_append_text(b, "\x1b[>4;0m");
	if (r >= 0 && t->keys_used)
		r = buffer_append_text(b, "\x1b[=0u");
	return r;
}

/* One of the 16 that have a parameter of their own: stands with the attributes. */
static bool is_short(const struct term_colour *c, unsigned base)
{
	return c->kind == 1 && c->v[0] < 16 && base != 58;
}

static int write_short(const struct term_colour *c, unsigned base, struct buffer *b)
{
	if (!is_short(c, base))
		return 0;
	return buffer_printf(b, ";%u", c->v[0] < 8 ? base - 8 + c->v[0] : base + 52 + c->v[0] - 8U);
}

/* The others have a sequence of their own: terminals take no more than 16 parameters in one. */
static int write_long(const struct term_colour *c, unsigned base, struct buffer *b)
{
	if (c->kind == 0 || is_short(c, base))
		return 0;
	if (c->kind == 1)
		return buffer_printf(b, "\x1b[%u;5;%um", base, (unsigned)c->v[0]);
	return buffer_printf(b, "\x1b[%u;2;%u;%u;%um", base, (unsigned)c->v[0], (unsigned)c->v[1],
			     (unsigned)c->v[2]);
}

static int write_attributes(const struct term_pen *pen, struct buffer *b)
{
	int r = buffer_append_text(b, "\x1b[0");

	for (unsigned i = 1; i <= 9 && r >= 0; i++)
		if (pen->attributes & 1U << i)
			r = buffer_printf(b, ";%u", i);
	if (r >= 0 && pen->underline == 1)
		r = buffer_append_text(b, ";4");
	else if (r >= 0 && pen->underline == 2)
		r = buffer_append_text(b, ";21");
	else if (r >= 0 && pen->underline > 2)
		r = buffer_printf(b, ";4:%u", (unsigned)pen->underline);
	if (r >= 0 && pen->overline)
		r = buffer_append_text(b, ";53");
	return r;
}

int term_write_pen(const struct term_pen *pen, struct buffer *b)
{
	int r = write_attributes(pen, b);

	if (r >= 0)
		r = write_short(&pen->fg, 38, b);
	if (r >= 0)
		r = write_short(&pen->bg, 48, b);
	if (r >= 0)
		r = buffer_append_text(b, "m");
	if (r >= 0)
		r = write_long(&pen->fg, 38, b);
	if (r >= 0)
		r = write_long(&pen->bg, 48, b);
	return r < 0 ? r : write_long(&pen->line, 58, b);
}

static int write_charsets(const struct term_charsets *c, struct buffer *b)
{
	static const char designators[] = "()*+";
	static const char *const shifts[] = { "\x0f", "\x0e", "\x1bn", "\x1bo" };
	int r = 0;

	for (unsigned i = 0; i < 4 && r >= 0; i++)
		if (c->g[i] != 'B')
			r = buffer_printf(b, "\x1b%c%c", designators[i], c->g[i]);
	return r < 0 || c->gl == 0 ? r : buffer_append_text(b, shifts[c->gl & 3]);
}

static int write_rendition(const struct term_pen *pen, const struct term_charsets *charsets,
			   struct buffer *b)
{
	int r = term_write_pen(pen, b);

	return r < 0 ? r : write_charsets(charsets, b);
}

/* To the primary screen belongs what is saved on the way. */
int term_write_alternate(const struct term *t, struct buffer *b)
{
	int r = write_rendition(&t->saved_pen, &t->saved_charsets, b);

	return r < 0 ? r : buffer_append_text(b, "\x1b[?1049h" PLAIN "\x1b[H\x1b[2J");
}

int term_write_saved(const struct term *t, unsigned row, unsigned col, struct buffer *b)
{
	struct term_saved saved = term_saved(t);
	int r = buffer_printf(b, "\x1b[%u;%uH", row + 1, col + 1);

	if (r >= 0)
		r = write_rendition(&saved.pen, &saved.charsets, b);
	return r < 0 ? r
		     : buffer_append_text(b, "\x1b"
					     "7" PLAIN);
}

/* Of `n` rows or columns; 0 stands for the last. One that does not fit the window any more is none.
 */
static bool is_region(unsigned first, unsigned last, unsigned n)
{
	last = last ? last : n;
	return first != 0 && first < last && last <= n;
}

bool term_region_fits(const struct term *t, struct term_window w)
{
	return (t->top == 0 || is_region(t->top, t->bottom, w.rows)) &&
	       (t->left == 0 || is_region(t->left, t->right, w.cols));
}

static int write_title(const struct term *t, struct buffer *b)
{
	int r;

	if (t->title_size == 0)
		return 0;
	r = buffer_append_text(b, "\x1b]2;");
	if (r >= 0)
		r = buffer_append(b, t->title, t->title_size);
	return r < 0 ? r : buffer_append_text(b, "\x1b\\");
}

static int write_keyboard(const struct term *t, struct buffer *b)
{
	int r = 0;

	if (term_has(t, TERM_APP_KEYPAD))
		r = buffer_append_text(b, "\x1b=");
	if (r >= 0 && t->modify_keys > 1)
		r = buffer_printf(b, "\x1b[>4;%um", (unsigned)t->modify_keys - 1);
	if (r >= 0 && t->keys > 0)
		r = buffer_printf(b, "\x1b[=%uu", (unsigned)t->keys);
	return r;
}

static int write_region(const struct term *t, struct term_window w, struct buffer *b)
{
	int r = 0;

	if (is_region(t->top, t->bottom, w.rows))
		r = buffer_printf(b, "\x1b[%u;%ur", (unsigned)t->top,
				  t->bottom ? (unsigned)t->bottom : w.rows);
	if (r >= 0 && is_region(t->left, t->right, w.cols))
		r = buffer_printf(b, "\x1b[%u;%us", (unsigned)t->left,
				  t->right ? (unsigned)t->right : w.cols);
	return r;
}

int term_write_modes(const struct term *t, struct term_window w, struct buffer *b)
{
	uint32_t changed = (t->modes ^ TERM_MODES_DEFAULT) & ~(uint32_t)APART;
	int r = write_numbered(t->modes, changed, b);

	if (r >= 0)
		r = write_title(t, b);
	if (r >= 0)
		r = write_keyboard(t, b);
	if (r >= 0 && t->cursor_shape > 0)
		r = buffer_printf(b, "\x1b[%u q", (unsigned)t->cursor_shape);
	return r < 0 ? r : write_region(t, w, b);
}

/* Counted from the beginning of the region. */
static unsigned within(unsigned first, unsigned last, unsigned n, unsigned at)
{
	unsigned begin = is_region(first, last, n) ? first - 1 : 0;

	return at > begin ? at - begin : 0;
}

/* The rest of a string whose beginning is gone is taken by one that has no meaning. */
static int write_string(const struct term *t, struct buffer *b)
{
	static const char *const beginnings[N_TERM_STATES] = {
		[TERM_OSC] = "\x1b]65000;", [TERM_OSC_END] = "\x1b]65000;\x1b",
		[TERM_STRING] = "\x1b_",    [TERM_STRING_END] = "\x1b_\x1b",
		[TERM_CSI] = "\x1b[<",      [TERM_CSI_IGNORE] = "\x1b[<",
	};

	return beginnings[t->state] ? buffer_append_text(b, beginnings[t->state]) : 0;
}

int term_write_cursor(const struct term *t, struct term_window w, unsigned row, unsigned col,
		      struct buffer *b)
{
	int r = 0;

	if (term_has(t, TERM_ORIGIN)) {
		row = within(t->top, t->bottom, w.rows, row);
		col = within(t->left, t->right, w.cols, col);
		r = buffer_append_text(b, "\x1b[?6h");
	}
	if (r >= 0)
		r = buffer_printf(b, "\x1b[%u;%uH", row + 1, col + 1);
	if (r >= 0 && term_has(t, TERM_AUTOWRAP))
		r = buffer_append_text(b, "\x1b[?7h");
	return r;
}

int term_write_end(const struct term *t, struct buffer *b)
{
	int r = write_charsets(&t->charsets, b);

	if (r >= 0)
		r = term_write_pen(&t->pen, b);
	if (r >= 0 && term_has(t, TERM_INSERT))
		r = buffer_append_text(b, "\x1b[4h");
	if (r >= 0 && term_has(t, TERM_CURSOR_VISIBLE))
		r = buffer_append_text(b, "\x1b[?25h");
	return r < 0 ? r : write_string(t, b);
}
