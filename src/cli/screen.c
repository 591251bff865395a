/* SPDX-License-Identifier: Apache-2.0 */
/* screen.c - prints the screen of a session's terminal. */
#include "cli/commands.h"
#include "client/uri.h"
#include <stdio.h>

#define TARGET_MAX 4096U

struct screen_values {
	bool text, ansi, json;
};

static const struct option_spec screen_specs[] = {
	{ .name = "text",
	  .help = "characters alone (the default)",
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct screen_values, text) },
	{ .name = "ansi",
	  .help = "with colours and other looks",
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct screen_values, ansi) },
	{ .name = "json",
	  .help = "lines, cursor, modes and title, as JSON",
	  .type = OPTION_FLAG,
	  .offset = offsetof(struct screen_values, json) },
	{ 0 },
};

const struct option_table screen_options = { screen_specs, sizeof(struct screen_values) };

static int print_screen(struct cli *cli, const char *word, const char *format, struct error *e)
{
	_cleanup_(buffer_done) struct buffer target, answer;
	_cleanup_(freep) char *session = NULL;
	int r;

	buffer_init(&target, TARGET_MAX);
	buffer_init(&answer, CLIENT_ANSWER_MAX);
	r = cli_session(cli, word, &session, e);
	if (r < 0)
		return r;
	r = uri_session(&target, session, "/screen");
	if (r >= 0)
		r = uri_query(&target, "format", format);
	if (r < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "the name of the session is too long");
	r = cli_get_text(cli, buffer_text(&target), &answer, e);
	if (r >= 0)
		fwrite(buffer_text(&answer), 1, answer.size, stdout);
	return r;
}

int cmd_screen(struct cli *cli, const void *values, int n, char **operands)
{
	const struct screen_values *v = values;
	const char *format = v->json ? "json" : v->ansi ? "ansi" : "text";
	struct error e = { 0 };

	(void)n;
	if (v->text + v->ansi + v->json > 1)
		return cli_usage(cli, "--text, --ansi and --json: one of them");
	if (print_screen(cli, operands[0], format, &e) < 0)
		return cli_fail(cli, &e);
	if (v->json)
		putchar('\n');
	return 0;
}
