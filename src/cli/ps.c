/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "cli/targets.h"
#include "client/scan.h"
#include "client/uri.h"
#include <string.h>

#define TARGET_MAX (32U * 1024U)
#define CELL_MAX   512U
#define LIMIT      "8192" /* of those that have ended: all */

struct ps_values {
	bool all, quiet, names, json;
	struct selection which;
	const char *limit;
};

#define AT(m) offsetof(struct ps_values, m)

static const struct option_spec specs[] = {
	{ .name = "all", .letter = 'a', .help = "also those that have ended", .offset = AT(all) },
	{ .name = "quiet", .letter = 'q', .help = "only their ids", .offset = AT(quiet) },
	{ .name = "names", .help = "only their names", .offset = AT(names) },
	{ .name = "json", .help = "for programs", .offset = AT(json) },
	SELECTION_OPTIONS(struct ps_values, which, "only those"),
	{ .name = "limit",
	  .letter = 'n',
	  .argument = "N",
	  .help = "at most so many of those that have ended",
	  .type = OPTION_NUMBER,
	  .offset = AT(limit) },
	{ 0 },
};

const struct option_table ps_options = { specs, sizeof(struct ps_values) };

/* What is shown of a session. */
struct row {
	char id[64], name[80], status[16], started[40], exited[40];
	char title[CELL_MAX], command[CELL_MAX];
	int64_t handle;
	bool has_code, tree_alive;
	int code; /* exit status */
};

static void read_exit(struct scan_value exit, struct row *row)
{
	struct scan_value code = scan_get(exit, "exitCode");

	scan_text(scan_get(exit, "exitedAt"), row->exited, sizeof(row->exited));
	row->has_code = code.size > 0 && !scan_is(code, "null");
	row->code = cli_status_of(scan_integer(code));
}

static void read_row(struct scan_value session, struct row *row)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} texts[] = {
		{ "\"processId\"", offsetof(struct row, id), sizeof(row->id) },
		{ "\"name\"", offsetof(struct row, name), sizeof(row->name) },
		{ "\"status\"", offsetof(struct row, status), sizeof(row->status) },
		{ "\"startedAt\"", offsetof(struct row, started), sizeof(row->started) },
		{ "\"title\"", offsetof(struct row, title), sizeof(row->title) },
		{ "\"commandSummary\"", offsetof(struct row, command), sizeof(row->command) },
	};
	struct scan_value name, value;
	struct scan s;

	memset(row, 0, sizeof(*row));
	scan_init(&s, session);
	while (scan_member(&s, &name, &value)) {
		for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
			if (scan_is(name, texts[i].name))
				scan_text(value, (char *)row + texts[i].offset, texts[i].size);
		if (scan_is(name, "\"handle\""))
			row->handle = scan_integer(value);
		else if (scan_is(name, "\"treeAlive\""))
			row->tree_alive = scan_is(value, "true");
		else if (scan_is(name, "\"exit\""))
			read_exit(value, row);
	}
}

/* "3 minutes", since a time of the API; "" when there is none. */
static const char *age_since(const char *time, char buf[AGE_MAX])
{
	uint64_t then, now = clock_realtime_ms();

	if (clock_parse(time, &then) < 0)
		return "";
	return render_age(now > then ? now - then : 0, buf);
}

static enum colour describe(const struct row *row, char *text, size_t size)
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
	char age[AGE_MAX], code[16] = "?";
	size_t i = 0;

	while (i < ARRAY_SIZE(words) && strcmp(words[i].status, row->status) != 0)
		i++;
	if (i == ARRAY_SIZE(words)) {
		snprintf(text, size, "%s", row->status);
		return COLOUR_NONE;
	}
	if (row->has_code)
		snprintf(code, sizeof(code), "%d", row->code);
	if (!words[i].ended)
		snprintf(text, size, "%s %s", words[i].word, age_since(row->started, age));
	else if (row->exited[0])
		snprintf(text, size, "%s (%s) %s ago%s", words[i].word, code,
			 age_since(row->exited, age), row->tree_alive ? ", leftovers run" : "");
	else
		snprintf(text, size, "%s", words[i].word);
	return words[i].ended && row->code != 0 ? COLOUR_RED : words[i].colour;
}

/* Whether a title can go to a terminal as it is. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f || (unsigned char)*text == 0xc2)
			return false; /* 0xc2 begins the C1 control characters */
	return true;
}

static int add_row(struct table *t, const struct row *row, bool titles)
{
	_cleanup_(buffer_done) struct buffer title;
	char handle[24], status[96];
	enum colour colour = describe(row, status, sizeof(status));
	const char *cells[COLUMNS_MAX] = { handle, row->id, row->name, status, row->command };

	buffer_init(&title, 4 * CELL_MAX);
	if (is_plain(row->title))
		buffer_append_text(&title, row->title);
	else
		text_escape(&title, row->title, strlen(row->title));
	snprintf(handle, sizeof(handle), "%lld", (long long)row->handle);
	if (titles) {
		cells[4] = buffer_text(&title);
		cells[5] = row->command;
	}
	return table_add(t, cells, colour);
}

static bool any_title(struct scan_value items)
{
	return memmem(items.text, items.size, "\"title\":\"", strlen("\"title\":\""));
}

static int print_table(struct scan_value items)
{
	static const char *const plain[] = { "NO", "ID", "NAME", "STATUS", "COMMAND", NULL };
	static const char *const titled[] = {
		"NO", "ID", "NAME", "STATUS", "TITLE", "COMMAND", NULL
	};
	bool titles = items.size > 0 && any_title(items);
	struct scan_value item;
	struct table t;
	struct row row;
	struct scan s;
	int r = table_init(&t, titles ? titled : plain);

	t.coloured = 3;
	scan_init(&s, items);
	while (r == 0 && scan_item(&s, &item)) {
		read_row(item, &row);
		r = add_row(&t, &row, titles);
	}
	if (r == 0)
		table_print(stdout, &t, render_width(stdout), render_colours(stdout));
	table_done(&t);
	return r;
}

static void print_words(struct scan_value items, bool names)
{
	struct scan_value item;
	struct row row;
	struct scan s;

	scan_init(&s, items);
	while (scan_item(&s, &item)) {
		read_row(item, &row);
		puts(names ? row.name : row.id);
	}
}

static int format_target(const struct ps_values *v, struct buffer *b)
{
	int r = buffer_append_text(b, "/v1/sessions");

	if (r == 0)
		r = uri_query(b, "all", v->all || v->which.status ? "true" : "false");
	if (r == 0)
		r = selection_query(b, &v->which);
	return r < 0 ? r : uri_query(b, "limit", v->limit ? v->limit : LIMIT);
}

int cmd_ps(struct cli *cli, const void *values, int n, char **operands)
{
	const struct ps_values *v = values;
	_cleanup_(buffer_done) struct buffer target;
	_cleanup_(buffer_done) struct buffer answer;
	struct error e = { 0 };
	struct scan_value items;

	(void)n;
	(void)operands;
	buffer_init(&target, TARGET_MAX);
	buffer_init(&answer, CLIENT_ANSWER_MAX);
	if (format_target(v, &target) < 0)
		return cli_usage(cli, "an argument is too long");
	if (cli_get_text(cli, buffer_text(&target), &answer, &e) < 0)
		return cli_fail(cli, &e);
	items = scan_get((struct scan_value){ buffer_text(&answer), answer.size }, "items");
	if (v->json)
		puts(buffer_text(&answer));
	else if (v->quiet || v->names)
		print_words(items, v->names);
	else if (print_table(items) < 0)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "out of memory" });
	return 0;
}
