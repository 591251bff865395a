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

/* A title stays, as in xterm; that keyboard or tab stops were spoken of has to be said again. */
static void full_reset(struct term *t)
{
	struct term fresh;

	term_init(&fresh);
	fresh.title_size = t->title_size;
	memcpy(fresh.title, t->title, sizeof(fresh.title));
	fresh.modify_keys = t->modify_keys ? 1 : 0;
	fresh.keys_used = t->keys_used;
	fresh.tabs_used = t->tabs_used;
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

enum rendition {
	NOTHING,
	RESET,
	ON, /* attributes */
	OFF,
	UNDERLINE,
	OVERLINE,
	COLOUR, /* of the palette, */
	DEFAULT,
	EXTENDED, /* or told by the parameters that follow */
};

/* What a parameter does: to attributes (a set), with a value, or to a colour (its place). */
#define FG     offsetof(struct term_pen, fg)
#define BG     offsetof(struct term_pen, bg)
#define LINE   offsetof(struct term_pen, line)
#define BIT(n) (1U << (n))

static const struct {
	uint8_t what;
	uint8_t value; /* of UNDERLINE, OVERLINE, COLOUR */
	uint16_t on;   /* of ON, OFF: attributes; of colours: where it is in the pen */
} renditions[108] = {
	[0] = { RESET, 0, 0 },
	[1] = { ON, 0, BIT(1) },
	[2] = { ON, 0, BIT(2) },
	[3] = { ON, 0, BIT(3) },
	[4] = { UNDERLINE, 1, 0 },
	[5] = { ON, 0, BIT(5) },
	[6] = { ON, 0, BIT(6) },
	[7] = { ON, 0, BIT(7) },
	[8] = { ON, 0, BIT(8) },
	[9] = { ON, 0, BIT(9) },
	[21] = { UNDERLINE, 2, 0 },
	[22] = { OFF, 0, BIT(1) | BIT(2) },
	[23] = { OFF, 0, BIT(3) },
	[24] = { UNDERLINE, 0, 0 },
	[25] = { OFF, 0, BIT(5) | BIT(6) },
	[27] = { OFF, 0, BIT(7) },
	[28] = { OFF, 0, BIT(8) },
	[29] = { OFF, 0, BIT(9) },
	[30] = { COLOUR, 0, FG },
	[31] = { COLOUR, 1, FG },
	[32] = { COLOUR, 2, FG },
	[33] = { COLOUR, 3, FG },
	[34] = { COLOUR, 4, FG },
	[35] = { COLOUR, 5, FG },
	[36] = { COLOUR, 6, FG },
	[37] = { COLOUR, 7, FG },
	[38] = { EXTENDED, 0, FG },
	[39] = { DEFAULT, 0, FG },
	[40] = { COLOUR, 0, BG },
	[41] = { COLOUR, 1, BG },
	[42] = { COLOUR, 2, BG },
	[43] = { COLOUR, 3, BG },
	[44] = { COLOUR, 4, BG },
	[45] = { COLOUR, 5, BG },
	[46] = { COLOUR, 6, BG },
	[47] = { COLOUR, 7, BG },
	[48] = { EXTENDED, 0, BG },
	[49] = { DEFAULT, 0, BG },
	[53] = { OVERLINE, 1, 0 },
	[55] = { OVERLINE, 0, 0 },
	[58] = { EXTENDED, 0, LINE },
	[59] = { DEFAULT, 0, LINE },
	[90] = { COLOUR, 8, FG },
	[91] = { COLOUR, 9, FG },
	[92] = { COLOUR, 10, FG },
	[93] = { COLOUR, 11, FG },
	[94] = { COLOUR, 12, FG },
	[95] = { COLOUR, 13, FG },
	[96] = { COLOUR, 14, FG },
	[97] = { COLOUR, 15, FG },
	[100] = { COLOUR, 8, BG },
	[101] = { COLOUR, 9, BG },
	[102] = { COLOUR, 10, BG },
	[103] = { COLOUR, 11, BG },
	[104] = { COLOUR, 12, BG },
	[105] = { COLOUR, 13, BG },
	[106] = { COLOUR, 14, BG },
	[107] = { COLOUR, 15, BG },
};

static struct term_colour *colour_at(struct term_pen *pen, size_t place)
{
	return (struct term_colour *)((char *)pen + place);
}

/* A parameter that needs no other. */
static void plain_rendition(struct term_pen *pen, unsigned n)
{
	switch (renditions[n].what) {
	case RESET:
		*pen = (struct term_pen){ 0 };
		break;
	case ON:
		pen->attributes |= renditions[n].on;
		break;
	case OFF:
		pen->attributes &= (uint16_t)~renditions[n].on;
		break;
	case UNDERLINE:
		set_underline(pen, renditions[n].value);
		break;
	case OVERLINE:
		pen->overline = renditions[n].value;
		break;
	case COLOUR:
		*colour_at(pen, renditions[n].on) =
			(struct term_colour){ 1, { renditions[n].value } };
		break;
	case DEFAULT:
		*colour_at(pen, renditions[n].on) = (struct term_colour){ 0, { 0 } };
		break;
	default:
		break;
	}
}

static unsigned one_rendition(struct term *t, unsigned i)
{
	struct term_pen *pen = &t->pen;
	unsigned n = t->params[i];

	if (n < ARRAY_SIZE(renditions) && renditions[n].what == EXTENDED)
		return extended_colour(t, i, colour_at(pen, renditions[n].on));
	if (n < ARRAY_SIZE(renditions))
		plain_rendition(pen, n);
	if (t->colons == 0)
		return i;
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

static void on_tabs(struct term *t)
{
	t->tabs_used = 1;
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
	{ '?', 0, 'h', on_set },
	{ '?', 0, 'l', on_reset },
	{ 0, 0, 'h', on_set },
	{ 0, 0, 'l', on_reset },
	{ 0, 0, 'g', on_tabs },
	{ 0, 0, 'r', on_region },
	{ 0, 0, 's', save_cursor },
	{ 0, 0, 'u', restore_cursor },
	{ '?', 0, 's', on_modes_save },
	{ '?', 0, 'r', on_modes_restore },
	{ 0, ' ', 'q', on_cursor_shape },
	{ 0, '!', 'p', on_soft_reset },
	{ '>', 0, 'm', on_modify_keys },
	{ '=', 0, 'u', on_keys_set },
	{ '>', 0, 'u', on_keys_push },
	{ '<', 0, 'u', on_keys_pop },
};

void term_on_csi(struct term *t, uint8_t final)
{
	if (final == 'm' && !t->marker && !t->intermediate) { /* by far the most frequent */
		on_rendition(t);
		return;
	}
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
	case 'H':
		on_tabs(t);
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
