/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_modes.h"
#include "base/cleanup.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { GROUND, ESCAPE, ESCAPE_MORE, CSI, STRING };

#define OSC_NONE UINT16_MAX

#define ESC 0x1b
#define CAN 0x18
#define SUB 0x1a
#define BEL 0x07

/* In the order in which they are undone. */
static const struct {
	uint16_t number;
	bool normally;
} privates[] = {
	{ 2026, false }, /* updates held back */
	{ 9, false },    { 1000, false }, { 1001, false }, { 1002, false }, { 1003, false },
	{ 1005, false }, { 1006, false }, { 1015, false }, { 1016, false }, /* mouse */
	{ 1004, false },                                                    /* focus */
	{ 2004, false },                                                    /* bracketed paste */
	{ 1049, false }, { 1047, false }, { 47, false },                    /* alternate screen */
	{ 69, false }, /* left and right margin */
	{ 6, false },  /* origin */
	{ 7, true },   /* wrap */
	{ 5, false },  /* reverse video */
	{ 1, false },  /* cursor keys */
	{ 66, false }, /* keypad */
	{ 25, true },  /* cursor */
};

static bool is_other_screen(uint16_t number)
{
	return number == 47 || number == 1047 || number == 1049;
}

enum {
	OTHER_KEYPAD = 1 << 0,
	OTHER_SHAPE = 1 << 1,
	OTHER_REGION = 1 << 2,
	OTHER_COLOURS = 1 << 3,
	OTHER_CHARSET = 1 << 4,
	OTHER_INSERT = 1 << 5,
	OTHER_KEYS = 1 << 6,
	OTHER_NEWLINE = 1 << 7,
	OTHER_TABS = 1 << 8,
	OTHER_FLAGS = 1 << 9, /* of the kitty keyboard protocol, set without being pushed */
	OTHER_BLINK = 1 << 10,
	OTHER_SCROLL = 1 << 11, /* the wheel as keys on the alternate screen */
	OTHER_LINK = 1 << 12,
	OTHER_PALETTE = 1 << 13,
	OTHER_TEXT = 1 << 14, /* colours, as the three that follow */
	OTHER_GROUND = 1 << 15,
	OTHER_CURSOR = 1 << 16,
};

/* What DECSTR resets. */
#define RESET_SOFTLY                                                                               \
	(OTHER_KEYPAD | OTHER_SHAPE | OTHER_REGION | OTHER_COLOURS | OTHER_CHARSET |               \
	 OTHER_INSERT | OTHER_NEWLINE)

/* Tab stops in every eighth column of a window of up to 256. */
#define STOP       "\033[8C\033H"
#define STOPS_4    STOP STOP STOP STOP
#define STOPS_16   STOPS_4 STOPS_4 STOPS_4 STOPS_4
#define USUAL_TABS "\0337\033[3g\r" STOPS_16 STOPS_16 "\0338"

/* Undone in this order; the margins' reset moves the cursor, which is therefore kept. */
static const struct {
	uint32_t bit;
	const char *sequence;
} undoing[] = {
	{ OTHER_KEYPAD, "\033>" },
	{ OTHER_SHAPE, "\033[0 q" },
	{ OTHER_REGION, "\0337\033[r\0338" },
	{ OTHER_CHARSET, "\033(B\033)B\017" },
	{ OTHER_COLOURS, "\033[0m" },
	{ OTHER_INSERT, "\033[4l" },
	{ OTHER_NEWLINE, "\033[20l" },
	{ OTHER_KEYS, "\033[>4;0m" },
	{ OTHER_TABS, USUAL_TABS },
	{ OTHER_BLINK, "\033[?12l\033[?12r" }, /* as it was kept, or off where nothing is kept */
	{ OTHER_SCROLL, "\033[?1007r" },
	{ OTHER_LINK, "\033]8;;\033\\" },
	{ OTHER_PALETTE, "\033]104\033\\" },
	{ OTHER_TEXT, "\033]110\033\\" },
	{ OTHER_GROUND, "\033]111\033\\" },
	{ OTHER_CURSOR, "\033]112\033\\" },
};

static void set_other(struct terminal_modes *m, uint32_t bit, bool on)
{
	m->others = on ? m->others | bit : m->others & ~bit;
}

static void set_private(struct terminal_modes *m, uint16_t number, bool on)
{
	for (unsigned i = 0; i < ARRAY_SIZE(privates); i++) {
		if (privates[i].number != number)
			continue;
		if (on == privates[i].normally)
			m->privates &= ~(1U << i);
		else
			m->privates |= 1U << i;
	}
}

/* Modes of which only the terminal knows how its user wants them. */
static void note_private(struct terminal_modes *m, uint16_t number)
{
	if (number == 12)
		set_other(m, OTHER_BLINK, true);
	else if (number == 1007)
		set_other(m, OTHER_SCROLL, true);
}

static uint16_t param(const struct terminal_modes *m, unsigned i)
{
	return i <= m->n_params && i < TERMINAL_PARAMS_MAX ? m->params[i] : 0;
}

/* --- control sequences ----------------------------------------------------------------------- */

static void on_mode(struct terminal_modes *m, bool on)
{
	for (unsigned i = 0; i <= m->n_params && i < TERMINAL_PARAMS_MAX; i++) {
		if (m->prefix == '?') {
			set_private(m, m->params[i], on);
			note_private(m, m->params[i]);
		} else if (m->prefix == 0 && m->params[i] == 4) {
			set_other(m, OTHER_INSERT, on);
		} else if (m->prefix == 0 && m->params[i] == 20) {
			set_other(m, OTHER_NEWLINE, on);
		}
	}
}

static void on_colours(struct terminal_modes *m)
{
	if (m->prefix == '>' && param(m, 0) == 4)
		set_other(m, OTHER_KEYS, param(m, 1) != 0);
	else if (m->prefix == 0)
		set_other(m, OTHER_COLOURS, m->n_params > 0 || param(m, 0) != 0);
}

static void on_keyboard(struct terminal_modes *m)
{
	unsigned n = MAX(param(m, 0), (uint16_t)1);

	if (m->prefix == '=' && param(m, 0) != 0)
		set_other(m, OTHER_FLAGS, true);
	else if (m->prefix == '=' && param(m, 1) < 2) /* none but these: 0 */
		set_other(m, OTHER_FLAGS, false);
	else if (m->prefix == '>' && m->kitty < TERMINAL_KITTY_STEPS)
		m->kitty++;
	else if (m->prefix == '<')
		m->kitty = (uint8_t)(m->kitty > n ? m->kitty - n : 0);
}

static void on_soft_reset(struct terminal_modes *m)
{
	m->others &= ~(uint32_t)RESET_SOFTLY;
	set_private(m, 1, false);
	set_private(m, 6, false);
	set_private(m, 25, true);
	set_private(m, 66, false);
}

static void on_csi(struct terminal_modes *m, uint8_t final)
{
	if (m->intermediate == ' ' && final == 'q')
		set_other(m, OTHER_SHAPE, param(m, 0) != 0);
	else if (m->intermediate == '!' && final == 'p')
		on_soft_reset(m);
	else if (m->intermediate != 0)
		return;
	else if (final == 'h' || final == 'l')
		on_mode(m, final == 'h');
	else if (final == 'm')
		on_colours(m);
	else if (final == 'r' && m->prefix == 0)
		set_other(m, OTHER_REGION, m->n_params > 0 || param(m, 0) > 0);
	else if (final == 'u')
		on_keyboard(m);
	else if (final == 'g')
		set_other(m, OTHER_TABS, true);
}

/* --- commands to the operating system -------------------------------------------------------- */

/* Those that change something: where their value stands, and what takes it back. */
static const struct {
	uint16_t number;
	uint8_t separators;
	uint32_t sets, resets;
} commands[] = {
	{ 8, 2, OTHER_LINK, 0 },    { 4, 2, OTHER_PALETTE, 0 },  { 10, 1, OTHER_TEXT, 0 },
	{ 11, 1, OTHER_GROUND, 0 }, { 12, 1, OTHER_CURSOR, 0 },  { 104, 0, 0, OTHER_PALETTE },
	{ 110, 0, 0, OTHER_TEXT },  { 111, 0, 0, OTHER_GROUND }, { 112, 0, 0, OTHER_CURSOR },
};

static void begin_string(struct terminal_modes *m, bool command)
{
	m->state = STRING;
	m->osc = command ? 0 : OSC_NONE;
	m->separators = 0;
	m->asks = m->says = false;
}

static uint8_t value_at(uint16_t osc)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].number == osc)
			return commands[i].separators;
	return UINT8_MAX;
}

static void in_command(struct terminal_modes *m, uint8_t c)
{
	if (m->separators == 0 && c >= '0' && c <= '9') {
		m->osc = (uint16_t)MIN(m->osc * 10U + (c - '0'), (unsigned)OSC_NONE - 1);
	} else if (m->separators > 0 && m->separators == value_at(m->osc) && !m->says && !m->asks) {
		m->asks = c == '?';
		m->says = c != '?';
	} else if (c == ';' && m->separators < UINT8_MAX) {
		m->separators++;
	}
}

static void end_command(struct terminal_modes *m)
{
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].number != m->osc)
			continue;
		if (m->osc == 8 || m->says)
			set_other(m, commands[i].sets, m->says);
		m->others &= ~commands[i].resets;
	}
}

/* --- the parser ------------------------------------------------------------------------------ */

static void in_ground(struct terminal_modes *m, uint8_t c)
{
	if (c == 0x0e || c == 0x0f)
		set_other(m, OTHER_CHARSET, c == 0x0e);
}

static void in_escape(struct terminal_modes *m, uint8_t c)
{
	m->state = GROUND;
	m->intermediate = 0;
	switch (c) {
	case '[':
		m->state = CSI;
		m->prefix = 0;
		m->n_params = 0;
		memset(m->params, 0, sizeof(m->params));
		break;
	case ']':
		begin_string(m, true);
		break;
	case 'P':
	case 'X':
	case '^':
	case '_':
		begin_string(m, false);
		break;
	case '=':
	case '>':
		set_other(m, OTHER_KEYPAD, c == '=');
		break;
	case 'H':
		set_other(m, OTHER_TABS, true);
		break;
	case 'c':
		*m = (struct terminal_modes){ 0 };
		break;
	default:
		if (c >= 0x20 && c <= 0x2f) {
			m->state = ESCAPE_MORE;
			m->intermediate = c;
		}
	}
}

static void in_escape_more(struct terminal_modes *m, uint8_t c)
{
	if (c >= 0x20 && c <= 0x2f)
		return;
	m->state = GROUND;
	if (m->intermediate == '(' || m->intermediate == ')')
		set_other(m, OTHER_CHARSET, c != 'B');
}

static void in_csi(struct terminal_modes *m, uint8_t c)
{
	if (c >= '0' && c <= '9') {
		unsigned i = MIN(m->n_params, (uint8_t)(TERMINAL_PARAMS_MAX - 1));
		unsigned value = m->params[i] * 10U + (unsigned)(c - '0');

		m->params[i] = (uint16_t)MIN(value, 65535U);
	} else if (c == ';' || c == ':') {
		if (m->n_params < TERMINAL_PARAMS_MAX)
			m->n_params++;
	} else if (c >= '<' && c <= '?') {
		m->prefix = c;
	} else if (c >= 0x20 && c <= 0x2f) {
		m->intermediate = c;
	} else if (c >= 0x40 && c <= 0x7e) {
		m->state = GROUND;
		on_csi(m, c);
	}
}

static void in_string(struct terminal_modes *m, uint8_t c)
{
	if (c == BEL) {
		end_command(m);
		m->state = GROUND;
	} else if (m->osc != OSC_NONE) {
		in_command(m, c);
	}
}

static void (*const states[])(struct terminal_modes *m, uint8_t c) = {
	[GROUND] = in_ground, [ESCAPE] = in_escape, [ESCAPE_MORE] = in_escape_more,
	[CSI] = in_csi,       [STRING] = in_string,
};

void terminal_modes_feed(struct terminal_modes *m, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = bytes[i];

		if (m->state == GROUND && c >= 0x20)
			continue;
		if (c == ESC) {
			if (m->state == STRING)
				end_command(m);
			m->state = ESCAPE;
		} else if (c == CAN || c == SUB) {
			m->state = GROUND;
		} else {
			states[m->state](m, c);
		}
	}
	if (n > 0)
		m->last = bytes[n - 1];
}

bool terminal_modes_in_line(const struct terminal_modes *m)
{
	for (unsigned i = 0; i < ARRAY_SIZE(privates); i++)
		if (m->privates & 1U << i && is_other_screen(privates[i].number))
			return false;
	return m->last != '\0' && m->last != '\n';
}

bool terminal_modes_in_link(const struct terminal_modes *m)
{
	return m->others & OTHER_LINK;
}

/* --- undoing --------------------------------------------------------------------------------- */

size_t terminal_modes_undo(const struct terminal_modes *m, char to[TERMINAL_UNDO_MAX])
{
	size_t n = 0;

#define ADD(...) (n += (size_t)snprintf(to + n, TERMINAL_UNDO_MAX - n, __VA_ARGS__))
	if (m->state != GROUND)
		ADD("\030\033\\");
	if (m->others & OTHER_FLAGS) /* each screen has its own */
		ADD("\033[=0u");
	for (unsigned i = 0; i < ARRAY_SIZE(privates); i++)
		if (m->privates & 1U << i)
			ADD("\033[?%u%c", privates[i].number, privates[i].normally ? 'h' : 'l');
	if (m->kitty > 0)
		ADD("\033[<%uu", m->kitty);
	for (unsigned i = 0; i < ARRAY_SIZE(undoing); i++)
		if (m->others & undoing[i].bit)
			ADD("%s", undoing[i].sequence);
#undef ADD
	return n;
}
