/* SPDX-License-Identifier: Apache-2.0 */
/* term_modes.c - what complete sequences do to modes, character sets and title. */
#include "base/text.h"
#include "core/term_private.h"
#include <string.h>

const struct term_mode_number term_mode_numbers[] = {
	{ 1, '?', TERM_APP_CURSOR },
	{ 5, '?', TERM_REVERSE_VIDEO },
	{ 6, '?', TERM_ORIGIN },
	{ 7, '?', TERM_AUTOWRAP },
	{ 9, '?', TERM_MOUSE_PRESS },
	{ 12, '?', TERM_CURSOR_BLINK },
	{ 25, '?', TERM_CURSOR_VISIBLE },
	{ 66, '?', TERM_APP_KEYPAD },
	{ 1000, '?', TERM_MOUSE_CLICK },
	{ 1002, '?', TERM_MOUSE_DRAG },
	{ 1003, '?', TERM_MOUSE_MOVE },
	{ 1004, '?', TERM_FOCUS },
	{ 1005, '?', TERM_MOUSE_UTF8 },
	{ 1006, '?', TERM_MOUSE_SGR },
	{ 1007, '?', TERM_ALT_SCROLL },
	{ 1015, '?', TERM_MOUSE_URXVT },
	{ 1016, '?', TERM_MOUSE_PIXELS },
	{ 2004, '?', TERM_PASTE },
	{ 1049, '?', TERM_ALT_SCREEN },
	{ 1047, '?', TERM_ALT_SCREEN },
	{ 47, '?', TERM_ALT_SCREEN },
	{ 69, '?', TERM_MARGINS },
	{ 4, 0, TERM_INSERT },
	{ 20, 0, TERM_NEWLINE },
};
const unsigned term_n_mode_numbers = ARRAY_SIZE(term_mode_numbers);

static uint16_t param(const struct term *t, unsigned i, uint16_t missing)
{
	return i < t->n_params && t->params[i] != 0 ? t->params[i] : missing;
}

/* --- modes -------------------------------------------------------------------------------------
 */

/* Each screen has a place of its own, as in xterm. */
static void save_cursor(struct term *t)
{
	bool other = term_has(t, TERM_ALT_SCREEN);

	*(other ? &t->other_pen : &t->saved_pen) = t->pen;
	*(other ? &t->other_charsets : &t->saved_charsets) = t->charsets;
}

static void restore_cursor(struct term *t)
{
	struct term_saved saved = term_saved(t);

	t->pen = saved.pen;
	t->charsets = saved.charsets;
}

struct term_saved term_saved(const struct term *t)
{
	struct term_saved other = { t->other_pen, t->other_charsets };

	if (!term_has(t, TERM_ALT_SCREEN))
		return (struct term_saved){ t->saved_pen, t->saved_charsets };
	if (other.charsets.g[0] == 0)
		other.charsets = (struct term_charsets){ .g = { 'B', 'B', 'B', 'B' } };
	return other;
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
	bool other = term_has(t, TERM_ALT_SCREEN);

	if (names_cursor(t))
		save_cursor(t);
	t->modes |= modes_named(t);
	if (!other && term_has(t, TERM_ALT_SCREEN)) { /* a new one */
		t->other_pen = (struct term_pen){ 0 };
		t->other_charsets = (struct term_charsets){ 0 };
	}
}

/* Without the mode there are none. */
static void keep_margins(struct term *t)
{
	if (!term_has(t, TERM_MARGINS))
		t->left = t->right = 0;
}

static void on_reset(struct term *t)
{
	t->modes &= ~modes_named(t);
	keep_margins(t);
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
	keep_margins(t);
}

static void on_soft_reset(struct term *t)
{
	static const uint32_t reset = 1U << TERM_ORIGIN | 1U << TERM_INSERT |
				      1U << TERM_APP_KEYPAD | 1U << TERM_APP_CURSOR |
				      1U << TERM_MARGINS;
	struct term fresh;

	term_init(&fresh);
	t->modes = (t->modes & ~reset) | TERM_MODES_DEFAULT;
	t->pen = t->saved_pen = t->other_pen = fresh.pen;
	t->charsets = t->saved_charsets = t->other_charsets = fresh.charsets;
	t->top = t->bottom = t->left = t->right = 0;
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

/* --- the rest -----------------------------------------------------------------------------------
 */

static void on_region(struct term *t)
{
	t->top = param(t, 0, 1);
	t->bottom = param(t, 1, 0);
	if (t->top == 1 && t->bottom == 0)
		t->top = 0;
}

/* CSI s: the margins (DECSLRM) where there may be some, else the cursor (SCOSC). */
static void on_margins(struct term *t)
{
	if (!term_has(t, TERM_MARGINS)) {
		save_cursor(t);
		return;
	}
	t->left = param(t, 0, 1);
	t->right = param(t, 1, 0);
	if (t->left == 1 && t->right == 0)
		t->left = 0;
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
	{ 0, 0, 's', on_margins },
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
		term_on_rendition(t);
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
