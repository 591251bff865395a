/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/outlet.h"
#include "cli/render.h"
#include "client/scan.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- options --------------------------------------------------------------------------------- */

struct values {
	bool flag;
	const char *text, *time, *signal;
	struct words words;
	uint64_t size;
};

static const struct option_spec specs[] = {
	{ .name = "flag", .letter = 'f', .offset = offsetof(struct values, flag) },
	{ .name = "text",
	  .letter = 't',
	  .argument = "TEXT",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct values, text) },
	{ .name = "time",
	  .argument = "TIME",
	  .type = OPTION_DURATION,
	  .offset = offsetof(struct values, time) },
	{ .name = "signal",
	  .argument = "SIGNAL",
	  .type = OPTION_SIGNAL,
	  .offset = offsetof(struct values, signal) },
	{ .name = "word",
	  .letter = 'w',
	  .argument = "WORD",
	  .type = OPTION_WORDS,
	  .offset = offsetof(struct values, words) },
	{ .name = "size",
	  .argument = "SIZE",
	  .type = OPTION_SIZE,
	  .offset = offsetof(struct values, size) },
	{ 0 },
};

struct parsed {
	struct values values;
	struct error error;
	char *argv[16];
	int argc, operands, r;
	bool help;
};

static void parse(struct parsed *p, enum options_order order, const char *line)
{
	static char copy[256];
	char *rest = copy;

	*p = (struct parsed){ .argc = 1, .argv = { (char *)"command" } };
	strcpy(copy, line);
	while ((p->argv[p->argc] = strsep(&rest, " ")))
		p->argc++;
	p->r = options_parse(specs, order, p->argc, p->argv, &p->values, &p->operands, &p->help,
			     &p->error);
}

static void options_are_read_into_their_members(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, OPTIONS_FIRST, "-f --text=a -w x --word y --time 1h30m --size 2K --signal int z");
	assert_int_equal(p.r, 0);
	assert_true(p.values.flag);
	assert_string_equal(p.values.text, "a");
	assert_int_equal(p.values.words.n, 2);
	assert_string_equal(p.values.words.items[1], "y");
	assert_string_equal(p.values.time, "1h30m");
	assert_int_equal(p.values.size, 2048);
	assert_string_equal(p.values.signal, "int");
	assert_int_equal(p.argc - p.operands, 1);
}

static void options_of_a_command_line_behind_ours_are_left_alone(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, OPTIONS_FIRST, "-f make -t x --flag");
	assert_int_equal(p.r, 0);
	assert_null(p.values.text);
	assert_string_equal(p.argv[p.operands], "make");
	assert_string_equal(p.argv[p.operands + 1], "-t");
	parse(&p, OPTIONS_FIRST, "-- --flag");
	assert_false(p.values.flag);
	assert_string_equal(p.argv[p.operands], "--flag");
}

static void options_may_stand_behind_operands_where_none_is_a_command_line(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, OPTIONS_ANYWHERE, "web --text x -f db");
	assert_int_equal(p.r, 0);
	assert_true(p.values.flag);
	assert_string_equal(p.argv[p.operands], "web");
	assert_string_equal(p.argv[p.operands + 1], "db");
}

static void what_is_wrong_with_an_option_is_named(void **state)
{
	static const struct {
		const char *line, *part;
	} bad[] = {
		{ "--nope", "--nope" },
		{ "-x", "-x" },
		{ "--text", "--text" },
		{ "-t", "-t" },
		{ "--flag=1", "--flag" },
		{ "--time 5", "duration" },
		{ "--time 5parsecs", "5parsecs" },
		{ "--size big", "big" },
		{ "--signal NOPE", "NOPE" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct parsed p;

		parse(&p, OPTIONS_ANYWHERE, bad[i].line);
		assert_int_equal(p.r, -EINVAL);
		if (!strstr(p.error.message, bad[i].part))
			fail_msg("%s: %s", bad[i].line, p.error.message);
	}
}

static void help_wins_over_what_stands_behind_it(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, OPTIONS_FIRST, "-f --help --nope");
	assert_int_equal(p.r, 0);
	assert_true(p.help);
}

/* --- the table of commands ------------------------------------------------------------------- */

static void check_command(const struct command *c)
{
	const struct option_spec *o = c->options ? c->options->specs : NULL;

	assert_non_null(c->summary);
	assert_true((c->run != NULL) != (c->commands != NULL));
	for (; o && o->name; o++) {
		if (!o->help || o->offset >= c->options->values_size || o->letter == 'h')
			fail_msg("%s --%s", c->name, o->name);
		if ((o->type == OPTION_FLAG) == (o->argument != NULL))
			fail_msg("%s --%s: argument", c->name, o->name);
		for (const struct option_spec *other = o + 1; other->name; other++)
			if (strcmp(o->name, other->name) == 0 ||
			    (o->letter && o->letter == other->letter))
				fail_msg("%s --%s: twice", c->name, other->name);
	}
}

static void every_command_and_option_is_complete_and_unique(void **state)
{
	(void)state;
	for (const struct command *c = commands_table(); c->name; c++) {
		check_command(c);
		assert_ptr_equal(command_find(commands_table(), c->name), c);
		for (const struct command *sub = c->commands; sub && sub->name; sub++)
			check_command(sub);
	}
	assert_null(command_find(commands_table(), "nope"));
}

static void exit_statuses_are_those_of_a_shell(void **state)
{
	(void)state;
	assert_int_equal(cli_status_of(0), 0);
	assert_int_equal(cli_status_of(255), 255);
	assert_int_equal(cli_status_of(-9), 137);
}

/* --- the caller's circumstances -------------------------------------------------------------- */

static void an_env_file_sets_passes_on_and_skips_comments(void **state)
{
	static const char text[] = "# comment\n\nA=1\nB=x=y \r\n  C=\nOWN\nABSENT\nLAST=z";
	char path[] = "/tmp/reeve-test-XXXXXX";
	json_t *env = json_object();
	struct error e = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	setenv("OWN", "mine", 1);
	unsetenv("ABSENT");
	assert_int_equal(context_read_file(env, path, &e), 0);
	assert_string_equal(json_string_value(json_object_get(env, "A")), "1");
	assert_string_equal(json_string_value(json_object_get(env, "B")), "x=y ");
	assert_string_equal(json_string_value(json_object_get(env, "C")), "");
	assert_string_equal(json_string_value(json_object_get(env, "OWN")), "mine");
	assert_string_equal(json_string_value(json_object_get(env, "LAST")), "z");
	assert_int_equal(json_object_size(env), 5);
	assert_int_equal(context_set(env, "=x", &e), -EINVAL);
	json_decref(env);
	unlink(path);
	close(fd);
}

static void the_environment_is_cleared_unset_and_set_in_this_order(void **state)
{
	static const struct words none, unset = { { "OWN", "SET" }, 2 }, set = { { "SET=1" }, 1 };
	struct context_options o = { .files = &none, .unset = &unset, .set = &set };
	json_t *request = json_object(), *env;
	struct error e = { 0 };

	(void)state;
	setenv("OWN", "mine", 1);
	setenv("KEPT", "\xff", 1);
	assert_int_equal(context_add(request, &o, &e), 0);
	env = json_object_get(request, "env");
	assert_null(json_object_get(env, "OWN"));
	assert_string_equal(json_string_value(json_object_get(env, "SET")), "1");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(env, "KEPT"), "base64")), "/w==");
	assert_true(json_is_array(json_object_get(json_object_get(request, "limits"), "nofile")));
	assert_null(json_object_get(json_object_get(request, "limits"), "locks"));
	o.clear = true;
	assert_int_equal(context_add(request, &o, &e), 0);
	assert_int_equal(json_object_size(json_object_get(request, "env")), 1);
	json_decref(request);
}

/* --- what people see ------------------------------------------------------------------------- */

static void ages_are_said_as_docker_says_them(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} ages[] = {
		{ 0, "Less than a second" }, { 1, "1 second" },       { 59, "59 seconds" },
		{ 60, "About a minute" },    { 150, "2 minutes" },    { 3600, "About an hour" },
		{ 10800, "3 hours" },        { 3 * 86400, "3 days" }, { 21 * 86400, "3 weeks" },
	};
	char text[AGE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
		assert_string_equal(render_age(ages[i].seconds * 1000, text), ages[i].text);
}

static void a_table_is_aligned_by_characters_and_cut_at_the_width(void **state)
{
	static const char *const titles[] = { "A", "NAME", "LAST", NULL };
	static const char *const row[] = { "1", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
					   "a long cell" };
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	struct table t;

	(void)state;
	assert_int_equal(table_init(&t, titles), 0);
	t.coloured = 0;
	assert_int_equal(table_add(&t, row, COLOUR_RED), 0);
	table_print(to, &t, 16, false);
	table_print(to, &t, 0, true);
	fclose(to);
	assert_string_equal(text, "A  NAME   LAST\n"
				  "1  \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  a long\n"
				  "A  NAME   LAST\n"
				  "\033[31m1\033[0m  \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  "
				  "a long cell\n");
	free(text);
	table_done(&t);
}

static void an_outlet_keeps_in_order_what_is_not_taken_yet(void **state)
{
	static uint8_t bytes[400000], got[400000];
	struct outlet o;
	size_t written = 0, read_back = 0;
	int pair[2];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	outlet_open(&o, pair[1]);
	for (size_t i = 0; i < sizeof(bytes); i += 100000) {
		written += (size_t)outlet_write(&o, bytes + i, 100000); /* does not block */
		assert_true(outlet_kept(&o) > 0);
		read_back += (size_t)read(pair[0], got + read_back, 30000);
	}
	assert_int_equal(written + outlet_kept(&o), sizeof(bytes));
	while (read_back < sizeof(got)) {
		ssize_t n = read(pair[0], got + read_back, 30000);

		assert_true(n > 0);
		read_back += (size_t)n;
		outlet_flush(&o);
	}
	assert_memory_equal(got, bytes, sizeof(got));
	assert_int_equal(o.error, 0);
	signal(SIGPIPE, SIG_IGN);
	close(pair[0]);
	assert_int_equal(outlet_write(&o, bytes, 10), 10);
	assert_int_equal(o.error, EPIPE);
	outlet_close(&o);
	close(pair[1]);
}

/* --- picking values out of JSON -------------------------------------------------------------- */

static struct scan_value json(const char *text)
{
	return (struct scan_value){ text, strlen(text) };
}

static void values_are_found_in_json_text(void **state)
{
	struct scan_value object = json("{\"a\" : [1, {\"b\":\"}]\\\"\"}, []], \"n\":-12,"
					"\"s\":\"\\u00e9\\ud83d\\ude00\\n\", \"z\":null}");
	struct scan_value item;
	char text[32];
	struct scan s;
	unsigned n = 0;

	(void)state;
	scan_init(&s, scan_get(object, "a"));
	while (scan_item(&s, &item))
		n++;
	assert_int_equal(n, 3);
	assert_int_equal(scan_integer(scan_get(object, "n")), -12);
	assert_string_equal(scan_text(scan_get(object, "s"), text, sizeof(text)),
			    "\xc3\xa9\xf0\x9f\x98\x80\n");
	assert_true(scan_is(scan_get(object, "z"), "null"));
	assert_int_equal(scan_get(object, "b").size, 0);
	assert_string_equal(scan_text(json("\"a\xc3\xa9\""), text, 3), "a");
}

static void what_is_not_json_is_never_read_past_its_end(void **state)
{
	static const char whole[] = "{\"a\":[\"x\\u00e9\",{\"b\":1}],\"c\":tru";

	(void)state;
	for (size_t size = 0; size < sizeof(whole); size++) {
		char *copy = malloc(size + 1), text[8];
		struct scan_value object = { copy, size }, name, value;
		struct scan s;

		memcpy(copy, whole, size); /* without an end that could be met by luck */
		copy = realloc(copy, size ? size : 1);
		object.text = copy;
		scan_init(&s, object);
		while (scan_member(&s, &name, &value)) {
			scan_text(value, text, sizeof(text));
			scan_integer(value);
			scan_get(value, "b");
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read_into_their_members),
		cmocka_unit_test(options_of_a_command_line_behind_ours_are_left_alone),
		cmocka_unit_test(options_may_stand_behind_operands_where_none_is_a_command_line),
		cmocka_unit_test(what_is_wrong_with_an_option_is_named),
		cmocka_unit_test(help_wins_over_what_stands_behind_it),
		cmocka_unit_test(every_command_and_option_is_complete_and_unique),
		cmocka_unit_test(exit_statuses_are_those_of_a_shell),
		cmocka_unit_test(an_env_file_sets_passes_on_and_skips_comments),
		cmocka_unit_test(the_environment_is_cleared_unset_and_set_in_this_order),
		cmocka_unit_test(ages_are_said_as_docker_says_them),
		cmocka_unit_test(a_table_is_aligned_by_characters_and_cut_at_the_width),
		cmocka_unit_test(an_outlet_keeps_in_order_what_is_not_taken_yet),
		cmocka_unit_test(values_are_found_in_json_text),
		cmocka_unit_test(what_is_not_json_is_never_read_past_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
