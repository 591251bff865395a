/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - inspect and tree: all about one session. */
#include "cli/commands.h"
#include "cli/render.h"
#include "cli/targets.h"
#include <string.h>

struct inspect_values {
	bool raw;
	struct selection which;
};

static const struct option_spec inspect_specs[] = {
	{ .name = "raw",
	  .help = "the command as it is, with its secrets",
	  .offset = offsetof(struct inspect_values, raw) },
	SELECTION_OPTIONS(struct inspect_values, which, "all"),
	{ 0 },
};

const struct option_table inspect_options = { inspect_specs, sizeof(struct inspect_values) };

/* One session that is named as an object, others as an array. */
int cmd_inspect(struct cli *cli, const void *values, int n, char **operands)
{
	const struct inspect_values *v = values;
	_cleanup_(targets_done) struct targets t = { 0 };
	json_t *all = json_array(), *session;
	struct error e = { 0 };
	int status = 0;
	bool one;

	if (targets_find(cli, operands, n, &v->which, true, &t, &e) < 0) {
		json_decref(all);
		return cli_fail(cli, &e);
	}
	for (size_t i = 0; i < t.n; i++) {
		int failed = 0;

		session = NULL;
		if (cli_call_session(cli, "GET", t.ids[i], v->raw ? "?raw=true" : "", NULL,
				     &session, &e) < 0)
			failed = cli_fail(cli, &e);
		else
			json_array_append_new(all, session);
		status = status ? status : failed;
	}
	one = t.n == 1 && !t.described;
	if (!one || json_array_size(all) == 1) {
		json_dumpf(one ? json_array_get(all, 0) : all, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(all);
	return status;
}

/* --- tree ------------------------------------------------------------------------------------ */

struct tree_values {
	bool json;
	struct selection which;
};

static const struct option_spec tree_specs[] = {
	{ .name = "json", .help = "for programs", .offset = offsetof(struct tree_values, json) },
	SELECTION_OPTIONS(struct tree_values, which, "all that run"),
	{ 0 },
};

const struct option_table tree_options = { tree_specs, sizeof(struct tree_values) };

#define DEPTH_MAX 64

static json_int_t number_of(const json_t *item, const char *name)
{
	return json_integer_value(json_object_get(item, name));
}

static bool has_parent(const json_t *items, const json_t *child)
{
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item) if (number_of(item, "pid") ==
					       number_of(child, "ppid")) return true;
	return false;
}

static void print_children(const json_t *items, json_int_t parent, int depth);

static void print_process(const json_t *items, const json_t *item, int depth)
{
	const char *state = json_string_value(json_object_get(item, "state"));
	const char *command = json_string_value(json_object_get(item, "command"));

	printf("%7lld %-2s %*s%s\n", (long long)number_of(item, "pid"), state ? state : "",
	       2 * depth, "", command ? command : "");
	print_children(items, number_of(item, "pid"), depth + 1);
}

static void print_children(const json_t *items, json_int_t parent, int depth)
{
	json_t *item;
	size_t i;

	json_array_foreach(items, i,
			   item) if (depth < DEPTH_MAX && number_of(item, "ppid") == parent)
		print_process(items, item, depth);
}

static int tree_one(struct cli *cli, const char *id, const void *values, struct error *e)
{
	const struct tree_values *v = values;
	json_t *answer = NULL, *items, *item;
	size_t i;
	int r = cli_call_session(cli, "GET", id, "/tree", NULL, &answer, e);

	if (r < 0)
		return r;
	items = json_object_get(answer, "items");
	if (v->json) {
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		json_array_foreach(items, i, item) if (!has_parent(items, item))
			print_process(items, item, 0);
	}
	json_decref(answer);
	return 0;
}

int cmd_tree(struct cli *cli, const void *values, int n, char **operands)
{
	const struct tree_values *v = values;

	return targets_each(cli, operands, n, &v->which, false, tree_one, v);
}
