/* SPDX-License-Identifier: Apache-2.0 */
/* capabilities.c - what can be observed here. */
#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "client/uri.h"
#include <string.h>

#define TARGET_MAX 256U

struct capabilities_values {
	bool json, probe;
	const char *scope;
};

#define AT(m) offsetof(struct capabilities_values, m)

static const struct option_spec specs[] = {
	{ .name = "json", .help = "as the API tells it", .offset = AT(json) },
	{ .name = "scope",
	  .argument = "SCOPE",
	  .help = "launched-tree (default): of sessions; system-wide: of all processes",
	  .choices = "launched-tree system-wide",
	  .type = OPTION_TEXT,
	  .offset = AT(scope) },
	{ .name = "probe",
	  .help = "try again, and show every backend, also those behind a better one",
	  .offset = AT(probe) },
	{ 0 },
};

const struct option_table capabilities_options = { specs, sizeof(struct capabilities_values) };

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void print_backends(const json_t *answer)
{
	static const char *const titles[] = { "CATEGORY", "BACKEND", "SUPPORT", "REASON", NULL };
	struct table t;
	json_t *b;
	size_t i;

	if (table_init(&t, titles) < 0)
		return;
	t.coloured = 2;
	json_array_foreach(json_object_get(answer, "backends"), i, b)
	{
		const char *support = text_of(b, "support");
		const char *cells[] = { text_of(b, "category"), text_of(b, "backend"), support,
					text_of(b, "reason") };

		table_add(&t, cells,
			  strcmp(support, "supported") == 0 ? COLOUR_GREEN
			  : strcmp(support, "partial") == 0 ? COLOUR_YELLOW
							    : COLOUR_RED);
	}
	table_print(stdout, &t, 0, render_colours(stdout));
	table_done(&t);
}

int cmd_capabilities(struct cli *cli, const void *values, int n, char **operands)
{
	const struct capabilities_values *v = values;
	_cleanup_(buffer_done) struct buffer target = { .max = TARGET_MAX };
	json_t *answer = NULL;
	struct error e = { 0 };

	(void)n;
	(void)operands;
	(void)buffer_append_text(&target, "/v1/capabilities");
	(void)uri_query(&target, "scope", v->scope);
	(void)uri_query(&target, "probe", v->probe ? "true" : NULL);
	if (cli_call(cli, "GET", buffer_text(&target), NULL, &answer, &e) < 0)
		return cli_fail(cli, &e);
	if (v->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		fputs(text_of(answer, "summary"), stdout);
		if (v->probe) {
			putchar('\n');
			print_backends(answer);
		}
	}
	json_decref(answer);
	return 0;
}
