/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - options as a table, from which parsing, --help and completions come. */
#pragma once
#include "base/error.h"
#include <stdint.h>
#include <stdio.h>

#define WORDS_MAX 256U

/* The values of an option that may be given several times; borrowed. */
struct words {
	const char *items[WORDS_MAX];
	unsigned n;
};

/* Beside each type: what the member at `offset` is. */
enum option_type {
	OPTION_FLAG,     /* bool */
	OPTION_TEXT,     /* const char * */
	OPTION_WORDS,    /* struct words */
	OPTION_NUMBER,   /* const char *, digits */
	OPTION_DURATION, /* const char *, as parse_duration_ms takes it */
	OPTION_SIZE,     /* uint64_t, bytes */
	OPTION_SIGNAL,   /* const char *, a name or number of a signal */
};

struct option_spec {
	const char *name;
	char letter;          /* '\0' for none */
	const char *argument; /* what --help calls it; NULL for a flag */
	const char *help;
	const char *choices; /* words for completion, separated by spaces; NULL: any */
	enum option_type type;
	size_t offset;
};

/* Whether options may also stand behind operands. */
enum options_order {
	OPTIONS_ANYWHERE,
	OPTIONS_FIRST, /* what follows the first operand belongs to a command line */
};

/* Reads the options of `argv` (argv[0] is skipped) into `values`; `table` ends with a NULL name.
 * The operands are then argv[*ret_operands] .. argv[argc - 1]; with OPTIONS_ANYWHERE they are moved
 * there. `*ret_help` is set at --help or -h, and nothing behind it is read. */
int options_parse(const struct option_spec *table, enum options_order order, int argc, char **argv,
		  void *values, int *ret_operands, bool *ret_help, struct error *e);

/* The table as --help shows it. */
void options_print(FILE *to, const struct option_spec *table);
