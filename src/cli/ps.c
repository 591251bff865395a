/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "client/uri.h"
#include <string.h>

#define TARGET_MAX 4096U
#define CELL_MAX   512U

struct ps_values {
	bool all, quiet, names, json;
	const char *label, *originator, *status, *limit;
};

#define AT(m) offsetof(struct ps_values, m)

static const struct option_spec specs[] = {
	{ .name = "all", .letter = 'a', .help = "also those that have ended", .offset = AT(all) },
	{ .name = "quiet", .letter = 'q', .help = "only their ids", .offset = AT(quiet) },
	{ .name = "names", .help = "only their names", .offset = AT(names) },
	{ .name = "json", .help = "for programs", .offset = AT(json) },
	{ .name = "label",
	  .letter = 'l',
	  .argument = "KEY=VALUE",
	  .help = "only those with this label",
	  .type = OPTION_TEXT,
	  .offset = AT(label) },
	{ .name = "originator",
	  .argument = "NAME",
	  .help = "only those that it asked for",
	  .type = OPTION_TEXT,
	  .offset = AT(originator) },
	{ .name = "status",
	  .argument = "STATUS",
	  .help = "only those with this status",
	  .choices = "starting running stopping exited stopped failed",
	  .type = OPTION_TEXT,
	  .offset = AT(status) },
	{ .name = "limit",
	  .letter = 'n',
	  .argument = "N",
	  .help = "at most so many of those that have ended",
	  .type = OPTION_NUMBER,
	  .offset = AT(limit) },
	{ 0 },
};

const struct option_table ps_options = { specs, sizeof(struct ps_values) };

static const char *text_of(const json_t *session, const char *name)
{
	const char *text = json_string_value(json_object_get(session, name));

	return text ? text : "";
}

/* "3 minutes", since a time of the API; "" when there is none. */
static const char *age_since(const char *time, char buf[AGE_MAX])
{
	uint64_t then, now = clock_realtime_ms();

	if (clock_parse(time, &then) < 0)
		return "";
	return render_age(now > then ? now - then : 0, buf);
}

static enum colour describe(const json_t *session, char *text, size_t size)
{
	static const struct {
		const char *status, *word;
		bool ended;
		enum colour colour;
	} words[] = {
		{ "starting", "Starting", false, COLOUR_YELLOW },
		{ "running", "Up", false, COLOUR_GREEN },
		{ "stopping", "Stopping, up", false, COLOUR_YELLOW },
		{ "exited", "Exited", true, COLOUR_NONE },
		{ "stopped", "Stopped", true, COLOUR_NONE },
		{ "failed", "Failed", true, COLOUR_RED },
	};
	const char *status = text_of(session, "status");
	const json_t *exit = json_object_get(session, "exit");
	const char *at = text_of(exit, "exitedAt");
	char age[AGE_MAX];
	size_t i = 0;

	while (i < ARRAY_SIZE(words) && strcmp(words[i].status, status) != 0)
		i++;
	if (i == ARRAY_SIZE(words)) {
		snprintf(text, size, "%s", status);
		return COLOUR_NONE;
	}
	if (!words[i].ended) {
		snprintf(text, size, "%s %s", words[i].word,
			 age_since(text_of(session, "startedAt"), age));
		return words[i].colour;
	}
	if (!*at) {
		snprintf(text, size, "%s", words[i].word);
		return words[i].colour;
	}
	snprintf(text, size, "%s (%d) %s ago", words[i].word, cli_exit_status(session),
		 age_since(at, age));
	return cli_exit_status(session) == 0 ? words[i].colour : COLOUR_RED;
}

static int add_session(struct table *t, const json_t *session, bool titles)
{
	_cleanup_(buffer_done) struct buffer title;
	const char *words = text_of(session, "title");
	char handle[24], status[96];
	enum colour colour = describe(session, status, sizeof(status));
	const char *cells[COLUMNS_MAX] = { handle, text_of(session, "processId"),
					   text_of(session, "name"), status };

	buffer_init(&title, CELL_MAX);
	text_escape(&title, words, strlen(words));
	snprintf(handle, sizeof(handle), "%lld",
		 (long long)json_integer_value(json_object_get(session, "handle")));
	cells[4] = titles ? buffer_text(&title) : text_of(session, "commandSummary");
	cells[5] = text_of(session, "commandSummary");
	return table_add(t, cells, colour);
}

static int print_table(const json_t *items)
{
	static const char *const plain[] = { "NO", "ID", "NAME", "STATUS", "COMMAND", NULL };
	static const char *const titled[] = {
		"NO", "ID", "NAME", "STATUS", "TITLE", "COMMAND", NULL
	};
	bool titles = false;
	struct table t;
	json_t *item;
	size_t i;
	int r;

	json_array_foreach(items, i, item) titles = titles || *text_of(item, "title");
	r = table_init(&t, titles ? titled : plain);
	t.coloured = 3;
	json_array_foreach(items, i, item) if (r == 0) r = add_session(&t, item, titles);
	if (r == 0)
		table_print(stdout, &t, render_width(stdout), render_colours(stdout));
	table_done(&t);
	return r;
}

static int format_target(const struct ps_values *v, struct buffer *b)
{
	int r = buffer_append_text(b, "/v1/sessions");

	if (r == 0)
		r = uri_query(b, "all", v->all || v->status ? "true" : "false");
	if (r == 0)
		r = uri_query(b, "status", v->status);
	if (r == 0)
		r = uri_query(b, "label", v->label);
	if (r == 0)
		r = uri_query(b, "originator", v->originator);
	return r < 0 ? r : uri_query(b, "limit", v->limit);
}

int cmd_ps(struct cli *cli, const void *values, int n, char **operands)
{
	const struct ps_values *v = values;
	_cleanup_(buffer_done) struct buffer target;
	json_t *answer = NULL, *items, *item;
	struct error e = { 0 };
	size_t i;

	(void)n;
	(void)operands;
	buffer_init(&target, TARGET_MAX);
	if (format_target(v, &target) < 0)
		return cli_usage(cli, "an argument is too long");
	if (cli_call(cli, "GET", buffer_text(&target), NULL, &answer, &e) < 0)
		return cli_fail(cli, &e);
	items = json_object_get(answer, "items");
	if (v->json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (v->quiet) {
		json_array_foreach(items, i, item) puts(text_of(item, "processId"));
	} else {
		print_table(items);
	}
	json_decref(answer);
	return 0;
}
