/* SPDX-License-Identifier: Apache-2.0 */
/* term_pen.c - what select graphic rendition (SGR) does. */
#include "core/term_private.h"

static bool is_subparameter(const struct term *t, unsigned i)
{
	return i < t->n_params && t->colons & 1U << i;
}

/* One behind parameter `i` and all that came behind it with a colon. */
static unsigned behind(const struct term *t, unsigned i)
{
	do
		i++;
	while (is_subparameter(t, i));
	return i;
}

static void take_colour(const struct term *t, unsigned kind, unsigned at, unsigned end,
			struct term_colour *ret)
{
	const uint16_t *p = t->params + at;

	if (kind == 5 && at < end)
		*ret = (struct term_colour){ 1, { (uint8_t)p[0] } };
	if (kind == 2 && at + 2 < end)
		*ret = (struct term_colour){ 2, { (uint8_t)p[0], (uint8_t)p[1], (uint8_t)p[2] } };
}

/* 38, 48 and 58: `;5;N`, `;2;R;G;B`, `:5:N`, `:2:R:G:B` and `:2:SPACE:R:G:B`. Returns the index of
 * the last parameter that was used. */
static unsigned extended_colour(const struct term *t, unsigned i, struct term_colour *ret)
{
	bool colon = is_subparameter(t, i + 1);
	unsigned end = colon ? behind(t, i) : t->n_params;
	unsigned kind = i + 1 < end ? t->params[i + 1] : 0, at = i + 2;

	if (kind == 2 && colon && end - at >= 4)
		at++;
	take_colour(t, kind, at, end, ret);
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
	if (!is_subparameter(t, i + 1))
		return i;
	if (n == 4)
		set_underline(pen, (uint8_t)MIN(t->params[i + 1], (uint16_t)6));
	return behind(t, i) - 1;
}

void term_on_rendition(struct term *t)
{
	if (t->n_params == 0)
		t->pen = (struct term_pen){ 0 };
	for (unsigned i = 0; i < t->n_params; i++)
		i = one_rendition(t, i);
}
