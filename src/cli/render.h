/* SPDX-License-Identifier: Apache-2.0 */
/* render.h - tables and ages for people. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define AGE_MAX     32
#define COLUMNS_MAX 8U

enum colour {
	COLOUR_NONE,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_RED,
	COLOUR_DIM,
};

/* Cells are kept as they are given (copied); columns are as wide as their longest cell. */
struct table {
	unsigned n_columns;
	size_t n_rows, capacity;
	char **cells;         /* row by row, the titles first */
	enum colour *colours; /* one a row, for its column `coloured` */
	unsigned coloured;
};

/* `titles` ends with NULL. -ENOMEM. */
int table_init(struct table *t, const char *const *titles);
int table_add(struct table *t, const char *const *cells, enum colour colour);

/* Two spaces between columns; the last is cut at `width` (0: nowhere). */
void table_print(FILE *to, const struct table *t, unsigned width, bool colours);
void table_done(struct table *t);

/* "3 minutes", as docker says it. Returns `buf`. */
char *render_age(uint64_t ms, char buf[AGE_MAX]);

/* Columns of the terminal at `to`; 0 when it is none. */
unsigned render_width(FILE *to);

/* Whether colours are wanted there: a terminal, and no NO_COLOR. */
bool render_colours(FILE *to);
