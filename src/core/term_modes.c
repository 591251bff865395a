/* SPDX-License-Identifier: Apache-2.0 */
/* term_modes.c - what complete sequences do to modes, rendition, character sets and title. */
#include "base/text.h"
#include "core/term_private.h"
#include <string.h>

const struct term_mode_number term_mode_numbers[] = {
	{ 1, '?', TERM_APP_CURSOR },      { 5, '?', TERM_REVERSE_VIDEO },
	{ 6, '?', TERM_ORIGIN },          { 7, '?', TERM_AUTOWRAP },
	{ 9, '?', TERM_MOUSE_PRESS },     { 12, '?', TERM_CURSOR_BLINK },
	{ 25, '?', TERM_CURSOR_VISIBLE }, { 66, '?', TERM_APP_KEYPAD },
	{ 1000, '?', TERM_MOUSE_CLICK },  { 1002, '?', TERM_MOUSE_DRAG },
	{ 1003, '?', TERM_MOUSE_MOVE },   { 1004, '?', TERM_FOCUS },
	{ 1005, '?', TERM_MOUSE_UTF8 },   { 1006, '?', TERM_MOUSE_SGR },
	{ 1007, '?', TERM_ALT_SCROLL },   { 1015, '?', TERM_MOUSE_URXVT },
	{ 1016, '?', TERM_MOUSE_PIXELS }, { 2004, '?', TERM_PASTE },
	{ 1049, '?', TERM_ALT_SCREEN },   { 1047, '?', TERM_ALT_SCREEN },
	{ 47, '?', TERM_ALT_SCREEN },     { 4, 0, TERM_INSERT },
	{ 20, 0, TERM_NEWLINE },
};
const unsigned term_n_mode_numbers = ARRAY_SIZE(term_mode_numbers);

static uint16_t param(const struct term *t, unsigned i, uint16_t missing)
{
	return i < t->n_params && t->params[i] != 0 ? t->params[i] : missing;
}

/* --- modes -------------------------------------------------------------------------------------
 */

static void save_cursor(struct term *t)
{
	t->saved_pen = t->pen;
	t->saved_charsets = t->charsets;
}

static void restore_cursor(struct term *t)
{
	t->pen = t->saved_pen;
	t->charsets = t->saved_charsets;
}

/* The set of modes that the sequence names. */
static uint32_t modes_named(const struct term *t)
{
	uint32_t set = 0;

	for (unsigned i = 0; i < t->n_params; i++)
		for (unsigned k = 0; k < term_n_mode_numbers; k++)
			if (term_mode_numbers[k].number == t->params[i] &&
			    term_mode_numbers[k].private == t->marker)
				set |= 1U << term_mode_numbers[k].mode;
	return set;
}

/* 1048 saves the cursor, and so does 1049. */
static bool names_cursor(const struct term *t)
{
	for (unsigned i = 0; i < t->n_params; i++)
		if (t->marker == '?' && (t->params[i] == 1048 || t->params[i] == 1049))
			return true;
	return false;
}

static void on_set(struct term *t)
{
	if (names_cursor(t))
		save_cursor(t);
	t->modes |= modes_named(t);
}

static void on_reset(struct term *t)
{
	t->modes &= ~modes_named(t);
	if (names_cursor(t))
		restore_cursor(t);
}

static void on_modes_save(struct term *t)
{
	uint32_t set = modes_named(t);

	t->saved_modes = (t->saved_modes & ~set) | (t->modes & set);
}

static void on_modes_restore(struct term *t)
{
	uint32_t set = modes_named(t);

	t->modes = (t->modes & ~set) | (t->saved_modes & set);
}

static void on_soft_reset(struct term *t)
{
	static const uint32_t reset = 1U << TERM_ORIGIN | 1U << TERM_INSERT |
				      1U << TERM_APP_KEYPAD | 1U << TERM_APP_CURSOR;
	struct term fresh;

	term_init(&fresh);
	t->modes = (t->modes & ~reset) | TERM_MODES_DEFAULT;
	t->pen = t->saved_pen = fresh.pen;
	t->charsets = t->saved_charsets = fresh.charsets;
	t->top = t->bottom = 0;
}

/* A title stays, as in xterm; that the keyboard was spoken of has to be said again. */
static void full_reset(struct term *t)
{
	struct term fresh;

	term_init(&fresh);
	fresh.title_size = t->title_size;
	memcpy(fresh.title, t->title, sizeof(fresh.title));
	fresh.modify_keys = t->modify_keys ? 1 : 0;
	fresh.keys_used = t->keys_used;
	*t = fresh;
}

/* --- rendition ----------------------------------------------------------------------------------
 */

/* 38, 48 and 58: `;5;N`, `;2;R;G;B`, `:5:N`, `:2:R:G:B` and `:2:SPACE:R:G:B`. Returns the index of
 * the last parameter that was used. */
static unsigned extended_colour(const struct term *t, unsigned i, struct term_colour *ret)
{
	unsigned end = i + 1, kind, at = i + 2;
	bool colon = i + 1 < t->n_params && t->colons & 1U << (i + 1);

	while (end < t->n_params && t->colons & 1U << end)
		end++;
	if (!colon)
		end = t->n_params;
	kind = i + 1 < end ? t->params[i + 1] : 0;
	if (kind == 5 && at < end)
		*ret = (struct term_colour){ 1, { (uint8_t)t->params[at] } };
	if (kind == 2 && colon && end - at >= 4)
		at++;
	if (kind == 2 && at + 2 < end)
		*ret = (struct term_colour){ 2,
					     { (uint8_t)t->params[at], (uint8_t)t->params[at + 1],
					       (uint8_t)t->params[at + 2] } };
	if (colon)
		return end - 1;
	return kind == 5 ? i + 2 : kind == 2 ? i + 4 : i + 1;
}

static void set_underline(struct term_pen *pen, uint8_t kind)
{
	pen->underline = kind <= 5 ? kind : 1;
}

/* 1..9 set an attribute, 22..29 reset it. */
static void attribute(struct term_pen *pen, unsigned n)
{
	static const uint16_t off[8] = { 1U << 1 | 1U << 2, 1U << 3, 0,      1U << 5 | 1U << 6, 0,
					 1U << 7,           1U << 8, 1U << 9 };

	if (n >= 1 && n <= 9 && n != 4)
		pen->attributes |= (uint16_t)(1U << n);
	else if (n >= 22 && n <= 29)
		pen->attributes &= (uint16_t)~off[n - 22];
	if (n == 4 || n == 21 || n == 24)
		set_underline(pen, n == 4 ? 1 : n == 21 ? 2 : 0);
	if (n == 53 || n == 55)
		pen->overline = n == 53;
}

static void colour(struct term_pen *pen, unsigned n)
{
	static const struct term_colour none = { 0, { 0 } };

	if (n >= 30 && n <= 37)
		pen->fg = (struct term_colour){ 1, { (uint8_t)(n - 30) } };
	else if (n >= 40 && n <= 47)
		pen->bg = (struct term_colour){ 1, { (uint8_t)(n - 40) } };
	else if (n >= 90 && n <= 97)
		pen->fg = (struct term_colour){ 1, { (uint8_t)(n - 90 + 8) } };
	else if (n >= 100 && n <= 107)
		pen->bg = (struct term_colour){ 1, { (uint8_t)(n - 100 + 8) } };
	if (n == 39)
		pen->fg = none;
	if (n == 49)
		pen->bg = none;
	if (n == 59)
		pen->line = none;
}

static unsigned one_rendition(struct term *t, unsigned i)
{
	struct term_pen *pen = &t->pen;
	unsigned n = t->params[i];

	if (n == 0)
		*pen = (struct term_pen){ 0 };
	if (n == 38 || n == 48 || n == 58)
		return extended_colour(t, i, n == 38 ? &pen->fg : n == 48 ? &pen->bg : &pen->line);
	attribute(pen, n);
	colour(pen, n);
	if (i + 1 < t->n_params && t->colons & 1U << (i + 1)) {
		if (n == 4)
			set_underline(pen, (uint8_t)MIN(t->params[i + 1], (uint16_t)6));
		while (i + 1 < t->n_params && t->colons & 1U << (i + 1))
			i++;
	}
	return i;
}

static void on_rendition(struct term *t)
{
	if (t->n_params == 0)
		t->pen = (struct term_pen){ 0 };
	for (unsigned i = 0; i < t->n_params; i++)
		i = one_rendition(t, i);
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static void on_region(struct term *t)
{
	t->top = param(t, 0, 1);
	t->bottom = param(t, 1, 0);
	if (t->top == 1 && t->bottom == 0)
		t->top = 0;
}

static void on_cursor_shape(struct term *t)
{
	t->cursor_shape = param(t, 0, 0) <= 6 ? (uint8_t)param(t, 0, 0) : 0;
}

/* modifyOtherKeys is resource 4 of XTMODKEYS. */
static void on_modify_keys(struct term *t)
{
	if (t->n_params == 0 || t->params[0] == 4)
		t->modify_keys = (uint8_t)(1 + MIN(param(t, 1, 0), (uint16_t)3));
}

static void on_keys_set(struct term *t)
{
	uint8_t flags = (uint8_t)(param(t, 0, 0) & 31);
	unsigned how = param(t, 1, 1);

	t->keys_used = 1;
	t->keys = how == 2 ? t->keys | flags : how == 3 ? (uint8_t)(t->keys & ~flags) : flags;
}

static void on_keys_push(struct term *t)
{
	if (t->n_keys == TERM_KEYS_MAX)
		memmove(t->keys_stack, t->keys_stack + 1, --t->n_keys);
	t->keys_stack[t->n_keys++] = t->keys;
	t->keys = (uint8_t)(param(t, 0, 0) & 31);
	t->keys_used = 1;
}

static void on_keys_pop(struct term *t)
{
	for (unsigned n = param(t, 0, 1); n > 0 && t->n_keys > 0; n--)
		t->keys = t->keys_stack[--t->n_keys];
	t->keys_used = 1;
}

static const struct {
	uint8_t marker, intermediate, final;
	void (*act)(struct term *t);
} sequences[] = {
	{ 0, 0, 'm', on_rendition },      { '?', 0, 'h', on_set },
	{ '?', 0, 'l', on_reset },        { 0, 0, 'h', on_set },
	{ 0, 0, 'l', on_reset },          { 0, 0, 'r', on_region },
	{ 0, 0, 's', save_cursor },       { 0, 0, 'u', restore_cursor },
	{ '?', 0, 's', on_modes_save },   { '?', 0, 'r', on_modes_restore },
	{ 0, ' ', 'q', on_cursor_shape }, { 0, '!', 'p', on_soft_reset },
	{ '>', 0, 'm', on_modify_keys },  { '=', 0, 'u', on_keys_set },
	{ '>', 0, 'u', on_keys_push },    { '<', 0, 'u', on_keys_pop },
};

void term_on_csi(struct term *t, uint8_t final)
{
	for (size_t i = 0; i < ARRAY_SIZE(sequences); i++)
		if (sequences[i].final == final && sequences[i].marker == t->marker &&
		    sequences[i].intermediate == t->intermediate) {
			sequences[i].act(t);
			return;
		}
}

static void set_mode(struct term *t, enum term_mode mode, bool on)
{
	t->modes = on ? t->modes | 1U << mode : t->modes & ~(1U << mode);
}

static void plain_escape(struct term *t, uint8_t final)
{
	switch (final) {
	case 'c':
		full_reset(t);
		break;
	case '7':
		save_cursor(t);
		break;
	case '8':
		restore_cursor(t);
		break;
	case '=':
	case '>':
		set_mode(t, TERM_APP_KEYPAD, final == '=');
		break;
	case 'n':
	case 'o':
		t->charsets.gl = final == 'n' ? 2 : 3;
		break;
	default:
		break;
	}
}

void term_on_escape(struct term *t, uint8_t final)
{
	static const char designators[] = "()*+";
	const char *g = t->intermediate ? strchr(designators, t->intermediate) : NULL;

	if (g && final >= 0x30 && final <= 0x7e)
		t->charsets.g[g - designators] = final;
	else if (!t->intermediate)
		plain_escape(t, final);
}

/* `0;TITLE` and `2;TITLE`. One that is too long is cut between two characters. */
void term_on_osc(struct term *t)
{
	size_t n = t->osc_size;

	if (n < 2 || (t->osc[0] != '0' && t->osc[0] != '2') || t->osc[1] != ';')
		return;
	n -= text_utf8_incomplete(t->osc, n);
	t->title_size = (uint16_t)(n - 2);
	memcpy(t->title, t->osc + 2, n - 2);
}
