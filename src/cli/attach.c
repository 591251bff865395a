/* SPDX-License-Identifier: Apache-2.0 */
#include "client/attach.h"
#include "base/random.h"
#include "cli/commands.h"
#include "cli/foreground.h"

struct attach_values {
	bool steal, read_only;
	const char *from;
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
	{ 0 },
};

const struct option_table attach_options_table = { specs, sizeof(struct attach_values) };

static int attach_as(struct cli *cli, const char *session, const struct attach_values *v)
{
	_cleanup_(freep) char *id = NULL;
	struct foreground_options o = {
		.attach = { .steal = v->steal, .read_only = v->read_only, .from = v->from },
		.input = !v->read_only,
		.until_ended = true,
	};
	json_t *answer = NULL;
	struct error e = { 0 };

	/* asked first: it starts a daemon where there is none, and says what is wrong with the name
	 */
	if (cli_session(cli, session, &id, &e) < 0 ||
	    cli_call_session(cli, "GET", id, "", NULL, &answer, &e) < 0)
		return cli_fail(cli, &e);
	json_decref(answer);
	if (random_bytes(o.attach.token, sizeof(o.attach.token)) < 0)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "no random bytes" });
	o.attach.session = id;
	o.attach.socket_path = client_paths(cli->client)->socket;
	return foreground_run(cli, &o, client_take_http(cli->client));
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
