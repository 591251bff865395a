/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/render.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static const char *const colour_codes[] = {
	[COLOUR_NONE] = "",        [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
	[COLOUR_RED] = "\033[31m", [COLOUR_DIM] = "\033[2m",
};

int table_init(struct table *t, const char *const *titles)
{
	*t = (struct table){ .coloured = COLUMNS_MAX };
	while (titles[t->n_columns])
		t->n_columns++;
	return table_add(t, titles, COLOUR_NONE);
}

static int make_room(struct table *t)
{
	size_t capacity = t->capacity ? 2 * t->capacity : 32;
	char **cells;
	enum colour *colours;

	if (t->n_rows < t->capacity)
		return 0;
	cells = reallocarray(t->cells, capacity, t->n_columns * sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	t->cells = cells;
	colours = reallocarray(t->colours, capacity, sizeof(*colours));
	if (!colours)
		return -ENOMEM;
	t->colours = colours;
	t->capacity = capacity;
	return 0;
}

int table_add(struct table *t, const char *const *cells, enum colour colour)
{
	int r = make_room(t);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < t->n_columns; i++) {
		char *copy = strdup(cells[i] ? cells[i] : "");

		if (!copy) {
			while (i > 0)
				free(t->cells[t->n_rows * t->n_columns + --i]);
			return -ENOMEM;
		}
		t->cells[t->n_rows * t->n_columns + i] = copy;
	}
	t->colours[t->n_rows++] = colour;
	return 0;
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->colours);
	*t = (struct table){ 0 };
}

/* Characters of UTF-8 text: bytes that do not continue one. */
static unsigned length_of(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* Prints at most `max` characters. */
static void print_cut(FILE *to, const char *text, unsigned max)
{
	unsigned n = 0;

	for (; *text; text++) {
		if ((*text & 0xc0) != 0x80 && n++ == max)
			return;
		fputc(*text, to);
	}
}

static void print_row(FILE *to, const struct table *t, size_t row, const unsigned *widths,
		      unsigned width, bool colours)
{
	unsigned at = 0;

	for (unsigned i = 0; i < t->n_columns; i++) {
		const char *cell = t->cells[row * t->n_columns + i];
		bool last = i == t->n_columns - 1;
		bool coloured = colours && i == t->coloured && t->colours[row] != COLOUR_NONE;
		unsigned room = last && width > at ? width - at : 1;

		if (coloured)
			fputs(colour_codes[t->colours[row]], to);
		print_cut(to, cell, last && width > 0 ? room : length_of(cell));
		if (coloured)
			fputs("\033[0m", to);
		if (!last)
			fprintf(to, "%*s", (int)(widths[i] - length_of(cell) + 2), "");
		at += widths[i] + 2;
	}
	fputc('\n', to);
}

void table_print(FILE *to, const struct table *t, unsigned width, bool colours)
{
	unsigned widths[COLUMNS_MAX] = { 0 };

	for (size_t row = 0; row < t->n_rows; row++)
		for (unsigned i = 0; i < t->n_columns; i++)
			widths[i] = MAX(widths[i], length_of(t->cells[row * t->n_columns + i]));
	for (size_t row = 0; row < t->n_rows; row++)
		print_row(to, t, row, widths, width, colours);
}

char *render_age(uint64_t ms, char buf[AGE_MAX])
{
	static const struct {
		uint64_t below; /* seconds */
		uint64_t unit;
		const char *name; /* NULL: `words` */
		const char *words;
	} steps[] = {
		{ 1, 1, NULL, "Less than a second" },
		{ 2, 1, NULL, "1 second" },
		{ 60, 1, "seconds", NULL },
		{ 120, 60, NULL, "About a minute" },
		{ 3600, 60, "minutes", NULL },
		{ 7200, 3600, NULL, "About an hour" },
		{ 48 * 3600, 3600, "hours", NULL },
		{ 14 * 86400, 86400, "days", NULL },
		{ 60 * 86400, 7 * 86400, "weeks", NULL },
		{ 730 * 86400, 30 * 86400, "months", NULL },
		{ UINT64_MAX, 365 * 86400, "years", NULL },
	};
	uint64_t seconds = ms / 1000;
	size_t i = 0;

	while (seconds >= steps[i].below)
		i++;
	if (steps[i].name)
		snprintf(buf, AGE_MAX, "%llu %s", (unsigned long long)(seconds / steps[i].unit),
			 steps[i].name);
	else
		snprintf(buf, AGE_MAX, "%s", steps[i].words);
	return buf;
}

unsigned render_width(FILE *to)
{
	struct winsize size;

	return ioctl(fileno(to), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool render_colours(FILE *to)
{
	const char *no = getenv("NO_COLOR");

	return !(no && *no) && isatty(fileno(to));
}
