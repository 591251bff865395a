/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"
#include "base/parse.h"
#include "base/signals.h"
#include <getopt.h>
#include <string.h>

#define OPTIONS_MAX  64U
#define HELP_COLUMN  28
#define FIRST_LONGER 256 /* values above every letter: an option's place in the table */

static int bad_value(const struct option_spec *spec, const char *text, const char *expected,
		     struct error *e)
{
	return error_set(e, ERROR_INVALID_ARGUMENT, "--%s: \"%s\" is not %s", spec->name, text,
			 expected);
}

static int set_text(const struct option_spec *spec, const char *text, void *member, struct error *e)
{
	uint64_t ignored;

	if (spec->type == OPTION_NUMBER && parse_u64(text, 0, UINT64_MAX, &ignored) < 0)
		return bad_value(spec, text, "a number", e);
	if (spec->type == OPTION_DURATION && parse_duration_ms(text, &ignored) < 0)
		return bad_value(spec, text, "a duration (5s, 250ms, 1h30m)", e);
	if (spec->type == OPTION_SIGNAL && signal_from_name(text) < 0)
		return bad_value(spec, text, "a signal (TERM, INT, 9)", e);
	*(const char **)member = text;
	return 0;
}

static int set_words(const struct option_spec *spec, const char *text, struct words *words,
		     struct error *e)
{
	if (words->n == WORDS_MAX)
		return error_set(e, ERROR_INVALID_ARGUMENT, "--%s: more than %u of them",
				 spec->name, WORDS_MAX);
	words->items[words->n++] = text;
	return 0;
}

static int set_value(const struct option_spec *spec, const char *text, void *values,
		     struct error *e)
{
	void *member = (char *)values + spec->offset;

	switch (spec->type) {
	case OPTION_FLAG:
		*(bool *)member = true;
		return 0;
	case OPTION_WORDS:
		return set_words(spec, text, member, e);
	case OPTION_SIZE:
		if (parse_size(text, member) < 0 || *(uint64_t *)member == 0)
			return bad_value(spec, text, "a size (4096, 64K, 1M); the smallest is 4K",
					 e);
		return 0;
	default:
		return set_text(spec, text, member, e);
	}
}

struct getopt_tables {
	char letters[2 * OPTIONS_MAX + 4];
	struct option longer[OPTIONS_MAX + 2];
};

/* What getopt_long(3) wants. `:` makes it tell a missing argument; `+` stops it at an operand. */
static void make_tables(const struct option_spec *table, enum options_order order,
			struct getopt_tables *t)
{
	char *letter = t->letters;
	unsigned n = 0;

	if (order == OPTIONS_FIRST)
		*letter++ = '+';
	*letter++ = ':';
	*letter++ = 'h';
	for (; n < OPTIONS_MAX && table[n].name; n++) {
		t->longer[n] = (struct option){
			.name = table[n].name,
			.has_arg = table[n].argument ? required_argument : no_argument,
			.val = FIRST_LONGER + (int)n,
		};
		if (table[n].letter == '\0')
			continue;
		*letter++ = table[n].letter;
		if (table[n].argument)
			*letter++ = ':';
	}
	*letter = '\0';
	t->longer[n] = (struct option){ .name = "help", .val = 'h' };
	t->longer[n + 1] = (struct option){ 0 };
}

/* getopt gives back only what stands in the table. */
static const struct option_spec *spec_of(const struct option_spec *table, int c)
{
	if (c >= FIRST_LONGER)
		return &table[c - FIRST_LONGER];
	while (table->letter != c)
		table++;
	return table;
}

/* getopt does not say by which word it was displeased; the word before optind comes close. */
static int unknown(char **argv, struct error *e)
{
	if (optopt > 0 && optopt < FIRST_LONGER)
		return error_set(e, ERROR_INVALID_ARGUMENT, "unknown option -%c", optopt);
	if (optopt >= FIRST_LONGER)
		return error_set(e, ERROR_INVALID_ARGUMENT, "%s: takes no value", argv[optind - 1]);
	return error_set(e, ERROR_INVALID_ARGUMENT, "unknown option %s", argv[optind - 1]);
}

int options_parse(const struct option_spec *table, enum options_order order, int argc, char **argv,
		  void *values, int *ret_operands, bool *ret_help, struct error *e)
{
	struct getopt_tables t;
	int c, r = 0;

	make_tables(table, order, &t);
	*ret_help = false;
	optind = 0; /* starts anew, with the first characters of the letters read again (glibc) */
	opterr = 0;
	while (r == 0 && (c = getopt_long(argc, argv, t.letters, t.longer, NULL)) != -1) {
		if (c == 'h') {
			*ret_help = true;
			return 0;
		}
		if (c == '?')
			r = unknown(argv, e);
		else if (c == ':')
			r = error_set(e, ERROR_INVALID_ARGUMENT, "%s needs a value",
				      argv[optind - 1]);
		else
			r = set_value(spec_of(table, c), optarg, values, e);
	}
	*ret_operands = optind;
	return r;
}

static void print_one(FILE *to, const struct option_spec *spec)
{
	char left[64];
	const char *line = spec->help;
	int n = snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", spec->letter ? '-' : ' ',
			 spec->letter ? spec->letter : ' ', spec->letter ? "," : " ", spec->name,
			 spec->argument ? " " : "", spec->argument ? spec->argument : "");

	fputs(left, to);
	if (n >= HELP_COLUMN) {
		fputc('\n', to);
		n = 0;
	}
	fprintf(to, "%*s%s\n", HELP_COLUMN - n, "", line);
}

void options_print(FILE *to, const struct option_spec *table)
{
	static const struct option_spec help = { .name = "help",
						 .letter = 'h',
						 .help = "show this" };

	for (; table->name; table++)
		print_one(to, table);
	print_one(to, &help);
}
