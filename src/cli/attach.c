/* SPDX-License-Identifier: Apache-2.0 */
#include "client/attach.h"
#include "base/random.h"
#include "cli/commands.h"
#include "cli/foreground.h"
#include "cli/terminal.h"
#include "cli/terminal_client.h"
#include <string.h>

struct attach_values {
	bool steal, read_only;
	const char *from, *detach_keys;
};

static const struct option_spec specs[] = {
	{ .name = "steal",
	  .help = "take it over from the client that holds it",
	  .offset = offsetof(struct attach_values, steal) },
	{ .name = "read-only",
	  .letter = 'r',
	  .help = "only watch; any number of clients can",
	  .offset = offsetof(struct attach_values, read_only) },
	{ .name = "from",
	  .argument = "PLACE",
	  .help = "where to begin: start, now, delivered or an offset",
	  .choices = "start now delivered",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct attach_values, from) },
	{ .name = "detach-keys",
	  .argument = "KEYS",
	  .help = "on a terminal: what leaves it (default: " TERMINAL_KEYS_DEFAULT
		  "); ctrl-p,ctrl-q, ^Ad, none",
	  .type = OPTION_TEXT,
	  .offset = offsetof(struct attach_values, detach_keys) },
	{ 0 },
};

const struct option_table attach_options_table = { specs, sizeof(struct attach_values) };

/* Here is a terminal, and the session has one. */
static int attach_terminal(struct cli *cli, const struct attach_options *attach,
			   const struct attach_values *v)
{
	struct terminal_client_options o = {
		.attach = *attach,
		.keys_text = v->detach_keys ? v->detach_keys : TERMINAL_KEYS_DEFAULT,
		.until_ended = true,
	};
	struct error e = { 0 };

	o.attach.restore = !v->from;
	if (terminal_keys_parse(&o.keys, o.keys_text, &e) < 0)
		return cli_usage(cli, "%s", e.message);
	return terminal_client_run(cli, &o, client_take_http(cli->client));
}

static int attach_pipes(struct cli *cli, const struct attach_options *attach)
{
	struct foreground_options o = {
		.attach = *attach,
		.input = !attach->read_only,
		.until_ended = true,
	};

	return foreground_run(cli, &o, client_take_http(cli->client));
}

static bool is_kind(const json_t *session, const char *kind)
{
	const char *is = json_string_value(json_object_get(session, "kind"));

	return is && strcmp(is, kind) == 0;
}

/* The session that this command runs in would show what it shows, without end. */
static bool is_around(const json_t *session)
{
	const char *id = json_string_value(json_object_get(session, "id"));
	const char *here = getenv("REEVE_SESSION");

	return id && here && strcmp(id, here) == 0;
}

static int attach_as(struct cli *cli, const char *session, const struct attach_values *v)
{
	_cleanup_(freep) char *id = NULL;
	struct attach_options o = { .steal = v->steal, .read_only = v->read_only, .from = v->from };
	json_t *answer = NULL;
	struct error e = { 0 };
	bool terminal, around;

	/* asked first: it starts a daemon where there is none, and says what is wrong with the name
	 */
	if (cli_session(cli, session, &id, &e) < 0 ||
	    cli_call_session(cli, "GET", id, "", NULL, &answer, &e) < 0)
		return cli_fail(cli, &e);
	terminal = is_kind(answer, "pty") && terminal_is_here();
	around = is_around(answer);
	json_decref(answer);
	if (terminal && around)
		return cli_fail(cli,
				&(struct error){ ERROR_WRONG_STATE,
						 "this terminal is the session's own: it would "
						 "show itself, without end" });
	if (random_bytes(o.token, sizeof(o.token)) < 0)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "no random bytes" });
	o.session = id;
	o.socket_path = client_paths(cli->client)->socket;
	return terminal ? attach_terminal(cli, &o, v) : attach_pipes(cli, &o);
}

int attach_to(struct cli *cli, const char *session)
{
	return attach_as(cli, session, &(struct attach_values){ 0 });
}

int cmd_attach(struct cli *cli, const void *values, int n, char **operands)
{
	(void)n;
	return attach_as(cli, operands[0], values);
}
